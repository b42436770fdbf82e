//! Whose request it is, by its access token.

use axum::extract::FromRequestParts;
use http::{header, request::Parts};
use rally_protocol::client::v1::UserInfo;

use super::Api;
use crate::{error::Problem, socket::VerifyToken as _};

/// Somebody with a good access token, and with requests left.
pub(crate) struct Caller(pub(crate) UserInfo);

impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let value = parts.headers.get(header::AUTHORIZATION).ok_or_else(|| Problem::unauthenticated("no token"))?;
        let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Problem::unauthenticated("expected Authorization: Bearer and a token"));
        }
        let identity =
            api.tokens.verify(token.trim()).map_err(|refused| Problem::unauthenticated(refused.to_string()))?;
        api.limits.request_of_user(identity.user.id)?;
        Ok(Self(identity.user))
    }
}
