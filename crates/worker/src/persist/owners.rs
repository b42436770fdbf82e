//! What passes matches from owner to owner: checkpoints in Redis, epochs in Postgres.
//!
//! Checkpoints are sealed with the cluster's key, each for its match: whoever can write to Redis cannot make one up.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use rally_fabric::{Checkpoint, Held, Stored};
use rally_protocol::{
    client::v1 as wire,
    cluster::v1::{MatchSpec, SeatSpec},
};
use rally_service::{
    backoff::{Attempts, Backoff},
    entropy,
    traces::Together,
};
use rally_store::{MatchState, Owner, Score, SeatState};
use rally_units::{Epoch, MatchId, Tick};
use tracing::Instrument as _;

use super::Persister;
use crate::{
    convert,
    effect::{Answer, Fetch, Found, Known, TakeFor},
    host::{Copied, Copy},
};

/// None of these could be kept.
pub(crate) fn failed(copies: &[Copy]) -> Vec<(MatchId, Epoch, Tick, Copied)> {
    copies.iter().map(|copy| (copy.match_id, copy.epoch, copy.tick, Copied::Failed)).collect()
}

impl Persister {
    /// Keeps checkpoints.
    pub(super) async fn copy(&self, copies: Vec<Copy>) {
        let checkpoints: Vec<_> = copies
            .iter()
            .map(|Copy { match_id, epoch, tick, offset, chunk, state }| Checkpoint {
                match_id: *match_id,
                epoch: *epoch,
                tick: *tick,
                offset: *offset,
                chunk: chunk.clone(),
                state: self.keys.seal_for(*match_id, state).into(),
            })
            .collect();
        let answers = match self.fabric.store_checkpoints(&checkpoints).await {
            Ok(stored) => {
                let copied = |stored| match stored {
                    Stored::Kept => Copied::Kept,
                    Stored::Superseded => Copied::Superseded,
                    Stored::Hole => Copied::Hole,
                };
                copies.iter().zip(stored).map(|(copy, s)| (copy.match_id, copy.epoch, copy.tick, copied(s))).collect()
            }
            Err(error) => {
                tracing::debug!(%error, matches = copies.len(), "cannot keep checkpoints");
                failed(&copies)
            }
        };
        self.answer(Answer::Copied(answers)).await;
    }

    /// A match's end is recorded.
    pub(super) async fn forget(&self, match_id: MatchId, epoch: Epoch) {
        let ended = [(match_id, epoch)];
        let forgotten = tokio::join!(self.fabric.clear_owner(match_id, epoch), self.fabric.drop_checkpoints(&ended));
        if let (Err(error), _) | (_, Err(error)) = forgotten {
            // Both run out by themselves.
            tracing::debug!(%match_id, %error, "cannot clear what Redis has of a match");
        }
    }

    pub(super) async fn find_owners(&self) {
        let owners = match self.store.live_owners().await {
            Ok(owners) => Some(owners.into_keys().collect()),
            Err(error) => {
                tracing::debug!(%error, "cannot ask whose matches live");
                None
            }
        };
        self.answer(Answer::Owners(owners)).await;
    }

    pub(super) async fn find_orphans(&self, owner: Owner) {
        let matches = match self.store.all_live_matches_of(owner).await {
            Ok(matches) => Some(matches),
            Err(error) => {
                tracing::warn!(worker = %owner.node, %error, "cannot ask for the matches of a worker that is gone");
                None
            }
        };
        self.answer(Answer::Orphans { owner, matches }).await;
    }

    /// Takes matches. Tried until it is known what became of it: what was taken and forgotten would be nobody's.
    pub(super) async fn take(&self, why: TakeFor, expected: Vec<(MatchId, Epoch)>) {
        let mut attempts = retry();
        let traced = Together::new(why.span_name(), expected.iter().map(|(match_id, _)| *match_id));
        let taken = loop {
            match self.store.take(&expected, self.owner).instrument(traced.part("match.take.all")).await {
                Ok(taken) => break taken,
                Err(error) => wait(&mut attempts, "take", &error).await,
            }
        };
        self.answer(Answer::Taken { why, expected, taken }).await;
    }

    /// Takes a match back: at the next epoch, or, if the one to whom it was offered has that, at the one after.
    pub(super) async fn take_back(&self, match_id: MatchId, before: Epoch) {
        let mut attempts = retry();
        let epoch = 'known: loop {
            for expected in [before, before.next()] {
                match self.store.take(&[(match_id, expected)], self.owner).await {
                    Ok(taken) => {
                        if let Some((_, epoch)) = taken.first() {
                            break 'known Some(*epoch);
                        }
                    }
                    Err(error) => {
                        wait(&mut attempts, "take_back", &error).await;
                        continue 'known;
                    }
                }
            }
            break None;
        };
        self.answer(Answer::TakenBack { match_id, before, epoch }).await;
    }

    /// How matches stand that were granted to us. A Redis that does not answer is no Redis without checkpoints: it is
    /// asked until it says. It may have taken its time: then Postgres says whether they are still ours.
    pub(super) async fn fetch(&self, matches: Vec<(MatchId, Epoch)>, from: Fetch) {
        let mut attempts = retry();
        let _traced = Together::new("match.fetch", matches.iter().map(|(match_id, _)| *match_id));
        let held = loop {
            if from == Fetch::Score {
                break vec![None; matches.len()];
            }
            match self.fabric.take_checkpoints(&matches).await {
                Ok(held) => break held,
                Err(error) => wait(&mut attempts, "fetch", &error).await,
            }
        };
        let mut states = self.states(&matches).await;
        for ((match_id, epoch), held) in matches.into_iter().zip(held) {
            let found = match states.remove(&match_id).filter(|state| state.epoch == epoch) {
                None => Found::Over,
                Some(state) => {
                    held.and_then(|held| self.copy_of(match_id, held, &state)).unwrap_or_else(|| known(match_id, state))
                }
            };
            self.answer(Answer::Fetched { match_id, epoch, found }).await;
        }
    }

    fn copy_of(&self, match_id: MatchId, held: Held, known: &MatchState) -> Option<Found> {
        let Some(state) = self.keys.open_for(match_id, &held.state).map(Bytes::copy_from_slice) else {
            tracing::error!(%match_id, "a checkpoint is not sealed by this cluster");
            return None;
        };
        let Held { by, journal, .. } = held;
        Some(Found::Copy { state, journal, by, told: goals(known.score) })
    }

    async fn states(&self, matches: &[(MatchId, Epoch)]) -> HashMap<MatchId, MatchState> {
        let ids: Vec<_> = matches.iter().map(|(match_id, _)| *match_id).collect();
        let mut attempts = retry();
        loop {
            match self.store.live_states(&ids).await {
                Ok(states) => return states,
                Err(error) => wait(&mut attempts, "state", &error).await,
            }
        }
    }
}

fn goals(score: Score) -> [u8; 2] {
    [score.left, score.right].map(|goals| u8::try_from(goals).unwrap_or(u8::MAX))
}

fn known(match_id: MatchId, state: MatchState) -> Found {
    let MatchState { mode, classic, private, score_to_win, seed, seats, score, has_started, .. } = state;
    let mode = convert::mode_to_wire(mode);
    let [left, right] = seats.map(|seat| match seat {
        SeatState::Open => SeatSpec::Open,
        SeatState::Bot(level) => SeatSpec::Bot { level: convert::level_to_wire(level) },
        // Which skill was chosen is not in the database.
        SeatState::Player { id, name, guest } => SeatSpec::User { id, name, guest, skill: wire::Skill::Smash },
        // Both seats are the one user's.
        SeatState::Shared => SeatSpec::Open,
    });
    let right = if mode == wire::Mode::Local { left.clone() } else { right };
    let spec = MatchSpec { id: match_id, mode, classic, private, seats: [left, right] };
    Found::Score {
        spec: Box::new(Known { spec, score_to_win: u8::try_from(score_to_win).unwrap_or(u8::MAX) }),
        seed,
        score: has_started.then(|| goals(score)),
    }
}

async fn wait(attempts: &mut Attempts, what: &'static str, error: &impl std::fmt::Display) {
    metrics::counter!("rally_worker_takeover_retries_total", "what" => what).increment(1);
    let delay = attempts.failed(entropy::random_u64());
    tracing::warn!(what, %error, retry_in_ms = delay.as_millis() as u64, "a match cannot be taken over yet");
    tokio::time::sleep(delay).await;
}

fn retry() -> Attempts {
    const MIN: Duration = Duration::from_millis(50);
    const MAX: Duration = Duration::from_secs(1);
    Backoff::try_new(MIN, MAX, 0.5).expect("constants that fit").attempts()
}
