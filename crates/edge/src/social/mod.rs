//! What people say and show to each other, apart from matches: channels, presence, friendships, invitations.
//!
//! One task owns it all, beside the hub and independent of it: a busy chat does not hold up a snapshot. Connections
//! send it events through a bounded channel; what takes time (Postgres, Redis) runs in tasks of its own and comes back
//! as an event. Everything here can be read again from Postgres and Redis.

mod channels;
mod duels;
mod mentions;
mod names;
mod notices;
mod people;
mod run;
mod say;
mod wire;

use rally_fabric::{Fabric, TopicEvent};
use rally_link::Talk;
use rally_protocol::client::v1::{ErrorCode, ServerMessage, UserInfo};
use rally_store::{Message, Store, Stretch};
use rally_units::{GroupId, SessionId, UserId};
use tokio::sync::mpsc;

pub(crate) use names::{ChannelName, may_read};
pub(crate) use notices::{notified, notify};
pub(crate) use wire::{PeopleNews, announce};

use channels::{CaughtUp, Unread};
use people::Wishes;

use crate::{
    hub,
    socket::{ConnId, SharedPeer},
};

/// Events that wait. Beyond it requests are refused.
const EVENTS_MAX: usize = 8 * 1024;

/// The way to the task, which ends with its last handle.
#[derive(Clone)]
pub(crate) struct Handle {
    events: mpsc::Sender<Event>,
}

impl Handle {
    /// Starts the task, within a tokio runtime.
    pub(crate) fn start(fabric: Fabric, store: Store, hub: hub::Handle) -> Self {
        channels::describe();
        notices::describe();
        let (events, inbox) = mpsc::channel(EVENTS_MAX);
        tokio::spawn(run::run(fabric, store, hub, events.downgrade(), inbox));
        Self { events }
    }

    /// Tells the task of something. `false`: too much waits.
    pub(crate) fn tell(&self, event: Event) -> bool {
        self.events.try_send(event).is_ok()
    }
}

/// Everything that the task is told.
pub(crate) enum Event {
    /// A session is open here.
    Opened { peer: SharedPeer, session: SessionId, user: UserInfo },
    /// A connection is gone.
    Closed(ConnId),
    /// Somebody wants something.
    Talk { conn: ConnId, talk: Talk },
    /// What is known of somebody who has come.
    Loaded { user: UserId, friends: Vec<UserId>, wishes: Wishes },
    /// What people wish, anew.
    Wishes(Vec<(UserId, Wishes)>),
    /// Where users are, by Redis.
    Fetched(Vec<(UserId, std::collections::HashMap<SessionId, rally_fabric::Presence>)>),
    /// Something about people, from any edge.
    People(TopicEvent),
    /// Somebody may read a channel (or not).
    Admitted { conn: ConnId, name: ChannelName, since: Option<u64>, admitted: Result<(), (ErrorCode, &'static str)> },
    /// A channel's topic is subscribed (or not).
    Subscribed { key: String, done: bool },
    /// Something in a channel, from any edge.
    Channel { key: String, event: TopicEvent },
    /// What a new member of a channel has missed.
    Read { conn: ConnId, key: String, name: ChannelName, read: Result<CaughtUp, Unread> },
    /// Who is not in the group that he reads.
    Strangers(Vec<(GroupId, UserId)>),
    /// What fills a hole.
    Filled { key: String, stretch: Option<Stretch> },
    /// What somebody wanted of a duel is done (or refused).
    Arranged { conn: ConnId, of: &'static str, answer: Result<Option<Box<ServerMessage>>, duels::Refused> },
    /// A batch is stored (or not).
    Stored {
        key: String,
        messages: Vec<Message>,
        /// Those who are answered apart: what they said was there already, or is refused.
        answers: Vec<(ConnId, Answer)>,
    },
}

/// What somebody is answered who said something.
pub(crate) enum Answer {
    /// It stands there already.
    Repeated(Box<Message>),
    /// It is refused; the last: until when, in ms since 1970.
    Refused(&'static str, ErrorCode, String, Option<u64>),
}
