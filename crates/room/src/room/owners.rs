//! What passes between a match's owners, and between an owner and those who keep copies of the match.

use rally_protocol::{client::v1::Place, cluster::v1::SnapshotHead};
use rally_units::{Epoch, SessionId, UserId};

use super::{Room, SIDES};
use crate::{
    OutEvent, convert,
    limits::{EVENTS_SKIPPED, TOLD_EVENTS_MAX},
    seats::sides,
};

impl Room {
    /// From now on a goal is told, and its score shown, only once a copy of the match has it ([`Room::copied`]): an
    /// owner that dies takes no goal with it that anybody has seen. What happens after a goal is held back with it.
    pub fn hold_goals(&mut self) {
        self.holds_goals = true;
    }

    /// Whether a goal waits for a copy.
    pub fn holds_a_goal(&self) -> bool {
        self.holds_goals && self.pending.iter().any(|event| event.score.is_some())
    }

    /// A copy has been made, of the state with this head. Goals up to it can be told, and inputs up to it need not be
    /// kept by anybody else.
    pub fn copied(&mut self, head: &SnapshotHead) {
        self.confirmed = self.confirmed.max(head.tick);
        for side in SIDES {
            let i = side.index();
            if head.generation[i] == self.seats.get(side).inbox.generation() {
                self.durable[i] = self.durable[i].max(head.applied[i]);
            }
        }
    }

    /// Tells a goal although no copy has it: none can be made.
    pub fn release_goals(&mut self) {
        self.confirmed = self.referee.tick_count();
    }

    /// This match has been restored from a copy that its former owner had made some moments before it was lost: it is
    /// not known what that owner has told since. Numbers of events jump beyond that, and play goes on with a countdown
    /// of 1 s.
    pub fn recovered(&mut self) {
        // What the copy had not told yet may have been told since. Those who ask hear it once ([`Room::told_since`]).
        let mut told = Vec::new();
        self.confirmed = self.referee.tick_count();
        self.hand_out(&mut told);
        self.last_event = self.last_event.saturating_add(EVENTS_SKIPPED);
        self.moved();
        self.interrupted();
    }

    /// Goes on under another epoch, of the same owner.
    pub fn go_on_at(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    /// Tells that the match goes on at another worker.
    pub fn moved(&mut self) {
        let event = convert::moved(self.id, self.referee.tick_count(), self.last_event + 1);
        self.send(&event);
    }

    /// The events told after number `n`, in order; `None` if not all of them are remembered.
    pub fn told_since(&self, n: u32) -> Option<impl Iterator<Item = &OutEvent>> {
        let first = self.told.front().map_or(self.last_told() + 1, |event| event.n);
        (n + 1 >= first).then(|| self.told.iter().filter(move |event| event.n > n))
    }

    /// The number of the last event told.
    pub fn last_told(&self) -> u32 {
        match (self.told.back(), self.pending.first()) {
            (Some(last), _) => last.n,
            (None, Some(next)) => next.n - 1,
            (None, None) => self.last_event,
        }
    }

    /// Whether this session has this place, of this user, by this attachment: then it need not come in again after its
    /// edge or the match has changed over.
    pub fn has_place(&self, session: SessionId, user: UserId, place: Place, generation: u16) -> bool {
        !sides(place).is_empty()
            && self.seats.place_of_session(session) == Some(place)
            && self.seats.place_of_user(user) == Some(place)
            && sides(place).iter().all(|side| self.seats.get(*side).inbox.generation() == generation)
    }

    /// Whether this session has a seat, which is this user's.
    pub fn plays(&self, session: SessionId, user: UserId) -> bool {
        self.seats.place_of_session(session).is_some_and(|place| self.seats.place_of_user(user) == Some(place))
    }

    /// Hands out what may be told.
    pub(super) fn hand_out(&mut self, out: &mut Vec<OutEvent>) {
        let is_held = |event: &OutEvent| event.score.is_some() && event.tick > self.confirmed;
        let may_go = match self.holds_goals {
            true => self.pending.iter().position(is_held).unwrap_or(self.pending.len()),
            false => self.pending.len(),
        };
        for event in self.pending.drain(..may_go) {
            if let Some(score) = event.score {
                self.shown_score = score;
            }
            if self.told.len() == TOLD_EVENTS_MAX {
                self.told.pop_front();
            }
            self.told.push_back(event.clone());
            out.push(event);
        }
    }
}
