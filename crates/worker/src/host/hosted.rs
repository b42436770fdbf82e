//! One match and the edges that follow it.

use std::time::Duration;

use bytes::Bytes;
use rally_fabric::Ticket;
use rally_protocol::{
    client::{
        Encoding,
        codec::Messages,
        v1::{EndReason, EventKind, GameOver, Mode, ServerMessage},
    },
    cluster::v1::{MatchSpec, Present, SeatSpec},
};
use rally_room::{FinishedMatch, OutEvent, Room, Who};
use rally_units::{Epoch, Incarnation, Instant, NodeId, SessionId, TICK_HZ, UserId};

use super::{
    Say, Word,
    copies::{Copies, Copy, Saved, SavedEdge, Written},
};
use crate::{
    effect::{Effect, Joining},
    metrics::Metrics,
};

/// How long an edge has, beside the silence that any edge may have, to speak up after its match has changed over.
const ATTACH_WITHIN: Duration = Duration::from_secs(1);
/// Edges named in a copy; others find the next owner by themselves.
const EDGES_SAVED_MAX: usize = 64;

/// How long a goal waits for a copy while matches tick: then Redis takes what is said and keeps nothing, as when its
/// memory is full.
const GOAL_HELD_MAX: Duration = Duration::from_millis(600);

/// Ticks played at once after a way on which time has passed. A longer one is seen as a jump.
const OWED_TICKS_MAX: u32 = 3;

/// How far a match is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It ticks.
    Live,
    /// Its state has been sent to another worker: it stands still, and goes on here only by another epoch.
    Handed,
    /// Its end, by a result or without one, is being recorded.
    Closing,
    /// That is recorded. It can still be joined for a while, for its result.
    Over,
}

pub(super) struct Hosted {
    pub(super) room: Room,
    pub(super) epoch: Epoch,
    pub(super) attached: Vec<Attached>,
    pub(super) standing: Standing,
    pub(super) copies: Copies,
    /// Since when a goal has waited for a copy.
    pub(super) goal_since: Option<Instant>,
    /// The copy of how it ended has been made.
    pub(super) is_copied_over: bool,
    /// When it was last ticked, or would have been.
    pub(super) ticked: Instant,
    /// It has stood still on its way here: what it owes is played at once.
    pub(super) owes_ticks: bool,
    mode: Mode,
    /// The seats as they were given out by the queue.
    seats: [SeatSpec; 2],
    /// Whether play has begun.
    started: bool,
    /// Those whose opponent never came: they wait again once their seats are free, which is when the end is recorded.
    waiting_again: Vec<Ticket>,
}

/// An edge that gets a match's snapshots and messages, and its people there. Never without people.
pub(super) struct Attached {
    pub(super) edge: NodeId,
    pub(super) incarnation: Incarnation,
    pub(super) sessions: Vec<(SessionId, UserId)>,
    /// Its silence counts from here at the earliest.
    pub(super) since: Instant,
    /// Named by the owner before: it has not spoken to this one yet.
    pub(super) is_inherited: bool,
}

impl Attached {
    /// Whether somebody here plays.
    pub(super) fn has_player(&self, room: &Room) -> bool {
        self.sessions.iter().any(|(session, user)| room.plays(*session, *user))
    }
}

impl Hosted {
    pub(super) fn new(spec: MatchSpec, mut room: Room) -> Self {
        room.hold_goals();
        Self {
            epoch: room.epoch(),
            room,
            attached: Vec::new(),
            standing: Standing::Live,
            copies: Copies::default(),
            goal_since: None,
            is_copied_over: false,
            ticked: Instant::default(),
            owes_ticks: false,
            mode: spec.mode,
            seats: spec.seats,
            started: false,
            waiting_again: Vec::new(),
        }
    }

    /// A match as its owner before has left it. The edges that it names are given some time to speak up.
    pub(super) fn restored(saved: Saved, mut room: Room, copies: Copies, now: Instant) -> Self {
        let Saved { mode, seats, started, edges, .. } = saved;
        room.hold_goals();
        let attached = edges.into_iter().map(|SavedEdge { edge, incarnation, players }| Attached {
            edge,
            incarnation,
            sessions: players,
            since: now + ATTACH_WITHIN,
            is_inherited: true,
        });
        Self {
            epoch: room.epoch(),
            room,
            attached: attached.collect(),
            standing: Standing::Live,
            copies,
            goal_since: None,
            is_copied_over: false,
            ticked: now,
            owes_ticks: false,
            mode,
            seats,
            started,
            waiting_again: Vec::new(),
        }
    }

    /// Whether play has begun, ever.
    pub(super) fn has_begun(&self) -> bool {
        self.started
    }

    pub(super) fn begun(&mut self, started: bool) {
        self.started = started;
    }

    /// What the next owner has to know, the journal apart.
    pub(super) fn save(&self, written: Written) -> Bytes {
        let is_player = |(session, user): &&(SessionId, UserId)| self.room.plays(*session, *user);
        let edges = self.attached.iter().take(EDGES_SAVED_MAX).map(|attached| SavedEdge {
            edge: attached.edge,
            incarnation: attached.incarnation,
            players: attached.sessions.iter().filter(is_player).copied().collect(),
        });
        Saved::new(self.mode, self.seats.clone(), self.started, edges.collect(), written).write(&self.room)
    }

    /// A goal waits for a copy. If none can be made while all else works, it is told all the same.
    pub(super) fn wait_for_goal(&mut self, now: Instant, metrics: &Metrics) {
        if !self.room.holds_a_goal() {
            self.goal_since = None;
        } else if now.since(*self.goal_since.get_or_insert(now)) >= GOAL_HELD_MAX {
            metrics.goals_unsafe.increment(1);
            tracing::warn!(match_id = %self.room.id(), "a goal is told although no checkpoint has it");
            self.room.release_goals();
        }
    }

    /// Makes a copy, if it is time for one.
    pub(super) fn copy_if_due(&mut self) -> Option<Copy> {
        if self.copies.is_due(&self.room) { self.copy_now() } else { None }
    }

    /// Goes on under another epoch of the same owner.
    pub(super) fn go_on_at(&mut self, epoch: Epoch) {
        self.epoch = epoch;
        self.room.go_on_at(epoch);
        // What becomes of a copy that was made under the epoch before will not be heard.
        self.copies.forget_under_way();
    }

    /// How many ticks are to be played now: one, but after a way on which time has passed.
    pub(super) fn ticks_due(&mut self, now: Instant) -> u32 {
        let since = now.since(std::mem::replace(&mut self.ticked, now));
        if !std::mem::take(&mut self.owes_ticks) {
            return 1;
        }
        let owed = since.as_nanos() * u128::from(TICK_HZ) / 1_000_000_000;
        (owed as u32).clamp(1, OWED_TICKS_MAX)
    }

    /// Makes a copy, unless one is under way.
    pub(super) fn copy_now(&mut self) -> Option<Copy> {
        if self.copies.is_under_way() {
            return None;
        }
        let mut copies = std::mem::take(&mut self.copies);
        let copy = copies.make(&self.room, |written| self.save(written));
        self.is_copied_over = self.room.is_over();
        self.copies = copies;
        Some(copy)
    }

    pub(super) fn attach(&mut self, join: &Joining) {
        self.attach_session(join.edge, join.incarnation, join.session, join.user);
    }

    pub(super) fn attach_session(&mut self, edge: NodeId, incarnation: Incarnation, session: SessionId, user: UserId) {
        self.detach_session(session);
        let person = (session, user);
        match self.attached.iter_mut().find(|attached| attached.edge == edge) {
            Some(attached) => {
                attached.incarnation = incarnation;
                attached.sessions.push(person);
            }
            None => {
                let since = Instant::default();
                let is_inherited = false;
                self.attached.push(Attached { edge, incarnation, sessions: vec![person], since, is_inherited });
            }
        }
    }

    /// An edge that the owner before named has told who is there. Those who are not have left unheard.
    pub(super) fn speaks_up(&mut self, edge: NodeId, present: &[Present]) {
        let Some(attached) = self.attached.iter_mut().find(|attached| attached.edge == edge) else { return };
        if std::mem::take(&mut attached.is_inherited) {
            let is_gone = |(session, _): &(SessionId, UserId)| !present.iter().any(|each| each.session == *session);
            let gone: Vec<_> = attached.sessions.iter().copied().filter(is_gone).collect();
            for (session, _) in gone {
                self.detach_session(session);
                self.room.leave(session);
            }
        }
    }

    /// The edge through which a session is here.
    pub(super) fn edge_of(&self, session: SessionId) -> Option<NodeId> {
        let is_here = |attached: &&Attached| attached.sessions.iter().any(|(s, _)| *s == session);
        self.attached.iter().find(is_here).map(|attached| attached.edge)
    }

    /// Forgets a session, and its edge with its last one. Returns the edge.
    pub(super) fn detach_session(&mut self, session: SessionId) -> Option<NodeId> {
        let at = self.attached.iter().position(|attached| attached.sessions.iter().any(|(s, _)| *s == session))?;
        let attached = &mut self.attached[at];
        let edge = attached.edge;
        attached.sessions.retain(|(s, _)| *s != session);
        if attached.sessions.is_empty() {
            self.attached.swap_remove(at);
        }
        Some(edge)
    }

    /// Tells what happened, and has noted what must be.
    pub(super) fn tell_events(
        &mut self,
        events: impl Iterator<Item = OutEvent>,
        words: &mut Vec<Word>,
        effects: &mut Vec<Effect>,
    ) {
        let (match_id, epoch) = (self.room.id(), self.epoch);
        for event in events {
            match event.kind {
                EventKind::Goal => {
                    let score = event.score.unwrap_or_else(|| self.room.score());
                    effects.push(Effect::Goal { match_id, epoch, score });
                }
                EventKind::Go if !self.started => {
                    self.started = true;
                    effects.push(Effect::Started { match_id, epoch });
                }
                _ => {}
            }
            self.tell_all(words, event.message);
        }
    }

    pub(super) fn tell_all(&self, words: &mut Vec<Word>, message: Bytes) {
        let match_id = self.room.id();
        words.extend(self.attached.iter().map(|attached| Word {
            to: attached.edge,
            match_id,
            epoch: self.epoch,
            say: Say::Message(message.clone()),
        }));
    }

    pub(super) fn tell_over(&self, words: &mut Vec<Word>, over: GameOver) {
        match ServerMessage::from(over).encode(Encoding::Msgpack) {
            Ok(message) => self.tell_all(words, message.into()),
            Err(error) => tracing::error!(match_id = %self.room.id(), %error, "cannot write game_over"),
        }
    }

    /// Its result is on its way to Postgres.
    pub(super) fn finishing(&mut self, finished: &FinishedMatch) {
        self.standing = Standing::Closing;
        let from_queue = matches!(self.mode, Mode::Ranked | Mode::Casual | Mode::Classic);
        if finished.reason == EndReason::NoShow && from_queue {
            let tickets = finished.players.iter().zip(&self.seats).filter(|(player, _)| player.present);
            self.waiting_again = tickets.filter_map(|(player, seat)| self.ticket(player.who, seat)).collect();
        }
    }

    /// A match of the queue to which one player never came is void; whoever was there and still is waits again.
    pub(super) fn take_waiting_again(&mut self) -> Vec<Ticket> {
        let mut tickets = std::mem::take(&mut self.waiting_again);
        tickets.retain(|ticket| {
            let here = self.attached.iter().flat_map(|attached| &attached.sessions);
            here.into_iter().any(|(session, _)| *session == ticket.session)
        });
        tickets
    }

    fn ticket(&self, who: Who, seat: &SeatSpec) -> Option<Ticket> {
        let (Who::User(user), SeatSpec::User { name, guest, skill, .. }) = (who, seat) else { return None };
        self.attached.iter().find_map(|attached| {
            let (session, _) = attached.sessions.iter().find(|(_, u)| *u == user)?;
            Some(Ticket {
                session: *session,
                user,
                name: name.clone(),
                guest: *guest,
                mode: self.mode,
                skill: *skill,
                edge: attached.edge,
                edge_incarnation: attached.incarnation,
            })
        })
    }
}
