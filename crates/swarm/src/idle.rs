//! `swarm idle`: connections that say hello and stay, and what each costs the edges in memory.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    cli::IdleArgs,
    nodes::Role,
    player::Script,
    run::{Crowd, Run},
    stats::{self, Errors},
    watch::{self, NodeReport, Sample, Watch},
};

/// How long after the ramp all connections may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(30);

/// What a run of `swarm idle` measured.
#[derive(Clone, Debug, Serialize)]
pub struct IdleReport {
    /// Connections asked for.
    pub connections: usize,
    /// Connections that were welcomed.
    pub connected: usize,
    /// Growth of the edges' resident memory from no connection to all, per connection, in KiB. Includes what an edge
    /// allocates once, at its first connections.
    pub kib_per_connection: Option<f64>,
    /// The same from a tenth of the connections to all: what one more costs.
    pub marginal_kib_per_connection: Option<f64>,
    /// The processes, from no connection to all.
    pub nodes: Vec<NodeReport>,
    /// Connections that were lost.
    pub reconnects: u64,
    /// What went wrong and how often.
    pub errors: Errors,
    /// What did not meet its expectation.
    pub shortfalls: Vec<String>,
}

/// Runs it.
pub async fn idle(args: &IdleArgs) -> anyhow::Result<IdleReport> {
    let crowd = Crowd {
        players: args.connections,
        script: Script::Idle,
        classic: false,
        input_every: None,
        batch: Duration::ZERO,
        threads: 1,
    };
    let watch = Watch::new(&args.watch)?;
    let settle = Duration::from_secs(args.settle_s);
    let mut run = Run::start(&args.target, &crowd)?;
    let first_part = args.connections / 10;

    let (none, began) = (watch.sample(), Instant::now());
    run.ramp(0, first_part).await;
    run.wait("opening", CONNECT_TIME_MAX, |all| all.connected >= first_part).await;
    run.wait("settling", settle, |_| false).await;
    let (some, some_connected) = (watch.sample(), run.overview().connected);
    run.ramp(first_part, args.connections).await;
    run.wait("opening", CONNECT_TIME_MAX, |all| all.connected >= args.connections).await;
    run.wait("settling", settle, |_| false).await;
    let (all, connected) = (watch.sample(), run.overview().connected);
    let took_s = began.elapsed().as_secs_f64();
    let measured = run.finish().await?;

    let per_connection = |before: &Sample, after: &Sample, connections: usize| {
        let edges = watch.nodes(before, after, 1.0).into_iter().filter(|node| node.role == Role::Edge);
        let grown: Vec<f64> =
            edges.filter_map(|edge| Some(edge.rss_after_kib? as f64 - edge.rss_before_kib as f64)).collect();
        (!grown.is_empty() && connections > 0).then(|| grown.iter().sum::<f64>() / connections as f64)
    };
    let mut report = IdleReport {
        connections: args.connections,
        connected,
        kib_per_connection: per_connection(&none, &all, connected),
        marginal_kib_per_connection: per_connection(&some, &all, connected.saturating_sub(some_connected)),
        nodes: watch.nodes(&none, &all, took_s),
        reconnects: measured.reconnects,
        errors: measured.errors,
        shortfalls: Vec::new(),
    };
    let figures = [
        ("kib_per_connection", report.kib_per_connection),
        ("marginal_kib_per_connection", report.marginal_kib_per_connection),
        ("connected", Some(report.connected as f64 / report.connections as f64)),
        ("errors", Some(stats::total(&report.errors) as f64)),
    ];
    report.shortfalls = args.expect.iter().filter_map(|one| one.shortfall(&figures)).collect();
    if connected == 0 {
        report.shortfalls.push("nobody is connected".into());
    }
    Ok(report)
}

impl IdleReport {
    /// For people.
    pub fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_table(&mut out);
        out
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        let kib = |kib: Option<f64>| kib.map_or("-".to_owned(), |kib| format!("{kib:.2} KiB"));
        writeln!(out, "  connections          {} of {}", self.connected, self.connections)?;
        writeln!(out, "  edges' memory        {} per connection", kib(self.kib_per_connection))?;
        writeln!(out, "  one more             {}", kib(self.marginal_kib_per_connection))?;
        writeln!(out, "  reconnects           {}", self.reconnects)?;
        writeln!(out, "  errors               {}", stats::listed(&self.errors))?;
        if !self.nodes.is_empty() {
            writeln!(out, "  nodes")?;
            watch::table(&self.nodes, out);
        }
        for shortfall in &self.shortfalls {
            writeln!(out, "  NOT MET              {shortfall}")?;
        }
        Ok(())
    }
}
