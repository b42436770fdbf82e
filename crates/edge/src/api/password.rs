//! Another password: by the old one, or by the code that stands in for it.

use axum::{extract::State, response::Response};
use http::StatusCode;

use super::{
    Api,
    attempts::Attempt,
    auth::{SignIn, second_factor},
    body::Body,
    caller::{Caller, From},
    codes,
    types::{ChangePasswordRequest, Proof, RecoverRequest, Username},
};
use crate::{error::Problem, passwords};
use jiff::{SignedDuration, Timestamp};
use rally_store::Credentials;

/// How long a sign-in by another site stands in for a password.
const NEW_FOR: SignedDuration = SignedDuration::from_mins(10);

/// Proves once more that the caller is the owner of the account, before something that cannot be undone: by the password,
/// or where there is none by a sign-in that is new, and by the second factor where there is one.
pub(super) async fn prove(api: &Api, caller: Caller, from: &From, proof: Proof) -> Result<Credentials, Problem> {
    let caller = caller.account()?;
    let gone = || Problem::unauthenticated("the account is gone");
    let credentials = api.store.credentials_of(caller.user.id).await?.ok_or_else(gone)?;
    let has_password = !credentials.password_hash.is_empty();
    if !has_password {
        // There is none to be given. Who has signed in by the other site just now has proved as much.
        let logins = api.store.logins(caller.user.id).await?;
        let own = logins.iter().find(|login| caller.login == Some(login.id));
        let is_new = own.is_some_and(|own| Timestamp::now().duration_since(own.created_at) < NEW_FOR);
        if !is_new {
            return Err(Problem::unauthenticated("sign in again by the other site, then do it within ten minutes"));
        }
    }
    let Proof { password, totp } = proof;
    if has_password && password.is_none() {
        return Err(Problem::field("password", "missing"));
    }
    // Names of accounts have this form.
    let name = Username::try_from(credentials.user.name.clone()).map_err(|_| Problem::internal())?;
    let attempt = Attempt::begin(api, &name, from.address).await?;
    if let Some(password) = password.filter(|_| has_password)
        && !api.passwords.verify(password, Some(credentials.password_hash.clone())).await?
    {
        return Err(Problem::unauthenticated("the password is wrong"));
    }
    second_factor(api, &credentials, totp.as_deref()).await?;
    attempt.succeeded().await;
    Ok(credentials)
}

/// Changes the password, and ends all other logins.
pub(super) async fn change(
    State(api): State<Api>,
    caller: Caller,
    from: From,
    Body(request): Body<ChangePasswordRequest>,
) -> Result<StatusCode, Problem> {
    let login = caller.login;
    if let Some(fault) = passwords::fault(request.new_password_text(), &caller.user.name) {
        return Err(Problem::field("new_password", fault));
    }
    let credentials = prove(&api, caller, &from, request.proof).await?;
    let hash = api.passwords.hash(request.new_password).await?;
    api.store.set_password(credentials.user.id, &hash).await?;
    api.end_logins(credentials.user.id, login).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets a password by the recovery code, ends all logins and signs in. An unknown name and a wrong code are answered
/// alike, and take the same time.
pub(super) async fn recover(
    State(api): State<Api>,
    from: From,
    Body(request): Body<RecoverRequest>,
) -> Result<Response, Problem> {
    let attempt = Attempt::begin(&api, &request.username, from.address).await?;
    let wrong = || Problem::unauthenticated("the name or the recovery code is wrong");
    let hash = api.passwords.hash(request.new_password).await?;
    let credentials = api.store.credentials(request.username.as_str()).await?.ok_or_else(wrong)?;
    let code = codes::hash(&request.recovery_code);
    // Before the code is used up. Who has the one and not the other learns that the account has a second factor.
    if !api.store.is_recovery_code(credentials.user.id, &code).await? {
        return Err(wrong());
    }
    second_factor(&api, &credentials, request.totp.as_deref()).await?;
    let next = codes::generate::<16>();
    let ended = api.store.recover(credentials.user.id, &code, &hash, &next.hash).await?.ok_or_else(wrong)?;
    api.revoked.revoke(&ended).await;
    attempt.succeeded().await;
    SignIn::of(credentials.user).in_cookie(request.cookie).with_recovery_code(next.text).begin(&api, &from).await
}
