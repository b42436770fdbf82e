//! Storing what was said, many at once, and telling all edges.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use metrics::{counter, histogram};
use rally_fabric::Fabric;
use rally_protocol::client::v1::ErrorCode;
use rally_store::{Appended, MENTIONS_MAX, Message, NewMessage, Notification, NotificationKind, Store};
use rally_units::UserId;

use super::{
    Answer,
    channels::{CHAT_RATE, STORE_SECONDS, STORED, Waiting},
    mentions::names_in,
    notices::Notices,
    wire::{ChannelNews, Said, tell},
};
use crate::socket::ConnId;

/// Stores a batch, as far as its senders may say so much, and tells all edges, and whoever is named.
pub(super) async fn store_batch(
    fabric: &Fabric,
    store: &Store,
    notices: &Notices,
    key: &str,
    batch: Vec<Waiting>,
) -> (Vec<Message>, Vec<(ConnId, Answer)>) {
    let started = std::time::Instant::now();
    let limits = fabric.limits();
    let mut answers = Vec::new();
    let mut allowed = Vec::with_capacity(batch.len());
    for waiting in batch {
        // With Redis away nobody else hears it anyway; each connection is still limited by itself.
        let charged = limits.charge(&CHAT_RATE, &waiting.message.user.to_string()).await;
        match charged {
            Ok(Some(_)) => {
                let refused = Answer::Refused(waiting.of, ErrorCode::RateLimited, "too many messages".to_owned(), None);
                answers.push((waiting.conn, refused));
            }
            Ok(None) | Err(_) => allowed.push(waiting),
        }
    }
    if allowed.is_empty() {
        return (Vec::new(), answers);
    }
    let mut new: Vec<NewMessage> = allowed.iter().map(|waiting| waiting.message.clone()).collect();
    resolve(store, key, &mut new).await;
    let appended = match store.append_messages(key, &new).await {
        Ok(appended) => appended,
        Err(error) => {
            tracing::warn!(%error, "chat messages are not stored");
            let refuse = |waiting: &Waiting| {
                let detail = "the database is away; not said".to_owned();
                (waiting.conn, Answer::Refused(waiting.of, ErrorCode::Unavailable, detail, None))
            };
            answers.extend(allowed.iter().map(refuse));
            return (Vec::new(), answers);
        }
    };
    let mut messages = Vec::new();
    for (waiting, appended) in allowed.iter().zip(appended) {
        match judge(waiting.of, appended) {
            Ok(message) => messages.push(message),
            Err(answer) => answers.push((waiting.conn, answer)),
        }
    }
    histogram!(STORE_SECONDS).record(started.elapsed());
    counter!(STORED).increment(messages.len() as u64);
    if !messages.is_empty() {
        let said = messages.iter().cloned().map(Said::from).collect();
        if let Err(error) = tell(fabric, key, &ChannelNews::Messages(said)).await {
            // The others find the hole when they hear of the channel again.
            tracing::debug!(%error, "chat messages are not told");
        }
    }
    messages.iter().for_each(|message| call(notices, key, message));
    (messages, answers)
}

/// A message that is new in the channel, or what its sender is answered.
fn judge(of: &'static str, appended: Appended) -> Result<Message, Answer> {
    let refused = |code, detail: String, until: Option<Timestamp>| {
        let until = until.map(|until| u64::try_from(until.as_millisecond()).unwrap_or_default());
        Err(Answer::Refused(of, code, detail, until))
    };
    match appended {
        Appended::Stored { message, repeated: false } => Ok(message),
        Appended::Stored { message, repeated: true } => Err(Answer::Repeated(Box::new(message))),
        Appended::NotEditable => {
            let detail = "only one's own messages can be changed, within five minutes";
            refused(ErrorCode::Forbidden, detail.to_owned(), None)
        }
        Appended::NotAllowed => refused(ErrorCode::Forbidden, "nothing can be said here any more".to_owned(), None),
        Appended::Muted { until } => {
            refused(ErrorCode::Forbidden, format!("muted in this group until {until:.0}"), Some(until))
        }
        Appended::TooSoon { until } => {
            refused(ErrorCode::RateLimited, format!("this channel is slow: not before {until:.0}"), Some(until))
        }
    }
}

/// Finds out who is named. Without Postgres nobody is, and the messages are refused next.
async fn resolve(store: &Store, key: &str, new: &mut [NewMessage]) {
    let called: Vec<Vec<String>> = new.iter().map(|message| names_in(&message.text)).collect();
    let names: HashSet<&String> = called.iter().flatten().collect();
    if names.is_empty() {
        return;
    }
    let names: Vec<String> = names.into_iter().cloned().collect();
    let named = store.named_in(key, &names).await.unwrap_or_else(|error| {
        tracing::debug!(%error, "cannot look up who is named");
        Vec::new()
    });
    let mut by_name: HashMap<String, Vec<UserId>> = HashMap::new();
    for (name, user) in named {
        by_name.entry(name).or_default().push(user);
    }
    for (message, names) in new.iter_mut().zip(called) {
        let meant = names.iter().filter_map(|name| by_name.get(name)).flatten().copied();
        message.mentions = meant.filter(|user| *user != message.user).take(MENTIONS_MAX).collect();
    }
}

/// Tells those who are named in something new; an edit names nobody anew.
fn call(notices: &Notices, key: &str, message: &Message) {
    if message.edits.is_some() {
        return;
    }
    for user in &message.mentions {
        let notification = Notification {
            channel: Some(key.to_owned()),
            offset: Some(message.offset),
            text: Some(message.text.clone()),
            ..Notification::new(NotificationKind::Mention, message.user)
        };
        notices.tell(*user, notification);
    }
}
