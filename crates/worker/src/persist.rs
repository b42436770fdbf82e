//! Carries out the tick thread's effects: Postgres for what must last, Redis for hints.
//!
//! Matches to be created are taken together, up to a hundred in one transaction. A result is tried until it is recorded
//! or another owner turns out to have the word: with Postgres away, finished matches wait here. All else that fails is
//! told to whoever asked.

use std::{sync::Arc, time::Duration};

use rally_fabric::{Fabric, Owned};
use rally_protocol::{
    client::v1::{ErrorCode, Mode},
    cluster::v1::{Control, MatchSpec, SeatSpec},
};
use rally_room::FinishedMatch;
use rally_service::{backoff::Backoff, clock, entropy};
use rally_store::{
    ClaimError, CreateError, FenceError, FinishError, Finished, NewMatch, Owner, Score, Seat, Store, StoreError,
};
use rally_units::{Epoch, MatchId};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::TaskTracker;

use crate::{
    convert,
    effect::{Answer, Effect, Grant, Joining, Refused},
};

/// Effects carried out at once. Each holds at most one connection of the pool, which has fewer.
const IN_FLIGHT_MAX: usize = 64;
/// Matches created by one call of the store.
const CREATE_BATCH_MAX: usize = 100;

/// What a persister needs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Persister {
    pub(crate) store: Store,
    pub(crate) fabric: Fabric,
    pub(crate) owner: Owner,
    pub(crate) score_to_win: u8,
    pub(crate) answers: mpsc::Sender<Answer>,
}

impl Persister {
    /// Runs until the channel closes and everything taken from it is done.
    pub(crate) async fn run(self, mut effects: mpsc::Receiver<Effect>) {
        let tasks = TaskTracker::new();
        let slots = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
        let mut batch = Vec::new();
        while effects.recv_many(&mut batch, CREATE_BATCH_MAX).await > 0 {
            let mut to_create = Vec::new();
            for effect in batch.drain(..) {
                if let Effect::Create(spec) = effect {
                    to_create.push(spec);
                    continue;
                }
                // The semaphore is never closed.
                let Ok(slot) = slots.clone().acquire_owned().await else { return };
                let this = self.clone();
                tasks.spawn(async move {
                    this.carry_out(effect).await;
                    drop(slot);
                });
            }
            if !to_create.is_empty() {
                let Ok(slot) = slots.clone().acquire_owned().await else { return };
                let this = self.clone();
                tasks.spawn(async move {
                    this.create(to_create).await;
                    drop(slot);
                });
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    async fn answer(&self, answer: Answer) {
        // The tick thread outlives this one but at the very end, when no answer matters any more.
        drop(self.answers.send(answer).await);
    }

    async fn carry_out(&self, effect: Effect) {
        match effect {
            // Taken out above.
            Effect::Create(spec) => self.create(vec![spec]).await,
            Effect::Claim { match_id, epoch, side, join } => self.claim(match_id, epoch, side, join).await,
            Effect::Started { match_id, epoch } => {
                note("start", match_id, self.store.start_match(match_id, epoch).await);
            }
            Effect::Goal { match_id, epoch, score: [left, right] } => {
                let score = Score { left: left.into(), right: right.into() };
                note("goal", match_id, self.store.record_goal(match_id, epoch, score).await);
            }
            Effect::Finish { match_id, epoch, result } => self.finish(match_id, epoch, *result).await,
            Effect::Void { match_id, epoch } => {
                let reason = rally_store::EndReason::Abandoned;
                let voided = self.store.void_match(match_id, epoch, reason).await;
                if matches!(voided, Ok(()) | Err(FenceError::Ended)) {
                    self.answer(Answer::Voided { match_id }).await;
                } else {
                    note("void", match_id, voided);
                }
            }
            Effect::Requeue(ticket) => match self.fabric.queue().join_first(&ticket).await {
                Ok(_) => {
                    let control = Control::Requeued { session: ticket.session, mode: ticket.mode };
                    // Of no match any more; the edge looks at the session only.
                    let match_id = MatchId::from_bytes([0; 16]);
                    self.answer(Answer::Tell { edge: ticket.edge, match_id, control: Box::new(control) }).await;
                }
                Err(error) => tracing::warn!(user = %ticket.user, %error, "cannot put a player in line again"),
            },
            Effect::Own(matches) => {
                let rally_store::Owner { node, incarnation } = self.owner;
                let owned: Vec<_> = matches
                    .into_iter()
                    .map(|(match_id, epoch)| Owned {
                        match_id,
                        owner: rally_fabric::Owner { node, incarnation, epoch },
                    })
                    .collect();
                if let Err(error) = self.fabric.set_owners(&owned).await {
                    // Edges fall back on Postgres, and this is repeated within seconds.
                    tracing::debug!(%error, "cannot tell the cache who owns which match");
                }
            }
            Effect::Disown(match_id, epoch) => {
                if let Err(error) = self.fabric.clear_owner(match_id, epoch).await {
                    tracing::debug!(%match_id, %error, "cannot clear a match's owner");
                }
            }
        }
    }

    #[expect(clippy::vec_box, reason = "they come and go in boxes")]
    async fn create(&self, specs: Vec<Box<MatchSpec>>) {
        let rows: Vec<_> = specs.iter().map(|spec| self.new_match(spec)).collect();
        let created = self.store.create_matches(&rows).await;
        match created {
            Ok(results) => {
                for ((spec, row), result) in specs.into_iter().zip(&rows).zip(results) {
                    let granted = self.granted(row, result);
                    self.answer(Answer::Created { spec, granted }).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, matches = specs.len(), "cannot create matches");
                for spec in specs {
                    self.answer(Answer::Created { spec, granted: Err(unavailable(&error)) }).await;
                }
            }
        }
    }

    fn granted(&self, row: &NewMatch, result: Result<Epoch, CreateError>) -> Result<Grant, Refused> {
        match result {
            Ok(epoch) => Ok(Grant::Here { epoch, seed: row.seed }),
            // By an earlier try whose answer was lost: of ours, or of a director that died.
            Err(CreateError::AlreadyExists(ownership)) if ownership.owner == self.owner => {
                Ok(Grant::Here { epoch: ownership.epoch, seed: row.seed })
            }
            Err(CreateError::AlreadyExists(_)) => Ok(Grant::Elsewhere),
            Err(CreateError::AlreadyInMatch { .. }) => {
                Err(Refused::new(ErrorCode::AlreadyInMatch, "a player is in another match"))
            }
            Err(error) => Err(Refused::new(ErrorCode::InvalidInput, error.to_string())),
        }
    }

    fn new_match(&self, spec: &MatchSpec) -> NewMatch {
        let [left, right] = spec.seats.each_ref().map(|seat| match seat {
            SeatSpec::Open => Seat::Open,
            SeatSpec::Bot { level } => Seat::Bot(convert::level(*level)),
            SeatSpec::User { id, .. } => Seat::Player(*id),
        });
        // The second player of a local match has no account: both seats are the one user's connection.
        let right = if spec.mode == Mode::Local { Seat::Shared } else { right };
        NewMatch {
            id: spec.id,
            mode: convert::mode(spec.mode),
            classic: spec.classic,
            private: spec.private,
            score_to_win: self.score_to_win.into(),
            seed: entropy::random_u64(),
            rules_version: rally_sim::RULES_VERSION as u16,
            seats: [left, right],
            owner: self.owner,
        }
    }

    async fn claim(&self, match_id: MatchId, epoch: Epoch, side: rally_protocol::client::v1::Side, join: Box<Joining>) {
        let granted = match self.store.claim_seat(match_id, convert::side(side), join.user, epoch).await {
            Ok(()) => Ok(()),
            Err(ClaimError::AlreadyInMatch { .. }) => {
                Err(Refused::new(ErrorCode::AlreadyInMatch, "you are in another match"))
            }
            Err(ClaimError::Fence(FenceError::Store(error))) => Err(unavailable(&error)),
            Err(error) => Err(Refused::new(ErrorCode::Forbidden, error.to_string())),
        };
        self.answer(Answer::Claimed { match_id, side, join, granted }).await;
    }

    /// Tries until it is known what became of the result.
    async fn finish(&self, match_id: MatchId, epoch: Epoch, finished: FinishedMatch) {
        let result = convert::result(finished, clock::wall_ms());
        let mut attempts = retry().attempts();
        let answer = loop {
            match self.store.finish(&result, epoch).await {
                Ok(finished) => break finished_answer(match_id, finished),
                // By an earlier try whose answer was lost.
                Err(FinishError::AlreadyRecorded(finished)) => break finished_answer(match_id, *finished),
                Err(FinishError::Fenced { current }) => {
                    tracing::warn!(%match_id, %epoch, %current, "a result was refused: another owner has the match");
                    break Answer::Fenced { match_id };
                }
                Err(FinishError::Store(error)) if error.is_unavailable() => {
                    metrics::counter!("rally_worker_result_retries_total").increment(1);
                    let delay = attempts.failed(entropy::random_u64());
                    tracing::warn!(%match_id, %error, retry_in_ms = delay.as_millis() as u64, "result not recorded yet");
                    tokio::time::sleep(delay).await;
                }
                Err(error) => {
                    // It would fail again in the same way. Players are freed all the same.
                    tracing::error!(%match_id, %error, "a result cannot be recorded");
                    metrics::counter!("rally_worker_results_lost_total").increment(1);
                    note(
                        "void",
                        match_id,
                        self.store.void_match(match_id, epoch, rally_store::EndReason::Abandoned).await,
                    );
                    break Answer::Voided { match_id };
                }
            }
        };
        self.answer(answer).await;
    }
}

fn finished_answer(match_id: MatchId, finished: Finished) -> Answer {
    let ratings = finished.ratings.map(|ratings| ratings.map(convert::rating));
    Answer::Finished { match_id, ratings }
}

fn retry() -> Backoff {
    const MIN: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(5);
    Backoff::try_new(MIN, MAX, 0.5).expect("constants that fit")
}

fn unavailable(error: &StoreError) -> Refused {
    let code = if error.is_unavailable() { ErrorCode::Unavailable } else { ErrorCode::Internal };
    Refused::new(code, "the database did not answer; try again")
}

/// For writes that a later one makes good: a goal's score by the next goal's or the result.
fn note(what: &'static str, match_id: MatchId, written: Result<(), FenceError>) {
    if let Err(error) = written {
        metrics::counter!("rally_worker_notes_failed_total", "what" => what).increment(1);
        tracing::warn!(%match_id, what, %error, "not written");
    }
}
