//! Traces to a collector: OTLP, protobuf over HTTP. Off without an address.
//!
//! Bounded: so many spans wait, and what is beyond that is dropped, as is what the collector does not take. Whoever
//! begins a trace is never held up; `rally_trace_spans_ended_total` less `rally_trace_spans_sent_total` is what was lost.

use std::time::Duration;

use async_trait::async_trait;
use http::{Request, Response};
use hyper::body::Bytes;
use opentelemetry::{Context, KeyValue, trace::TracerProvider as _};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{
        self, BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor,
    },
};
use tracing::{Level, Metadata};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::{
    Layer as _, Registry,
    filter::{FilterFn, Filtered, filter_fn},
};

use super::{
    TelemetryError,
    outgoing::{ANSWER_WITHIN, Outgoing},
};
use crate::{env::HttpUrl, traces};

/// Spans that wait to be sent.
const WAITING_MAX: usize = 4_096;
/// Spans that are sent at once.
const AT_ONCE_MAX: usize = 512;
/// How long one waits for others.
const BATCH_FOR: Duration = Duration::from_secs(1);
/// How long the end of a process waits for what has not been sent.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

const ENDED: &str = "rally_trace_spans_ended_total";
const SENT: &str = "rally_trace_spans_sent_total";

/// What makes spans of traces out of spans of the program.
pub(super) type Traces = Filtered<OpenTelemetryLayer<Registry, SdkTracer>, FilterFn, Registry>;

/// Sends traces, until it is flushed at the end.
#[derive(Debug)]
pub(super) struct Otlp {
    provider: SdkTracerProvider,
}

impl Otlp {
    /// Starts sending this share of traces.
    ///
    /// # Errors
    /// The address is none.
    pub(super) fn start(
        to: &HttpUrl,
        percent: f64,
        outgoing: Outgoing,
        role: &str,
        node: &str,
        version: &'static str,
    ) -> Result<Self, TelemetryError> {
        for name in [ENDED, SENT] {
            metrics::counter!(name).increment(0);
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client(outgoing))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", to.as_str()))
            .with_timeout(ANSWER_WITHIN)
            // What it does not take is lost: the next spans must not wait for it.
            .with_retry_policy(RetryPolicy::disabled())
            .build()?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(WAITING_MAX)
            .with_max_export_batch_size(AT_ONCE_MAX)
            .with_scheduled_delay(BATCH_FOR)
            .build();
        let processor = BatchSpanProcessor::builder(CountsSent(exporter)).with_batch_config(batches).build();
        let about = [
            KeyValue::new("service.namespace", "rally"),
            KeyValue::new("service.name", format!("rally-{role}")),
            KeyValue::new("service.instance.id", node.to_owned()),
            KeyValue::new("service.version", version),
        ];
        let provider = SdkTracerProvider::builder()
            .with_resource(Resource::builder_empty().with_attributes(about).build())
            .with_id_generator(traces::Ids)
            .with_sampler(traces::Begun)
            .with_span_processor(CountsEnded(processor))
            .build();
        traces::keep(provider.tracer(traces::TARGET), percent);
        Ok(Self { provider })
    }

    /// For the process's subscriber.
    pub(super) fn layer(&self) -> Traces {
        let is_told = |about: &Metadata<'_>| match about.is_span() {
            true => about.target() == traces::TARGET,
            // What is logged in a span is told with it.
            false => *about.level() <= Level::INFO && about.target().starts_with("rally"),
        };
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(traces::TARGET))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(is_told as fn(&Metadata<'_>) -> bool))
    }

    /// Sends what waits, for a while at most, and nothing any more. Blocks.
    pub(super) fn flush(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH_WITHIN) {
            tracing::debug!(%error, "the last traces are not sent");
        }
    }
}

/// Counts what waits to be sent, or is dropped for want of room.
#[derive(Debug)]
struct CountsEnded(BatchSpanProcessor);

impl SpanProcessor for CountsEnded {
    fn on_start(&self, span: &mut Span, cx: &Context) {
        self.0.on_start(span, cx);
    }

    fn on_end(&self, span: SpanData) {
        metrics::counter!(ENDED).increment(1);
        self.0.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

/// Counts what the collector has taken.
#[derive(Debug)]
struct CountsSent(SpanExporter);

impl trace::SpanExporter for CountsSent {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        match self.0.export(batch).await {
            Ok(()) => metrics::counter!(SENT).increment(spans as u64),
            Err(error) => {
                tracing::debug!(%error, spans, "the collector has not taken traces");
                return Err(error);
            }
        }
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

/// Our way out, as the exporter wants it.
#[derive(Debug)]
struct Client(Outgoing);

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        Ok(self.0.ask(request).await?)
    }
}
