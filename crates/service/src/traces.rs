//! Traces: what was done for one match, one request or one message, on all nodes, and how long each part took.
//!
//! A trace begins only where this module is asked to begin one, and what it asks of others (Postgres) is part of it. Its
//! id is one that the logs have already: the match's, or the request's `x-request-id`. So no message between nodes
//! carries an id for it, and each node decides by the id alone, and alike, whether the trace is kept. Spans of matches
//! that are not kept are not made; [`crate::telemetry`] says where the others go.

use std::{
    cell::Cell,
    sync::OnceLock,
    time::{Duration, UNIX_EPOCH},
};

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanBuilder, SpanContext, SpanId, SpanKind, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{IdGenerator, SamplingDecision, SamplingResult, SdkTracer, ShouldSample};
use rally_units::MatchId;
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use crate::entropy;

/// The target of all spans that are part of traces.
pub const TARGET: &str = "rally_traces";

/// Who traces, and which share of all there is; nothing where there is no collector.
static KEPT: OnceLock<Kept> = OnceLock::new();

struct Kept {
    tracer: SdkTracer,
    /// From 0 to 1.
    share: f64,
}

thread_local! {
    /// The trace whose root is being made on this thread, and the root's id where that is known.
    static BEGUN: Cell<Option<(TraceId, Option<SpanId>)>> = const { Cell::new(None) };
}

/// From now on so many of a hundred traces are kept. Only the first call counts.
pub(crate) fn keep(tracer: SdkTracer, percent: f64) {
    let _ = KEPT.set(Kept { tracer, share: percent / 100.0 });
}

fn is_kept(id: Uuid) -> bool {
    KEPT.get().is_some_and(|kept| is_within(kept.share, id))
}

/// The same on all nodes that keep as many.
fn is_within(share: f64, id: Uuid) -> bool {
    // Not the id's own bits: some of them are a clock or a version.
    let place = (xxh3_64(id.as_bytes()) >> 11) as f64 / (1_u64 << 53) as f64;
    place < share
}

/// The span of an HTTP request. `route` is the pattern that it has matched; `id` its `x-request-id`, which is the trace's
/// where it is 16 bytes in hexadecimal, with or without hyphens.
pub fn request(method: &'static str, route: &str, id: &str) -> Span {
    let Some(trace) = Uuid::try_parse(id).ok().filter(|id| is_kept(*id)) else { return Span::none() };
    let span = tracing::trace_span!(
        target: TARGET,
        parent: None,
        "request",
        otel.name = format_args!("{method} {route}"),
        otel.kind = "server",
        request_id = id,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        otel.status_code = Empty,
    );
    begin(&span, trace);
    span
}

/// The span of a message that came over a socket, or of some that are dealt with together.
pub fn message(kind: &'static str) -> Span {
    let id = KEPT.get().map(|_| Uuid::from_bytes(entropy::random_bytes()));
    let Some(id) = id.filter(|id| is_kept(*id)) else { return Span::none() };
    let span = tracing::trace_span!(target: TARGET, parent: None, "message", otel.name = kind, otel.kind = "server");
    begin(&span, id);
    span
}

/// A span in the life of a match.
pub fn in_match(name: &'static str, match_id: MatchId) -> Span {
    if !is_kept(match_id.as_uuid()) {
        return Span::none();
    }
    let span = tracing::trace_span!(target: TARGET, parent: None, "match", otel.name = name, %match_id);
    // Fails where nobody looks at spans, and there nothing is kept.
    let _ = span.set_parent(Context::new().with_remote_span_context(root_of(match_id)));
    span
}

/// A part of what this span is about. A span that is waited with, and not entered, begins and ends with its value; the
/// work that is done meanwhile is a part of it.
pub fn part(of: &Span, name: &'static str) -> Span {
    match of.is_none() {
        true => Span::none(),
        false => tracing::trace_span!(target: TARGET, parent: of, "part", otel.name = name),
    }
}

/// Spans of matches that go through the same work at once.
#[derive(Debug)]
pub struct Together(Vec<Span>);

impl Together {
    /// A span of this name for each that is kept.
    pub fn new(name: &'static str, matches: impl IntoIterator<Item = MatchId>) -> Self {
        let spans = matches.into_iter().map(|match_id| in_match(name, match_id));
        Self(spans.filter(|span| !span.is_none()).collect())
    }

    /// What is asked of others for all of them: part of the first.
    pub fn part(&self, name: &'static str) -> Span {
        self.0.first().map_or_else(Span::none, |first| part(first, name))
    }
}

/// The request or message at hand has had this match played.
pub fn has_led_to(match_id: MatchId) {
    if is_kept(match_id.as_uuid()) {
        Span::current().add_link(root_of(match_id));
    }
}

/// The whole of a match, from its creation until now: the root of its trace. Only whoever ends it says so.
pub fn match_over(match_id: MatchId, outcome: &'static str) {
    let id = match_id.as_uuid();
    let Some(Kept { tracer, .. }) = KEPT.get().filter(|kept| is_within(kept.share, id)) else { return };
    let created = id.get_timestamp().map(|at| {
        let (seconds, nanoseconds) = at.to_unix();
        UNIX_EPOCH + Duration::new(seconds, nanoseconds)
    });
    let mut span = SpanBuilder::from_name("match")
        .with_attributes([KeyValue::new("match_id", match_id.to_string()), KeyValue::new("outcome", outcome)]);
    span.start_time = created;
    // Ends at once.
    let root = root_of(match_id);
    as_root((root.trace_id(), Some(root.span_id())), || drop(span.start_with_context(tracer, &Context::new())));
}

/// Makes a span the root of a trace.
fn begin(span: &Span, id: Uuid) {
    // Starts it, which asks for its ids. Its own is random: others may have used that of the trace before.
    as_root((TraceId::from(id.as_u128()), None), || drop(span.context()));
}

fn as_root(ids: (TraceId, Option<SpanId>), start: impl FnOnce()) {
    BEGUN.set(Some(ids));
    start();
    BEGUN.set(None);
}

/// The root span of a match, whether it has been made already or not: by the match's id alone, so that every node knows
/// whose parts its spans are.
fn root_of(match_id: MatchId) -> SpanContext {
    let trace = TraceId::from(match_id.as_uuid().as_u128());
    let [.., a, b, c, d, e, f, g, h] = trace.to_bytes();
    let root = SpanId::from_bytes([a, b, c, d, e, f, g, h]);
    SpanContext::new(trace, root, TraceFlags::SAMPLED, true, TraceState::NONE)
}

/// Ids as this module wants them: a trace has that of what it is about, and what begins without us is no trace.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ids;

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        BEGUN.get().map_or(TraceId::INVALID, |(trace, _)| trace)
    }

    fn new_span_id(&self) -> SpanId {
        let known = BEGUN.get().and_then(|(_, root)| root);
        known.unwrap_or_else(|| SpanId::from_bytes(entropy::random_bytes()))
    }
}

/// Keeps whatever has a trace: what is not to be kept is not begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun;

impl ShouldSample for Begun {
    fn should_sample(
        &self,
        _: Option<&Context>,
        trace: TraceId,
        _: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let decision = match trace {
            TraceId::INVALID => SamplingDecision::Drop,
            _ => SamplingDecision::RecordAndSample,
        };
        SamplingResult { decision, attributes: Vec::new(), trace_state: TraceState::NONE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_kept_as_asked_whatever_the_kind_of_id() {
        for new in [Uuid::now_v7, Uuid::new_v4] {
            let kept = |share| (0..20_000).filter(|_| is_within(share, new())).count();
            assert_eq!((kept(0.0), kept(1.0)), (0, 20_000));
            // Six deviations to either side.
            assert!((1_745..=2_255).contains(&kept(0.1)));
        }
    }

    #[test]
    fn without_a_collector_nothing_is_made() {
        let match_id = MatchId::from_uuid(Uuid::now_v7());
        assert!(in_match("match.join", match_id).is_none() && message("hello").is_none());
        assert!(request("GET", "/", &match_id.to_string()).is_none());
        match_over(match_id, "finished");
    }

    #[test]
    fn a_match_has_one_root_everywhere_and_a_request_each_its_own() {
        let match_id = MatchId::from_uuid(Uuid::now_v7());
        let (root, trace) = (root_of(match_id), TraceId::from(match_id.as_uuid().as_u128()));
        as_root((trace, Some(root.span_id())), || {
            assert_eq!((Ids.new_trace_id(), Ids.new_span_id()), (root.trace_id(), root.span_id()));
        });
        as_root((trace, None), || {
            assert_eq!(Ids.new_trace_id(), trace);
            assert_ne!(Ids.new_span_id(), Ids.new_span_id());
        });
        assert_eq!(Ids.new_trace_id(), TraceId::INVALID);
    }
}
