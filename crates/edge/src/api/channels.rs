//! Channels over HTTP: which one has, what was said there, and finding it again.

use axum::{
    Json,
    extract::{Path, State},
};
use rally_protocol::client::v1::{ErrorCode, UserInfo};
use rally_store::{Message, UserKind};
use rally_units::MatchId;

use super::{
    Api,
    caller::Caller,
    query::Query,
    talk_types::{ChannelView, Channels, Found, FoundMessage, InvitationView, SearchQuery},
    types::{ChatMessageView, MessagesQuery, Page},
};
use crate::{
    error::Problem,
    social::{ChannelName, may_read},
};

/// Everybody's channel, then groups and direct ones, the last used first; and what one is invited to.
pub(super) async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<Channels>, Problem> {
    let user = caller.user.id;
    let (own, invitations) = tokio::join!(api.store.own_channels(user), api.store.invitations(user));
    let own = own?.into_iter().filter_map(|own| {
        let name = ChannelName::of_key(&own.name, user)?.to_string();
        let group = own.group;
        Some(ChannelView {
            name,
            last_offset: Some(own.last_offset),
            unread: Some(own.unread),
            role: group.as_ref().map(|group| group.role.as_str()),
            slow_s: group.as_ref().map(|group| group.slow_s),
            muted_until: group.as_ref().and_then(|group| group.muted_until),
            title: group.map(|group| group.title),
        })
    });
    let global = ChannelView {
        name: ChannelName::Global.to_string(),
        last_offset: None,
        unread: None,
        title: None,
        role: None,
        slow_s: None,
        muted_until: None,
    };
    let invitations = invitations?.into_iter().map(|invitation| InvitationView {
        channel: ChannelName::Group(invitation.group).to_string(),
        title: invitation.title,
        by: UserInfo { id: invitation.by, name: invitation.by_name, guest: invitation.by_kind == UserKind::Guest },
        at: invitation.at,
    });
    Ok(Json(Channels { items: std::iter::once(global).chain(own).collect(), invitations: invitations.collect() }))
}

/// What was said where one may read.
pub(super) async fn search(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<SearchQuery>,
) -> Result<Json<Found>, Problem> {
    let user = caller.user.id;
    let keys = match &query.channel {
        Some(name) => {
            let name: ChannelName = name.parse().map_err(|()| no_channel())?;
            may_read(&api.store, user, name).await?.map_err(|(code, detail)| Problem::new(code, detail))?;
            vec![name.key(user)]
        }
        None => {
            let mut keys = api.store.own_channel_names(user).await?;
            keys.push(ChannelName::Global.to_string());
            keys
        }
    };
    let hits = api.store.search_messages(user, &query.words, &keys, query.before, query.limit).await?;
    let next = (hits.len() == query.limit).then(|| hits.last().map(|hit| hit.message.id)).flatten();
    let items = hits.into_iter().filter_map(|hit| {
        let channel = ChannelName::of_key(&hit.channel, user)?.to_string();
        Some(FoundMessage { channel, message: view(hit.message) })
    });
    Ok(Json(Found { items: items.collect(), next }))
}

/// What was said in a channel, page by page backwards.
pub(super) async fn messages(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<MessagesQuery>,
) -> Result<Json<Page<ChatMessageView>>, Problem> {
    let name: ChannelName = name.parse().map_err(|()| no_channel())?;
    let user = caller.user.id;
    may_read(&api.store, user, name).await?.map_err(|(code, detail)| Problem::new(code, detail))?;
    let key = name.key(user);
    let (stretch, blocked) =
        tokio::join!(api.store.messages_before(&key, query.before, query.limit), api.store.blocked_ids(user));
    let (stretch, blocked) = (stretch?, blocked?);
    let next = stretch.messages.first().map(|message| message.offset).filter(|offset| *offset > 1);
    // What takes something back is shown, whoever has done it.
    let is_shown =
        |message: &Message| !blocked.contains(&message.user) || (message.edits.is_some() && message.text.is_empty());
    let items = stretch.messages.into_iter().filter(is_shown).map(view);
    Ok(Json(Page { items: items.collect(), next_before: next }))
}

pub(super) fn no_channel() -> Problem {
    Problem::new(ErrorCode::NotFound, "there is no such channel")
}

fn view(message: Message) -> ChatMessageView {
    ChatMessageView {
        offset: message.offset,
        id: MatchId::from_uuid(message.id),
        from: UserInfo { id: message.user, name: message.name, guest: message.kind == UserKind::Guest },
        text: message.text,
        edits: message.edits,
        mentions: message.mentions,
        sent_at: message.sent_at,
    }
}
