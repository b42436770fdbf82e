//! People: oneself, others, finding them, and how they do.

use axum::{
    Json,
    extract::{Path, State},
};
use http::StatusCode;
use rally_fabric::QueueStatus;
use rally_protocol::client::v1::ErrorCode;
use rally_store::{ChangeProfileError, LeaderboardSort, Profile, ProfileChange, UserKind};
use rally_units::UserId;

use super::friends::tell;
use super::{
    Api,
    body::Body,
    caller::{Caller, From},
    ids::UserPath,
    matches::queue_status,
    password::prove,
    query::Query,
    types::{Me, PatchMe, PerhapsProof, PublicUser, RatingPoint, Settings, UserSearch, UserStats, Users},
};
use crate::{error::Problem, social::PeopleNews};

/// Who one is, what one has chosen, and where one is.
pub(super) async fn me(State(api): State<Api>, Caller { user, .. }: Caller) -> Result<Json<Me>, Problem> {
    read_me(&api, user.id).await.map(Json)
}

pub(super) async fn read_me(api: &Api, user: UserId) -> Result<Me, Problem> {
    let (profile, seat, status) =
        tokio::join!(api.store.profile(user), api.store.active_match(user), queue_status(api, user));
    let queue = match status? {
        QueueStatus::Waiting { mode } | QueueStatus::Pending { mode, .. } => Some(mode),
        // Where the match is, Postgres says: it may be over by now.
        QueueStatus::Found { .. } | QueueStatus::Gone => None,
    };
    let profile = profile?.ok_or_else(|| Problem::unauthenticated("the user is gone"))?;
    let settings = Settings {
        language: profile.language.clone(),
        friend_requests: profile.friend_requests.as_str(),
        read_receipts: profile.read_receipts,
    };
    Ok(Me { match_id: seat?.map(|seat| seat.match_id), queue, settings, user: public(profile) })
}

/// Changes what one shows and has chosen.
pub(super) async fn patch(
    State(api): State<Api>,
    Caller { user, .. }: Caller,
    Body(request): Body<PatchMe>,
) -> Result<Json<Me>, Problem> {
    let change = ProfileChange {
        name: request.username.as_ref().map(|name| name.as_str()),
        language: request.language.as_deref(),
        friend_requests: request.friend_requests,
        read_receipts: request.read_receipts,
    };
    api.store.change_profile(user.id, &change).await?;
    if request.read_receipts.is_some() {
        tell(&api, &PeopleNews::Blocks(user.id)).await;
    }
    read_me(&api, user.id).await.map(Json)
}

/// Forgets oneself. What stays is what belongs to others too.
pub(super) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    from: From,
    Body(PerhapsProof(proof)): Body<PerhapsProof>,
) -> Result<StatusCode, Problem> {
    let user = caller.user.id;
    // What the token says may be older than the account.
    if api.store.credentials_of(user).await?.is_some() {
        let caller = Caller { user: rally_protocol::client::v1::UserInfo { guest: false, ..caller.user }, ..caller };
        prove(&api, caller, &from, proof).await?;
    }
    let ended = api.store.delete_user(user).await?;
    api.revoked.revoke(&ended).await;
    tracing::info!(%user, "a user is forgotten");
    Ok(StatusCode::NO_CONTENT)
}

/// Somebody.
pub(super) async fn get(
    State(api): State<Api>,
    _caller: Caller,
    Path(id): Path<UserPath>,
) -> Result<Json<PublicUser>, Problem> {
    find(&api, &id).await.map(public).map(Json)
}

/// Accounts whose names begin so.
pub(super) async fn search(
    State(api): State<Api>,
    _caller: Caller,
    Query(search): Query<UserSearch>,
) -> Result<Json<Users>, Problem> {
    let found = api.store.search_users(&search.prefix, search.limit).await?;
    let items = found.into_iter().map(|user| {
        public(Profile {
            user,
            language: String::new(),
            friend_requests: rally_store::FriendRequests::None,
            read_receipts: false,
            last_seen_at: None,
            avatar_at: None,
        })
    });
    Ok(Json(Users { items: items.collect() }))
}

/// How somebody does.
pub(super) async fn stats(
    State(api): State<Api>,
    _caller: Caller,
    Path(id): Path<UserPath>,
) -> Result<Json<UserStats>, Problem> {
    let profile = find(&api, &id).await?;
    read_stats(&api, profile.user.id).await.map(Json)
}

pub(super) async fn read_stats(api: &Api, id: UserId) -> Result<UserStats, Problem> {
    let (user, totals, curve, rank) = tokio::join!(
        api.store.user(id),
        api.store.player_totals(id),
        api.store.rating_curve(id),
        api.store.rank(LeaderboardSort::Rating, id),
    );
    let (user, totals) = (user?.ok_or_else(no_user)?, totals?);
    Ok(UserStats {
        rating: user.rating.rating,
        rating_deviation: user.rating.deviation,
        rank: rank?,
        matches: totals.matches,
        wins: totals.wins,
        losses: totals.matches.saturating_sub(totals.wins),
        goals_for: totals.goals_for,
        goals_against: totals.goals_against,
        play_s: totals.play_sub_steps as f64 / SUB_STEPS_PER_SECOND,
        rating_curve: curve?.into_iter().map(|point| RatingPoint { at: point.at, rating: point.rating }).collect(),
    })
}

/// Sub-steps of a second of play.
pub(super) const SUB_STEPS_PER_SECOND: f64 = (rally_units::TICK_HZ * rally_units::SUB_STEPS_PER_TICK) as f64;

/// The user of a path.
pub(super) async fn find(api: &Api, id: &UserPath) -> Result<Profile, Problem> {
    api.store.profile(id.user().ok_or_else(no_user)?).await?.ok_or_else(no_user)
}

pub(super) fn no_user() -> Problem {
    Problem::new(ErrorCode::NotFound, "there is no such user")
}

/// What everybody may see of somebody.
pub(super) fn public(profile: Profile) -> PublicUser {
    let user = profile.user;
    let avatar = profile.avatar_at.map(|at| format!("/api/v1/users/{}/avatar?v={}", user.id, at.as_second()));
    PublicUser {
        id: user.id,
        name: user.name,
        guest: user.kind == UserKind::Guest,
        rating: user.rating.rating,
        created_at: user.created_at,
        last_seen_at: profile.last_seen_at,
        avatar,
    }
}

impl std::convert::From<ChangeProfileError> for Problem {
    fn from(error: ChangeProfileError) -> Self {
        match error {
            ChangeProfileError::UsernameTaken => Self::new(ErrorCode::UsernameTaken, "the name belongs to an account"),
            ChangeProfileError::NoSuchUser => Self::unauthenticated("the user is gone"),
            ChangeProfileError::Store(error) => error.into(),
        }
    }
}
