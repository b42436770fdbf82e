//! `rally dev`: a whole cluster on this machine.
//!
//! Two edges and two workers, each a process of its own as in production, with a private Redis and Postgres where the
//! environment names none. All of it ends with this process, however that ends. Data survives in the data folder.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use futures_util::future::join_all;
use rally_service::{
    env::{Env, ProcessEnv, Strings as _, Unit, Var},
    local::{DirLock, Guarded, LocalPostgres, LocalRedis, LockError, PostgresOptions, RedisOptions, Signal, Spec},
    signal::Endings,
};
use rally_store::{Store, StoreConfig};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{admin_client, keys, servers::DatabaseConfig};

const DEV_PORT: Var =
    Var::new("RALLY_DEV_PORT", Unit::Count, "Port of the first edge; the second has the next one.").or("8080");
const DEV_ADMIN_PORT: Var = Var::new(
    "RALLY_DEV_ADMIN_PORT",
    Unit::Count,
    "First of four admin ports: of edge-1, edge-2, worker-1 and worker-2.",
)
.or("9101");

/// The variables of its own. All others are passed on to the nodes.
pub(crate) const VARS: &[Var] = &[DEV_PORT, DEV_ADMIN_PORT];

/// How long the nodes may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long the nodes may take to drain after Ctrl-C. A developer waits: nobody else plays here.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);
/// How long after its end a node is started again.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// Options of `rally dev`.
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Where data, keys and logs are kept.
    #[arg(long, default_value = ".rally", value_name = "DIR")]
    data_dir: PathBuf,
    /// Port of the first edge; the second has the next one.
    #[arg(long, env = DEV_PORT.name, default_value_t = 8080, value_name = "PORT")]
    port: u16,
    /// First of four admin ports.
    #[arg(long, env = DEV_ADMIN_PORT.name, default_value_t = 9101, value_name = "PORT")]
    admin_port: u16,
}

/// One node of the cluster.
struct DevNode {
    name: &'static str,
    role: &'static str,
    admin: SocketAddr,
    vars: Vec<(&'static str, String)>,
    log: PathBuf,
    process: Guarded,
}

/// Runs the cluster until Ctrl-C.
pub(crate) async fn run(args: DevArgs) -> anyhow::Result<()> {
    let mut endings = Endings::listen().context("cannot handle signals")?;
    let dir = make_private(&args.data_dir)?;
    let _lock = DirLock::take(&dir).map_err(|error| match error {
        LockError::Held { dir, holder } => anyhow!(
            "a cluster already runs on {} (process {holder}); stop that one, or choose another --data-dir",
            dir.display()
        ),
        other => other.into(),
    })?;
    let ports = Ports::check(args.port, args.admin_port)?;
    // Whatever is asked to end while it starts, ends: all that has been started is dropped.
    let mut cluster = tokio::select! {
        cluster = Cluster::start(&dir, &ports) => cluster?,
        _ = endings.next() => return Ok(()),
    };
    println!();
    println!("  Rally is up. Open both, and play yourself:");
    for port in ports.edges {
        println!("    http://localhost:{port}");
    }
    println!("  Admin ports {} to {}; logs in {}.", ports.admin[0], ports.admin[3], dir.join("log").display());
    println!("  Ctrl-C ends it; the data stays in {}.", dir.display());
    io::stdout().flush()?;

    let result = tokio::select! {
        result = cluster.watch() => result,
        _ = endings.next() => Ok(()),
    };
    println!("\n  Ending...");
    tokio::select! {
        () = cluster.end() => {}
        _ = endings.next() => println!("  At once."),
    }
    result
}

/// The ports of the nodes.
struct Ports {
    edges: [u16; 2],
    admin: [u16; 4],
}

impl Ports {
    /// Finds out before anything is started whether they can be had.
    fn check(first: u16, first_admin: u16) -> anyhow::Result<Self> {
        let too_high = |var: &Var| anyhow!("{} leaves no room for the ports that follow it", var.name);
        let last = first.checked_add(1).ok_or_else(|| too_high(&DEV_PORT))?;
        first_admin.checked_add(3).ok_or_else(|| too_high(&DEV_ADMIN_PORT))?;
        let ports = Self { edges: [first, last], admin: std::array::from_fn(|i| first_admin + i as u16) };
        let edges = ports.edges.map(|port| (port, Ipv4Addr::UNSPECIFIED, DEV_PORT));
        let admin = ports.admin.map(|port| (port, Ipv4Addr::LOCALHOST, DEV_ADMIN_PORT));
        for (port, ip, var) in edges.into_iter().chain(admin) {
            TcpListener::bind((ip, port))
                .map_err(|error| anyhow!("port {port} cannot be had ({error}); set {} to another", var.name))?;
        }
        Ok(ports)
    }
}

/// Everything that runs. Fields are dropped in order: nodes before what they use.
struct Cluster {
    nodes: Vec<DevNode>,
    redis: Option<LocalRedis>,
    postgres: Option<LocalPostgres>,
}

impl Cluster {
    async fn start(dir: &Path, ports: &Ports) -> anyhow::Result<Self> {
        let (redis_url, redis) = start_redis(dir).await?;
        let (database_url, postgres) = start_postgres(dir).await?;
        println!("  Bringing the database to this version...");
        let config = if postgres.is_some() {
            StoreConfig::new(database_url.clone())
        } else {
            // A given one may be reached over TLS.
            let strings = ProcessEnv;
            let mut env = Env::new(&strings);
            let config = DatabaseConfig::read(&mut env);
            env.finish(config)?.store()?
        };
        let store = Store::new(&config)?;
        store.migrate().await.context("cannot migrate the database")?;

        let cluster_keys = kept_key(dir, "cluster.key")?;
        let signing_keys = kept_key(dir, "signing.key")?;
        let common = [
            ("RALLY_REDIS_URL", redis_url.expose_secret().to_owned()),
            ("RALLY_DATABASE_URL", database_url.expose_secret().to_owned()),
            ("RALLY_CLUSTER_KEYS_FILE", cluster_keys.display().to_string()),
        ];
        let log_dir = make_private(&dir.join("log"))?;
        let mut nodes = Vec::new();
        for (i, (name, role)) in
            [("edge-1", "edge"), ("edge-2", "edge"), ("worker-1", "worker"), ("worker-2", "worker")]
                .into_iter()
                .enumerate()
        {
            let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.admin[i]));
            let mut vars = vec![("RALLY_NODE_NAME", name.to_owned()), ("RALLY_ADMIN_ADDR", admin.to_string())];
            vars.extend(common.iter().cloned());
            // A developer's choice outweighs what is said here.
            let mut default = |name: &'static str, value: String| {
                if !matches!(ProcessEnv.get(name), Ok(Some(_))) {
                    vars.push((name, value));
                }
            };
            default("RALLY_DRAIN_MS", DRAIN_WITHIN.as_millis().to_string());
            if let Some(port) = ports.edges.get(i) {
                // The page of either edge may open a socket to the other when its own is gone.
                let origins = ports.edges.map(|port| format!("http://localhost:{port},http://127.0.0.1:{port}"));
                default("RALLY_ALLOWED_ORIGINS", origins.join(","));
                // Cookies ignore ports: both edges share one, and another cluster on this machine has its own.
                default("RALLY_COOKIE_SUFFIX", format!("_{}", ports.edges[0]));
                vars.push(("RALLY_SIGNING_KEYS_FILE", signing_keys.display().to_string()));
                vars.push(("RALLY_HTTP_ADDR", format!("0.0.0.0:{port}")));
                vars.push(("RALLY_PUBLIC_URL", format!("http://localhost:{port}")));
            }
            let log = log_dir.join(format!("{name}.log"));
            let process = spawn(role, &vars, &log)?;
            nodes.push(DevNode { name, role, admin, vars, log, process });
        }
        let mut cluster = Self { nodes, redis, postgres };
        println!("  Waiting for the nodes...");
        cluster.become_ready().await?;
        Ok(cluster)
    }

    async fn become_ready(&mut self) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + READY_WITHIN;
        for node in &mut self.nodes {
            loop {
                if node.process.exit().is_some() {
                    bail!("{} has ended; it said: {}", node.name, last_lines(&node.log));
                }
                let unmet = match admin_client::ready(node.admin).await {
                    Ok(None) => break,
                    Ok(Some(unmet)) => unmet,
                    Err(error) => error.to_string(),
                };
                if tokio::time::Instant::now() > deadline {
                    bail!("{} is not ready: {unmet}; its log is {}", node.name, node.log.display());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// Starts nodes again that have ended, as an orchestrator would. Returns only when Redis or Postgres has ended.
    async fn watch(&mut self) -> anyhow::Result<()> {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            for node in &mut self.nodes {
                let Some(status) = node.process.exit() else { continue };
                println!("  {} has ended ({status}); starting it again. Its log is {}.", node.name, node.log.display());
                tokio::time::sleep(RESTART_AFTER).await;
                node.process = spawn(node.role, &node.vars, &node.log)?;
            }
            if self.redis.as_mut().is_some_and(|redis| !redis.is_running()) {
                bail!("Redis has ended");
            }
            if self.postgres.as_mut().is_some_and(|postgres| !postgres.is_running()) {
                bail!("Postgres has ended");
            }
        }
    }

    async fn end(&mut self) {
        // Edges and workers together, and one signal each: a second one would mean at once.
        let within = DRAIN_WITHIN + Duration::from_secs(5);
        join_all(self.nodes.iter_mut().map(|node| node.process.end(Signal::TERM, within))).await;
        if let Some(redis) = self.redis.take() {
            redis.stop().await;
        }
        if let Some(postgres) = self.postgres.take() {
            postgres.stop().await;
        }
    }
}

fn spawn(role: &str, vars: &[(&'static str, String)], log: &Path) -> anyhow::Result<Guarded> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let output = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(log)
        .with_context(|| format!("cannot write {}", log.display()))?;
    let mut spec = Spec::new(program).args([role]).output(output);
    for (name, value) in vars {
        spec = spec.var(name, value);
    }
    Ok(Guarded::spawn(spec)?)
}

async fn start_redis(dir: &Path) -> anyhow::Result<(SecretString, Option<LocalRedis>)> {
    if let Some(url) = given("RALLY_REDIS_URL")? {
        return Ok((url, None));
    }
    println!("  Starting a private Redis...");
    // Nothing in it is worth keeping: nodes put back what they need.
    let redis = LocalRedis::start(&RedisOptions::new(dir.join("redis"))).await?;
    Ok((redis.url(), Some(redis)))
}

async fn start_postgres(dir: &Path) -> anyhow::Result<(SecretString, Option<LocalPostgres>)> {
    if let Some(url) = given("RALLY_DATABASE_URL")? {
        return Ok((url, None));
    }
    println!("  Starting a private Postgres...");
    let postgres = LocalPostgres::start(&PostgresOptions::new(dir.join("postgres"))).await?;
    Ok((postgres.url(), Some(postgres)))
}

fn given(name: &str) -> anyhow::Result<Option<SecretString>> {
    let url = ProcessEnv.get(name).map_err(|fault| anyhow!("{name} {fault}"))?;
    Ok(url.map(SecretString::from))
}

/// A folder that only this user may enter.
fn make_private(dir: &Path) -> anyhow::Result<PathBuf> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.and_then(|()| dir.canonicalize()).with_context(|| format!("cannot make the folder {}", dir.display()))
}

/// The path of a key that is made at the first start and kept.
fn kept_key(dir: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let path = make_private(&dir.join("keys"))?.join(name);
    let write = |mut file: File| writeln!(file, "{}", keys::generate());
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).and_then(write) {
        Ok(()) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(path),
        Err(error) => Err(error).with_context(|| format!("cannot write {}", path.display())),
    }
}

fn last_lines(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(4)..].join("\n")
}
