//! Whether this process may have traffic: when every named condition holds and it does not drain.
//!
//! Some conditions are only needed to begin: when one of those is lost later, the process does what it can without, and
//! says so. Were it to turn traffic away, all its likes would at the same moment.

use std::sync::{Arc, Mutex, PoisonError};

use crate::drain::Drain;

/// All conditions. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Readiness {
    drain: Drain,
    conditions: Arc<Mutex<Vec<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    name: &'static str,
    holds: bool,
    has_held: bool,
    to_begin_only: bool,
}

/// The right to say whether one condition holds. Dropped, it does not: its keeper is gone.
#[derive(Debug)]
pub struct Condition {
    name: &'static str,
    readiness: Readiness,
    is_latched: bool,
}

impl Readiness {
    /// Ready, as long as no condition is added and the drain has not begun.
    pub fn new(drain: Drain) -> Self {
        Self { drain, conditions: Arc::default() }
    }

    /// Adds a condition, which does not hold yet.
    pub fn condition(&self, name: &'static str) -> Condition {
        self.add(name, false)
    }

    /// Adds a condition that is needed to begin, and only missed ([`Self::missed`]) when it is lost later.
    pub fn condition_to_begin(&self, name: &'static str) -> Condition {
        self.add(name, true)
    }

    fn add(&self, name: &'static str, to_begin_only: bool) -> Condition {
        self.with(|all| all.push(Entry { name, holds: false, has_held: false, to_begin_only }));
        Condition { name, readiness: self.clone(), is_latched: false }
    }

    /// What is missing; `draining` first, where that is so.
    pub fn unmet(&self) -> Vec<&'static str> {
        let draining = self.drain.has_begun().then_some("draining");
        draining.into_iter().chain(self.names(|entry| !entry.holds && !entry.is_tolerated())).collect()
    }

    /// What is missing and can be done without for a while.
    pub fn missed(&self) -> Vec<&'static str> {
        self.names(|entry| !entry.holds && entry.is_tolerated())
    }

    fn names(&self, which: impl Fn(&Entry) -> bool) -> Vec<&'static str> {
        self.with(|all| all.iter().filter(|entry| which(entry)).map(|entry| entry.name).collect())
    }

    /// Whether nothing is missing.
    pub fn is_ready(&self) -> bool {
        self.unmet().is_empty()
    }

    fn with<T>(&self, f: impl FnOnce(&mut Vec<Entry>) -> T) -> T {
        // A list of flags is whole after any panic.
        f(&mut self.conditions.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Entry {
    fn is_tolerated(&self) -> bool {
        self.to_begin_only && self.has_held
    }
}

impl Condition {
    /// Says whether it holds now.
    pub fn set(&self, holds: bool) {
        let changed = self.readiness.with(|all| {
            all.iter_mut().find(|entry| entry.name == self.name).is_some_and(|entry| {
                entry.has_held |= holds;
                std::mem::replace(&mut entry.holds, holds) != holds
            })
        });
        if changed {
            tracing::info!(condition = self.name, holds, "readiness changed");
        }
    }

    /// It holds from now on, for good: for what happens once, as listening does.
    pub fn latch(mut self) {
        self.set(true);
        self.is_latched = true;
    }
}

impl Drop for Condition {
    fn drop(&mut self) {
        if !self.is_latched {
            self.set(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_is_ready_when_all_conditions_hold() {
        let readiness = Readiness::new(Drain::new());
        assert!(readiness.is_ready());
        let (redis, listening) = (readiness.condition("redis"), readiness.condition("listening"));
        assert_eq!(readiness.unmet(), ["redis", "listening"]);
        listening.latch();
        redis.set(true);
        assert!(readiness.is_ready());
        redis.set(false);
        assert_eq!(readiness.unmet(), ["redis"]);
    }

    #[test]
    fn a_condition_without_its_keeper_does_not_hold() {
        let readiness = Readiness::new(Drain::new());
        let redis = readiness.condition("redis");
        redis.set(true);
        drop(redis);
        assert_eq!(readiness.unmet(), ["redis"]);
    }

    #[test]
    fn what_is_needed_to_begin_is_missed_afterwards() {
        let readiness = Readiness::new(Drain::new());
        let postgres = readiness.condition_to_begin("postgres");
        assert_eq!((readiness.unmet(), readiness.missed()), (vec!["postgres"], vec![]));
        postgres.set(true);
        postgres.set(false);
        assert!(readiness.is_ready());
        assert_eq!(readiness.missed(), ["postgres"]);
        postgres.set(true);
        assert_eq!(readiness.missed(), [""; 0]);
    }

    #[test]
    fn a_draining_process_is_not_ready() {
        let drain = Drain::new();
        let readiness = Readiness::new(drain.clone());
        drain.begin(Duration::from_secs(1));
        assert_eq!(readiness.unmet(), ["draining"]);
    }
}
