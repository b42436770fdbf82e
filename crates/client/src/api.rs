//! The few calls of the HTTP API that a player needs.

use std::{fmt, net::IpAddr, time::Duration};

use bytes::Bytes;
use http::{Method, Response};
use rally_protocol::client::v1::{Level, Skill, UserInfo};
use rally_units::{MatchId, Tick};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{ConnectError, EdgeUrl, http1};

/// The HTTP API of one edge.
#[derive(Clone, Debug)]
pub struct Api {
    edge: EdgeUrl,
    source: Option<IpAddr>,
}

/// What lets one act as a user. Keep `refresh` as secret as a password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Tokens {
    /// For `hello`, `auth` and the `Authorization` header.
    #[serde(rename = "access_token")]
    pub access: String,
    /// For [`Api::refresh`]; used once, since each refresh hands out a new one.
    #[serde(rename = "refresh_token", default)]
    pub refresh: String,
    /// Seconds from now until `access` expires.
    pub expires_in_s: u32,
}

impl fmt::Debug for Tokens {
    /// Without the tokens: this must be safe to log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("expires_in_s", &self.expires_in_s).finish_non_exhaustive()
    }
}

/// Who one is, and what proves it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Identity {
    /// The user.
    pub user: UserInfo,
    /// The proof.
    #[serde(flatten)]
    pub tokens: Tokens,
}

/// A match to create.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum NewMatch {
    /// Against the bot.
    Practice {
        /// Its strength.
        level: Level,
        /// One's own skill.
        skill: Skill,
        /// No skills and no power-ups.
        classic: bool,
    },
    /// Two players on one connection.
    Local {
        /// No skills and no power-ups.
        classic: bool,
    },
    /// Open to whoever comes by its link.
    Private {
        /// One's own skill.
        skill: Skill,
        /// No skills and no power-ups.
        classic: bool,
    },
}

/// What an edge said no with (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Problem {
    /// The stable code, such as `rate_limited`.
    #[serde(default)]
    pub code: String,
    /// For people.
    #[serde(default)]
    pub detail: String,
    /// The HTTP status.
    #[serde(skip)]
    pub status: u16,
    /// When to come back, if the answer said so.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The edge was not reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The edge said no.
    #[error("{} ({}): {}", .0.code, .0.status, .0.detail)]
    Refused(Problem),
    /// The edge said yes in words that we do not understand.
    #[error("unexpected answer: {0}")]
    Unexpected(String),
}

impl Api {
    /// The API of `edge`.
    pub fn new(edge: impl Into<EdgeUrl>) -> Self {
        Self { edge: edge.into(), source: None }
    }

    /// Comes from this local address.
    #[must_use]
    pub fn from_address(mut self, source: Option<IpAddr>) -> Self {
        self.source = source;
        self
    }

    /// Signs in as a guest. `name` is 3 to 20 characters of `[A-Za-z0-9_]`.
    pub async fn sign_in_as_guest(&self, name: &str) -> Result<Identity, ApiError> {
        #[derive(Serialize)]
        struct Guest<'a> {
            username: &'a str,
        }
        self.post("/api/v1/auth/guest", None, &Guest { username: name }).await
    }

    /// Fresh tokens for a refresh token, which is spent by this.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Tokens, ApiError> {
        #[derive(Serialize)]
        struct Refresh<'a> {
            refresh_token: &'a str,
        }
        self.post("/api/v1/auth/refresh", None, &Refresh { refresh_token }).await
    }

    /// Creates a practice, local or private match. Its seats are taken by `match_join`.
    pub async fn create_match(&self, access_token: &str, wanted: &NewMatch) -> Result<MatchId, ApiError> {
        #[derive(Deserialize)]
        struct Created {
            #[serde(rename = "match")]
            match_id: MatchId,
        }
        let created: Created = self.post("/api/v1/matches", Some(access_token), wanted).await?;
        Ok(created.match_id)
    }

    /// Has a finished match shown again to oneself, from this tick on. It is watched by `match_join` as a spectator, and
    /// directed by `replay_control`.
    pub async fn show_replay(
        &self,
        access_token: &str,
        match_id: MatchId,
        tick: Option<Tick>,
    ) -> Result<MatchId, ApiError> {
        #[derive(Serialize)]
        struct Show {
            tick: Option<Tick>,
        }
        #[derive(Deserialize)]
        struct Shown {
            #[serde(rename = "match")]
            match_id: MatchId,
        }
        let path = format!("/api/v1/matches/{match_id}/replay");
        let shown: Shown = self.post(&path, Some(access_token), &Show { tick }).await?;
        Ok(shown.match_id)
    }

    async fn post<A: DeserializeOwned>(
        &self,
        path: &str,
        token: Option<&str>,
        body: &impl Serialize,
    ) -> Result<A, ApiError> {
        let body = serde_json::to_vec(body).map_err(|error| ApiError::Unexpected(error.to_string()))?;
        let answer = http1::exchange(&self.edge, self.source, Method::POST, path, token, body).await?;
        read(&answer)
    }
}

fn read<A: DeserializeOwned>(answer: &Response<Bytes>) -> Result<A, ApiError> {
    if answer.status().is_success() {
        return serde_json::from_slice(answer.body()).map_err(|error| ApiError::Unexpected(error.to_string()));
    }
    // A proxy in between answers without our body: the status says enough.
    let mut problem = serde_json::from_slice(answer.body()).unwrap_or(Problem {
        code: String::new(),
        detail: String::new(),
        status: 0,
        retry_after: None,
    });
    problem.status = answer.status().as_u16();
    problem.retry_after = http1::retry_after(answer.headers());
    if problem.code.is_empty() {
        problem.code = format!("status_{}", problem.status);
    }
    Err(ApiError::Refused(problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_those_of_the_protocol() {
        let json = |wanted: &NewMatch| serde_json::to_string(wanted).expect("JSON");
        assert_eq!(
            json(&NewMatch::Practice { level: Level::Hard, skill: Skill::Dash, classic: false }),
            r#"{"mode":"practice","level":"hard","skill":"dash","classic":false}"#
        );
        assert_eq!(json(&NewMatch::Local { classic: true }), r#"{"mode":"local","classic":true}"#);
        assert_eq!(
            json(&NewMatch::Private { skill: Skill::Smash, classic: true }),
            r#"{"mode":"private","skill":"smash","classic":true}"#
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let tokens = Tokens { access: "hush".into(), refresh: "quiet".into(), expires_in_s: 900 };
        let shown = format!("{tokens:?}");
        assert!(!shown.contains("hush") && !shown.contains("quiet"), "{shown}");
    }

    #[test]
    fn a_refusal_without_our_body_keeps_its_status() {
        let mut answer = Response::new(Bytes::from_static(b"<html>"));
        *answer.status_mut() = http::StatusCode::BAD_GATEWAY;
        match read::<Tokens>(&answer) {
            Err(ApiError::Refused(problem)) => assert_eq!((problem.status, &*problem.code), (502, "status_502")),
            other => panic!("{other:?}"),
        }
    }
}
