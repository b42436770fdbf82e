//! Codes that are handed out for once, and the address that an account has shown to read.

use std::time::Duration;

use rally_units::UserId;

use crate::{
    CodeHash, Store, StoreError, User,
    pool::{execute, query_opt},
    users,
};

impl Store {
    /// Keeps a code by which the account's password can be set once, in place of the one before. `false`: no such
    /// account.
    ///
    /// # Errors
    /// The store failed.
    pub async fn offer_password_code(
        &self,
        user: UserId,
        code: &CodeHash,
        good_for: Duration,
    ) -> Result<bool, StoreError> {
        self.offer(user, "password", code, None, good_for).await
    }

    /// Keeps a code that shows that its reader reads this address. `false`: no such account.
    ///
    /// # Errors
    /// The store failed.
    pub async fn offer_email_code(
        &self,
        user: UserId,
        email: &str,
        code: &CodeHash,
        good_for: Duration,
    ) -> Result<bool, StoreError> {
        self.offer(user, "email", code, Some(email), good_for).await
    }

    async fn offer(
        &self,
        user: UserId,
        purpose: &str,
        code: &CodeHash,
        email: Option<&str>,
        good_for: Duration,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO account_codes (user_id, purpose, code_hash, email, expires_at)
            SELECT a.user_id, $2, $3, $4, now() + make_interval(secs => $5) FROM accounts a WHERE a.user_id = $1
            ON CONFLICT (user_id, purpose) DO UPDATE
            SET code_hash = excluded.code_hash, email = excluded.email, expires_at = excluded.expires_at";
        let good_for_s = good_for.as_secs_f64();
        self.run("offer_code", async |client| {
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                [&user.as_uuid(), &purpose, &code.as_slice(), &email, &good_for_s];
            Ok(execute(client, SQL, &params).await? > 0)
        })
        .await
    }

    /// Notes the address that this code was sent to. `false`: it is not the code, or has been used.
    ///
    /// # Errors
    /// The store failed.
    pub async fn confirm_email(&self, user: UserId, code: &CodeHash) -> Result<bool, StoreError> {
        const SQL: &str = "WITH used AS (
                DELETE FROM account_codes WHERE user_id = $1 AND purpose = 'email' AND code_hash = $2
                AND expires_at > now() RETURNING user_id, email)
            UPDATE accounts a SET email = used.email FROM used WHERE a.user_id = used.user_id";
        self.run("confirm_email", async |client| {
            Ok(execute(client, SQL, &[&user.as_uuid(), &code.as_slice()]).await? > 0)
        })
        .await
    }

    /// The account of this name and the address that it reads, if there are both.
    ///
    /// # Errors
    /// The store failed.
    pub async fn email_of(&self, name: &str) -> Result<Option<(User, String)>, StoreError> {
        const SQL: &str =
            "SELECT u.id, u.kind, u.name, u.rating, u.rating_deviation, u.volatility, u.created_at, a.email
            FROM users u JOIN accounts a ON a.user_id = u.id
            WHERE u.kind = 'account' AND lower(u.name) = lower($1) AND a.email IS NOT NULL";
        self.run("email_of", async |client| {
            let Some(row) = query_opt(client, SQL, &[&name]).await? else { return Ok(None) };
            Ok(Some((users::read(&row)?, row.try_get("email")?)))
        })
        .await
    }

    /// The address that an account has shown to read.
    ///
    /// # Errors
    /// The store failed.
    pub async fn own_email(&self, user: UserId) -> Result<Option<String>, StoreError> {
        const SQL: &str = "SELECT email FROM accounts WHERE user_id = $1";
        self.run("own_email", async |client| match query_opt(client, SQL, &[&user.as_uuid()]).await? {
            Some(row) => Ok(row.try_get(0)?),
            None => Ok(None),
        })
        .await
    }
}
