//! The pace of WebSocket handshakes: when an edge dies, all its people come at once, and those who play here must not
//! notice.
//!
//! A handshake with what follows it (a token, a session, a seat) costs about as much as a second of play. So this node
//! takes so many a second and some more at once; who comes beyond that waits for his turn, and who would wait too long
//! is told when to come again. Waiting costs a timer.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use metrics::histogram;
use rally_protocol::client::v1::ErrorCode;
use tokio::time::{Instant, sleep_until};

use crate::{error::Problem, limits::limited};

/// Nobody waits longer: clients give a handshake up after 5 s.
const WAIT_MAX: Duration = Duration::from_secs(4);
/// Handshakes that may come at once, as a share of those of a second.
const BURST: Duration = Duration::from_millis(250);

const WAITS: &str = "rally_edge_admission_wait_seconds";

pub(crate) fn describe() {
    metrics::describe_histogram!(WAITS, "how long a handshake waited for its turn, where it had to");
}

/// A bucket of turns (GCRA): one number, whatever the queue.
#[derive(Debug)]
pub(crate) struct Admission {
    /// Between two turns.
    each: Duration,
    /// When all turns given so far are over.
    busy_until: Mutex<Instant>,
}

impl Admission {
    /// So many a second, at least one.
    pub(crate) fn new(per_s: u32, now: Instant) -> Self {
        Self { each: Duration::from_secs(1) / per_s.max(1), busy_until: Mutex::new(now) }
    }

    /// Waits for one's turn.
    pub(crate) async fn enter(&self) -> Result<(), Problem> {
        let now = Instant::now();
        match self.turn(now) {
            Ok(at) if at <= now => Ok(()),
            Ok(at) => {
                sleep_until(at).await;
                histogram!(WAITS).record(at.duration_since(now));
                Ok(())
            }
            Err(later) => {
                limited("handshakes_node");
                let problem = Problem::new(ErrorCode::AtCapacity, "too many come at once; come again a little later");
                Err(problem.retry_after_s(later.as_secs() + 1))
            }
        }
    }

    /// When the next turn is, or how long its wait would be.
    fn turn(&self, now: Instant) -> Result<Instant, Duration> {
        let mut busy_until = self.busy_until.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = (*busy_until).max(now);
        let at = (begins + self.each).checked_sub(BURST.max(self.each)).unwrap_or(now).max(now);
        let wait = at.duration_since(now);
        if wait > WAIT_MAX {
            return Err(wait);
        }
        *busy_until = begins + self.each;
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn some_at_once_then_an_even_pace_then_nobody() {
        let now = Instant::now();
        let admission = Admission::new(100, now);
        let turns: Vec<_> = (0..1_000).map(|_| admission.turn(now)).collect();
        let at_once = turns.iter().filter(|turn| **turn == Ok(now)).count();
        assert_eq!(at_once, 25, "a quarter of a second's");
        let waits: Vec<_> = turns.iter().filter_map(|turn| turn.as_ref().ok()).map(|at| *at - now).collect();
        assert_eq!(waits.len(), 425, "and four seconds'");
        assert!(waits[25..].windows(2).all(|two| two[1] - two[0] == Duration::from_millis(10)));
        assert_eq!(*waits.last().expect("some"), WAIT_MAX);
        // Refusals take no turn: a second later a hundred find one.
        let later = now + Duration::from_secs(1);
        assert_eq!((0..1_000).filter(|_| admission.turn(later).is_ok()).count(), 100);
        // What was not used does not add up beyond the burst.
        let much_later = now + Duration::from_secs(600);
        assert_eq!((0..1_000).filter(|_| admission.turn(much_later) == Ok(much_later)).count(), 25);
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_waits_for_his_turn() {
        let admission = Admission::new(2, Instant::now());
        let began = Instant::now();
        for _ in 0..4 {
            assert!(admission.enter().await.is_ok());
        }
        assert!(began.elapsed() >= Duration::from_millis(1_500), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_refused_is_told_when_to_come_again() {
        let admission = Admission::new(1, Instant::now());
        let now = Instant::now();
        while admission.turn(now).is_ok() {}
        let problem = admission.enter().await.expect_err("full");
        let text = String::from_utf8(problem.to_http1()).expect("text").to_lowercase();
        assert!(text.contains("503") && text.contains("retry-after: 6"), "{text}");
    }
}
