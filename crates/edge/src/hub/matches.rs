//! The matches that somebody on this edge is in: joining, leaving, attaching again.

use std::time::Duration;

use rally_link::Relay;
use rally_protocol::{
    client::v1::{
        ErrorCode, ErrorMessage, EventKind, JoinAs, MatchJoined, Phase, Place, ServerMessage, Side, Skill, close,
    },
    cluster::v1::{Command, Control},
};
use rally_units::{Instant, MatchId, NodeId, SessionId};

use super::{Event, Located, batch::Origin, command_name, people::Person, run::Hub};
use crate::{
    fanout::Frames,
    metrics,
    socket::{ConnId, SharedPeer},
};

/// How long a client waits for `match_joined`.
const JOIN_WITHIN: Duration = Duration::from_secs(5);

/// Between two attempts that a worker's `NotHere` brings about.
const NOT_HERE_AGAIN: Duration = Duration::from_secs(1);

/// A match that somebody here is in, or wants to be.
pub(super) struct LocalMatch {
    pub(super) relay: Relay,
    pub(super) members: Vec<Member>,
    joins: Vec<Join>,
    /// Whose inputs move which paddle.
    seats: [Option<ConnId>; 2],
    /// The worker that is kept awake for this match.
    held_owner: Option<NodeId>,
    /// A look-up of the owner is under way.
    locating: bool,
    /// When the owner was last looked for.
    located_at: Instant,
    /// In the list of matches with inputs to send.
    pub(super) is_unsent: bool,
    /// The result has been told.
    over: bool,
}

/// Somebody in a match.
pub(super) struct Member {
    conn: ConnId,
    session: SessionId,
    pub(super) peer: SharedPeer,
    join_as: JoinAs,
    skill: Skill,
    /// The last event that this client has, by its picture or by itself.
    last_event: u32,
}

/// Somebody on the way into a match, or into it again.
struct Join {
    conn: ConnId,
    session: SessionId,
    join_as: JoinAs,
    skill: Skill,
    /// Until when the client waits; `None` when it is a member already.
    deadline: Option<Instant>,
    /// The question that has been put, and to whom.
    asked: Option<(u64, NodeId)>,
    /// That Postgres has named the node to ask, since Redis' word proved wrong.
    is_checked: bool,
}

impl LocalMatch {
    fn new(now: Instant) -> Self {
        Self {
            relay: Relay::new(now),
            members: Vec::new(),
            joins: Vec::new(),
            seats: [None, None],
            held_owner: None,
            locating: false,
            located_at: now,
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

    fn take_seats(&mut self, conn: ConnId, place: Place, generation: u16) {
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

    /// Players here, each once.
    pub(super) fn players(&self) -> impl Iterator<Item = ConnId> {
        let [left, right] = self.seats;
        left.into_iter().chain(right.filter(|right| left != Some(*right)))
    }
}

impl Hub {
    pub(super) fn join(&mut self, now: Instant, conn: ConnId, match_id: MatchId, join_as: JoinAs, skill: Skill) {
        let Some(person) = self.people.person_mut(conn) else { return };
        if !person.matches.contains(&match_id) {
            person.matches.push(match_id);
        }
        let join = Join {
            conn,
            session: person.session,
            join_as,
            skill,
            deadline: Some(now + JOIN_WITHIN),
            asked: None,
            is_checked: false,
        };
        let local = self.matches.entry(match_id).or_insert_with(|| LocalMatch::new(now));
        local.joins.retain(|join| join.conn != conn);
        local.joins.push(join);
        match local.relay.owner() {
            Some(owner) => self.ask(match_id, owner),
            None => self.locate(now, match_id, false),
        }
    }

    /// Puts the question to the owner for all who have not asked yet.
    fn ask(&mut self, match_id: MatchId, owner: NodeId) {
        let Some(local) = self.matches.get_mut(&match_id) else { return };
        let mut refused = Vec::new();
        for join in local.joins.iter_mut().filter(|join| join.asked.is_none()) {
            let Some((_, Person { user, .. })) = self.people.person(join.conn) else { continue };
            self.last_request += 1;
            let request = self.last_request;
            let control = Control::Join {
                request,
                session: join.session,
                user: user.id,
                name: user.name.clone(),
                join_as: join.join_as,
                skill: join.skill,
            };
            match self.pairs.control(owner, match_id, local.relay.epoch(), &control) {
                Ok(()) => join.asked = Some((request, owner)),
                Err(error) => {
                    tracing::warn!(%error, %owner, %match_id, "cannot ask to join");
                    refused.push(join.conn);
                }
            }
        }
        for conn in refused {
            self.refuse_join(conn, match_id, ErrorCode::Unavailable, "the match cannot be reached");
        }
    }

    /// Looks the owner up: in Redis, unless that is known to be wrong, then in Postgres.
    fn locate(&mut self, now: Instant, match_id: MatchId, skip_cache: bool) {
        let Some(local) = self.matches.get_mut(&match_id) else { return };
        if local.locating {
            return;
        }
        local.locating = true;
        local.located_at = now;
        let (fabric, store, events) = (self.fabric.clone(), self.store.clone(), self.events.clone());
        tokio::spawn(async move {
            let cached = match skip_cache {
                true => None,
                // An error is no answer: ask Postgres.
                false => fabric.owner(match_id).await.ok().flatten(),
            };
            let owner = match cached {
                Some(owner) => Located::Owner(owner.node, owner.incarnation),
                None => match store.owner_of(match_id).await {
                    Ok(Some(ownership)) => Located::Owner(ownership.owner.node, ownership.owner.incarnation),
                    Ok(None) => Located::Nowhere,
                    Err(error) => {
                        tracing::warn!(%error, %match_id, "cannot look up a match's owner");
                        Located::Unknown
                    }
                },
            };
            // An error means that the hub has ended.
            let _ = events.send(Event::Located { match_id, owner }).await;
        });
    }

    pub(super) fn located(&mut self, now: Instant, match_id: MatchId, owner: Located) {
        let Some(local) = self.matches.get_mut(&match_id) else { return };
        local.locating = false;
        match owner {
            Located::Owner(node, incarnation) => {
                self.pairs.meet(node, incarnation);
                self.ask(match_id, node);
            }
            Located::Nowhere => self.gone(now, match_id),
            // Who has come in before waits for the next attempt.
            Located::Unknown => {
                let waiting: Vec<ConnId> =
                    local.joins.iter().filter(|j| j.deadline.is_some() && j.asked.is_none()).map(|j| j.conn).collect();
                for conn in waiting {
                    self.refuse_join(conn, match_id, ErrorCode::Unavailable, "the match cannot be looked up");
                }
            }
        }
    }

    /// Looks for the owner again, and asks it to let everybody in again.
    pub(super) fn attach(&mut self, now: Instant, match_id: MatchId, skip_cache: bool) {
        let Some(local) = self.matches.get_mut(&match_id) else { return };
        self.metrics.attaches.increment(1);
        for join in &mut local.joins {
            join.asked = None;
        }
        for member in &local.members {
            if !local.joins.iter().any(|join| join.conn == member.conn) {
                let Member { conn, session, join_as, skill, .. } = *member;
                local.joins.push(Join {
                    conn,
                    session,
                    join_as,
                    skill,
                    deadline: None,
                    asked: None,
                    is_checked: false,
                });
            }
        }
        self.locate(now, match_id, skip_cache);
    }

    pub(super) fn joined(&mut self, now: Instant, origin: Origin, request: u64, generation: u16, picture: MatchJoined) {
        let Origin { from, match_id, epoch } = origin;
        // Whoever left meanwhile has said so to the owner already.
        let Some(local) = self.matches.get_mut(&match_id) else { return };
        let Some(at) = local.joins.iter().position(|join| join.asked == Some((request, from))) else { return };
        let finished = picture.phase == Phase::Finished;
        let (last_event, over, place) = (picture.last_event, picture.over.is_some(), picture.side);
        if let Err(refusal) = local.relay.attached(now, from, epoch, last_event, finished, over) {
            // A former owner. The relay looks for the present one in a moment.
            local.joins[at].asked = None;
            return metrics::entry_refused(refusal.label());
        }
        local.over |= over;
        let Join { conn, session, join_as, skill, .. } = local.joins.swap_remove(at);
        let Some((peer, _)) = self.people.person(conn) else { return };
        local.take_seats(conn, place, generation);
        local.members.retain(|member| member.conn != conn);
        local.members.push(Member { conn, session, peer: peer.clone(), join_as, skill, last_event });
        peer.send_with(|connection| connection.joined(now, match_id, place), &picture.into());
        self.hold(match_id);
    }

    pub(super) fn join_refused(&mut self, now: Instant, origin: Origin, request: u64, code: ErrorCode, detail: &str) {
        let Origin { from, match_id, .. } = origin;
        let Some(local) = self.matches.get_mut(&match_id) else { return };
        let Some(join) = local.joins.iter_mut().find(|join| join.asked == Some((request, from))) else { return };
        if code == ErrorCode::NotFound && !join.is_checked {
            // Not played there (any more): Redis may remember a former owner. Postgres knows.
            (join.asked, join.is_checked) = (None, true);
            local.relay.detach(now);
            return self.locate(now, match_id, true);
        }
        let conn = join.conn;
        self.refuse_join(conn, match_id, code, detail);
    }

    /// Tells a client that it cannot come in, or cannot stay.
    fn refuse_join(&mut self, conn: ConnId, match_id: MatchId, code: ErrorCode, detail: &str) {
        self.forget(conn, match_id);
        let Some(connected) = self.people.get(conn) else { return };
        metrics::refused(code.as_str());
        let error =
            ErrorMessage { code, detail: detail.to_owned(), of: Some("match_join".into()), match_id: Some(match_id) };
        connected.peer.send_with(|connection| connection.left(match_id), &error.into());
    }

    /// Somebody leaves, or was lost.
    pub(super) fn leave(&mut self, conn: ConnId, match_id: MatchId) {
        let Some(local) = self.matches.get(&match_id) else { return };
        let asked =
            local.joins.iter().find(|join| join.conn == conn).and_then(|join| Some((join.session, join.asked?.1)));
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
    fn forget(&mut self, conn: ConnId, match_id: MatchId) {
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
    fn gone(&mut self, now: Instant, match_id: MatchId) {
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
        let refusal = match self.matches.get(&match_id).map(|local| (local.relay.owner(), local.relay.epoch())) {
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
        send_refusal(peer, match_id, command, refusal.0, refusal.1);
    }

    /// A control about a match, other than the answer to a join.
    pub(super) fn match_control(&mut self, now: Instant, origin: Origin, control: Control) {
        let Origin { from, match_id, epoch } = origin;
        let Some(local) = self.matches.get_mut(&match_id) else { return };
        match control {
            Control::NotHere => {
                let asked = local.joins.iter().any(|join| join.asked.is_some_and(|(_, node)| node == from));
                if !asked && local.relay.owner() != Some(from) {
                    return metrics::entry_refused("not_the_owner");
                }
                local.relay.detach(now);
                // At most once a second, or a wrong cache would keep both nodes busy.
                if now.since(local.located_at) >= NOT_HERE_AGAIN || local.members.is_empty() && asked {
                    self.attach(now, match_id, true);
                }
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
                    send_refusal(&connected.peer, match_id, command, code, &detail);
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
        let mut silent = std::mem::take(&mut self.scratch);
        let mut waited = Vec::new();
        for (match_id, local) in &mut self.matches {
            for join in &local.joins {
                if join.deadline.is_some_and(|deadline| now >= deadline) {
                    waited.push((join.conn, *match_id));
                }
            }
            if local.relay.timeout(now).is_some() {
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

    /// A worker has lost its memory: its matches are to be found again.
    pub(super) fn restarted(&mut self, now: Instant, node: NodeId) {
        let lost: Vec<MatchId> = self
            .matches
            .iter_mut()
            .filter(|(_, local)| {
                local.relay.owner() == Some(node)
                    || local.joins.iter().any(|join| join.asked.is_some_and(|(_, asked)| asked == node))
            })
            .map(|(match_id, local)| {
                local.relay.detach(now);
                *match_id
            })
            .collect();
        for match_id in lost {
            self.attach(now, match_id, false);
        }
    }
}

fn send_refusal(peer: &SharedPeer, match_id: MatchId, command: Command, code: ErrorCode, detail: &str) {
    metrics::refused(code.as_str());
    let error = ErrorMessage {
        code,
        detail: detail.to_owned(),
        of: Some(command_name(command).into()),
        match_id: Some(match_id),
    };
    peer.send(&error.into());
}
