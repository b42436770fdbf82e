//! The second factor: a secret for codes that change with time, and codes for when its device is lost.

use rally_units::UserId;

use crate::{CodeHash, Store, StoreError, pool::execute, pool::query_opt};

impl Store {
    /// Keeps a secret that is not in effect yet, in place of one that was not either. `false`: no such account, or its
    /// second factor is in effect.
    ///
    /// # Errors
    /// The store failed.
    pub async fn enrol_totp(&self, user: UserId, secret: &[u8]) -> Result<bool, StoreError> {
        const SQL: &str =
            "UPDATE accounts SET totp_secret = $2, totp_step = 0 WHERE user_id = $1 AND totp_since IS NULL";
        self.run("enrol_totp", async |client| Ok(execute(client, SQL, &[&user.as_uuid(), &secret]).await? > 0)).await
    }

    /// The secret that waits for its first code.
    ///
    /// # Errors
    /// The store failed.
    pub async fn enrolled_totp(&self, user: UserId) -> Result<Option<Vec<u8>>, StoreError> {
        const SQL: &str = "SELECT totp_secret FROM accounts WHERE user_id = $1 AND totp_since IS NULL";
        self.run("enrolled_totp", async |client| match query_opt(client, SQL, &[&user.as_uuid()]).await? {
            Some(row) => Ok(row.try_get(0)?),
            None => Ok(None),
        })
        .await
    }

    /// Puts the secret into effect, by a code of this step, together with codes for when its device is lost.
    /// `false`: another secret waits, or none does.
    ///
    /// # Errors
    /// The store failed.
    pub async fn confirm_totp(
        &self,
        user: UserId,
        secret: &[u8],
        step: i64,
        recovery: &[CodeHash],
    ) -> Result<bool, StoreError> {
        const CONFIRM: &str = "UPDATE accounts SET totp_since = now(), totp_step = $3
            WHERE user_id = $1 AND totp_secret = $2 AND totp_since IS NULL";
        const FORGET: &str = "DELETE FROM totp_recovery_codes WHERE user_id = $1";
        const KEEP: &str = "INSERT INTO totp_recovery_codes (user_id, code_hash) SELECT $1, unnest($2::bytea[])";
        let codes: Vec<&[u8]> = recovery.iter().map(CodeHash::as_slice).collect();
        self.run("confirm_totp", async |client| {
            let tx = client.transaction().await?;
            let id = user.as_uuid();
            let confirmed = execute(&tx, CONFIRM, &[&id, &secret, &step]).await? > 0;
            if confirmed {
                execute(&tx, FORGET, &[&id]).await?;
                execute(&tx, KEEP, &[&id, &codes]).await?;
            }
            tx.commit().await?;
            Ok(confirmed)
        })
        .await
    }

    /// Notes that the code of this step was used. `false`: it, or a later one, was used before.
    ///
    /// # Errors
    /// The store failed.
    pub async fn use_totp_step(&self, user: UserId, step: i64) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE accounts SET totp_step = $2 WHERE user_id = $1 AND totp_step < $2";
        self.run("use_totp_step", async |client| Ok(execute(client, SQL, &[&user.as_uuid(), &step]).await? > 0)).await
    }

    /// Uses a code for a lost device up. `false`: it is none, or has been used.
    ///
    /// # Errors
    /// The store failed.
    pub async fn use_totp_recovery(&self, user: UserId, code: &CodeHash) -> Result<bool, StoreError> {
        const SQL: &str = "DELETE FROM totp_recovery_codes WHERE user_id = $1 AND code_hash = $2";
        self.run("use_totp_recovery", async |client| {
            Ok(execute(client, SQL, &[&user.as_uuid(), &code.as_slice()]).await? > 0)
        })
        .await
    }

    /// Takes the second factor away.
    ///
    /// # Errors
    /// The store failed.
    pub async fn disable_totp(&self, user: UserId) -> Result<(), StoreError> {
        const SQL: &str = "WITH codes AS (DELETE FROM totp_recovery_codes WHERE user_id = $1)
            UPDATE accounts SET totp_secret = NULL, totp_since = NULL, totp_step = 0 WHERE user_id = $1";
        self.run("disable_totp", async |client| {
            execute(client, SQL, &[&user.as_uuid()]).await?;
            Ok(())
        })
        .await
    }
}
