//! What the store must be told, and the defaults with their reasons.

use std::{str::FromStr, time::Duration};

use secrecy::{ExposeSecret, SecretString};

/// How to reach Postgres, and the bounds of using it.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// `postgres://user:password@host:port/database`, several hosts separated by commas. With several, add
    /// `target_session_attrs=read-write`, so that a standby is passed over.
    pub url: SecretString,
    /// Connections at most. Each serves one operation at a time.
    pub pool_max: usize,
    /// How long an operation waits for a connection, made or given back.
    pub acquire_timeout: Duration,
    /// How long an operation may take once it has a connection; the server gives up on a statement as early.
    pub operation_timeout: Duration,
    /// How long a migration may take, waiting for another one included.
    pub migrate_timeout: Duration,
}

impl StoreConfig {
    /// The defaults for this URL.
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self {
            url: url.into(),
            // Results and goals of a worker are a few hundred small writes a second: about 1 ms each.
            pool_max: 8,
            // Longer than a failover to a ready standby's closed port, shorter than a player's patience.
            acquire_timeout: Duration::from_secs(2),
            // The longest operation takes some 10 ms. Beyond this the server is in trouble.
            operation_timeout: Duration::from_secs(5),
            // An index on a large table takes minutes.
            migrate_timeout: Duration::from_secs(600),
        }
    }

    /// The driver's settings, with the bounds that the server itself keeps.
    pub(crate) fn driver(&self) -> Result<tokio_postgres::Config, ConfigError> {
        let mut driver = tokio_postgres::Config::from_str(self.url.expose_secret()).map_err(ConfigError::Url)?;
        if self.pool_max == 0 {
            return Err(ConfigError::NoConnections);
        }
        if self.acquire_timeout.is_zero() || self.operation_timeout.is_zero() || self.migrate_timeout.is_zero() {
            return Err(ConfigError::ZeroTimeout);
        }
        if driver.get_application_name().is_none() {
            driver.application_name("rally");
        }
        if driver.get_connect_timeout().is_none() {
            driver.connect_timeout(self.acquire_timeout);
        }
        // A connection whose other end is gone is noticed although nothing is being asked.
        driver.tcp_user_timeout(self.operation_timeout).keepalives_idle(Duration::from_secs(10));
        Ok(driver)
    }

    /// The driver's settings for the pool: [`Self::driver`] with the timeouts of ordinary statements.
    pub(crate) fn pool_driver(&self) -> Result<tokio_postgres::Config, ConfigError> {
        let mut driver = self.driver()?;
        // Whoever stops in the middle of a transaction must not keep its locks for longer than it may live. What the
        // URL sets comes last and wins.
        let timeout_ms = self.operation_timeout.as_millis();
        let options = format!(
            "-c statement_timeout={timeout_ms} -c idle_in_transaction_session_timeout={timeout_ms} {}",
            driver.get_options().unwrap_or_default()
        );
        driver.options(options.trim_end());
        Ok(driver)
    }
}

/// Why a [`StoreConfig`] cannot be used. None of these repeats the URL, which holds a password.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The URL is none of Postgres.
    #[error("the database URL is not valid")]
    Url(#[source] tokio_postgres::Error),
    /// `pool_max` is 0.
    #[error("the pool must have at least one connection")]
    NoConnections,
    /// A timeout is 0, which Postgres reads as "none".
    #[error("the store's timeouts must be longer than zero")]
    ZeroTimeout,
}
