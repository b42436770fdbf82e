//! What travels over the HTTP API, by subject. One place, so that its description can be made from it.

mod matches;
mod people;
mod said;
mod sign_in;

use rally_protocol::limits::{USERNAME_CHARS_MAX, USERNAME_CHARS_MIN};
use serde::Deserialize;
use utoipa::ToSchema;

pub use matches::*;
pub use people::*;
pub use said::*;
pub use sign_in::*;

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
