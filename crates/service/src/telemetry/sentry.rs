//! Errors to Sentry, or to whatever takes its envelopes: log events of level `error`, panics among them. Off without a
//! DSN.
//!
//! What is sent is what the log says: message, fields, place, and which node of which version it was; no environment, no
//! addresses, no memory. Log lines hold no secrets (docs/LOGGING.md), so neither does this. Bounded: so many wait, so
//! many go out in a minute, and what is beyond that is dropped and counted.

use std::{
    fmt::{self, Debug},
    sync::mpsc as blocking,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use hyper::body::Bytes;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use super::outgoing::Outgoing;
use crate::entropy;

/// Events that wait.
const WAITING_MAX: usize = 64;
/// Events a minute; an error that comes with each tick is one error.
const PER_MINUTE_MAX: u32 = 30;
/// How long the end of a process waits for what is on its way.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);
/// Only what we say ourselves; what libraries log is of another kind.
const OURS: &str = "rally";

const SENT: &str = "rally_sentry_events_sent_total";
const DROPPED: &str = "rally_sentry_events_dropped_total";

/// Where errors go: `https://KEY@HOST/PROJECT`.
#[derive(Clone)]
pub struct Dsn {
    endpoint: Uri,
    key: SecretString,
}

impl Debug for Dsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dsn").field("host", &self.endpoint.host()).finish_non_exhaustive()
    }
}

impl Dsn {
    /// Reads one. `None`: it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"))?;
        let (key, place) = rest.split_once('@')?;
        // Old ones have a second key, which is not used any more.
        let key = key.split(':').next().filter(|key| !key.is_empty())?;
        let (place, project) = place.trim_end_matches('/').rsplit_once('/')?;
        let (host, prefix) =
            place.split_once('/').map_or((place, String::new()), |(host, rest)| (host, format!("/{rest}")));
        let is_number = !project.is_empty() && project.bytes().all(|b| b.is_ascii_digit());
        let endpoint = format!("{scheme}://{host}{prefix}/api/{project}/envelope/").parse().ok()?;
        is_number.then(|| Self { endpoint, key: key.to_owned().into() })
    }
}

enum Item {
    Event(Box<Value>),
    Flush(blocking::SyncSender<()>),
}

/// Takes errors from the log.
#[derive(Clone, Debug)]
pub(super) struct Sentry {
    items: mpsc::Sender<Item>,
    role: String,
    node: String,
    release: String,
}

impl Sentry {
    /// Starts sending.
    pub(super) fn start(dsn: Dsn, outgoing: Outgoing, role: &str, node: &str, version: &str) -> Self {
        metrics::counter!(SENT).increment(0);
        for reason in ["full", "rate", "refused"] {
            metrics::counter!(DROPPED, "reason" => reason).increment(0);
        }
        let (items, queue) = mpsc::channel(WAITING_MAX);
        let runtime = outgoing.runtime().clone();
        runtime.spawn(send(dsn, outgoing, queue, version.to_owned()));
        Self { items, role: role.to_owned(), node: node.to_owned(), release: format!("rally@{version}") }
    }

    /// Waits until what has been taken is sent, for a while at most. Blocks.
    pub(super) fn flush(&self) {
        let (done, wait) = blocking::sync_channel(1);
        if self.items.try_send(Item::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(FLUSH_WITHIN);
        }
    }
}

async fn send(dsn: Dsn, outgoing: Outgoing, mut queue: mpsc::Receiver<Item>, version: String) {
    let auth =
        format!("Sentry sentry_version=7, sentry_client=rally/{version}, sentry_key={}", dsn.key.expose_secret());
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-sentry-envelope"));
    if let Ok(mut auth) = HeaderValue::from_str(&auth) {
        auth.set_sensitive(true);
        headers.insert("x-sentry-auth", auth);
    }
    let (mut minute, mut sent) = (Instant::now(), 0);
    while let Some(item) = queue.recv().await {
        let event = match item {
            Item::Event(event) => event,
            Item::Flush(done) => {
                let _ = done.send(());
                continue;
            }
        };
        if minute.elapsed() >= Duration::from_secs(60) {
            (minute, sent) = (Instant::now(), 0);
        }
        if sent >= PER_MINUTE_MAX {
            metrics::counter!(DROPPED, "reason" => "rate").increment(1);
            continue;
        }
        sent += 1;
        let mut request = Request::new(envelope(&event));
        (*request.method_mut(), *request.uri_mut()) = (Method::POST, dsn.endpoint.clone());
        *request.headers_mut() = headers.clone();
        match outgoing.ask(request).await.map(|answer| answer.status()) {
            Ok(status) if status.is_success() => metrics::counter!(SENT).increment(1),
            // Not logged as an error: that would be the next one to send.
            answer => {
                metrics::counter!(DROPPED, "reason" => "refused").increment(1);
                tracing::debug!(?answer, "Sentry has not taken an error");
            }
        }
    }
}

/// <https://develop.sentry.dev/sdk/data-model/envelopes/>
fn envelope(event: &Value) -> Bytes {
    let item = event.to_string();
    let head = json!({ "event_id": event["event_id"] });
    let about = json!({ "type": "event", "length": item.len() });
    format!("{head}\n{about}\n{item}\n").into()
}

impl<S: Subscriber> Layer<S> for Sentry {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let about = event.metadata();
        if *about.level() != Level::ERROR || !about.target().starts_with(OURS) {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id: String = entropy::random_bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
        let event = json!({
            "event_id": id,
            "timestamp": at.as_secs_f64(),
            "platform": "native",
            "level": if fields.message.starts_with("panicked") { "fatal" } else { "error" },
            "logger": about.target(),
            "message": { "formatted": fields.message },
            "release": self.release,
            "server_name": self.node,
            "tags": { "role": self.role },
            "extra": fields.others,
        });
        if self.items.try_send(Item::Event(Box::new(event))).is_err() {
            metrics::counter!(DROPPED, "reason" => "full").increment(1);
        }
    }
}

/// The message of an event, and its other fields.
#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.others.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.put(field, format!("{value:?}").into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dsns_name_an_endpoint() {
        let endpoint = |text: &str| Dsn::parse(text).map(|dsn| dsn.endpoint.to_string());
        assert_eq!(
            endpoint("https://k3y@o1.ingest.example/42").as_deref(),
            Some("https://o1.ingest.example/api/42/envelope/")
        );
        assert_eq!(
            endpoint("http://k:old@127.0.0.1:9000/errors/7/").as_deref(),
            Some("http://127.0.0.1:9000/errors/api/7/envelope/")
        );
        for bad in
            ["", "k3y@host/1", "https://host/1", "https://@host/1", "https://k@host", "https://k@host/x", "ftp://k@h/1"]
        {
            assert!(Dsn::parse(bad).is_none(), "{bad}");
        }
        let dsn = Dsn::parse("https://k3y@host.example/1").expect("a DSN");
        assert!(!format!("{dsn:?}").contains("k3y"));
    }

    #[test]
    fn an_envelope_is_three_lines_and_says_how_long_the_last_is() {
        let event = json!({ "event_id": "0123", "message": { "formatted": "a\nb" } });
        let bytes = envelope(&event);
        let text = std::str::from_utf8(&bytes).expect("UTF-8");
        let lines: Vec<&str> = text.trim_end().split('\n').collect();
        assert_eq!(lines.len(), 3);
        let about: Value = serde_json::from_str(lines[1]).expect("JSON");
        assert_eq!(about["length"], lines[2].len());
        assert_eq!(serde_json::from_str::<Value>(lines[2]).expect("JSON"), event);
    }
}
