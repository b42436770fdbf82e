//! Who comes and goes, what is told of them, and what they wish.

use rally_fabric::{Presence, PresenceChange, TopicEvent};
use rally_protocol::client::{
    codec::{Encoding, Messages as _},
    v1::{Friend, ServerMessage, Status, UserInfo},
};
use rally_units::{SessionId, UserId};

use super::{
    super::{
        Event,
        people::{Here, Wishes},
        wire::PeopleNews,
    },
    ASKED_AT_ONCE, Social,
};
use crate::socket::{ConnId, SharedPeer};

impl Social {
    pub(super) fn opened(&mut self, peer: SharedPeer, session: SessionId, user: UserInfo) {
        let (conn, id) = (peer.id, user.id);
        let here = Here { peer, session, user, status: Status::Online, playing: None, channels: Vec::new() };
        let first = self.people.come(conn, here);
        self.show(conn);
        if !first {
            return self.people.show_friends(conn);
        }
        let store = self.store.clone();
        self.ask(async move {
            let (friends, wishes) = tokio::join!(store.friend_ids(id), Wishes::read_of(&store, id));
            match (friends, wishes) {
                (Ok(friends), Ok(wishes)) => Some(Event::Loaded { user: id, friends, wishes }),
                (Err(error), _) | (_, Err(error)) => {
                    tracing::warn!(%error, user = %id, "cannot look up somebody's friends");
                    None
                }
            }
        });
    }

    pub(super) fn loaded(&mut self, user: UserId, friends: Vec<UserId>, wishes: Wishes) {
        let Some(person) = self.people.persons.get_mut(&user) else { return };
        person.wishes = Some(wishes);
        let unknown = self.people.watch(user, friends);
        self.fetch(unknown);
        let connections = self.people.persons.get(&user).map(|person| person.connections.clone());
        connections.unwrap_or_default().into_iter().for_each(|conn| self.people.show_friends(conn));
    }

    pub(super) fn fetch(&self, users: Vec<UserId>) {
        if users.is_empty() {
            return;
        }
        let fabric = self.fabric.clone();
        self.ask(async move {
            match fabric.presence().get(&users).await {
                Ok(sessions) => Some(Event::Fetched(users.into_iter().zip(sessions).collect())),
                Err(error) => {
                    // The next gap, or the renewals of their edges, say it.
                    tracing::debug!(%error, "cannot look up presence");
                    None
                }
            }
        });
    }

    pub(super) fn closed(&mut self, conn: ConnId) {
        let Some((here, last)) = self.people.go(conn) else { return };
        for key in &here.channels {
            self.leave(conn, key);
        }
        // A session that goes on at a newer connection here is not gone.
        if !self.people.connections_of(here.user.id).any(|other| other.session == here.session) {
            self.change(&here, true);
        }
        if last {
            self.seen.push(here.user.id);
        }
    }

    /// Writes and tells what a connection shows.
    pub(super) fn show(&self, conn: ConnId) {
        if let Some(here) = self.people.here.get(&conn) {
            self.change(here, false);
        }
    }

    pub(super) fn change(&self, here: &Here, gone: bool) {
        let presence = Presence {
            node: self.fabric.node(),
            incarnation: self.fabric.incarnation(),
            status: here.status,
            match_id: here.playing,
        };
        let change = PresenceChange { user: here.user.id, session: here.session, presence, gone };
        if self.changes.try_send(change).is_err() {
            tracing::debug!("too many changes of presence wait");
        }
    }

    pub(super) fn people_news(&mut self, event: TopicEvent) {
        let bytes = match event {
            TopicEvent::Message(bytes) => bytes,
            // Something may have been lost: Redis has it.
            TopicEvent::Gap => {
                self.check_groups();
                self.check_wishes(self.people.persons.keys().copied());
                return self.fetch(self.people.watched());
            }
        };
        let news: PeopleNews = match serde_json::from_slice(&bytes) {
            Ok(news) => news,
            Err(error) => return tracing::warn!(%error, "news of people cannot be read"),
        };
        match news {
            PeopleNews::Presence(changes) => {
                let users: Vec<UserId> = changes.iter().map(|change| change.user).collect();
                changes.iter().for_each(|change| self.people.changed(change));
                self.people.look(&self.fabric.nodes(), Some(&users));
            }
            PeopleNews::Friend { to, about, change } => {
                match change.as_str() {
                    "accepted" => {
                        let unknown = self.people.watch(to, [about.id]);
                        if unknown.is_empty() {
                            let connections = self.people.persons.get(&to).map(|person| person.connections.clone());
                            connections.unwrap_or_default().into_iter().for_each(|c| self.people.show_friends(c));
                        }
                        self.fetch(unknown);
                    }
                    "removed" => self.people.unwatch(to, about.id),
                    _ => {}
                }
                let message: ServerMessage = Friend { user: about, change }.into();
                self.people.connections_of(to).for_each(|here| here.peer.send(&message));
            }
            PeopleNews::Tell { to, session, message } => {
                let message = match ServerMessage::decode(Encoding::Json, message.as_bytes()) {
                    Ok(message) => message,
                    Err(error) => return tracing::warn!(%error, "what somebody is to be told cannot be read"),
                };
                let here = self.people.connections_of(to);
                here.filter(|here| session.is_none_or(|session| session == here.session))
                    .for_each(|here| here.peer.send(&message));
            }
            PeopleNews::Blocks(user) => self.check_wishes([user].into_iter()),
            PeopleNews::Group { to, changed, closed } => self.group_news(&to, changed, &closed),
            PeopleNews::Notified { to, notified } => {
                let message: ServerMessage = notified.into();
                self.people.connections_of(to).for_each(|here| here.peer.send(&message));
            }
        }
    }

    /// Asks what these people wish, as far as they are here.
    pub(super) fn check_wishes(&self, users: impl Iterator<Item = UserId>) {
        let here: Vec<UserId> = users.filter(|user| self.people.persons.contains_key(user)).collect();
        for some in here.chunks(ASKED_AT_ONCE) {
            let (store, some) = (self.store.clone(), some.to_vec());
            self.ask(async move { Wishes::read(&store, &some).await.ok().map(Event::Wishes) });
        }
    }
}
