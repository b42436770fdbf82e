//! The pool, and the one path on which every operation runs: bounded, measured, its errors named.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use deadpool_postgres::{Client, GenericClient, Manager, ManagerConfig, Pool, QueueMode, RecyclingMethod, WeakPool};
use tokio::time::timeout;
use tokio_postgres::{NoTls, Row, types::ToSql};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::{Instrument as _, Span, field::Empty};

use crate::{
    ConfigError, StoreConfig, StoreError,
    error::Fault,
    metrics::{describe, failed, observe},
};

/// A handle on Postgres. Clones share its connections.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    pub(crate) config: Arc<StoreConfig>,
    /// When a write last failed because the server had no room for it.
    disk_full_at: Arc<Mutex<Option<Instant>>>,
}

impl Store {
    /// Makes the pool, within a runtime. Connections are made when they are first needed and again after they have broken,
    /// so the server need not be up.
    ///
    /// # Errors
    /// The configuration is not usable.
    pub fn new(config: &StoreConfig) -> Result<Self, ConfigError> {
        describe();
        // `Fast` asks the connection's task whether it has ended, instead of the server at each use. A connection
        // that broke a moment ago costs one operation, which fails as unavailable.
        let (driver, recycling) = (config.pool_driver()?, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let manager = match &config.tls {
            Some(tls) => Manager::from_config(driver, MakeRustlsConnect::new((**tls).clone()), recycling),
            None => Manager::from_config(driver, NoTls, recycling),
        };
        // The last one given back is lent first, so that those beyond the need stay idle.
        let pool = Pool::builder(manager).max_size(config.pool_max).queue_mode(QueueMode::Lifo);
        let pool = pool.build().map_err(|_| ConfigError::NoConnections)?;
        tokio::spawn(close_idle(pool.weak(), config.idle_timeout));
        Ok(Self { pool, config: Arc::new(config.clone()), disk_full_at: Arc::default() })
    }

    /// Asks Postgres whether it answers and may be written to.
    ///
    /// # Errors
    /// It gives no answer, or only reads are allowed, or its disk was full a moment ago.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.run("ping", async |client| {
            if query_opt(client, "SHOW transaction_read_only", &[])
                .await?
                .is_some_and(|row| row.get::<_, &str>(0) == "on")
            {
                return Err(Fault::ReadOnly);
            }
            // A write of our own to find out might find the last free page.
            let full = self.disk_full_at.lock().unwrap_or_else(PoisonError::into_inner);
            match *full {
                Some(at) if at.elapsed() < self.config.disk_full_for => Err(Fault::DiskFull),
                _ => Ok(()),
            }
        })
        .await
    }

    /// Runs `work` with a connection, within the store's bounds.
    pub(crate) async fn run<T>(
        &self,
        operation: &'static str,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let started = Instant::now();
        let span = traced(operation);
        let result = self.attempt(work).instrument(span.clone()).await;
        if result.as_ref().is_err_and(Fault::is_disk_full) {
            *self.disk_full_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        let result = result.map_err(|fault| StoreError::new(operation, fault));
        observe(operation, started.elapsed(), self.pool.status());
        result.inspect_err(|error| {
            span.record("error.type", error.kind.as_str()).record("otel.status_code", "ERROR");
            failed(operation, error.kind.as_str());
        })
    }

    async fn attempt<T>(&self, work: impl AsyncFnOnce(&mut Client) -> Result<T, Fault>) -> Result<T, Fault> {
        let client =
            timeout(self.config.acquire_timeout, self.pool.get()).await.map_err(|_| Fault::AcquireTimeout)??;
        let mut lent = Lent(Some(client));
        let Some(client) = lent.0.as_mut() else { unreachable!("lent until it is settled") };
        let result = timeout(self.config.operation_timeout, work(client)).await.map_err(|_| Fault::OperationTimeout)?;
        lent.settle();
        result
    }
}

/// Closes connections that nobody has used for so long, while the pool is used at all.
async fn close_idle(pool: WeakPool, idle_timeout: Duration) {
    let mut looks = tokio::time::interval(idle_timeout / 4);
    loop {
        looks.tick().await;
        let Some(pool) = pool.upgrade() else { return };
        pool.retain(|_, metrics| metrics.last_used() < idle_timeout);
    }
}

/// A span of the trace that asks for the operation, if one does; waiting for a connection is part of it.
fn traced(operation: &'static str) -> Span {
    // Where spans of traces are looked for.
    const TARGET: &str = "rally_traces";
    if Span::current().metadata().is_none_or(|about| about.target() != TARGET) {
        return Span::none();
    }
    tracing::trace_span!(
        target: TARGET,
        "postgres",
        otel.name = operation,
        otel.kind = "client",
        db.system.name = "postgresql",
        db.operation.name = operation,
        error.type = Empty,
        otel.status_code = Empty,
    )
}

/// A connection on loan. Unless the work on it came to an end, good or bad, it is closed instead of given back: it may
/// be waiting for an answer that never comes, or be in the middle of a transaction.
struct Lent(Option<Client>);

impl Lent {
    fn settle(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Client::take(client));
        }
    }
}

/// All rows of a statement, which is prepared once per connection.
pub(crate) async fn query(
    client: &impl GenericClient,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let statement = client.prepare_cached(sql).await?;
    client.query(&statement, params).await
}

/// At most one row of a statement, which is prepared once per connection.
pub(crate) async fn query_opt(
    client: &impl GenericClient,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Option<Row>, tokio_postgres::Error> {
    let statement = client.prepare_cached(sql).await?;
    client.query_opt(&statement, params).await
}

/// Runs a statement, which is prepared once per connection, and returns the number of rows it touched.
pub(crate) async fn execute(
    client: &impl GenericClient,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<u64, tokio_postgres::Error> {
    let statement = client.prepare_cached(sql).await?;
    client.execute(&statement, params).await
}
