//! The director that removes what nobody needs any more, in small batches with pauses between them.
//!
//! The lease is a hint about who is to do it, as for all directors; that nobody else does it at the same time is Postgres's
//! word. Nothing depends on when it happens.

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use rally_fabric::{Director, Fabric};
use rally_service::{clock, drain::Drain};
use rally_store::{Old, Place, Store};
use rally_units::Instant;
use tokio::time::MissedTickBehavior;

use crate::config::RetentionConfig;

/// How often the director's lease is renewed. It lives for a second.
const HOLD_EVERY: Duration = Duration::from_millis(250);
/// Between two batches, at least.
const BATCH_EVERY: Duration = Duration::from_millis(100);
/// Between two sweeps over everything.
const SWEEP_EVERY: Duration = Duration::from_secs(10 * 60);
/// How long nothing is tried after Postgres has failed.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

pub(crate) const REMOVED: &str = "rally_retention_removed_total";
pub(crate) const BATCH_SECONDS: &str = "rally_retention_batch_seconds";
pub(crate) const SWEPT_AT: &str = "rally_retention_swept_timestamp_seconds";

pub(crate) fn describe() {
    metrics::describe_counter!(REMOVED, "Rows removed that were kept no longer, by what they were");
    metrics::describe_histogram!(BATCH_SECONDS, "Removing a batch of rows, by what they were");
    metrics::describe_gauge!(SWEPT_AT, "When this node last came to the end of what is to be removed");
    for what in Old::ALL {
        counter!(REMOVED, "what" => what.as_str()).increment(0);
    }
}

pub(crate) struct Retention {
    pub(crate) fabric: Fabric,
    pub(crate) store: Store,
    pub(crate) config: RetentionConfig,
    pub(crate) drain: Drain,
}

impl Retention {
    /// Runs until this worker drains.
    pub(crate) async fn run(self) {
        describe();
        let mut director = self.fabric.director("retention");
        let mut hold = tokio::time::interval(HOLD_EVERY);
        hold.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sweep = Sweep::begin();
        let mut due = clock::now();
        loop {
            tokio::select! {
                _ = self.drain.begun() => break,
                _ = hold.tick() => {}
            }
            if !matches!(director.try_hold().await, Ok(true)) {
                continue;
            }
            if clock::now() >= due {
                due = self.work(&mut sweep, &director).await;
            }
        }
        if let Err(error) = director.release().await {
            tracing::debug!(%error, "the lease runs out by itself");
        }
    }

    /// Removes batches for as long as the lease holds without being renewed. Returns when to go on.
    async fn work(&self, sweep: &mut Sweep, director: &Director) -> Instant {
        let until = clock::now() + HOLD_EVERY;
        loop {
            let Some(what) = sweep.what() else {
                *sweep = Sweep::begin();
                gauge!(SWEPT_AT).set((clock::wall_ms() / 1_000) as f64);
                return clock::now() + SWEEP_EVERY;
            };
            let Some(kept_for) = self.config.kept_for(what) else {
                sweep.skip();
                continue;
            };
            let now = clock::now();
            if now >= until || !director.holds(now) || self.drain.has_begun() {
                return now;
            }
            let started = std::time::Instant::now();
            match self.store.remove_old(what, kept_for, sweep.from, self.config.batch).await {
                Ok(Some(swept)) => {
                    histogram!(BATCH_SECONDS, "what" => what.as_str()).record(started.elapsed());
                    counter!(REMOVED, "what" => what.as_str()).increment(swept.removed);
                    if swept.removed > 0 {
                        tracing::debug!(what = what.as_str(), rows = swept.removed, "removed what is kept no longer");
                    }
                    sweep.go_on(swept.next);
                }
                // The one who had the lease before has not noticed yet.
                Ok(None) => return clock::now() + HOLD_EVERY,
                Err(error) => {
                    tracing::warn!(what = what.as_str(), %error, "cannot remove what is kept no longer");
                    // The rest need not wait for this one.
                    sweep.skip();
                    return clock::now() + AGAIN_AFTER;
                }
            }
            tokio::time::sleep(BATCH_EVERY).await;
        }
    }
}

/// How far one has come.
struct Sweep {
    at: usize,
    from: Place,
}

impl Sweep {
    fn begin() -> Self {
        Self { at: 0, from: Place::START }
    }

    fn what(&self) -> Option<Old> {
        Old::ALL.get(self.at).copied()
    }

    fn go_on(&mut self, next: Option<Place>) {
        match next {
            Some(place) => self.from = place,
            None => self.skip(),
        }
    }

    fn skip(&mut self) {
        *self = Self { at: self.at + 1, from: Place::START };
    }
}
