//! Guests and accounts.

use jiff::Timestamp;
use rally_units::UserId;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{Rating, Store, StoreError, error::Fault, metrics::failed, pool::query_opt, types::text_enum};

text_enum! {
    /// What stands behind a user.
    UserKind {
        /// A name for a visit.
        Guest = "guest",
        /// Somebody who can sign in again.
        Account = "account",
    }
}

/// One person.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Id; those of later users are greater.
    pub id: UserId,
    /// Guest or account.
    pub kind: UserKind,
    /// The name, as given.
    pub name: String,
    /// Strength.
    pub rating: Rating,
    /// When the user was created.
    pub created_at: Timestamp,
}

/// Why a user was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateUserError {
    /// An account has this name, in these or other cases of letters.
    #[error("the name belongs to an account")]
    UsernameTaken,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Creates a guest. Guests may share a name, but not with an account. The caller has checked the name's form; here
    /// it is 1 to 64 characters of any kind.
    ///
    /// # Errors
    /// The name belongs to an account, or the store failed.
    pub async fn create_guest(&self, name: &str) -> Result<User, CreateUserError> {
        // An account that is being registered at this moment is as if it came after the guest, who may stay.
        const SQL: &str = "INSERT INTO users (id, kind, name) SELECT $1::uuid, 'guest', $2::text
            WHERE NOT EXISTS (SELECT FROM users WHERE kind = 'account' AND lower(name) = lower($2))
            RETURNING id, kind, name, rating, rating_deviation, volatility, created_at";
        let id = Uuid::now_v7();
        self.run("create_guest", async |client| {
            query_opt(client, SQL, &[&id, &name]).await?.map(|row| read(&row)).transpose()
        })
        .await?
        .ok_or_else(|| {
            failed("create_guest", "username_taken");
            CreateUserError::UsernameTaken
        })
    }

    /// The user with this id, if there is one.
    ///
    /// # Errors
    /// The store failed.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        const SQL: &str = "SELECT id, kind, name, rating, rating_deviation, volatility, created_at
            FROM users WHERE id = $1";
        self.run("user", async |client| {
            query_opt(client, SQL, &[&id.as_uuid()]).await?.map(|row| read(&row)).transpose()
        })
        .await
    }
}

/// What [`read`] reads.
pub(crate) const USER_COLUMNS: &str = "id, kind, name, rating, rating_deviation, volatility, created_at";

pub(crate) fn read(row: &Row) -> Result<User, Fault> {
    Ok(User {
        id: UserId::from_uuid(row.try_get("id")?),
        kind: UserKind::read(row.try_get("kind")?)?,
        name: row.try_get("name")?,
        rating: read_rating(row)?,
        created_at: row.try_get("created_at")?,
    })
}

pub(crate) fn read_rating(row: &Row) -> Result<Rating, Fault> {
    Ok(Rating {
        rating: row.try_get("rating")?,
        deviation: row.try_get("rating_deviation")?,
        volatility: row.try_get("volatility")?,
    })
}
