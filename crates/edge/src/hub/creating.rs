//! Matches and replays that the API wants played: the question to a worker, and who waits for its answer.

use std::time::Duration;

use rally_protocol::{client::v1::ErrorCode, cluster::v1::Control};
use rally_service::traces;
use rally_units::{Epoch, Instant, NodeId};
use tokio::sync::oneshot;
use tracing::Span;

use super::{Playable, Refusal, Replay, run::Hub};

/// How long the API waits for a match to be hosted.
const CREATE_WITHIN: Duration = Duration::from_secs(5);

/// A match whose worker has not answered yet.
pub(super) struct Creating {
    worker: NodeId,
    reply: oneshot::Sender<Result<(), Refusal>>,
    deadline: Instant,
    /// Of the match's trace, until the worker has answered.
    _span: Span,
}

impl Hub {
    pub(super) fn create(
        &mut self,
        now: Instant,
        worker: NodeId,
        what: Playable,
        reply: oneshot::Sender<Result<(), Refusal>>,
    ) {
        self.last_request += 1;
        let request = self.last_request;
        if let Some(node) = self.fabric.nodes().get(worker) {
            self.pairs.meet(worker, node.incarnation);
        }
        let (match_id, control, span) = match what {
            Playable::Match(spec) => {
                let span = traces::in_match("match.ask", spec.id);
                (spec.id, Control::Create { request, spec }, span)
            }
            Playable::Replay(Replay { showing, of, user, from }) => {
                (showing, Control::Show { request, of, user, from }, Span::none())
            }
        };
        match self.pairs.control(worker, match_id, Epoch(0), &control) {
            Ok(()) => {
                self.creating.insert(request, Creating { worker, reply, deadline: now + CREATE_WITHIN, _span: span });
            }
            Err(error) => {
                tracing::warn!(%error, %worker, "cannot ask for a match");
                // Whoever asked may have given up waiting, here and below.
                let _ = reply.send(Err(Refusal::new(ErrorCode::Unavailable, "the worker cannot be reached")));
            }
        }
    }

    pub(super) fn created(&mut self, from: NodeId, request: u64, answer: Result<(), Refusal>) {
        if self.creating.get(&request).is_some_and(|creating| creating.worker == from)
            && let Some(creating) = self.creating.remove(&request)
        {
            let _ = creating.reply.send(answer);
        }
    }

    /// Who has asked in vain.
    pub(super) fn look_at_creations(&mut self, now: Instant) {
        let late: Vec<u64> =
            self.creating.iter().filter(|(_, c)| now >= c.deadline).map(|(request, _)| *request).collect();
        for creating in late.into_iter().filter_map(|request| self.creating.remove(&request)) {
            self.metrics.requests_timed_out.increment(1);
            let _ = creating.reply.send(Err(Refusal::new(ErrorCode::Unavailable, "the worker does not answer")));
        }
    }
}
