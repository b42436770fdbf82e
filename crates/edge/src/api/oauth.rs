//! Signing in by another site: sending browsers there, and taking them in when they come back.

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, StatusCode, header};
use rally_protocol::client::v1::ErrorCode;
use rally_store::{Identity, RegisterError, User};
use rally_units::UserId;

use super::{
    Api,
    auth::SignIn,
    caller::{Caller, From},
    codes,
    query::Query,
    types::{OauthCallback, OauthSite, OauthSites, OauthStart},
};
use crate::{
    error::Problem,
    oauth::{AWAY_FOR, Away, Departure, Oauth, OauthError, Person, another_name, hashed, name_like},
};

/// Names that are tried for a new account.
const NAMES_TRIED: usize = 5;

/// Where browsers go afterwards; the page says the rest.
const PAGE: &str = "/account";

/// The sites.
pub(super) async fn sites(State(api): State<Api>) -> Json<OauthSites> {
    let sites = api.oauth.iter().flat_map(|oauth| oauth.sites());
    let items = sites.map(|site| OauthSite { name: site.as_str().into(), label: site.label().into() });
    Json(OauthSites { items: items.collect() })
}

fn none() -> Problem {
    Problem::new(ErrorCode::NotFound, "nobody signs in by that site here")
}

async fn leave(api: &Api, site: &str, user: Option<UserId>) -> Result<Departure, Problem> {
    let departure = api.oauth.as_deref().and_then(|oauth| oauth.depart(site, user)).ok_or_else(none)?;
    // Writing these fields to memory cannot fail.
    let away = serde_json::to_vec(&departure.away).unwrap_or_default();
    api.fabric.once().put(&key(&departure.state), away.into(), AWAY_FOR).await.map_err(away_with)?;
    Ok(departure)
}

fn away_with(error: rally_fabric::RedisError) -> Problem {
    tracing::warn!(%error, "nobody can sign in by another site");
    Problem::new(ErrorCode::Unavailable, "signing in by another site is away")
}

fn key(state: &str) -> String {
    format!("oauth:{}", hashed(state))
}

/// Says where to send the browser. Whoever asks with an access token is linked: a guest becomes an account, an account
/// can sign in so from then on.
pub(super) async fn start(
    State(api): State<Api>,
    caller: Option<Caller>,
    Path(site): Path<String>,
) -> Result<Response, Problem> {
    let Departure { url, cookie, .. } = leave(&api, &site, caller.map(|caller| caller.user.id)).await?;
    Ok(with_cookie(&api, &cookie, (no_store(), Json(OauthStart { url })).into_response()))
}

/// Sends the browser there.
pub(super) async fn go(State(api): State<Api>, Path(site): Path<String>) -> Result<Response, Problem> {
    let Departure { url, cookie, .. } = leave(&api, &site, None).await?;
    Ok(with_cookie(&api, &cookie, redirect(&url)))
}

fn no_store() -> [(header::HeaderName, HeaderValue); 1] {
    [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))]
}

fn redirect(to: &str) -> Response {
    let to = HeaderValue::try_from(to).unwrap_or(HeaderValue::from_static(PAGE));
    (StatusCode::SEE_OTHER, no_store(), [(header::LOCATION, to)]).into_response()
}

fn with_cookie(api: &Api, cookie: &str, mut response: Response) -> Response {
    if let Some(cookie) = api.cookie.keep_away(cookie, AWAY_FOR.as_secs()) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Takes in who comes back. Whatever comes of it, the browser goes on to the page, which says so.
pub(super) async fn callback(
    State(api): State<Api>,
    from: From,
    Path(site): Path<String>,
    Query(query): Query<OauthCallback>,
) -> Result<Response, Problem> {
    let oauth = api.oauth.clone().ok_or_else(none)?;
    let outcome = take_in(&api, &oauth, &from, &site, query).await;
    let label = match &outcome {
        Ok(_) => "signed_in",
        Err(problem) => problem.code(),
    };
    metrics::counter!("rally_oauth_callbacks_total", "outcome" => label).increment(1);
    let mut response = match outcome {
        Ok(user) => {
            let signed_in = SignIn::of(user).in_cookie(true).begin(&api, &from).await?;
            let mut response = redirect(&format!("{PAGE}?by={site}"));
            // Of the answer only the cookie is for a browser that is on its way.
            for cookie in signed_in.headers().get_all(header::SET_COOKIE) {
                response.headers_mut().append(header::SET_COOKIE, cookie.clone());
            }
            response
        }
        Err(problem) => redirect(&format!("{PAGE}?failed={}", problem.code())),
    };
    if let Some(cookie) = api.cookie.keep_away("", 0) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

async fn take_in(api: &Api, oauth: &Oauth, from: &From, site: &str, query: OauthCallback) -> Result<User, Problem> {
    let stranger = || Problem::unauthenticated("this browser was not sent there, or too long ago");
    let kept = api.fabric.once().take(&key(&query.state)).await.map_err(away_with)?.ok_or_else(stranger)?;
    let away: Away = serde_json::from_slice(&kept).map_err(|_| stranger())?;
    // Somebody could lead a victim here with a code of their own, and the victim would play as them.
    if away.site != site || from.away().is_none_or(|cookie| hashed(cookie) != away.browser) {
        return Err(stranger());
    }
    let code = query.code.ok_or_else(|| Problem::new(ErrorCode::Forbidden, "that site did not let you sign in"))?;
    let person = oauth.arrive(&away, &code).await.map_err(|error| {
        tracing::warn!(%error, site, "nobody is signed in by another site");
        match error {
            OauthError::Away(_) => Problem::new(ErrorCode::Unavailable, "that site does not answer"),
            OauthError::Refused(reason) => Problem::unauthenticated(reason),
        }
    })?;
    account_of(api, site, person, away.user).await
}

async fn account_of(api: &Api, site: &str, person: Person, user: Option<UserId>) -> Result<User, Problem> {
    let Person { subject, name, email } = person;
    let identity = Identity { provider: site, subject: &subject, email: email.as_deref() };
    if let Some(known) = api.store.user_of_identity(identity).await? {
        return match user {
            // Whoever is an account already does not become another by the way.
            Some(user) if user != known.id && api.store.credentials_of(user).await?.is_some() => {
                Err(Problem::new(ErrorCode::Forbidden, "that identity is another account's"))
            }
            _ => Ok(known),
        };
    }
    if let Some(user) = user
        && let Some(credentials) = api.store.credentials_of(user).await?
    {
        let linked = api.store.link_identity(user, identity).await?;
        let taken = || Problem::new(ErrorCode::Forbidden, "your account has an identity of that site already");
        return if linked { Ok(credentials.user) } else { Err(taken()) };
    }
    let mut name = name_like(&name);
    for _ in 0..NAMES_TRIED {
        let recovery = codes::generate::<16>();
        match api.store.register_identity(&name, &recovery.hash, identity, user).await {
            Ok(made) => {
                metrics::counter!("rally_accounts_total").increment(1);
                if let Some(guest) = user {
                    // The guest's tokens have served.
                    api.end_logins(guest, None).await?;
                }
                return Ok(made);
            }
            Err(RegisterError::UsernameTaken) => name = another_name(&name),
            Err(error) => return Err(error.into()),
        }
    }
    // A second tab may have been quicker.
    let known = api.store.user_of_identity(identity).await?;
    known.ok_or_else(|| Problem::new(ErrorCode::UsernameTaken, "no name like yours is free"))
}
