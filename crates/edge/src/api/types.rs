//! What travels over the HTTP API. One place, so that its description can be made from it.

use rally_protocol::{
    client::v1::{Level, Mode, Skill, UserInfo},
    limits::{TOKEN_BYTES_MAX, USERNAME_CHARS_MAX, USERNAME_CHARS_MIN},
};
use rally_units::MatchId;
use serde::{Deserialize, Serialize};

use super::body::{Fields, ReadFields};

/// A user's name: 3 to 20 letters, digits and underscores of ASCII, so that no two look the same.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestRequest {
    /// The name to play under.
    pub username: Username,
}

impl ReadFields for GuestRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { username: fields.required("username")? })
    }
}

/// `POST /auth/refresh`.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshRequest {
    /// From the last answer.
    pub refresh_token: String,
}

impl ReadFields for RefreshRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let refresh_token: String = fields.required("refresh_token")?;
        fields.check(refresh_token.len() <= TOKEN_BYTES_MAX, "refresh_token", "too long for a token");
        Some(Self { refresh_token })
    }
}

/// Who one is from now on, and what proves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignedIn {
    /// The user.
    pub user: UserInfo,
    /// For `Authorization: Bearer` and for `hello`.
    pub access_token: String,
    /// For `/auth/refresh`.
    pub refresh_token: String,
    /// Seconds until the access token expires.
    pub expires_in_s: u64,
}

/// What one can start by oneself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewMatchRequest {
    /// Which kind.
    pub mode: NewMatchMode,
    /// How strong the bot is, in practice; `normal` unless said otherwise.
    pub level: Level,
    /// One's own skill; `smash` unless said otherwise.
    pub skill: Skill,
    /// No skills, no power-ups.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MatchCreated {
    /// Its id, for `match_join`.
    #[serde(rename = "match")]
    pub match_id: MatchId,
    /// Its kind: `practice`, `local` or `duel`.
    pub mode: Mode,
}

/// `GET /users/me`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Me {
    /// The user.
    pub user: UserInfo,
    /// The match one plays in.
    #[serde(rename = "match")]
    pub match_id: Option<MatchId>,
    /// The queue one waits in.
    pub queue: Option<Mode>,
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
