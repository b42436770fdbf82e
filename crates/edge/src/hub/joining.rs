//! Coming into a match, for the first time and again: finding its owner, asking, and what follows from the answer.

use std::time::Duration;

use rally_link::Asked;
use rally_protocol::{
    client::v1::{ErrorCode, JoinAs, MatchJoined, Phase, Skill},
    cluster::v1::Control,
};
use rally_service::traces;
use rally_store::Store;
use rally_units::{Instant, MatchId, NodeId};
use tokio::sync::Semaphore;
use tracing::{Instrument as _, Span};

use super::{
    Event, Located,
    batch::Origin,
    matches::{Join, LocalMatch, Member, refusal},
    people::Person,
    run::Hub,
};
use crate::{metrics, socket::ConnId};

/// How long a client waits for `match_joined`.
const JOIN_WITHIN: Duration = Duration::from_secs(5);

/// Questions to Postgres at once: when Redis has lost its memory, all matches ask.
pub(super) const LOOK_UPS_MAX: usize = 4;

/// Look-ups that are under way or wait. Beyond them, whoever comes in is refused and whoever is in waits for the next
/// attempt.
pub(super) const LOOK_UP_PLACES: usize = 1_024;

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
            span: traces::in_match("match.join", match_id),
        };
        let local = self.matches.entry(match_id).or_insert_with(|| LocalMatch::new(now));
        local.joins.retain(|join| join.conn != conn);
        local.joins.push(join);
        match local.relay.owner() {
            Some(owner) => self.ask(now, match_id, owner),
            None => self.locate(now, match_id, false),
        }
    }

    /// Puts the question to the owner for all who have not asked yet.
    pub(super) fn ask(&mut self, now: Instant, match_id: MatchId, owner: NodeId) {
        // Those who are here need not ask while the owner is heard.
        if self.matches.get(&match_id).is_some_and(|local| local.relay.owner().is_none()) {
            self.ask_to_stay(now, match_id, owner);
        }
        let Some(local) = self.matches.get_mut(&match_id) else { return };
        let mut refused = Vec::new();
        let asks = |join: &&mut Join| join.asked.is_none_or(|asked| !asked.awaits(owner, now));
        for join in local.joins.iter_mut().filter(asks) {
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
                Ok(()) => join.asked = Some(Asked::new(request, owner, now)),
                Err(error) => {
                    tracing::warn!(%error, %owner, %match_id, "cannot ask to join");
                    // A member stays one: the next attempt asks for it again.
                    if join.deadline.is_some() {
                        refused.push(join.conn);
                    }
                }
            }
        }
        for conn in refused {
            self.refuse_join(conn, match_id, ErrorCode::Unavailable, "the match cannot be reached");
        }
    }

    /// Looks the owner up: in Redis, unless that is known to be wrong, then in Postgres.
    pub(super) fn locate(&mut self, now: Instant, match_id: MatchId, skip_cache: bool) {
        let Some(local) = self.matches.get_mut(&match_id) else { return };
        if local.locating {
            return;
        }
        local.located_at = now;
        let Ok(place) = self.look_up_places.clone().try_acquire_owned() else {
            self.metrics.look_ups_refused.increment(1);
            return self.located(now, match_id, Located::Unknown);
        };
        local.locating = true;
        let (fabric, store, events) = (self.fabric.clone(), self.store.clone(), self.events.clone());
        let look_ups = self.look_ups.clone();
        let span = local.joins.first().map_or_else(Span::none, |join| traces::part(&join.span, "match.locate"));
        let look_up = async move {
            let cached = match skip_cache {
                true => None,
                // An error is no answer: ask Postgres.
                false => fabric.owner(match_id).await.ok().flatten(),
            };
            let owner = match cached {
                Some(owner) => Located::Owner(owner.node, owner.incarnation),
                None => ask_postgres(&store, &look_ups, match_id).await,
            };
            drop(place);
            // An error means that the hub has ended.
            let _ = events.send(Event::Located { match_id, owner }).await;
        };
        tokio::spawn(look_up.instrument(span));
    }

    pub(super) fn located(&mut self, now: Instant, match_id: MatchId, owner: Located) {
        let Some(local) = self.matches.get_mut(&match_id) else { return };
        local.locating = false;
        match owner {
            Located::Owner(node, incarnation) => {
                self.pairs.meet(node, incarnation);
                self.ask(now, match_id, node);
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

    /// Asks the owner to let everybody in again. The first time that is the one known, if it lives: a worker that was
    /// silent for a moment has many matches, and looking each of them up would make the moment longer.
    pub(super) fn attach(&mut self, now: Instant, match_id: MatchId, skip_cache: bool) {
        let Some(local) = self.matches.get_mut(&match_id) else { return };
        self.metrics.attaches.increment(1);
        local.attempts += 1;
        let known = local.held_owner.filter(|_| local.attempts == 1 && !skip_cache);
        match known.filter(|owner| self.fabric.nodes().get(*owner).is_some()) {
            Some(owner) => self.ask(now, match_id, owner),
            None => self.locate(now, match_id, skip_cache),
        }
    }

    pub(super) fn joined(&mut self, now: Instant, origin: Origin, request: u64, generation: u16, picture: MatchJoined) {
        let Origin { from, match_id, epoch } = origin;
        // Whoever left meanwhile has said so to the owner already.
        let Some(local) = self.matches.get_mut(&match_id) else { return };
        // A former owner passes the question on, so that the answer may be another's; the relay judges whose counts.
        let is_answered = |join: &Join| join.asked.is_some_and(|asked| asked.request == request);
        let Some(at) = local.joins.iter().position(is_answered) else { return };
        let finished = picture.phase == Phase::Finished;
        let (last_event, over, place) = (picture.last_event, picture.over.is_some(), picture.side);
        if let Err(refusal) = local.relay.attached(now, from, epoch, last_event, finished, over) {
            // A former owner. The relay looks for the present one in a moment.
            local.joins[at].asked = None;
            return metrics::entry_refused(refusal.label());
        }
        local.over |= over;
        local.attempts = 0;
        local.joins_anew &= local.joins.len() > 1;
        let Join { conn, session, join_as, skill, .. } = local.joins.swap_remove(at);
        let Some((peer, _)) = self.people.person(conn) else { return };
        local.take_seats(conn, place, generation);
        local.members.retain(|member| member.conn != conn);
        local.members.push(Member { conn, session, peer: peer.clone(), join_as, skill, last_event });
        peer.send_with(|connection| connection.joined(now, match_id, place), &picture.into());
        self.hold(match_id);
    }

    pub(super) fn join_refused(&mut self, now: Instant, origin: Origin, request: u64, code: ErrorCode, detail: &str) {
        let match_id = origin.match_id;
        let Some(local) = self.matches.get_mut(&match_id) else { return };
        if local.attaching.is_some_and(|asked| asked.request == request) {
            return self.may_not_stay(now, origin, code);
        }
        let is_answered = |join: &&mut Join| join.asked.is_some_and(|asked| asked.request == request);
        let Some(join) = local.joins.iter_mut().find(is_answered) else { return };
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
    pub(super) fn refuse_join(&mut self, conn: ConnId, match_id: MatchId, code: ErrorCode, detail: &str) {
        self.forget(conn, match_id);
        let Some(connected) = self.people.get(conn) else { return };
        let error = refusal(match_id, Some("match_join"), code, detail);
        connected.peer.send_with(|connection| connection.left(match_id), &error);
    }
}

async fn ask_postgres(store: &Store, look_ups: &Semaphore, match_id: MatchId) -> Located {
    // The semaphore is never closed.
    let _permit = look_ups.acquire().await;
    match store.owner_of(match_id).await {
        Ok(Some(ownership)) => Located::Owner(ownership.owner.node, ownership.owner.incarnation),
        Ok(None) => Located::Nowhere,
        Err(error) => {
            tracing::warn!(%error, %match_id, "cannot look up a match's owner");
            Located::Unknown
        }
    }
}
