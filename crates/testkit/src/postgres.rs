//! Postgres, one server for all tests of a process, and a database for each test.

use std::sync::atomic::{AtomicU32, Ordering};

use rally_service::local::{LocalPostgres, PostgresOptions, ScratchDir};
use secrecy::ExposeSecret as _;
use tokio::sync::OnceCell;
use tokio_postgres::NoTls;

use crate::Certificate;

/// A server without fsync, whose only user needs no password.
#[derive(Debug)]
pub struct Postgres {
    // First, so that the server ends before its folder is removed.
    server: Option<LocalPostgres>,
    options: PostgresOptions,
    databases: AtomicU32,
    _dir: ScratchDir,
}

/// A database that nobody else uses. It goes with its server.
#[derive(Clone, Debug)]
pub struct TestDb {
    url: String,
    name: String,
}

impl TestDb {
    /// `postgres://…/NAME`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same for one of the roles of `deploy/postgres/roles.sql`, which `rally migrate` has granted what it needs.
    pub fn url_as(&self, role: &str) -> String {
        self.url.replacen("://rally@", &format!("://{role}@"), 1)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A connection, driven by a task of the current runtime.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn connect(&self) -> tokio_postgres::Client {
        connect(&self.url).await
    }
}

static SHARED: OnceCell<Postgres> = OnceCell::const_new();

impl Postgres {
    /// The server that all tests of this process share, started by the first.
    pub async fn shared() -> &'static Self {
        SHARED.get_or_init(Self::start).await
    }

    /// A server of one's own: for tests that stop it.
    pub async fn start() -> Self {
        Self::start_as(None).await
    }

    /// The same, speaking TLS to who asks for it.
    pub async fn start_with_tls(certificate: &Certificate) -> Self {
        Self::start_as(Some(certificate)).await
    }

    async fn start_as(certificate: Option<&Certificate>) -> Self {
        let dir = ScratchDir::new("postgres").unwrap_or_else(|e| panic!("cannot make a folder for Postgres: {e}"));
        let mut options = PostgresOptions::new(dir.path().join("postgres"));
        options.durable = false;
        options.tls = certificate.map(|each| (each.pem().to_owned(), each.key_pem().to_owned().into()));
        let server = LocalPostgres::start(&options).await.unwrap_or_else(|e| panic!("{e}"));
        options.port = Some(server.port());
        let roles = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/postgres/roles.sql");
        let roles = std::fs::read_to_string(roles).unwrap_or_else(|e| panic!("{roles}: {e}"));
        let client = connect(server.url().expose_secret()).await;
        client.batch_execute(&roles).await.unwrap_or_else(|e| panic!("the roles: {e}"));
        Self { server: Some(server), options, databases: AtomicU32::new(0), _dir: dir }
    }

    /// Its port of 127.0.0.1; stays the same over a restart.
    pub fn port(&self) -> u16 {
        self.options.port.unwrap_or_default()
    }

    /// Its process.
    ///
    /// # Panics
    /// When it was stopped.
    pub fn pid(&self) -> u32 {
        self.running().pid()
    }

    /// An empty database.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn fresh_database(&self) -> TestDb {
        self.create("template1").await
    }

    /// A copy of a database that nobody is connected to: cheaper than to migrate again.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn copy_of(&self, template: &TestDb) -> TestDb {
        self.create(&template.name).await
    }

    async fn create(&self, template: &str) -> TestDb {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let client = connect(self.running().url().expose_secret()).await;
        // Copying files is quicker than logging each page, where the template is small and nothing needs the log.
        let mut sql = format!("CREATE DATABASE {name} TEMPLATE {template}");
        let version: String =
            client.query_one("SHOW server_version_num", &[]).await.unwrap_or_else(|e| panic!("{e}")).get(0);
        if version.parse::<u32>().is_ok_and(|v| v >= 150_000) {
            sql.push_str(" STRATEGY file_copy");
        }
        client.batch_execute(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        TestDb { url: self.running().url_of(&name).expose_secret().to_owned(), name }
    }

    /// Ends the server; sessions are cut.
    pub async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }

    /// Starts it again, on the same port and data.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn restart(&mut self) {
        self.stop().await;
        let within = std::time::Duration::from_secs(30);
        self.server = Some(crate::eventually_ok(within, || LocalPostgres::start(&self.options)).await);
    }

    fn running(&self) -> &LocalPostgres {
        self.server.as_ref().unwrap_or_else(|| panic!("Postgres is stopped"))
    }
}

async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap_or_else(|e| panic!("{e}"));
    tokio::spawn(connection);
    client
}
