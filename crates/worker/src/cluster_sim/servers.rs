//! Models of Postgres and Redis, as far as workers and edges ask them: what is conditional there is conditional here.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use rally_fabric::Held;
use rally_protocol::cluster::v1::MatchSpec;
use rally_room::FinishedMatch;
use rally_store::Owner;
use rally_units::{Epoch, Instant, MatchId, NodeId, Tick};

use crate::{
    effect::{Answer, Effect, Found, Grant, Known},
    host::{Copied, Copy},
};

/// A match's row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) spec: MatchSpec,
    pub(super) seed: u64,
    pub(super) epoch: Epoch,
    pub(super) owner: Owner,
    pub(super) started: bool,
    pub(super) score: [u8; 2],
    pub(super) result: Option<FinishedMatch>,
    pub(super) voided: bool,
}

impl Row {
    fn has_ended(&self) -> bool {
        self.result.is_some() || self.voided
    }
}

/// What lasts.
#[derive(Debug, Default)]
pub(super) struct Postgres {
    pub(super) rows: BTreeMap<MatchId, Row>,
}

impl Postgres {
    fn take(&mut self, expected: &[(MatchId, Epoch)], owner: Owner) -> Vec<(MatchId, Epoch)> {
        let mut taken = Vec::new();
        for (match_id, epoch) in expected {
            let Some(row) = self.rows.get_mut(match_id).filter(|row| !row.has_ended()) else { continue };
            if row.epoch == *epoch || (row.epoch == epoch.next() && row.owner == owner) {
                (row.epoch, row.owner) = (epoch.next(), owner);
                taken.push((*match_id, row.epoch));
            }
        }
        taken
    }

    /// Does what `owner` asks, or what it can of it.
    pub(super) fn run(&mut self, owner: Owner, seed: u64, effect: Effect) -> Vec<Answer> {
        match effect {
            Effect::Create(spec) => {
                let row = Row {
                    spec: (*spec).clone(),
                    seed,
                    epoch: Epoch::FIRST,
                    owner,
                    started: false,
                    score: [0; 2],
                    result: None,
                    voided: false,
                };
                let row = self.rows.entry(spec.id).or_insert(row);
                let grant = match row.owner == owner {
                    true => Grant::Here { epoch: row.epoch, seed: row.seed },
                    false => Grant::Elsewhere,
                };
                vec![Answer::Created { spec, grant }]
            }
            Effect::Started { match_id, epoch } => self.note(match_id, epoch, |row| row.started = true),
            Effect::Goal { match_id, epoch, score } => self.note(match_id, epoch, |row| {
                row.score = [0, 1].map(|i| row.score[i].max(score[i]));
                row.started = true;
            }),
            Effect::Finish { match_id, epoch, result } => {
                let Some(row) = self.rows.get_mut(&match_id) else { return Vec::new() };
                if row.epoch != epoch {
                    return vec![Answer::Fenced { match_id, epoch }];
                }
                assert!(!row.voided, "a void match has a result");
                row.result.get_or_insert(*result);
                vec![Answer::Finished { match_id, ratings: None }]
            }
            Effect::Void { match_id, epoch } => {
                let Some(row) = self.rows.get_mut(&match_id) else { return Vec::new() };
                if row.epoch != epoch {
                    return vec![Answer::Fenced { match_id, epoch }];
                }
                row.voided = row.result.is_none();
                vec![Answer::Voided { match_id }]
            }
            Effect::Confirm { lapse, matches } => {
                let is_held = |(match_id, epoch): &(MatchId, Epoch)| {
                    let row = self.rows.get(match_id);
                    row.is_some_and(|row| row.epoch == *epoch && row.owner == owner && !row.has_ended())
                };
                let lost = matches.into_iter().filter(|each| !is_held(each)).collect();
                vec![Answer::Confirmed { lapse, lost }]
            }
            Effect::FindOwners => {
                let live = self.rows.values().filter(|row| !row.has_ended());
                vec![Answer::Owners(Some(live.map(|row| row.owner).collect()))]
            }
            Effect::FindOrphans(of) => {
                let live = self.rows.iter().filter(|(_, row)| !row.has_ended() && row.owner == of);
                let matches = Some(live.map(|(match_id, row)| (*match_id, row.epoch)).collect());
                vec![Answer::Orphans { owner: of, matches }]
            }
            Effect::Take { why, expected } => {
                let taken = self.take(&expected, owner);
                vec![Answer::Taken { why, expected, taken }]
            }
            Effect::TakeBack { match_id, epoch: before } => {
                let mut taken = self.take(&[(match_id, before)], owner);
                if taken.is_empty() {
                    taken = self.take(&[(match_id, before.next())], owner);
                }
                let epoch = taken.first().map(|(_, epoch)| *epoch);
                vec![Answer::TakenBack { match_id, before, epoch }]
            }
            other => panic!("not for Postgres: {other:?}"),
        }
    }

    /// How these stand, of which Redis has these copies.
    pub(super) fn states(&self, held: Vec<(MatchId, Epoch, Option<Held>)>, score_to_win: u8) -> Vec<Answer> {
        let state = |(match_id, epoch, held): (MatchId, Epoch, Option<Held>)| {
            let row = self.rows.get(&match_id).filter(|row| !row.has_ended() && row.epoch == epoch);
            let found = match (row, held) {
                (None, _) => Found::Over,
                (Some(row), Some(Held { by, state, journal })) => Found::Copy { state, journal, by, told: row.score },
                (Some(row), None) => Found::Score {
                    spec: Box::new(Known { spec: row.spec.clone(), score_to_win }),
                    seed: row.seed,
                    score: row.started.then_some(row.score),
                },
            };
            Answer::Fetched { match_id, epoch, found }
        };
        held.into_iter().map(state).collect()
    }

    fn note(&mut self, match_id: MatchId, epoch: Epoch, write: impl FnOnce(&mut Row)) -> Vec<Answer> {
        match self.rows.get_mut(&match_id) {
            Some(row) if row.epoch != epoch => vec![Answer::Fenced { match_id, epoch }],
            Some(row) if !row.has_ended() => {
                write(row);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }
}

#[derive(Clone, Debug)]
struct Kept {
    epoch: Epoch,
    tick: Tick,
    journal_bytes: usize,
    state: Bytes,
}

/// What may be lost at any moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Redis {
    checkpoints: HashMap<MatchId, Kept>,
    journals: HashMap<MatchId, Vec<u8>>,
    pub(super) owners: HashMap<MatchId, (Epoch, NodeId)>,
    pub(super) leases: BTreeMap<NodeId, (Owner, Instant, u32, bool)>,
}

impl Redis {
    /// Forgets everything.
    pub(super) fn flush(&mut self) {
        *self = Self::default();
    }

    /// Without its memory of checkpoints alone.
    pub(super) fn forget_checkpoints(&mut self) {
        self.checkpoints.clear();
        self.journals.clear();
    }

    pub(super) fn own(&mut self, node: NodeId, matches: Vec<(MatchId, Epoch)>) {
        for (match_id, epoch) in matches {
            let held = self.owners.entry(match_id).or_insert((epoch, node));
            if held.0 <= epoch {
                *held = (epoch, node);
            }
        }
    }

    pub(super) fn disown(&mut self, match_id: MatchId, epoch: Epoch, ended: bool) {
        if self.owners.get(&match_id).is_some_and(|held| held.0 <= epoch) {
            self.owners.remove(&match_id);
        }
        if ended && self.checkpoints.get(&match_id).is_some_and(|kept| kept.epoch <= epoch) {
            self.checkpoints.remove(&match_id);
            self.journals.remove(&match_id);
        }
    }

    pub(super) fn copy(&mut self, copies: Vec<Copy>) -> Answer {
        let keep = |copy: Copy| (copy.match_id, copy.epoch, copy.tick, self.keep(copy));
        Answer::Copied(copies.into_iter().map(keep).collect())
    }

    fn keep(&mut self, copy: Copy) -> Copied {
        let Copy { match_id, epoch, tick, offset, chunk, state } = copy;
        if let Some(kept) = self.checkpoints.get(&match_id) {
            if kept.epoch > epoch {
                return Copied::Superseded;
            }
            if kept.epoch == epoch && kept.tick > tick {
                return Copied::Kept;
            }
        }
        let journal = self.journals.entry(match_id).or_default();
        let offset = offset as usize;
        if journal.len() < offset {
            return Copied::Hole;
        }
        let journal_bytes = offset + chunk.len();
        journal.resize(journal.len().max(journal_bytes), 0);
        journal[offset..journal_bytes].copy_from_slice(&chunk);
        self.checkpoints.insert(match_id, Kept { epoch, tick, journal_bytes, state });
        Copied::Kept
    }

    /// The checkpoint of a match whose owner holds this epoch.
    pub(super) fn fetch(&mut self, match_id: MatchId, epoch: Epoch) -> Option<Held> {
        let kept = self.checkpoints.get_mut(&match_id).filter(|kept| kept.epoch <= epoch)?;
        let by = std::mem::replace(&mut kept.epoch, epoch);
        kept.tick = Tick::default();
        let journal = Bytes::copy_from_slice(&self.journals[&match_id][..kept.journal_bytes]);
        Some(Held { by, state: kept.state.clone(), journal })
    }
}
