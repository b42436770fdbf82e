//! Beginning to read a channel, and ceasing to.
//!
//! Who may read is looked up, then the topic is subscribed, then what was missed is read from Postgres: in this order,
//! so that nothing falls between.

use rally_protocol::{
    client::v1::{ChannelJoined, ErrorCode},
    limits::RESUME_CHANNELS_MAX,
};
use rally_store::MESSAGES_MAX;
use rally_units::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        Event,
        channels::{CaughtUp, Channel, Feed, Member, Unread},
        names::{ChannelName, may_read},
        people::Wishes,
        wire::{Said, topic_of},
    },
    Social, read_topic, refuse,
};
use crate::socket::ConnId;

impl Social {
    pub(super) fn leave(&mut self, conn: ConnId, key: &str) {
        if let Some(channel) = self.channels.get_mut(key) {
            channel.members.retain(|member| member.conn != conn);
            if let Feed::Pending(asked) = &mut channel.feed {
                asked.retain(|(asking, ..)| *asking != conn);
            }
        }
    }

    pub(super) fn admitted(
        &mut self,
        conn: ConnId,
        name: ChannelName,
        since: Option<u64>,
        admitted: Result<(), (ErrorCode, &'static str)>,
    ) {
        let Some(here) = self.people.here.get_mut(&conn) else { return };
        if let Err((code, detail)) = admitted {
            return refuse(&here.peer, "channel_join", code, detail);
        }
        let key = name.key(here.user.id);
        if !here.channels.contains(&key) {
            if here.channels.len() >= RESUME_CHANNELS_MAX {
                return refuse(&here.peer, "channel_join", ErrorCode::AtCapacity, "in too many channels");
            }
            here.channels.push(key.clone());
        }
        let channel = self.channels.entry(key.clone()).or_insert_with(|| {
            let over = CancellationToken::new();
            let (of_event, of_subscribed) = (key.clone(), key.clone());
            tokio::spawn(over.clone().run_until_cancelled_owned(read_topic(
                self.fabric.clone(),
                topic_of(&key),
                self.events.clone(),
                move |event| Event::Channel { key: of_event.clone(), event },
                move |done| Some(Event::Subscribed { key: of_subscribed.clone(), done }),
            )));
            Channel::new(over.drop_guard())
        });
        match &mut channel.feed {
            Feed::Pending(asked) => asked.push((conn, name, since)),
            Feed::Open => self.read(key, conn, name, since),
        }
    }

    pub(super) fn subscribed(&mut self, key: &str, done: bool) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        let Feed::Pending(asked) = &mut channel.feed else { return };
        let asked = std::mem::take(asked);
        if done {
            channel.feed = Feed::Open;
            for (conn, name, since) in asked {
                self.read(key.to_owned(), conn, name, since);
            }
            return;
        }
        for (conn, ..) in asked {
            if let Some(here) = self.people.here.get_mut(&conn) {
                here.channels.retain(|one| one != key);
                refuse(&here.peer, "channel_join", ErrorCode::Unavailable, "the channels are away");
            }
        }
    }

    /// Looks up what a new member has missed. What comes from now on comes by the topic.
    pub(super) fn read(&mut self, key: String, conn: ConnId, name: ChannelName, since: Option<u64>) {
        let (store, of_channel) = (self.store.clone(), key.clone());
        let Some(user) = self.people.here.get(&conn).map(|here| here.user.id) else { return };
        let is_known = self.people.blocked_by(user).is_some();
        let asked = self.ask(async move {
            let read = async {
                // Again: news of whoever was put out before this came before it was known that he reads here.
                if let (ChannelName::Group(_) | ChannelName::Direct(_), Err(refused)) =
                    (name, may_read(&store, user, name).await?)
                {
                    return Ok(Err(refused));
                }
                let wishes = if is_known { None } else { Some(Wishes::read_of(&store, user).await?) };
                if let Some(since) = since {
                    let missed = store.messages_after(&key, since).await?;
                    let end = missed.messages.last().map_or(since, |message| message.offset);
                    // What is too old is kept no longer.
                    let is_whole = missed.messages.first().is_none_or(|message| message.offset == since + 1);
                    // An offset that does not exist yet is of another cluster, or made up.
                    if end == missed.last_offset && is_whole {
                        return Ok(Ok(CaughtUp { stretch: missed, recovered: true, wishes }));
                    }
                }
                let latest = store.messages_before(&key, None, MESSAGES_MAX).await?;
                Ok::<_, rally_store::StoreError>(Ok(CaughtUp { stretch: latest, recovered: since.is_none(), wishes }))
            };
            let read = read.await.unwrap_or_else(|error| {
                tracing::warn!(%error, "cannot read a channel");
                Err((ErrorCode::Unavailable, "the database is away"))
            });
            Some(Event::Read { conn, key, name, read })
        });
        if asked && let Some(channel) = self.channels.get_mut(&of_channel) {
            channel.reading += 1;
        } else if let Some(here) = self.people.here.get_mut(&conn) {
            here.channels.retain(|one| *one != of_channel);
            refuse(&here.peer, "channel_join", ErrorCode::AtCapacity, "too much is being asked");
        }
    }

    pub(super) fn has_read(
        &mut self,
        now: Instant,
        conn: ConnId,
        key: &str,
        name: ChannelName,
        read: Result<CaughtUp, Unread>,
    ) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        channel.reading = channel.reading.saturating_sub(1);
        let Some(here) = self.people.here.get_mut(&conn) else { return };
        let user = here.user.id;
        // Left, or put out, meanwhile.
        if !here.channels.iter().any(|one| one == key) {
            return;
        }
        let CaughtUp { stretch, recovered, wishes } = match read {
            Ok(caught_up) => caught_up,
            Err((code, detail)) => {
                here.channels.retain(|one| one != key);
                return refuse(&here.peer, "channel_join", code, detail);
            }
        };
        if let (Some(wishes), Some(person)) = (wishes, self.people.persons.get_mut(&user)) {
            person.wishes.get_or_insert(wishes);
        }
        let Some(here) = self.people.here.get(&conn) else { return };
        let blocked = self.people.blocked_by(user);
        channel.read_up_to(stretch.last_offset);
        let said = stretch.messages.into_iter().map(Said::from).filter(|said| !said.is_hidden_from(blocked));
        let joined = ChannelJoined {
            channel: name.to_string(),
            messages: said.map(|said| said.to_client(name.to_string(), user)).collect(),
            recovered,
            last_offset: stretch.last_offset,
        };
        here.peer.send(&joined.into());
        // What was given to others here while this one was reading.
        let mut seen = stretch.last_offset;
        if !channel.remembers_since(seen) {
            // So much was said meanwhile that it has to read again.
            return self.read(key.to_owned(), conn, name, Some(seen));
        }
        for said in channel.since(stretch.last_offset) {
            seen = said.offset;
            if !said.is_hidden_from(blocked) {
                here.peer.send(&said.to_client(name.to_string(), user).into());
            }
        }
        channel.members.retain(|member| member.conn != conn);
        channel.members.push(Member { conn, name, seen });
        let ready = channel.take(now, []);
        self.deliver(key, &ready);
    }
}
