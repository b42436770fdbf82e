//! The second factor: codes of RFC 6238 that change each 30 s, and codes on paper for when the device is lost.

use axum::{Json, extract::State};
use http::StatusCode;
use rally_protocol::client::v1::ErrorCode;
use rally_service::{clock, entropy};
use rally_units::UserId;
use totp_rs::{Builder, Secret, Totp};

use super::{
    Api,
    attempts::Attempt,
    body::Body,
    caller::{Caller, From},
    codes,
    password::prove,
    types::{Proof, RecoveryCodes, TotpCode, TotpEnrolment, Username},
};
use crate::error::Problem;

/// Digits of a code.
const DIGITS: usize = 6;
/// Codes on paper.
const RECOVERY_CODES: usize = 10;

/// Codes that this secret makes; those of the step before and after count too, since clocks differ.
fn totp_of(secret: &[u8], name: &str) -> Result<Totp, Problem> {
    let builder = Builder::new().with_secret(Secret::from(secret.to_vec())).with_account_name(name);
    builder.with_issuer(Some("Rally")).build().map_err(|error| {
        tracing::error!(%error, "a second factor's secret is not one");
        Problem::internal()
    })
}

/// Whether this is a good code that has not been used before; it is used up.
pub(super) async fn accept(api: &Api, user: UserId, secret: &[u8], code: &str) -> Result<bool, Problem> {
    match step_of(secret, code)? {
        Some(step) => Ok(api.store.use_totp_step(user, step).await?),
        None if is_paper(code) => Ok(api.store.use_totp_recovery(user, &codes::hash(code)).await?),
        None => Ok(false),
    }
}

fn is_paper(code: &str) -> bool {
    code.len() > DIGITS
}

/// The step whose code this is.
fn step_of(secret: &[u8], code: &str) -> Result<Option<i64>, Problem> {
    let code = code.trim();
    if code.len() != DIGITS || !code.bytes().all(|digit| digit.is_ascii_digit()) {
        return Ok(None);
    }
    let step = totp_of(secret, "rally")?.check(code, clock::wall_ms() / 1_000);
    Ok(step.and_then(|step| i64::try_from(step).ok()))
}

/// Makes a secret, to be confirmed by its first code.
pub(super) async fn enrol(
    State(api): State<Api>,
    caller: Caller,
    from: From,
    Body(proof): Body<Proof>,
) -> Result<Json<TotpEnrolment>, Problem> {
    let user = prove(&api, caller, &from, proof).await?.user;
    let secret = entropy::random_bytes::<20>();
    if !api.store.enrol_totp(user.id, &secret).await? {
        return Err(in_effect());
    }
    let url = totp_of(&secret, &user.name)?.to_url().map_err(|error| {
        tracing::error!(%error, "cannot write a second factor's URL");
        Problem::internal()
    })?;
    Ok(Json(TotpEnrolment { secret: Secret::from(secret.to_vec()).to_base32(), url }))
}

fn in_effect() -> Problem {
    Problem::new(ErrorCode::Forbidden, "the second factor is in effect; disable it first")
}

/// Puts the secret into effect.
pub(super) async fn confirm(
    State(api): State<Api>,
    caller: Caller,
    from: From,
    Body(request): Body<TotpCode>,
) -> Result<Json<RecoveryCodes>, Problem> {
    let user = caller.account()?.user;
    let name = Username::try_from(user.name).map_err(|_| Problem::internal())?;
    let attempt = Attempt::begin(&api, &name, from.address).await?;
    let none = || Problem::new(ErrorCode::Forbidden, "no second factor waits to be confirmed");
    let secret = api.store.enrolled_totp(user.id).await?.ok_or_else(none)?;
    let step = step_of(&secret, &request.code)?.ok_or_else(|| Problem::field("code", "not the code of this moment"))?;
    let codes: Vec<_> = (0..RECOVERY_CODES).map(|_| codes::generate::<10>()).collect();
    let hashes: Vec<_> = codes.iter().map(|code| code.hash).collect();
    if !api.store.confirm_totp(user.id, &secret, step, &hashes).await? {
        return Err(none());
    }
    attempt.succeeded().await;
    Ok(Json(RecoveryCodes { recovery_codes: codes.into_iter().map(|code| code.text).collect() }))
}

/// Takes the second factor away, by both factors.
pub(super) async fn disable(
    State(api): State<Api>,
    caller: Caller,
    from: From,
    Body(proof): Body<Proof>,
) -> Result<StatusCode, Problem> {
    let user = prove(&api, caller, &from, proof).await?.user;
    api.store.disable_totp(user.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
