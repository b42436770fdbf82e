//! Who somebody is elsewhere: accounts that sign in by another site.

use jiff::Timestamp;
use rally_units::UserId;
use tokio_postgres::error::SqlState;

use crate::{
    CodeHash, RegisterError, Store, StoreError, User,
    accounts::to_account,
    pool::{execute, query, query_opt},
    users,
};

/// Somebody, as another site says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// Which site.
    pub provider: &'a str,
    /// What it calls the person, for good.
    pub subject: &'a str,
    /// An address that it has verified.
    pub email: Option<&'a str>,
}

/// An identity of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// Which site.
    pub provider: String,
    /// The address that it said.
    pub email: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// What became of taking a way in away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlinked {
    /// The account does not sign in so any more.
    Done,
    /// It could not sign in at all afterwards.
    LastWayIn,
    /// It did not sign in so.
    NotLinked,
}

impl Store {
    /// The account that signs in so; notes the address that the site says now.
    ///
    /// # Errors
    /// The store failed.
    pub async fn user_of_identity(&self, identity: Identity<'_>) -> Result<Option<User>, StoreError> {
        const SQL: &str = "UPDATE identities i SET email = $3 FROM users u
            WHERE i.provider = $1 AND i.subject = $2 AND u.id = i.user_id
            RETURNING u.id, u.kind, u.name, u.rating, u.rating_deviation, u.volatility, u.created_at";
        let Identity { provider, subject, email } = identity;
        self.run("user_of_identity", async |client| {
            let row = query_opt(client, SQL, &[&provider, &subject, &email]).await?;
            row.map(|row| users::read(&row)).transpose()
        })
        .await
    }

    /// Lets an account sign in so from now on. `false`: the identity is another account's, the account has one of that
    /// site already, or there is no such account.
    ///
    /// # Errors
    /// The store failed.
    pub async fn link_identity(&self, user: UserId, identity: Identity<'_>) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO identities (provider, subject, user_id, email)
            SELECT $1, $2, a.user_id, $4 FROM accounts a WHERE a.user_id = $3 ON CONFLICT DO NOTHING";
        let Identity { provider, subject, email } = identity;
        self.run("link_identity", async |client| {
            Ok(execute(client, SQL, &[&provider, &subject, &user.as_uuid(), &email]).await? > 0)
        })
        .await
    }

    /// Lets an account sign in by this site no more, unless it could not sign in at all then.
    ///
    /// # Errors
    /// The store failed.
    pub async fn unlink_identity(&self, user: UserId, provider: &str) -> Result<Unlinked, StoreError> {
        // Of two that are taken away at once the second sees that the first is gone.
        const LOCK: &str = "SELECT password_hash <> '' AS has_password FROM accounts WHERE user_id = $1 FOR UPDATE";
        const OTHERS: &str = "SELECT FROM identities WHERE user_id = $1 AND provider <> $2 LIMIT 1";
        const SQL: &str = "DELETE FROM identities WHERE user_id = $1 AND provider = $2";
        self.run("unlink_identity", async |client| {
            let tx = client.transaction().await?;
            let id = user.as_uuid();
            let Some(row) = query_opt(&tx, LOCK, &[&id]).await? else { return Ok(Unlinked::NotLinked) };
            let has_other = row.try_get("has_password")? || query_opt(&tx, OTHERS, &[&id, &provider]).await?.is_some();
            if execute(&tx, SQL, &[&id, &provider]).await? == 0 {
                return Ok(Unlinked::NotLinked);
            }
            if !has_other {
                // Rolled back with the transaction.
                return Ok(Unlinked::LastWayIn);
            }
            tx.commit().await?;
            Ok(Unlinked::Done)
        })
        .await
    }

    /// Makes an account that signs in so, and by no password: of a guest, who keeps id, history and rating, or of nobody.
    ///
    /// # Errors
    /// The name belongs to another account, the user is no guest, or the store failed. An identity that has an account
    /// meanwhile counts as a name that is taken: asking for its account again finds it.
    pub async fn register_identity(
        &self,
        name: &str,
        recovery: &CodeHash,
        identity: Identity<'_>,
        guest: Option<UserId>,
    ) -> Result<User, RegisterError> {
        const ACCOUNT: &str = "INSERT INTO accounts (user_id, password_hash, recovery_hash) VALUES ($1, '', $2)";
        const IDENTITY: &str = "INSERT INTO identities (provider, subject, user_id, email) VALUES ($1, $2, $3, $4)";
        let Identity { provider, subject, email } = identity;
        let (sql, id) = to_account(guest);
        self.run("register_identity", async |client| {
            let tx = client.transaction().await?;
            let written = async {
                let Some(row) = query_opt(&tx, &sql, &[&id, &name]).await? else { return Ok(None) };
                execute(&tx, ACCOUNT, &[&id, &recovery.as_slice()]).await?;
                execute(&tx, IDENTITY, &[&provider, &subject, &id, &email]).await?;
                Ok(Some(row))
            };
            let row = match written.await {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(Err(RegisterError::NotAGuest)),
                Err(error) if tokio_postgres::Error::code(&error) == Some(&SqlState::UNIQUE_VIOLATION) => {
                    return Ok(Err(RegisterError::UsernameTaken));
                }
                Err(error) => return Err(error.into()),
            };
            tx.commit().await?;
            Ok(Ok(users::read(&row)?))
        })
        .await?
    }

    /// By which sites an account signs in.
    ///
    /// # Errors
    /// The store failed.
    pub async fn identities(&self, user: UserId) -> Result<Vec<Linked>, StoreError> {
        const SQL: &str =
            "SELECT provider, email, created_at FROM identities WHERE user_id = $1 ORDER BY provider LIMIT 20";
        self.run("identities", async |client| {
            let rows = query(client, SQL, &[&user.as_uuid()]).await?;
            let read = |row: &tokio_postgres::Row| {
                Ok(Linked {
                    provider: row.try_get("provider")?,
                    email: row.try_get("email")?,
                    since: row.try_get("created_at")?,
                })
            };
            rows.iter().map(read).collect()
        })
        .await
    }
}
