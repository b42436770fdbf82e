//! Logins: where somebody is signed in, and which refresh token of each is the good one.
//!
//! A login is a family of refresh tokens. Each exchange raises its number; a token with an earlier number has been in
//! two hands, and ends the login for both.

use std::time::Duration;

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use rally_units::{LoginId, UserId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    Store, StoreError, User,
    error::Fault,
    pool::{execute, query, query_opt},
    users,
};

/// Logins of a user at most; a further one ends that which has been unused for longest.
pub const LOGINS_MAX: i64 = 50;

/// Characters kept of what a browser calls itself.
pub const AGENT_CHARS_MAX: usize = 200;

/// Where somebody is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Its id, which tokens name.
    pub id: LoginId,
    /// What the browser or program called itself.
    pub agent: String,
    /// When one signed in.
    pub created_at: Timestamp,
    /// When its token was last exchanged.
    pub last_used_at: Timestamp,
    /// When it ends, unless it is used.
    pub expires_at: Timestamp,
}

/// What became of a refresh token.
#[derive(Clone, Debug, PartialEq)]
pub enum Exchanged {
    /// It was good: whose it is, and the number of the next one.
    Next {
        /// The user, as it is now.
        user: Box<User>,
        /// The number that is good from now on.
        generation: u32,
    },
    /// It had been exchanged before: the login has ended.
    Reused(UserId),
    /// There is no such login (any more).
    Gone,
}

impl Store {
    /// Notes that somebody has signed in; its first token has number 1.
    ///
    /// # Errors
    /// The store failed.
    pub async fn start_login(&self, user: UserId, agent: &str, good_for: Duration) -> Result<LoginId, StoreError> {
        const START: &str = "INSERT INTO logins (id, user_id, agent, expires_at)
            VALUES ($1, $2, $3, now() + make_interval(secs => $4))";
        const TRIM: &str = "DELETE FROM logins WHERE id IN (
            SELECT id FROM logins WHERE user_id = $1 ORDER BY last_used_at DESC OFFSET $2)";
        let id = Uuid::now_v7();
        let agent: String = agent.chars().filter(|c| !c.is_control()).take(AGENT_CHARS_MAX).collect();
        self.run("start_login", async |client| {
            let (user, good_for_s) = (user.as_uuid(), good_for.as_secs_f64());
            execute(client, START, &[&id, &user, &agent, &good_for_s]).await?;
            execute(client, TRIM, &[&user, &LOGINS_MAX]).await?;
            Ok(LoginId::from_uuid(id))
        })
        .await
    }

    /// Exchanges the token of this number.
    ///
    /// # Errors
    /// The store failed. Where only the answer was lost, the token has been exchanged: trying again ends the login.
    pub async fn exchange(&self, id: LoginId, generation: u32, good_for: Duration) -> Result<Exchanged, StoreError> {
        const RAISE: &str = "UPDATE logins l SET generation = generation + 1, last_used_at = now(),
                expires_at = now() + make_interval(secs => $3)
            FROM users u WHERE l.id = $1 AND l.generation = $2 AND l.expires_at > now() AND u.id = l.user_id
            RETURNING u.id, u.kind, u.name, u.rating, u.rating_deviation, u.volatility, u.created_at, l.generation";
        const REVOKE: &str = "DELETE FROM logins WHERE id = $1 AND generation > $2 RETURNING user_id";
        let given = i64::from(generation);
        self.run("exchange", async |client| {
            let good_for_s = good_for.as_secs_f64();
            if let Some(row) = query_opt(client, RAISE, &[&id.as_uuid(), &given, &good_for_s]).await? {
                let generation =
                    u32::try_from(row.try_get::<_, i64>("generation")?).map_err(|_| Fault::Malformed("generation"))?;
                return Ok(Exchanged::Next { user: Box::new(users::read(&row)?), generation });
            }
            match query_opt(client, REVOKE, &[&id.as_uuid(), &given]).await? {
                Some(row) => Ok(Exchanged::Reused(UserId::from_uuid(row.try_get(0)?))),
                None => Ok(Exchanged::Gone),
            }
        })
        .await
    }

    /// Where a user is signed in, the last used first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn logins(&self, user: UserId) -> Result<Vec<Login>, StoreError> {
        const SQL: &str = "SELECT id, agent, created_at, last_used_at, expires_at FROM logins
            WHERE user_id = $1 AND expires_at > now() ORDER BY last_used_at DESC, id LIMIT $2";
        self.run("logins", async |client| {
            query(client, SQL, &[&user.as_uuid(), &LOGINS_MAX]).await?.iter().map(read).collect()
        })
        .await
    }

    /// Ends one login of a user. `false`: it is none of this user's.
    ///
    /// # Errors
    /// The store failed.
    pub async fn end_login(&self, user: UserId, id: LoginId) -> Result<bool, StoreError> {
        const SQL: &str = "DELETE FROM logins WHERE user_id = $1 AND id = $2";
        self.run("end_login", async |client| Ok(execute(client, SQL, &[&user.as_uuid(), &id.as_uuid()]).await? > 0))
            .await
    }

    /// Ends all logins of a user, but for this one. Returns which.
    ///
    /// # Errors
    /// The store failed.
    pub async fn end_logins(&self, user: UserId, except: Option<LoginId>) -> Result<Vec<LoginId>, StoreError> {
        self.run("end_logins", async |client| end_all(client, user, except).await).await
    }
}

/// Ends them within what else is done to a user.
pub(crate) async fn end_all(
    client: &impl GenericClient,
    user: UserId,
    except: Option<LoginId>,
) -> Result<Vec<LoginId>, Fault> {
    const SQL: &str = "DELETE FROM logins WHERE user_id = $1 AND id IS DISTINCT FROM $2::uuid RETURNING id";
    let ended = query(client, SQL, &[&user.as_uuid(), &except.map(LoginId::as_uuid)]).await?;
    ended.iter().map(|row| Ok(LoginId::from_uuid(row.try_get(0)?))).collect()
}

fn read(row: &Row) -> Result<Login, Fault> {
    Ok(Login {
        id: LoginId::from_uuid(row.try_get("id")?),
        agent: row.try_get("agent")?,
        created_at: row.try_get("created_at")?,
        last_used_at: row.try_get("last_used_at")?,
        expires_at: row.try_get("expires_at")?,
    })
}
