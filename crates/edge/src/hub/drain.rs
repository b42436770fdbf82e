//! Sending everybody elsewhere before this edge ends.

use std::{collections::VecDeque, time::Duration};

use rally_protocol::client::v1::{Reconnect, close};
use rally_service::entropy;
use rally_units::Instant;
use tokio::sync::oneshot;

use super::run::Hub;
use crate::socket::ConnId;

/// Told to clients on top of our own spreading, so that they do not all reach the next edge in one moment either.
const JITTER_MS_MAX: u64 = 500;

/// When each connection is to go.
pub(super) struct Drain {
    due: VecDeque<(Instant, ConnId)>,
    done: Vec<oneshot::Sender<()>>,
}

impl Drain {
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.front().map(|(at, _)| *at)
    }
}

/// A moment of the window's share from `from` to `to`, in percent.
fn moment(start: Instant, within: Duration, from: u32, to: u32) -> Instant {
    let share_ns = |percent: u32| (within / 100 * percent).as_nanos() as u64;
    let (low, high) = (share_ns(from), share_ns(to));
    start + Duration::from_nanos(low + entropy::random_u64() % (high - low).max(1))
}

impl Hub {
    pub(super) fn drain(&mut self, now: Instant, within: Duration, done: oneshot::Sender<()>) {
        if let Some(drain) = &mut self.drain {
            // A second call waits for the first.
            return drain.done.push(done);
        }
        let mut due = Vec::with_capacity(self.people.len());
        // Of two players of a match the first goes in the first part, the second in the last: between them lies a
        // fifth of the window, in which the first one comes back elsewhere.
        let mut second = std::collections::HashSet::new();
        let mut first = std::collections::HashSet::new();
        for local in self.matches.values() {
            for conn in local.players() {
                // Whoever plays in several matches (local ones) stays where first seen.
                if first.contains(&conn) || second.contains(&conn) {
                    continue;
                }
                let opponent_goes_first = local.players().any(|other| first.contains(&other));
                if opponent_goes_first {
                    second.insert(conn)
                } else {
                    first.insert(conn)
                };
            }
        }
        for (conn, _) in self.people.iter() {
            let at = if first.contains(&conn) {
                moment(now, within, 0, 40)
            } else if second.contains(&conn) {
                moment(now, within, 60, 100)
            } else {
                moment(now, within, 0, 100)
            };
            due.push((at, conn));
        }
        due.sort_unstable();
        tracing::info!(connections = due.len(), ?within, "draining");
        self.drain = Some(Drain { due: due.into(), done: vec![done] });
        self.set_load();
    }

    /// Lets those go whose moment has come.
    pub(super) fn look_at_drain(&mut self, now: Instant) {
        let Some(drain) = &mut self.drain else { return };
        while drain.due.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, conn)) = drain.due.pop_front() else { break };
            let Some(connected) = self.people.get(conn) else { continue };
            let after_ms = (entropy::random_u64() % JITTER_MS_MAX) as u32;
            connected.peer.send(&Reconnect { after_ms, reason: "drain".into() }.into());
            connected.peer.close(close::RESTART, "this edge restarts", "drain");
        }
        if self.people.is_empty() {
            for done in drain.done.drain(..) {
                // Whoever asked may have given up waiting.
                let _ = done.send(());
            }
        }
    }
}
