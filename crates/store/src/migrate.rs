//! The schema's version: raising it, and comparing it with what this code was built for.

use std::sync::LazyLock;

use refinery::Runner;
use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{Client, Config, NoTls, error::SqlState};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    Store, StoreError, StoreErrorKind,
    error::{Fault, kind_of},
};

// The macro's code has neither documentation nor our lints.
#[allow(missing_docs, unreachable_pub, clippy::unwrap_used)]
mod embedded {
    refinery::embed_migrations!("../../migrations");
}

/// Key of the advisory lock that lets one migration run at a time: "rally" and a number.
const LOCK_KEY: i64 = i64::from_be_bytes(*b"\0\0rally\x01");

/// What each role may do, for those that exist.
const GRANTS: &str = include_str!("../../../migrations/grants.sql");

/// How long a migration's statement waits for a lock that the running cluster holds, before the migration fails.
/// While it waits, every query on that table waits behind it.
const LOCK_TIMEOUT: &str = "5s";

static RUNNER: LazyLock<Runner> = LazyLock::new(embedded::migrations::runner);

/// The schema version that this code was built for.
pub fn schema_version_needed() -> u32 {
    RUNNER.get_migrations().iter().map(|m| version(m.version())).max().unwrap_or_default()
}

/// Why the schema was not brought to its version.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// Postgres failed us.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A migration failed, or one that was applied differs from ours.
    #[error("the schema could not be migrated")]
    Failed(#[source] refinery::Error),
}

/// Why the schema does not suit this code.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Migrations are missing: wait for them, or run them.
    #[error("the schema has version {found}, version {needed} is needed: run `rally migrate`")]
    Older {
        /// The version of the database.
        found: u32,
        /// [`schema_version_needed`].
        needed: u32,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Brings the schema to [`schema_version_needed`], grants the roles of nodes what they need, and returns the version
    /// that the schema has then. Several may do so at once: one works, the others wait. A newer schema is left as it is.
    ///
    /// Takes a connection of its own, outside the pool, for at most
    /// [`StoreConfig::migrate_timeout`](crate::StoreConfig::migrate_timeout).
    ///
    /// # Errors
    /// Postgres is not available, a migration failed (those before it stay), or the schema has diverged.
    pub async fn migrate(&self) -> Result<u32, MigrateError> {
        let unavailable = |fault| StoreError::new("migrate", fault);
        // The server ends what the client no longer waits for: a dropped connection alone would not stop a statement.
        let timeout_ms = self.config.migrate_timeout.as_millis();
        let mut driver = self.config.driver().map_err(|_| unavailable(Fault::Malformed("configuration")))?;
        driver.options(format!(
            "-c statement_timeout={timeout_ms} -c idle_in_transaction_session_timeout={timeout_ms} {}",
            driver.get_options().unwrap_or_default()
        ));
        timeout(self.config.migrate_timeout, async {
            let (mut client, connection) =
                self.connect(&driver).await.map_err(|error| unavailable(Fault::Postgres(error)))?;
            let result = migrate(&mut client).await;
            // The lock is the session's: it ends with the connection, however this ended.
            drop(client);
            let _ = connection.await;
            result
        })
        .await
        .unwrap_or_else(|_| Err(unavailable(Fault::OperationTimeout).into()))
    }

    async fn connect(&self, driver: &Config) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        Ok(match &self.config.tls {
            Some(tls) => {
                let (client, connection) = driver.connect(MakeRustlsConnect::new((**tls).clone())).await?;
                (client, tokio::spawn(async { drop(connection.await) }))
            }
            None => {
                let (client, connection) = driver.connect(NoTls).await?;
                (client, tokio::spawn(async { drop(connection.await) }))
            }
        })
    }

    /// The schema's version; 0 for an empty database.
    ///
    /// # Errors
    /// The store failed.
    pub async fn schema_version(&self) -> Result<u32, StoreError> {
        self.run("schema_version", async |client| Ok(found_version(client).await?)).await
    }

    /// Checks that the schema is not older than this code. A newer one is fine: changes are first expanding.
    ///
    /// # Errors
    /// The schema is older, or the store failed.
    pub async fn check_schema(&self) -> Result<(), SchemaError> {
        let (found, needed) = (self.schema_version().await?, schema_version_needed());
        if found < needed { Err(SchemaError::Older { found, needed }) } else { Ok(()) }
    }
}

async fn migrate(client: &mut Client) -> Result<u32, MigrateError> {
    let failed = |error| StoreError::new("migrate", Fault::Postgres(error));
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK_KEY]).await.map_err(failed)?;
    let found = found_version(client).await.map_err(failed)?;
    if found > schema_version_needed() {
        return Ok(found);
    }
    client.execute("SELECT set_config('lock_timeout', $1, false)", &[&LOCK_TIMEOUT]).await.map_err(failed)?;
    RUNNER.run_async(client).await.map_err(migration_failed)?;
    client.batch_execute(GRANTS).await.map_err(failed)?;
    found_version(client).await.map_err(|error| failed(error).into())
}

/// Tells a lost connection from a migration that is wrong.
fn migration_failed(error: refinery::Error) -> MigrateError {
    let postgres = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<tokio_postgres::Error>());
    match postgres {
        Some(postgres) if kind_of(postgres) == StoreErrorKind::Unavailable => {
            MigrateError::Store(StoreError::new("migrate", Fault::Migration(error)))
        }
        _ => MigrateError::Failed(error),
    }
}

async fn found_version(client: &Client) -> Result<u32, tokio_postgres::Error> {
    // Not prepared by name: the table may come into being between two calls.
    match client.query_one("SELECT max(version) FROM refinery_schema_history", &[]).await {
        Ok(row) => Ok(row.try_get::<_, Option<i32>>(0)?.map(version).unwrap_or_default()),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(0),
        Err(error) => Err(error),
    }
}

fn version(version: i32) -> u32 {
    u32::try_from(version).unwrap_or_default()
}
