//! Replays: finished matches that this worker plays again, each for one person.
//!
//! To edges a showing is a match that one may look on at: they find its owner, come in and pass on as ever. It has no
//! seats, no row in Postgres and no checkpoint. It stands still while nobody watches, and ends when its watcher has been
//! gone for a while or has let it stand for long, or with its worker; whoever still wants it has it shown again, from
//! where it was.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use rally_fabric::Pairs;
use rally_protocol::{
    client::{
        codec::{Encoding, Messages},
        v1::{ErrorCode, JoinAs, ServerMessage},
    },
    cluster::v1::{Command, Control},
};
use rally_room::{Outputs, Showing};
use rally_units::{Epoch, Incarnation, Instant, MatchId, NodeId, SessionId, Tick, UserId};

use super::{Asker, Host, Say, Shed, Word, phase_of};
use crate::{
    effect::{Effect, Joining, Refused},
    metrics::{Metrics, entry_refused},
};

/// Replays shown at a time.
const SHOWINGS_MAX: usize = 128;
/// Of these, one person's: beyond it the oldest that nobody watches ends. One at a time is read and played up to where it
/// begins.
const SHOWINGS_OF_ONE_MAX: usize = 4;
/// One person's devices that watch the same showing.
const WATCHERS_MAX: usize = 8;
/// For how long nobody may watch.
const DESERTED_FOR: Duration = Duration::from_secs(30);
/// For how long it may stand still before its watchers' eyes.
const STILL_FOR: Duration = Duration::from_secs(10 * 60);
/// What seeks may play in one phase of a tick, all showings together: below 0.3 ms.
const SEEK_STEPS: u32 = 1_000;
/// Snapshots of what stands still: often enough for an edge that takes a quarter of a second for silence.
const STILL_EVERY: u32 = 6;

#[derive(Default)]
pub(super) struct Showings {
    shown: BTreeMap<MatchId, Hall>,
    loading: BTreeMap<MatchId, Loading>,
}

struct Hall {
    showing: Showing,
    user: UserId,
    watchers: Vec<Watcher>,
    deserted_since: Option<Instant>,
    still_since: Option<Instant>,
}

struct Watcher {
    session: SessionId,
    edge: NodeId,
    incarnation: Incarnation,
}

struct Loading {
    asker: Asker,
    user: UserId,
}

/// What an edge wants shown.
pub(super) struct Wanted {
    pub(super) of: MatchId,
    pub(super) user: UserId,
    pub(super) from: Option<Tick>,
}

impl Showings {
    pub(super) fn has(&self, match_id: MatchId) -> bool {
        self.shown.contains_key(&match_id)
    }

    pub(super) fn len(&self) -> usize {
        self.shown.len() + self.loading.len()
    }

    /// To be told to the cluster's cache.
    pub(super) fn owned(&self) -> impl Iterator<Item = (MatchId, Epoch)> {
        self.shown.values().map(|hall| (hall.showing.id(), hall.showing.epoch()))
    }

    pub(super) fn edges(&self) -> impl Iterator<Item = NodeId> {
        self.shown.values().flat_map(|hall| &hall.watchers).map(|watcher| watcher.edge)
    }

    /// Those behind this edge are gone; `but` are those of its present life, if it has begun another.
    /// Returns from how many showings.
    pub(super) fn detach(&mut self, edge: NodeId, but: Option<Incarnation>) -> usize {
        let watchers = |halls: &BTreeMap<_, Hall>| halls.values().map(|hall| hall.watchers.len()).sum::<usize>();
        let before = watchers(&self.shown);
        for hall in self.shown.values_mut() {
            hall.watchers.retain(|watcher| watcher.edge != edge || Some(watcher.incarnation) == but);
        }
        before - watchers(&self.shown)
    }

    pub(super) fn tick(
        &mut self,
        phase: usize,
        shed: Shed,
        (outputs, snapshot): (&mut Outputs, &mut Vec<u8>),
        (words, pairs): (&mut Vec<Word>, &mut Pairs),
        metrics: &Metrics,
    ) {
        let mut steps = SEEK_STEPS;
        let watched = self.shown.iter_mut().filter(|(id, hall)| phase_of(**id) == phase && !hall.watchers.is_empty());
        for (match_id, hall) in watched {
            let Hall { showing, watchers, .. } = hall;
            let was_still = showing.is_still();
            showing.tick(&mut steps, outputs);
            let state =
                showing.take_state().and_then(|state| ServerMessage::from(state).encode(Encoding::Msgpack).ok());
            let (epoch, tick) = (showing.epoch(), showing.tick_count());
            let messages: Vec<Bytes> =
                outputs.events.drain(..).map(|event| event.message).chain(state.map(Bytes::from)).collect();
            let is_due = !(was_still && showing.is_still()) || tick.0.is_multiple_of(STILL_EVERY);
            if is_due {
                snapshot.clear();
                snapshot.extend_from_slice(&showing.snapshot_head().to_bytes());
                showing.snapshot_into(snapshot);
            }
            for edge in edges_of(watchers) {
                words.extend(messages.iter().map(|message| Word {
                    to: edge,
                    match_id: *match_id,
                    epoch,
                    say: Say::Message(message.clone()),
                }));
                if is_due && shed.shows(tick, || false) {
                    pairs.snapshot(edge, *match_id, epoch, |out| out.extend_from_slice(snapshot));
                } else if is_due {
                    metrics.snapshots_shed.increment(1);
                }
            }
        }
    }
}

/// Each once. A person's devices are few.
fn edges_of(watchers: &[Watcher]) -> impl Iterator<Item = NodeId> + '_ {
    let is_first = |at: usize, edge: NodeId| watchers[..at].iter().all(|before| before.edge != edge);
    watchers
        .iter()
        .enumerate()
        .filter(move |(at, watcher)| is_first(*at, watcher.edge))
        .map(|(_, watcher)| watcher.edge)
}

impl Host {
    /// An edge wants a match shown again.
    pub(super) fn show(&mut self, match_id: MatchId, asker: Asker, wanted: Wanted) {
        let is_overloaded = self.draining || self.balance.shed >= Shed::Matches;
        if is_overloaded || self.showings.len() >= SHOWINGS_MAX {
            self.metrics.replays_refused.increment(1);
            let refused = Refused::new(ErrorCode::AtCapacity, "this worker shows no more replays; try again");
            return self.created(match_id, asker, Err(refused));
        }
        let Wanted { of, user, from } = wanted;
        if let Err(refused) = self.make_room_for(user) {
            self.metrics.replays_refused.increment(1);
            return self.created(match_id, asker, Err(refused));
        }
        self.showings.loading.insert(match_id, Loading { asker, user });
        self.effects.push(Effect::FindReplay { showing: match_id, of, from });
    }

    /// Postgres has it, or has not.
    pub(super) fn replay_found(&mut self, match_id: MatchId, found: Result<Box<Showing>, Refused>) {
        let Some(Loading { asker, user }) = self.showings.loading.remove(&match_id) else { return };
        let found = match self.draining {
            true => Err(Refused::new(ErrorCode::AtCapacity, "this worker is going; try again")),
            false => found,
        };
        let result = found.map(|showing| {
            let (showing, watchers) = (*showing, Vec::new());
            let hall = Hall { showing, user, watchers, deserted_since: None, still_since: None };
            self.showings.shown.insert(match_id, hall);
        });
        if result.is_err() {
            self.effects.push(Effect::Disown(match_id, Epoch::FIRST));
        }
        self.created(match_id, asker, result);
    }

    fn make_room_for(&mut self, user: UserId) -> Result<(), Refused> {
        if self.showings.loading.values().any(|loading| loading.user == user) {
            return Err(Refused::new(ErrorCode::RateLimited, "another replay is being fetched for you; try again"));
        }
        let theirs = || self.showings.shown.iter().filter(|(_, hall)| hall.user == user);
        if theirs().count() < SHOWINGS_OF_ONE_MAX {
            return Ok(());
        }
        // Ids rise with time.
        let oldest = theirs().find(|(_, hall)| hall.watchers.is_empty()).map(|(match_id, _)| *match_id);
        let oldest = oldest.ok_or_else(|| {
            Refused::new(ErrorCode::AtCapacity, "you watch as many replays as one may at a time: close one")
        })?;
        self.end_showing(oldest);
        Ok(())
    }

    fn end_showing(&mut self, match_id: MatchId) {
        let Some(Hall { showing, watchers, .. }) = self.showings.shown.remove(&match_id) else { return };
        for edge in edges_of(&watchers) {
            self.tell(edge, match_id, showing.epoch(), Control::Gone);
        }
        self.effects.push(Effect::Disown(match_id, showing.epoch()));
    }

    /// This worker is going.
    pub(super) fn end_showings(&mut self) {
        while let Some((match_id, _)) = self.showings.shown.first_key_value() {
            self.end_showing(*match_id);
        }
    }

    pub(super) fn housekeep_showings(&mut self, now: Instant) {
        let mut ended = Vec::new();
        let lasts = |since: &mut Option<Instant>, holds: bool| {
            *since = since.or(Some(now)).filter(|_| holds);
            since.map_or(Duration::ZERO, |since| now.since(since))
        };
        for (match_id, hall) in &mut self.showings.shown {
            let deserted = lasts(&mut hall.deserted_since, hall.watchers.is_empty());
            let still = lasts(&mut hall.still_since, hall.showing.is_still());
            if deserted >= DESERTED_FOR || still >= STILL_FOR {
                ended.push(*match_id);
            }
        }
        ended.into_iter().for_each(|match_id| self.end_showing(match_id));
        self.metrics.replays.set(self.showings.len() as f64);
    }

    /// What edges say about a showing.
    pub(super) fn showing_control(
        &mut self,
        (from, incarnation): (NodeId, Incarnation),
        match_id: MatchId,
        control: Control,
    ) {
        match control {
            Control::Show { request, .. } => self.tell(from, match_id, Epoch::FIRST, Control::Created { request }),
            Control::Join { request, session, user, name, join_as, skill } => {
                let join = Joining { edge: from, incarnation, request, session, user, name, join_as, skill };
                self.watch(match_id, &join);
            }
            Control::Leave { session } => {
                if let Some(hall) = self.showings.shown.get_mut(&match_id) {
                    hall.watchers.retain(|watcher| watcher.session != session || watcher.edge != from);
                }
            }
            Control::Command { session, command } => self.direct(from, match_id, session, command),
            // Its watchers are few: each comes in again.
            Control::Attach { request, .. } => {
                self.refuse(from, match_id, request, Refused::new(ErrorCode::InvalidInput, "join again"));
            }
            _ => entry_refused("direction"),
        }
    }

    fn watch(&mut self, match_id: MatchId, join: &Joining) {
        let Some(hall) = self.showings.shown.get_mut(&match_id) else { return };
        hall.watchers.retain(|watcher| watcher.session != join.session);
        let refused = if hall.user != join.user {
            Some(Refused::new(ErrorCode::Forbidden, "this replay is shown to somebody else; have it shown to yourself"))
        } else if join.join_as != JoinAs::Spectator {
            Some(Refused::new(ErrorCode::Forbidden, "nobody plays in a replay"))
        } else if hall.watchers.len() >= WATCHERS_MAX {
            Some(Refused::new(ErrorCode::AtCapacity, "too many watch this replay"))
        } else {
            None
        };
        if let Some(refused) = refused {
            return self.refuse(join.edge, match_id, join.request, refused);
        }
        let Joining { session, edge, incarnation, request, .. } = *join;
        hall.watchers.push(Watcher { session, edge, incarnation });
        let (epoch, picture) = (hall.showing.epoch(), Box::new(hall.showing.watched()));
        self.tell(edge, match_id, epoch, Control::Joined { request, generation: 0, picture });
    }

    /// From where it goes on, and how fast.
    fn direct(&mut self, from: NodeId, match_id: MatchId, session: SessionId, command: Command) {
        let Some(Hall { showing, watchers, .. }) = self.showings.shown.get_mut(&match_id) else { return };
        let is_here = watchers.iter().any(|watcher| watcher.session == session);
        let refused = match command {
            _ if !is_here => Some((ErrorCode::Forbidden, "you do not watch this replay")),
            Command::Replay { tick, speed_percent } => {
                let refused = speed_percent.and_then(|speed_percent| showing.set_speed(speed_percent).err());
                if let Some(tick) = tick
                    && refused.is_none()
                {
                    showing.seek(tick);
                }
                refused.map(|refusal| (refusal.code, refusal.detail))
            }
            _ => Some((ErrorCode::Forbidden, "spectators only watch")),
        };
        if let Some((code, detail)) = refused {
            let (epoch, detail) = (showing.epoch(), detail.to_owned());
            self.tell(from, match_id, epoch, Control::CommandRefused { session, command, code, detail });
        }
    }
}
