//! What a log line looks like.

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry, filter::LevelFilter, fmt, fmt::MakeWriter, layer::SubscriberExt as _,
};

use super::{otlp::Traces, sentry::Sentry};
use crate::env::{Unit, Value};

/// The look of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// An object per line, fields of the event and of its span in it.
    Json,
    /// For people.
    Text,
}

impl Value for LogFormat {
    fn parse(text: &str, unit: Unit) -> Result<Self, String> {
        String::parse(text, unit).map(|word| if word == "json" { Self::Json } else { Self::Text })
    }
}

impl Value for EnvFilter {
    fn parse(text: &str, _: Unit) -> Result<Self, String> {
        Self::builder().parse(text).map_err(|e| format!("is no list of levels: {e}"))
    }
}

impl LogFormat {
    /// What every line begins with, so that each tells who wrote it: spans would not, since tasks do not inherit them.
    pub(super) fn prefix(self, fields: &[(&str, &str)]) -> String {
        match self {
            Self::Json => fields.iter().map(|(k, v)| format!("\"{k}\":{},", serde_json::Value::from(*v))).collect(),
            Self::Text => {
                let values: Vec<&str> = fields.iter().map(|(_, v)| *v).filter(|v| !v.is_empty()).collect();
                format!("[{}] ", values.join(" "))
            }
        }
    }
}

/// The subscriber: tested by giving it another writer.
pub(super) fn subscriber<W>(
    filter: EnvFilter,
    format: LogFormat,
    writer: W,
    sentry: Option<Sentry>,
    traces: Option<Traces>,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer).with_ansi(false);
    let layer = match format {
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).boxed(),
        LogFormat::Text => layer.boxed(),
    };
    // With a filter of its own: without one it would be asked about every event there is.
    let sentry = sentry.map(|sentry| sentry.with_filter(LevelFilter::ERROR));
    Box::new(Registry::default().with(traces).with(layer.with_filter(filter)).with(sentry))
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use super::{super::LogQueue, *};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("lock").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, events: impl FnOnce()) -> String {
        let written = Written::default();
        let queue =
            LogQueue::start(written.clone(), format.prefix(&[("role", "edge"), ("node", "a\"b")])).expect("queue");
        let filter = EnvFilter::parse(filter, Unit::Text).expect("filter");
        tracing::subscriber::with_default(subscriber(filter, format, queue.clone(), None, None), events);
        queue.flush();
        let bytes = written.0.lock().expect("lock").clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn json_lines_have_the_fields_of_event_span_and_process() {
        let text = logged(LogFormat::Json, "info", || {
            let span = tracing::info_span!("match", match_id = "m1");
            let _entered = span.enter();
            tracing::info!(frame_bytes = 80, "sent \"it\"");
            tracing::debug!("not this");
        });
        let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
        assert_eq!(lines.len(), 1);
        let line = &lines[0];
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["message"], "sent \"it\"");
        assert_eq!(line["frame_bytes"], 80);
        assert_eq!(line["span"]["match_id"], "m1");
        assert_eq!((&line["role"], &line["node"]), (&"edge".into(), &"a\"b".into()));
        assert!(line["timestamp"].as_str().is_some_and(|t| t.ends_with('Z')));
    }

    #[test]
    fn text_lines_begin_with_the_node() {
        let text = logged(LogFormat::Text, "warn,rally_service=debug", || tracing::debug!(x = 1, "hello"));
        assert!(text.starts_with("[edge a\"b] ") && text.contains("hello") && text.ends_with("x=1\n"), "{text}");
    }

    #[test]
    fn bad_filters_and_formats_are_faults() {
        assert!(EnvFilter::parse("rally=loudly", Unit::Text).is_err());
        assert!(LogFormat::parse("xml", Unit::OneOf(&["json", "text"])).is_err());
        assert_eq!(LogFormat::parse("text", Unit::OneOf(&["json", "text"])), Ok(LogFormat::Text));
    }
}
