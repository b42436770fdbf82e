//! What somebody here wants: to join and leave channels, to say something, to show a status, to play.

use rally_link::Talk;
use rally_protocol::{
    client::v1::{ChannelJoin, ErrorCode, Status},
    limits::{CHAT_TEXT_CHARS_MAX, RESUME_CHANNELS_MAX},
};
use rally_store::NewMessage;
use rally_units::Instant;
use unicode_normalization::UnicodeNormalization as _;

use super::{
    super::{
        Event,
        channels::{Channel, WAITING_MAX, Waiting},
        duels::{Asker, Duels},
        names::{ChannelName, may_read},
        wire::{ChannelNews, tell},
    },
    Social, refuse,
};
use crate::socket::{ConnId, SharedPeer};

impl Social {
    pub(super) fn talk(&mut self, now: Instant, conn: ConnId, talk: Talk) {
        let of = talk.of();
        let Some(here) = self.people.here.get_mut(&conn) else { return };
        let user = here.user.id;
        let name = match &talk {
            Talk::Status(set) => {
                if set.status == Status::Offline {
                    return refuse(&here.peer, of, ErrorCode::InvalidInput, "expected online, away or busy");
                }
                if here.status != set.status {
                    here.status = set.status;
                    self.show(conn);
                }
                return;
            }
            Talk::Invite(_) | Talk::Answer(_) | Talk::Cancel(_) | Talk::Rematch(_) => return self.duel(conn, talk),
            Talk::Join(ChannelJoin { channel, .. }) => channel,
            Talk::Leave(leave) => &leave.channel,
            Talk::Send(send) => &send.channel,
            Talk::Edit(edit) => &edit.channel,
            Talk::Typing(typing) => &typing.channel,
            Talk::Read(read) => &read.channel,
        };
        let Ok(name) = name.parse::<ChannelName>() else {
            return refuse(&here.peer, of, ErrorCode::NotFound, "there is no such channel");
        };
        let key = name.key(user);
        if let Talk::Join(join) = &talk {
            if here.channels.len() >= RESUME_CHANNELS_MAX && !here.channels.contains(&key) {
                return refuse(&here.peer, of, ErrorCode::AtCapacity, "in too many channels");
            }
            let (store, since, peer) = (self.store.clone(), join.since, here.peer.clone());
            let asked = self.ask(async move {
                let admitted = may_read(&store, user, name).await.unwrap_or_else(|error| {
                    tracing::warn!(%error, "cannot look up who may read a channel");
                    Err((ErrorCode::Unavailable, "the database is away"))
                });
                Some(Event::Admitted { conn, name, since, admitted })
            });
            if !asked {
                refuse(&peer, of, ErrorCode::AtCapacity, "too much is being asked");
            }
            return;
        }
        if !here.channels.contains(&key) {
            return refuse(&here.peer, of, ErrorCode::Forbidden, "join the channel first");
        }
        let Some(channel) = self.channels.get_mut(&key) else { return };
        let peer = here.peer.clone();
        match talk {
            Talk::Leave(_) => {
                here.channels.retain(|one| *one != key);
                self.leave(conn, &key);
            }
            Talk::Send(send) => {
                let text: String = send.text.nfc().collect();
                let fits = (1..=CHAT_TEXT_CHARS_MAX).contains(&text.chars().count()) && !text.trim().is_empty();
                if !fits {
                    return refuse(&peer, of, ErrorCode::InvalidInput, "expected 1 to 500 characters");
                }
                let nonce = send.nonce.to_string();
                let message = NewMessage { user, nonce, text, edits: None, mentions: Vec::new() };
                wait(channel, now, &peer, Waiting { conn, of, message });
            }
            Talk::Edit(edit) => {
                let text: String = edit.text.nfc().collect();
                if text.chars().count() > CHAT_TEXT_CHARS_MAX {
                    return refuse(&peer, of, ErrorCode::InvalidInput, "expected at most 500 characters");
                }
                let nonce = edit.nonce.to_string();
                let message = NewMessage { user, nonce, text, edits: Some(edit.offset), mentions: Vec::new() };
                wait(channel, now, &peer, Waiting { conn, of, message });
            }
            Talk::Typing(_) => self.tell_later(key, ChannelNews::Typing(user)),
            Talk::Read(read) => {
                // Nobody has read what has not been said.
                let offset = read.offset.min(channel.last());
                let (store, of_key) = (self.store.clone(), key.clone());
                self.ask(async move {
                    if let Err(error) = store.note_read(&of_key, user, offset).await {
                        tracing::debug!(%error, "how far somebody has read is not noted");
                    }
                    None
                });
                if matches!(name, ChannelName::Direct(_)) && self.people.has_receipts(user) {
                    self.tell_later(key, ChannelNews::Read(user, offset));
                }
            }
            // Done above.
            Talk::Join(_) | Talk::Status(_) => {}
            Talk::Invite(_) | Talk::Answer(_) | Talk::Cancel(_) | Talk::Rematch(_) => {}
        }
    }

    pub(super) fn duel(&self, conn: ConnId, talk: Talk) {
        let Some(here) = self.people.here.get(&conn) else { return };
        let duels = Duels { fabric: self.fabric.clone(), store: self.store.clone(), hub: self.hub.clone() };
        let asker = Asker { user: here.user.clone(), session: here.session };
        let of = talk.of();
        // Not with the other questions: a match may take seconds to be made.
        let Ok(place) = self.duels.clone().try_acquire_owned() else {
            return refuse(&here.peer, of, ErrorCode::AtCapacity, "too much is being asked");
        };
        let events = self.events.clone();
        tokio::spawn(async move {
            let answer = duels.perform(asker, talk).await;
            drop(place);
            if let Some(events) = events.upgrade() {
                // The task has ended.
                let _ = events.send(Event::Arranged { conn, of, answer }).await;
            }
        });
    }

    pub(super) fn tell_later(&self, key: String, news: ChannelNews) {
        let fabric = self.fabric.clone();
        self.ask(async move {
            // Of no lasting worth: lost is lost.
            let _ = tell(&fabric, &key, &news).await;
            None
        });
    }
}

/// Adds to what is to be stored next.
fn wait(channel: &mut Channel, now: Instant, peer: &SharedPeer, waiting: Waiting) {
    if channel.waiting.len() >= WAITING_MAX {
        return refuse(peer, waiting.of, ErrorCode::AtCapacity, "too much is being said here");
    }
    channel.waiting.push(waiting);
    channel.batch_since.get_or_insert(now);
}
