//! Signing in, and what proves who one is.

use jiff::Timestamp;
use rally_protocol::{client::v1::UserInfo, limits::TOKEN_BYTES_MAX};
use rally_units::LoginId;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    super::{
        body::{Fields, ReadFields},
        schemas,
    },
    Username,
};
use crate::passwords::{self, PASSWORD_BYTES_MAX};

/// Bytes of a code at most, however it is typed.
const CODE_BYTES_MAX: usize = 64;

/// Bytes of an address for letters.
const EMAIL_CHARS_MAX: usize = 254;

/// `POST /auth/guest`.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
pub struct GuestRequest {
    /// The name to play under.
    pub username: Username,
}

impl ReadFields for GuestRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { username: fields.required("username")? })
    }
}

/// A password that is being asked for. Its form is not judged: it is the right one or not.
fn given_password(fields: &mut Fields, field: &'static str) -> Option<SecretString> {
    let password: String = fields.required(field)?;
    let fits = !password.is_empty() && password.len() <= PASSWORD_BYTES_MAX;
    fields.check(fits, field, &format!("expected 1 to {PASSWORD_BYTES_MAX} bytes"));
    Some(password.into())
}

/// A password that somebody of this name wants to have.
fn new_password(fields: &mut Fields, field: &'static str, name: Option<&Username>) -> Option<SecretString> {
    let password: String = fields.required(field)?;
    if let Some(fault) = passwords::fault(&password, name.map_or("", Username::as_str)) {
        fields.check(false, field, &fault);
    }
    Some(password.into())
}

/// A code that came along.
fn code(fields: &mut Fields, field: &'static str) -> Option<Option<String>> {
    let code: Option<String> = fields.optional(field)?;
    fields.check(code.as_ref().is_none_or(|code| code.len() <= CODE_BYTES_MAX), field, "too long for a code");
    Some(code)
}

fn refresh_token(fields: &mut Fields) -> Option<Option<String>> {
    let token: Option<String> = fields.optional("refresh_token")?;
    let fits = token.as_ref().is_none_or(|token| token.len() <= TOKEN_BYTES_MAX);
    fields.check(fits, "refresh_token", "too long for a token");
    Some(token)
}

/// `POST /auth/register`. With a guest's access token the guest becomes the account.
#[derive(ToSchema)]
pub struct RegisterRequest {
    /// The name, which no other account has in whatever case of letters.
    pub username: Username,
    /// At least 8 characters that are hard to guess.
    #[schema(value_type = String, format = Password)]
    pub password: SecretString,
    /// Whether the refresh token shall come in a cookie.
    #[schema(value_type = Option<bool>)]
    pub cookie: bool,
}

impl ReadFields for RegisterRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let username = fields.required::<Username>("username");
        let password = new_password(fields, "password", username.as_ref());
        let cookie = fields.optional("cookie");
        Some(Self { username: username?, password: password?, cookie: cookie?.unwrap_or_default() })
    }
}

/// `POST /auth/login`.
#[derive(ToSchema)]
pub struct LoginRequest {
    /// The account.
    pub username: Username,
    /// Its password.
    #[schema(value_type = String, format = Password)]
    pub password: SecretString,
    /// The second factor: the authenticator's code, or one of those on paper.
    pub totp: Option<String>,
    /// Whether the refresh token shall come in a cookie.
    #[schema(value_type = Option<bool>)]
    pub cookie: bool,
}

impl ReadFields for LoginRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let username = fields.required("username");
        let password = given_password(fields, "password");
        let totp = code(fields, "totp");
        let cookie = fields.optional("cookie");
        Some(Self { username: username?, password: password?, totp: totp?, cookie: cookie?.unwrap_or_default() })
    }
}

/// `POST /auth/refresh`.
#[derive(Clone, PartialEq, Eq, ToSchema)]
pub struct RefreshRequest {
    /// From the last answer; absent: the one in the cookie.
    pub refresh_token: Option<String>,
}

impl ReadFields for RefreshRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { refresh_token: refresh_token(fields)? })
    }
}

/// `POST /auth/logout`. Without a token in it, the access token's login ends, or the cookie's.
#[derive(Clone, PartialEq, Eq, ToSchema)]
pub struct LogoutRequest {
    /// The login that shall end.
    pub refresh_token: Option<String>,
    /// Whether all of its user's shall.
    #[schema(value_type = Option<bool>)]
    pub everywhere: bool,
}

impl ReadFields for LogoutRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let refresh_token = refresh_token(fields);
        let everywhere = fields.optional("everywhere");
        Some(Self { refresh_token: refresh_token?, everywhere: everywhere?.unwrap_or_default() })
    }
}

/// What proves once more that one is oneself: `POST /auth/totp/enrol`, `POST /auth/totp/disable`.
#[derive(ToSchema)]
pub struct Proof {
    /// The password. Who has none gives any.
    #[schema(value_type = String, format = Password)]
    pub password: Option<SecretString>,
    /// The second factor, where there is one.
    pub totp: Option<String>,
}

impl ReadFields for Proof {
    fn read(fields: &mut Fields) -> Option<Self> {
        let password = given_password(fields, "password");
        let totp = code(fields, "totp");
        Some(Self { password: Some(password?), totp: totp? })
    }
}

/// `DELETE /users/me`, `POST /auth/oauth/{provider}/start`, `DELETE /auth/oauth/{provider}`: whoever has a password gives
/// it.
pub struct PerhapsProof(pub(crate) Proof);

impl ReadFields for PerhapsProof {
    fn read(fields: &mut Fields) -> Option<Self> {
        let password = if fields.has("password") { Some(given_password(fields, "password")) } else { None };
        let totp = code(fields, "totp");
        let password = match password {
            Some(password) => Some(password?),
            None => None,
        };
        Some(Self(Proof { password, totp: totp? }))
    }
}

/// `POST /auth/password`.
pub struct ChangePasswordRequest {
    /// The old password, and the second factor.
    pub proof: Proof,
    /// At least 8 characters that are hard to guess.
    pub new_password: SecretString,
}

impl ChangePasswordRequest {
    /// To be judged together with its user's name.
    pub(crate) fn new_password_text(&self) -> &str {
        self.new_password.expose_secret()
    }
}

impl ReadFields for ChangePasswordRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let proof = Proof::read(fields);
        let new_password = new_password(fields, "new_password", None);
        Some(Self { proof: proof?, new_password: new_password? })
    }
}

/// `POST /auth/recover`.
#[derive(ToSchema)]
pub struct RecoverRequest {
    /// The account.
    pub username: Username,
    /// The code that came with the registration, or with the last recovery.
    pub recovery_code: String,
    /// At least 8 characters that are hard to guess.
    #[schema(value_type = String, format = Password)]
    pub new_password: SecretString,
    /// The second factor, where there is one.
    pub totp: Option<String>,
    /// Whether the refresh token shall come in a cookie.
    #[schema(value_type = Option<bool>)]
    pub cookie: bool,
}

impl ReadFields for RecoverRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let username = fields.required::<Username>("username");
        let recovery_code = code(fields, "recovery_code");
        fields.check(recovery_code != Some(None), "recovery_code", "missing");
        let new_password = new_password(fields, "new_password", username.as_ref());
        let totp = code(fields, "totp");
        let cookie = fields.optional("cookie");
        Some(Self {
            username: username?,
            recovery_code: recovery_code??,
            new_password: new_password?,
            totp: totp?,
            cookie: cookie?.unwrap_or_default(),
        })
    }
}

/// `POST /auth/totp/confirm`.
#[derive(ToSchema)]
pub struct TotpCode {
    /// The authenticator's code of this moment.
    pub code: String,
}

impl ReadFields for TotpCode {
    fn read(fields: &mut Fields) -> Option<Self> {
        let code = code(fields, "code")?;
        fields.check(code.is_some(), "code", "missing");
        Some(Self { code: code? })
    }
}

/// `POST /auth/forgot`.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
pub struct ForgotRequest {
    /// The account whose password is lost.
    pub username: Username,
}

impl ReadFields for ForgotRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { username: fields.required("username")? })
    }
}

/// `PUT /auth/email`.
pub struct EmailRequest {
    /// The password, and the second factor.
    pub proof: Proof,
    /// Where letters shall go.
    pub email: String,
}

impl ReadFields for EmailRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let proof = Proof::read(fields);
        let email = fields.required::<String>("email");
        if let Some(email) = &email {
            let fits = email.len() <= EMAIL_CHARS_MAX && email.parse::<lettre::Address>().is_ok();
            fields.check(fits, "email", "expected an address such as ada@rally.example");
        }
        Some(Self { proof: proof?, email: email? })
    }
}

/// A site by which one can sign in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OauthSite {
    /// For `/auth/oauth/{provider}/start`.
    pub name: String,
    /// What people call it.
    pub label: String,
}

/// `GET /auth/oauth`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OauthSites {
    /// Those that are configured.
    pub items: Vec<OauthSite>,
}

/// `POST /auth/oauth/{provider}/start`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OauthStart {
    /// Where the browser shall go.
    pub url: String,
}

/// `GET /users/me/account`: by what one signs in, and where letters go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OwnAccount {
    /// The address that one has shown to read.
    pub email: Option<String>,
    /// Whether this cluster writes letters at all.
    pub writes_letters: bool,
    /// Whether one has a password.
    pub has_password: bool,
    /// Whether one has a second factor.
    pub has_totp: bool,
    /// Other sites by which one signs in.
    pub linked: Vec<LinkedSite>,
}

/// Another site by which one signs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LinkedSite {
    /// For `DELETE /auth/oauth/{provider}`.
    pub name: String,
    /// What people call it.
    pub label: String,
    /// The address that it said.
    pub email: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// `GET /auth/oauth/{provider}/callback`, as that site sends a browser there.
#[derive(Clone)]
pub struct OauthCallback {
    /// What we gave the browser to take along.
    pub state: String,
    /// What is exchanged; absent if the person did not want to.
    pub code: Option<String>,
}

impl ReadFields for OauthCallback {
    fn read(fields: &mut Fields) -> Option<Self> {
        let state = fields.required::<String>("state");
        let code = fields.optional::<String>("code");
        for (field, text) in [("state", state.as_ref()), ("code", code.as_ref().and_then(Option::as_ref))] {
            fields.check(text.is_none_or(|text| (1..=TOKEN_BYTES_MAX).contains(&text.len())), field, "too long");
        }
        Some(Self { state: state?, code: code? })
    }
}

/// A secret for an authenticator.
#[derive(Clone, Serialize, ToSchema)]
pub struct TotpEnrolment {
    /// In base32, to be typed.
    pub secret: String,
    /// `otpauth://`, to be shown as a QR code.
    pub url: String,
}

/// Codes that stand in for a lost authenticator, each once. They are shown this once.
#[derive(Clone, Serialize, ToSchema)]
pub struct RecoveryCodes {
    /// Ten of them.
    pub recovery_codes: Vec<String>,
}

/// Where somebody is signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Session {
    /// For `DELETE /auth/sessions/{id}`.
    #[schema(value_type = String, format = Uuid)]
    pub id: LoginId,
    /// What the browser or program calls itself.
    pub agent: String,
    /// When one signed in.
    pub created_at: Timestamp,
    /// When its tokens were last renewed.
    pub last_used_at: Timestamp,
    /// When it ends, unless it is used.
    pub expires_at: Timestamp,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// `GET /auth/sessions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Sessions {
    /// The last used first.
    pub sessions: Vec<Session>,
}

/// Who one is from now on, and what proves it.
#[derive(Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SignedIn {
    /// The user.
    #[schema(value_type = schemas::UserInfo)]
    pub user: UserInfo,
    /// For `Authorization: Bearer` and for `hello`.
    pub access_token: String,
    /// For `/auth/refresh`, once; absent where it came in a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// Seconds until the access token expires.
    pub expires_in_s: u64,
    /// Stands in for a forgotten password, once. It is shown this once, after registration and recovery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_code: Option<String>,
}
