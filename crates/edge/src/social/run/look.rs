//! What is looked at from time to time: batches and holes that are due, who plays, whose edge is gone.

use std::collections::HashSet;

use metrics::gauge;
use rally_units::{Instant, UserId};

use super::{
    super::{
        channels::{ANNOUNCE_FOR, BATCH_FOR, CHANNELS},
        wire::ChannelNews,
    },
    PEOPLE_PERIOD, RENEW_PERIOD, Social,
};
use crate::socket::ConnId;

impl Social {
    pub(super) fn look(&mut self, now: Instant) {
        let due: Vec<String> = self
            .channels
            .iter()
            .filter(|(_, channel)| !channel.storing)
            .filter(|(_, channel)| channel.batch_since.is_some_and(|since| now.since(since) >= BATCH_FOR))
            .map(|(key, _)| key.clone())
            .collect();
        due.iter().for_each(|key| self.flush(key));
        let holes: Vec<String> =
            self.channels.iter().filter(|(_, channel)| channel.must_fill(now)).map(|(key, _)| key.clone()).collect();
        holes.iter().for_each(|key| self.fill(key));
        if now < self.people_due {
            return;
        }
        self.people_due = now + PEOPLE_PERIOD;
        self.channels.retain(|_, channel| !channel.is_idle());
        gauge!(CHANNELS).set(self.channels.len() as f64);
        for (key, channel) in &self.channels {
            if channel.said_at.is_some_and(|at| now.since(at) < ANNOUNCE_FOR) {
                self.tell_later(key.clone(), ChannelNews::Last(channel.last()));
            }
        }
        // Whose edge is gone.
        self.people.look(&self.fabric.nodes(), None);
        let mut changed = Vec::new();
        // Those whose end was not heard of.
        let gone: Vec<ConnId> =
            self.people.here.iter().filter(|(_, here)| here.peer.is_gone()).map(|(conn, _)| *conn).collect();
        gone.into_iter().for_each(|conn| self.closed(conn));
        for (conn, here) in &mut self.people.here {
            let playing = here.peer.playing();
            if playing != here.playing {
                here.playing = playing;
                changed.push(*conn);
            }
        }
        if now >= self.renew_due {
            self.renew_due = now + RENEW_PERIOD;
            changed = self.people.here.keys().copied().collect();
        }
        changed.into_iter().for_each(|conn| self.show(conn));
        if !self.seen.is_empty() {
            let (store, seen) = (self.store.clone(), std::mem::take(&mut self.seen));
            self.ask(async move {
                let users: Vec<UserId> = seen.into_iter().collect::<HashSet<_>>().into_iter().collect();
                if let Err(error) = store.note_seen(&users).await {
                    tracing::debug!(%error, "when people were last seen is not noted");
                }
                None
            });
        }
    }
}
