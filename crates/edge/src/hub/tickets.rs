//! Tickets of this edge's people: kept alive while their connections are, and what becomes of them.

use rally_fabric::{QueueStatus, TicketRef};
use rally_protocol::client::v1::{MatchFound, QueueLeft, Queued, Side};
use rally_service::clock;
use rally_units::{MatchId, SessionId};

use super::{Event, run::Hub};
use crate::{
    metrics,
    socket::{ConnId, KeptSession},
};

impl Hub {
    /// A director has found an opponent.
    pub(super) fn found(&mut self, session: SessionId, message: MatchFound) {
        // Not here: the connection is closed or has moved; a refresh tells wherever it is.
        let Some(conn) = self.people.by_session(session) else { return };
        self.tell_found(conn, message);
    }

    fn tell_found(&mut self, conn: ConnId, message: MatchFound) {
        let Some(person) = self.people.person_mut(conn) else { return };
        person.ticket = None;
        if let Some(since) = person.queued_at.take() {
            metrics::queue_waited(message.mode, clock::now().since(since));
        }
        if let Some((peer, _)) = self.people.person(conn) {
            peer.send(&message.into());
        }
    }

    /// A director has put a ticket back.
    pub(super) fn requeued(&mut self, session: SessionId, mode: rally_protocol::client::v1::Mode) {
        let Some(conn) = self.people.by_session(session) else { return };
        let Some(person) = self.people.person_mut(conn) else { return };
        person.ticket = Some(TicketRef { mode, user: person.user.id, session });
        person.queued_at = Some(clock::now());
        if let Some((peer, _)) = self.people.person(conn) {
            peer.send(&Queued { mode, wait_s: None }.into());
        }
    }

    /// Keeps all tickets for another while. One refresh at a time: with Redis away, they would pile up.
    pub(super) fn refresh_tickets(&mut self) {
        if self.refreshing {
            return;
        }
        let (conns, tickets): (Vec<ConnId>, Vec<TicketRef>) =
            self.people.iter().filter_map(|(conn, connected)| Some((conn, connected.person.as_ref()?.ticket?))).unzip();
        if tickets.is_empty() {
            return;
        }
        self.refreshing = true;
        let (fabric, events) = (self.fabric.clone(), self.events.clone());
        tokio::spawn(async move {
            let states = match fabric.queue().refresh(&tickets).await {
                Ok(states) => states,
                Err(error) => {
                    tracing::warn!(%error, tickets = tickets.len(), "cannot refresh tickets");
                    Vec::new()
                }
            };
            let refreshed =
                conns.into_iter().zip(tickets).zip(states).map(|((conn, ticket), state)| (conn, ticket, state));
            // An error means that the hub has ended.
            let _ = events.send(Event::Refreshed(refreshed.collect())).await;
        });
    }

    pub(super) fn refreshed(&mut self, states: Vec<(ConnId, TicketRef, QueueStatus)>) {
        self.refreshing = false;
        for (conn, ticket, state) in states {
            let Some(person) = self.people.person_mut(conn) else { continue };
            if person.ticket != Some(ticket) {
                continue;
            }
            match state {
                QueueStatus::Waiting { .. } | QueueStatus::Pending { .. } => {}
                QueueStatus::Found { mode, match_id } => {
                    // The director's word for it may be under way, or lost with the director.
                    self.find_late(conn, ticket, mode, match_id);
                }
                QueueStatus::Gone => {
                    person.ticket = None;
                    if let Some((peer, _)) = self.people.person(conn) {
                        peer.send(&QueueLeft { mode: ticket.mode }.into());
                    }
                }
            }
        }
    }

    fn find_late(&self, conn: ConnId, ticket: TicketRef, mode: rally_protocol::client::v1::Mode, match_id: MatchId) {
        let (store, events) = (self.store.clone(), self.events.clone());
        tokio::spawn(async move {
            let side = match store.active_match(ticket.user).await {
                Ok(Some(seat)) if seat.match_id == match_id => match seat.side {
                    rally_store::Side::Left => Side::Left,
                    rally_store::Side::Right => Side::Right,
                },
                // Over already, or not to be known now: then the next refresh tries again.
                Ok(_) | Err(_) => return,
            };
            let message = MatchFound { match_id, mode, side, opponent: None };
            let _ = events.send(Event::FoundLate { conn, message: Box::new(message) }).await;
        });
    }

    pub(super) fn found_late(&mut self, conn: ConnId, message: MatchFound) {
        // Not if the director's word has come meanwhile.
        if self.people.person(conn).is_some_and(|(_, person)| person.ticket.is_some()) {
            self.tell_found(conn, message);
        }
    }

    /// Keeps all sessions for another while, and makes those again that Redis has lost.
    pub(super) fn touch_sessions(&self) {
        let people: Vec<_> = self.people.sessions().map(|person| (person.session, person.user.id)).collect();
        if people.is_empty() {
            return;
        }
        let sessions = self.fabric.sessions();
        tokio::spawn(async move {
            let ids: Vec<SessionId> = people.iter().map(|(session, _)| *session).collect();
            let lost = match sessions.touch(&ids).await {
                Ok(lost) => lost,
                Err(error) => return tracing::warn!(%error, sessions = ids.len(), "cannot touch sessions"),
            };
            for (session, user) in people.into_iter().filter(|(session, _)| lost.contains(session)) {
                if let Err(error) = sessions.put(session, KeptSession::of(user).to_bytes()).await {
                    return tracing::warn!(%error, "cannot make a session again");
                }
            }
        });
    }
}
