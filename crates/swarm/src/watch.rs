//! The cluster under test during a window: CPU and memory of its processes, messages of its Redis.

use serde::Serialize;

use crate::{
    cli::{NodesFrom, WatchArgs},
    nodes::{self, Node, Role, Usage},
    redis_info::{self, RedisCounts},
};

/// What one process used during the window.
#[derive(Clone, Debug, Serialize)]
pub struct NodeReport {
    /// What it is called.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Its process id.
    pub pid: i32,
    /// User and system time, in seconds; none if it ended meanwhile.
    pub cpu_s: Option<f64>,
    /// The same as a part of one core, in percent.
    pub cpu_percent: Option<f64>,
    /// Resident memory at the beginning, in KiB.
    pub rss_before_kib: u64,
    /// Resident memory at the end, in KiB.
    pub rss_after_kib: Option<u64>,
}

/// What Redis did during the window.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RedisReport {
    /// Messages published per second.
    pub publishes_per_s: f64,
    /// Commands of any kind per second, `publish` among them.
    pub commands_per_s: f64,
}

/// The cluster under test.
#[derive(Debug)]
pub(crate) struct Watch {
    nodes: Vec<Node>,
    redis_url: Option<String>,
}

/// How it stood at one moment.
#[derive(Debug)]
pub(crate) struct Sample {
    usages: Vec<Option<Usage>>,
    redis: Option<RedisCounts>,
}

impl Watch {
    pub(crate) fn new(args: &WatchArgs) -> anyhow::Result<Self> {
        let nodes = match (&args.pids, args.nodes) {
            (pids, _) if !pids.is_empty() => pids.clone(),
            (_, NodesFrom::Auto) => nodes::find(args.under)?,
            (_, NodesFrom::None) => Vec::new(),
        };
        // A variable of our own environment must not outweigh what a cluster that was pointed at says of itself.
        let told = || {
            let ours = nodes.iter().filter(|node| matches!(node.role, Role::Edge | Role::Worker));
            ours.map(|node| nodes::environment(node.pid, "RALLY_REDIS_URL")).find(Option::is_some).flatten()
        };
        let redis_url =
            if args.under.is_some() { told().or(args.redis_url.clone()) } else { args.redis_url.clone().or_else(told) };
        Ok(Self { nodes, redis_url })
    }

    /// Blocks for some milliseconds.
    pub(crate) fn sample(&self) -> Sample {
        let redis = self.redis_url.as_ref().and_then(|url| {
            redis_info::counts(url).inspect_err(|error| eprintln!("Redis is not counted: {error:#}")).ok()
        });
        Sample { usages: self.nodes.iter().map(Node::usage).collect(), redis }
    }

    /// What happened between two samples.
    pub(crate) fn nodes(&self, before: &Sample, after: &Sample, window_s: f64) -> Vec<NodeReport> {
        let between = before.usages.iter().zip(&after.usages);
        let reports = self.nodes.iter().zip(between).filter_map(|(node, (before, after))| {
            let before = (*before)?;
            let cpu_s = after.map(|after| after.cpu_s - before.cpu_s);
            Some(NodeReport {
                name: node.name.clone(),
                role: node.role,
                pid: node.pid,
                cpu_s,
                cpu_percent: cpu_s.map(|cpu_s| cpu_s / window_s * 100.0),
                rss_before_kib: before.rss_kib,
                rss_after_kib: after.map(|after| after.rss_kib),
            })
        });
        reports.collect()
    }

    /// The same for Redis. Our own two `INFO` and a login are in it.
    pub(crate) fn redis(before: &Sample, after: &Sample, window_s: f64) -> Option<RedisReport> {
        let (before, after) = (before.redis?, after.redis?);
        Some(RedisReport {
            publishes_per_s: after.publishes.saturating_sub(before.publishes) as f64 / window_s,
            commands_per_s: after.commands.saturating_sub(before.commands) as f64 / window_s,
        })
    }
}

/// CPU time that snapshots cost: of all but Postgres, for which no tick waits. None if nothing was watched, or if one
/// of them ended and took its figure along.
pub(crate) fn cpu_of_snapshots_s(nodes: &[NodeReport]) -> Option<f64> {
    let counted = nodes.iter().filter(|node| node.role != Role::Postgres);
    let all: Vec<f64> = counted.map(|node| node.cpu_s).collect::<Option<_>>()?;
    (!all.is_empty()).then(|| all.iter().sum())
}

/// One line for each process; Postgres, which is many, in one.
pub(crate) fn table(nodes: &[NodeReport], out: &mut String) {
    let (postgres, others): (Vec<_>, Vec<_>) = nodes.iter().partition(|node| node.role == Role::Postgres);
    let mut line = |name: &str, cpu_s: Option<f64>, percent: Option<f64>, before: u64, after: Option<u64>| {
        let cpu = cpu_s.zip(percent).map_or("ended".to_owned(), |(s, percent)| format!("{s:>7.2} s {percent:>5.1} %"));
        let after = after.map_or("-".to_owned(), |kib| format!("{:.1}", kib as f64 / 1_024.0));
        out.push_str(&format!("    {name:<14} {cpu}   {:>6.1} -> {after} MiB\n", before as f64 / 1_024.0));
    };
    for node in others {
        line(&node.name, node.cpu_s, node.cpu_percent, node.rss_before_kib, node.rss_after_kib);
    }
    if !postgres.is_empty() {
        let sum = |of: fn(&NodeReport) -> Option<f64>| postgres.iter().filter_map(|node| of(node)).sum::<f64>();
        let before = postgres.iter().map(|node| node.rss_before_kib).sum();
        let after = postgres.iter().filter_map(|node| node.rss_after_kib).sum();
        let name = format!("postgres x{}", postgres.len());
        // Resident memory of Postgres' processes overlaps: the sum is an upper bound.
        line(&name, Some(sum(|node| node.cpu_s)), Some(sum(|node| node.cpu_percent)), before, Some(after));
    }
}
