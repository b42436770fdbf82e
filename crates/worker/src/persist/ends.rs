//! What a match's end hangs on: tried until it is known what became of it. With Postgres away, finished matches wait
//! here.

use std::time::Duration;

use rally_room::FinishedMatch;
use rally_service::{
    backoff::{Attempts, Backoff},
    clock, entropy, traces,
};
use rally_store::{EndReason, FenceError, FinishError, Finished, Ownership, StoreError};
use rally_units::{Epoch, MatchId};

use super::Persister;
use crate::{convert, effect::Answer};

impl Persister {
    /// Records a result.
    pub(super) async fn finish(&self, match_id: MatchId, epoch: Epoch, finished: FinishedMatch) {
        let result = convert::result(finished, clock::wall_ms());
        let mut attempts = retry();
        let answer = loop {
            let written = {
                let _one = self.ends_at_once.acquire().await;
                self.store.finish(&result, epoch).await
            };
            match written {
                Ok(finished) => {
                    traces::match_over(match_id, "finished");
                    break finished_answer(match_id, finished);
                }
                // By an earlier try whose answer was lost; or somebody has called the match off.
                Err(FinishError::AlreadyRecorded(recorded)) => {
                    if (recorded.winner, recorded.reason) != (result.winner, result.reason) {
                        break Answer::Voided { match_id };
                    }
                    traces::match_over(match_id, "finished");
                    break finished_answer(match_id, *recorded);
                }
                Err(FinishError::Fenced { current }) => {
                    tracing::warn!(%match_id, %epoch, %current, "a result was refused: another owner has the match");
                    break Answer::Fenced { match_id, epoch };
                }
                Err(FinishError::Store(error)) if error.is_unavailable() => {
                    wait(&mut attempts, "result", match_id, &error).await;
                }
                Err(error) => {
                    // It would fail again in the same way. Players are freed all the same.
                    tracing::error!(%match_id, %error, "a result cannot be recorded");
                    metrics::counter!("rally_worker_results_lost_total").increment(1);
                    return self.void(match_id, epoch).await;
                }
            }
        };
        self.answer(answer).await;
    }

    /// Ends a match without a result, and frees its players.
    pub(super) async fn void(&self, match_id: MatchId, epoch: Epoch) {
        let mut attempts = retry();
        let answer = loop {
            let written = {
                let _one = self.ends_at_once.acquire().await;
                self.store.void_match(match_id, Ownership { owner: self.owner, epoch }, EndReason::Abandoned).await
            };
            match written {
                Ok(()) => {
                    traces::match_over(match_id, "abandoned");
                    break Answer::Voided { match_id };
                }
                Err(FenceError::Ended | FenceError::NoSuchMatch) => break Answer::Voided { match_id },
                Err(FenceError::Fenced { .. }) => break Answer::Fenced { match_id, epoch },
                Err(FenceError::Store(error)) if error.is_unavailable() => {
                    wait(&mut attempts, "void", match_id, &error).await;
                }
                Err(FenceError::Store(error)) => {
                    tracing::error!(%match_id, %error, "a match cannot be ended; its players keep their seats");
                    break Answer::Voided { match_id };
                }
            }
        };
        self.answer(answer).await;
    }

    /// Asks which of these are not ours any more. Matches stand still until this is answered.
    pub(super) async fn confirm(&self, lapse: u64, matches: Vec<(MatchId, Epoch)>) {
        let mut attempts = retry();
        let held = loop {
            match self.store.confirm(&matches, self.owner).await {
                Ok(held) => break held,
                Err(error) => {
                    let delay = attempts.failed(entropy::random_u64());
                    tracing::warn!(%error, retry_in_ms = delay.as_millis() as u64, "cannot ask what is still ours");
                    tokio::time::sleep(delay).await;
                }
            }
        };
        let held: std::collections::HashSet<_> = held.into_iter().collect();
        let lost = matches.into_iter().filter(|held_before| !held.contains(held_before)).collect();
        self.answer(Answer::Confirmed { lapse, lost }).await;
    }
}

fn finished_answer(match_id: MatchId, finished: Finished) -> Answer {
    let ratings = finished.ratings.map(|ratings| ratings.map(convert::rating));
    Answer::Finished { match_id, ratings }
}

async fn wait(attempts: &mut Attempts, what: &'static str, match_id: MatchId, error: &StoreError) {
    metrics::counter!("rally_worker_result_retries_total").increment(1);
    let delay = attempts.failed(entropy::random_u64());
    tracing::warn!(%match_id, what, %error, retry_in_ms = delay.as_millis() as u64, "a match's end is not recorded yet");
    tokio::time::sleep(delay).await;
}

fn retry() -> Attempts {
    const MIN: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(5);
    Backoff::try_new(MIN, MAX, 0.5).expect("constants that fit").attempts()
}
