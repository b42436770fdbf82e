//! All that is kept of somebody, as a file.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, header};
use rally_store::{MatchFilter, MatchSort};
use serde_json::{Value, json};

use super::{
    Api,
    caller::Caller,
    friends::view,
    history::listed,
    users::{read_me, read_stats},
};
use crate::error::Problem;

/// Matches of a file.
const MATCHES_MAX: usize = 1_000;

/// All that is kept of oneself, but for secrets.
pub(super) async fn get(State(api): State<Api>, caller: Caller) -> Result<Response, Problem> {
    let user = caller.user.id;
    let store = &api.store;
    let me = read_me(&api, user).await?;
    let filter = MatchFilter { user: Some(user), mode: None };
    let mut matches = Vec::new();
    let mut from = None;
    while matches.len() < MATCHES_MAX {
        let page = store.matches(filter, MatchSort::Newest, from, rally_store::PAGE_MAX).await?;
        matches.extend(page.items.into_iter().map(listed));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    let sessions = store.logins(user).await?.into_iter().map(
        |login| json!({ "agent": login.agent, "created_at": login.created_at, "last_used_at": login.last_used_at }),
    );
    let identities = store.identities(user).await?.into_iter();
    let identities = identities.map(|one| json!({ "provider": one.provider, "email": one.email, "since": one.since }));
    let friends = store.acquaintances(user, true).await?.into_iter().map(|friend| view(friend, None));
    let requests = store.acquaintances(user, false).await?.into_iter().map(|request| {
        let direction = if request.is_incoming { "incoming" } else { "outgoing" };
        view(request, Some(direction))
    });
    let blocks = store.blocked(user).await?.into_iter().map(|one| view(one, None));
    let messages = store.said_by(user).await?.into_iter().map(|said| {
        json!({
            "channel": said.channel, "offset": said.offset, "edits": said.edits, "text": said.text,
            "sent_at": said.sent_at,
        })
    });
    let file = json!({
        "me": me,
        "email": store.own_email(user).await?,
        "identities": identities.collect::<Vec<Value>>(),
        "sessions": sessions.collect::<Vec<Value>>(),
        "statistics": read_stats(&api, user).await?,
        "friends": friends.chain(requests).collect::<Vec<_>>(),
        "blocks": blocks.collect::<Vec<_>>(),
        "messages": messages.collect::<Vec<Value>>(),
        "matches": matches,
    });
    let disposition = HeaderValue::from_static("attachment; filename=\"rally.json\"");
    let no_store = HeaderValue::from_static("no-store");
    Ok(([(header::CONTENT_DISPOSITION, disposition), (header::CACHE_CONTROL, no_store)], Json(file)).into_response())
}
