//! Carries out the tick thread's effects: Postgres for what must last, Redis for hints.
//!
//! Effects are taken as they come, so that none holds up another: those that Postgres keeps waiting must not keep Redis
//! from hearing who owns what. What a match's end hangs on is tried until it is known (`ends`); there is at most one
//! of these for each match. All else waits in a bounded number of places, and is shed when they are taken: a
//! question is answered with `unavailable`, and what is only noted is dropped, to be made good by a later note.
//!
//! Matches to be created are taken together, up to a hundred in one transaction.

mod ends;
mod owners;
mod replays;

use std::sync::Arc;

use rally_fabric::{Fabric, Joined, Owned};
use rally_protocol::{
    client::v1::{ErrorCode, Mode, Side},
    cluster::{
        BundleKeys,
        v1::{Control, MatchSpec, SeatSpec},
    },
};
use rally_service::{
    entropy,
    traces::{Together, in_match},
};
use rally_store::{ClaimError, CreateError, FenceError, NewMatch, Owner, Score, Seat, Store, StoreError};
use rally_units::{Epoch, MatchId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::{
    convert,
    effect::{Answer, Effect, Grant, Joining, Refused},
};

#[cfg(test)]
pub(crate) use owners::failed;

/// Effects for Postgres that wait or are carried out, those of matches' ends apart; creations count once for each batch.
const POSTGRES_PLACES: usize = 1_024;
/// Effects for Redis that are carried out. None waits for another.
const REDIS_PLACES: usize = 1_024;
/// Effects for Postgres that are carried out at once. Each holds one connection of the pool, which has fewer; more
/// would wait there, and fail after the pool's patience.
const AT_ONCE_MAX: usize = 48;
/// The same for the ends of matches.
const ENDS_AT_ONCE_MAX: usize = 16;
/// Matches created by one call of the store.
const CREATE_BATCH_MAX: usize = 100;

/// What a persister needs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Persister {
    store: Store,
    fabric: Fabric,
    keys: BundleKeys,
    owner: Owner,
    score_to_win: u8,
    answers: mpsc::Sender<Answer>,
    postgres_places: Arc<Semaphore>,
    redis_places: Arc<Semaphore>,
    at_once: Arc<Semaphore>,
    ends_at_once: Arc<Semaphore>,
}

/// What stands in an effect's way.
enum Place {
    Free(Option<OwnedSemaphorePermit>),
    Taken,
}

impl Persister {
    pub(crate) fn new(
        store: Store,
        fabric: Fabric,
        keys: BundleKeys,
        owner: Owner,
        score_to_win: u8,
        answers: mpsc::Sender<Answer>,
    ) -> Self {
        Self {
            store,
            fabric,
            keys,
            owner,
            score_to_win,
            answers,
            postgres_places: Arc::new(Semaphore::new(POSTGRES_PLACES)),
            redis_places: Arc::new(Semaphore::new(REDIS_PLACES)),
            at_once: Arc::new(Semaphore::new(AT_ONCE_MAX)),
            ends_at_once: Arc::new(Semaphore::new(ENDS_AT_ONCE_MAX)),
        }
    }

    /// Runs until the channel closes and everything taken from it is done.
    pub(crate) async fn run(self, mut effects: mpsc::Receiver<Effect>) {
        let tasks = TaskTracker::new();
        let mut batch = Vec::new();
        while effects.recv_many(&mut batch, CREATE_BATCH_MAX).await > 0 {
            let mut to_create = Vec::new();
            for effect in batch.drain(..) {
                match effect {
                    Effect::Create(spec) => to_create.push(*spec),
                    effect => self.start(&tasks, effect).await,
                }
            }
            if !to_create.is_empty() {
                self.start_creating(&tasks, to_create).await;
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    async fn start(&self, tasks: &TaskTracker, effect: Effect) {
        let Place::Free(place) = self.place_for(&effect) else { return self.shed(effect).await };
        let this = self.clone();
        tasks.spawn(async move {
            this.carry_out(effect).await;
            drop(place);
        });
    }

    fn place_for(&self, effect: &Effect) -> Place {
        let places = match effect {
            // As many as there are matches, at most.
            Effect::Finish { .. } | Effect::Void { .. } | Effect::Confirm { .. } => return Place::Free(None),
            // The tick thread asks one such question at a time of each worker that is gone.
            Effect::FindOwners
            | Effect::FindOrphans(_)
            | Effect::Take { .. }
            | Effect::TakeBack { .. }
            | Effect::Fetch { .. } => {
                return Place::Free(None);
            }
            Effect::Requeue(_) | Effect::Own(_) | Effect::Disown(..) | Effect::Forget(..) | Effect::Copy(_) => {
                &self.redis_places
            }
            Effect::Create(_)
            | Effect::Claim { .. }
            | Effect::Started { .. }
            | Effect::Goal { .. }
            | Effect::FindReplay { .. } => &self.postgres_places,
        };
        places.clone().try_acquire_owned().map_or(Place::Taken, |place| Place::Free(Some(place)))
    }

    async fn start_creating(&self, tasks: &TaskTracker, specs: Vec<MatchSpec>) {
        let Ok(place) = self.postgres_places.clone().try_acquire_owned() else {
            for spec in specs {
                self.shed(Effect::Create(Box::new(spec))).await;
            }
            return;
        };
        let this = self.clone();
        tasks.spawn(async move {
            this.create(specs).await;
            drop(place);
        });
    }

    /// There is no place for this one.
    async fn shed(&self, effect: Effect) {
        metrics::counter!("rally_worker_effects_shed_total", "what" => effect.label()).increment(1);
        match effect {
            Effect::Create(spec) => {
                self.answer(Answer::Created { spec, grant: Grant::Refused(overloaded()) }).await;
            }
            Effect::Claim { match_id, side, join, .. } => {
                self.answer(Answer::Claimed { match_id, side, join, granted: Err(overloaded()) }).await;
            }
            Effect::FindReplay { showing, .. } => {
                self.answer(Answer::Replay { showing, found: Err(overloaded()) }).await;
            }
            Effect::Copy(copies) => self.answer(Answer::Copied(owners::failed(&copies))).await,
            Effect::Started { match_id, .. } | Effect::Goal { match_id, .. } => {
                self.answer(Answer::NotNoted { match_id }).await;
            }
            _ => {}
        }
    }

    async fn answer(&self, answer: Answer) {
        // The tick thread outlives this one but at the very end, when no answer matters any more.
        drop(self.answers.send(answer).await);
    }

    async fn carry_out(&self, effect: Effect) {
        match effect {
            Effect::Create(spec) => self.create(vec![*spec]).await,
            Effect::Claim { match_id, epoch, side, join } => {
                self.claim(match_id, epoch, side, join).instrument(in_match("match.claim", match_id)).await;
            }
            Effect::Started { match_id, epoch } => {
                let _one = self.at_once.acquire().await;
                self.note("start", (match_id, epoch), self.store.start_match(match_id, epoch).await).await;
            }
            Effect::Goal { match_id, epoch, score: [left, right] } => {
                let _one = self.at_once.acquire().await;
                let score = Score { left: left.into(), right: right.into() };
                self.note("goal", (match_id, epoch), self.store.record_goal(match_id, epoch, score).await).await;
            }
            Effect::Finish { match_id, epoch, result } => {
                self.finish(match_id, epoch, *result).instrument(in_match("match.finish", match_id)).await;
            }
            Effect::Void { match_id, epoch } => {
                self.void(match_id, epoch).instrument(in_match("match.void", match_id)).await;
            }
            Effect::Confirm { lapse, matches } => self.confirm(lapse, matches).await,
            Effect::Requeue(ticket) => self.requeue(&ticket).await,
            Effect::FindReplay { showing, of, from } => self.find_replay(showing, of, from).await,
            Effect::Own(matches) => self.own(matches).await,
            Effect::Disown(match_id, epoch) => {
                if let Err(error) = self.fabric.clear_owner(match_id, epoch).await {
                    tracing::debug!(%match_id, %error, "cannot clear a match's owner");
                }
            }
            Effect::Forget(match_id, epoch) => self.forget(match_id, epoch).await,
            Effect::Copy(copies) => self.copy(copies).await,
            Effect::FindOwners => self.find_owners().await,
            Effect::FindOrphans(owner) => self.find_orphans(owner).await,
            Effect::Take { why, expected } => self.take(why, expected).await,
            Effect::TakeBack { match_id, epoch } => self.take_back(match_id, epoch).await,
            Effect::Fetch { matches, from } => self.fetch(matches, from).await,
        }
    }

    async fn requeue(&self, ticket: &rally_fabric::Ticket) {
        let mut ticket = ticket.clone();
        if ticket.mode == Mode::Ranked {
            // With Postgres away for this moment the player is taken for a newcomer.
            let profile = self.store.profile(ticket.user).await.ok().flatten();
            ticket.rating = profile.map_or(ticket.rating, |profile| profile.user.rating.rating.round() as i32);
        }
        match self.fabric.queue().join_first(&ticket).await {
            Ok(Joined::Joined) => {
                let control = Control::Requeued { session: ticket.session, mode: ticket.mode };
                // Of no match any more; the edge looks at the session only.
                let match_id = MatchId::from_bytes([0; 16]);
                self.answer(Answer::Tell { edge: ticket.edge, match_id, control: Box::new(control) }).await;
            }
            // By itself, perhaps elsewhere: this connection does not wait.
            Ok(Joined::AlreadyQueued { mode }) => tracing::debug!(user = %ticket.user, %mode, "waits already"),
            Err(error) => tracing::warn!(user = %ticket.user, %error, "cannot put a player in line again"),
        }
    }

    async fn own(&self, matches: Vec<(MatchId, Epoch)>) {
        let Owner { node, incarnation } = self.owner;
        let owned = |(match_id, epoch)| Owned { match_id, owner: rally_fabric::Owner { node, incarnation, epoch } };
        let owned: Vec<_> = matches.into_iter().map(owned).collect();
        if let Err(error) = self.fabric.set_owners(&owned).await {
            // Edges fall back on Postgres, and this is repeated within seconds.
            tracing::debug!(%error, "cannot tell the cache who owns which match");
        }
    }

    async fn create(&self, specs: Vec<MatchSpec>) {
        let _one = self.at_once.acquire().await;
        let rows: Vec<_> = specs.iter().map(|spec| self.new_match(spec)).collect();
        let traced = Together::new("match.create", specs.iter().map(|spec| spec.id));
        match self.store.create_matches(&rows).instrument(traced.part("match.create.all")).await {
            Ok(results) => {
                for ((spec, row), result) in specs.into_iter().zip(&rows).zip(results) {
                    let grant = self.grant(row, result).await;
                    self.answer(Answer::Created { spec: Box::new(spec), grant }).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, matches = specs.len(), "cannot create matches");
                for spec in specs {
                    let grant = Grant::Unknown(unavailable(&error));
                    self.answer(Answer::Created { spec: Box::new(spec), grant }).await;
                }
            }
        }
    }

    async fn grant(&self, row: &NewMatch, result: Result<Epoch, CreateError>) -> Grant {
        match result {
            Ok(epoch) => Grant::Here { epoch, seed: row.seed },
            // By an earlier try whose answer was lost: of ours, or of a director that died. It may be over by now.
            Err(CreateError::AlreadyExists(held)) => match self.store.owner_of(row.id).await {
                Ok(Some(ownership)) if ownership.owner == self.owner => {
                    Grant::Here { epoch: ownership.epoch, seed: row.seed }
                }
                Ok(Some(_)) => Grant::Elsewhere,
                Ok(None) => Grant::Refused(Refused::new(ErrorCode::NotFound, "the match is over")),
                Err(error) if held.owner == self.owner => Grant::Unknown(unavailable(&error)),
                Err(error) => Grant::Refused(unavailable(&error)),
            },
            Err(CreateError::AlreadyInMatch { .. }) => {
                Grant::Refused(Refused::new(ErrorCode::AlreadyInMatch, "a player is in another match"))
            }
            Err(error) => Grant::Refused(Refused::new(ErrorCode::InvalidInput, error.to_string())),
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

    async fn claim(&self, match_id: MatchId, epoch: Epoch, side: Side, join: Box<Joining>) {
        let _one = self.at_once.acquire().await;
        let granted = match self.store.claim_seat(match_id, convert::side(side), join.user, epoch).await {
            Ok(()) => Ok(()),
            // Perhaps this one, through another connection of the same user: then the join finds the seat.
            Err(ClaimError::AlreadyInMatch { match_id: other }) if other == match_id => Ok(()),
            Err(ClaimError::AlreadyInMatch { .. }) => {
                Err(Refused::new(ErrorCode::AlreadyInMatch, "you are in another match"))
            }
            Err(ClaimError::Fence(FenceError::Store(error))) => Err(unavailable(&error)),
            Err(error) => Err(Refused::new(ErrorCode::Forbidden, error.to_string())),
        };
        self.answer(Answer::Claimed { match_id, side, join, granted }).await;
    }

    /// For writes that a later one makes good: a goal's score by the next goal's or the result.
    async fn note(&self, what: &'static str, (match_id, epoch): (MatchId, Epoch), written: Result<(), FenceError>) {
        let Err(error) = written else { return };
        metrics::counter!("rally_worker_notes_failed_total", "what" => what).increment(1);
        tracing::warn!(%match_id, what, %error, "not written");
        match error {
            FenceError::Fenced { .. } => self.answer(Answer::Fenced { match_id, epoch }).await,
            // Somebody has called it off: there is nothing left to play for.
            FenceError::Ended => self.answer(Answer::CalledOff { match_id }).await,
            FenceError::NoSuchMatch | FenceError::Store(_) => self.answer(Answer::NotNoted { match_id }).await,
        }
    }
}

fn unavailable(error: &StoreError) -> Refused {
    let code = if error.is_unavailable() { ErrorCode::Unavailable } else { ErrorCode::Internal };
    Refused::new(code, "the database did not answer; try again")
}

fn overloaded() -> Refused {
    Refused::new(ErrorCode::Unavailable, "too much waits for the database; try again")
}
