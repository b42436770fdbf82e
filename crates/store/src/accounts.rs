//! Accounts: registering, what proves who one is, and being forgotten.
//!
//! Passwords come here hashed, codes as BLAKE3 hashes; what they are hashes of is known to the caller alone.

use deadpool_postgres::GenericClient;
use rally_units::{LoginId, UserId};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::{
    Store, StoreError, User, UserKind,
    error::Fault,
    groups,
    logins::end_all,
    metrics::failed,
    pool::{execute, query_opt},
    types::text_enum,
    users::{self, USER_COLUMNS},
};

/// BLAKE3 of a code.
pub type CodeHash = [u8; 32];

text_enum! {
    /// What an account may do.
    Role {
        /// What everybody may.
        Player = "player",
        /// Look after the others.
        Operator = "operator",
    }
}

/// An account to be made.
#[derive(Clone, Debug)]
pub struct NewAccount<'a> {
    /// Its name; the caller has checked its form.
    pub name: &'a str,
    /// Argon2id, as a PHC string.
    pub password_hash: &'a str,
    /// Of the code that stands in for a forgotten password.
    pub recovery_hash: CodeHash,
}

/// What proves that somebody is the owner of an account.
#[derive(Clone, Debug, PartialEq)]
pub struct Credentials {
    /// Whose they are.
    pub user: User,
    /// What the account may do.
    pub role: Role,
    /// Argon2id, as a PHC string.
    pub password_hash: String,
    /// The second factor's secret, where it is in effect.
    pub totp_secret: Option<Vec<u8>>,
}

/// Why an account was not made.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// An account has this name, in these or other cases of letters. It may be the caller's own, made by an earlier
    /// try whose answer was lost.
    #[error("the name belongs to an account")]
    UsernameTaken,
    /// Only a guest can become an account.
    #[error("the user is no guest")]
    NotAGuest,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RegisterError {
    const fn label(&self) -> &'static str {
        match self {
            Self::UsernameTaken => "username_taken",
            Self::NotAGuest => "not_a_guest",
            Self::Store(error) => error.kind.as_str(),
        }
    }
}

impl Store {
    /// Makes an account: of a guest, who keeps id, history and rating, or of nobody.
    ///
    /// # Errors
    /// The name belongs to another account, the user is no guest, or the store failed.
    pub async fn register(&self, new: &NewAccount<'_>, guest: Option<UserId>) -> Result<User, RegisterError> {
        const OPERATION: &str = "register";
        self.run(OPERATION, async |client| {
            let tx = client.transaction().await?;
            let registered = register(&tx, new, guest).await?;
            // Rolled back otherwise, with the transaction.
            if registered.is_ok() {
                tx.commit().await?;
            }
            Ok(registered)
        })
        .await?
        .inspect_err(|error| failed(OPERATION, error.label()))
    }

    /// What proves that one is the owner of the account of this name, in whatever case of letters.
    ///
    /// # Errors
    /// The store failed.
    pub async fn credentials(&self, name: &str) -> Result<Option<Credentials>, StoreError> {
        const SQL: &str = "SELECT u.id, u.kind, u.name, u.rating, u.rating_deviation, u.volatility, u.created_at,
                a.role, a.password_hash, CASE WHEN a.totp_since IS NOT NULL THEN a.totp_secret END AS totp_secret
            FROM users u JOIN accounts a ON a.user_id = u.id
            WHERE u.kind = 'account' AND lower(u.name) = lower($1)";
        self.run("credentials", async |client| {
            query_opt(client, SQL, &[&name]).await?.map(|row| read_credentials(&row)).transpose()
        })
        .await
    }

    /// What proves that one is the owner of this account; `None` for guests.
    ///
    /// # Errors
    /// The store failed.
    pub async fn credentials_of(&self, user: UserId) -> Result<Option<Credentials>, StoreError> {
        const SQL: &str = "SELECT u.id, u.kind, u.name, u.rating, u.rating_deviation, u.volatility, u.created_at,
                a.role, a.password_hash, CASE WHEN a.totp_since IS NOT NULL THEN a.totp_secret END AS totp_secret
            FROM users u JOIN accounts a ON a.user_id = u.id WHERE u.id = $1";
        self.run("credentials_of", async |client| {
            query_opt(client, SQL, &[&user.as_uuid()]).await?.map(|row| read_credentials(&row)).transpose()
        })
        .await
    }

    /// Sets another password. `false`: no such account.
    ///
    /// # Errors
    /// The store failed.
    pub async fn set_password(&self, user: UserId, password_hash: &str) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE accounts SET password_hash = $2 WHERE user_id = $1";
        self.run("set_password", async |client| Ok(execute(client, SQL, &[&user.as_uuid(), &password_hash]).await? > 0))
            .await
    }

    /// Whether this is the account's recovery code, or one that was offered to set its password.
    ///
    /// # Errors
    /// The store failed.
    pub async fn is_recovery_code(&self, user: UserId, code: &CodeHash) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT FROM accounts a WHERE a.user_id = $1 AND (a.recovery_hash = $2 OR EXISTS (
            SELECT FROM account_codes c WHERE c.user_id = $1 AND c.purpose = 'password' AND c.code_hash = $2
            AND c.expires_at > now()))";
        self.run("is_recovery_code", async |client| {
            Ok(query_opt(client, SQL, &[&user.as_uuid(), &code.as_slice()]).await?.is_some())
        })
        .await
    }

    /// Sets another password by the account's recovery code, or by one that was offered
    /// ([`Store::offer_password_code`]), and ends all logins: which they were. A new recovery code comes in place of the
    /// one before. `None`: it is not the code, or has been used.
    ///
    /// # Errors
    /// The store failed.
    pub async fn recover(
        &self,
        user: UserId,
        code: &CodeHash,
        password_hash: &str,
        next_code: &CodeHash,
    ) -> Result<Option<Vec<LoginId>>, StoreError> {
        // Both codes are used up by either.
        const SQL: &str = "WITH offered AS (
                DELETE FROM account_codes WHERE user_id = $1 AND purpose = 'password' AND expires_at > now()
                AND (code_hash = $2 OR EXISTS (SELECT FROM accounts WHERE user_id = $1 AND recovery_hash = $2))
                RETURNING code_hash)
            UPDATE accounts SET password_hash = $3, recovery_hash = $4
            WHERE user_id = $1 AND (recovery_hash = $2 OR $2 IN (SELECT code_hash FROM offered))";
        self.run("recover", async |client| {
            let tx = client.transaction().await?;
            let id = user.as_uuid();
            let params = (code.as_slice(), next_code.as_slice());
            let recovered = execute(&tx, SQL, &[&id, &params.0, &password_hash, &params.1]).await? > 0;
            let ended = if recovered { Some(end_all(&tx, user, None).await?) } else { None };
            tx.commit().await?;
            Ok(ended)
        })
        .await
    }

    /// Gives an account a role. `false`: no such account.
    ///
    /// # Errors
    /// The store failed.
    pub async fn set_role(&self, user: UserId, role: Role) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE accounts SET role = $2 WHERE user_id = $1";
        self.run("set_role", async |client| Ok(execute(client, SQL, &[&user.as_uuid(), &role.as_str()]).await? > 0))
            .await
    }

    /// Forgets a person: name, picture, password, logins, settings, groups, notifications. What stays is what belongs to
    /// others too: matches and messages, of somebody without a name. Asking again is fine. Returns the logins that have
    /// ended.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete_user(&self, user: UserId) -> Result<Vec<LoginId>, StoreError> {
        const RENAME: &str = "UPDATE users SET kind = 'guest', name = 'deleted', language = DEFAULT,
                friend_requests = 'none', last_seen_at = NULL, deleted_at = coalesce(deleted_at, now())
            WHERE id = $1";
        const FORGET: [&str; 7] = [
            "DELETE FROM identities WHERE user_id = $1",
            "DELETE FROM notifications WHERE user_id = $1",
            "DELETE FROM accounts WHERE user_id = $1",
            "DELETE FROM avatars WHERE user_id = $1",
            "DELETE FROM friendships WHERE low = $1 OR high = $1",
            "DELETE FROM blocks WHERE user_id = $1 OR blocked_id = $1",
            "DELETE FROM channel_reads WHERE user_id = $1",
        ];
        let forgotten = self.run("delete_user", async |client| {
            let tx = client.transaction().await?;
            let id = user.as_uuid();
            // Channels are locked before users.
            let groups = groups::forget(&tx, user).await?;
            execute(&tx, RENAME, &[&id]).await?;
            for statement in FORGET {
                execute(&tx, statement, &[&id]).await?;
            }
            let ended = end_all(&tx, user, None).await?;
            tx.commit().await?;
            Ok((ended, groups))
        });
        let (ended, groups) = forgotten.await?;
        for group in groups {
            self.clear_group(group).await;
        }
        Ok(ended)
    }
}

/// The statement that makes an account (`$1` the id, `$2` the name) of a guest, or anew; and the id.
pub(crate) fn to_account(guest: Option<UserId>) -> (String, Uuid) {
    match guest {
        None => (returning_user("INSERT INTO users (id, kind, name) VALUES ($1, 'account', $2)"), Uuid::now_v7()),
        Some(guest) => {
            let upgrade =
                "UPDATE users SET kind = 'account', name = $2 WHERE id = $1 AND kind = 'guest' AND deleted_at IS NULL";
            (returning_user(upgrade), guest.as_uuid())
        }
    }
}

async fn register(
    tx: &impl GenericClient,
    new: &NewAccount<'_>,
    guest: Option<UserId>,
) -> Result<Result<User, RegisterError>, Fault> {
    const ACCOUNT: &str = "INSERT INTO accounts (user_id, password_hash, recovery_hash) VALUES ($1, $2, $3)";
    let (sql, id) = to_account(guest);
    let row = match query_opt(tx, &sql, &[&id, &new.name]).await {
        Ok(Some(row)) => row,
        Ok(None) => return Ok(Err(RegisterError::NotAGuest)),
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
            return Ok(Err(RegisterError::UsernameTaken));
        }
        Err(error) => return Err(error.into()),
    };
    execute(tx, ACCOUNT, &[&id, &new.password_hash, &new.recovery_hash.as_slice()]).await?;
    Ok(Ok(users::read(&row)?))
}

/// A statement that returns the user that it wrote.
fn returning_user(sql: &str) -> String {
    format!("{sql} RETURNING {USER_COLUMNS}")
}

fn read_credentials(row: &tokio_postgres::Row) -> Result<Credentials, Fault> {
    let user = users::read(row)?;
    if user.kind != UserKind::Account {
        return Err(Fault::Malformed("account of a guest"));
    }
    Ok(Credentials {
        user,
        role: Role::read(row.try_get("role")?)?,
        password_hash: row.try_get("password_hash")?,
        totp_secret: row.try_get("totp_secret")?,
    })
}
