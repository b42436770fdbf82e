//! Whose request it is, by its access token, and from where it comes.

use std::{convert::Infallible, net::IpAddr};

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::{HeaderMap, header, request::Parts};
use rally_protocol::client::v1::{ErrorCode, UserInfo};
use rally_units::LoginId;

use super::Api;
use crate::{error::Problem, headers::Origins, router::Client};

/// Somebody with a good access token, and with requests left.
pub(crate) struct Caller {
    /// The user, as the token says.
    pub(crate) user: UserInfo,
    /// Where the user is signed in.
    pub(crate) login: Option<LoginId>,
}

impl Caller {
    /// The caller, unless it is a guest.
    pub(crate) fn account(self) -> Result<Self, Problem> {
        if self.user.guest {
            return Err(Problem::new(ErrorCode::Forbidden, "only accounts may do this; register first"));
        }
        Ok(self)
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        read(&parts.headers, api)?.ok_or_else(|| Problem::unauthenticated("no token"))
    }
}

/// Nobody, or somebody with a good token: a bad one is refused here too.
impl OptionalFromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Option<Self>, Problem> {
        read(&parts.headers, api)
    }
}

fn read(headers: &HeaderMap, api: &Api) -> Result<Option<Caller>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Problem::unauthenticated("expected Authorization: Bearer and a token"));
    }
    let bearer =
        api.tokens.verify_access(token.trim()).map_err(|refused| Problem::unauthenticated(refused.to_string()))?;
    if bearer.login.is_some_and(|login| api.revoked.is_revoked(login)) {
        return Err(Problem::unauthenticated("the login has ended; sign in again"));
    }
    api.limits.request_of_user(bearer.user.id)?;
    Ok(Some(Caller { user: bearer.user, login: bearer.login }))
}

/// From where a request comes, and what came with it that only browsers send.
pub(crate) struct From {
    /// The address of the client.
    pub(crate) address: IpAddr,
    /// What the client calls itself.
    pub(crate) agent: String,
    /// The refresh token in its cookie.
    cookie: Option<String>,
    /// What its other cookie says, if it was sent to another site to sign in.
    away: Option<String>,
    /// Whether it comes from one of our own pages, and says so.
    own_page: bool,
}

impl From {
    /// The refresh token in the cookie. A browser sends it along with whatever any page asks for; so it counts only
    /// for pages of ours.
    pub(crate) fn cookie(&self) -> Result<Option<&str>, Problem> {
        match &self.cookie {
            Some(_) if !self.own_page => {
                Err(Problem::new(ErrorCode::Forbidden, "this origin may not use the cookie of this site"))
            }
            cookie => Ok(cookie.as_deref()),
        }
    }
}

impl From {
    /// What was given to the browser before it was sent to another site.
    pub(crate) fn away(&self) -> Option<&str> {
        self.away.as_deref()
    }

    /// The same, where it counts for pages of ours only, as the refresh token does.
    pub(crate) fn away_to_own_page(&self) -> Result<Option<&str>, Problem> {
        match &self.away {
            Some(_) if !self.own_page => {
                Err(Problem::new(ErrorCode::Forbidden, "this origin may not use the cookie of this site"))
            }
            away => Ok(away.as_deref()),
        }
    }
}

impl FromRequestParts<Api> for From {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Infallible> {
        let address = parts.extensions.get().map_or(IpAddr::from([0; 16]), |Client(address)| *address);
        let own_page = parts.headers.contains_key(header::ORIGIN)
            && parts.extensions.get::<Origins>().is_some_and(|origins| origins.admit(&parts.headers));
        let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        let cookie = api.cookie.read(&parts.headers).map(str::to_owned);
        let away = api.cookie.read_away(&parts.headers).map(str::to_owned);
        Ok(Self { address, agent: agent.to_owned(), cookie, away, own_page })
    }
}
