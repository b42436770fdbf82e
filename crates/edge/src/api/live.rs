//! Matches that are played now and may be watched.

use std::time::Duration;

use rally_fabric::LiveMatch;
use rally_protocol::client::v1::ErrorCode;
use rally_units::{MatchId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use crate::error::Problem;

/// Matches of the list at most: those that most people watch.
const LISTED_MAX: usize = 50;

/// What is kept of the list, and for how long: whoever asks, it is put together once a second.
const LIVE: &str = "live";
const LIVE_FOR: Duration = Duration::from_secs(1);

/// `GET /matches?state=live`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LiveList {
    /// The most watched first, at most 50; those that are private are not in it.
    pub items: Vec<LiveView>,
    /// Always absent: there is one page.
    pub next: Option<String>,
}

/// A match that is played now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LiveView {
    /// The match: to join as a spectator.
    #[schema(value_type = String, format = Uuid)]
    pub id: MatchId,
    /// Its kind.
    pub mode: String,
    /// Left and right.
    pub players: [LiveSide; 2],
    /// Goals of left and right, a second old at most.
    pub score: [u8; 2],
    /// Who watch it.
    pub viewers: u32,
}

/// Who plays on a side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LiveSide {
    /// The user; absent: a bot.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub user: Option<UserId>,
    /// The name to show.
    pub name: String,
}

/// The list, a second old at most.
pub(super) async fn list(api: &Api) -> Result<LiveList, Problem> {
    let away = |error| {
        tracing::warn!(%error, "cannot look up live matches");
        Problem::new(ErrorCode::Unavailable, "the list of live matches is away")
    };
    let cache = api.fabric.cache();
    let kept = cache.get(LIVE).await.map_err(away)?;
    if let Some(list) = kept.and_then(|kept| serde_json::from_slice(&kept).ok()) {
        return Ok(list);
    }
    let mut live = api.fabric.live().read().await.map_err(away)?;
    live.truncate(LISTED_MAX);
    let list = LiveList { items: live.into_iter().map(view).collect(), next: None };
    // Writing these fields to memory cannot fail. Should Redis not keep it, the next one asks again.
    let _ = cache.put(LIVE, serde_json::to_vec(&list).unwrap_or_default().into(), LIVE_FOR).await;
    Ok(list)
}

fn view(live: LiveMatch) -> LiveView {
    let LiveMatch { id, mode, players, score, viewers } = live;
    let players = players.map(|player| LiveSide { user: player.user, name: player.name });
    LiveView { id, mode: mode.as_str().to_owned(), players, score, viewers }
}
