//! Traces as a collector gets them: what was done for a match and for a request, on edge, worker and Postgres.

use std::time::Duration;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind},
};
use prost::Message as _;
use rally_client::{
    Encoding,
    protocol::{EventKind, Forfeit, JoinAs},
};
use rally_units::MatchId;

use crate::support::{
    LONG, Node, Player, Site,
    http::{metric, post},
    receivers::{Received, Receiver},
};

/// A span, and which node it is from.
#[derive(Debug)]
struct Told {
    service: String,
    node: String,
    span: Span,
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?;
    Some(match value.value.as_ref()? {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => panic!("{key} is {other:?}"),
    })
}

impl Told {
    fn has(&self, key: &str, value: &str) -> bool {
        text(&self.span.attributes, key).as_deref() == Some(value)
    }

    fn is_child_of(&self, parent: &Told) -> bool {
        self.span.trace_id == parent.span.trace_id && self.span.parent_span_id == parent.span.span_id
    }

    fn is_root(&self) -> bool {
        self.span.parent_span_id.is_empty()
    }
}

fn read(received: &Received) -> Vec<Told> {
    assert_eq!(received.path, "/v1/traces");
    let batch = ExportTraceServiceRequest::decode(&received.body[..]).unwrap();
    let mut told = Vec::new();
    for of_node in batch.resource_spans {
        let about = of_node.resource.unwrap().attributes;
        let (service, node) = (text(&about, "service.name").unwrap(), text(&about, "service.instance.id").unwrap());
        for span in of_node.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            told.push(Told { service: service.clone(), node: node.clone(), span });
        }
    }
    told
}

/// Who takes spans, and all that it was told.
struct Collector {
    receiver: Receiver<Received>,
    told: Vec<Told>,
}

impl Collector {
    async fn start() -> Self {
        Self { receiver: Receiver::http().await, told: Vec::new() }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.receiver.port)
    }

    /// All spans of a trace, once these have come: the node, and the name of the span.
    async fn trace(&mut self, trace: [u8; 16], wanted: &[(&str, &str)]) -> Vec<&Told> {
        let is_there = |told: &[Told], node: &str, name: &str| {
            told.iter().any(|told| told.span.trace_id == trace && told.node == node && told.span.name == name)
        };
        while !wanted.iter().all(|(node, name)| is_there(&self.told, node, name)) {
            let next = self.receiver.next().await;
            self.told.extend(read(&next));
        }
        self.told.iter().filter(|told| told.span.trace_id == trace).collect()
    }
}

/// Starts a match against the machine; its id, and that of the request. An edge learns of a new worker within moments.
async fn practise(player: &Player, port: u16) -> (MatchId, String) {
    let bearer = format!("Bearer {}", player.identity.tokens.access);
    let headers = [("authorization", &*bearer), ("content-type", "application/json")];
    let answer = rally_testkit::eventually_ok(LONG, async || {
        let asked = post([127, 0, 0, 1], port, "/api/v1/matches", &headers, r#"{"mode":"practice"}"#).await;
        if asked.status == 201 { Ok(asked) } else { Err(asked.body) }
    })
    .await;
    (answer.json()["match"].as_str().unwrap().parse().unwrap(), answer.header("x-request-id").unwrap().to_owned())
}

/// That lines of the log say of which request they are.
fn is_logged(edge: &Node, request_id: &str) -> bool {
    let log = std::fs::read_to_string(&edge.log).unwrap();
    log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).any(|line| {
        line["message"] == "answered" && line["route"] == "/api/v1/matches" && line["span"]["request_id"] == request_id
    })
}

#[tokio::test]
async fn a_match_is_traced_from_edge_to_worker_to_postgres() {
    let (site, mut collector) = (Site::start().await, Collector::start().await);
    let url = collector.url();
    let all = [("RALLY_OTLP_URL", &*url), ("RALLY_TRACES_PERCENT", "100")];
    let talkative = [all[0], all[1], ("RALLY_LOG", "rally_edge=debug")];
    let (edge, _worker) = tokio::join!(site.edge("edge-1", &talkative), site.worker("worker-1", &all));
    let mut player = Player::at(edge.url(), Encoding::Msgpack).await;
    let (match_id, request_id) = practise(&player, edge.port).await;
    rally_testkit::eventually(LONG, async || is_logged(&edge, &request_id)).await;

    let request = *uuid::Uuid::parse_str(&request_id).unwrap().as_bytes();
    let told = collector.trace(request, &[("edge-1", "POST /api/v1/matches")]).await;
    let root = told.iter().find(|told| told.is_root()).expect("a root");
    assert_eq!((root.service.as_str(), root.span.kind()), ("rally-edge", SpanKind::Server));
    assert!(root.has("http.response.status_code", "201") && root.has("request_id", &request_id), "{root:?}");
    assert_eq!(root.span.links.len(), 1);
    assert_eq!(root.span.links[0].trace_id, match_id.as_bytes(), "it leads to the match's trace");
    let asked = told.iter().find(|told| told.has("db.system.name", "postgresql")).expect("a question to Postgres");
    assert!(asked.is_child_of(root) && asked.span.kind() == SpanKind::Client, "{asked:?}");

    player.join(match_id, JoinAs::Player).await;
    player.ready(match_id);
    player.event(EventKind::Go).await;
    player.send(Forfeit { match_id });
    player.over().await;
    let wanted = [
        ("edge-1", "match.locate"),
        ("edge-1", "match.join"),
        ("worker-1", "match.create"),
        ("worker-1", "create_matches"),
        ("worker-1", "match.finish"),
        ("worker-1", "finish"),
        ("worker-1", "match"),
    ];
    let told = collector.trace(*match_id.as_bytes(), &wanted).await;
    let named = |name: &str| told.iter().find(|told| told.span.name == name).unwrap_or_else(|| panic!("no {name}"));
    let root = named("match");
    assert!(root.is_root() && root.has("outcome", "finished"), "{root:?}");
    for name in ["match.join", "match.create", "match.finish"] {
        let part = named(name);
        assert!(part.is_child_of(root) && part.has("match_id", &match_id.to_string()), "{part:?}");
        // The root begins with the id, in whose milliseconds that is; clocks here are one.
        assert!(part.span.start_time_unix_nano >= root.span.start_time_unix_nano, "{part:?} and {root:?}");
    }
    assert!(named("create_matches").is_child_of(named("match.create.all")));
    assert!(named("match.create.all").is_child_of(named("match.create")));
    let (join, look_up) = (&named("match.join").span, &named("match.locate").span);
    assert!(join.end_time_unix_nano > look_up.end_time_unix_nano, "{join:?} lasts until the worker has answered");
    assert!(named("finish").is_child_of(named("match.finish")));
}

#[tokio::test]
async fn what_is_not_kept_is_not_sent() {
    let (site, mut collector) = (Site::start().await, Collector::start().await);
    let url = collector.url();
    let none = [("RALLY_OTLP_URL", &*url), ("RALLY_TRACES_PERCENT", "0")];
    let (mut edge, _worker) = tokio::join!(site.edge("edge-1", &none), site.worker("worker-1", &none));
    let mut player = Player::at(edge.url(), Encoding::Msgpack).await;
    let (match_id, _) = practise(&player, edge.port).await;
    player.join(match_id, JoinAs::Player).await;
    assert_eq!(metric(edge.admin, "rally_trace_spans_ended_total", &[]).await, 0.0);
    edge.terminate();
    assert!(edge.ended(LONG).await.success());
    assert!(collector.receiver.rest().is_empty());
}

#[tokio::test]
async fn a_collector_that_does_not_answer_costs_spans_and_nothing_else() {
    let site = Site::start().await;
    // Takes connections, and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://127.0.0.1:{}", silent.local_addr().unwrap().port());
    let all = [("RALLY_OTLP_URL", &*url), ("RALLY_TRACES_PERCENT", "100")];
    let (mut edge, _worker) = tokio::join!(site.edge("edge-1", &all), site.worker("worker-1", &all));
    let mut player = Player::at(edge.url(), Encoding::Msgpack).await;
    let (match_id, _) = practise(&player, edge.port).await;
    player.join(match_id, JoinAs::Player).await;
    let _asks = tokio::time::timeout(LONG, silent.accept()).await.expect("it is asked").unwrap();
    assert!(metric(edge.admin, "rally_trace_spans_ended_total", &[]).await > 0.0);
    assert_eq!(metric(edge.admin, "rally_trace_spans_sent_total", &[]).await, 0.0);
    drop(player);
    edge.terminate();
    let started = std::time::Instant::now();
    assert!(edge.ended(LONG).await.success());
    // Itself some 1.1 s, and one for the spans; a busy machine is granted more, but no answer's patience.
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
