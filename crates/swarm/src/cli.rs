//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use rally_client::{EdgeUrl, Encoding};
use rally_protocol::client::v1::Mode;

use crate::{expect::Expectation, nodes::Node};

/// Load generator for Rally: many scripted players over several edges, and what they measured.
#[derive(Debug, Parser)]
#[command(name = "swarm", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What swarm can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Plays matches and measures how the snapshots come. Exits with 1 when an expectation is not met.
    Play(PlayArgs),
    /// Opens connections that do nothing and measures what each costs the edges in memory.
    Idle(IdleArgs),
    /// Reads what the API has to tell, as signed-in users, and measures how long that takes.
    Api(ApiArgs),
    /// Has many read one channel, and says more and more there until it lags or is refused.
    Chat(ChatArgs),
    /// Measures what players cost a running cluster in CPU, and simulates a day of the autoscalers of its manifests.
    Hpa(HpaArgs),
    /// Measures the CPU time of one 64-byte message over loopback: what this machine can do at best.
    Floor(FloorArgs),
}

/// Options of `swarm play`.
#[derive(Clone, Debug, Args)]
pub struct PlayArgs {
    #[command(flatten)]
    /// Whom to connect to.
    pub target: TargetArgs,
    #[command(flatten)]
    /// Whom to watch.
    pub watch: WatchArgs,
    /// Players, two for each match.
    #[arg(long, value_name = "N", conflicts_with = "matches", required_unless_present = "matches")]
    pub players: Option<usize>,
    /// Matches: as many players twice.
    #[arg(long, value_name = "N")]
    pub matches: Option<usize>,
    /// The queue in which players meet; `classic` has no skills and no power-ups.
    #[arg(long, value_enum, default_value = "casual")]
    pub mode: QueueMode,
    /// How players meet: through the queue, or two by two in private matches made over HTTP, always on two edges.
    #[arg(long, value_enum, default_value = "queue")]
    pub pairing: Pairing,
    /// Inputs of each player per second; 0 for none.
    #[arg(long, value_name = "PER_S", default_value_t = 10.0)]
    pub inputs_per_s: f64,
    /// Length of the window that is measured, in seconds.
    #[arg(long, value_name = "S", default_value_t = 60)]
    pub duration_s: u64,
    /// Time between the last player's first match and the window, in seconds.
    #[arg(long, value_name = "S", default_value_t = 5)]
    pub warmup_s: u64,
    /// How long after the ramp all players may take to be in a match, in seconds. The window opens then in any case.
    #[arg(long, value_name = "S", default_value_t = 30)]
    pub join_timeout_s: u64,
    /// Threads that play. One receives more than 100,000 snapshots per second.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: usize,
    /// Time to let frames gather before they are read, in microseconds. Costs as much latency, saves wake-ups.
    #[arg(long, value_name = "US", default_value_t = 500)]
    pub batch_us: u64,
    /// Does not measure the floor before and after.
    #[arg(long)]
    pub no_floor: bool,
    /// Thresholds, separated by commas: NAME>=NUMBER or NAME<=NUMBER. Names: snapshots (received / expected),
    /// input_p50_ms, input_p99_ms, input_max_ms, interval_p99_ms, gaps, gap_p50_ms, gap_p99_ms, gap_max_ms (the longest
    /// gap of each player), the same as concerned_gap_... of those whose match moved or whose connection was lost,
    /// concerned (how many those are), unconcerned_gap_p99_ms (of all others), broken (matches that lost something), moved, paused, away, inputs_unanswered, reconnects,
    /// errors, playing (players in a match / players), two_edges (matches on two edges / matches), cost (CPU per snapshot / floor),
    /// redis_publishes_per_s.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub expect: Vec<Expectation>,
}

/// Options of `swarm idle`.
#[derive(Clone, Debug, Args)]
pub struct IdleArgs {
    #[command(flatten)]
    /// Whom to connect to.
    pub target: TargetArgs,
    #[command(flatten)]
    /// Whom to watch.
    pub watch: WatchArgs,
    /// Connections.
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub connections: usize,
    /// Time for the edges to settle before memory is read, in seconds.
    #[arg(long, value_name = "S", default_value_t = 3)]
    pub settle_s: u64,
    /// Thresholds, as for `play`. Names: kib_per_connection, marginal_kib_per_connection, connected (of those asked
    /// for), errors.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub expect: Vec<Expectation>,
}

/// Options of `swarm api`.
#[derive(Clone, Debug, Args)]
pub struct ApiArgs {
    /// Edges, separated by commas.
    #[arg(long, value_name = "URL", value_delimiter = ',', default_value = "http://localhost:8080")]
    pub edges: Vec<EdgeUrl>,
    /// Connections, which stay open.
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub connections: usize,
    /// Requests a second, over all connections. Without it each connection asks again as soon as it is answered.
    #[arg(long, value_name = "PER_S")]
    pub rate: Option<f64>,
    /// Guests who ask in turn. An edge answers each 600 times a minute.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub users: usize,
    /// Time before the window, in seconds.
    #[arg(long, value_name = "S", default_value_t = 2)]
    pub warmup_s: u64,
    /// Length of the window that is measured, in seconds.
    #[arg(long, value_name = "S", default_value_t = 30)]
    pub duration_s: u64,
    /// Writes the figures to this file as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Thresholds, as for `play`. Names: requests_per_s, p50_ms, p95_ms, p99_ms, errors.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub expect: Vec<Expectation>,
}

/// Options of `swarm chat`.
#[derive(Clone, Debug, Args)]
pub struct ChatArgs {
    #[command(flatten)]
    /// Whom to connect to.
    pub target: TargetArgs,
    #[command(flatten)]
    /// Whom to watch.
    pub watch: WatchArgs,
    /// Readers, who take turns at speaking.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub readers: usize,
    /// Messages a second in the first step.
    #[arg(long, value_name = "PER_S", default_value_t = 10.0)]
    pub first_per_s: f64,
    /// How many times as fast each step is as the one before.
    #[arg(long, value_name = "TIMES", default_value_t = 1.5)]
    pub growth: f64,
    /// Messages a second at most; in any case no more than readers may say, one a second each, and a fifth less.
    #[arg(long, value_name = "PER_S")]
    pub max_per_s: Option<f64>,
    /// Length of a step, in seconds.
    #[arg(long, value_name = "S", default_value_t = 5)]
    pub step_s: u64,
    /// A step is carried if 99 of 100 deliveries take no longer, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 500.0)]
    pub lag_ms: f64,
    /// Thresholds, as for `play`. Names: messages_per_s, delivered_per_s, p50_ms, p99_ms (of the fastest step that was
    /// carried), reading (of those asked for), errors.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub expect: Vec<Expectation>,
}

/// Options of `swarm hpa`.
#[derive(Clone, Debug, Args)]
pub struct HpaArgs {
    #[command(flatten)]
    /// Whom to connect to.
    pub target: TargetArgs,
    #[command(flatten)]
    /// Whom to watch.
    pub watch: WatchArgs,
    /// Numbers of players to measure with, separated by commas; each even.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "40,100,200,400")]
    pub steps: Vec<usize>,
    /// Length of the window that is measured in each step, in seconds.
    #[arg(long, value_name = "S", default_value_t = 10)]
    pub step_s: u64,
    /// Takes the measurements of this file, which `--save-curve` wrote, instead of measuring.
    #[arg(long, value_name = "FILE")]
    pub curve: Option<PathBuf>,
    /// Writes the measurements to this file as JSON.
    #[arg(long, value_name = "FILE")]
    pub save_curve: Option<PathBuf>,
    /// Where `edge.yaml` and `worker.yaml` are, with the autoscalers and what pods request.
    #[arg(long, value_name = "FOLDER", default_value = "deploy/k8s/base")]
    pub manifests: PathBuf,
    /// Players at the day's height, as a part of what the most pods carry at their target; of each role by itself.
    #[arg(long, value_name = "PART", default_value_t = 0.45)]
    pub fill: f64,
    /// How many times as many players the spike at noon brings, within a minute, for twenty.
    #[arg(long, value_name = "TIMES", default_value_t = 2.0)]
    pub spike: f64,
    /// Writes the day to this file, a row each quarter of a minute.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Draws the day into this file.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Thresholds, as for `play`. Names, each behind `edge_` or `worker_`: reversals (pods that came and went within 20
    /// minutes, or the other way round), late_s (seconds in which some pod was late by more than a tick), late_max_ms,
    /// replicas_max, spike_met_after_s (until there were enough pods).
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub expect: Vec<Expectation>,
}

/// Options of `swarm floor`.
#[derive(Clone, Debug, Args)]
pub struct FloorArgs {
    /// Rounds of each way to send; the best counts.
    #[arg(long, value_name = "N", default_value_t = 9)]
    pub rounds: usize,
    /// Messages in each round.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub messages: usize,
    /// Writes the figures to this file as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Whom to connect to, and how.
#[derive(Clone, Debug, Args)]
pub struct TargetArgs {
    /// Edges, separated by commas. The two players of a match are on different ones.
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://localhost:8080,http://localhost:8081"
    )]
    pub edges: Vec<EdgeUrl>,
    /// How messages are written. Msgpack snapshots are skimmed, JSON ones decoded in full.
    #[arg(long, value_enum, default_value = "msgpack")]
    pub encoding: EncodingName,
    /// Players that arrive per second.
    #[arg(long, value_name = "PER_S", default_value_t = 50.0)]
    pub ramp_per_s: f64,
    /// Each player comes from an address of its own in 127.0.0.0/8; `auto` does so above 500 players if all edges are
    /// on 127.0.0.0/8.
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto", num_args = 0..=1, default_missing_value = "always")]
    pub spread_addresses: When,
    /// Writes the figures to this file as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// No line of progress each second.
    #[arg(long)]
    pub quiet: bool,
}

/// The processes whose CPU time and memory are read.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// `auto` finds `rally edge`, `rally worker`, redis-server and postgres among the processes of this machine.
    #[arg(long, value_enum, default_value = "auto")]
    pub nodes: NodesFrom,
    /// Finds them only among the descendants of this process, such as a `rally dev`.
    #[arg(long, value_name = "PID")]
    pub under: Option<i32>,
    /// Names them instead: NAME=PID, separated by commas. Names begin with edge, worker, redis or postgres.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub pids: Vec<Node>,
    /// The Redis whose messages are counted; found through the nodes' environment if not given.
    #[arg(long, value_name = "URL", env = "RALLY_REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<String>,
}

/// [`Mode`]s with a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum QueueMode {
    Casual,
    Classic,
    Ranked,
}

impl From<QueueMode> for Mode {
    fn from(mode: QueueMode) -> Self {
        match mode {
            QueueMode::Casual => Self::Casual,
            QueueMode::Classic => Self::Classic,
            QueueMode::Ranked => Self::Ranked,
        }
    }
}

/// How players meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Pairing {
    /// First come, first paired.
    Queue,
    /// Each with its neighbour.
    Private,
}

/// [`Encoding`] by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum EncodingName {
    Msgpack,
    Json,
}

impl From<EncodingName> for Encoding {
    fn from(name: EncodingName) -> Self {
        match name {
            EncodingName::Msgpack => Self::Msgpack,
            EncodingName::Json => Self::Json,
        }
    }
}

/// Whether to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// Where it makes sense.
    Auto,
    /// Yes.
    Always,
    /// No.
    Never,
}

/// Where the list of processes comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NodesFrom {
    /// From `/proc`.
    Auto,
    /// There is none.
    None,
}
