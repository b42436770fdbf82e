//! Redis and Postgres: where they are, and how to be sure of them.

use std::{error::Error, sync::Arc};

use rally_service::{
    env::{Env, Unit, Var},
    tls::{self, TlsError, TlsFiles, TlsVars},
};
use rally_store::StoreConfig;
use rustls::ClientConfig;
use secrecy::{ExposeSecret as _, SecretString};

const REDIS_URL: Var = Var::secret(
    "RALLY_REDIS_URL",
    Unit::Text,
    "Redis, standalone, Sentinel or Cluster: redis://[user:password@]host:port, redis-sentinel://..., redis-cluster://...; with rediss in place of redis, over TLS.",
);
const REDIS_TLS: TlsVars = TlsVars {
    ca: Var::new(
        "RALLY_REDIS_CA_FILE",
        Unit::Text,
        "A PEM file of the authorities that may sign the certificate of a Redis that is reached over TLS. Default: those that this machine trusts.",
    ),
    cert: Var::new(
        "RALLY_REDIS_CERT_FILE",
        Unit::Text,
        "A PEM file of this node's certificate, for a Redis that asks for one.",
    ),
    key: Var::new("RALLY_REDIS_KEY_FILE", Unit::Text, "A PEM file of that certificate's key."),
};
const BUS_URLS: Var = Var::secret(
    "RALLY_BUS_URLS",
    Unit::Text,
    "Redis servers for the mailboxes, separated by commas, the same list on all nodes. Default: RALLY_REDIS_URL alone.",
);
const DATABASE_URL: Var = Var::secret(
    "RALLY_DATABASE_URL",
    Unit::Text,
    "Postgres: postgres://user:password@host:port/database; with ?sslmode=verify-full, over TLS.",
);
const DATABASE_TLS: TlsVars = TlsVars {
    ca: Var::new(
        "RALLY_DATABASE_CA_FILE",
        Unit::Text,
        "A PEM file of the authorities that may sign the certificate of a Postgres that is reached over TLS. Default: those that this machine trusts.",
    ),
    cert: Var::new(
        "RALLY_DATABASE_CERT_FILE",
        Unit::Text,
        "A PEM file of this node's certificate, for a Postgres that asks for one.",
    ),
    key: Var::new("RALLY_DATABASE_KEY_FILE", Unit::Text, "A PEM file of that certificate's key."),
};
const DATABASE_POOL_MAX: Var =
    Var::new("RALLY_DATABASE_POOL_MAX", Unit::Count, "Connections to Postgres of this node at most.").or("8");

/// The variables of Redis, for those who are no nodes.
pub(crate) const REDIS_VARS: &[Var] = &[REDIS_URL, REDIS_TLS.ca, REDIS_TLS.cert, REDIS_TLS.key];
/// What nodes read of it besides.
pub(crate) const BUS_VARS: &[Var] = &[BUS_URLS];
/// The variables of Postgres.
pub(crate) const DATABASE_VARS: &[Var] =
    &[DATABASE_URL, DATABASE_TLS.ca, DATABASE_TLS.cert, DATABASE_TLS.key, DATABASE_POOL_MAX];

const REDIS_SCHEMES: &[&str] =
    &["redis", "redis-sentinel", "redis-cluster", "rediss", "rediss-sentinel", "rediss-cluster"];
const POSTGRES_SCHEMES: &[&str] = &["postgres", "postgresql"];

/// How to reach Redis.
pub(crate) struct RedisConfig {
    pub(crate) url: SecretString,
    /// Where the mailboxes are; empty: in the same.
    pub(crate) bus_urls: Vec<SecretString>,
    tls: Option<TlsFiles>,
}

impl RedisConfig {
    /// Reads [`REDIS_VARS`].
    pub(crate) fn read(env: &mut Env<'_>) -> Option<Self> {
        let url = env.secret_url(&REDIS_URL, REDIS_SCHEMES);
        Self::read_with(env, url, Some(Vec::new()))
    }

    /// Reads [`REDIS_VARS`] and [`BUS_VARS`].
    pub(crate) fn read_with_buses(env: &mut Env<'_>) -> Option<Self> {
        let url = env.secret_url(&REDIS_URL, REDIS_SCHEMES);
        let bus_urls = env.secret_urls(&BUS_URLS, REDIS_SCHEMES);
        Self::read_with(env, url, bus_urls)
    }

    fn read_with(env: &mut Env<'_>, url: Option<SecretString>, bus_urls: Option<Vec<SecretString>>) -> Option<Self> {
        let (url, bus_urls) = (url?, bus_urls?);
        let wanted = std::iter::once(&url).chain(&bus_urls).any(|url| rally_fabric::wants_tls(url.expose_secret()));
        let tls = TlsFiles::read(env, &REDIS_TLS, wanted)?;
        Some(Self { url, bus_urls, tls: wanted.then_some(tls) })
    }

    /// How to connect over TLS, where an address asks for it. Only the first call has it.
    pub(crate) fn take_tls(&mut self) -> Result<Option<Arc<ClientConfig>>, TlsError> {
        self.tls.take().map(TlsFiles::client).transpose()
    }

    /// Says which servers are reached without TLS over more than this machine.
    pub(crate) fn warn(&self) -> anyhow::Result<()> {
        for url in std::iter::once(&self.url).chain(&self.bus_urls) {
            if let Some(host) = rally_fabric::plain_host(url.expose_secret())? {
                tracing::warn!(
                    host,
                    "Redis is reached without TLS: whoever sits on the way reads and changes all (rediss://)"
                );
            }
        }
        Ok(())
    }
}

/// How to reach Postgres, before its authorities are loaded.
pub(crate) struct DatabaseConfig {
    store: StoreConfig,
    tls: Option<TlsFiles>,
}

impl DatabaseConfig {
    /// Reads [`DATABASE_VARS`].
    pub(crate) fn read(env: &mut Env<'_>) -> Option<Self> {
        let url = env.secret_url(&DATABASE_URL, POSTGRES_SCHEMES);
        let pool_max = env.get_in(&DATABASE_POOL_MAX, 1..=1_000usize);
        let (url, pool_max) = (url?, pool_max?);
        let wanted = match rally_store::wants_tls(url.expose_secret()) {
            Ok(wanted) => wanted,
            Err(error) => {
                env.check(false, &DATABASE_URL, &format!("cannot be used: {error}"));
                return None;
            }
        };
        let tls = TlsFiles::read(env, &DATABASE_TLS, wanted)?;
        let mut store = StoreConfig::new(url);
        store.pool_max = pool_max;
        Some(Self { store, tls: wanted.then_some(tls) })
    }

    /// What the store takes.
    pub(crate) fn store(mut self) -> Result<StoreConfig, TlsError> {
        self.store.tls = self.tls.map(TlsFiles::client).transpose()?;
        Ok(self.store)
    }
}

/// Says whether Postgres is reached without TLS over more than this machine.
pub(crate) fn warn_of_plain(store: &StoreConfig) -> anyhow::Result<()> {
    if let Some(host) = store.plain_host()? {
        tracing::warn!(
            host,
            "Postgres is reached without TLS: whoever sits on the way reads and changes all (sslmode=verify-full)"
        );
    }
    Ok(())
}

/// What a library said of a failed connection, and what to do where the reason lies in TLS.
pub(crate) fn with_advice(said: String) -> String {
    match tls::advice_on(&said) {
        Some(advice) => format!("{said}; {advice}"),
        None => said,
    }
}

/// An error with its causes, and what to do where the reason lies in TLS.
pub(crate) fn explain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        // Some repeat what they wrap.
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    with_advice(text)
}
