//! Messages on their way: stored, told, filled in where some were lost, and given to readers in order.

use std::collections::HashMap;

use bytes::Bytes;
use metrics::counter;
use rally_fabric::TopicEvent;
use rally_protocol::client::{
    codec::Encoding,
    v1::{ServerMessage, SomebodyRead, SomebodyTypes},
};
use rally_service::clock;
use rally_store::{Message, Stretch};
use rally_units::{Instant, UserId};

use super::{
    super::{
        Answer, Event,
        channels::{BATCH_MAX, DELIVERED, HOLES, Waiting},
        names::ChannelName,
        say::store_batch,
        wire::{ChannelNews, Said},
    },
    Social, refuse_until,
};
use crate::{frame, socket::ConnId};

impl Social {
    pub(super) fn channel_news(&mut self, now: Instant, key: &str, event: TopicEvent) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        let bytes = match event {
            TopicEvent::Message(bytes) => bytes,
            TopicEvent::Gap => {
                // Postgres knows how far it has come. Who has not read yet is about to ask it.
                if channel.is_read() {
                    self.fill(key);
                }
                return;
            }
        };
        match serde_json::from_slice(&bytes) {
            Ok(ChannelNews::Messages(said)) => {
                let ready = channel.take(now, said);
                self.deliver(key, &ready);
            }
            Ok(ChannelNews::Last(last)) => channel.heard(now, last),
            Ok(ChannelNews::Typing(user)) => {
                self.tell_members(key, user, |_| true, |channel| SomebodyTypes { channel, user }.into())
            }
            Ok(ChannelNews::Read(user, offset)) => {
                let wants = |member| self.people.has_receipts(member);
                self.tell_members(key, user, wants, |channel| SomebodyRead { channel, user, offset }.into())
            }
            Err(error) => tracing::warn!(%error, "news of a channel cannot be read"),
        }
    }

    /// Tells all members who want it but this user, and those who block it.
    pub(super) fn tell_members(
        &self,
        key: &str,
        about: UserId,
        wants: impl Fn(UserId) -> bool,
        message: impl Fn(String) -> ServerMessage,
    ) {
        let Some(channel) = self.channels.get(key) else { return };
        for member in &channel.members {
            let Some(here) = self.people.here.get(&member.conn) else { continue };
            let blocks = self.people.blocked_by(here.user.id).is_some_and(|blocked| blocked.contains(&about));
            if here.user.id != about && !blocks && wants(here.user.id) {
                here.peer.send(&message(member.name.to_string()));
            }
        }
    }

    /// Gives messages to all who read the channel here. Encoded once for all who read the same.
    pub(super) fn deliver(&mut self, key: &str, ready: &[Said]) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        let now = clock::now();
        let mut delivered = 0;
        for said in ready {
            // By encoding and name; of a direct channel each of the two has a name of its own.
            let mut frames: HashMap<(Encoding, ChannelName), Bytes> = HashMap::new();
            for member in &mut channel.members {
                if member.seen >= said.offset {
                    continue;
                }
                member.seen = said.offset;
                let Some(here) = self.people.here.get(&member.conn) else { continue };
                let user = here.user.id;
                if said.is_hidden_from(self.people.blocked_by(user)) {
                    continue;
                }
                let make = || {
                    let message = said.to_client(member.name.to_string(), user);
                    frame::message(here.peer.encoding, &message.into())
                };
                // The sender's own has a mark that others do not see.
                let frame = if user == said.from.id {
                    make()
                } else {
                    match frames.get(&(here.peer.encoding, member.name)) {
                        Some(frame) => Some(frame.clone()),
                        None => make().inspect(|frame| {
                            frames.insert((here.peer.encoding, member.name), frame.clone());
                        }),
                    }
                };
                let Some(frame) = frame else { continue };
                here.peer.queue(now, frame);
                self.unflushed.push(here.peer.clone());
                delivered += 1;
            }
        }
        counter!(DELIVERED).increment(delivered);
    }

    /// Asks Postgres for what is missing.
    pub(super) fn fill(&mut self, key: &str) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        if channel.filling {
            return;
        }
        counter!(HOLES).increment(1);
        let (store, of_channel, after) = (self.store.clone(), key.to_owned(), channel.delivered());
        let asked = self.ask(async move {
            let stretch = store.messages_after(&of_channel, after).await;
            Some(Event::Filled { key: of_channel, stretch: stretch.ok() })
        });
        // Else the next look tries again.
        if let Some(channel) = self.channels.get_mut(key) {
            channel.filling = asked;
        }
    }

    pub(super) fn filled(&mut self, now: Instant, key: &str, stretch: Option<Stretch>) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        let mut ready = Vec::new();
        if let Some(stretch) = stretch {
            channel.heard(now, stretch.last_offset);
            ready = channel.take(now, stretch.messages.into_iter().map(Said::from));
        }
        channel.fill_again_later(now);
        self.deliver(key, &ready);
    }

    /// Stores what waits in a channel, and tells all edges of it.
    pub(super) fn flush(&mut self, key: &str) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        let n = channel.waiting.len().min(BATCH_MAX);
        let batch: Vec<Waiting> = channel.waiting.drain(..n).collect();
        channel.batch_since = (!channel.waiting.is_empty()).then(clock::now);
        channel.storing = true;
        let (fabric, store, key) = (self.fabric.clone(), self.store.clone(), key.to_owned());
        let (events, notices) = (self.events.clone(), self.notices.clone());
        tokio::spawn(async move {
            let (messages, answers) = store_batch(&fabric, &store, &notices, &key, batch).await;
            if let Some(events) = events.upgrade() {
                // The task has ended.
                let _ = events.send(Event::Stored { key, messages, answers }).await;
            }
        });
    }

    pub(super) fn stored(&mut self, now: Instant, key: &str, messages: Vec<Message>, answers: Vec<(ConnId, Answer)>) {
        for (conn, answer) in answers {
            let Some(here) = self.people.here.get(&conn) else { continue };
            match answer {
                Answer::Repeated(message) => {
                    let name = self.channels.get(key).and_then(|channel| {
                        channel.members.iter().find(|member| member.conn == conn).map(|member| member.name)
                    });
                    if let Some(name) = name {
                        here.peer.send(&Said::from(*message).to_client(name.to_string(), here.user.id).into());
                    }
                }
                Answer::Refused(of, code, detail, until) => refuse_until(&here.peer, of, code, detail, until),
            }
        }
        let Some(channel) = self.channels.get_mut(key) else { return };
        channel.storing = false;
        if !messages.is_empty() {
            channel.said_at = Some(now);
        }
        // Also by the topic; whichever comes first.
        let ready = channel.take(now, messages.into_iter().map(Said::from));
        self.deliver(key, &ready);
    }
}
