//! What is done to a cluster while it plays, and what must be true of it afterwards.

use std::time::{Duration, Instant};

use anyhow::bail;
use rally_service::local::Signal;
use rally_testkit::{Redis, Way};
use tokio::time::{sleep, timeout};

use crate::{
    cluster::{Cluster, DRAIN_MS, Servers, WORKERS},
    node::Role,
};

/// How long the phases of a row last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pace {
    /// Play before the fault.
    before: Duration,
    /// Play after it, for everything to come back.
    after: Duration,
    /// A stall of Redis, a cut of a link.
    stall: Duration,
    /// Postgres is away.
    away: Duration,
    /// What a limit in ms is multiplied by, and what is then added to it.
    pub(crate) slack: (f64, f64),
}

impl Pace {
    /// The promises as they are written.
    pub(crate) const FULL: Self = Self {
        before: Duration::from_secs(2),
        after: Duration::from_secs(10),
        stall: Duration::from_secs(5),
        away: Duration::from_secs(30),
        slack: (1.0, 0.0),
    };
    /// For machines that do other things meanwhile.
    pub(crate) const SHORT: Self = Self {
        before: Duration::from_secs(1),
        after: Duration::from_secs(5),
        stall: Duration::from_secs(2),
        away: Duration::from_secs(5),
        slack: (3.0, 1_000.0),
    };
}

/// How long a killed or forgotten thing may take to be told by all.
const TOLD_WITHIN: Duration = Duration::from_secs(10);
/// Longer than a lease (1 s) and than anybody waits before taking over.
const FROZEN_FOR: Duration = Duration::from_secs(4);
/// How long a failover of Redis may take.
const FAILOVER_WITHIN: Duration = Duration::from_secs(30);
/// Between two nodes that are replaced.
const ROLL_PAUSE: Duration = Duration::from_secs(2);

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    WorkerDrain,
    WorkerKill,
    WorkerFreeze,
    EdgeDrain,
    EdgeKill,
    RedisRestart,
    RedisFlush,
    RedisStall,
    RedisFailover,
    RedisFull,
    RedisEvicts,
    PostgresRestart,
    PostgresAway,
    LinkCut(Way),
    LinkFar,
    LinkStutters,
    Rolling,
    /// Only what the layout says.
    Nothing,
}

/// What was seen besides the players' figures.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// How long a server was away.
    pub(crate) outage: Duration,
    /// What is worth knowing.
    pub(crate) notes: Vec<String>,
    /// What must not be.
    pub(crate) shortfalls: Vec<String>,
}

impl Told {
    fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    fn short(&mut self, shortfall: impl Into<String>) {
        self.shortfalls.push(shortfall.into());
    }
}

impl Fault {
    /// Inflicts it on a cluster in which so many matches play, and waits until all should be well again.
    pub(crate) async fn inflict(self, cluster: &mut Cluster<'_>, pace: Pace, matches: usize) -> Told {
        sleep(pace.before).await;
        let mut told = Told::default();
        if let Err(error) = self.happen(cluster, pace, &mut told).await {
            told.short(format!("{error:#}"));
        }
        sleep(pace.after).await;
        if let Err(error) = afterwards(cluster, self, matches, &mut told).await {
            told.short(format!("{error:#}"));
        }
        told
    }

    async fn happen(self, cluster: &mut Cluster<'_>, pace: Pace, told: &mut Told) -> anyhow::Result<()> {
        match self {
            Self::WorkerDrain => drain(cluster, Role::Worker, told).await?,
            Self::EdgeDrain => drain(cluster, Role::Edge, told).await?,
            Self::WorkerKill => cluster.first(Role::Worker)?.kill().await,
            Self::EdgeKill => cluster.first(Role::Edge)?.kill().await,
            Self::WorkerFreeze => {
                let worker = cluster.first(Role::Worker)?;
                worker.signal(Signal::STOP);
                sleep(FROZEN_FOR).await;
                worker.signal(Signal::CONT);
            }
            Self::RedisRestart => {
                let began = Instant::now();
                cluster.redis()?.restart().await;
                told.outage = began.elapsed();
            }
            Self::RedisFlush => drop(cluster.redis()?.cli(&["FLUSHALL"]).await),
            Self::RedisStall => {
                let redis = cluster.redis()?;
                redis.pause();
                sleep(pace.stall).await;
                redis.resume();
                told.outage = pace.stall;
            }
            Self::RedisFull => {
                let redis = cluster.redis()?;
                redis.cli(&["CONFIG", "SET", "maxmemory", "1"]).await;
                sleep(pace.stall).await;
                redis.cli(&["CONFIG", "SET", "maxmemory", "0"]).await;
                told.outage = pace.stall;
            }
            Self::RedisFailover => failover(cluster, told).await?,
            Self::RedisEvicts => {
                let evicting = Redis::start_with(&[("maxmemory", "64mb"), ("maxmemory-policy", "allkeys-lru")]).await;
                let (started, said) = timeout(TOLD_WITHIN, cluster.try_worker(&evicting.url())).await??;
                if started {
                    told.short("a worker has run on a Redis that evicts");
                }
                if !said.contains("maxmemory-policy") {
                    told.short(format!("it did not say why it ended: {said}"));
                }
            }
            Self::PostgresRestart => {
                let began = Instant::now();
                cluster.backing.postgres.lock().await.restart().await;
                told.note(format!("away for {:.1} s", began.elapsed().as_secs_f64()));
            }
            Self::PostgresAway => {
                let mut postgres = cluster.backing.postgres.lock().await;
                postgres.stop().await;
                sleep(pace.away).await;
                postgres.restart().await;
            }
            Self::LinkCut(way) => {
                let proxy = cluster.proxy()?;
                proxy.cut(way);
                sleep(pace.stall).await;
                proxy.heal();
                told.outage = pace.stall;
            }
            Self::LinkFar => {
                let proxy = cluster.proxy()?;
                proxy.delay(Duration::from_millis(100));
                sleep(pace.stall).await;
                proxy.heal();
            }
            Self::LinkStutters => {
                let proxy = cluster.proxy()?;
                proxy.stutter(5, Duration::from_millis(200));
                sleep(pace.stall).await;
                proxy.heal();
            }
            Self::Rolling => {
                let program = cluster.rally();
                for node in &mut cluster.nodes {
                    let (status, took) = node.drain(Duration::from_millis(DRAIN_MS) + TOLD_WITHIN).await?;
                    if !status.success() {
                        told.short(format!("{} ended with {status}", node.name));
                    }
                    told.note(format!("{} {:.1} s", node.name, took.as_secs_f64()));
                    node.restart(Some(program)).await?;
                    sleep(ROLL_PAUSE).await;
                }
            }
            Self::Nothing => {}
        }
        Ok(())
    }

    /// Whether matches end meanwhile, so that their number is nobody's.
    const fn ends_matches(self) -> bool {
        matches!(self, Self::PostgresAway)
    }
}

async fn drain(cluster: &mut Cluster<'_>, role: Role, told: &mut Told) -> anyhow::Result<()> {
    let node = cluster.first(role)?;
    let (status, took) = node.drain(Duration::from_millis(DRAIN_MS) + TOLD_WITHIN).await?;
    if !status.success() {
        told.short(format!("{} ended with {status}", node.name));
    }
    told.note(format!("{} ended after {:.1} s", node.name, took.as_secs_f64()));
    Ok(())
}

async fn failover(cluster: &mut Cluster<'_>, told: &mut Told) -> anyhow::Result<()> {
    let began = Instant::now();
    match &mut cluster.servers {
        Servers::Sentinel(sentinel) => sentinel.kill_master().await,
        Servers::Cluster(redis) => redis.kill_master(0).await,
        Servers::Standalone(_) => bail!("a single Redis has nobody to take over"),
    }
    let servers = &cluster.servers;
    let wait = async {
        loop {
            let done = match servers {
                Servers::Sentinel(sentinel) => sentinel.has_taken_over().await,
                Servers::Cluster(redis) => redis.has_taken_over(0).await,
                Servers::Standalone(_) => false,
            };
            if done {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(FAILOVER_WITHIN, wait).await?;
    told.outage = began.elapsed();
    told.note(format!("failover took {:.1} s", told.outage.as_secs_f64()));
    Ok(())
}

/// What is true whatever happened: every match has one host, every player one seat, every result is recorded.
async fn afterwards(cluster: &mut Cluster<'_>, fault: Fault, matches: usize, told: &mut Told) -> anyhow::Result<()> {
    let client = cluster.db.connect().await;
    let count = async |sql: &str| -> anyhow::Result<i64> {
        let row = timeout(TOLD_WITHIN, client.query_one(sql, &[])).await??;
        Ok(row.get(0))
    };
    if fault.ends_matches() {
        let ended = count("SELECT count(*) FROM matches WHERE reason = 'score'").await?;
        told.note(format!("{ended} results recorded"));
        if ended == 0 {
            told.short("no match ended, so nothing was shown");
        }
        let void = count("SELECT count(*) FROM matches WHERE reason = 'abandoned'").await?;
        if void > 0 {
            told.short(format!("{void} matches were void"));
        }
        return Ok(());
    }
    let began = Instant::now();
    loop {
        let (mut hosted, mut hosts) = (0.0, 0);
        for worker in cluster.nodes.iter_mut().filter(|node| node.role == Role::Worker) {
            if worker.is_running() {
                hosts += 1;
                hosted += worker.metric("rally_worker_matches").await?;
            }
        }
        let seats = count("SELECT count(*) FROM active_seats").await?;
        if hosted == matches as f64 && seats == 2 * matches as i64 {
            return Ok(());
        }
        if began.elapsed() > TOLD_WITHIN {
            told.short(format!(
                "{hosted} matches are hosted by {hosts} of {WORKERS} workers and {seats} seats taken; {matches} matches play"
            ));
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
}
