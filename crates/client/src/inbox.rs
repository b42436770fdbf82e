//! The events that wait for the client's reader: bounded, and snapshots give way.
//!
//! A queue of its own instead of a channel, because a reader that falls behind wants the newest snapshot, and a
//! channel could only drop the newest or make everything wait.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rally_protocol::client::v1::ServerMessage;
use tokio::sync::Notify;

use crate::Event;

/// While fewer events than this wait, the reader is close behind and gets every snapshot.
const CONFLATE_ABOVE: usize = 32;

/// The queue between a driver (one writer) and its client (one reader).
#[derive(Debug)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    filled: Notify,
    emptied: Notify,
    events_max: usize,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    written_off: bool,
    read_off: bool,
    snapshots_replaced: u64,
}

/// The reader is gone.
#[derive(Debug)]
pub(crate) struct Gone;

impl Inbox {
    pub(crate) fn new(events_max: usize) -> Self {
        Self {
            state: Mutex::default(),
            filled: Notify::new(),
            emptied: Notify::new(),
            events_max: events_max.max(CONFLATE_ABOVE * 2),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the queue as whole as it was: nothing in here stops half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends an event; waits while the queue is full.
    pub(crate) async fn put(&self, event: Event) -> Result<(), Gone> {
        loop {
            let room = self.emptied.notified();
            {
                let mut state = self.lock();
                if state.read_off {
                    return Err(Gone);
                }
                if state.events.len() > CONFLATE_ABOVE && state.drop_older_snapshot(&event) {
                    state.snapshots_replaced += 1;
                }
                if state.events.len() < self.events_max {
                    state.events.push_back(event);
                    self.filled.notify_one();
                    return Ok(());
                }
            }
            room.await;
        }
    }

    /// The next event; `None` once the writer has finished and all is read.
    pub(crate) async fn take(&self) -> Option<Event> {
        loop {
            let more = self.filled.notified();
            {
                let mut state = self.lock();
                if let Some(event) = state.events.pop_front() {
                    self.emptied.notify_one();
                    return Some(event);
                }
                if state.written_off {
                    return None;
                }
            }
            more.await;
        }
    }

    /// The writer puts nothing more.
    pub(crate) fn finish(&self) {
        self.lock().written_off = true;
        self.filled.notify_one();
    }

    /// The reader takes nothing more.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.read_off = true;
        state.events.clear();
        self.emptied.notify_one();
    }

    /// Snapshots that gave way to newer ones so far.
    pub(crate) fn snapshots_replaced(&self) -> u64 {
        self.lock().snapshots_replaced
    }
}

impl State {
    /// Removes a waiting snapshot of the same match, if `event` is a snapshot.
    fn drop_older_snapshot(&mut self, event: &Event) -> bool {
        let Event::Message(ServerMessage::Snapshot(newer)) = event else { return false };
        let older = self.events.iter().position(
            |waiting| matches!(waiting, Event::Message(ServerMessage::Snapshot(it)) if it.match_id == newer.match_id),
        );
        older.is_some_and(|at| self.events.remove(at).is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use rally_protocol::client::v1::{Dir, Phase, Snapshot};
    use rally_units::{Epoch, MatchId, SubStep, Tick};

    use super::*;

    fn snapshot(tick: u32) -> Event {
        Event::Message(ServerMessage::Snapshot(Snapshot {
            match_id: MatchId::from_bytes([7; 16]),
            tick: Tick(tick),
            clock: SubStep(0),
            epoch: Epoch::FIRST,
            phase: Phase::Playing,
            ack: [0; 2],
            paddles: [(0, Dir::Stay); 2],
            balls: Default::default(),
            score: [0; 2],
            skills: [(0, 0); 2],
            power_ups: Default::default(),
            effects: Default::default(),
        }))
    }

    fn other(n: u64) -> Event {
        Event::RoundTrip(Duration::from_micros(n))
    }

    #[tokio::test]
    async fn a_slow_reader_gets_the_newest_snapshot_and_every_event() {
        let inbox = Inbox::new(100);
        for n in 0..50 {
            inbox.put(other(n)).await.expect("a reader");
        }
        for tick in 0..1_000 {
            inbox.put(snapshot(tick)).await.expect("a reader");
        }
        for n in 0..50 {
            assert_eq!(inbox.take().await, Some(other(n)));
        }
        assert_eq!(inbox.take().await, Some(snapshot(999)));
        assert_eq!(inbox.snapshots_replaced(), 999);
    }

    #[tokio::test]
    async fn a_reader_close_behind_gets_every_snapshot() {
        let inbox = Inbox::new(100);
        for tick in 0..CONFLATE_ABOVE as u32 {
            inbox.put(snapshot(tick)).await.expect("a reader");
        }
        for tick in 0..CONFLATE_ABOVE as u32 {
            assert_eq!(inbox.take().await, Some(snapshot(tick)));
        }
    }

    #[tokio::test]
    async fn a_full_queue_holds_the_writer_until_there_is_room() {
        let inbox = Arc::new(Inbox::new(64));
        for n in 0..64 {
            inbox.put(other(n)).await.expect("a reader");
        }
        let writer = tokio::spawn({
            let inbox = Arc::clone(&inbox);
            async move { inbox.put(other(64)).await.is_ok() }
        });
        tokio::task::yield_now().await;
        assert!(!writer.is_finished());
        assert_eq!(inbox.take().await, Some(other(0)));
        assert!(writer.await.expect("no panic"));
    }

    #[tokio::test]
    async fn both_ends_learn_that_the_other_has_gone() {
        let inbox = Inbox::new(64);
        inbox.put(other(1)).await.expect("a reader");
        inbox.finish();
        assert_eq!(inbox.take().await, Some(other(1)));
        assert_eq!(inbox.take().await, None);
        inbox.abandon();
        assert!(inbox.put(other(2)).await.is_err());
    }
}
