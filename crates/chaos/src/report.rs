//! The table: for people, for `docs/RELIABILITY.md`, and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{
    cluster::{EDGES, WORKERS},
    judge::Verdict,
    rows::{Row, Whose},
};

/// What `docs/RELIABILITY.md` begins with.
const INTRODUCTION: &str = "\
# Reliability

What players see of each thing that can go wrong. Written by `make chaos`, which plays each row against a cluster of its
own and inflicts the fault while `swarm` plays and measures: real processes, a real Redis and Postgres, faults by
signals and by a proxy between the parts.

**Gap**: the longest time that a player went without a fresh snapshot beyond the normal interval of 16.7 ms, in ms, from
before the fault until everything is well again. *Concerned* rows count only players whose match moved or whose
connection was lost; the others count all. In every row no score, tick or epoch may fall, no match event may be missing
or come twice, no match may be lost or run twice, and nobody may lose his seat; afterwards every match is played again from
its replay, and every stored hash compared (`rally replay verify --all`).

`chaos --list` (in `target/release`) names the rows, `--only NAME` plays one, `make chaos-short` plays a few in a
minute.
";

/// A row in one line or more, printed when it is over.
pub(crate) fn line(row: &Row, verdict: &Verdict) -> String {
    let mut out = format!("{:<7} {:<18} {}", word(verdict), row.name, figures(verdict));
    for note in &verdict.notes {
        let _ = write!(out, "; {note}");
    }
    out.push('\n');
    for shortfall in verdict.skipped.iter().chain(&verdict.shortfalls) {
        let _ = writeln!(out, "          {shortfall}");
    }
    out
}

fn word(verdict: &Verdict) -> &'static str {
    match (&verdict.skipped, verdict.kept()) {
        (Some(_), _) => "skipped",
        (None, true) => "ok",
        (None, false) => "SHORT",
    }
}

fn ms(ms: Option<f64>) -> String {
    ms.map_or("-".to_owned(), |ms| format!("{ms:.0}"))
}

fn figures(verdict: &Verdict) -> String {
    let Some(gap) = verdict.gap_ms else { return String::new() };
    let outage = if verdict.outage_ms > 0.0 { format!(", outage {:.0} ms", verdict.outage_ms) } else { String::new() };
    format!("gap p50 {} p99 {} max {} ms of {} players{outage}", ms(gap.p50), ms(gap.p99), ms(gap.max), gap.count)
}

/// All rows that were played.
pub(crate) struct Run {
    matches: usize,
    short: bool,
    rows: Vec<(&'static Row, Verdict)>,
}

impl Run {
    pub(crate) fn new(matches: usize, short: bool) -> Self {
        Self { matches, short, rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, row: &'static Row, verdict: Verdict) {
        self.rows.push((row, verdict));
    }

    /// Rows that were played.
    pub(crate) fn len(&self) -> usize {
        self.rows.iter().filter(|(_, verdict)| verdict.skipped.is_none()).count()
    }

    pub(crate) fn fell_short(&self) -> usize {
        self.rows.iter().filter(|(_, verdict)| verdict.skipped.is_none() && !verdict.kept()).count()
    }

    /// For the terminal.
    pub(crate) fn table(&self) -> String {
        let mut out = format!("{:<18} {:>7} {:>7} {:>7}  {}\n", "", "p50 ms", "p99 ms", "max ms", "promise");
        for (row, verdict) in &self.rows {
            let [p50, p99, max] = percentiles(verdict);
            let _ = writeln!(out, "{:<18} {p50:>7} {p99:>7} {max:>7}  {}", row.name, word(verdict));
        }
        out
    }

    /// For `docs/RELIABILITY.md`.
    pub(crate) fn markdown(&self) -> String {
        let mut out = String::from(INTRODUCTION);
        let machine = machine();
        let _ = writeln!(
            out,
            "\nMeasured with {} matches on {EDGES} edges and {WORKERS} workers, {}. Players, servers and load share the\nmachine: {machine}.\n",
            self.matches,
            match (self.short, cfg!(debug_assertions)) {
                (true, _) => "in a short run",
                (false, true) => "in a full run of a debug build",
                (false, false) => "in a full run of a release build",
            },
        );
        out.push_str("| what happens | promise | gap of | outage ms | p50 ms | p99 ms | max ms | kept |\n");
        out.push_str("|---|---|---|---|---|---|---|---|\n");
        for (row, verdict) in &self.rows {
            let [p50, p99, max] = percentiles(verdict);
            let of = match (row.limit.map(|limit| limit.whose), verdict.gap_ms) {
                (_, None) => "-".to_owned(),
                (Some(Whose::Concerned), Some(gap)) => format!("{} concerned", gap.count),
                (Some(Whose::Unconcerned), Some(gap)) => format!("{} others", gap.count),
                (_, Some(gap)) => format!("all {}", gap.count),
            };
            let outage = if verdict.outage_ms > 0.0 { format!("{:.0}", verdict.outage_ms) } else { "-".to_owned() };
            let kept = match word(verdict) {
                "ok" => "yes",
                "skipped" => "not played",
                _ => "**no**",
            };
            let (event, promise) = (row.event, row.promise);
            let _ = writeln!(out, "| {event} | {promise} | {of} | {outage} | {p50} | {p99} | {max} | {kept} |");
        }
        let said: Vec<_> = self.rows.iter().filter(|(_, verdict)| !verdict.kept()).collect();
        if !said.is_empty() {
            out.push_str("\n## What falls short\n\n");
        }
        for (row, verdict) in said {
            let all: Vec<&str> = verdict.skipped.iter().chain(&verdict.shortfalls).map(String::as_str).collect();
            let _ = writeln!(out, "- **{}**: {}", row.event, all.join("; "));
        }
        out
    }

    /// Everything.
    pub(crate) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|(row, verdict)| {
            json!({ "name": row.name, "event": row.event, "promise": row.promise, "kept": verdict.kept(), "verdict": verdict })
        });
        json!({ "matches": self.matches, "short": self.short, "rows": rows.collect::<Vec<_>>() })
    }
}

fn percentiles(verdict: &Verdict) -> [String; 3] {
    verdict.gap_ms.map_or(["-".into(), "-".into(), "-".into()], |gap| [ms(gap.p50), ms(gap.p99), ms(gap.max)])
}

/// Cores, processor and system, as the kernel names them.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).and_then(|rest| rest.split(": ").nth(1));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores, {}, Linux {}", model.unwrap_or("unknown processor"), kernel.trim())
}
