//! Users.

use axum::{Json, extract::State};
use rally_fabric::QueueStatus;

use super::{Api, caller::Caller, matches::queue_status, types::Me};
use crate::error::Problem;

/// Who one is, and where.
pub(super) async fn me(State(api): State<Api>, Caller(user): Caller) -> Result<Json<Me>, Problem> {
    let (seat, status) = tokio::join!(api.store.active_match(user.id), queue_status(&api, user.id));
    let queue = match status? {
        QueueStatus::Waiting { mode } | QueueStatus::Pending { mode, .. } => Some(mode),
        // Where the match is, Postgres says: it may be over by now.
        QueueStatus::Found { .. } | QueueStatus::Gone => None,
    };
    Ok(Json(Me { match_id: seat?.map(|seat| seat.match_id), queue, user }))
}
