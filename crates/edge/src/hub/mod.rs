//! The hub: which connection is in which match, and the edge's side of its talk with the workers.
//!
//! One task owns it all. Connections and the HTTP API send it `Event`s through a bounded channel; bundles come from
//! the mailbox. It writes to sockets itself (see `socket`), so a snapshot's way from the mailbox to a socket wakes no
//! other task.

mod attaching;
mod balance;
mod batch;
mod creating;
mod drain;
mod joining;
mod matches;
mod people;
mod run;
mod tickets;

use std::time::Duration;

use rally_fabric::{Fabric, QueueStatus, TicketRef};
use rally_protocol::{
    client::v1::{Dir, ErrorCode, JoinAs, MatchFound, Side, Skill, UserInfo},
    cluster::{
        BundleKeys,
        v1::{Command, MatchSpec},
    },
};
use rally_service::entropy;
use rally_store::Store;
use rally_units::{Incarnation, Instant, MatchId, NodeId, SessionId, Tick, UserId, placement::two_choices};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    metrics::Metrics,
    socket::{ConnId, SharedPeer},
};

/// Events that wait for the hub. Beyond it inputs are dropped and requests refused.
const EVENTS_MAX: usize = 8 * 1024;

/// What the hub needs of its surroundings.
pub struct HubConfig {
    /// This start of the edge.
    pub incarnation: Incarnation,
    /// The cluster's keys.
    pub keys: BundleKeys,
    /// Redis. The hub takes its mailbox.
    pub fabric: Fabric,
    /// Postgres: who owns a match that Redis does not know.
    pub store: Store,
}

/// A request that was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", code.as_str())]
pub struct Refusal {
    /// Why, as clients are told.
    pub code: ErrorCode,
    /// For people.
    pub detail: String,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    fn unavailable(detail: &str) -> Self {
        Self::new(ErrorCode::Unavailable, detail)
    }
}

/// Everything that the hub is told, bundles apart.
pub(crate) enum Event {
    /// A socket is open.
    Connected(SharedPeer),
    /// Its session is known; `welcome` follows.
    Opened { conn: ConnId, session: Box<OpenedSession> },
    /// The socket is gone.
    Closed(ConnId),
    /// A player's input, read at `at`.
    Input { conn: ConnId, match_id: MatchId, side: Side, seq: u32, dir: Dir, press: bool, at: Instant },
    /// Wants to come into a match.
    Join { conn: ConnId, match_id: MatchId, join_as: JoinAs, skill: Skill },
    /// Leaves one.
    Leave { conn: ConnId, match_id: MatchId },
    /// A player's wish.
    Command { conn: ConnId, match_id: MatchId, command: Command },
    /// Waits in a queue, or no longer.
    Queued { conn: ConnId, ticket: Option<TicketRef> },
    /// Something is to be played by this worker.
    Create { worker: NodeId, what: Playable, reply: oneshot::Sender<Result<(), Refusal>> },
    /// The answer to the question who owns a match.
    Located { match_id: MatchId, owner: Located },
    /// Where tickets stand.
    Refreshed(Vec<(ConnId, TicketRef, QueueStatus)>),
    /// An opponent had been found, and the word of it was lost.
    FoundLate { conn: ConnId, message: Box<MatchFound> },
    /// Send everybody elsewhere within this time.
    Drain { within: Duration, done: oneshot::Sender<()> },
}

/// What a worker is asked to play.
pub(crate) enum Playable {
    /// A match to be.
    Match(Box<MatchSpec>),
    /// A finished one, again.
    Replay(Replay),
}

/// A finished match that somebody wants to watch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replay {
    /// What it is to be watched as.
    pub(crate) showing: MatchId,
    /// The finished match.
    pub(crate) of: MatchId,
    /// Who wants to watch it.
    pub(crate) user: UserId,
    /// From where on.
    pub(crate) from: Option<Tick>,
}

/// A session that is open here.
pub(crate) struct OpenedSession {
    pub(crate) session: SessionId,
    pub(crate) user: UserInfo,
    /// Its ticket, if it waits in a queue.
    pub(crate) ticket: Option<TicketRef>,
}

/// Who owns a match.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Located {
    /// This node, in this life.
    Owner(NodeId, Incarnation),
    /// There is no such match, or it has ended.
    Nowhere,
    /// Neither Redis nor Postgres could be asked.
    Unknown,
}

/// The hub is overwhelmed, or has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the hub takes no more events")]
pub(crate) struct HubFull;

/// Talks to the hub. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    events: mpsc::Sender<Event>,
    fabric: Fabric,
    metrics: Metrics,
}

impl Handle {
    /// Starts the hub, within a tokio runtime. It ends with `shutdown`; its last act is to tell the owners of its
    /// matches that its people have left.
    ///
    /// # Panics
    /// When the fabric's mailbox has been taken already.
    pub fn start(config: HubConfig, shutdown: CancellationToken) -> Self {
        let (events, inbox) = mpsc::channel(EVENTS_MAX);
        let metrics = Metrics::new();
        let handle = Self { events: events.clone(), fabric: config.fabric.clone(), metrics: metrics.clone() };
        tokio::spawn(run::run(config, metrics, events, inbox, shutdown));
        handle
    }

    /// Has a match hosted: two workers at random, the less loaded takes it. Resolves once it is, and is in Postgres.
    ///
    /// # Errors
    /// No worker takes matches, the one chosen refused, or it did not answer within 5 s (then the match may exist all
    /// the same).
    pub async fn create_match(&self, spec: MatchSpec) -> Result<(), Refusal> {
        self.have_played(Playable::Match(Box::new(spec))).await
    }

    /// Has a finished match shown again to one person, who then watches it as [`Replay::showing`].
    ///
    /// # Errors
    /// As [`Handle::create_match`]; `not_found` if it has no replay.
    pub(crate) async fn show_replay(&self, replay: Replay) -> Result<(), Refusal> {
        self.have_played(Playable::Replay(replay)).await
    }

    async fn have_played(&self, what: Playable) -> Result<(), Refusal> {
        let workers = self.fabric.nodes().workers();
        let Some(worker) = two_choices(&workers, entropy::random_u64()) else {
            return Err(Refusal::new(ErrorCode::AtCapacity, "no worker takes matches"));
        };
        let (reply, answer) = oneshot::channel();
        self.events
            .send(Event::Create { worker, what, reply })
            .await
            .map_err(|_| Refusal::unavailable("this edge is shutting down"))?;
        answer.await.unwrap_or_else(|_| Err(Refusal::unavailable("this edge is shutting down")))
    }

    /// Sends everybody to another edge, spread over `within` and never both players of a match at the same moment.
    /// Resolves once nobody is left. Refuse new connections first.
    pub async fn drain(&self, within: Duration) {
        let (done, gone) = oneshot::channel();
        if self.events.send(Event::Drain { within, done }).await.is_ok() {
            // An error means that the hub has ended, and with it everybody's connection.
            let _ = gone.await;
        }
    }

    /// Resolves once the hub has ended: by `shutdown`, or in a panic.
    pub async fn ended(&self) {
        self.events.closed().await;
    }

    pub(crate) fn try_send(&self, event: Event) -> Result<(), HubFull> {
        self.events.try_send(event).map_err(|_| {
            self.metrics.hub_full.increment(1);
            HubFull
        })
    }
}

/// A command's name: the `type` of the message that asked for it.
pub(crate) const fn command_name(command: Command) -> &'static str {
    match command {
        Command::Ready => "ready",
        Command::Pause => "pause",
        Command::Resume => "resume",
        Command::Forfeit => "forfeit",
        Command::Replay { .. } => "replay_control",
    }
}
