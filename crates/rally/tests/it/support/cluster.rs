//! The `rally dev` that most tests share.

use std::{path::PathBuf, time::Duration};

use rally_client::EdgeUrl;
use rally_service::local::{Guarded, ScratchDir};
use rally_testkit::{Postgres, Redis, TestDb};
use rustix::process::Signal;
use tokio::sync::OnceCell;

use super::{
    SCORE_TO_WIN,
    process::{RALLY, free_ports, guarded, vars},
};

/// Two edges and two workers, on a Redis and a database that tests may look into.
pub(crate) struct Cluster {
    pub(crate) redis: Redis,
    pub(crate) db: TestDb,
    pub(crate) edges: [Edge; 2],
    /// Admin ports of the workers.
    pub(crate) workers: [u16; 2],
    pub(crate) dir: PathBuf,
    _dev: Guarded,
    _scratch: ScratchDir,
}

/// Where an edge is.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    pub(crate) admin: u16,
}

impl Edge {
    /// For the SDK.
    pub(crate) fn url(&self) -> EdgeUrl {
        // As it names itself in `welcome`, so that the SDK knows it again.
        format!("http://localhost:{}", self.port).parse().unwrap()
    }
}

impl Cluster {
    async fn start() -> Self {
        let (redis, postgres) = tokio::join!(Redis::start(), Postgres::shared());
        let db = postgres.fresh_database().await;
        let scratch = ScratchDir::new("e2e").unwrap();
        let dir = scratch.path().join("data");
        let log = scratch.path().join("dev.log");
        for _ in 0..5 {
            let (port, admin) = (free_ports(2), free_ports(4));
            let vars = vars([
                ("RALLY_REDIS_URL", redis.url()),
                ("RALLY_DATABASE_URL", db.url().to_owned()),
                ("RALLY_DEV_PORT", port.to_string()),
                ("RALLY_DEV_ADMIN_PORT", admin.to_string()),
                ("RALLY_SCORE_TO_WIN", SCORE_TO_WIN.to_string()),
                ("RALLY_LIMIT_EXEMPT", "127.0.0.0/8".to_owned()),
            ]);
            let args = ["dev", "--data-dir", dir.to_str().unwrap()];
            let mut dev = guarded(&[], RALLY, &args, &vars, &log, Signal::KILL);
            if let Err(said) = is_up(&mut dev, &log).await {
                // Somebody was quicker to take a port.
                assert!(said.contains("cannot be had"), "{said}");
                continue;
            }
            let edge = |i: u16, name| Edge { name, port: port + i, admin: admin + i };
            let edges = [edge(0, "edge-1"), edge(1, "edge-2")];
            return Self { redis, db, edges, workers: [admin + 2, admin + 3], dir, _dev: dev, _scratch: scratch };
        }
        panic!("no free ports");
    }
}

/// Waits until a `rally dev` says that it is up; the error is what it said before it ended.
pub(crate) async fn is_up(dev: &mut Guarded, log: &std::path::Path) -> Result<(), String> {
    let started = std::time::Instant::now();
    loop {
        let said = std::fs::read_to_string(log).unwrap_or_default();
        if said.contains("Ctrl-C ends it") {
            return Ok(());
        }
        if dev.exit().is_some() {
            return Err(said);
        }
        assert!(started.elapsed() < Duration::from_secs(120), "not up: {said}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

static SHARED: OnceCell<Cluster> = OnceCell::const_new();

/// The cluster that tests share. It ends with the process.
pub(crate) async fn shared() -> &'static Cluster {
    SHARED.get_or_init(Cluster::start).await
}
