//! A question to a match's owner that awaits its answer.

use rally_units::{Instant, NodeId};

use crate::limits::ASK_AGAIN;

/// Who was asked what, and when.
///
/// Between two lives a question arrives, and so does its answer. But a worker that has handed the match over passes the
/// question on, and if the worker to which it went is lost, nobody answers: so it is put again after a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The number of the question.
    pub request: u64,
    /// Who was asked.
    pub node: NodeId,
    at: Instant,
}

impl Asked {
    /// A question that has just been put.
    pub fn new(request: u64, node: NodeId, now: Instant) -> Self {
        Self { request, node, at: now }
    }

    /// Whether this node need not be asked again yet.
    pub fn awaits(&self, node: NodeId, now: Instant) -> bool {
        self.node == node && now.since(self.at) < ASK_AGAIN
    }
}
