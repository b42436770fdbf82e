//! `swarm idle`: connections that say hello and stay, and what each costs the edges in memory.

use std::{
    cell::Cell,
    fmt::Write as _,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    cli::{IdleArgs, TargetArgs},
    dialer::DIALS_MAX,
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

/// How a crowd fared that did nothing but stay connected.
#[derive(Clone, Debug, Serialize)]
pub struct Held {
    /// Connections asked for.
    pub connections: usize,
    /// Connections at the end.
    pub connected: usize,
    /// The most that were missing at once.
    pub missing_max: usize,
    /// From the first moment with fewer than before to the last, in seconds; looked at each second.
    pub missing_s: f64,
    /// Connections that were lost.
    pub reconnects: u64,
    /// What went wrong and how often.
    pub errors: Errors,
}

fn crowd(connections: usize, dials_max: usize) -> Crowd {
    Crowd {
        players: connections,
        script: Script::Idle,
        classic: false,
        input_every: None,
        batch: Duration::ZERO,
        dials_max,
        threads: 1,
    }
}

/// Keeps so many idle connections open while `during` runs; who is lost comes back at once, all at the same time.
pub async fn hold<T>(
    target: &TargetArgs,
    connections: usize,
    during: impl Future<Output = T>,
) -> anyhow::Result<(Held, Option<T>)> {
    let mut run = Run::start(target, &crowd(connections, connections))?;
    run.ramp(0, connections).await;
    run.wait("opening", CONNECT_TIME_MAX, |all| all.connected >= connections).await;
    let full = run.overview().connected;
    let (missing_max, missing) = (Cell::new(0), Cell::new(None::<(Instant, Instant)>));
    let watch = |all: &crate::run::Overview| {
        missing_max.set(missing_max.get().max(full.saturating_sub(all.connected)));
        if all.connected < full {
            let now = Instant::now();
            missing.set(Some((missing.get().map_or(now, |(since, _)| since), now)));
        }
        false
    };
    let mut output = None;
    let enough = async { output = Some(during.await) };
    run.serve("holding", watch, enough).await;
    let connected = run.overview().connected;
    let measured = run.finish().await?;
    let held = Held {
        connections,
        connected,
        missing_max: missing_max.get(),
        missing_s: missing.get().map_or(0.0, |(since, until)| (until - since).as_secs_f64()),
        reconnects: measured.reconnects,
        errors: measured.errors,
    };
    Ok((held, output))
}

/// Runs it.
pub async fn idle(args: &IdleArgs) -> anyhow::Result<IdleReport> {
    let crowd = crowd(args.connections, DIALS_MAX);
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
