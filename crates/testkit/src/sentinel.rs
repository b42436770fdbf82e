//! A Redis with a replica, and three Sentinels that watch over it.

use std::{fs::File, time::Duration};

use rally_service::local::{Guarded, ScratchDir, Signal, Spec, find_redis, free_port};

use crate::{cluster::has_copied, eventually_ok, redis::Redis, redis::cli};

/// How the Sentinels call the master.
const SERVICE: &str = "rally";
const SENTINELS: usize = 3;
/// Silence after which a Sentinel takes the master for dead.
const DOWN_AFTER_MS: u32 = 1_000;

/// A master, a replica and three Sentinels on loopback, of which two must agree.
#[derive(Debug)]
pub struct RedisSentinel {
    // First, so that nobody writes into a folder that is removed.
    sentinels: Vec<(Guarded, u16, ScratchDir)>,
    master: Redis,
    replica: Redis,
}

impl RedisSentinel {
    /// Starts them; returns once the replica has its copy and every Sentinel knows all others.
    pub async fn start() -> Self {
        let (master, replica) = tokio::join!(Redis::start(), Redis::start());
        let port = master.port().to_string();
        replica.cli(&["REPLICAOF", "127.0.0.1", &port]).await;
        eventually_ok(Duration::from_secs(30), || has_copied(replica.port())).await;
        let mut sentinels = Vec::new();
        for _ in 0..SENTINELS {
            sentinels.push(start_sentinel(master.port()).await);
        }
        for (_, port, _) in &sentinels {
            eventually_ok(Duration::from_secs(30), || knows_all(*port)).await;
        }
        Self { sentinels, master, replica }
    }

    /// `redis-sentinel://...` naming all Sentinels, as fred reads it.
    pub fn url(&self) -> String {
        let others: Vec<String> =
            self.sentinels[1..].iter().map(|(_, port, _)| format!("node=127.0.0.1:{port}")).collect();
        let first = self.sentinels[0].1;
        format!("redis-sentinel://127.0.0.1:{first}?{}&sentinelServiceName={SERVICE}", others.join("&"))
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
        for (_, port, _) in &self.sentinels {
            let told = cli(*port, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE]).await;
            if !told.is_ok_and(|told| told.lines().nth(1) == Some(&wanted)) {
                return false;
            }
        }
        is_master
    }
}

async fn start_sentinel(master: u16) -> (Guarded, u16, ScratchDir) {
    let attempt = || async move {
        let port = free_port().map_err(|e| e.to_string())?;
        let dir = ScratchDir::new("sentinel").map_err(|e| e.to_string())?;
        let config = dir.path().join("sentinel.conf");
        let text = format!(
            "bind 127.0.0.1\nport {port}\ndaemonize no\ndir \"{}\"\nsentinel monitor {SERVICE} 127.0.0.1 {master} 2\n\
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
                if cli(port, &["PING"]).await.is_ok_and(|pong| pong == "PONG") {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            false
        };
        if tokio::time::timeout(Duration::from_secs(20), is_up).await == Ok(true) {
            Ok((process, port, dir))
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
