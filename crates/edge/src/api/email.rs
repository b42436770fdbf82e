//! The address that letters go to, and the letter for a lost password.

use std::time::Duration;

use axum::extract::State;
use http::StatusCode;
use rally_fabric::SharedRate;
use rally_protocol::client::v1::ErrorCode;

use super::{
    Api,
    attempts::{Attempt, allowed},
    body::Body,
    caller::{Caller, From},
    codes,
    password::prove,
    types::{EmailRequest, ForgotRequest, TotpCode, Username},
};
use crate::{
    error::Problem,
    mail::{CODE_FOR, Letter, Mail},
};

/// Letters to addresses that somebody wants to have: three at once, then one in ten minutes, of an account and to an
/// address. Who has an account could flood somebody else's letter box otherwise.
const LETTERS: SharedRate = SharedRate {
    name: "letters",
    interval: Duration::from_secs(10 * 60),
    burst: 3,
    growth_max: 1,
    remember: Duration::ZERO,
};

fn mail(api: &Api) -> Result<&Mail, Problem> {
    let none = || Problem::new(ErrorCode::Forbidden, "this cluster writes no letters; ask an operator");
    api.mail.as_ref().ok_or_else(none)
}

/// Has a letter written to whoever has forgotten a password. Whether there is such an account, and whether it has an
/// address, is not told: by the answer, nor by its time, since it is looked up later.
pub(super) async fn forgot(
    State(api): State<Api>,
    from: From,
    Body(ForgotRequest { username }): Body<ForgotRequest>,
) -> Result<StatusCode, Problem> {
    let mail = mail(&api)?;
    // Charged like a failed sign-in, so that nobody is flooded with letters.
    let _charged = Attempt::begin(&api, &username, from.address).await?;
    mail.send(Letter::Forgot(username.as_str().to_owned()));
    Ok(StatusCode::NO_CONTENT)
}

/// Has a code sent to an address that an account wants to have.
pub(super) async fn put(
    State(api): State<Api>,
    caller: Caller,
    from: From,
    Body(request): Body<EmailRequest>,
) -> Result<StatusCode, Problem> {
    let user = prove(&api, caller, &from, request.proof).await?.user;
    let mail = mail(&api)?;
    let code = codes::generate::<10>();
    let address = request.email.to_ascii_lowercase();
    for whose in [user.id.to_string(), address.clone()] {
        allowed("letters", api.fabric.limits().charge(&LETTERS, &whose).await)?;
    }
    api.store.offer_email_code(user.id, &address, &code.hash, CODE_FOR).await?;
    mail.send(Letter::Confirm { name: user.name, address, code: code.text });
    Ok(StatusCode::NO_CONTENT)
}

/// Confirms it; the address before is told.
pub(super) async fn confirm(
    State(api): State<Api>,
    caller: Caller,
    from: From,
    Body(request): Body<TotpCode>,
) -> Result<StatusCode, Problem> {
    let user = caller.account()?.user;
    let name = Username::try_from(user.name).map_err(|_| Problem::internal())?;
    let attempt = Attempt::begin(&api, &name, from.address).await?;
    let before = api.store.own_email(user.id).await?;
    if !api.store.confirm_email(user.id, &codes::hash(&request.code)).await? {
        return Err(Problem::field("code", "not the code of the letter, or used before, or too old"));
    }
    attempt.succeeded().await;
    if let (Some(before), Some(mail)) = (before, &api.mail) {
        mail.send(Letter::Changed(user.id, before));
    }
    Ok(StatusCode::NO_CONTENT)
}
