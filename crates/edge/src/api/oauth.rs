//! Signing in by another site: sending browsers there, taking them in when they come back, and asking for the second
//! factor of who has one.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, StatusCode, header};
use rally_protocol::client::v1::ErrorCode;
use rally_store::{Identity, RegisterError, Unlinked, User};
use rally_units::UserId;

use super::{
    Api,
    attempts::Attempt,
    auth::{SignIn, second_factor},
    body::Body,
    caller::{Caller, From},
    codes,
    password::prove,
    query::Query,
    types::{
        LinkedSite, OauthCallback, OauthSite, OauthSites, OauthStart, OwnAccount, PerhapsProof, Proof, TotpCode,
        Username,
    },
};
use crate::{
    error::Problem,
    oauth::{AWAY_FOR, Away, Departure, Oauth, OauthError, Person, Site, another_name, hashed, name_like, random_text},
};

/// Names that are tried for a new account.
const NAMES_TRIED: usize = 5;

/// How long somebody may look for the code of an authenticator.
const CODE_WITHIN: Duration = Duration::from_secs(5 * 60);

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

async fn leave(api: &Api, site: &str, user: Option<UserId>, proved: bool) -> Result<Departure, Problem> {
    let departure = api.oauth.as_deref().and_then(|oauth| oauth.depart(site, user, proved)).ok_or_else(none)?;
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
/// can sign in so from then on. It proves that it means it: a token that was stolen for a quarter of an hour must not
/// become a way in for good.
pub(super) async fn start(
    State(api): State<Api>,
    caller: Option<Caller>,
    from: From,
    Path(site): Path<String>,
    request: Option<Body<PerhapsProof>>,
) -> Result<Response, Problem> {
    if !api.oauth.as_deref().is_some_and(|oauth| oauth.has(&site)) {
        return Err(none());
    }
    let proof = request.map_or(Proof { password: None, totp: None }, |Body(PerhapsProof(proof))| proof);
    let (user, proved) = match caller {
        Some(caller) if !caller.user.guest => (Some(prove(&api, caller, &from, proof).await?.user.id), true),
        caller => (caller.map(|caller| caller.user.id), false),
    };
    let Departure { url, cookie, .. } = leave(&api, &site, user, proved).await?;
    Ok(with_cookie(&api, &cookie, (no_store(), Json(OauthStart { url })).into_response()))
}

/// Sends the browser there.
pub(super) async fn go(State(api): State<Api>, Path(site): Path<String>) -> Result<Response, Problem> {
    let Departure { url, cookie, .. } = leave(&api, &site, None, false).await?;
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
        Ok(Arrived { asks: true, .. }) => "asks_code",
        Ok(_) => "signed_in",
        Err(problem) => problem.code(),
    };
    metrics::counter!("rally_oauth_callbacks_total", "outcome" => label).increment(1);
    match outcome {
        Ok(Arrived { user, asks: true }) => {
            let ticket = wait_for_code(&api, user.id).await?;
            let mut response = redirect(&format!("{PAGE}?code_for={site}"));
            if let Some(cookie) = api.cookie.keep_away(&ticket, CODE_WITHIN.as_secs()) {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            Ok(response)
        }
        Ok(Arrived { user, asks: false }) => {
            let signed_in = SignIn::of(user).in_cookie(true).begin(&api, &from).await?;
            let mut response = redirect(&format!("{PAGE}?by={site}"));
            // Of the answer only the cookie is for a browser that is on its way.
            for cookie in signed_in.headers().get_all(header::SET_COOKIE) {
                response.headers_mut().append(header::SET_COOKIE, cookie.clone());
            }
            Ok(without_away(&api, response))
        }
        Err(problem) => Ok(without_away(&api, redirect(&format!("{PAGE}?failed={}", problem.code())))),
    }
}

/// What the browser was given to take along has served.
fn without_away(api: &Api, mut response: Response) -> Response {
    if let Some(cookie) = api.cookie.keep_away("", 0) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Somebody whom another site has named.
struct Arrived {
    user: User,
    /// Whether the second factor is asked for.
    asks: bool,
}

fn ticket_key(ticket: &str) -> String {
    format!("oauth_code:{}", hashed(ticket))
}

/// Keeps who has come as far as the second factor; by what the browser gets for it, it goes on.
async fn wait_for_code(api: &Api, user: UserId) -> Result<String, Problem> {
    let ticket = random_text();
    let user = user.to_string().into_bytes();
    api.fabric.once().put(&ticket_key(&ticket), user.into(), CODE_WITHIN).await.map_err(away_with)?;
    Ok(ticket)
}

/// The second factor of somebody who has come back from another site.
pub(super) async fn confirm(
    State(api): State<Api>,
    from: From,
    Body(request): Body<TotpCode>,
) -> Result<Response, Problem> {
    let stranger =
        || Problem::unauthenticated("sign in by the other site first, and give the code within five minutes");
    let key = ticket_key(from.away_to_own_page()?.ok_or_else(stranger)?);
    let kept = api.fabric.once().look(&key).await.map_err(away_with)?.ok_or_else(stranger)?;
    let user = std::str::from_utf8(&kept).ok().and_then(|id| id.parse().ok()).ok_or_else(stranger)?;
    let credentials = api.store.credentials_of(user).await?.ok_or_else(stranger)?;
    // Names of accounts have this form.
    let name = Username::try_from(credentials.user.name.clone()).map_err(|_| Problem::internal())?;
    let attempt = Attempt::begin(&api, &name, from.address).await?;
    second_factor(&api, &credentials, Some(&request.code)).await?;
    // Of two that come at the same time one gets in.
    api.fabric.once().take(&key).await.map_err(away_with)?.ok_or_else(stranger)?;
    attempt.succeeded().await;
    let response = SignIn::of(credentials.user).in_cookie(true).begin(&api, &from).await?;
    Ok(without_away(&api, response))
}

/// Lets the caller no more sign in by a site, and ends all other logins, which may have come by it.
pub(super) async fn unlink(
    State(api): State<Api>,
    caller: Caller,
    from: From,
    Path(site): Path<String>,
    Body(PerhapsProof(proof)): Body<PerhapsProof>,
) -> Result<StatusCode, Problem> {
    let login = caller.login;
    let user = prove(&api, caller, &from, proof).await?.user.id;
    match api.store.unlink_identity(user, &site).await? {
        Unlinked::Done => {
            api.end_logins(user, login).await?;
            Ok(StatusCode::NO_CONTENT)
        }
        Unlinked::LastWayIn => {
            Err(Problem::new(ErrorCode::Forbidden, "it is your only way in; set a password or add another site first"))
        }
        Unlinked::NotLinked => Err(Problem::new(ErrorCode::NotFound, "you do not sign in by that site")),
    }
}

/// By what the caller signs in, and where letters go.
pub(super) async fn own(State(api): State<Api>, caller: Caller) -> Result<Json<OwnAccount>, Problem> {
    let user = caller.account()?.user.id;
    let (credentials, email, linked) =
        tokio::join!(api.store.credentials_of(user), api.store.own_email(user), api.store.identities(user));
    let credentials = credentials?.ok_or_else(|| Problem::unauthenticated("the account is gone"))?;
    let label = |name: &str| {
        let site = Site::ALL.into_iter().find(|site| site.as_str() == name);
        site.map_or(name.to_owned(), |site| site.label().to_owned())
    };
    let linked = linked?.into_iter().map(|one| LinkedSite {
        label: label(&one.provider),
        name: one.provider,
        email: one.email,
        since: one.since,
    });
    Ok(Json(OwnAccount {
        email: email?,
        writes_letters: api.mail.is_some(),
        has_password: !credentials.password_hash.is_empty(),
        has_totp: credentials.totp_secret.is_some(),
        linked: linked.collect(),
    }))
}

async fn take_in(api: &Api, oauth: &Oauth, from: &From, site: &str, query: OauthCallback) -> Result<Arrived, Problem> {
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
    let user = account_of(api, site, person, &away).await?;
    let has_factor = api.store.credentials_of(user.id).await?.is_some_and(|own| own.totp_secret.is_some());
    // Who left as this account has been asked already.
    let asks = has_factor && !(away.proved && away.user == Some(user.id));
    Ok(Arrived { user, asks })
}

async fn account_of(api: &Api, site: &str, person: Person, away: &Away) -> Result<User, Problem> {
    let user = away.user;
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
        // A guest that left, and has become an account since.
        if !away.proved {
            return Err(Problem::new(ErrorCode::Forbidden, "add that site once more, as your account"));
        }
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
