//! What the store must be told, and the defaults with their reasons.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc, time::Duration};

use rustls::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::config::{Host, SslMode};

/// How to reach Postgres, and the bounds of using it.
#[derive(Clone)]
pub struct StoreConfig {
    /// `postgres://user:password@host:port/database`, several hosts separated by commas. With several, add
    /// `target_session_attrs=read-write`, so that a standby is passed over. With `sslmode=verify-full` it is reached
    /// over TLS; `sslmode=require` is the same here: certificates and the names in them are verified.
    pub url: SecretString,
    /// Whom to trust where the URL asks for TLS, and how to prove oneself.
    pub tls: Option<Arc<ClientConfig>>,
    /// Connections at most. Each serves one operation at a time.
    pub pool_max: usize,
    /// A connection that nobody has used for this long is closed.
    pub idle_timeout: Duration,
    /// How long an operation waits for a connection, made or given back.
    pub acquire_timeout: Duration,
    /// How long an operation may take once it has a connection; the server gives up on a statement as early.
    pub operation_timeout: Duration,
    /// For how long a write that found the server's disk full is told of. Nothing else tells that there is room again.
    pub disk_full_for: Duration,
    /// How long a migration may take, waiting for another one included.
    pub migrate_timeout: Duration,
}

impl StoreConfig {
    /// The defaults for this URL.
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self {
            url: url.into(),
            tls: None,
            // Results and goals of a worker are a few hundred small writes a second: about 1 ms each.
            pool_max: 8,
            // All nodes share the server's connections; what one needed in a rush others may need next.
            idle_timeout: Duration::from_secs(30),
            // Longer than a failover to a ready standby's closed port, shorter than a player's patience.
            acquire_timeout: Duration::from_secs(2),
            // The longest operation takes some 10 ms. Beyond this the server is in trouble.
            operation_timeout: Duration::from_secs(5),
            // An edge on which little happens writes about as often.
            disk_full_for: Duration::from_secs(60),
            // An index on a large table takes minutes.
            migrate_timeout: Duration::from_secs(600),
        }
    }

    /// The driver's settings, with the bounds that the server itself keeps.
    pub(crate) fn driver(&self) -> Result<tokio_postgres::Config, ConfigError> {
        let mut driver = read(self.url.expose_secret())?;
        if driver.get_ssl_mode() == SslMode::Require && self.tls.is_none() {
            return Err(ConfigError::NoTls);
        }
        if self.pool_max == 0 {
            return Err(ConfigError::NoConnections);
        }
        if (self.idle_timeout / 4).is_zero()
            || self.acquire_timeout.is_zero()
            || self.operation_timeout.is_zero()
            || self.migrate_timeout.is_zero()
        {
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

    /// A host beyond this machine that is reached without TLS, if there is one.
    ///
    /// # Errors
    /// The URL cannot be read.
    pub fn plain_host(&self) -> Result<Option<String>, ConfigError> {
        let driver = read(self.url.expose_secret())?;
        if driver.get_ssl_mode() == SslMode::Require {
            return Ok(None);
        }
        let is_here = |host: &str| host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        let mut hosts = driver.get_hosts().iter().filter_map(|host| match host {
            Host::Tcp(name) => Some(name),
            Host::Unix(_) => None,
        });
        Ok(hosts.find(|host| !is_here(host)).cloned())
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

impl fmt::Debug for StoreConfig {
    /// Without the URL, which may carry a password, and without the authorities, which are hundreds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig")
            .field("tls", &self.tls.is_some())
            .field("pool_max", &self.pool_max)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("operation_timeout", &self.operation_timeout)
            .field("migrate_timeout", &self.migrate_timeout)
            .finish_non_exhaustive()
    }
}

/// Whether a URL asks for TLS.
///
/// # Errors
/// It cannot be read.
pub fn wants_tls(url: &str) -> Result<bool, ConfigError> {
    Ok(read(url)?.get_ssl_mode() == SslMode::Require)
}

/// The driver's settings of a URL. It verifies always or not at all, so the modes of the URL become two: with TLS, which
/// is verified, and without.
fn read(url: &str) -> Result<tokio_postgres::Config, ConfigError> {
    // What follows the host; a password may contain a question mark.
    let (head, rest) = url.split_at(url.rfind('@').unwrap_or(0));
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (modes, others): (Vec<&str>, Vec<&str>) =
        query.split('&').filter(|each| !each.is_empty()).partition(|each| each.starts_with("sslmode="));
    let mode = match modes.last().and_then(|mode| mode.strip_prefix("sslmode=")) {
        Some("verify-full" | "require") => SslMode::Require,
        None | Some("disable") => SslMode::Disable,
        Some(_) => return Err(ConfigError::SslMode),
    };
    let others = if others.is_empty() { String::new() } else { format!("?{}", others.join("&")) };
    let mut driver = tokio_postgres::Config::from_str(&format!("{head}{place}{others}")).map_err(ConfigError::Url)?;
    driver.ssl_mode(mode);
    Ok(driver)
}

/// Why a [`StoreConfig`] cannot be used. None of these repeats the URL, which holds a password.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The URL is none of Postgres.
    #[error("the database URL is not valid")]
    Url(#[source] tokio_postgres::Error),
    /// Modes that fall back to a plain connection, or take any name, are not to be had.
    #[error("the database URL's sslmode is none of disable, require and verify-full")]
    SslMode,
    /// The URL asks for TLS, and the configuration has none.
    #[error("the database URL asks for TLS, which is not configured")]
    NoTls,
    /// `pool_max` is 0.
    #[error("the pool must have at least one connection")]
    NoConnections,
    /// A timeout is 0, which Postgres reads as "none".
    #[error("the store's timeouts must be longer than zero")]
    ZeroTimeout,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn mode(url: &str) -> Option<SslMode> {
        read(url).ok().map(|driver| driver.get_ssl_mode())
    }

    #[test]
    fn there_is_tls_that_is_verified_and_there_is_none() {
        assert_eq!(mode("postgres://a@b/c"), Some(SslMode::Disable));
        assert_eq!(mode("postgres://a@b/c?sslmode=disable"), Some(SslMode::Disable));
        let odd = format!("postgres://a:{}@b/c?sslmode=require", "p?sslmode=disable&");
        assert_eq!(mode(&odd), Some(SslMode::Require));
        assert_eq!(mode("postgres://b/c?application_name=x&sslmode=verify-full"), Some(SslMode::Require));
        for url in ["postgres://a@b/c?sslmode=prefer", "postgres://a@b/c?sslmode=verify-ca"] {
            assert!(matches!(read(url), Err(ConfigError::SslMode)), "{url}");
        }
        let rest = read("postgres://a@b/c?application_name=x&sslmode=verify-full&connect_timeout=3").unwrap();
        assert_eq!((rest.get_application_name(), rest.get_dbname()), (Some("x"), Some("c")));
    }

    #[test]
    fn plain_hosts_beyond_this_machine_are_named() {
        let plain = |url: &str| StoreConfig::new(url).plain_host().unwrap();
        assert_eq!(plain("postgres://a@127.0.0.1,localhost,db.internal/c").as_deref(), Some("db.internal"));
        assert_eq!(plain("postgres://a@127.0.0.1,[::1]:5433/c"), None);
        assert_eq!(plain("postgres://a@db.internal/c?sslmode=require"), None);
    }
}
