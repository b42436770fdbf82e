//! Ids in paths: one that is no id is one of nothing.

use rally_units::{MatchId, UserId};
use serde::Deserialize;

/// `{id}` of a user.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct UserPath(String);

impl UserPath {
    pub(crate) fn user(&self) -> Option<UserId> {
        self.0.parse().ok()
    }
}

/// `{id}` of a match.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct MatchPath(String);

impl MatchPath {
    pub(crate) fn match_id(&self) -> Option<MatchId> {
        self.0.parse().ok()
    }
}
