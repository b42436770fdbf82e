//! One connection as its own task and the hub share it: what it may do, and what is written to it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use bytes::Bytes;
use rally_link::{Close, Connection, Output, Outputs, Request};
use rally_protocol::client::{
    codec::Encoding,
    v1::{Pong, ServerMessage, Token, close},
};
use rally_service::clock;
use rally_units::{Instant, MatchId};
use tokio::net::tcp::OwnedWriteHalf;

use super::outgoing::{Outgoing, Snapshot};
use crate::{
    frame,
    metrics::{self, Metrics},
};

/// A connection, for as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnId(pub(crate) u64);

/// How long after its close a socket may take to end.
pub(crate) const CLOSE_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

/// What an output leaves to the connection's own task.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Verify a token.
    Verify(Token),
    /// Perform a request.
    Do(Request),
}

/// One connection.
pub(crate) struct Peer {
    pub(crate) id: ConnId,
    pub(crate) encoding: Encoding,
    metrics: Metrics,
    state: Mutex<State>,
}

/// What is behind the lock. It is held for the length of a write at most.
struct State {
    connection: Connection,
    out: Outgoing,
    /// The socket's own task, to be woken when it has something to finish.
    task: Option<Waker>,
    /// The task is to end without more ado.
    aborted: bool,
    /// The task has ended.
    gone: bool,
}

impl Peer {
    pub(crate) fn new(id: ConnId, encoding: Encoding, half: OwnedWriteHalf, metrics: Metrics, now: Instant) -> Self {
        Self {
            id,
            encoding,
            metrics,
            state: Mutex::new(State {
                connection: Connection::new(encoding, now),
                out: Outgoing::new(half),
                task: None,
                aborted: false,
                gone: false,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing below panics half-way through a change; and if it did, closing the connection is all that is left.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drives the connection's state machine and performs what comes out, but for what is the task's own.
    pub(crate) fn drive(&self, now: Instant, step: impl FnOnce(&mut Connection) -> Outputs) -> Effects {
        let mut state = self.lock();
        let mut effects = Effects::new();
        for output in step(&mut state.connection) {
            effects.extend(self.perform(&mut state, now, output));
        }
        self.settle(&mut state);
        effects
    }

    /// Sends a message.
    pub(crate) fn send(&self, message: &ServerMessage) {
        let Some(frame) = frame::message(self.encoding, message) else { return };
        let mut state = self.lock();
        self.metrics.messages_sent.increment(1);
        self.push(&mut state, clock::now(), frame);
        self.settle(&mut state);
    }

    /// Changes the connection's state, then sends a message that tells of it, with nothing between the two.
    pub(crate) fn send_with(&self, change: impl FnOnce(&mut Connection), message: &ServerMessage) {
        let frame = frame::message(self.encoding, message);
        let mut state = self.lock();
        change(&mut state.connection);
        if let Some(frame) = frame {
            self.metrics.messages_sent.increment(1);
            self.push(&mut state, clock::now(), frame);
        }
        self.settle(&mut state);
    }

    /// Adds a frame that the next [`Peer::flush`] or snapshot writes.
    pub(crate) fn queue(&self, now: Instant, frame: Bytes) {
        self.metrics.messages_sent.increment(1);
        self.push(&mut self.lock(), now, frame);
    }

    /// Writes what [`Peer::queue`] added.
    pub(crate) fn flush(&self) {
        self.settle(&mut self.lock());
    }

    /// Writes a snapshot, together with what [`Peer::queue`] added before. If the connection is in more matches than
    /// this one, others' snapshots may follow: then it only joins what [`Peer::flush`] writes.
    pub(crate) fn snapshot(&self, match_id: MatchId, frame: &[u8], shared: impl FnOnce() -> Bytes) -> Snapshot {
        let mut state = self.lock();
        if state.connection.matches() > 1 {
            return state.out.push_snapshot(match_id, shared());
        }
        let sent = state.out.snapshot(match_id, frame, shared);
        if sent != Snapshot::Sent {
            self.settle(&mut state);
        }
        sent
    }

    /// The match in which this connection has a paddle.
    pub(crate) fn playing(&self) -> Option<MatchId> {
        self.lock().connection.playing()
    }

    /// Whether its task has ended.
    pub(crate) fn is_gone(&self) -> bool {
        self.lock().gone
    }

    /// The socket is at its end: nothing more can be written or need be.
    pub(super) fn end(&self) {
        self.lock().out.end();
    }

    /// The task has ended.
    pub(super) fn gone(&self) {
        let mut state = self.lock();
        state.out.end();
        state.task = None;
        state.gone = true;
    }

    /// Bytes of the WebSocket library (a pong); its own closes are not needed, see [`Peer::answer_close`].
    pub(super) fn control(&self, bytes: &[u8]) {
        let mut state = self.lock();
        self.metrics.control_sent.increment(1);
        self.push(&mut state, clock::now(), Bytes::copy_from_slice(bytes));
    }

    /// The client closes: the answer is the last that is written.
    pub(super) fn answer_close(&self, code: u16) {
        let now = clock::now();
        let mut state = self.lock();
        // What the machine puts out for its own close is not sent: the client has said its word.
        let _ = state.connection.close(code, "", "client");
        state.out.close(now, frame::close(code, ""), false);
        self.settle(&mut state);
    }

    /// Closes the connection for the edge's own reason.
    pub(crate) fn close(&self, code: u16, reason: &'static str, label: &'static str) {
        self.drive(clock::now(), |connection| connection.close(code, reason, label));
    }

    /// Looks at the clock for this connection; false once its task has ended.
    #[must_use]
    pub(crate) fn tick(&self, now: Instant) -> bool {
        let mut state = self.lock();
        if state.gone {
            return false;
        }
        if state.out.closing_since().is_some_and(|since| now.since(since) >= CLOSE_WITHIN) {
            state.aborted = true;
            self.wake(&state);
            return true;
        }
        if state.connection.deadline().is_some_and(|deadline| now >= deadline) {
            for output in state.connection.timeout(now) {
                self.perform(&mut state, now, output);
            }
            self.settle(&mut state);
        }
        true
    }

    /// For the task's polls: registers it, and hands over the writing side.
    pub(super) fn attend<T>(&self, waker: &Waker, look: impl FnOnce(&mut Outgoing, bool) -> T) -> T {
        let mut state = self.lock();
        if !state.task.as_ref().is_some_and(|task| task.will_wake(waker)) {
            state.task = Some(waker.clone());
        }
        let aborted = state.aborted;
        look(&mut state.out, aborted)
    }

    fn perform(&self, state: &mut State, now: Instant, output: Output) -> Option<Effect> {
        match output {
            Output::Send(message) => self.encode(state, now, &message),
            Output::Pong { t } => self.encode(state, now, &Pong { t, server_time_ms: clock::wall_ms() }.into()),
            Output::Ping => {
                self.metrics.control_sent.increment(1);
                self.push(state, now, Bytes::from_static(frame::PING));
            }
            Output::Refuse(error, label) => {
                metrics::refused(label);
                self.encode(state, now, &(*error).into());
            }
            Output::Count(label) => metrics::refused(label),
            Output::Verify(token) => return Some(Effect::Verify(token)),
            Output::Do(request) => return Some(Effect::Do(request)),
            Output::Close(Close { code, reason, label }) => {
                metrics::closed(label);
                state.out.close(now, frame::close(code, reason), false);
                self.metrics.control_sent.increment(1);
            }
        }
        None
    }

    fn encode(&self, state: &mut State, now: Instant, message: &ServerMessage) {
        if let Some(frame) = frame::message(self.encoding, message) {
            self.metrics.messages_sent.increment(1);
            self.push(state, now, frame);
        }
    }

    fn push(&self, state: &mut State, now: Instant, frame: Bytes) {
        if state.out.push(frame).is_err() {
            self.metrics.slow_closes.increment(1);
            metrics::closed("slow_reader");
            let _ = state.connection.close(close::POLICY, "", "slow_reader");
            state.out.close(now, frame::close(close::POLICY, "too slow a reader"), true);
        }
    }

    /// Writes what can be written now; the rest, and a close, are for the task.
    fn settle(&self, state: &mut State) {
        state.out.flush();
        if state.out.has_backlog() || state.out.closing_since().is_some() || state.out.is_ended() {
            self.wake(state);
        }
    }

    fn wake(&self, state: &State) {
        if let Some(task) = &state.task {
            task.wake_by_ref();
        }
    }
}

/// What is left to the task: rarely more than one.
pub(crate) type Effects = smallvec::SmallVec<[Effect; 1]>;

/// A connection that the hub and its task hold.
pub(crate) type SharedPeer = Arc<Peer>;
