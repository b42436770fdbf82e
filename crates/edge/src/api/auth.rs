//! Signing in.

use axum::{Json, extract::State};
use http::{HeaderName, HeaderValue, StatusCode, header};
use rally_protocol::client::v1::UserInfo;
use rally_store::{User, UserKind};

use super::{
    Api,
    body::Body,
    types::{GuestRequest, RefreshRequest, SignedIn},
};
use crate::{auth::ACCESS_FOR, error::Problem};

/// Tokens are for their user, not for a cache.
const NO_STORE: [(HeaderName, HeaderValue); 1] = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];

type Answer = (StatusCode, [(HeaderName, HeaderValue); 1], Json<SignedIn>);

/// Makes a guest.
pub(super) async fn guest(State(api): State<Api>, Body(guest): Body<GuestRequest>) -> Result<Answer, Problem> {
    let user = api.store.create_guest(guest.username.as_str()).await?;
    metrics::counter!("rally_guests_total").increment(1);
    signed_in(&api, user, StatusCode::CREATED)
}

/// Gives the next pair of tokens, if the user still exists.
pub(super) async fn refresh(State(api): State<Api>, Body(body): Body<RefreshRequest>) -> Result<Answer, Problem> {
    let user = api
        .tokens
        .verify_refresh(&body.refresh_token)
        .map_err(|refused| Problem::unauthenticated(refused.to_string()))?;
    api.limits.request_of_user(user)?;
    let user =
        api.store.user(user).await?.ok_or_else(|| Problem::unauthenticated("the token's user does not exist"))?;
    signed_in(&api, user, StatusCode::OK)
}

fn signed_in(api: &Api, user: User, status: StatusCode) -> Result<Answer, Problem> {
    let user = UserInfo { id: user.id, name: user.name, guest: user.kind == UserKind::Guest };
    let tokens = api.tokens.issue(&user).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "cannot sign in");
        Problem::internal()
    })?;
    let signed_in = SignedIn {
        user,
        access_token: tokens.access,
        refresh_token: tokens.refresh,
        expires_in_s: ACCESS_FOR.as_secs(),
    };
    Ok((status, NO_STORE, Json(signed_in)))
}
