//! Signing in: as a guest, as a new account, with a password, with a refresh token.

use axum::{Json, extract::State, response::IntoResponse as _, response::Response};
use http::{HeaderValue, StatusCode, header};
use rally_protocol::client::v1::{ErrorCode, UserInfo};
use rally_store::{Credentials, Exchanged, NewAccount, RegisterError, User, UserKind};

use super::{
    Api,
    attempts::Attempt,
    body::Body,
    caller::{Caller, From},
    codes, totp,
    types::{GuestRequest, LoginRequest, RefreshRequest, RegisterRequest, SignedIn},
};
use crate::{
    auth::{ACCESS_FOR, LoginToken, REFRESH_FOR},
    error::Problem,
};

/// Tokens are for their user, not for a cache.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Makes a guest.
pub(super) async fn guest(
    State(api): State<Api>,
    from: From,
    Body(guest): Body<GuestRequest>,
) -> Result<Response, Problem> {
    let user = api.store.create_guest(guest.username.as_str()).await?;
    metrics::counter!("rally_guests_total").increment(1);
    SignIn::of(user).status(StatusCode::CREATED).begin(&api, &from).await
}

/// Makes an account: of the guest who asks, or of nobody.
pub(super) async fn register(
    State(api): State<Api>,
    caller: Option<Caller>,
    from: From,
    Body(request): Body<RegisterRequest>,
) -> Result<Response, Problem> {
    if caller.as_ref().is_some_and(|caller| !caller.user.guest) {
        return Err(Problem::new(ErrorCode::Forbidden, "you have an account; sign out first"));
    }
    let password_hash = api.passwords.hash(request.password).await?;
    let recovery = codes::generate::<16>();
    let new =
        NewAccount { name: request.username.as_str(), password_hash: &password_hash, recovery_hash: recovery.hash };
    let guest = caller.map(|caller| caller.user.id);
    let user = api.store.register(&new, guest).await?;
    if let Some(guest) = guest {
        // The guest's tokens have served.
        api.end_logins(guest, None).await?;
    }
    metrics::counter!("rally_accounts_total").increment(1);
    SignIn::of(user)
        .status(StatusCode::CREATED)
        .in_cookie(request.cookie)
        .with_recovery_code(recovery.text)
        .begin(&api, &from)
        .await
}

/// Signs an account in.
pub(super) async fn login(
    State(api): State<Api>,
    from: From,
    Body(request): Body<LoginRequest>,
) -> Result<Response, Problem> {
    let attempt = Attempt::begin(&api, &request.username, from.address).await?;
    let found = api.store.credentials(request.username.as_str()).await?;
    // Who signs in by another site only has none; that takes as long.
    let phc = found.as_ref().map(|found| found.password_hash.clone()).filter(|phc| !phc.is_empty());
    let verified = api.passwords.verify(request.password, phc).await?;
    let Some(credentials) = found.filter(|_| verified) else {
        return Err(Problem::unauthenticated("the name or the password is wrong"));
    };
    second_factor(&api, &credentials, request.totp.as_deref()).await?;
    attempt.succeeded().await;
    SignIn::of(credentials.user).in_cookie(request.cookie).begin(&api, &from).await
}

/// Asks for the second factor of who has one.
pub(super) async fn second_factor(api: &Api, credentials: &Credentials, code: Option<&str>) -> Result<(), Problem> {
    let Some(secret) = &credentials.totp_secret else { return Ok(()) };
    let code = code.ok_or_else(|| Problem::new(ErrorCode::TotpRequired, "the code of your authenticator, please"))?;
    if totp::accept(api, credentials.user.id, secret, code).await? {
        Ok(())
    } else {
        Err(Problem::unauthenticated("the code is wrong, or was used before"))
    }
}

/// Gives the next pair of tokens, if the login still exists.
pub(super) async fn refresh(
    State(api): State<Api>,
    from: From,
    Body(body): Body<RefreshRequest>,
) -> Result<Response, Problem> {
    let in_cookie = body.refresh_token.is_none();
    let token = match &body.refresh_token {
        Some(token) => token,
        None => from.cookie()?.ok_or_else(|| Problem::unauthenticated("no refresh token"))?,
    };
    let (user, token) =
        api.tokens.verify_refresh(token).map_err(|refused| Problem::unauthenticated(refused.to_string()))?;
    api.limits.request_of_user(user)?;
    match api.store.exchange(token.login, token.generation, REFRESH_FOR).await? {
        Exchanged::Next { user, generation } => {
            SignIn::of(*user).in_cookie(in_cookie).answer(&api, LoginToken { generation, ..token })
        }
        Exchanged::Reused(user) => {
            metrics::counter!("rally_refresh_reuses_total").increment(1);
            api.revoked.revoke(&[token.login]).await;
            tracing::warn!(%user, login = %token.login, "a refresh token came twice; its login has ended");
            Err(Problem::unauthenticated("the token was used before; sign in again"))
        }
        Exchanged::Gone => Err(Problem::unauthenticated("the login has ended; sign in again")),
    }
}

impl std::convert::From<RegisterError> for Problem {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::UsernameTaken => Self::new(ErrorCode::UsernameTaken, "the name belongs to an account"),
            RegisterError::NotAGuest => Self::new(ErrorCode::Forbidden, "this guest has become an account, or is gone"),
            RegisterError::Store(error) => error.into(),
        }
    }
}

/// What somebody who has proved who they are is answered.
pub(super) struct SignIn {
    user: UserInfo,
    status: StatusCode,
    in_cookie: bool,
    recovery_code: Option<String>,
}

impl SignIn {
    pub(super) fn of(user: User) -> Self {
        let user = UserInfo { id: user.id, name: user.name, guest: user.kind == UserKind::Guest };
        Self { user, status: StatusCode::OK, in_cookie: false, recovery_code: None }
    }

    fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The refresh token goes into a cookie, and nowhere else.
    pub(super) fn in_cookie(self, in_cookie: bool) -> Self {
        Self { in_cookie, ..self }
    }

    pub(super) fn with_recovery_code(self, code: String) -> Self {
        Self { recovery_code: Some(code), ..self }
    }

    /// Begins a login.
    pub(super) async fn begin(self, api: &Api, from: &From) -> Result<Response, Problem> {
        let login = api.store.start_login(self.user.id, &from.agent, REFRESH_FOR).await?;
        self.answer(api, LoginToken { login, generation: 1 })
    }

    /// Gives the tokens of a login.
    fn answer(self, api: &Api, token: LoginToken) -> Result<Response, Problem> {
        let tokens = api.tokens.issue(&self.user, token).map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot sign in");
            Problem::internal()
        })?;
        let cookie = if self.in_cookie { api.cookie.keep(&tokens.refresh, REFRESH_FOR.as_secs()) } else { None };
        let signed_in = SignedIn {
            user: self.user,
            access_token: tokens.access,
            refresh_token: (!self.in_cookie).then_some(tokens.refresh),
            expires_in_s: ACCESS_FOR.as_secs(),
            recovery_code: self.recovery_code,
        };
        let mut response = (self.status, [(header::CACHE_CONTROL, NO_STORE)], Json(signed_in)).into_response();
        if let Some(cookie) = cookie {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        Ok(response)
    }
}
