//! Who is here, whom they watch, and who is seen to be where.
//!
//! A person is one presence, on however many devices. Of each friend of somebody here all sessions are known; a session
//! counts while that life of its edge lives. So the people of a dead edge are gone as soon as its lease is, without
//! anybody having to say so.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use rally_fabric::{Nodes, Presence, PresenceChange};
use rally_protocol::client::v1::{self, Status, UserInfo};
use rally_store::{Store, StoreError};
use rally_units::{MatchId, SessionId, UserId};

use crate::socket::{ConnId, SharedPeer};

/// A connection of somebody who is here.
pub(super) struct Here {
    pub(super) peer: SharedPeer,
    pub(super) session: SessionId,
    pub(super) user: UserInfo,
    pub(super) status: Status,
    pub(super) playing: Option<MatchId>,
    /// Channels that it reads, by their keys.
    pub(super) channels: Vec<String>,
}

/// A person who is here.
#[derive(Default)]
pub(super) struct Person {
    pub(super) connections: Vec<ConnId>,
    pub(super) friends: HashSet<UserId>,
    /// What is known of it, once it is.
    pub(super) wishes: Option<Wishes>,
}

/// What somebody wants to hear of others, and have others hear.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    pub(super) blocked: HashSet<UserId>,
    /// Whether it is told how far one has read, and how far others have.
    pub(super) receipts: bool,
}

impl Wishes {
    /// Of these, as far as there are such people.
    pub(super) async fn read(store: &Store, users: &[UserId]) -> Result<Vec<(UserId, Self)>, StoreError> {
        let wishes = store.wishes(users).await?;
        let each = |(user, blocked, receipts): (UserId, Vec<UserId>, bool)| {
            (user, Self { blocked: blocked.into_iter().collect(), receipts })
        };
        Ok(wishes.into_iter().map(each).collect())
    }

    /// Of one, who wishes nothing if there is no such person.
    pub(super) async fn read_of(store: &Store, user: UserId) -> Result<Self, StoreError> {
        Ok(Self::read(store, &[user]).await?.pop().map(|(_, wishes)| wishes).unwrap_or_default())
    }
}

/// Somebody whom somebody here watches.
#[derive(Default)]
struct Watched {
    sessions: HashMap<SessionId, Presence>,
    watchers: HashSet<UserId>,
    shown: Shown,
}

/// What is shown of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) status: Status,
    pub(super) match_id: Option<MatchId>,
}

impl Default for Shown {
    fn default() -> Self {
        Self { status: Status::Offline, match_id: None }
    }
}

/// Everybody here, and everybody whom they watch.
#[derive(Default)]
pub(super) struct People {
    pub(super) here: HashMap<ConnId, Here>,
    pub(super) persons: HashMap<UserId, Person>,
    watched: HashMap<UserId, Watched>,
}

impl People {
    /// Somebody comes. `true`: the first connection of that person.
    pub(super) fn come(&mut self, conn: ConnId, here: Here) -> bool {
        let person = self.persons.entry(here.user.id).or_default();
        person.connections.push(conn);
        let first = person.connections.len() == 1;
        self.here.insert(conn, here);
        first
    }

    /// Somebody goes. The second: it was that person's last connection here.
    pub(super) fn go(&mut self, conn: ConnId) -> Option<(Here, bool)> {
        let here = self.here.remove(&conn)?;
        let user = here.user.id;
        let Entry::Occupied(mut person) = self.persons.entry(user) else { return Some((here, true)) };
        person.get_mut().connections.retain(|one| *one != conn);
        let last = person.get().connections.is_empty();
        if last {
            let friends = person.remove().friends;
            friends.into_iter().for_each(|friend| self.unwatch(user, friend));
        }
        Some((here, last))
    }

    /// Somebody here watches these from now on. Returns those of whom nothing is known yet.
    pub(super) fn watch(&mut self, user: UserId, friends: impl IntoIterator<Item = UserId>) -> Vec<UserId> {
        let mut unknown = Vec::new();
        let Some(person) = self.persons.get_mut(&user) else { return unknown };
        for friend in friends {
            person.friends.insert(friend);
            let watched = self.watched.entry(friend).or_insert_with(|| {
                unknown.push(friend);
                Watched::default()
            });
            watched.watchers.insert(user);
        }
        unknown
    }

    /// Somebody here watches this one no more.
    pub(super) fn unwatch(&mut self, user: UserId, friend: UserId) {
        if let Some(person) = self.persons.get_mut(&user) {
            person.friends.remove(&friend);
        }
        if let Entry::Occupied(mut watched) = self.watched.entry(friend) {
            watched.get_mut().watchers.remove(&user);
            if watched.get().watchers.is_empty() {
                watched.remove();
            }
        }
    }

    /// All who are watched.
    pub(super) fn watched(&self) -> Vec<UserId> {
        self.watched.keys().copied().collect()
    }

    /// What Redis says of somebody, in place of what was known.
    pub(super) fn fetched(&mut self, user: UserId, sessions: HashMap<SessionId, Presence>) {
        if let Some(watched) = self.watched.get_mut(&user) {
            watched.sessions = sessions;
        }
    }

    /// What an edge says of a session.
    pub(super) fn changed(&mut self, change: &PresenceChange) {
        if let Some(watched) = self.watched.get_mut(&change.user) {
            if !change.gone {
                watched.sessions.insert(change.session, change.presence);
            } else if watched.sessions.get(&change.session).is_some_and(|known| {
                // It may have gone on at another edge.
                (known.node, known.incarnation) == (change.presence.node, change.presence.incarnation)
            }) {
                watched.sessions.remove(&change.session);
            }
        }
    }

    /// Looks at these (or at all), and tells those who watch them what has changed.
    pub(super) fn look(&mut self, nodes: &Nodes, only: Option<&[UserId]>) {
        let Self { here, persons, watched } = self;
        let tell = |user: UserId, watched: &mut Watched| {
            let shown = shown(&watched.sessions, nodes);
            if shown == watched.shown {
                return;
            }
            watched.shown = shown;
            let message = presence(user, shown).into();
            let connections = watched.watchers.iter().filter_map(|user| persons.get(user)).flat_map(|p| &p.connections);
            connections.filter_map(|conn| here.get(conn)).for_each(|here| here.peer.send(&message));
        };
        match only {
            Some(users) => {
                for user in users {
                    if let Some(watched) = watched.get_mut(user) {
                        tell(*user, watched);
                    }
                }
            }
            None => watched.iter_mut().for_each(|(user, watched)| tell(*user, watched)),
        }
    }

    /// Tells one connection where its person's friends are, as far as they are not gone.
    pub(super) fn show_friends(&self, conn: ConnId) {
        let Some(here) = self.here.get(&conn) else { return };
        let Some(person) = self.persons.get(&here.user.id) else { return };
        for friend in &person.friends {
            if let Some(watched) = self.watched.get(friend)
                && watched.shown.status != Status::Offline
            {
                here.peer.send(&presence(*friend, watched.shown).into());
            }
        }
    }

    /// Whom somebody here blocks, as far as that is known.
    pub(super) fn blocked_by(&self, user: UserId) -> Option<&HashSet<UserId>> {
        self.persons.get(&user)?.wishes.as_ref().map(|wishes| &wishes.blocked)
    }

    /// Whether somebody here tells how far it has read, and sees how far others have.
    pub(super) fn has_receipts(&self, user: UserId) -> bool {
        self.persons.get(&user).and_then(|person| person.wishes.as_ref()).is_some_and(|wishes| wishes.receipts)
    }

    /// The connections of somebody here.
    pub(super) fn connections_of(&self, user: UserId) -> impl Iterator<Item = &Here> {
        let connections = self.persons.get(&user).map(|person| person.connections.as_slice()).unwrap_or_default();
        connections.iter().filter_map(|conn| self.here.get(conn))
    }
}

fn presence(user: UserId, shown: Shown) -> v1::Presence {
    v1::Presence { user, status: shown.status, match_id: shown.match_id }
}

/// What is shown of a person with these sessions: not to be disturbed if that is so on one device, else here if one is.
fn shown(sessions: &HashMap<SessionId, Presence>, nodes: &Nodes) -> Shown {
    let alive = || sessions.values().filter(|presence| nodes.lives(presence.node, presence.incarnation));
    let any = |status| alive().any(|presence| presence.status == status);
    let status = [Status::Busy, Status::Online, Status::Away].into_iter().find(|status| any(*status));
    Shown { status: status.unwrap_or(Status::Offline), match_id: alive().find_map(|presence| presence.match_id) }
}
