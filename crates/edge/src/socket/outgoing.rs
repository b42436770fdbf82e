//! The writing side of one socket, shared by its own task and the hub.
//!
//! In the good case the hub writes straight into the socket: one system call per frame and reader, no task woken,
//! nothing allocated. What the socket does not take waits in a bounded [`Backlog`], and the socket's own task, which
//! alone waits for the socket to become writable, finishes it.

use std::{
    io::{self, ErrorKind, IoSlice},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use rally_link::{Backlog, Overflow};
use rally_units::{Instant, MatchId};
use tokio::net::tcp::OwnedWriteHalf;

/// Frames written by one system call.
const FRAMES_PER_WRITE: usize = 16;

/// What became of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Snapshot {
    /// In the socket.
    Sent,
    /// It waits.
    Waits,
    /// It waits, in the place of an older one.
    Conflated,
    /// The socket is closing or gone.
    Dropped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// A close frame is the last that is written. Since when.
    Closing(Instant),
}

/// The writing side of one socket.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// `None` once all is written after a close, or the socket broke.
    half: Option<OwnedWriteHalf>,
    backlog: Backlog,
    state: State,
}

impl Outgoing {
    pub(crate) fn new(half: OwnedWriteHalf) -> Self {
        Self { half: Some(half), backlog: Backlog::default(), state: State::Open }
    }

    /// Since when a close is under way.
    pub(crate) fn closing_since(&self) -> Option<Instant> {
        match self.state {
            State::Open => None,
            State::Closing(since) => Some(since),
        }
    }

    /// Whether frames wait for the socket's own task.
    pub(crate) fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Adds a frame that must arrive; written by the next [`Outgoing::flush`].
    pub(crate) fn push(&mut self, frame: Bytes) -> Result<(), Overflow> {
        match (&self.half, self.state) {
            (Some(_), State::Open) => self.backlog.push_message(frame),
            _ => Ok(()),
        }
    }

    /// Adds a snapshot's frame behind what waits already; written by the next [`Outgoing::flush`].
    pub(crate) fn push_snapshot(&mut self, match_id: MatchId, frame: Bytes) -> Snapshot {
        match (&self.half, self.state) {
            (Some(_), State::Open) if self.backlog.push_snapshot(match_id, frame) => Snapshot::Conflated,
            (Some(_), State::Open) => Snapshot::Waits,
            _ => Snapshot::Dropped,
        }
    }

    /// Writes a snapshot's frame, or keeps it if the socket does not take it. `shared` makes the frame that is kept:
    /// it is called only for slow readers.
    pub(crate) fn snapshot(&mut self, match_id: MatchId, frame: &[u8], shared: impl FnOnce() -> Bytes) -> Snapshot {
        let Some(half) = &self.half else { return Snapshot::Dropped };
        if self.state != State::Open {
            return Snapshot::Dropped;
        }
        if !self.backlog.is_empty() {
            return self.push_snapshot(match_id, shared());
        }
        match half.try_write(frame) {
            Ok(taken_bytes) if taken_bytes == frame.len() => Snapshot::Sent,
            Ok(taken_bytes) => {
                self.backlog.keep_rest(shared().slice(taken_bytes..));
                Snapshot::Waits
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.push_snapshot(match_id, shared()),
            Err(_) => {
                self.break_off();
                Snapshot::Dropped
            }
        }
    }

    /// Adds a close, after which nothing is taken any more. What waits is dropped if `at_once`: the reader was too
    /// slow for it.
    pub(crate) fn close(&mut self, now: Instant, frame: Bytes, at_once: bool) {
        if self.state != State::Open {
            return;
        }
        if at_once {
            self.backlog.drop_waiting();
        }
        if self.push(frame.clone()).is_err() {
            self.backlog.drop_waiting();
            // There is room now.
            let _ = self.push(frame);
        }
        self.state = State::Closing(now);
    }

    /// Writes what waits, as far as the socket takes it now.
    pub(crate) fn flush(&mut self) {
        let _ = self.write();
    }

    /// Writes what waits, until all is written or the task is registered to be woken.
    pub(crate) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.write() {
                Ok(()) => return Poll::Ready(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let Some(half) = &self.half else { return Poll::Ready(()) };
                    if ready!(half.as_ref().poll_write_ready(cx)).is_err() {
                        self.break_off();
                        return Poll::Ready(());
                    }
                }
                Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// Says that nothing more will be written (FIN), or forgets a broken socket.
    pub(crate) fn end(&mut self) {
        self.break_off();
    }

    /// Whether [`Outgoing::end`] was called or the socket broke.
    pub(crate) fn is_ended(&self) -> bool {
        self.half.is_none()
    }

    fn break_off(&mut self) {
        // Dropping this half shuts the socket's writing side down.
        self.half = None;
        self.backlog = Backlog::default();
    }

    fn write(&mut self) -> io::Result<()> {
        while let Some(half) = &self.half
            && !self.backlog.is_empty()
        {
            let mut slices = [IoSlice::new(&[]); FRAMES_PER_WRITE];
            let filled = self.backlog.slices(&mut slices);
            match half.try_write_vectored(&slices[..filled]) {
                Ok(taken_bytes) => self.backlog.advance(taken_bytes),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(error),
                Err(error) => {
                    self.break_off();
                    return Err(error);
                }
            };
        }
        Ok(())
    }
}
