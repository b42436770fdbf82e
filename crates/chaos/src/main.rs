//! `chaos`: what a cluster's players see of each thing that can go wrong.
//!
//! Contract: every row of the table (`rows`) gets a cluster of its own, of real processes and servers (`cluster`), under
//! the load of `swarm`. A fault is inflicted (`fault`) within the window that swarm measures; the row is then judged by
//! what its promise says (`judge`), and the table is printed or written (`report`). Exits with 1 when a row fell short.

mod cluster;
mod fault;
mod judge;
mod node;
mod report;
mod rows;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use clap::Parser;
use rally_swarm::{cli::TargetArgs, idle};

use crate::{
    cluster::{Backing, Cluster, EDGES},
    fault::Pace,
    judge::{Load, Verdict},
    report::Run,
    rows::{ROWS, Row},
};

/// Inflicts each fault on a cluster under load, and measures what its players saw.
#[derive(Debug, Parser)]
#[command(name = "chaos", version)]
struct Cli {
    /// A few rows with few matches, short faults and generous bounds: for every change of the code.
    #[arg(long)]
    short: bool,
    /// Only these rows, by their names, separated by commas.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    only: Vec<String>,
    /// Lists the rows and their promises.
    #[arg(long)]
    list: bool,
    /// Matches that play meanwhile. Default: 100, or 10 with `--short`.
    #[arg(long, value_name = "N")]
    matches: Option<usize>,
    /// The `rally` under test. Default: the one beside this program.
    #[arg(long, value_name = "FILE")]
    rally: Option<PathBuf>,
    /// Another version of it, which half of the nodes run at first when everything is replaced.
    #[arg(long, value_name = "FILE")]
    older: Option<PathBuf>,
    /// Writes the table into this file, as Markdown.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "docs/RELIABILITY.md")]
    write: Option<PathBuf>,
    /// Writes everything that was measured into this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keeps the logs of the nodes in this folder.
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
}

/// Connections of a crowd that arrive per second.
const CROWD_PER_S: f64 = 200.0;
/// A row that takes longer is broken off: something hangs.
const ROW_WITHIN: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.list {
        ROWS.iter().for_each(|row| println!("{:<18} {}: {}", row.name, row.event, row.promise));
        return ExitCode::SUCCESS;
    }
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(run(&cli)));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether every row kept its promise.
async fn run(cli: &Cli) -> anyhow::Result<bool> {
    let rows = chosen(cli)?;
    let rally = match &cli.rally {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("rally"),
    };
    if !rally.exists() {
        bail!("there is no {}; build it, or name it with --rally", rally.display());
    }
    let pace = if cli.short { Pace::SHORT } else { Pace::FULL };
    let matches = cli.matches.unwrap_or(if cli.short { 10 } else { 100 });
    let backing = Backing::start(rally, cli.older.clone(), cli.logs.clone()).await?;
    let mut done = Run::new(matches, cli.short);
    for row in rows {
        let verdict = match tokio::time::timeout(ROW_WITHIN, play(row, &backing, matches, pace)).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(error)) => Verdict::broken(format!("{error:#}")),
            Err(_) => Verdict::broken(format!("not over after {} s", ROW_WITHIN.as_secs())),
        };
        print!("{}", report::line(row, &verdict));
        done.add(row, verdict);
    }
    println!("\n{}", done.table());
    if let Some(path) = &cli.write {
        std::fs::write(path, done.markdown()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &cli.json {
        std::fs::write(path, serde_json::to_string_pretty(&done.json())? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let fell_short = done.fell_short();
    // As the other test runners say it.
    println!("{} passed, {fell_short} failed", done.len() - fell_short);
    Ok(fell_short == 0)
}

fn chosen(cli: &Cli) -> anyhow::Result<Vec<&'static Row>> {
    if let Some(unknown) = cli.only.iter().find(|name| ROWS.iter().all(|row| row.name != name.as_str())) {
        bail!("there is no row {unknown}; --list names them");
    }
    let is_chosen = |row: &&Row| match cli.only.is_empty() {
        true => row.in_short || !cli.short,
        false => cli.only.iter().any(|name| name == row.name),
    };
    Ok(ROWS.iter().filter(is_chosen).collect())
}

/// One row: a cluster, players, the fault, and what came of it.
async fn play(row: &Row, backing: &Backing, matches: usize, pace: Pace) -> anyhow::Result<Verdict> {
    if let Some(missing) = row.layout.missing() {
        return Ok(Verdict::skipped(missing));
    }
    let mut cluster = Cluster::start(backing, row.name, row.layout).await?;
    let load = Load { matches };
    let args = load.args(&cluster.edge_urls(), row.pairs)?;
    let crowd_target = args.target.clone();
    let playing = rally_swarm::play::play_during(&args, row.fault.inflict(&mut cluster, pace, matches));
    let (report, told) = if row.crowd == 0 {
        playing.await?
    } else {
        let crowd = TargetArgs { ramp_per_s: CROWD_PER_S, ..crowd_target };
        let (held, played) = idle::hold(&crowd, row.crowd * EDGES, playing).await?;
        let Some(played) = played else { bail!("interrupted") };
        let (report, mut told) = played?;
        told.iter_mut().for_each(|told| judge::count_crowd(&held, told));
        (report, told)
    };
    let Some(mut told) = told else { bail!("interrupted") };
    // Its players have given up the matches that were left.
    cluster.verify_replays(&mut told).await?;
    told.shortfalls.extend(cluster.panics());
    Ok(judge::judge(row, report, told, pace))
}
