//! Friends, requests for friendship, and blocks.

use axum::{
    Json,
    extract::{Path, State},
};
use http::StatusCode;
use rally_protocol::client::v1::{ErrorCode, UserInfo};
use rally_store::{Acquaintance, BefriendError, Befriended, Blocked, Notification, NotificationKind, UserKind};
use rally_units::UserId;

use super::{
    Api,
    body::Body,
    caller::Caller,
    ids::UserPath,
    types::{Befriend, FriendView, Friends, SomeUser},
    users::no_user,
};
use crate::{
    error::Problem,
    social::{PeopleNews, announce, notify},
};

/// Whose friendship one has.
pub(super) async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<Friends>, Problem> {
    let friends = api.store.acquaintances(caller.user.id, true).await?;
    Ok(Json(Friends { items: friends.into_iter().map(|friend| view(friend, None)).collect() }))
}

/// Requests that wait, one's own and others'.
pub(super) async fn requests(State(api): State<Api>, caller: Caller) -> Result<Json<Friends>, Problem> {
    let requests = api.store.acquaintances(caller.user.id, false).await?;
    let view = |request: Acquaintance| {
        let is_incoming = request.is_incoming;
        view(request, Some(if is_incoming { "incoming" } else { "outgoing" }))
    };
    Ok(Json(Friends { items: requests.into_iter().map(view).collect() }))
}

pub(super) fn view(one: Acquaintance, direction: Option<&'static str>) -> FriendView {
    FriendView {
        user: UserInfo { id: one.user, name: one.name, guest: one.kind == UserKind::Guest },
        since: one.since,
        last_seen_at: one.last_seen_at,
        direction,
    }
}

/// Asks for somebody's friendship; accepts, if that one has asked.
pub(super) async fn request(
    State(api): State<Api>,
    caller: Caller,
    Body(SomeUser { user: other }): Body<SomeUser>,
) -> Result<(StatusCode, Json<Befriend>), Problem> {
    let befriended = api.store.befriend(caller.user.id, other).await?;
    let (state, change) = match befriended {
        Befriended::Requested => ("requested", Some("requested")),
        Befriended::Accepted => ("accepted", Some("accepted")),
        Befriended::Unchanged => ("unchanged", None),
    };
    if let Some(change) = change {
        tell_both(&api, &caller.user, other, change).await;
        let kind = match befriended {
            Befriended::Accepted => {
                settle(&api, caller.user.id, other).await;
                NotificationKind::FriendAccepted
            }
            _ => NotificationKind::FriendRequest,
        };
        remind(&api, other, &Notification::new(kind, caller.user.id)).await;
    }
    let status = if befriended == Befriended::Unchanged { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(Befriend { state })))
}

/// Accepts somebody's request.
pub(super) async fn accept(
    State(api): State<Api>,
    caller: Caller,
    Body(SomeUser { user: other }): Body<SomeUser>,
) -> Result<StatusCode, Problem> {
    if !api.store.accept_friend(caller.user.id, other).await? {
        return Err(Problem::new(ErrorCode::NotFound, "that user has not asked for your friendship"));
    }
    tell_both(&api, &caller.user, other, "accepted").await;
    settle(&api, caller.user.id, other).await;
    remind(&api, other, &Notification::new(NotificationKind::FriendAccepted, caller.user.id)).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends a friendship.
pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<UserPath>,
) -> Result<StatusCode, Problem> {
    end(&api, caller, &id, true).await
}

/// Takes a request back, or declines it.
pub(super) async fn decline(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<UserPath>,
) -> Result<StatusCode, Problem> {
    end(&api, caller, &id, false).await
}

async fn end(api: &Api, caller: Caller, id: &UserPath, is_friend: bool) -> Result<StatusCode, Problem> {
    let other = id.user().ok_or_else(no_user)?;
    if !api.store.unfriend(caller.user.id, other, is_friend).await? {
        return Err(Problem::new(ErrorCode::NotFound, "there is nothing of the kind between you and that user"));
    }
    tell_both(api, &caller.user, other, "removed").await;
    // Whoever had asked, nobody is asked any more.
    settle(api, caller.user.id, other).await;
    settle(api, other, caller.user.id).await;
    Ok(StatusCode::NO_CONTENT)
}

/// A request has been answered, or taken back.
async fn settle(api: &Api, user: UserId, from: UserId) {
    let settled = api.store.settle_notification(user, NotificationKind::FriendRequest, Some(from), None).await;
    if let Err(error) = settled {
        tracing::debug!(%error, "a notification stays that has been settled");
    }
}

/// Tells somebody something that stays until it is read. What it is about has happened, whether this succeeds or not.
pub(super) async fn remind(api: &Api, user: UserId, notification: &Notification) {
    if let Err(error) = notify(&api.store, &api.fabric, user, notification).await {
        tracing::warn!(%error, %user, "a notification is not stored");
    }
}

/// Whom one blocks.
pub(super) async fn blocks(State(api): State<Api>, caller: Caller) -> Result<Json<Friends>, Problem> {
    let blocked = api.store.blocked(caller.user.id).await?;
    Ok(Json(Friends { items: blocked.into_iter().map(|one| view(one, None)).collect() }))
}

/// Blocks somebody: friendship and requests end, and nothing that one says arrives any more.
pub(super) async fn block(
    State(api): State<Api>,
    caller: Caller,
    Body(SomeUser { user: other }): Body<SomeUser>,
) -> Result<StatusCode, Problem> {
    match api.store.block(caller.user.id, other).await? {
        Blocked::Parted => tell_both(&api, &caller.user, other, "removed").await,
        // Who is blocked is not to know it.
        Blocked::Apart => {}
        Blocked::Refused => return Err(no_user()),
    }
    tell(&api, &PeopleNews::Blocks(caller.user.id)).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Blocks somebody no more.
pub(super) async fn unblock(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<UserPath>,
) -> Result<StatusCode, Problem> {
    if !api.store.unblock(caller.user.id, id.user().ok_or_else(no_user)?).await? {
        return Err(Problem::new(ErrorCode::NotFound, "you do not block that user"));
    }
    tell(&api, &PeopleNews::Blocks(caller.user.id)).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Tells the devices of both, wherever they are.
async fn tell_both(api: &Api, user: &UserInfo, other: UserId, change: &str) {
    let known = api.store.user(other).await.ok().flatten();
    let other_info = known.map(|known| UserInfo { id: other, name: known.name, guest: known.kind == UserKind::Guest });
    let news = PeopleNews::Friend { to: other, about: user.clone(), change: change.to_owned() };
    tell(api, &news).await;
    // Who asks knows that it has asked.
    if change != "requested"
        && let Some(about) = other_info
    {
        tell(api, &PeopleNews::Friend { to: user.id, about, change: change.to_owned() }).await;
    }
}

pub(super) async fn tell(api: &Api, news: &PeopleNews) {
    if let Err(error) = announce(&api.fabric, news).await {
        // It is in Postgres; who comes next reads it there.
        tracing::debug!(%error, "news of people are not told");
    }
}

impl From<BefriendError> for Problem {
    fn from(error: BefriendError) -> Self {
        match error {
            BefriendError::NoSuchUser => no_user(),
            BefriendError::Refused => Self::new(ErrorCode::Forbidden, "that user takes no requests from you"),
            BefriendError::TooMany => Self::new(ErrorCode::Forbidden, "too many friends and requests"),
            BefriendError::Store(error) => error.into(),
        }
    }
}
