//! Matches that one starts by oneself, and those that one watches again.

use axum::{
    Json,
    extract::{Path, State},
};
use http::StatusCode;
use rally_fabric::QueueStatus;
use rally_protocol::{
    client::v1::{ErrorCode, Mode, UserInfo},
    cluster::v1::{MatchSpec, SeatSpec},
};
use rally_service::traces;
use rally_units::{MatchId, Tick, UserId};
use uuid::Uuid;

use super::{
    Api,
    body::Body,
    caller::Caller,
    ids::MatchPath,
    types::{MatchCreated, NewMatchMode, NewMatchRequest, ReplayShown, ShowRequest},
};
use crate::{error::Problem, hub::Replay};

/// Has a match hosted.
pub(super) async fn create(
    State(api): State<Api>,
    Caller { user, .. }: Caller,
    Body(request): Body<NewMatchRequest>,
) -> Result<(StatusCode, Json<MatchCreated>), Problem> {
    // Both are looked up only to say no early and with a reason: what holds is decided by Postgres when the match is
    // created, and a ticket whose user sits in a match comes to nothing when it is paired.
    let (seat, status) = tokio::join!(api.store.active_match(user.id), queue_status(&api, user.id));
    if let Some(seat) = seat? {
        return Err(already_in_match(Some(seat.match_id)));
    }
    match status? {
        QueueStatus::Waiting { .. } => return Err(Problem::new(ErrorCode::AlreadyInQueue, "leave the queue first")),
        QueueStatus::Pending { match_id, .. } => return Err(already_in_match(Some(match_id))),
        QueueStatus::Found { .. } | QueueStatus::Gone => {}
    }
    let user_id = user.id;
    let spec = spec(MatchId::from_uuid(Uuid::now_v7()), user, request);
    let created = MatchCreated { match_id: spec.id, mode: spec.mode };
    match api.hub.create_match(spec).await {
        Ok(()) => {
            traces::has_led_to(created.match_id);
            Ok((StatusCode::CREATED, Json(created)))
        }
        Err(refusal) if refusal.code == ErrorCode::AlreadyInMatch => {
            // Somebody was quicker: another request of the same user.
            Err(already_in_match(api.store.active_match(user_id).await?.map(|seat| seat.match_id)))
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// Has a finished match shown again. Nobody else sees it, so that one goes back and forth as one likes.
pub(super) async fn show(
    State(api): State<Api>,
    Caller { user, .. }: Caller,
    Path(id): Path<MatchPath>,
    Body(ShowRequest { tick }): Body<ShowRequest>,
) -> Result<(StatusCode, Json<ReplayShown>), Problem> {
    let of = id.match_id().ok_or_else(|| Problem::new(ErrorCode::NotFound, "there is no such match"))?;
    let showing = MatchId::from_uuid(Uuid::now_v7());
    api.hub.show_replay(Replay { showing, of, user: user.id, from: tick.map(Tick) }).await?;
    Ok((StatusCode::CREATED, Json(ReplayShown { match_id: showing, of })))
}

fn spec(id: MatchId, user: UserInfo, request: NewMatchRequest) -> MatchSpec {
    let UserInfo { id: user, name, guest } = user;
    let left = SeatSpec::User { id: user, name, guest, skill: request.skill };
    let (mode, right) = match request.mode {
        NewMatchMode::Practice => (Mode::Practice, SeatSpec::Bot { level: request.level }),
        NewMatchMode::Local => (Mode::Local, left.clone()),
        NewMatchMode::Duel => (Mode::Duel, SeatSpec::Open),
    };
    MatchSpec { id, mode, classic: request.classic, private: mode == Mode::Duel, seats: [left, right] }
}

fn already_in_match(match_id: Option<MatchId>) -> Problem {
    Problem::new(ErrorCode::AlreadyInMatch, "one match at a time").about(match_id)
}

/// Where a user waits.
pub(super) async fn queue_status(api: &Api, user: UserId) -> Result<QueueStatus, Problem> {
    api.fabric.queue().status(user).await.map_err(|error| {
        tracing::warn!(%error, "cannot look up the queue");
        Problem::new(ErrorCode::Unavailable, "the queue is away")
    })
}
