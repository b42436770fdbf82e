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
    effect::{Effect, Found, Joining},
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
    /// A later epoch that is ours too, once it is known how the match stands.
    pub(super) granted: Option<Epoch>,
    /// Postgres knows that play has begun, and the score.
    pub(super) is_noted: bool,
    /// Those whose opponent never came: they wait again once their seats are free, which is when the end is recorded.
    waiting_again: Vec<Ticket>,
}

/// An edge that gets a match's snapshots and messages, and its people there. Never without people.
pub(super) struct Attached {
    pub(super) edge: NodeId,
    pub(super) incarnation: Incarnation,
    pub(super) sessions: Vec<Session>,
    /// Its silence counts from here at the earliest.
    pub(super) since: Instant,
    /// Named by the owner before: it has not spoken to this one yet.
    pub(super) is_inherited: bool,
}

/// Somebody in a match.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) user: UserId,
    /// The question by which it came in, of its edge's life. Not known of those who were here under another owner.
    asked: u64,
}

impl Attached {
    /// Whether somebody here plays.
    pub(super) fn has_player(&self, room: &Room) -> bool {
        self.sessions.iter().any(|session| room.plays(session.id, session.user))
    }
}

impl Hosted {
    /// As they were given out by the queue, or asked for.
    pub(super) fn seats(&self) -> &[SeatSpec; 2] {
        &self.seats
    }

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
            granted: None,
            is_noted: true,
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
            sessions: players.into_iter().map(|(id, user)| Session { id, user, asked: 0 }).collect(),
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
            granted: None,
            is_noted: true,
            waiting_again: Vec::new(),
        }
    }

    /// Whether nobody has gone further with the match than it was here, whoever had it since: nothing that was told or
    /// promised elsewhere is in `found`.
    pub(super) fn is_newer_than(&self, found: &Found, granted: Epoch) -> bool {
        let told = match found {
            Found::Copy { by, told, .. } if *by <= self.epoch => *told,
            Found::Score { score, .. } if granted == self.epoch.next() => score.unwrap_or_default(),
            Found::Copy { .. } | Found::Score { .. } | Found::Over => return false,
        };
        let score = self.room.told_score();
        matches!(self.standing, Standing::Live | Standing::Handed) && (0..2).all(|i| score[i] >= told[i])
    }

    /// Goes on as it stood, under another epoch. What others may have told meanwhile is not known here.
    pub(super) fn goes_on_from_memory(&mut self, now: Instant, epoch: Epoch) {
        self.go_on_at(epoch);
        self.room.recovered();
        self.copies = Copies::default();
        self.standing = Standing::Live;
        self.ticked = now;
    }

    pub(super) fn begun(&mut self, started: bool) {
        self.started = started;
    }

    /// What the next owner has to know, the journal apart.
    pub(super) fn save(&self, written: Written) -> Bytes {
        let is_player = |session: &&Session| self.room.plays(session.id, session.user);
        let edges = self.attached.iter().take(EDGES_SAVED_MAX).map(|attached| SavedEdge {
            edge: attached.edge,
            incarnation: attached.incarnation,
            players: attached.sessions.iter().filter(is_player).map(|session| (session.id, session.user)).collect(),
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
        (self.epoch, self.granted) = (epoch, None);
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

    /// A session as this life of its edge has it here.
    fn session_at(&self, edge: NodeId, incarnation: Incarnation, id: SessionId) -> Option<&Session> {
        let life =
            self.attached.iter().find(|attached| attached.edge == edge && attached.incarnation == incarnation)?;
        life.sessions.iter().find(|session| session.id == id)
    }

    /// Whether its edge has asked for this session again since, and been answered: the question went round by a former
    /// owner, and would give the seat a generation of which nobody knows.
    pub(super) fn is_outdated(&self, join: &Joining) -> bool {
        let here = self.session_at(join.edge, join.incarnation, join.session);
        here.is_some_and(|session| session.asked > join.request)
    }

    pub(super) fn attach(&mut self, join: &Joining) {
        let session = Session { id: join.session, user: join.user, asked: join.request };
        self.attach_session(join.edge, join.incarnation, session);
    }

    pub(super) fn attach_present(&mut self, edge: NodeId, incarnation: Incarnation, id: SessionId, user: UserId) {
        let asked = self.session_at(edge, incarnation, id).map_or(0, |session| session.asked);
        self.attach_session(edge, incarnation, Session { id, user, asked });
    }

    fn attach_session(&mut self, edge: NodeId, incarnation: Incarnation, person: Session) {
        self.detach_session(person.id);
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
            let is_gone = |session: &&Session| !present.iter().any(|each| each.session == session.id);
            let gone: Vec<_> = attached.sessions.iter().filter(is_gone).map(|session| session.id).collect();
            for session in gone {
                self.detach_session(session);
                self.room.leave(session);
            }
        }
    }

    /// The edge through which a session is here.
    pub(super) fn edge_of(&self, session: SessionId) -> Option<NodeId> {
        let is_here = |attached: &&Attached| attached.sessions.iter().any(|here| here.id == session);
        self.attached.iter().find(is_here).map(|attached| attached.edge)
    }

    /// Forgets a session, and its edge with its last one. Returns the edge.
    pub(super) fn detach_session(&mut self, session: SessionId) -> Option<NodeId> {
        let at = self.attached.iter().position(|attached| attached.sessions.iter().any(|here| here.id == session))?;
        let attached = &mut self.attached[at];
        let edge = attached.edge;
        attached.sessions.retain(|here| here.id != session);
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

    /// Has Postgres told how the match stands, if play has begun: whoever goes on without a checkpoint goes on from there.
    pub(super) fn note(&mut self, effects: &mut Vec<Effect>) {
        self.is_noted = true;
        if self.started {
            let (match_id, epoch, score) = (self.room.id(), self.epoch, self.room.told_score());
            effects.push(Effect::Goal { match_id, epoch, score });
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
            here.into_iter().any(|session| session.id == ticket.session)
        });
        tickets
    }

    fn ticket(&self, who: Who, seat: &SeatSpec) -> Option<Ticket> {
        let (Who::User(user), SeatSpec::User { name, guest, skill, .. }) = (who, seat) else { return None };
        self.attached.iter().find_map(|attached| {
            let session = attached.sessions.iter().find(|here| here.user == user)?.id;
            Some(Ticket {
                session,
                user,
                name: name.clone(),
                guest: *guest,
                mode: self.mode,
                skill: *skill,
                // Whoever puts it back looks it up.
                rating: Ticket::RATING_OF_NEWCOMERS,
                edge: attached.edge,
                edge_incarnation: attached.incarnation,
            })
        })
    }
}
