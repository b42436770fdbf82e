//! A Redis with a replica, and three Sentinels that watch over it.

use std::{fs::File, time::Duration};

use rally_service::local::{Guarded, ScratchDir, Signal, Spec, find_redis, free_port};

use crate::{Authority, Certificate, cluster::has_copied, eventually_ok, redis::Redis, redis::cli};

/// How the Sentinels call the master.
const SERVICE: &str = "rally";
const SENTINELS: usize = 3;
/// Silence after which a Sentinel takes the master for dead.
const DOWN_AFTER_MS: u32 = 1_000;

/// A master, a replica and three Sentinels on loopback, of which two must agree.
#[derive(Debug)]
pub struct RedisSentinel {
    // First, so that nobody writes into a folder that is removed.
    sentinels: Vec<Sentinel>,
    master: Redis,
    replica: Redis,
}

impl RedisSentinel {
    /// Starts them; returns once the replica has its copy and every Sentinel knows all others.
    pub async fn start() -> Self {
        let (master, replica) = tokio::join!(Redis::start(), Redis::start());
        let port = master.port();
        Self::watch(master, replica, port, "").await
    }

    /// The same, all of whom speak TLS with each other and with clients.
    pub async fn start_with_tls(authority: &Authority, certificate: &Certificate) -> Self {
        let start = || Redis::start_with_tls(authority, certificate, &[("tls-replication", "yes")]);
        let (master, replica) = tokio::join!(start(), start());
        let port = master.tls_port();
        let (cert, key, ca) = (certificate.file(), certificate.key_file(), authority.file());
        let settings = format!(
            "tls-cert-file \"{}\"\ntls-key-file \"{}\"\ntls-ca-cert-file \"{}\"\ntls-auth-clients no\ntls-replication yes\n",
            cert.display(),
            key.display(),
            ca.display()
        );
        Self::watch(master, replica, port, &settings).await
    }

    async fn watch(master: Redis, replica: Redis, port: u16, settings: &str) -> Self {
        let text = port.to_string();
        replica.cli(&["REPLICAOF", "127.0.0.1", &text]).await;
        eventually_ok(Duration::from_secs(30), || has_copied(replica.port())).await;
        let mut sentinels = Vec::new();
        for _ in 0..SENTINELS {
            sentinels.push(start_sentinel(port, settings).await);
        }
        for sentinel in &sentinels {
            eventually_ok(Duration::from_secs(30), || knows_all(sentinel.plain)).await;
        }
        Self { sentinels, master, replica }
    }

    /// `redis-sentinel://...` naming all Sentinels, as fred reads it.
    pub fn url(&self) -> String {
        let others: Vec<String> =
            self.sentinels[1..].iter().map(|each| format!("node=127.0.0.1:{}", each.port)).collect();
        let first = self.sentinels[0].port;
        format!("redis-sentinel://127.0.0.1:{first}?{}&sentinelServiceName={SERVICE}", others.join("&"))
    }

    /// The same over TLS, for those that were started with it.
    pub fn tls_url(&self) -> String {
        self.url().replacen("redis", "rediss", 1)
    }

    /// The master of the beginning.
    pub fn master(&self) -> &Redis {
        &self.master
    }

    /// Kills the master for good: the replica takes over after a while.
    pub async fn kill_master(&mut self) {
        self.master.kill().await;
    }

    /// Whether the replica is the master now, by its own word and by that of every Sentinel.
    pub async fn has_taken_over(&self) -> bool {
        let is_master = cli(self.replica.port(), &["ROLE"]).await.is_ok_and(|role| role.starts_with("master"));
        let wanted = self.replica.port().to_string();
        for sentinel in &self.sentinels {
            let told = cli(sentinel.plain, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE]).await;
            if !told.is_ok_and(|told| told.lines().nth(1) == Some(&wanted)) {
                return false;
            }
        }
        is_master
    }
}

/// One of them.
#[derive(Debug)]
struct Sentinel {
    _process: Guarded,
    /// By which clients know it.
    port: u16,
    /// Where it is asked plainly.
    plain: u16,
    _dir: ScratchDir,
}

async fn start_sentinel(master: u16, settings: &str) -> Sentinel {
    let attempt = async || {
        let port = free_port().map_err(|e| e.to_string())?;
        let dir = ScratchDir::new("sentinel").map_err(|e| e.to_string())?;
        let config = dir.path().join("sentinel.conf");
        // With TLS it speaks so at the port by which it is known, and plainly at another, for the test itself.
        let plain = if settings.is_empty() { port } else { free_port().map_err(|e| e.to_string())? };
        let tls = if settings.is_empty() { String::new() } else { format!("tls-port {port}\n{settings}") };
        let text = format!(
            "bind 127.0.0.1\nport {plain}\n{tls}daemonize no\ndir \"{}\"\nsentinel monitor {SERVICE} 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\nsentinel failover-timeout {SERVICE} 3000\n",
            dir.path().display()
        );
        std::fs::write(&config, text).map_err(|e| e.to_string())?;
        let log = File::create(dir.path().join("sentinel.log")).map_err(|e| e.to_string())?;
        let program = find_redis().map_err(|e| e.to_string())?;
        let spec = Spec::new(program).args([config.as_os_str(), "--sentinel".as_ref()]).output(log);
        let mut process = Guarded::spawn(spec.cwd(dir.path()).last_signal(Signal::KILL)).map_err(|e| e.to_string())?;
        let is_up = async {
            // A port that somebody was quicker to take ends it.
            while process.exit().is_none() {
                if cli(plain, &["PING"]).await.is_ok_and(|pong| pong == "PONG") {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            false
        };
        if tokio::time::timeout(Duration::from_secs(20), is_up).await == Ok(true) {
            Ok(Sentinel { _process: process, port, plain, _dir: dir })
        } else {
            Err(format!("no Sentinel on port {port}"))
        }
    };
    eventually_ok(Duration::from_secs(60), attempt).await
}

async fn knows_all(port: u16) -> Result<(), String> {
    let told = cli(port, &["SENTINEL", "MASTER", SERVICE]).await?;
    let lines: Vec<&str> = told.lines().map(str::trim).collect();
    let value = |name: &str| lines.iter().position(|line| *line == name).and_then(|at| lines.get(at + 1)).copied();
    let others = (SENTINELS - 1).to_string();
    let is_whole = value("num-other-sentinels") == Some(&others) && value("num-slaves") == Some("1");
    if is_whole { Ok(()) } else { Err(format!("incomplete: {told}")) }
}
