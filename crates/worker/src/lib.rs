//! The shell of a worker: it hosts matches and runs the directors whose leases it holds.
//!
//! ```text
//!  Redis ──mailbox──▶ tick thread (tick_loop, shard, host) ──bundles──▶ Redis
//!                        │ effects          ▲ answers
//!                        ▼                  │
//!                     persist (Postgres, cache), directors: tasks of the runtime
//! ```
//!
//! The tick thread owns every match. It waits for its next deadline and for nothing else: what takes time is an
//! effect, and comes back as an answer.

#[cfg(test)]
mod cluster_sim;
mod config;
mod convert;
mod effect;
mod host;
mod lateness;
mod matchmaker;
mod metrics;
mod pacing;
mod persist;
mod retention;
mod shard;
#[cfg(test)]
mod shard_tests;
mod sweeper;
mod tenure;
mod tick_loop;

use std::{io, thread, time::Duration};

pub use config::{RetentionConfig, WorkerConfig};
use rally_fabric::{Fabric, LiveMatch, Pairs};
use rally_protocol::cluster::BundleKeys;
use rally_room::RoomSettings;
use rally_service::drain::Drain;
use rally_store::{Owner, Store};
use rally_units::{Incarnation, MatchId, NodeId};
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    effect::Answer, host::HostConfig, matchmaker::Matchmaker, metrics::Metrics, persist::Persister,
    retention::Retention, shard::Shard, sweeper::Sweeper, tick_loop::TickLoop,
};

/// Effects on their way; beyond it they wait with the tick thread.
const EFFECTS_LEN_MAX: usize = 1_024;
/// Answers on their way; beyond it whoever answers waits.
const ANSWERS_LEN_MAX: usize = 1_024;

/// How long before the drain's deadline matches that still play are given up, so that this can be recorded.
const GIVE_UP_WITHIN: Duration = Duration::from_secs(3);

/// A match that an operator wants moved, to this worker or to any.
pub type MoveOrder = (MatchId, Option<NodeId>);

/// What a worker stands on.
pub struct Ports {
    /// The connection to the other nodes.
    pub fabric: Fabric,
    /// This life of the node.
    pub incarnation: Incarnation,
    /// What seals its bundles.
    pub keys: BundleKeys,
    /// The database.
    pub store: Store,
    /// What operators want moved.
    pub moves: mpsc::Receiver<MoveOrder>,
    /// The process's end.
    pub drain: Drain,
}

/// Why a worker stopped before its time.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Somebody else reads this node's mailbox.
    #[error("the mailbox has been taken already")]
    MailboxTaken,
    /// The machine gave no thread.
    #[error("cannot start the tick thread")]
    Thread(#[source] io::Error),
    /// A bug: matches are gone with it.
    #[error("the tick thread has panicked")]
    Panicked,
}

/// Runs a worker until its drain is over: matches that play are finished, up to the drain's deadline; what is left then
/// is recorded as abandoned.
///
/// # Errors
/// The worker could not start, or its tick thread has died.
pub async fn run(config: WorkerConfig, ports: Ports) -> Result<(), WorkerError> {
    let Ports { fabric, incarnation, keys, store, moves, drain } = ports;
    let me = fabric.node();
    let owner = Owner { node: me, incarnation };
    let (effects_to, effects) = mpsc::channel(EFFECTS_LEN_MAX);
    let (answers_to, answers) = mpsc::channel(ANSWERS_LEN_MAX);
    let (busy_to, mut busy) = watch::channel(false);
    let (live_to, live) = watch::channel(Vec::new());
    let stop = CancellationToken::new();
    let (died_to, mut died) = watch::channel(());

    let host = HostConfig {
        me,
        incarnation,
        matches_max: config.matches_max,
        room: RoomSettings { score_to_win: config.score_to_win },
    };
    let metrics = Metrics::new();
    let tick_loop = TickLoop {
        shard: Shard::new(host, Pairs::new(me, incarnation, keys.clone()), metrics.clone()),
        fabric: fabric.clone(),
        mailbox: fabric.take_mailbox().ok_or(WorkerError::MailboxTaken)?,
        answers,
        effects: effects_to,
        busy: busy_to,
        live: live_to,
        stop: stop.clone(),
        metrics,
    };
    let ticking = thread::Builder::new()
        .name("tick".into())
        .spawn(move || {
            // Dropped when the thread ends, in whatever way.
            let _alive = died_to;
            tick_loop.run();
        })
        .map_err(WorkerError::Thread)?;

    let tasks = TaskTracker::new();
    let persister = Persister::new(store.clone(), fabric.clone(), keys, owner, config.score_to_win, answers_to.clone());
    let persisting = tasks.spawn(persister.run(effects));
    for mode in matchmaker::MODES {
        let (fabric, store, answers, drain) = (fabric.clone(), store.clone(), answers_to.clone(), drain.clone());
        tasks.spawn(Matchmaker { mode, fabric, store, answers, drain }.run());
    }
    tasks.spawn(pass_on(moves, answers_to.clone()));
    tasks.spawn(tell_live(fabric.clone(), live));
    let (of_fabric, of_store, of_drain) = (fabric.clone(), store.clone(), drain.clone());
    tasks.spawn(Retention { fabric: of_fabric, store: of_store, config: config.retention, drain: of_drain }.run());
    tasks.spawn(Sweeper::new(fabric, store, owner, drain.clone()).run());
    tasks.close();

    // The guard keeps the process until the last match is recorded.
    let guard = drain.guard();
    tokio::select! {
        _ = drain.begun() => {}
        _ = died.changed() => return Err(WorkerError::Panicked),
    }
    drop(answers_to.send(Answer::Drain).await);
    // By then the thread has heard of it and has said whether it is busy.
    tokio::time::sleep(2 * tick_loop::HOUSEKEEPING_EVERY).await;
    let give_up_at = drain.begun().await - GIVE_UP_WITHIN;
    if tokio::time::timeout_at(give_up_at, busy.wait_for(|busy| !*busy)).await.is_err() {
        drop(answers_to.send(Answer::GiveUp).await);
        drop(tokio::time::timeout(GIVE_UP_WITHIN, busy.wait_for(|busy| !*busy)).await);
    }
    drop(guard);
    stop.cancel();
    let joined = tokio::task::spawn_blocking(|| ticking.join()).await;
    // The tick thread held the only sender, so the persister ends once what it has is done.
    drop(tokio::time::timeout(GIVE_UP_WITHIN, persisting).await);
    match joined {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(WorkerError::Panicked),
    }
}

/// Tells the world what may be watched here, until the tick thread ends.
async fn tell_live(fabric: Fabric, mut live: watch::Receiver<Vec<LiveMatch>>) {
    while live.changed().await.is_ok() {
        let matches = live.borrow_and_update().clone();
        if let Err(error) = fabric.live().tell(matches).await {
            // The next second's word makes up for it.
            tracing::debug!(%error, "cannot tell which matches are live");
        }
    }
}

async fn pass_on(mut moves: mpsc::Receiver<MoveOrder>, answers: mpsc::Sender<Answer>) {
    while let Some((match_id, to)) = moves.recv().await {
        if answers.send(Answer::Move { match_id, to }).await.is_err() {
            return;
        }
    }
}
