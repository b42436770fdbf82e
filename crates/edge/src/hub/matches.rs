//! The matches that somebody on this edge is in: who, where, and what the owner says.

use std::time::Duration;

use rally_fabric::LinkState;
use rally_link::{Asked, Relay};
use rally_protocol::{
    client::v1::{ErrorCode, ErrorMessage, EventKind, JoinAs, Place, ServerMessage, Side, Skill, close},
    cluster::v1::{Command, Control},
};
use rally_units::{Instant, MatchId, NodeId, SessionId};
use tracing::Span;

use super::{batch::Origin, command_name, run::Hub};
use crate::{
    fanout::Frames,
    metrics,
    socket::{ConnId, SharedPeer},
};

/// Between two attempts that a worker's `NotHere` brings about.
const NOT_HERE_AGAIN: Duration = Duration::from_secs(1);

/// A match that somebody here is in, or wants to be.
pub(super) struct LocalMatch {
    pub(super) relay: Relay,
    pub(super) members: Vec<Member>,
    pub(super) joins: Vec<Join>,
    /// Whose inputs move which paddle.
    seats: [Option<ConnId>; 2],
    /// The worker that is kept awake for this match.
    pub(super) held_owner: Option<NodeId>,
    /// A look-up of the owner is under way.
    pub(super) locating: bool,
    /// When the owner was last looked for.
    pub(super) located_at: Instant,
    /// The question whether those who are here may stay, and to whom it went.
    pub(super) attaching: Option<Asked>,
    /// Everybody comes in anew: it is not known what those who are here have missed.
    pub(super) joins_anew: bool,
    /// Attempts to attach since the last that succeeded.
    pub(super) attempts: u32,
    /// In the list of matches with inputs to send.
    pub(super) is_unsent: bool,
    /// The result has been told.
    pub(super) over: bool,
}

/// Somebody in a match.
pub(super) struct Member {
    pub(super) conn: ConnId,
    pub(super) session: SessionId,
    pub(super) peer: SharedPeer,
    pub(super) join_as: JoinAs,
    pub(super) skill: Skill,
    /// The last event that this client has, by its picture or by itself.
    pub(super) last_event: u32,
}

/// Somebody on the way into a match, or into it again.
pub(super) struct Join {
    pub(super) conn: ConnId,
    pub(super) session: SessionId,
    pub(super) join_as: JoinAs,
    pub(super) skill: Skill,
    /// Until when the client waits; `None` when it is a member already.
    pub(super) deadline: Option<Instant>,
    /// The question that has been put, and to whom.
    pub(super) asked: Option<Asked>,
    /// That Postgres has named the node to ask, since Redis' word proved wrong.
    pub(super) is_checked: bool,
    /// Of the match's trace, until the client is in.
    pub(super) span: Span,
}

impl LocalMatch {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            relay: Relay::new(now),
            members: Vec::new(),
            joins: Vec::new(),
            seats: [None, None],
            held_owner: None,
            locating: false,
            located_at: now,
            attaching: None,
            joins_anew: false,
            attempts: 0,
            is_unsent: false,
            over: false,
        }
    }

    fn vacate(&mut self, conn: ConnId) {
        for side in [Side::Left, Side::Right] {
            if self.seats[side.index()] == Some(conn) {
                self.seats[side.index()] = None;
                self.relay.vacate(side);
            }
        }
    }

    pub(super) fn take_seats(&mut self, conn: ConnId, place: Place, generation: u16) {
        self.vacate(conn);
        let sides: &[Side] = match place {
            Place::Left => &[Side::Left],
            Place::Right => &[Side::Right],
            Place::Both => &[Side::Left, Side::Right],
            Place::Spectator => &[],
        };
        for side in sides {
            self.seats[side.index()] = Some(conn);
            self.relay.seat(*side, generation);
        }
    }

    /// Whether this connection's inputs move this paddle.
    pub(super) fn is_seated(&self, conn: ConnId, side: Side) -> bool {
        self.seats[side.index()] == Some(conn)
    }

    /// The nodes that have been asked and have not answered.
    pub(super) fn asked(&self) -> impl Iterator<Item = NodeId> {
        self.joins.iter().filter_map(|join| Some(join.asked?.node)).chain(self.attaching.map(|asked| asked.node))
    }

    /// Players here, each once.
    pub(super) fn players(&self) -> impl Iterator<Item = ConnId> {
        let [left, right] = self.seats;
        left.into_iter().chain(right.filter(|right| left != Some(*right)))
    }
}

impl Hub {
    /// Somebody leaves, or was lost.
    pub(super) fn leave(&mut self, conn: ConnId, match_id: MatchId) {
        let Some(local) = self.matches.get(&match_id) else { return };
        let asked =
            local.joins.iter().find(|join| join.conn == conn).and_then(|join| Some((join.session, join.asked?.node)));
        let member = local.members.iter().find(|member| member.conn == conn).map(|member| member.session);
        // A join that is under way goes to the same node before this, so it is undone too.
        let told = asked.or_else(|| Some((member?, local.relay.owner().or(local.held_owner)?)));
        if let Some((session, owner)) = told
            && let Err(error) = self.pairs.control(owner, match_id, local.relay.epoch(), &Control::Leave { session })
        {
            // Its attachment ends with the silence of this edge, or with the match.
            tracing::warn!(%error, %owner, %match_id, "cannot tell that somebody left");
        }
        self.forget(conn, match_id);
    }

    /// Removes a connection from a match, and the match with its last one.
    pub(super) fn forget(&mut self, conn: ConnId, match_id: MatchId) {
        if let Some(person) = self.people.person_mut(conn) {
            person.matches.retain(|id| *id != match_id);
        }
        let Some(local) = self.matches.get_mut(&match_id) else { return };
        local.vacate(conn);
        local.joins.retain(|join| join.conn != conn);
        local.members.retain(|member| member.conn != conn);
        if local.members.is_empty() && local.joins.is_empty() {
            let owner = local.held_owner.take();
            self.matches.remove(&match_id);
            self.release(owner);
        }
    }

    /// The match has left the cluster's memory.
    pub(super) fn gone(&mut self, now: Instant, match_id: MatchId) {
        let Some(local) = self.matches.get(&match_id) else { return };
        let over = local.over;
        let joining: Vec<ConnId> = local.joins.iter().map(|join| join.conn).collect();
        let members: Vec<(ConnId, SharedPeer)> = local.members.iter().map(|m| (m.conn, m.peer.clone())).collect();
        for conn in joining {
            if !over || !members.iter().any(|(member, _)| *member == conn) {
                self.refuse_join(conn, match_id, ErrorCode::NotFound, "there is no such match, or it is over");
            }
        }
        for (conn, peer) in members {
            self.forget(conn, match_id);
            if !over {
                peer.send(&refusal(match_id, None, ErrorCode::NotFound, "the match is not played any more"));
            }
            peer.drive(now, |connection| {
                connection.left(match_id);
                rally_link::Outputs::new()
            });
        }
    }

    /// Keeps the present owner awake, and lets go of the one before.
    pub(super) fn hold(&mut self, match_id: MatchId) {
        let Some(local) = self.matches.get_mut(&match_id) else { return };
        let owner = local.relay.owner();
        if owner.is_none() || owner == local.held_owner {
            return;
        }
        let before = std::mem::replace(&mut local.held_owner, owner);
        if let Some(owner) = owner {
            let matches = self.owners.entry(owner).or_insert(0);
            *matches += 1;
            if *matches == 1 {
                self.pairs.set_active(owner, true);
            }
        }
        self.release(before);
    }

    fn release(&mut self, owner: Option<NodeId>) {
        let Some(owner) = owner else { return };
        if let Some(matches) = self.owners.get_mut(&owner) {
            *matches -= 1;
            if *matches == 0 {
                self.owners.remove(&owner);
                self.pairs.set_active(owner, false);
            }
        }
    }

    pub(super) fn command(&mut self, conn: ConnId, match_id: MatchId, command: Command) {
        let Some((peer, person)) = self.people.person(conn) else { return };
        let (code, detail) = match self.matches.get(&match_id).map(|local| (local.relay.owner(), local.relay.epoch())) {
            Some((Some(owner), epoch)) => {
                let control = Control::Command { session: person.session, command };
                match self.pairs.control(owner, match_id, epoch, &control) {
                    Ok(()) => return,
                    Err(_) => (ErrorCode::Unavailable, "the match cannot be reached"),
                }
            }
            Some((None, _)) => (ErrorCode::Unavailable, "the match cannot be reached"),
            None => (ErrorCode::NotFound, "not in this match"),
        };
        peer.send(&refusal(match_id, Some(command_name(command)), code, detail));
    }

    /// A control about a match, other than the answer to a join.
    pub(super) fn match_control(&mut self, now: Instant, origin: Origin, control: Control) {
        let Origin { from, match_id, epoch } = origin;
        let Some(local) = self.matches.get_mut(&match_id) else { return };
        match control {
            Control::NotHere => {
                let asked = local.asked().any(|node| node == from);
                if !asked && local.relay.owner() != Some(from) {
                    return metrics::entry_refused("not_the_owner");
                }
                if local.attaching.is_some_and(|asked| asked.node == from) {
                    local.attaching = None;
                }
                local.relay.detach(now);
                // At most once a second, or a wrong cache would keep both nodes busy.
                if now.since(local.located_at) >= NOT_HERE_AGAIN || local.members.is_empty() && asked {
                    self.attach(now, match_id, true);
                }
            }
            Control::Here => self.here(now, origin),
            Control::Attached { request, last_event, missed } => {
                self.attached(now, origin, request, last_event, missed)
            }
            Control::Gone if local.held_owner == Some(from) && epoch >= local.relay.epoch() => self.gone(now, match_id),
            Control::SeatTaken { session, side } => {
                if let Err(refusal) = local.relay.message(now, from, epoch) {
                    return metrics::entry_refused(refusal.label());
                }
                let Some(conn) = self.people.by_session(session) else { return };
                // Its own, newer connection here may have the session by now; that one keeps its seat.
                if local.is_seated(conn, side)
                    && let Some(connected) = self.people.get(conn)
                {
                    connected.peer.close(close::SEAT_TAKEN, "a newer connection has the seat", "seat_taken");
                    self.disembark(conn);
                }
            }
            Control::CommandRefused { session, command, code, detail } => {
                let person = self.people.by_session(session).and_then(|conn| self.people.get(conn));
                if let Some(connected) = person {
                    connected.peer.send(&refusal(match_id, Some(command_name(command)), code, &detail));
                }
            }
            _ => metrics::entry_refused("unexpected"),
        }
    }

    /// A message for all who are in the match here.
    pub(super) fn match_message(
        &mut self,
        now: Instant,
        origin: Origin,
        message: &ServerMessage,
        frames: &mut Frames<'_>,
    ) {
        let Origin { from, match_id, epoch } = origin;
        let Some(local) = self.matches.get_mut(&match_id) else { return };
        let event = match message {
            ServerMessage::MatchEvent(event) => Some(event),
            _ => None,
        };
        let judged = match event {
            Some(event) => local.relay.event(now, from, epoch, event.n),
            None => local.relay.message(now, from, epoch),
        };
        if let Err(refusal) = judged {
            metrics::entry_refused(refusal.label());
            if refusal == rally_link::Refusal::Gap {
                // Its owner may remember them; if it does not, everybody comes in anew.
                self.attach(now, match_id, false);
            }
            return;
        }
        match message {
            ServerMessage::MatchEvent(event) if event.event == EventKind::ResultPending => local.relay.finished(),
            ServerMessage::GameOver(_) => {
                local.relay.over();
                local.over = true;
            }
            _ => {}
        }
        for member in &mut local.members {
            if let Some(event) = event {
                if event.n != member.last_event + 1 {
                    // It has this event by its picture, or waits for a picture that has it.
                    continue;
                }
                member.last_event = event.n;
            }
            if let Some(frame) = frames.get(member.peer.encoding) {
                member.peer.queue(now, frame);
                self.unflushed.push(member.peer.clone());
            }
        }
        self.hold(match_id);
    }

    /// Who has asked in vain; which matches are silent.
    pub(super) fn look_at_matches(&mut self, now: Instant) {
        // With this edge's own link cut there is nobody to ask, and what is asked would pile up. No word counts
        // meanwhile all the same: the relays see the silence.
        let is_cut_off = matches!(*self.link.borrow(), LinkState::Silent { .. });
        let mut silent = std::mem::take(&mut self.scratch);
        let mut waited = Vec::new();
        for (match_id, local) in &mut self.matches {
            for join in &local.joins {
                if join.deadline.is_some_and(|deadline| now >= deadline) {
                    waited.push((join.conn, *match_id));
                }
            }
            if !is_cut_off && local.relay.timeout(now).is_some() {
                silent.push(*match_id);
            }
        }
        for (conn, match_id) in waited {
            self.metrics.requests_timed_out.increment(1);
            self.leave(conn, match_id);
            self.refuse_join(conn, match_id, ErrorCode::Unavailable, "the match does not answer");
        }
        for match_id in silent.drain(..) {
            self.attach(now, match_id, false);
        }
        self.scratch = silent;
    }

    /// What waited for these workers is dropped: those who asked them to come in have to ask again. They are not kept
    /// awake any more, either: should one come back under its name, it is held anew.
    pub(super) fn forgotten(&mut self, nodes: &[NodeId]) {
        for node in nodes {
            self.owners.remove(node);
        }
        for local in self.matches.values_mut() {
            local.held_owner = local.held_owner.filter(|held| !nodes.contains(held));
            local.attaching = local.attaching.filter(|asked| !nodes.contains(&asked.node));
            for join in &mut local.joins {
                join.asked = join.asked.filter(|asked| !nodes.contains(&asked.node));
            }
        }
    }

    /// A worker has lost its memory: its matches are to be found again.
    pub(super) fn restarted(&mut self, now: Instant, node: NodeId) {
        let lost: Vec<MatchId> = self
            .matches
            .iter_mut()
            .filter(|(_, local)| local.relay.owner() == Some(node) || local.asked().any(|asked| asked == node))
            .map(|(match_id, local)| {
                local.relay.detach(now);
                local.attaching = local.attaching.filter(|asked| asked.node != node);
                for join in &mut local.joins {
                    join.asked = join.asked.filter(|asked| asked.node != node);
                }
                *match_id
            })
            .collect();
        for match_id in lost {
            self.attach(now, match_id, false);
        }
    }
}

/// A counted refusal about a match: of this type of message, or of none that somebody has sent.
pub(super) fn refusal(match_id: MatchId, of: Option<&str>, code: ErrorCode, detail: &str) -> ServerMessage {
    metrics::refused(code.as_str());
    let (detail, of) = (detail.to_owned(), of.map(str::to_owned));
    ErrorMessage { code, detail, of, match_id: Some(match_id), until: None }.into()
}
