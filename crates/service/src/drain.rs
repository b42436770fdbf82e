//! Ending without harm: from serving through draining to done, by a deadline.
//!
//! Contract: whoever does something that must not be cut off (a socket, a match) holds a [`Guard`]. [`Drain::begin`]
//! tells all of them; [`Drain::wait`] returns when the last guard is dropped or the deadline has passed, and then all
//! that still runs is told that it is over. axum's graceful shutdown does not wait for upgraded sockets; guards do.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use crate::env::{Env, Unit, Var};

/// How long a drain may take.
pub const DRAIN_MS: Var = Var::new(
    "RALLY_DRAIN_MS",
    Unit::Milliseconds,
    "How long sockets and matches may take to finish after SIGTERM, before they are cut off. Must be below the time \
     after which the orchestrator kills the process (Kubernetes: terminationGracePeriodSeconds, 30 s unless set).",
)
.or("25000");

/// The variables of this concern.
pub const VARS: &[Var] = &[DRAIN_MS];

/// Reads [`VARS`].
pub fn read_limit(env: &mut Env<'_>) -> Option<Duration> {
    env.get(&DRAIN_MS)
}

/// How far the ending is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not ending.
    Serving,
    /// Take nothing new, finish what runs, until then.
    Draining {
        /// When what is left will be cut off.
        deadline: Instant,
    },
    /// Over: stop at once.
    Done,
}

/// What [`Drain::wait`] saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All guards were dropped.
    Finished,
    /// The deadline passed with this many guards still held.
    DeadlinePassed {
        /// How many.
        left: usize,
    },
}

/// Shared by everything that begins, watches or delays the end of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Drain {
    phase: Arc<watch::Sender<Phase>>,
    guards: TaskTracker,
}

/// Keeps [`Drain::wait`] waiting until dropped.
#[derive(Debug)]
pub struct Guard {
    drain: Drain,
    _token: TaskTrackerToken,
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

impl Drain {
    /// One that serves.
    pub fn new() -> Self {
        metrics::counter!("rally_drain_cut_off_total").increment(0);
        Self { phase: Arc::new(watch::Sender::new(Phase::Serving)), guards: TaskTracker::new() }
    }

    /// How far it is.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Whether it has begun: new work is to be refused.
    pub fn has_begun(&self) -> bool {
        self.phase() != Phase::Serving
    }

    /// Begins it. Begun again, the nearer deadline counts.
    pub fn begin(&self, within: Duration) {
        let deadline = Instant::now() + within;
        self.phase.send_if_modified(|phase| {
            let nearer = match *phase {
                Phase::Serving => true,
                Phase::Draining { deadline: earlier } => deadline < earlier,
                Phase::Done => false,
            };
            if nearer {
                *phase = Phase::Draining { deadline };
            }
            nearer
        });
        self.guards.close();
    }

    /// Waits until it begins; at once, when it has. Gives the deadline.
    pub async fn begun(&self) -> Instant {
        let mut watched = self.phase.subscribe();
        match watched.wait_for(|phase| *phase != Phase::Serving).await.map(|p| *p) {
            Ok(Phase::Draining { deadline }) => deadline,
            // We hold the sender, so that the channel cannot have closed.
            Ok(Phase::Serving | Phase::Done) | Err(_) => Instant::now(),
        }
    }

    /// Waits until all is over: what still runs stops then.
    pub async fn done(&self) {
        let _ = self.phase.subscribe().wait_for(|phase| *phase == Phase::Done).await;
    }

    /// For what must finish and belongs to work that was already accepted: given in every phase.
    pub fn guard(&self) -> Guard {
        Guard { drain: self.clone(), _token: self.guards.token() }
    }

    /// For new work: `None` once draining has begun. Whoever gets one is waited for.
    pub fn admit(&self) -> Option<Guard> {
        // The guard first: were the phase read before, a drain that begins in between would not wait for us.
        let guard = self.guard();
        (!self.has_begun()).then_some(guard)
    }

    /// Guards held at this moment.
    pub fn guards(&self) -> usize {
        self.guards.len()
    }

    /// Waits for the drain to begin and then for all guards or the deadline, whichever is first; then it is done.
    pub async fn wait(&self) -> Outcome {
        let mut watched = self.phase.subscribe();
        let outcome = loop {
            let phase = *watched.borrow_and_update();
            match phase {
                Phase::Serving => _ = watched.changed().await,
                Phase::Done => break Outcome::Finished,
                Phase::Draining { deadline } => tokio::select! {
                    biased;
                    () = self.guards.wait() => break Outcome::Finished,
                    () = tokio::time::sleep_until(deadline) => {
                        break match self.guards.len() {
                            0 => Outcome::Finished,
                            left => Outcome::DeadlinePassed { left },
                        };
                    }
                    _ = watched.changed() => {}
                },
            }
        };
        if let Outcome::DeadlinePassed { left } = outcome {
            metrics::counter!("rally_drain_cut_off_total").increment(left as u64);
        }
        self.phase.send_replace(Phase::Done);
        outcome
    }
}

impl Guard {
    /// The drain it belongs to: a task watches it for its own end.
    pub fn drain(&self) -> &Drain {
        &self.drain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn it_waits_for_the_last_guard() {
        let drain = Drain::new();
        let guard = drain.admit().expect("serving");
        let task = tokio::spawn(async move {
            guard.drain().begun().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(guard);
        });
        let started = Instant::now();
        drain.begin(SOON);
        assert_eq!(drain.wait().await, Outcome::Finished);
        assert_eq!(started.elapsed(), Duration::from_secs(1));
        assert_eq!(drain.phase(), Phase::Done);
        task.await.expect("task");
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_wait_beyond_the_deadline() {
        let drain = Drain::new();
        let held = [drain.guard(), drain.guard()];
        let started = Instant::now();
        drain.begin(SOON);
        assert_eq!(drain.wait().await, Outcome::DeadlinePassed { left: 2 });
        assert_eq!(started.elapsed(), SOON);
        held[0].drain().done().await;
    }

    #[tokio::test(start_paused = true)]
    async fn new_work_is_refused_but_accepted_work_may_branch() {
        let drain = Drain::new();
        drain.begin(SOON);
        assert!(drain.admit().is_none());
        let guard = drain.guard();
        assert_eq!(drain.guards(), 1);
        drop(guard);
        assert_eq!(drain.wait().await, Outcome::Finished);
    }

    #[tokio::test(start_paused = true)]
    async fn the_nearer_deadline_counts() {
        let drain = Drain::new();
        let _held = drain.guard();
        let started = Instant::now();
        drain.begin(Duration::from_secs(60));
        let waiting = tokio::spawn({
            let drain = drain.clone();
            async move { drain.wait().await }
        });
        tokio::task::yield_now().await;
        drain.begin(Duration::from_secs(2));
        drain.begin(Duration::from_secs(90));
        assert_eq!(waiting.await.expect("task"), Outcome::DeadlinePassed { left: 1 });
        assert_eq!(started.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_includes_waiting_for_the_beginning() {
        let drain = Drain::new();
        let waiting = tokio::spawn({
            let drain = drain.clone();
            async move { drain.wait().await }
        });
        tokio::time::sleep(SOON).await;
        assert!(!waiting.is_finished());
        drain.begin(SOON);
        assert_eq!(waiting.await.expect("task"), Outcome::Finished);
    }
}
