//! Waiting for a condition rather than for a time.

use std::{
    fmt::Display,
    panic::Location,
    time::{Duration, Instant},
};

/// Between two looks. Short, since a condition is usually true by the first or second.
const PAUSE: Duration = Duration::from_millis(10);

/// Returns as soon as `condition` is true.
///
/// The time is the machine's, not the runtime's: a test with paused time does not rush past its limit.
///
/// # Panics
/// After `within`, naming the caller's line.
#[track_caller]
pub fn eventually<F: Future<Output = bool>>(
    within: Duration,
    mut condition: impl FnMut() -> F,
) -> impl Future<Output = ()> {
    let caller = Location::caller();
    async move {
        let started = Instant::now();
        while !condition().await {
            assert!(started.elapsed() < within, "{caller}: not so within {within:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The first `Ok` of `attempt`.
///
/// # Panics
/// After `within`, with the last error and the caller's line.
#[track_caller]
pub fn eventually_ok<T, E: Display, F: Future<Output = Result<T, E>>>(
    within: Duration,
    mut attempt: impl FnMut() -> F,
) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        let started = Instant::now();
        loop {
            match attempt().await {
                Ok(value) => return value,
                Err(e) => assert!(started.elapsed() < within, "{caller}: not within {within:?}: {e}"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
