//! Whether this process may have traffic: when every named condition holds and it does not drain.

use std::sync::{Arc, Mutex, PoisonError};

use crate::drain::Drain;

/// All conditions. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Readiness {
    drain: Drain,
    conditions: Arc<Mutex<Vec<(&'static str, bool)>>>,
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
        self.with(|all| all.push((name, false)));
        Condition { name, readiness: self.clone(), is_latched: false }
    }

    /// What is missing; `draining` first, where that is so.
    pub fn unmet(&self) -> Vec<&'static str> {
        let draining = self.drain.has_begun().then_some("draining");
        let unmet = self.with(|all| all.iter().filter(|(_, holds)| !holds).map(|(n, _)| *n).collect::<Vec<_>>());
        draining.into_iter().chain(unmet).collect()
    }

    /// Whether nothing is missing.
    pub fn is_ready(&self) -> bool {
        self.unmet().is_empty()
    }

    fn with<T>(&self, f: impl FnOnce(&mut Vec<(&'static str, bool)>) -> T) -> T {
        // A list of flags is whole after any panic.
        f(&mut self.conditions.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Condition {
    /// Says whether it holds now.
    pub fn set(&self, holds: bool) {
        let changed = self.readiness.with(|all| {
            all.iter_mut()
                .find(|(name, _)| *name == self.name)
                .is_some_and(|(_, was)| std::mem::replace(was, holds) != holds)
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
    fn a_draining_process_is_not_ready() {
        let drain = Drain::new();
        let readiness = Readiness::new(drain.clone());
        drain.begin(Duration::from_secs(1));
        assert_eq!(readiness.unmet(), ["draining"]);
    }
}
