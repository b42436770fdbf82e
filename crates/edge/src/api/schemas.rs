//! What the description of the API says of types that other crates own. Each stands for the type of the same name.

use std::borrow::Cow;

use rally_protocol::client::v1;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema, schema::ObjectBuilder, schema::Type},
};

/// Words of the protocol, in a list of their own.
macro_rules! words {
    ($($name:ident),+) => { $(
        /// Stands for the protocol's words of this name.
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let words = v1::$name::ALL.iter().map(|word| word.as_str());
                let doc = v1::$name::DOC.trim();
                ObjectBuilder::new().schema_type(Type::String).description(Some(doc)).enum_values(Some(words)).into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }
        }
    )+ };
}

words!(Mode, Level, Skill);

/// A user, as others see one.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it is described, never made")]
pub(crate) struct UserInfo {
    /// The id.
    #[schema(value_type = String, format = Uuid)]
    id: rally_units::UserId,
    /// The name.
    name: String,
    /// Whether it is a guest.
    guest: bool,
}

/// One field of a request that was refused.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it is described, never made")]
pub(crate) struct FieldError {
    /// Its name.
    field: String,
    /// What is wrong with it.
    detail: String,
}

/// What went wrong (RFC 9457).
#[derive(ToSchema)]
#[allow(dead_code, reason = "it is described, never made")]
pub(crate) struct Problem {
    /// `urn:rally:problem:` and the code.
    r#type: String,
    /// The status in words.
    title: String,
    /// The status.
    status: u16,
    /// What went wrong, for people.
    detail: String,
    /// What went wrong, for programs: it stays as it is over versions.
    code: String,
    /// Each field that is not what it should be.
    errors: Option<Vec<FieldError>>,
    /// The match that it is about.
    #[schema(value_type = Option<String>, format = Uuid)]
    r#match: Option<rally_units::MatchId>,
}

/// What proves once more that one is oneself; guests, and who signs in by other sites only, have no password.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it is described, never made")]
pub(crate) struct PerhapsProof {
    /// The password, of accounts.
    #[schema(format = Password, max_length = 256)]
    password: Option<String>,
    /// The second factor, where there is one.
    #[schema(max_length = 64)]
    totp: Option<String>,
}

/// `POST /auth/password`.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it is described, never made")]
pub(crate) struct ChangePasswordRequest {
    /// The old password.
    #[schema(format = Password, min_length = 1, max_length = 256)]
    password: String,
    /// The second factor, where there is one.
    #[schema(max_length = 64)]
    totp: Option<String>,
    /// At least 8 characters that are hard to guess.
    #[schema(format = Password, min_length = 8, max_length = 256)]
    new_password: String,
}

/// `PUT /auth/email`.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it is described, never made")]
pub(crate) struct EmailRequest {
    /// The password.
    #[schema(format = Password, min_length = 1, max_length = 256)]
    password: String,
    /// The second factor, where there is one.
    #[schema(max_length = 64)]
    totp: Option<String>,
    /// Where letters shall go.
    #[schema(format = Email, max_length = 254)]
    email: String,
}

/// All that is kept of somebody, but for secrets.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it is described, never made")]
pub(crate) struct Export {
    /// Who one is.
    me: super::types::Me,
    /// How one does.
    statistics: super::types::UserStats,
    /// Where letters go.
    email: Option<String>,
    /// By which other sites one signs in: `provider`, `email`, `since`.
    identities: Vec<serde_json::Value>,
    /// Where one is signed in: `agent`, `created_at`, `last_used_at`.
    sessions: Vec<serde_json::Value>,
    /// One's friends, and those with whom a request waits.
    friends: Vec<super::types::FriendView>,
    /// Whom one blocks.
    blocks: Vec<super::types::FriendView>,
    /// The last 10,000 things that one has said: `channel`, `offset`, `edits`, `text`, `sent_at`.
    messages: Vec<serde_json::Value>,
    /// One's last 1,000 matches.
    matches: Vec<super::types::MatchSummary>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of an object's fields.
    fn fields(value: &serde_json::Value) -> Vec<&str> {
        value.as_object().expect("an object").keys().map(String::as_str).collect()
    }

    #[test]
    fn what_stands_for_another_type_has_its_fields() {
        let user = v1::UserInfo { id: rally_units::UserId::from_bytes([1; 16]), name: "ada".into(), guest: true };
        let user = serde_json::to_value(user).expect("JSON");
        let described = serde_json::to_value(<UserInfo as PartialSchema>::schema()).expect("JSON");
        assert_eq!(fields(&user), fields(&described["properties"]));
        let problem = crate::error::Problem::field("a", "b").about(Some(rally_units::MatchId::from_bytes([1; 16])));
        let problem = serde_json::to_value(problem.body()).expect("JSON");
        let described = serde_json::to_value(<Problem as PartialSchema>::schema()).expect("JSON");
        assert_eq!(fields(&problem), fields(&described["properties"]));
    }
}
