//! The people on this edge: their connections, sessions and matches.

use std::collections::HashMap;

use rally_fabric::TicketRef;
use rally_protocol::client::v1::UserInfo;
use rally_units::{Instant, MatchId, SessionId};
use smallvec::SmallVec;

use crate::socket::{ConnId, SharedPeer};

/// One connection, as the hub knows it.
pub(super) struct Connected {
    pub(super) peer: SharedPeer,
    /// `None` until `hello` has been answered, and after another connection has taken the session over.
    pub(super) person: Option<Box<Person>>,
}

/// Whose it is, and where that person is.
pub(super) struct Person {
    pub(super) session: SessionId,
    pub(super) user: UserInfo,
    pub(super) ticket: Option<TicketRef>,
    /// Since when it waits, if that was on this connection.
    pub(super) queued_at: Option<Instant>,
    /// Matches joined or asked for.
    pub(super) matches: SmallVec<[MatchId; 2]>,
}

/// All connections, by their ids and by their sessions.
#[derive(Default)]
pub(super) struct People {
    connections: HashMap<ConnId, Connected>,
    sessions: HashMap<SessionId, ConnId>,
}

impl People {
    pub(super) fn len(&self) -> usize {
        self.connections.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    pub(super) fn connect(&mut self, peer: SharedPeer) {
        self.connections.insert(peer.id, Connected { peer, person: None });
    }

    /// A session is opened. Returns the older connection that had it.
    pub(super) fn open(&mut self, conn: ConnId, person: Person) -> Option<ConnId> {
        let connected = self.connections.get_mut(&conn)?;
        let older = self.sessions.insert(person.session, conn);
        connected.person = Some(Box::new(person));
        older.filter(|older| *older != conn)
    }

    /// Takes the person off a connection, which may still be closing.
    pub(super) fn take_person(&mut self, conn: ConnId) -> Option<Box<Person>> {
        let person = self.connections.get_mut(&conn)?.person.take()?;
        if self.sessions.get(&person.session) == Some(&conn) {
            self.sessions.remove(&person.session);
        }
        Some(person)
    }

    pub(super) fn disconnect(&mut self, conn: ConnId) {
        self.connections.remove(&conn);
    }

    pub(super) fn get(&self, conn: ConnId) -> Option<&Connected> {
        self.connections.get(&conn)
    }

    /// The person of a connection with its writing side.
    pub(super) fn person(&self, conn: ConnId) -> Option<(&SharedPeer, &Person)> {
        let Connected { peer, person } = self.connections.get(&conn)?;
        Some((peer, person.as_deref()?))
    }

    pub(super) fn person_mut(&mut self, conn: ConnId) -> Option<&mut Person> {
        self.connections.get_mut(&conn)?.person.as_deref_mut()
    }

    pub(super) fn by_session(&self, session: SessionId) -> Option<ConnId> {
        self.sessions.get(&session).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnId, &Connected)> {
        self.connections.iter().map(|(conn, connected)| (*conn, connected))
    }

    /// Open sessions and their users.
    pub(super) fn sessions(&self) -> impl Iterator<Item = &Person> {
        self.connections.values().filter_map(|connected| connected.person.as_deref())
    }
}
