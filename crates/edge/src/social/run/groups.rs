//! Groups as their members here see them: what changes, and who reads their channels no more.
//!
//! News of it may be lost. So whenever some may have been, Postgres is asked who is still in the groups that are read
//! here; and whoever comes to read one is looked up after it is known that he is about to.

use rally_protocol::client::v1::{ChannelClosed, GroupChanged, ServerMessage};
use rally_units::{GroupId, UserId};

use super::{super::ConnId, ASKED_AT_ONCE, Event, Social};
use crate::social::ChannelName;

impl Social {
    pub(super) fn group_news(&mut self, to: &[UserId], changed: GroupChanged, closed: &[UserId]) {
        let (key, reason) = (changed.channel.clone(), changed.change.clone());
        let message: ServerMessage = changed.into();
        for user in to {
            self.people.connections_of(*user).for_each(|here| here.peer.send(&message));
        }
        closed.iter().for_each(|user| self.close_channel(*user, &key, &reason));
    }

    /// Somebody reads a channel no more, wherever he does here.
    fn close_channel(&mut self, user: UserId, key: &str, reason: &str) {
        let connections: Vec<ConnId> =
            self.people.persons.get(&user).map(|p| p.connections.clone()).unwrap_or_default();
        for conn in connections {
            let Some(here) = self.people.here.get_mut(&conn) else { continue };
            let Some(at) = here.channels.iter().position(|one| one == key) else { continue };
            here.channels.swap_remove(at);
            here.peer.send(&ChannelClosed { channel: key.to_owned(), reason: reason.to_owned() }.into());
            self.leave(conn, key);
        }
    }

    /// Asks who reads a group here without being in it any more.
    pub(super) fn check_groups(&self) {
        let mut pairs: Vec<(GroupId, UserId)> = Vec::new();
        for here in self.people.here.values() {
            for key in &here.channels {
                if let Ok(ChannelName::Group(id)) = key.parse() {
                    pairs.push((id, here.user.id));
                }
            }
        }
        for some in pairs.chunks(ASKED_AT_ONCE) {
            let (store, some) = (self.store.clone(), some.to_vec());
            self.ask(async move { store.strangers(&some).await.ok().map(Event::Strangers) });
        }
    }

    /// Closes groups' channels to whoever is not in them.
    pub(super) fn strangers(&mut self, strangers: &[(GroupId, UserId)]) {
        for (id, user) in strangers {
            self.close_channel(*user, &ChannelName::Group(*id).to_string(), "left");
        }
    }
}
