//! Groups: who is in one, who keeps order there, and telling its members of what changes.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
};
use http::StatusCode;
use jiff::{Timestamp, ToSpan as _};
use rally_fabric::SharedRate;
use rally_protocol::client::v1::{ErrorCode, GroupChanged, UserInfo};
use rally_store::{Departure, GroupError, GroupRole, Invited, Notification, NotificationKind, UserKind};
use rally_units::{GroupId, UserId};

use super::{
    Api,
    attempts::allowed,
    body::Body,
    caller::Caller,
    channels::no_channel,
    friends::{remind, tell},
    talk_types::{AtTheDoor, Bans, GroupView, MemberView, NewGroup, PatchGroup, PatchMember},
    types::SomeUser,
    users::no_user,
};
use crate::{
    error::Problem,
    social::{ChannelName, PeopleNews},
};

/// Groups that somebody makes: five at once, then one in a minute.
const CREATE_RATE: SharedRate = SharedRate {
    name: "group_create",
    interval: Duration::from_secs(60),
    burst: 5,
    growth_max: 1,
    remember: Duration::ZERO,
};
/// People whom somebody invites: twenty at once, then one in 6 s.
const INVITE_RATE: SharedRate = SharedRate {
    name: "group_invite",
    interval: Duration::from_secs(6),
    burst: 20,
    growth_max: 1,
    remember: Duration::ZERO,
};

/// The group of a path.
fn group_of(name: &str) -> Result<GroupId, Problem> {
    match name.parse() {
        Ok(ChannelName::Group(id)) => Ok(id),
        _ => Err(no_channel()),
    }
}

/// The group and the user of a path.
fn member_of((name, user): &(String, String)) -> Result<(GroupId, UserId), Problem> {
    Ok((group_of(name)?, user.parse().map_err(|_| no_user())?))
}

/// Makes a group, which has one member then.
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Body(new): Body<NewGroup>,
) -> Result<(StatusCode, Json<GroupView>), Problem> {
    let user = caller.user.id;
    allowed("group_create", api.fabric.limits().charge(&CREATE_RATE, &user.to_string()).await)?;
    let group = api.store.create_group(user, &new.title).await?;
    Ok((StatusCode::CREATED, Json(view(&api, group.id, user).await?)))
}

/// A group in full, as its members see it.
pub(super) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<GroupView>, Problem> {
    view(&api, group_of(&name)?, caller.user.id).await.map(Json)
}

async fn view(api: &Api, id: GroupId, user: UserId) -> Result<GroupView, Problem> {
    let group = api.store.group(id, user).await?.ok_or_else(no_channel)?;
    let (members, invited) = tokio::join!(api.store.group_members(id), api.store.group_invited(id));
    let members = members?.into_iter().map(|member| MemberView {
        user: info(member.user, member.name, member.kind),
        role: member.role.as_str(),
        joined_at: member.joined_at,
        muted_until: member.muted_until,
    });
    Ok(GroupView {
        name: ChannelName::Group(id).to_string(),
        title: group.title,
        role: group.role.as_str(),
        slow_s: group.slow_s,
        created_at: group.created_at,
        members: members.collect(),
        invited: invited?.into_iter().map(at_the_door).collect(),
    })
}

fn info(id: UserId, name: String, kind: UserKind) -> UserInfo {
    UserInfo { id, name, guest: kind == UserKind::Guest }
}

fn at_the_door(one: Invited) -> AtTheDoor {
    AtTheDoor { user: info(one.user, one.name, one.kind), at: one.at }
}

/// Renames it, or makes it slow.
pub(super) async fn change(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    Body(patch): Body<PatchGroup>,
) -> Result<Json<GroupView>, Problem> {
    let (id, user) = (group_of(&name)?, caller.user.id);
    api.store.change_group(id, user, patch.title.as_deref(), patch.slow_s).await?;
    if let Some(title) = patch.title {
        announce(&api, id, GroupChanged { title: Some(title), ..changed(id, "renamed", &caller) }, &[]).await;
    }
    if let Some(slow_s) = patch.slow_s {
        announce(&api, id, GroupChanged { slow_s: Some(slow_s), ..changed(id, "slow", &caller) }, &[]).await;
    }
    view(&api, id, user).await.map(Json)
}

/// Ends it, and deletes what was said there.
pub(super) async fn end(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let id = group_of(&name)?;
    let all = api.store.delete_group(id, caller.user.id).await?;
    let changed = changed(id, "deleted", &caller);
    tell(&api, &PeopleNews::Group { to: all.clone(), changed, closed: all }).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Comes in, having been invited.
pub(super) async fn join(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<GroupView>, Problem> {
    let (id, user) = (group_of(&name)?, caller.user.id);
    if api.store.join_group(id, user).await? {
        settle(&api, id, user).await;
        let joined = GroupChanged {
            user: Some(user),
            role: Some(GroupRole::Member.as_str().to_owned()),
            ..changed(id, "joined", &caller)
        };
        announce(&api, id, joined, &[]).await;
    }
    view(&api, id, user).await.map(Json)
}

/// Goes. The group ends with its last member; when its owner goes, somebody else is it.
pub(super) async fn leave(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let (id, user) = (group_of(&name)?, caller.user.id);
    let departure = api.store.leave_group(id, user).await?;
    let left = GroupChanged { user: Some(user), ..changed(id, "left", &caller) };
    announce(&api, id, left, &[user]).await;
    if let Departure::Succeeded(owner) = departure {
        let next = GroupChanged {
            user: Some(owner),
            role: Some(GroupRole::Owner.as_str().to_owned()),
            ..changed(id, "role", &caller)
        };
        announce(&api, id, next, &[]).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Invites somebody, who is told.
pub(super) async fn invite(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    Body(SomeUser { user }): Body<SomeUser>,
) -> Result<StatusCode, Problem> {
    let id = group_of(&name)?;
    let by = caller.user.id;
    let group = api.store.group(id, by).await?.ok_or_else(no_channel)?;
    allowed("group_invite", api.fabric.limits().charge(&INVITE_RATE, &by.to_string()).await)?;
    if !api.store.invite_member(id, by, user).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    let notification = Notification {
        subject: Some(id.as_uuid()),
        channel: Some(ChannelName::Group(id).to_string()),
        text: Some(group.title),
        ..Notification::new(NotificationKind::GroupInvitation, by)
    };
    remind(&api, user, &notification).await;
    let invited = GroupChanged { user: Some(user), ..changed(id, "invited", &caller) };
    announce(&api, id, invited, &[]).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes an invitation back, or declines one's own.
pub(super) async fn uninvite(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (id, user) = member_of(&path)?;
    if user == caller.user.id {
        if !api.store.decline_invitation(id, user).await? {
            return Err(no_channel());
        }
    } else {
        api.store.uninvite_member(id, caller.user.id, user).await?;
    }
    settle(&api, id, user).await;
    let uninvited = GroupChanged { user: Some(user), ..changed(id, "uninvited", &caller) };
    announce(&api, id, uninvited, &[]).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a member another role, or silences it for a while.
pub(super) async fn change_member(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<(String, String)>,
    Body(patch): Body<PatchMember>,
) -> Result<StatusCode, Problem> {
    let ((id, user), by) = (member_of(&path)?, caller.user.id);
    if let Some(mute_s) = patch.mute_s {
        let until = (mute_s > 0).then(|| Timestamp::now() + i64::from(mute_s).seconds());
        api.store.mute_member(id, by, user, until).await?;
        let change = if until.is_some() { "muted" } else { "unmuted" };
        let until = until.map(|until| u64::try_from(until.as_millisecond()).unwrap_or_default());
        announce(&api, id, GroupChanged { user: Some(user), until, ..changed(id, change, &caller) }, &[]).await;
    }
    if let Some(role) = patch.role {
        api.store.set_group_role(id, by, user, role).await?;
        let mut changes = vec![(user, role)];
        if role == GroupRole::Owner {
            changes.push((by, GroupRole::Moderator));
        }
        for (user, role) in changes {
            let role = Some(role.as_str().to_owned());
            announce(&api, id, GroupChanged { user: Some(user), role, ..changed(id, "role", &caller) }, &[]).await;
        }
    }
    if patch.mute_s.is_none() && patch.role.is_none() && api.store.group_role(id, by).await?.is_none() {
        return Err(no_channel());
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Puts a member out.
pub(super) async fn kick(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (id, user) = member_of(&path)?;
    api.store.kick_member(id, caller.user.id, user).await?;
    let kicked = GroupChanged { user: Some(user), ..changed(id, "kicked", &caller) };
    announce(&api, id, kicked, &[user]).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Whom the group keeps out.
pub(super) async fn bans(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<Bans>, Problem> {
    let banned = api.store.group_bans(group_of(&name)?, caller.user.id).await?;
    Ok(Json(Bans { items: banned.into_iter().map(at_the_door).collect() }))
}

/// Puts somebody out, and keeps him out.
pub(super) async fn ban(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (id, user) = member_of(&path)?;
    if api.store.ban_member(id, caller.user.id, user).await? {
        settle(&api, id, user).await;
        let banned = GroupChanged { user: Some(user), ..changed(id, "banned", &caller) };
        announce(&api, id, banned, &[user]).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Keeps somebody out no more.
pub(super) async fn unban(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (id, user) = member_of(&path)?;
    api.store.unban_member(id, caller.user.id, user).await?;
    announce(&api, id, GroupChanged { user: Some(user), ..changed(id, "unbanned", &caller) }, &[]).await;
    Ok(StatusCode::NO_CONTENT)
}

/// An invitation is no more: nobody need be told of it.
async fn settle(api: &Api, id: GroupId, user: UserId) {
    let kind = NotificationKind::GroupInvitation;
    if let Err(error) = api.store.settle_notification(user, kind, None, Some(id.as_uuid())).await {
        tracing::debug!(%error, "a notification stays that has been settled");
    }
}

fn changed(id: GroupId, change: &str, by: &Caller) -> GroupChanged {
    GroupChanged {
        channel: ChannelName::Group(id).to_string(),
        change: change.to_owned(),
        by: by.user.clone(),
        user: None,
        role: None,
        until: None,
        title: None,
        slow_s: None,
    }
}

/// Tells all who are in it, and those whose channel is closed with it.
async fn announce(api: &Api, id: GroupId, changed: GroupChanged, closed: &[UserId]) {
    let mut to = api.store.group_member_ids(id).await.unwrap_or_else(|error| {
        // It has happened; who asks next sees it.
        tracing::debug!(%error, "members of a group are not told");
        Vec::new()
    });
    to.extend_from_slice(closed);
    tell(api, &PeopleNews::Group { to, changed, closed: closed.to_vec() }).await;
}

impl From<GroupError> for Problem {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::NoSuchGroup => no_channel(),
            GroupError::NoSuchUser => no_user(),
            GroupError::Forbidden(detail) | GroupError::TooMany(detail) => Self::new(ErrorCode::Forbidden, detail),
            GroupError::Store(error) => error.into(),
        }
    }
}
