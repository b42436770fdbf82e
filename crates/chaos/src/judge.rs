//! The load under which a row is played, and what is said of it afterwards.

use anyhow::{Context as _, bail};
use clap::Parser as _;
use rally_swarm::{
    cli::{Cli, Command, PlayArgs},
    expect::Expectation,
    idle::Held,
    play::{PlayReport, Times},
};
use serde::Serialize;

use crate::{
    fault::{Pace, Told},
    rows::{Limit, Pairs, Row, Whose},
};

/// Players, as swarm has them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) matches: usize,
}

impl Load {
    /// Private matches: the two players of each are on different edges for certain.
    pub(crate) fn args(&self, edges: &[String], pairs: Pairs) -> anyhow::Result<PlayArgs> {
        let inputs_per_s = match pairs {
            Pairs::Lasting => "10",
            Pairs::Ending => "1",
        };
        let (matches, edges) = (self.matches.to_string(), edges.join(","));
        let line = [
            &["swarm", "play", "--quiet", "--no-floor", "--nodes", "none", "--pairing", "private"][..],
            &["--matches", &matches, "--edges", &edges, "--inputs-per-s", inputs_per_s],
            &["--ramp-per-s", "50", "--warmup-s", "2"],
        ];
        match Cli::try_parse_from(line.concat()).context("swarm's options have changed")?.command {
            Command::Play(args) => Ok(args),
            _ => bail!("swarm's commands have changed"),
        }
    }
}

/// What a crowd adds to a row's figures: everybody must be back.
pub(crate) fn count_crowd(held: &Held, told: &mut Told) {
    told.notes.push(format!(
        "{} of {} others were away, for {:.0} s at most",
        held.missing_max, held.connections, held.missing_s
    ));
    if held.connected < held.connections {
        told.shortfalls.push(format!("only {} of {} others are connected", held.connected, held.connections));
    }
    if !held.errors.is_empty() {
        told.notes.push(format!("their errors: {:?}", held.errors));
    }
}

/// What became of a row.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    /// Why it was not played.
    pub(crate) skipped: Option<String>,
    /// Of whom the figures are: how many, and their longest gaps in ms.
    pub(crate) gap_ms: Option<Times>,
    /// Time that a server was away, in ms.
    pub(crate) outage_ms: f64,
    pub(crate) notes: Vec<String>,
    pub(crate) shortfalls: Vec<String>,
    /// Everything that swarm measured.
    pub(crate) report: Option<PlayReport>,
}

impl Verdict {
    fn empty() -> Self {
        Self { skipped: None, gap_ms: None, outage_ms: 0.0, notes: Vec::new(), shortfalls: Vec::new(), report: None }
    }

    /// It could not be played here.
    pub(crate) fn skipped(why: String) -> Self {
        Self { skipped: Some(why), ..Self::empty() }
    }

    /// It could not be played to its end.
    pub(crate) fn broken(why: String) -> Self {
        Self { shortfalls: vec![why], ..Self::empty() }
    }

    pub(crate) fn kept(&self) -> bool {
        self.skipped.is_none() && self.shortfalls.is_empty()
    }
}

/// Compares what was seen with what was promised.
pub(crate) fn judge(row: &Row, report: PlayReport, told: Told, pace: Pace) -> Verdict {
    let mut shortfalls = report.shortfalls.clone();
    shortfalls.extend(told.shortfalls);
    let figures = report.figures();
    for expectation in row.expect {
        match expectation.parse::<Expectation>() {
            Ok(expectation) => shortfalls.extend(expectation.shortfall(&figures)),
            Err(error) => shortfalls.push(format!("{expectation}: {error}")),
        }
    }
    let outage_ms = told.outage.as_secs_f64() * 1e3;
    let gap_ms = match row.limit.map(|limit| limit.whose) {
        Some(Whose::Concerned) => report.concerned_gap_ms,
        Some(Whose::Unconcerned) => report.unconcerned_gap_ms,
        Some(Whose::All) | None => report.gap_ms,
    };
    if let Some(limit) = row.limit {
        shortfalls.extend(too_long(limit, gap_ms, outage_ms, pace.slack));
    }
    if report.continuity.broken() > 0 {
        shortfalls.push(format!("what broke: {:?}", report.continuity));
    }
    if shortfalls.iter().any(|shortfall| shortfall.starts_with("errors")) {
        shortfalls.push(format!("the errors: {:?}", report.errors));
    }
    Verdict { skipped: None, gap_ms: Some(gap_ms), outage_ms, notes: told.notes, shortfalls, report: Some(report) }
}

fn too_long(limit: Limit, gap_ms: Times, outage_ms: f64, (factor, extra_ms): (f64, f64)) -> Option<String> {
    let outage_ms = if limit.beyond_outage { outage_ms } else { 0.0 };
    let bound_ms = outage_ms + limit.p99_ms * factor + extra_ms;
    match gap_ms.p99 {
        None => Some("nobody was concerned, so no gap was measured".to_owned()),
        Some(p99) if p99 > bound_ms => Some(format!("p99 of the gap is {p99:.0} ms, more than {bound_ms:.0} ms")),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(p99: Option<f64>) -> Times {
        Times { count: 1, p50: p99, p99, max: p99 }
    }

    #[test]
    fn the_outage_counts_only_where_it_is_promised() {
        let limit = Limit { whose: Whose::All, p99_ms: 1_000.0, beyond_outage: true };
        assert_eq!(too_long(limit, times(Some(5_900.0)), 5_000.0, (1.0, 0.0)), None);
        assert!(too_long(limit, times(Some(6_100.0)), 5_000.0, (1.0, 0.0)).is_some());
        let limit = Limit { beyond_outage: false, ..limit };
        assert!(too_long(limit, times(Some(5_900.0)), 5_000.0, (1.0, 0.0)).is_some());
        assert_eq!(too_long(limit, times(Some(3_900.0)), 5_000.0, (3.0, 1_000.0)), None, "the slack of a short run");
    }

    #[test]
    fn a_gap_that_was_not_measured_keeps_no_promise() {
        let limit = Limit { whose: Whose::Concerned, p99_ms: 33.4, beyond_outage: false };
        assert!(too_long(limit, times(None), 0.0, (1.0, 0.0)).is_some());
    }

    #[test]
    fn every_threshold_is_one_that_swarm_knows() {
        let load = Load { matches: 1 };
        for pairs in [Pairs::Lasting, Pairs::Ending] {
            let args = load.args(&["http://127.0.0.1:1".into(), "http://127.0.0.1:2".into()], pairs);
            assert!(args.is_ok(), "{args:?}");
        }
        for row in crate::rows::ROWS {
            for expectation in row.expect {
                assert!(expectation.parse::<Expectation>().is_ok(), "{}: {expectation}", row.name);
            }
        }
    }
}
