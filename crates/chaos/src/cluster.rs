//! A cluster of two edges and three workers on servers of its own, laid out for one fault.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rally_service::local::{ScratchDir, free_port};
use rally_testkit::{Postgres, Proxy, Redis, RedisCluster, RedisSentinel, TestDb};
use tokio::{process::Command, sync::Mutex};

use crate::{
    fault::Told,
    node::{Node, Role, Var},
};

/// Edges and workers of a cluster.
pub(crate) const EDGES: usize = 2;
pub(crate) const WORKERS: usize = 3;
/// How long a drain may take, as an orchestrator would have it.
pub(crate) const DRAIN_MS: u64 = 25_000;
/// How long a result may take from the end of a match.
const RECORDED_WITHIN: Duration = Duration::from_secs(20);
/// Ready nodes know each other after another look at the registry, every 250 ms.
const ACQUAINTED_AFTER: Duration = Duration::from_secs(1);
/// By how much the clock of the first edge and the first worker is ahead, where it is.
const SKEW: &str = "+10s";
/// Where distributions put the library that makes a process see another time.
const FAKETIME: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// How the Redis of a cluster is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RedisKind {
    Standalone,
    /// A master and a replica, watched by three Sentinels.
    Sentinel,
    /// Three masters with a replica each.
    Cluster,
}

/// A link that goes through a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// From the first worker to Redis.
    WorkerRedis,
    /// From the first edge to Redis.
    EdgeRedis,
    /// From the first edge to Postgres.
    EdgePostgres,
}

/// What a row needs of its cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) redis: RedisKind,
    pub(crate) proxied: Option<Link>,
    pub(crate) score_to_win: u8,
    /// Two nodes have a clock that is ahead.
    pub(crate) skewed: bool,
    /// The first node of each role runs the older version, where one is named.
    pub(crate) mixed: bool,
}

impl Layout {
    /// One Redis, no proxy, matches of the usual length.
    pub(crate) const PLAIN: Self =
        Self { redis: RedisKind::Standalone, proxied: None, score_to_win: 11, skewed: false, mixed: false };

    /// What this machine lacks for it.
    pub(crate) fn missing(&self) -> Option<String> {
        (self.skewed && faketime().is_none())
            .then(|| "libfaketime is not installed (`apt-get install faketime`)".into())
    }
}

fn faketime() -> Option<&'static str> {
    FAKETIME.iter().copied().find(|path| Path::new(path).exists())
}

/// What all clusters of a run share.
pub(crate) struct Backing {
    rally: PathBuf,
    older: Option<PathBuf>,
    /// Rows that restart it do so one after the other.
    pub(crate) postgres: Mutex<Postgres>,
    template: TestDb,
    cluster_key: String,
    signing_key: String,
    logs: Option<PathBuf>,
}

impl Backing {
    /// Starts Postgres and brings a database to the program's version.
    pub(crate) async fn start(rally: PathBuf, older: Option<PathBuf>, logs: Option<PathBuf>) -> anyhow::Result<Self> {
        let postgres = Postgres::start().await;
        let template = postgres.fresh_database().await;
        run(&rally, &["migrate"], &[("RALLY_DATABASE_URL", template.url().to_owned())]).await?;
        let (cluster_key, signing_key) = (new_key(&rally).await?, new_key(&rally).await?);
        Ok(Self { rally, older, postgres: Mutex::new(postgres), template, cluster_key, signing_key, logs })
    }
}

/// The Redis of a cluster.
pub(crate) enum Servers {
    Standalone(Redis),
    Sentinel(Box<RedisSentinel>),
    Cluster(Box<RedisCluster>),
}

/// A running cluster. Fields are dropped in order: nodes before what they use.
pub(crate) struct Cluster<'a> {
    pub(crate) nodes: Vec<Node>,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) servers: Servers,
    pub(crate) db: TestDb,
    pub(crate) backing: &'a Backing,
    logs: PathBuf,
    _scratch: ScratchDir,
}

impl<'a> Cluster<'a> {
    /// Starts one; returns once every node is ready.
    pub(crate) async fn start(backing: &'a Backing, name: &str, layout: Layout) -> anyhow::Result<Self> {
        let servers = match layout.redis {
            RedisKind::Standalone => Servers::Standalone(Redis::start().await),
            RedisKind::Sentinel => Servers::Sentinel(Box::new(RedisSentinel::start().await)),
            RedisKind::Cluster => Servers::Cluster(Box::new(RedisCluster::start_with_replicas().await)),
        };
        let redis_url = servers.url();
        let db = backing.postgres.lock().await.copy_of(&backing.template).await;
        let proxy = match layout.proxied {
            None => None,
            Some(Link::EdgePostgres) => Some(Proxy::start(backing.postgres.lock().await.port()).await),
            Some(Link::WorkerRedis | Link::EdgeRedis) => Some(Proxy::start(servers.port()?).await),
        };
        let scratch = ScratchDir::new("chaos")?;
        let logs = match &backing.logs {
            Some(logs) => logs.join(name),
            None => scratch.path().to_owned(),
        };
        std::fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
        let mut cluster = Self { nodes: Vec::new(), proxy, servers, db, backing, logs, _scratch: scratch };
        let roles = [(Role::Edge, EDGES), (Role::Worker, WORKERS)];
        for (role, i) in roles.into_iter().flat_map(|(role, n)| (0..n).map(move |i| (role, i))) {
            let mut redis = redis_url.clone();
            let mut database = cluster.db.url().to_owned();
            if let (Some(proxy), Some(link), 0) = (&cluster.proxy, layout.proxied, i) {
                match (link, role) {
                    (Link::WorkerRedis, Role::Worker) | (Link::EdgeRedis, Role::Edge) => redis = proxy.url(&redis),
                    (Link::EdgePostgres, Role::Edge) => database = on_loopback(proxy, &database),
                    _ => {}
                }
            }
            let mut vars = vec![("RALLY_REDIS_URL", redis), ("RALLY_DATABASE_URL", database)];
            if layout.skewed && i == 0 {
                let library = faketime().context("libfaketime is gone")?.to_owned();
                vars.extend([("LD_PRELOAD", library), ("FAKETIME", SKEW.to_owned())]);
                vars.push(("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()));
            }
            vars.push(("RALLY_SCORE_TO_WIN", layout.score_to_win.to_string()));
            let older = backing.older.as_ref().filter(|_| layout.mixed && i == 0);
            let program = older.unwrap_or(&backing.rally).clone();
            cluster.add(role, i, program, vars)?;
        }
        for node in &mut cluster.nodes {
            node.ready().await?;
        }
        tokio::time::sleep(ACQUAINTED_AFTER).await;
        Ok(cluster)
    }

    fn add(&mut self, role: Role, i: usize, program: PathBuf, mut vars: Vec<Var>) -> anyhow::Result<()> {
        let name = format!("{}-{}", role.command(), i + 1);
        let (port, admin) = (free_port()?, free_port()?);
        vars.extend([
            ("RALLY_NODE_NAME", name.clone()),
            ("RALLY_ADMIN_ADDR", format!("127.0.0.1:{admin}")),
            ("RALLY_CLUSTER_KEYS", self.backing.cluster_key.clone()),
            ("RALLY_DRAIN_MS", DRAIN_MS.to_string()),
        ]);
        if role == Role::Edge {
            // As a load test's players, ours all come from here.
            vars.extend([
                ("RALLY_HTTP_ADDR", format!("127.0.0.1:{port}")),
                ("RALLY_PUBLIC_URL", format!("http://127.0.0.1:{port}")),
                ("RALLY_SIGNING_KEYS", self.backing.signing_key.clone()),
                ("RALLY_LIMIT_EXEMPT", "127.0.0.0/8".to_owned()),
            ]);
        }
        let port = if role == Role::Edge { port } else { 0 };
        self.nodes.push(Node::start(name, role, (port, admin), program, vars, &self.logs)?);
        Ok(())
    }

    /// Where players connect.
    pub(crate) fn edge_urls(&self) -> Vec<String> {
        let edges = self.nodes.iter().filter(|node| node.role == Role::Edge);
        edges.map(|edge| format!("http://127.0.0.1:{}", edge.port)).collect()
    }

    /// The first node of a role.
    pub(crate) fn first(&mut self, role: Role) -> anyhow::Result<&mut Node> {
        self.nodes.iter_mut().find(|node| node.role == role).context("no such node")
    }

    /// The program that nodes are replaced with.
    pub(crate) fn rally(&self) -> &'a Path {
        &self.backing.rally
    }

    /// A standalone Redis.
    pub(crate) fn redis(&mut self) -> anyhow::Result<&mut Redis> {
        match &mut self.servers {
            Servers::Standalone(redis) => Ok(redis),
            _ => bail!("this cluster has no single Redis"),
        }
    }

    /// The proxy before the chosen link.
    pub(crate) fn proxy(&self) -> anyhow::Result<&Proxy> {
        self.proxy.as_ref().context("this cluster has no proxy")
    }

    /// Runs `rally COMMAND` against this Redis; its exit and all it said.
    pub(crate) async fn try_worker(&self, redis_url: &str) -> anyhow::Result<(bool, String)> {
        let admin = free_port()?;
        let vars = [
            ("RALLY_REDIS_URL", redis_url.to_owned()),
            ("RALLY_DATABASE_URL", self.db.url().to_owned()),
            ("RALLY_CLUSTER_KEYS", self.backing.cluster_key.clone()),
            ("RALLY_NODE_NAME", "worker-extra".to_owned()),
            ("RALLY_ADMIN_ADDR", format!("127.0.0.1:{admin}")),
        ];
        output(&self.backing.rally, &["worker"], &vars).await
    }

    /// Waits until the matches that were played are recorded, and plays each again. What is not as it should be.
    pub(crate) async fn verify_replays(&self, told: &mut Told) -> anyhow::Result<()> {
        let client = self.db.connect().await;
        let began = Instant::now();
        loop {
            let row = client.query_one("SELECT count(*) FROM matches WHERE ended_at IS NULL", &[]).await?;
            let unfinished: i64 = row.get(0);
            if unfinished == 0 {
                break;
            }
            if began.elapsed() > RECORDED_WITHIN {
                told.shortfalls.push(format!("{unfinished} results are not recorded after {RECORDED_WITHIN:?}"));
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let vars = [("RALLY_DATABASE_URL", self.db.url().to_owned())];
        let (succeeded, said) = output(&self.backing.rally, &["replay", "verify", "--all"], &vars).await?;
        match said.lines().find(|line| line.ends_with("not true")) {
            Some(summary) if succeeded => told.notes.push(format!("replays: {summary}")),
            _ => told.shortfalls.push(format!("replays: {said}")),
        }
        Ok(())
    }

    /// Nodes whose log speaks of a panic.
    pub(crate) fn panics(&self) -> Vec<String> {
        let mut found = Vec::new();
        for node in &self.nodes {
            let logged = node.logged();
            if let Some(line) = logged.lines().find(|line| line.contains("panicked")) {
                found.push(format!("{} has panicked: {line}", node.name));
            }
        }
        found
    }
}

impl Servers {
    fn url(&self) -> String {
        match self {
            Self::Standalone(redis) => redis.url(),
            Self::Sentinel(sentinel) => sentinel.url(),
            Self::Cluster(cluster) => cluster.url(),
        }
    }

    fn port(&self) -> anyhow::Result<u16> {
        match self {
            Self::Standalone(redis) => Ok(redis.port()),
            _ => bail!("only a single Redis can be behind a proxy"),
        }
    }
}

/// A database's URL through a proxy, which knows the address by its number.
fn on_loopback(proxy: &Proxy, url: &str) -> String {
    proxy.url(&url.replace("@localhost:", "@127.0.0.1:"))
}

async fn new_key(rally: &Path) -> anyhow::Result<String> {
    let printed = run(rally, &["keys"], &[]).await?;
    let key = printed.lines().find_map(|line| line.strip_prefix("RALLY_CLUSTER_KEYS="));
    key.map(str::to_owned).with_context(|| format!("no key in {printed}"))
}

async fn run(rally: &Path, args: &[&str], vars: &[Var]) -> anyhow::Result<String> {
    let (succeeded, said) = output(rally, args, vars).await?;
    if !succeeded {
        bail!("{} {}: {said}", rally.display(), args.join(" "));
    }
    Ok(said)
}

async fn output(rally: &Path, args: &[&str], vars: &[Var]) -> anyhow::Result<(bool, String)> {
    let out = Command::new(rally)
        .args(args)
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap_or_default())
        .envs(vars.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("cannot run {}", rally.display()))?;
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    Ok((out.status.success(), said))
}
