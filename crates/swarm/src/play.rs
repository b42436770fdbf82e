//! `swarm play`: players play by script, and what reaches them is measured.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::bail;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::{
    cli::{Pairing, PlayArgs, QueueMode},
    dialer::DIALS_MAX,
    engine::Stage,
    floor::{Floor, FloorOptions},
    player::Script,
    run::{Crowd, Run, own_cpu_s},
    stats::{self, Continuity, Errors, GAP_NS},
    watch::{self, NodeReport, RedisReport, Watch},
};

/// Snapshots that a player in a match is sent per second.
const SNAPSHOTS_PER_S: f64 = 60.0;

/// Times of many, in ms; all none where there were none.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Times {
    /// How many.
    pub count: u64,
    /// Half took at most this.
    pub p50: Option<f64>,
    /// 99 of 100 took at most this.
    pub p99: Option<f64>,
    /// The longest.
    pub max: Option<f64>,
}

impl From<&Histogram<u64>> for Times {
    fn from(us: &Histogram<u64>) -> Self {
        let ms = |us: u64| us as f64 / 1e3;
        let some = |value: f64| (!us.is_empty()).then_some(value);
        Self {
            count: us.len(),
            p50: some(ms(us.value_at_quantile(0.5))),
            p99: some(ms(us.value_at_quantile(0.99))),
            max: some(ms(us.max())),
        }
    }
}

/// What a run of `swarm play` measured. Times are of the window unless they say otherwise.
#[derive(Clone, Debug, Serialize)]
pub struct PlayReport {
    /// Length of the window, in seconds.
    pub window_s: f64,
    /// Players asked for.
    pub players: usize,
    /// Players that were connected when the window closed.
    pub connected: usize,
    /// Players that were in a match when the window closed.
    pub playing: usize,
    /// Matches that they were in.
    pub matches: usize,
    /// Those of them whose players were on different edges.
    pub matches_on_two_edges: usize,
    /// Matches that ended, seen by each of their players.
    pub matches_finished: u64,
    /// Snapshots received, each tick once per player.
    pub snapshots: u64,
    /// 60 for each second that a player was in a match.
    pub snapshots_expected: f64,
    /// The one over the other.
    pub snapshots_ratio: Option<f64>,
    /// Ticks that were left out between two snapshots: conflated or lost.
    pub missed_ticks: u64,
    /// Snapshots of a tick that had come already.
    pub repeated: u64,
    /// Match events received.
    pub events: u64,
    /// From an input to the first snapshot that acknowledges it, in ms.
    pub input_ms: Times,
    /// Inputs sent.
    pub inputs_sent: u64,
    /// Inputs that no snapshot acknowledged within a second.
    pub inputs_unanswered: u64,
    /// Between two snapshots of a player, in ms.
    pub interval_ms: Times,
    /// The longest gap of each player, in ms: time without a fresh snapshot beyond the normal interval, whatever
    /// happened meanwhile.
    pub gap_ms: Times,
    /// The same of those players whose match moved or whose connection was lost.
    pub concerned_gap_ms: Times,
    /// The same of all others.
    pub unconcerned_gap_ms: Times,
    /// Intervals above 100 ms.
    pub gaps: u64,
    /// What became of the matches.
    pub continuity: Continuity,
    /// Connections that were lost, from the beginning of the run.
    pub reconnects: u64,
    /// What went wrong and how often, from the beginning of the run.
    pub errors: Errors,
    /// CPU time of this process, in seconds.
    pub own_cpu_s: f64,
    /// The same as a part of one core, in percent.
    pub own_cpu_percent: f64,
    /// The same per snapshot, in microseconds.
    pub own_cpu_us_per_snapshot: Option<f64>,
    /// Reads of sockets.
    pub reads: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// What the processes of the cluster used.
    pub nodes: Vec<NodeReport>,
    /// What Redis did.
    pub redis: Option<RedisReport>,
    /// What a message costs at best: the better of before and after.
    pub floor: Option<Floor>,
    /// CPU time of edges, workers and Redis per snapshot, in microseconds.
    pub cpu_us_per_snapshot: Option<f64>,
    /// The same over the floor's one send.
    pub cost: Option<f64>,
    /// What did not meet its expectation.
    pub shortfalls: Vec<String>,
    /// Whether Ctrl-C ended the run early.
    pub interrupted: bool,
}

/// What must not have happened and did, for people.
fn told(continuity: &Continuity) -> String {
    let Continuity {
        scores_fell,
        epochs_fell,
        ticks_fell,
        events_missed,
        events_repeated,
        abandoned,
        vanished,
        seats_lost,
        ..
    } = continuity;
    let all = [
        (scores_fell, "scores fell"),
        (epochs_fell, "epochs fell"),
        (ticks_fell, "ticks fell"),
        (events_missed, "events missed"),
        (events_repeated, "events repeated"),
        (abandoned, "abandoned"),
        (vanished, "vanished"),
        (seats_lost, "seats lost"),
    ];
    all.iter().filter(|(n, _)| **n > 0).map(|(n, what)| format!("; {n} {what}")).collect()
}

/// Runs it for as long as `args` say.
pub async fn play(args: &PlayArgs) -> anyhow::Result<PlayReport> {
    let window = Duration::from_secs(args.duration_s);
    // A sleep counts from when it is made.
    Ok(play_during(args, async { tokio::time::sleep(window).await }).await?.0)
}

/// Runs it with a window as long as `during`, which begins with it: whatever is done to the cluster meanwhile. Its
/// output is none when Ctrl-C ended the run before.
pub async fn play_during<T>(
    args: &PlayArgs,
    during: impl Future<Output = T>,
) -> anyhow::Result<(PlayReport, Option<T>)> {
    let players = args.players.or(args.matches.map(|matches| 2 * matches)).unwrap_or(0);
    if args.pairing == Pairing::Private && (players % 2 == 1 || args.target.edges.len() < 2) {
        bail!("private matches need an even number of players and two edges");
    }
    if !(0.0..=60.0).contains(&args.inputs_per_s) {
        bail!("--inputs-per-s must be between 0 and 60");
    }
    let crowd = Crowd {
        players,
        script: match args.pairing {
            Pairing::Queue => Script::Queue(args.mode.into()),
            Pairing::Private => Script::Private,
        },
        classic: args.mode == QueueMode::Classic,
        input_every: (args.inputs_per_s > 0.0).then(|| Duration::from_secs_f64(1.0 / args.inputs_per_s)),
        batch: Duration::from_micros(args.batch_us),
        dials_max: DIALS_MAX,
        threads: args.threads,
    };
    let watch = Watch::new(&args.watch)?;
    let floor_before = measure_floor(args).await?;
    let mut run = Run::start(&args.target, &crowd)?;
    run.ramp(0, players).await;
    // With an odd one out, all but one.
    let wanted = players / 2 * 2;
    let all_play = run.wait("joining", Duration::from_secs(args.join_timeout_s), |all| all.playing >= wanted).await;
    if !all_play && !run.interrupted {
        eprintln!("only {} of {wanted} players are in a match; measuring them", run.overview().playing);
    }
    run.wait("warm-up", Duration::from_secs(args.warmup_s), |_| false).await;

    let before = watch.sample();
    let own_before_s = own_cpu_s();
    let began = Instant::now();
    run.enter(Stage::Window);
    let mut output = None;
    let enough = async { output = Some(during.await) };
    run.serve("measuring", |_| false, enough).await;
    run.enter(Stage::After);
    let window_s = began.elapsed().as_secs_f64();
    let own_cpu_s = own_cpu_s() - own_before_s;
    let after = watch.sample();
    let (overview, interrupted) = (run.overview(), run.interrupted);
    let measured = run.finish().await?;
    let floor_after = if interrupted { None } else { measure_floor(args).await? };

    let floor = match (floor_before, floor_after) {
        (Some(before), Some(after)) => Some(before.better(after)),
        (before, after) => before.or(after),
    };
    let nodes = watch.nodes(&before, &after, window_s);
    let redis = Watch::redis(&before, &after, window_s);
    let per_snapshot = |cpu_s: f64| (measured.snapshots > 0).then(|| cpu_s * 1e6 / measured.snapshots as f64);
    let cpu_us_per_snapshot = watch::cpu_of_snapshots_s(&nodes).and_then(per_snapshot);
    let expected = measured.joined_ns as f64 / 1e9 * SNAPSHOTS_PER_S;
    let mut report = PlayReport {
        window_s,
        players,
        connected: overview.connected,
        playing: overview.playing,
        matches: overview.matches,
        matches_on_two_edges: overview.matches_on_two_edges,
        matches_finished: measured.matches_finished,
        snapshots: measured.snapshots,
        snapshots_expected: expected,
        snapshots_ratio: (expected >= 1.0).then(|| measured.snapshots as f64 / expected),
        missed_ticks: measured.missed_ticks,
        repeated: measured.repeated,
        events: measured.events,
        input_ms: (&measured.input_us).into(),
        inputs_sent: measured.inputs_sent,
        inputs_unanswered: measured.inputs_unanswered,
        interval_ms: (&measured.interval_us).into(),
        gaps: measured.gaps,
        gap_ms: (&measured.player_gap_us).into(),
        concerned_gap_ms: (&measured.concerned_gap_us).into(),
        unconcerned_gap_ms: (&measured.unconcerned_gap_us).into(),
        continuity: measured.continuity,
        reconnects: measured.reconnects,
        own_cpu_s,
        own_cpu_percent: own_cpu_s / window_s * 100.0,
        own_cpu_us_per_snapshot: per_snapshot(own_cpu_s),
        reads: measured.reads,
        received_bytes: measured.received_bytes,
        nodes,
        redis,
        floor,
        cpu_us_per_snapshot,
        cost: cpu_us_per_snapshot.zip(floor).map(|(us, floor)| us / floor.send_us),
        shortfalls: Vec::new(),
        interrupted,
        errors: measured.errors,
    };
    report.shortfalls = report.judge(args);
    Ok((report, output))
}

async fn measure_floor(args: &PlayArgs) -> anyhow::Result<Option<Floor>> {
    if args.no_floor {
        return Ok(None);
    }
    Ok(Some(tokio::task::spawn_blocking(|| Floor::measure(FloorOptions::default())).await??))
}

impl PlayReport {
    /// The figures that `--expect` knows.
    pub fn figures(&self) -> Vec<(&'static str, Option<f64>)> {
        let part = |of: usize, all: usize| (all > 0).then(|| of as f64 / all as f64);
        vec![
            ("snapshots", self.snapshots_ratio),
            ("input_p50_ms", self.input_ms.p50),
            ("input_p99_ms", self.input_ms.p99),
            ("input_max_ms", self.input_ms.max),
            ("interval_p99_ms", self.interval_ms.p99),
            ("gaps", Some(self.gaps as f64)),
            ("gap_p50_ms", self.gap_ms.p50),
            ("gap_p99_ms", self.gap_ms.p99),
            ("gap_max_ms", self.gap_ms.max),
            ("concerned", Some(self.concerned_gap_ms.count as f64)),
            ("concerned_gap_p50_ms", self.concerned_gap_ms.p50),
            ("concerned_gap_p99_ms", self.concerned_gap_ms.p99),
            ("concerned_gap_max_ms", self.concerned_gap_ms.max),
            ("unconcerned_gap_p99_ms", self.unconcerned_gap_ms.p99),
            ("broken", Some(self.continuity.broken() as f64)),
            ("moved", Some(self.continuity.moved as f64)),
            ("paused", Some(self.continuity.paused as f64)),
            ("away", Some(self.continuity.away as f64)),
            ("inputs_unanswered", Some(self.inputs_unanswered as f64)),
            ("reconnects", Some(self.reconnects as f64)),
            ("errors", Some(stats::total(&self.errors) as f64)),
            ("playing", part(self.playing, self.players / 2 * 2)),
            ("two_edges", part(self.matches_on_two_edges, self.matches)),
            ("cost", self.cost),
            ("redis_publishes_per_s", self.redis.map(|redis| redis.publishes_per_s)),
        ]
    }

    fn judge(&self, args: &PlayArgs) -> Vec<String> {
        let figures = self.figures();
        let mut shortfalls: Vec<_> = args.expect.iter().filter_map(|one| one.shortfall(&figures)).collect();
        // Without this a run in which nothing happened would pass where nothing was expected.
        if self.snapshots == 0 {
            shortfalls.push("no snapshot was received".into());
        }
        shortfalls
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_table(&mut out);
        out
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        let ms = |ms: Option<f64>| ms.map_or("-".to_owned(), |ms| format!("{ms:.1}"));
        let times = |times: &Times| format!("p50 {}  p99 {}  max {}", ms(times.p50), ms(times.p99), ms(times.max));
        let of = |part: Option<f64>| part.map_or("-".to_owned(), |part| format!("{:.2} %", part * 100.0));
        let (connected, players, playing) = (self.connected, self.players, self.playing);
        writeln!(out, "{:.1} s measured{}", self.window_s, if self.interrupted { " (interrupted)" } else { "" })?;
        writeln!(out, "  connections          {connected} of {players}, {playing} in a match")?;
        writeln!(
            out,
            "  matches              {}, {} of them on two edges; {} endings seen",
            self.matches, self.matches_on_two_edges, self.matches_finished
        )?;
        writeln!(
            out,
            "  snapshots            {} of {:.0} ({}), {:.0} per s; ticks left out {}, repeated {}",
            self.snapshots,
            self.snapshots_expected,
            of(self.snapshots_ratio),
            self.snapshots as f64 / self.window_s,
            self.missed_ticks,
            self.repeated
        )?;
        writeln!(out, "  input to snapshot    {} ms", times(&self.input_ms))?;
        writeln!(out, "  inputs               {} sent, {} unanswered", self.inputs_sent, self.inputs_unanswered)?;
        writeln!(out, "  snapshot interval    {} ms", times(&self.interval_ms))?;
        let gap_above_ms = GAP_NS / 1_000_000;
        writeln!(
            out,
            "  longest gap          {} ms, of each player; {} above {gap_above_ms} ms",
            times(&self.gap_ms),
            self.gaps
        )?;
        let Continuity { moved, paused, away, .. } = self.continuity;
        writeln!(
            out,
            "  matches, as seen     {moved} moved, {paused} paused, {away} absences{}",
            told(&self.continuity)
        )?;
        writeln!(out, "  reconnects           {}", self.reconnects)?;
        writeln!(out, "  errors               {}", stats::listed(&self.errors))?;
        let us = |us: Option<f64>| us.map_or("-".to_owned(), |us| format!("{us:.2} us"));
        let own = us(self.own_cpu_us_per_snapshot);
        writeln!(
            out,
            "  own CPU              {:.2} s, {:.1} %, {own} per snapshot",
            self.own_cpu_s, self.own_cpu_percent
        )?;
        if !self.nodes.is_empty() {
            writeln!(out, "  nodes")?;
            watch::table(&self.nodes, out);
        }
        if let Some(RedisReport { publishes_per_s, commands_per_s }) = self.redis {
            writeln!(
                out,
                "  Redis                {publishes_per_s:.0} messages published per s, {commands_per_s:.0} commands per s"
            )?;
        }
        if let Some(floor) = &self.floor {
            writeln!(
                out,
                "  floor                send {:.2} us, receive {:.2} us; with epoll {:.2} us, {:.2} us",
                floor.send_us, floor.receive_us, floor.send_epoll_us, floor.receive_epoll_us
            )?;
        }
        if self.cpu_us_per_snapshot.is_some() {
            let cost = self.cost.map_or(String::new(), |cost| format!(", {cost:.2} times the floor's one send"));
            writeln!(
                out,
                "  cost                 {} of edges, workers and Redis per snapshot{cost}",
                us(self.cpu_us_per_snapshot)
            )?;
        }
        for shortfall in &self.shortfalls {
            writeln!(out, "  NOT MET              {shortfall}")?;
        }
        Ok(())
    }
}
