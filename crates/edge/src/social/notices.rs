//! Telling somebody something that stays until it is read: stored first, then told to wherever that one is.

use metrics::counter;
use rally_fabric::Fabric;
use rally_protocol::client::v1::{Notified, UserInfo};
use rally_store::{Notification, Store, StoreError, StoredNotification, UserKind};
use rally_units::{MatchId, UserId};
use tokio::sync::mpsc;

use super::{
    names::ChannelName,
    wire::{PeopleNews, announce},
};

/// Notifications of what was said that wait to be stored.
const WAITING_MAX: usize = 1_024;

const STORED: &str = "rally_notifications_stored_total";
const DROPPED: &str = "rally_notifications_dropped_total";

pub(super) fn describe() {
    metrics::describe_counter!(STORED, "notifications that were stored for somebody");
    metrics::describe_counter!(
        DROPPED,
        "notifications that were not stored, because too many wait or Postgres is away"
    );
}

/// Tells somebody something: at once, if that one is anywhere, and at `GET /notifications` until it is read. Not, if it
/// comes from somebody whom that one blocks, or is told already.
///
/// # Errors
/// It could not be stored.
pub(crate) async fn notify(
    store: &Store,
    fabric: &Fabric,
    user: UserId,
    notification: &Notification,
) -> Result<(), StoreError> {
    let Some(stored) = store.notify(user, notification).await? else { return Ok(()) };
    counter!(STORED).increment(1);
    let news = PeopleNews::Notified { to: user, notified: notified(stored, user) };
    if let Err(error) = announce(fabric, &news).await {
        tracing::debug!(%error, "a notification is not told; it is found when it is asked for");
    }
    Ok(())
}

/// As its reader sees it.
pub(crate) fn notified(stored: StoredNotification, reader: UserId) -> Notified {
    let StoredNotification { id, notification, from, at } = stored;
    let channel = notification.channel.as_deref().and_then(|key| ChannelName::of_key(key, reader));
    Notified {
        id: MatchId::from_uuid(id),
        kind: notification.kind.as_str().to_owned(),
        from: from.map(|(id, kind, name)| UserInfo { id, name, guest: kind == UserKind::Guest }),
        subject: notification.subject.map(MatchId::from_uuid),
        channel: channel.map(|name| name.to_string()),
        offset: notification.offset,
        text: notification.text,
        at: u64::try_from(at.as_millisecond()).unwrap_or_default(),
    }
}

/// Where notifications wait that nobody waits for.
#[derive(Clone)]
pub(super) struct Notices {
    waiting: mpsc::Sender<(UserId, Notification)>,
}

impl Notices {
    /// Starts the task that stores them, one after the other. It ends with the last handle.
    pub(super) fn start(fabric: Fabric, store: Store) -> Self {
        let (waiting, mut to_store) = mpsc::channel(WAITING_MAX);
        tokio::spawn(async move {
            while let Some((user, notification)) = to_store.recv().await {
                if let Err(error) = notify(&store, &fabric, user, &notification).await {
                    counter!(DROPPED).increment(1);
                    tracing::debug!(%error, %user, "a notification is not stored");
                }
            }
        });
        Self { waiting }
    }

    pub(super) fn tell(&self, user: UserId, notification: Notification) {
        if self.waiting.try_send((user, notification)).is_err() {
            counter!(DROPPED).increment(1);
        }
    }
}
