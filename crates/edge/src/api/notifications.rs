//! What one is told until one has read it.

use axum::{Json, extract::State};
use http::StatusCode;

use super::{
    Api,
    body::Body,
    caller::Caller,
    query::Query,
    talk_types::{NotificationView, Notifications, NotificationsQuery, ReadNotifications},
};
use crate::{error::Problem, social::notified};

/// What one has not read.
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<NotificationsQuery>,
) -> Result<Json<Notifications>, Problem> {
    let user = caller.user.id;
    let stored = api.store.notifications(user, query.before, query.limit).await?;
    let next = (stored.len() == query.limit).then(|| stored.last().map(|last| last.id)).flatten();
    let items = stored.into_iter().map(|stored| {
        let told = notified(stored, user);
        NotificationView {
            id: told.id,
            kind: told.kind,
            from: told.from,
            subject: told.subject,
            channel: told.channel,
            offset: told.offset,
            text: told.text,
            at: told.at,
        }
    });
    Ok(Json(Notifications { items: items.collect(), next }))
}

/// Has read some: they are gone.
pub(super) async fn read(
    State(api): State<Api>,
    caller: Caller,
    Body(read): Body<ReadNotifications>,
) -> Result<StatusCode, Problem> {
    api.store.read_notifications(caller.user.id, &read.ids, read.through).await?;
    Ok(StatusCode::NO_CONTENT)
}
