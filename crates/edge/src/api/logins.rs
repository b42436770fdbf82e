//! Where one is signed in: the list, and ending it here, there or everywhere.

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
};
use http::{StatusCode, header};
use rally_protocol::client::v1::ErrorCode;
use rally_units::LoginId;

use super::{
    Api,
    body::Body,
    caller::{Caller, From},
    types::{LogoutRequest, Session, Sessions},
};
use crate::error::Problem;

/// Ends the login of the token that came along: the refresh token, the cookie's, or the access token; or all of its
/// user's. Its access tokens are refused from then on, and sockets that were opened with them are closed.
pub(super) async fn logout(
    State(api): State<Api>,
    caller: Option<Caller>,
    from: From,
    Body(request): Body<LogoutRequest>,
) -> Result<Response, Problem> {
    let refresh = match &request.refresh_token {
        Some(token) => Some(token.as_str()),
        None if caller.is_none() => from.cookie()?,
        None => None,
    };
    let (user, login) = match (refresh, caller) {
        (Some(token), _) => {
            let verified = api.tokens.verify_refresh(token);
            let (user, token) = verified.map_err(|refused| Problem::unauthenticated(refused.to_string()))?;
            (user, Some(token.login))
        }
        (None, Some(caller)) => (caller.user.id, caller.login),
        (None, None) => return Err(Problem::unauthenticated("no token")),
    };
    match login {
        _ if request.everywhere => api.end_logins(user, None).await?,
        Some(login) => {
            api.store.end_login(user, login).await?;
            // Also when it is gone from there: an earlier try may have come that far.
            api.revoked.revoke(&[login]).await;
        }
        None => {}
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(cookie) = api.cookie.forget() {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Where one is signed in.
pub(super) async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<Sessions>, Problem> {
    let logins = api.store.logins(caller.user.id).await?;
    let sessions = logins.into_iter().map(|login| Session {
        current: caller.login == Some(login.id),
        id: login.id,
        agent: login.agent,
        created_at: login.created_at,
        last_used_at: login.last_used_at,
        expires_at: login.expires_at,
    });
    Ok(Json(Sessions { sessions: sessions.collect() }))
}

/// Ends one of one's own logins.
pub(super) async fn revoke(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let none = || Problem::new(ErrorCode::NotFound, "you have no such session");
    let id: LoginId = id.parse().map_err(|_| none())?;
    if !api.store.end_login(caller.user.id, id).await? {
        return Err(none());
    }
    api.revoked.revoke(&[id]).await;
    Ok(StatusCode::NO_CONTENT)
}
