//! What travels over the HTTP API. One place, so that its description can be made from it.

use jiff::Timestamp;
use rally_protocol::{
    client::v1::{Level, Mode, Skill, UserInfo},
    limits::{TOKEN_BYTES_MAX, USERNAME_CHARS_MAX, USERNAME_CHARS_MIN},
};
use rally_store::{FriendRequests, LeaderboardSort, MatchSort};
use rally_units::{LoginId, MatchId, UserId};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    body::{Fields, ReadFields},
    query::{PageCursor, Paging},
    schemas,
};
use crate::passwords::{self, PASSWORD_BYTES_MAX};

/// Bytes of a code at most, however it is typed.
const CODE_BYTES_MAX: usize = 64;

/// Bytes of an address for letters.
const EMAIL_CHARS_MAX: usize = 254;

/// A user's name: 3 to 20 letters, digits and underscores of ASCII, so that no two look the same.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, pattern = "^[A-Za-z0-9_]{3,20}$")]
pub struct Username(String);

impl Username {
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Username {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fits = (USERNAME_CHARS_MIN..=USERNAME_CHARS_MAX).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Ok(Self(text));
        }
        Err(format!("expected {USERNAME_CHARS_MIN} to {USERNAME_CHARS_MAX} characters of A-Z, a-z, 0-9 and _"))
    }
}

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
    /// The password.
    #[schema(value_type = String, format = Password)]
    pub password: SecretString,
    /// The second factor, where there is one.
    pub totp: Option<String>,
}

impl ReadFields for Proof {
    fn read(fields: &mut Fields) -> Option<Self> {
        let password = given_password(fields, "password");
        let totp = code(fields, "totp");
        Some(Self { password: password?, totp: totp? })
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

/// What one can start by oneself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NewMatchMode {
    /// Against the bot.
    Practice,
    /// Two at one keyboard.
    Local,
    /// Against whoever opens the match's link first.
    #[serde(alias = "private")]
    Duel,
}

/// `POST /matches`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
pub struct NewMatchRequest {
    /// Which kind.
    pub mode: NewMatchMode,
    /// How strong the bot is, in practice; `normal` unless said otherwise.
    #[schema(value_type = Option<schemas::Level>)]
    pub level: Level,
    /// One's own skill; `smash` unless said otherwise.
    #[schema(value_type = Option<schemas::Skill>)]
    pub skill: Skill,
    /// No skills, no power-ups.
    #[schema(value_type = Option<bool>)]
    pub classic: bool,
}

impl ReadFields for NewMatchRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let mode = fields.required("mode");
        let level = fields.optional("level");
        let skill = fields.optional("skill");
        let classic = fields.optional("classic");
        Some(Self {
            mode: mode?,
            level: level?.unwrap_or(Level::Normal),
            skill: skill?.unwrap_or(Skill::Smash),
            classic: classic?.unwrap_or_default(),
        })
    }
}

/// A match that is hosted and waits for its players.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MatchCreated {
    /// Its id, for `match_join`.
    #[serde(rename = "match")]
    #[schema(value_type = String, format = Uuid)]
    pub match_id: MatchId,
    /// Its kind: `practice`, `local` or `duel`.
    #[schema(value_type = schemas::Mode)]
    pub mode: Mode,
}

/// `POST /matches/{id}/replay`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ToSchema)]
pub struct ShowRequest {
    /// From where on, in ticks of 1/60 s from the match's beginning; from where both players were there unless said
    /// otherwise.
    pub tick: Option<u32>,
}

impl ReadFields for ShowRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { tick: fields.optional("tick")? })
    }
}

/// A finished match that can be watched again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReplayShown {
    /// What to watch, by `match_join` as a spectator: within 30 s, on whichever edge.
    #[serde(rename = "match")]
    #[schema(value_type = String, format = Uuid)]
    pub match_id: MatchId,
    /// The finished match.
    #[schema(value_type = String, format = Uuid)]
    pub of: MatchId,
}

/// `GET /users/me`.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Me {
    /// The user.
    pub user: PublicUser,
    /// The match one plays in.
    #[serde(rename = "match")]
    #[schema(value_type = Option<String>, format = Uuid)]
    pub match_id: Option<MatchId>,
    /// The queue one waits in.
    #[schema(value_type = Option<schemas::Mode>)]
    pub queue: Option<Mode>,
    /// What one has chosen.
    pub settings: Settings,
}

/// What a user has chosen, which is nobody else's affair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Settings {
    /// What the page is shown in, by ISO 639-1.
    pub language: String,
    /// From whom requests for friendship come through: `all`, `friends_of_friends`, `none`.
    pub friend_requests: &'static str,
    /// Whether one tells others how far one has read, and sees the same of them.
    pub read_receipts: bool,
}

/// What everybody may see of somebody.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PublicUser {
    /// Id.
    #[schema(value_type = String, format = Uuid)]
    pub id: UserId,
    /// Name.
    pub name: String,
    /// Whether it is a name for a visit.
    pub guest: bool,
    /// Strength.
    pub rating: f64,
    /// When the user was created.
    pub created_at: Timestamp,
    /// When the user was last connected, if that is known.
    pub last_seen_at: Option<Timestamp>,
    /// Where the picture is, if there is one.
    pub avatar: Option<String>,
}

/// `PATCH /users/me`: what is absent stays.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
pub struct PatchMe {
    /// Another name.
    pub username: Option<Username>,
    /// Another language, by ISO 639-1.
    #[schema(pattern = "^[a-z]{2}$")]
    pub language: Option<String>,
    /// From whom requests for friendship come through: `all`, `friends_of_friends`, `none`.
    #[schema(value_type = Option<String>, pattern = "^(all|friends_of_friends|none)$")]
    pub friend_requests: Option<FriendRequests>,
    /// Whether one tells others how far one has read, and sees the same of them.
    pub read_receipts: Option<bool>,
}

impl ReadFields for PatchMe {
    fn read(fields: &mut Fields) -> Option<Self> {
        let username = fields.optional("username");
        let language = fields.optional::<String>("language");
        if let Some(Some(language)) = &language {
            let two_letters = language.len() == 2 && language.bytes().all(|byte| byte.is_ascii_lowercase());
            fields.check(two_letters, "language", "expected two small letters of ISO 639-1");
        }
        let friend_requests =
            fields.word("friend_requests", FriendRequests::parse, "expected all, friends_of_friends or none");
        let read_receipts = fields.optional("read_receipts");
        Some(Self {
            username: username?,
            language: language?,
            friend_requests: friend_requests?,
            read_receipts: read_receipts?,
        })
    }
}

/// `DELETE /users/me`: accounts prove that they mean it.
pub struct DeleteRequest {
    /// The password, and the second factor; guests have none.
    pub proof: Option<Proof>,
}

impl ReadFields for DeleteRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let proof = if fields.has("password") { Some(Proof::read(fields)?) } else { None };
        Some(Self { proof })
    }
}

/// `GET /users?search=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSearch {
    /// How names begin.
    pub prefix: String,
    /// Users at most.
    pub limit: usize,
}

impl ReadFields for UserSearch {
    fn read(fields: &mut Fields) -> Option<Self> {
        let prefix = fields.required::<String>("search");
        if let Some(prefix) = &prefix {
            let fits = (1..=USERNAME_CHARS_MAX).contains(&prefix.len())
                && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            fields.check(fits, "search", "expected 1 to 20 characters of A-Z, a-z, 0-9 and _");
        }
        let paging = fields.paging();
        Some(Self { prefix: prefix?, limit: paging?.limit.min(20) })
    }
}

/// Some users.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Users {
    /// By name.
    pub items: Vec<PublicUser>,
}

/// `GET /users/{id}/stats`.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct UserStats {
    /// Strength.
    pub rating: f64,
    /// How unsure it is.
    pub rating_deviation: f64,
    /// Place in the leaderboard by rating; absent without a rated match, and beyond 10,000.
    pub rank: Option<u64>,
    /// Matches against people, but for void ones.
    pub matches: u64,
    /// Those won.
    pub wins: u64,
    /// Those lost.
    pub losses: u64,
    /// Goals scored.
    pub goals_for: u64,
    /// Goals conceded.
    pub goals_against: u64,
    /// Seconds in play.
    pub play_s: f64,
    /// Ratings after the last rated matches, at most 200, the oldest first.
    pub rating_curve: Vec<RatingPoint>,
}

/// A point of a rating curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct RatingPoint {
    /// When the match ended.
    pub at: Timestamp,
    /// The rating after it.
    pub rating: f64,
}

/// `GET /matches`, `GET /users/{id}/matches`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatchesQuery {
    /// Of this mode alone.
    pub mode: Option<rally_store::Mode>,
    /// In which order: `newest`, `oldest`, `longest`.
    pub sort: MatchSort,
    /// Those that are played now, instead of finished ones; then nothing else counts. `live` or `finished`.
    pub live: bool,
    /// Which page.
    pub paging: Paging,
}

impl ReadFields for MatchesQuery {
    fn read(fields: &mut Fields) -> Option<Self> {
        let mode = fields.word("mode", rally_store::Mode::parse, "expected a mode such as ranked");
        let sort = fields.word(
            "sort",
            |word| match word {
                "newest" => Some(MatchSort::Newest),
                "oldest" => Some(MatchSort::Oldest),
                "longest" => Some(MatchSort::Longest),
                _ => None,
            },
            "expected newest, oldest or longest",
        );
        let live = fields.word(
            "state",
            |word| match word {
                "live" => Some(true),
                "finished" => Some(false),
                _ => None,
            },
            "expected live or finished",
        );
        let paging = fields.paging();
        Some(Self { mode: mode?, sort: sort?.unwrap_or_default(), live: live?.unwrap_or(false), paging: paging? })
    }
}

/// One side of a match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MatchSide {
    /// Who sat there, if it was a person that is known.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub user: Option<UserId>,
    /// The person's name, as it is now.
    pub name: Option<String>,
    /// How strong the bot was: `easy`, `normal`, `hard`.
    pub bot: Option<&'static str>,
}

/// A match, as it is listed.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct MatchSummary {
    /// Id.
    #[schema(value_type = String, format = Uuid)]
    pub id: MatchId,
    /// Kind.
    pub mode: &'static str,
    /// Without skills and power-ups.
    pub classic: bool,
    /// Left and right.
    pub players: [MatchSide; 2],
    /// Goals of left and right.
    pub score: [u16; 2],
    /// `left` or `right`.
    pub winner: Option<&'static str>,
    /// `score`, `timeout`, `forfeit`, `no_show`, `abandoned`; absent while it lives.
    pub reason: Option<&'static str>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When play began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Seconds in play.
    pub duration_s: f64,
}

/// Some matches.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Matches {
    /// In the order that was asked for.
    pub items: Vec<MatchSummary>,
    /// For `cursor`, if there may be more.
    #[schema(value_type = Option<String>)]
    pub next: Option<PageCursor>,
}

/// What a side has done in a match.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct SideStats {
    /// `left` or `right`.
    pub side: &'static str,
    /// Balls hit by the paddle.
    pub paddle_hits: u32,
    /// Speed of the fastest ball hit, in world units a second.
    pub fastest_ball: f64,
    /// Split balls.
    pub power_ups_split: u32,
    /// Darkened opponents.
    pub power_ups_blackout: u32,
    /// Black holes.
    pub power_ups_blackhole: u32,
    /// Skills used.
    pub skills_used: u32,
    /// Skills that met a ball.
    pub skills_successful: u32,
    /// Time away, in milliseconds.
    pub disconnected_ms: u32,
    /// Rating before the match, if it was rated.
    pub rating_before: Option<f64>,
    /// Rating after it.
    pub rating_after: Option<f64>,
}

/// `GET /matches/{id}`.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct MatchView {
    /// As it is listed.
    #[serde(flatten)]
    pub summary: MatchSummary,
    /// What left and right have done; empty while it lives, and if it is void.
    pub statistics: Vec<SideStats>,
    /// Whether there is a replay.
    pub has_replay: bool,
}

/// `GET /matches/{id}/events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventsQuery {
    /// From this number on.
    pub from: u32,
}

impl ReadFields for EventsQuery {
    fn read(fields: &mut Fields) -> Option<Self> {
        let from = fields.parsed("from", "expected a number")?;
        Some(Self { from: from.unwrap_or_default() })
    }
}

/// Something that happened in a match.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RecordedEvent {
    /// Its number in the match; there may be holes.
    pub n: u32,
    /// Seconds in play.
    pub at_s: f64,
    /// `goal`, `power_up` or `skill`.
    pub event: String,
    /// Its own fields: of a goal, who scored and where it fell.
    pub data: serde_json::Value,
}

/// What happened in a match.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct MatchEvents {
    /// In order, at most 1,000.
    pub items: Vec<RecordedEvent>,
    /// For `from`, if there may be more.
    pub next_n: Option<u32>,
}

/// `GET /matches/{id}/replay`: what the match can be played again from.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Replay {
    /// The match.
    #[serde(rename = "match")]
    #[schema(value_type = String, format = Uuid)]
    pub match_id: MatchId,
    /// Stretches that can each be played from its seed.
    pub segments: Vec<ReplaySegment>,
}

/// A stretch of a replay. Numbers of 64 bits are text, since not all that read JSON have such.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReplaySegment {
    /// Seed of the random stream.
    pub seed: String,
    /// Version of the rules.
    pub rules_version: u16,
    /// Every accepted input with its tick, in base64.
    pub input_log: String,
    /// State hashes, each with its tick.
    pub hashes: Vec<(u32, String)>,
}

/// `GET /leaderboard`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeaderboardQuery {
    /// By what: `rating` or `wins`.
    pub by: LeaderboardSort,
    /// Of whom.
    pub scope: Scope,
    /// Which page.
    pub paging: Paging,
}

impl ReadFields for LeaderboardQuery {
    fn read(fields: &mut Fields) -> Option<Self> {
        let by = fields.word(
            "by",
            |word| match word {
                "rating" => Some(LeaderboardSort::Rating),
                "wins" => Some(LeaderboardSort::Wins),
                _ => None,
            },
            "expected rating or wins",
        );
        let scope = fields.word(
            "scope",
            |word| match word {
                "global" => Some(Scope::Global),
                "friends" => Some(Scope::Friends),
                "around" => Some(Scope::Around),
                _ => None,
            },
            "expected global, friends or around",
        );
        let paging = fields.paging();
        Some(Self { by: by?.unwrap_or(LeaderboardSort::Rating), scope: scope?.unwrap_or_default(), paging: paging? })
    }
}

/// Whom a leaderboard shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Everybody.
    #[default]
    Global,
    /// The one who asks, and that one's friends.
    Friends,
    /// The one who asks, and those who are a little better and a little worse.
    Around,
}

/// A line of a leaderboard.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RankedUser {
    /// Place, from 1 on; of friends the place among them; absent beyond the first 10,000.
    pub rank: Option<u64>,
    /// Who.
    #[schema(value_type = String, format = Uuid)]
    pub id: UserId,
    /// Name.
    pub name: String,
    /// Whether it is a name for a visit.
    pub guest: bool,
    /// Strength.
    pub rating: f64,
    /// Matches against people.
    pub matches: u64,
    /// Those won.
    pub wins: u64,
}

/// A page of a leaderboard.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Leaderboard {
    /// `rating` or `wins`.
    pub by: &'static str,
    /// The best first.
    pub items: Vec<RankedUser>,
    /// For `cursor`, if there may be more.
    #[schema(value_type = Option<String>)]
    pub next: Option<PageCursor>,
    /// Where the one who asks stands, if signed in, ranked, and among the first 10,000.
    pub own_rank: Option<u64>,
}

/// `GET /stats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Census {
    /// Guests and accounts; an estimate beyond 10,000.
    pub players: u64,
    /// Matches that live.
    pub live_matches: u64,
    /// Connections open.
    pub online: u32,
}

/// A body that names a user: `POST /friends`, `POST /friends/requests`, `POST /blocks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
pub struct SomeUser {
    /// Whom.
    #[schema(value_type = String, format = Uuid)]
    pub user: UserId,
}

impl ReadFields for SomeUser {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { user: fields.required("user")? })
    }
}

/// What a request for friendship has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Befriend {
    /// `requested`; `accepted`, if the other had asked; `unchanged`.
    pub state: &'static str,
}

/// Somebody with whom one has to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FriendView {
    /// Who.
    #[schema(value_type = schemas::UserInfo)]
    pub user: UserInfo,
    /// Since when.
    pub since: Timestamp,
    /// When that one was last connected, if that is known.
    pub last_seen_at: Option<Timestamp>,
    /// Of a request: `incoming` or `outgoing`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<&'static str>,
}

/// `GET /friends`, `GET /friends/requests`, `GET /blocks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Friends {
    /// By name.
    pub items: Vec<FriendView>,
}

/// `GET /channels/{name}/messages`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessagesQuery {
    /// Those before this offset; absent: the last.
    pub before: Option<u64>,
    /// Messages at most.
    pub limit: usize,
}

impl ReadFields for MessagesQuery {
    fn read(fields: &mut Fields) -> Option<Self> {
        let before = fields.parsed("before", "expected an offset");
        let paging = fields.paging();
        Some(Self { before: before?, limit: paging?.limit })
    }
}

/// What was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChatMessageView {
    /// Its place in the channel.
    pub offset: u64,
    /// The message's own id.
    #[schema(value_type = String, format = Uuid)]
    pub id: MatchId,
    /// Who said it.
    #[schema(value_type = schemas::UserInfo)]
    pub from: UserInfo,
    /// What; empty: it was taken back.
    pub text: String,
    /// The offset of an earlier message whose text this is; empty: it is taken back.
    pub edits: Option<u64>,
    /// Who is named in it, by their ids.
    #[schema(value_type = Vec<String>)]
    pub mentions: Vec<UserId>,
    /// When.
    pub sent_at: Timestamp,
}

/// Some rows, in order, with more before them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// For `before`, if there may be more.
    pub next_before: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["ada", "Ada_Lovelace_1815", "___", "12345678901234567890"] {
            assert!(Username::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "ab", "123456789012345678901", "a b", "ada-l", "adä", "аda", "ada\n", "ada\u{200d}"] {
            assert!(Username::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
