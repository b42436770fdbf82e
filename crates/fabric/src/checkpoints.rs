//! Checkpoints: what a match's next owner goes on from, should this one be lost.
//!
//! A checkpoint is a small state that is written whole, and a journal that grows by chunks. What is in them is not known
//! here. One script writes all checkpoints of one slot; it keeps the higher (epoch, tick), so that a former owner's late
//! word changes nothing, and it lets no hole into a journal.

use std::{collections::BTreeMap, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use fred::types::Value;
use rally_protocol::names;
use rally_units::{Epoch, MatchId, Tick};

use crate::{
    Fabric, RedisError,
    commands::{Call, Script, malformed},
};

/// How long a checkpoint outlives its last writer. Then the match goes on at its score.
const TTL: Duration = Duration::from_secs(600);

/// Bytes of one call: a larger one would hold up what Redis does for others.
const CALL_BYTES_MAX: usize = 256 * 1024;

/// What a state begins with: epoch, tick and the journal's length, each in 4 bytes, highest first.
const HEAD_BYTES: usize = 12;

/// KEYS: for each match its state and its journal. ARGV: ms, then for each match the chunk, and the state with its head.
///
/// Each call of Redis from within costs as much as one from outside, and this is most of what Redis does: two for a state
/// alone, four with a chunk. A journal's time is renewed with each chunk, of which there is one every few seconds.
static STORE: Script = Script::fixed(
    r"
local answers = {}
for i = 1, #KEYS / 2 do
  local state, journal = KEYS[2 * i - 1], KEYS[2 * i]
  local chunk, new = ARGV[2 * i], ARGV[2 * i + 1]
  local epoch, tick, bytes = struct.unpack('>I4I4I4', new)
  local held_epoch, held_tick, held_bytes = 0, 0, 0
  local held = redis.call('GETRANGE', state, 0, 11)
  if #held == 12 then held_epoch, held_tick, held_bytes = struct.unpack('>I4I4I4', held) end
  if held_epoch > epoch then
    answers[i] = 2
  elseif held_epoch == epoch and held_tick > tick then
    answers[i] = 1
  elseif held_bytes < bytes - #chunk then
    answers[i] = 3
  else
    if #chunk > 0 then
      redis.call('SETRANGE', journal, bytes - #chunk, chunk)
      redis.call('PEXPIRE', journal, ARGV[1])
    end
    redis.call('SET', state, new, 'PX', ARGV[1])
    answers[i] = 1
  end
end
return answers
",
);

/// KEYS: state and journal. ARGV: epoch, ms. From now on older epochs write nothing. Returns who has written it, state and
/// journal.
static TAKE: Script = Script::fixed(
    r"
local held = redis.call('GET', KEYS[1])
if not held then return {} end
local by, tick, bytes = struct.unpack('>I4I4I4', held)
if by > tonumber(ARGV[1]) then return {} end
redis.call('SETRANGE', KEYS[1], 0, struct.pack('>I4I4', ARGV[1], 0))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
if redis.call('STRLEN', KEYS[2]) < bytes then return {} end
return {by, string.sub(held, 13), bytes > 0 and redis.call('GETRANGE', KEYS[2], 0, bytes - 1) or ''}
",
);

/// KEYS: state and journal. ARGV: epoch.
static DROP: Script = Script::fixed(
    r"
local head = redis.call('GETRANGE', KEYS[1], 0, 3)
if #head < 4 or struct.unpack('>I4', head) > tonumber(ARGV[1]) then return 0 end
return redis.call('DEL', KEYS[1], KEYS[2])
",
);

/// What is to be kept of a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which match.
    pub match_id: MatchId,
    /// By which right.
    pub epoch: Epoch,
    /// As of when.
    pub tick: Tick,
    /// Where `chunk` begins in the journal, in bytes.
    pub offset: u32,
    /// What the journal has more than at the checkpoint before.
    pub chunk: Bytes,
    /// The state, which goes with the journal up to the end of the chunk.
    pub state: Bytes,
}

/// What became of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It, or a newer one, is kept.
    Kept,
    /// Another owner has written, or read, it.
    Superseded,
    /// The journal that Redis has ends before the chunk: send all of it.
    Hole,
}

/// What was kept of a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Who has written it: at most the epoch by which it was taken.
    pub by: Epoch,
    /// The state.
    pub state: Bytes,
    /// The journal up to it.
    pub journal: Bytes,
}

impl Fabric {
    /// Keeps checkpoints, those of one slot by one call. One answer for each, in order.
    pub async fn store_checkpoints(&self, checkpoints: &[Checkpoint]) -> Result<Vec<Stored>, RedisError> {
        const OPERATION: &str = "store_checkpoints";
        let mut calls: Vec<Vec<usize>> = Vec::new();
        let mut open: BTreeMap<u8, (usize, usize)> = BTreeMap::new();
        for (i, checkpoint) in checkpoints.iter().enumerate() {
            let bytes = checkpoint.state.len() + checkpoint.chunk.len();
            let slot = names::checkpoint_slot(checkpoint.match_id);
            match open.get_mut(&slot) {
                Some((call, filled)) if *filled + bytes <= CALL_BYTES_MAX => {
                    calls[*call].push(i);
                    *filled += bytes;
                }
                _ => {
                    open.insert(slot, (calls.len(), bytes));
                    calls.push(vec![i]);
                }
            }
        }
        let scripts = calls.iter().map(|call| {
            let keys = call.iter().flat_map(|i| keys(checkpoints[*i].match_id));
            call.iter().fold(Call::keys(keys).arg(TTL.as_millis()), |script, i| {
                let Checkpoint { epoch, tick, offset, chunk, state, .. } = &checkpoints[*i];
                let journal_bytes = offset + chunk.len() as u32;
                let mut headed = BytesMut::with_capacity(HEAD_BYTES + state.len());
                [epoch.0, tick.0, journal_bytes].iter().for_each(|part| headed.put_u32(*part));
                headed.put_slice(state);
                script.bytes(chunk.clone()).bytes(headed)
            })
        });
        let answers = self.bulk().eval_many(OPERATION, &STORE, scripts.collect()).await?;
        let mut stored = vec![Stored::Kept; checkpoints.len()];
        for (call, answer) in calls.iter().zip(answers) {
            let answer = answer.into_array();
            if answer.len() != call.len() {
                return Err(malformed(OPERATION, "number of answers"));
            }
            for (i, answer) in call.iter().zip(answer) {
                stored[*i] = match answer.as_i64() {
                    Some(1) => Stored::Kept,
                    Some(2) => Stored::Superseded,
                    Some(3) => Stored::Hole,
                    _ => return Err(malformed(OPERATION, "answer")),
                };
            }
        }
        Ok(stored)
    }

    /// The checkpoints of matches whose next owner holds these epochs; `None` where there is none. From now on no former
    /// owner writes them.
    pub async fn take_checkpoints(&self, matches: &[(MatchId, Epoch)]) -> Result<Vec<Option<Held>>, RedisError> {
        let calls = matches.iter().map(|(match_id, epoch)| Call::keys(keys(*match_id)).arg(epoch).arg(TTL.as_millis()));
        let answers = self.bulk().eval_many("take_checkpoints", &TAKE, calls.collect()).await?;
        Ok(answers.into_iter().map(held).collect())
    }

    /// Forgets checkpoints, but those of higher epochs.
    pub async fn drop_checkpoints(&self, matches: &[(MatchId, Epoch)]) -> Result<(), RedisError> {
        let calls = matches.iter().map(|(match_id, epoch)| Call::keys(keys(*match_id)).arg(epoch));
        self.bulk().eval_many("drop_checkpoints", &DROP, calls.collect()).await.map(drop)
    }
}

fn keys(match_id: MatchId) -> [String; 2] {
    [names::checkpoint(match_id), names::journal(match_id)]
}

fn held(answer: Value) -> Option<Held> {
    let mut parts = answer.into_array().into_iter();
    let by = Epoch(u32::try_from(parts.next()?.as_i64()?).ok()?);
    Some(Held { by, state: parts.next()?.into_bytes()?, journal: parts.next()?.into_bytes()? })
}
