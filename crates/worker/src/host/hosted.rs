//! One match and the edges that follow it.

use bytes::Bytes;
use rally_fabric::Ticket;
use rally_protocol::{
    client::{
        Encoding,
        codec::Messages,
        v1::{EndReason, EventKind, GameOver, Mode, ServerMessage},
    },
    cluster::v1::{MatchSpec, SeatSpec},
};
use rally_room::{FinishedMatch, OutEvent, Room, Who};
use rally_units::{Epoch, Incarnation, NodeId, SessionId, UserId};

use super::{Say, Word};
use crate::effect::{Effect, Joining};

/// How far a match is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It ticks.
    Live,
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
}

impl Hosted {
    pub(super) fn new(spec: MatchSpec, room: Room) -> Self {
        Self {
            epoch: room.epoch(),
            room,
            attached: Vec::new(),
            standing: Standing::Live,
            mode: spec.mode,
            seats: spec.seats,
            started: false,
            waiting_again: Vec::new(),
        }
    }

    pub(super) fn attach(&mut self, join: &Joining) {
        self.detach_session(join.session);
        let person = (join.session, join.user);
        match self.attached.iter_mut().find(|attached| attached.edge == join.edge) {
            Some(attached) => {
                attached.incarnation = join.incarnation;
                attached.sessions.push(person);
            }
            None => {
                self.attached.push(Attached { edge: join.edge, incarnation: join.incarnation, sessions: vec![person] })
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
                EventKind::Goal => effects.push(Effect::Goal { match_id, epoch, score: self.room.score() }),
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
