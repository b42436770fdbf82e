//! `swarm hpa`: what players cost a running cluster in CPU, and what the autoscalers of its manifests make of that over a
//! day with a spike.

pub mod autoscaler;
pub mod curve;
mod day;
pub mod manifest;
mod plot;
pub mod simulation;

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, bail};
use serde::Serialize;

use self::{
    curve::{Line, Sample},
    day::Day,
    manifest::RoleManifest,
    simulation::{Outcome, Row, Scene},
};
use crate::{
    cli::{HpaArgs, Pairing, PlayArgs, QueueMode},
    nodes::Role,
    play::{self, PlayReport},
};

/// Cores that a worker can use: its tick thread does nearly all of its work, and is one.
const WORKER_CORES: f64 = 1.0;
/// Cores that an edge could use: all of it is one thread.
const EDGE_CORES: f64 = 1.0;
/// How long somebody stays at an edge.
const VISIT_S: f64 = 20.0 * 60.0;
/// How long a match is at its worker.
const MATCH_S: f64 = 4.0 * 60.0;

/// A role's day.
#[derive(Clone, Debug, Serialize)]
pub struct RoleReport {
    /// `edge` or `worker`.
    pub role: &'static str,
    /// Cores of a pod by its players.
    pub cost: Line,
    /// Players at the day's height, the spike aside.
    pub peak_players: f64,
    /// Players at the height of the spike.
    pub spike_players: f64,
    /// From the beginning of the spike until there were as many pods as it needs, in seconds; none if there never were.
    pub spike_met_after_s: Option<u32>,
    /// What is to be said of it.
    pub outcome: Outcome,
    /// Each quarter of a minute.
    #[serde(skip)]
    pub rows: Vec<Row>,
}

/// What `swarm hpa` has found.
#[derive(Clone, Debug, Serialize)]
pub struct HpaReport {
    /// What was measured.
    pub samples: Vec<Sample>,
    /// What the autoscalers did, edges first.
    pub roles: Vec<RoleReport>,
    /// What did not meet its expectation.
    pub shortfalls: Vec<String>,
}

/// Measures, or reads what was measured before, and simulates.
pub async fn hpa(args: &HpaArgs) -> anyhow::Result<HpaReport> {
    let samples = match &args.curve {
        Some(path) => {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            serde_json::from_str(&text).with_context(|| format!("{} holds no samples", path.display()))?
        }
        None => measure(args).await?,
    };
    if let Some(path) = &args.save_curve {
        write(path, &(serde_json::to_string_pretty(&samples)? + "\n"))?;
    }
    let report = simulate(args, samples)?;
    if let Some(path) = &args.csv {
        write(path, &csv(&report.roles))?;
    }
    if let Some(path) = &args.svg {
        write(path, &plot::svg(&report.roles))?;
    }
    Ok(report)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Plays with more and more players.
async fn measure(args: &HpaArgs) -> anyhow::Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for players in &args.steps {
        eprintln!("{players} players");
        let play = PlayArgs {
            target: args.target.clone(),
            watch: args.watch.clone(),
            players: Some(*players),
            matches: None,
            mode: QueueMode::Casual,
            pairing: Pairing::Private,
            inputs_per_s: 10.0,
            duration_s: args.step_s,
            warmup_s: 3,
            join_timeout_s: 30,
            threads: 1,
            batch_us: 500,
            no_floor: true,
            expect: Vec::new(),
        };
        let report = play::play(&play).await?;
        if report.interrupted {
            bail!("interrupted");
        }
        samples.push(sample(&report)?);
    }
    Ok(samples)
}

fn sample(report: &PlayReport) -> anyhow::Result<Sample> {
    let of = |role: Role| {
        let nodes: Vec<_> = report.nodes.iter().filter(|node| node.role == role).collect();
        let cores = nodes.iter().map(|node| node.cpu_s).sum::<Option<f64>>().map(|cpu_s| cpu_s / report.window_s);
        (nodes.len(), cores)
    };
    let ((edges, edge_cores), (workers, worker_cores)) = (of(Role::Edge), of(Role::Worker));
    let (Some(edge_cores), Some(worker_cores)) = (edge_cores, worker_cores) else {
        bail!("a node ended while it was being measured");
    };
    if edges == 0 || workers == 0 {
        bail!("no edge or no worker is to be seen among the processes of this machine");
    }
    let input_p99_ms = report.input_ms.p99;
    Ok(Sample { players: report.playing, edges, workers, edge_cores, worker_cores, input_p99_ms })
}

/// What the autoscalers make of it.
pub fn simulate(args: &HpaArgs, samples: Vec<Sample>) -> anyhow::Result<HpaReport> {
    let is_sound = args.fill > 0.0 && args.fill <= 1.0 && args.spike >= 1.0 && args.spike.is_finite();
    if !is_sound {
        bail!("--fill must be above 0 and at most 1, --spike at least 1");
    }
    let (edge, worker) = curve::lines(&samples)
        .context("two measurements at least, with different numbers of players, of which more cost more")?;
    let roles = [("edge", edge, EDGE_CORES, VISIT_S), ("worker", worker, WORKER_CORES, MATCH_S)];
    let mut reports = Vec::new();
    for (role, cost, cores_max, stay_s) in roles {
        let manifest = RoleManifest::read(&args.manifests.join(format!("{role}.yaml")))?;
        let scene = Scene { manifest, cost, cores_max, stay_s };
        let peak_players = args.fill * scene.carried_by(scene.manifest.autoscaler.replicas_max);
        if peak_players <= 0.0 {
            bail!("{role}s use more than their target without any player");
        }
        let day = Day { peak_players, spike: args.spike };
        let (rows, outcome) = scene.run(Day::SECONDS, |now_s| day.players(now_s));
        let needed = |row: &Row| f64::from(row.ready) >= (row.players / scene.carried_by(1)).floor();
        let met = rows.iter().find(|row| row.second >= Day::SPIKE_RISEN_S && needed(row));
        reports.push(RoleReport {
            role,
            cost,
            peak_players,
            spike_players: (0..Day::SECONDS).map(|now_s| day.players(now_s)).fold(0.0, f64::max),
            spike_met_after_s: met.map(|row| row.second - Day::SPIKE_S),
            outcome,
            rows,
        });
    }
    let mut report = HpaReport { samples, roles: reports, shortfalls: Vec::new() };
    let figures = report.figures();
    let figures: Vec<(&str, Option<f64>)> = figures.iter().map(|(name, figure)| (name.as_str(), *figure)).collect();
    report.shortfalls = args.expect.iter().filter_map(|one| one.shortfall(&figures)).collect();
    Ok(report)
}

impl HpaReport {
    /// The figures that `--expect` knows.
    fn figures(&self) -> Vec<(String, Option<f64>)> {
        let each = self.roles.iter().flat_map(|RoleReport { role, outcome, spike_met_after_s, .. }| {
            [
                ("reversals", Some(f64::from(outcome.reversals))),
                ("late_s", Some(f64::from(outcome.late_s))),
                ("late_max_ms", Some(outcome.late_ms_max)),
                ("replicas_max", Some(f64::from(outcome.replicas_max))),
                ("spike_met_after_s", spike_met_after_s.map(f64::from)),
            ]
            .map(|(name, figure)| (format!("{role}_{name}"), figure))
        });
        each.collect()
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_table(&mut out);
        out
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "players   edges' cores   workers' cores   input p99")?;
        for one in &self.samples {
            let p99 = one.input_p99_ms.map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
            let Sample { players, edge_cores, worker_cores, .. } = one;
            writeln!(out, "{players:>7}   {edge_cores:>12.3}   {worker_cores:>14.3}   {p99:>9}")?;
        }
        for RoleReport { role, cost, peak_players, spike_players, spike_met_after_s, outcome, .. } in &self.roles {
            let Outcome { added, removed, reversals, replicas_max, replicas_mean, late_s, late_ms_max } = outcome;
            let met = spike_met_after_s.map_or("never".to_owned(), |s| format!("{s} s after it began"));
            writeln!(out, "{role}: {:.1} m cores a pod and {:.3} m a player", cost.at_none * 1e3, cost.each * 1e3)?;
            writeln!(out, "  players     {peak_players:.0} at the day's height, {spike_players:.0} in the spike")?;
            writeln!(out, "  pods        {replicas_mean:.1} on average, {replicas_max} at most, +{added} -{removed}")?;
            writeln!(out, "  reversals   {reversals} within 20 minutes")?;
            writeln!(out, "  spike       enough pods {met}")?;
            writeln!(out, "  late        {late_s} s by more than a tick, {late_ms_max:.0} ms at most")?;
        }
        for shortfall in &self.shortfalls {
            writeln!(out, "SHORT: {shortfall}")?;
        }
        Ok(())
    }
}

fn csv(roles: &[RoleReport]) -> String {
    let mut out = String::from("role,second,players,replicas,ready,usage_percent,late_ms\n");
    for RoleReport { role, rows, .. } in roles {
        for Row { second, players, replicas, ready, usage, late_ms } in rows {
            let usage_percent = usage * 100.0;
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{role},{second},{players:.0},{replicas},{ready},{usage_percent:.1},{late_ms:.1}");
        }
    }
    out
}
