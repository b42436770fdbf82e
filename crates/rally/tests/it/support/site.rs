//! Nodes of a cluster of one's own, each started as an orchestrator would: `rally edge`, `rally worker`.

use std::{path::PathBuf, process::ExitStatus, time::Duration};

use rally_client::EdgeUrl;
use rally_service::local::{Guarded, ScratchDir, Signal, free_port};
use rally_testkit::{Postgres, Redis, TestDb, eventually};
use tokio::sync::OnceCell;

use super::{
    LONG, SCORE_TO_WIN,
    http::get,
    process::{RALLY, Vars, guarded, run, said, vars},
};

/// A Redis, a database at the present version, and keys.
pub(crate) struct Site {
    pub(crate) redis: Redis,
    pub(crate) db: TestDb,
    pub(crate) cluster_key: String,
    pub(crate) signing_key: String,
    scratch: ScratchDir,
}

/// One node.
pub(crate) struct Node {
    process: Guarded,
    /// Of an edge; 0 otherwise.
    pub(crate) port: u16,
    pub(crate) admin: u16,
    pub(crate) log: PathBuf,
}

/// A database that has been migrated, to be copied.
static TEMPLATE: OnceCell<TestDb> = OnceCell::const_new();

/// A key as `rally keys` makes it.
pub(crate) fn new_key() -> String {
    let printed = said(&run(&["keys"], &Vars::new()));
    let key = printed.lines().find_map(|line| line.strip_prefix("RALLY_CLUSTER_KEYS="));
    key.unwrap_or_else(|| panic!("no key in {printed}")).to_owned()
}

impl Site {
    pub(crate) async fn start() -> Self {
        let postgres = Postgres::shared().await;
        let template = TEMPLATE
            .get_or_init(async || {
                let db = postgres.fresh_database().await;
                let migrated = run(&["migrate"], &vars([("RALLY_DATABASE_URL", db.url())]));
                assert!(migrated.status.success(), "{}", said(&migrated));
                db
            })
            .await;
        let redis = Redis::start().await;
        Self {
            redis,
            db: postgres.copy_of(template).await,
            cluster_key: new_key(),
            signing_key: new_key(),
            scratch: ScratchDir::new("site").unwrap(),
        }
    }

    /// What an operator has.
    pub(crate) fn vars(&self) -> Vars {
        vars([
            ("RALLY_REDIS_URL", self.redis.url_as("rally-operator")),
            ("RALLY_DATABASE_URL", self.db.url().to_owned()),
            ("RALLY_CLUSTER_KEYS", self.cluster_key.clone()),
        ])
    }

    /// An edge that is ready.
    pub(crate) async fn edge(&self, name: &str, more: &[(&'static str, &str)]) -> Node {
        let mut with = vars([("RALLY_SIGNING_KEYS", &self.signing_key)]);
        with.extend(vars(more.iter().copied()));
        self.node("edge", name, with).await
    }

    /// A worker that is ready.
    pub(crate) async fn worker(&self, name: &str, more: &[(&'static str, &str)]) -> Node {
        let mut with = vars([("RALLY_SCORE_TO_WIN", SCORE_TO_WIN)]);
        with.extend(vars(more.iter().copied()));
        self.node("worker", name, with).await
    }

    /// A worker that cannot become ready.
    pub(crate) fn refused(&self, more: &[(&'static str, &str)]) -> Waiting {
        let mut all = self.vars();
        all.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        all.extend(vars([("RALLY_NODE_NAME", "waiting"), ("RALLY_ADMIN_ADDR", "127.0.0.1:0")]));
        all.extend(vars(more.iter().copied()));
        let path = self.scratch.path().join("waiting.log");
        Waiting { _process: guarded(&[], RALLY, &["worker"], &all, &path, Signal::KILL), path }
    }

    async fn node(&self, role: &str, name: &str, more: Vars) -> Node {
        for attempt in 0..5 {
            let (port, admin) = (free_port().unwrap(), free_port().unwrap());
            let mut all = self.vars();
            // The last one counts: a node may do what its role needs.
            all.extend(vars([
                ("RALLY_REDIS_URL", self.redis.url_as(&format!("rally-{role}"))),
                ("RALLY_DATABASE_URL", self.db.url_as(&format!("rally_{role}"))),
                ("RALLY_NODE_NAME", name.to_owned()),
                ("RALLY_ADMIN_ADDR", format!("127.0.0.1:{admin}")),
            ]));
            if role == "edge" {
                all.extend(vars([
                    ("RALLY_HTTP_ADDR", format!("127.0.0.1:{port}")),
                    ("RALLY_PUBLIC_URL", format!("http://127.0.0.1:{port}")),
                ]));
            }
            all.extend(more.clone());
            let log = self.scratch.path().join(format!("{name}-{attempt}.log"));
            let mut process = guarded(&[], RALLY, &[role], &all, &log, Signal::KILL);
            if become_ready(&mut process, admin).await {
                return Node { process, port: if role == "edge" { port } else { 0 }, admin, log };
            }
            // A port may have been taken meanwhile.
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(said.contains("in use"), "{name} has ended: {said}");
        }
        panic!("no free ports");
    }
}

/// A node that is not expected to become ready.
pub(crate) struct Waiting {
    _process: Guarded,
    /// Where its log is.
    pub(crate) path: PathBuf,
}

/// False if it ends before.
async fn become_ready(process: &mut Guarded, admin: u16) -> bool {
    let started = std::time::Instant::now();
    while process.exit().is_none() {
        if get(admin, "/readyz").await.is_ok_and(|answer| answer.status == 200) {
            return true;
        }
        assert!(started.elapsed() < LONG, "not ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

impl Node {
    /// For the SDK.
    pub(crate) fn url(&self) -> EdgeUrl {
        format!("http://127.0.0.1:{}", self.port).parse().unwrap()
    }

    /// As an orchestrator ends it.
    pub(crate) fn terminate(&mut self) {
        self.process.signal(Signal::TERM);
    }

    /// As the kernel ends it when memory is short: without a word.
    pub(crate) fn kill(&mut self) {
        self.process.signal(Signal::KILL);
    }

    /// As when its machine stands still: it does not know.
    pub(crate) fn freeze(&mut self) {
        self.process.signal(Signal::STOP);
    }

    /// The machine goes on.
    pub(crate) fn thaw(&mut self) {
        self.process.signal(Signal::CONT);
    }

    /// How it ended.
    pub(crate) async fn ended(&mut self, within: Duration) -> ExitStatus {
        let process = std::cell::RefCell::new(&mut self.process);
        eventually(within, async || process.borrow_mut().exit().is_some()).await;
        self.process.exit().unwrap()
    }
}
