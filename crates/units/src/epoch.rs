//! The fencing number of a match's owner.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Rises with each change of a match's owner. Postgres grants it; whoever holds the highest is the authority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The epoch of a match's first owner.
    pub const FIRST: Self = Self(1);

    /// What the next owner is granted.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
