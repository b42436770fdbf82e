//! Channels over HTTP: which one has, and what was said there.

use axum::{
    Json,
    extract::{Path, State},
};
use rally_protocol::client::v1::{ErrorCode, UserInfo};
use rally_store::{Message, UserKind};

use super::{
    Api,
    caller::Caller,
    query::Query,
    types::{ChannelView, Channels, ChatMessageView, MessagesQuery, Page},
};
use crate::{
    error::Problem,
    social::{ChannelName, may_read},
};

/// Everybody's channel, and one's direct ones, the last used first.
pub(super) async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<Channels>, Problem> {
    let user = caller.user.id;
    let direct = api.store.direct_channels(user).await?;
    let direct = direct.into_iter().filter_map(|(key, last_offset, read_offset)| {
        let name = ChannelName::of_direct(&key, user)?.to_string();
        Some(ChannelView {
            name,
            last_offset: Some(last_offset),
            unread: Some(last_offset.saturating_sub(read_offset)),
        })
    });
    let global = ChannelView { name: ChannelName::Global.to_string(), last_offset: None, unread: None };
    Ok(Json(Channels { items: std::iter::once(global).chain(direct).collect() }))
}

/// What was said in a channel, page by page backwards.
pub(super) async fn messages(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<MessagesQuery>,
) -> Result<Json<Page<ChatMessageView>>, Problem> {
    let none = || Problem::new(ErrorCode::NotFound, "there is no such channel");
    let name: ChannelName = name.parse().map_err(|()| none())?;
    let user = caller.user.id;
    may_read(&api.store, user, name).await?.map_err(|(code, detail)| Problem::new(code, detail))?;
    let key = name.key(user);
    let (stretch, blocked) =
        tokio::join!(api.store.messages_before(&key, query.before, query.limit), api.store.blocked_ids(user));
    let (stretch, blocked) = (stretch?, blocked?);
    let next = stretch.messages.first().map(|message| message.offset).filter(|offset| *offset > 1);
    let items = stretch.messages.into_iter().filter(|message| !blocked.contains(&message.user)).map(view);
    Ok(Json(Page { items: items.collect(), next_before: next }))
}

fn view(message: Message) -> ChatMessageView {
    ChatMessageView {
        offset: message.offset,
        from: UserInfo { id: message.user, name: message.name, guest: message.kind == UserKind::Guest },
        text: message.text,
        edits: message.edits,
        sent_at: message.sent_at,
    }
}
