//! The scripts of a mode's queue. Each is one atomic step, over keys of one slot.
//!
//! | key | what |
//! |---|---|
//! | waiting | sorted set: user by time of arrival, in microseconds |
//! | tickets | hash: user -> "session arrival json" of those who wait |
//! | expiry | sorted set: user by the time, in ms, at which all of this ends |
//! | users | hash: user -> `p` (pending), `l` (pending, but left) or `f` (found), and the match |
//! | pending | hash: match -> since when in ms, two users, two tickets, in five lines |
//! | waited | how long the last ones waited, in ms: a mean in which each counts an eighth |

use std::sync::LazyLock;

use fred::types::Value;
use rally_protocol::{client::v1::Mode, names};
use rally_units::{MatchId, SessionId, UserId};

use super::{Pair, Queue, QueueStatus, Ticket, TicketRef};
use crate::{
    RedisError,
    commands::{Call, Script, malformed},
};

/// A ticket lives this long without a refresh.
const TICKET_MS: u32 = 6_000;
/// How long a match that was found can be read.
const FOUND_MS: u32 = 60_000;
/// A pair pending for this long has lost its director.
const STALE_MS: u32 = 2_000;
/// Stale pairs in one answer.
const STALE_MAX: u32 = 256;
/// Tickets in one refresh, pairs in one pairing: a script holds all others up.
pub(super) const REFRESH_MAX: usize = 500;
pub(super) const PAIRS_MAX: usize = 250;

/// How long it is remembered how long the last ones waited.
const WAITED_MS: u32 = 600_000;

/// What every script begins with. Numbers are written by `format`: Lua's own way rounds microseconds.
pub(super) const PRELUDE: &str = r"
local waiting, tickets, expiry, users, pending, waited = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)
local function whole(number) return string.format('%.0f', number) end
local function remove(user)
  redis.call('ZREM', waiting, user)
  redis.call('HDEL', tickets, user)
  redis.call('ZREM', expiry, user)
  redis.call('HDEL', users, user)
end
local function state_of(user)
  local state = redis.call('HGET', users, user)
  if state then return state end
  return redis.call('HEXISTS', tickets, user) == 1 and 'w' or ''
end
local function has_session(user, session)
  local ticket = redis.call('HGET', tickets, user)
  return ticket and string.sub(ticket, 1, #session + 1) == session .. ' '
end
local function pend(match, pair)
  local found = {}
  for k, user in ipairs(pair) do
    found[k] = redis.call('HGET', tickets, user)
    remove(user)
    redis.call('HSET', users, user, 'p' .. match)
  end
  redis.call('HSET', pending, match, table.concat({whole(now), pair[1], pair[2], found[1], found[2]}, '\n'))
  return found
end
local function lines(text)
  local all = {}
  for line in string.gmatch(text, '[^\n]+') do all[#all + 1] = line end
  return all
end
repeat
  local gone = redis.call('ZRANGEBYSCORE', expiry, '-inf', whole(now), 'LIMIT', 0, 1000)
  for _, user in ipairs(gone) do remove(user) end
until #gone < 1000
";

macro_rules! script {
    ($(#[$doc:meta])* $name:ident, $body:literal) => {
        $(#[$doc])*
        static $name: LazyLock<Script> = LazyLock::new(|| Script::joined(format!("{PRELUDE}{}", $body)));
    };
}

script!(
    /// ARGV: user, session, ticket, ms, whether before all others. Returns the state before.
    JOIN,
    r"
local user = ARGV[1]
local state = state_of(user)
if state == 'w' or state ~= '' and string.sub(state, 1, 1) ~= 'f' then return state end
redis.call('HDEL', users, user)
local arrival = now_us
if ARGV[5] == '1' then
  local first = redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')
  if first[2] then arrival = math.min(arrival, tonumber(first[2]) - 1) end
end
arrival = whole(arrival)
redis.call('ZADD', waiting, arrival, user)
redis.call('HSET', tickets, user, ARGV[2] .. ' ' .. arrival .. ' ' .. ARGV[3])
redis.call('ZADD', expiry, whole(now + ARGV[4]), user)
return ''
"
);

script!(
    /// ARGV: user. Returns the state.
    STATUS,
    "return state_of(ARGV[1])"
);

script!(
    /// ARGV: ms, then user and session of each. Returns their states.
    REFRESH,
    r"
local answer = {}
for i = 2, #ARGV, 2 do
  local user, state = ARGV[i], state_of(ARGV[i])
  if state == 'w' then
    if has_session(user, ARGV[i + 1]) then
      redis.call('ZADD', expiry, whole(now + ARGV[1]), user)
    else
      state = ''
    end
  end
  answer[#answer + 1] = state
end
return answer
"
);

script!(
    /// ARGV: user, session or nothing. Returns the state before.
    LEAVE,
    r"
local user, session = ARGV[1], ARGV[2]
local state = state_of(user)
if state == 'w' then
  if session ~= '' and not has_session(user, session) then return '' end
  remove(user)
elseif session == '' and string.sub(state, 1, 1) == 'p' then
  redis.call('HSET', users, user, 'l' .. string.sub(state, 2))
end
return state
"
);

script!(
    /// ARGV: user, session, ticket, ms. Returns whether it waits.
    REHOME,
    r"
local user = ARGV[1]
if not has_session(user, ARGV[2]) then return 0 end
local arrival = redis.call('ZSCORE', waiting, user)
redis.call('HSET', tickets, user, ARGV[2] .. ' ' .. whole(tonumber(arrival)) .. ' ' .. ARGV[3])
redis.call('ZADD', expiry, whole(now + ARGV[4]), user)
return 1
"
);

script!(
    /// ARGV: matches. Returns match and two tickets for each pair.
    PAIR,
    r"
local answer = {}
local first = redis.call('ZRANGE', waiting, 0, 2 * #ARGV - 1)
for i = 1, #first - 1, 2 do
  local match = ARGV[(i + 1) / 2]
  local found = pend(match, {first[i], first[i + 1]})
  for _, part in ipairs({match, found[1], found[2]}) do answer[#answer + 1] = part end
end
return answer
"
);

script!(
    /// ARGV: match, ms, for how long the wait is remembered. Returns two tickets, or nothing.
    FINISH,
    r"
local pair = redis.call('HGET', pending, ARGV[1])
if not pair then return {} end
pair = lines(pair)
redis.call('HDEL', pending, ARGV[1])
for k = 2, 3 do
  redis.call('HSET', users, pair[k], 'f' .. ARGV[1])
  redis.call('ZADD', expiry, whole(now + ARGV[2]), pair[k])
end
local mean = tonumber(redis.call('GET', waited) or '')
for k = 4, 5 do
  local ms = math.max(0, (now_us - tonumber(string.match(pair[k], '^%S+ (%d+) '))) / 1000)
  mean = mean and mean + (ms - mean) / 8 or ms
end
redis.call('SET', waited, whole(mean), 'PX', ARGV[3])
return {pair[4], pair[5]}
"
);

script!(
    /// ARGV: match, ms. Returns, for each of the two, whether it waits again, and its ticket.
    REVERT,
    r"
local pair = redis.call('HGET', pending, ARGV[1])
if not pair then return {} end
pair = lines(pair)
redis.call('HDEL', pending, ARGV[1])
local answer = {}
for k = 2, 3 do
  local user, ticket = pair[k], pair[k + 2]
  local waits = redis.call('HGET', users, user) == 'p' .. ARGV[1]
  redis.call('HDEL', users, user)
  if waits then
    redis.call('ZADD', waiting, string.match(ticket, '^%S+ (%d+) '), user)
    redis.call('HSET', tickets, user, ticket)
    redis.call('ZADD', expiry, whole(now + ARGV[2]), user)
  end
  answer[#answer + 1] = waits and '1' or '0'
  answer[#answer + 1] = ticket
end
return answer
"
);

script!(
    /// ARGV: age in ms, how many. Returns match and two tickets for each pair.
    STALE,
    r"
local answer = {}
local all = redis.call('HGETALL', pending)
for i = 1, #all, 2 do
  local pair = lines(all[i + 1])
  if now - tonumber(pair[1]) >= tonumber(ARGV[1]) and #answer < 3 * tonumber(ARGV[2]) then
    for _, part in ipairs({all[i], pair[4], pair[5]}) do answer[#answer + 1] = part end
  end
end
return answer
"
);

script!(
    /// Returns how many wait.
    DEPTH,
    "return redis.call('ZCARD', waiting)"
);

script!(
    /// Returns how long the last ones waited, in ms.
    WAITED,
    "return redis.call('GET', waited)"
);

/// Where a user stands in one mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Gone,
    Waiting,
    Pending(MatchId),
    Found(MatchId),
}

impl State {
    fn read(operation: &'static str, value: &Value) -> Result<Self, RedisError> {
        let text = value.as_str().unwrap_or_default();
        let state = match text.split_at_checked(1) {
            None => Some(Self::Gone),
            Some(("w", "")) => Some(Self::Waiting),
            Some(("p" | "l", id)) => id.parse().ok().map(Self::Pending),
            Some(("f", id)) => id.parse().ok().map(Self::Found),
            Some(_) => None,
        };
        state.ok_or(malformed(operation, "state"))
    }

    pub(super) fn status(self, mode: Mode) -> QueueStatus {
        match self {
            Self::Gone => QueueStatus::Gone,
            Self::Waiting => QueueStatus::Waiting { mode },
            Self::Pending(match_id) => QueueStatus::Pending { mode, match_id },
            Self::Found(match_id) => QueueStatus::Found { mode, match_id },
        }
    }
}

pub(super) fn call(mode: Mode) -> Call {
    Call::keys([
        names::queue_waiting(mode),
        names::queue_tickets(mode),
        names::queue_expiry(mode),
        names::queue_users(mode),
        names::queue_pending(mode),
        names::queue_waited(mode),
    ])
}

/// Reads "session arrival json".
fn read_ticket(operation: &'static str, value: &Value) -> Result<Ticket, RedisError> {
    let json = value.as_bytes().and_then(|bytes| bytes.splitn(3, |byte| *byte == b' ').nth(2));
    json.and_then(|json| serde_json::from_slice(json).ok()).ok_or(malformed(operation, "ticket"))
}

/// Reads match and two tickets, again and again.
pub(super) fn read_pairs(operation: &'static str, answer: Value) -> Result<Vec<Pair>, RedisError> {
    let answer = answer.into_array();
    let (triples, _) = answer.as_chunks::<3>();
    triples
        .iter()
        .map(|[match_id, left, right]| {
            let match_id = match_id.as_str().and_then(|text| text.parse().ok()).ok_or(malformed(operation, "match"))?;
            Ok(Pair { match_id, left: read_ticket(operation, left)?, right: read_ticket(operation, right)? })
        })
        .collect()
}

impl Queue {
    pub(super) async fn run(&self, operation: &'static str, script: &Script, call: Call) -> Result<Value, RedisError> {
        self.fabric.commands().eval(operation, script, call).await
    }

    pub(super) async fn script_join(&self, ticket: &Ticket, json: &str, first: bool) -> Result<State, RedisError> {
        const OPERATION: &str = "queue_join";
        let call = call(ticket.mode).arg(ticket.user).arg(ticket.session).arg(json).arg(TICKET_MS).arg(u8::from(first));
        State::read(OPERATION, &self.run(OPERATION, &JOIN, call).await?)
    }

    pub(super) async fn script_status(&self, mode: Mode, user: UserId) -> Result<State, RedisError> {
        const OPERATION: &str = "queue_status";
        State::read(OPERATION, &self.run(OPERATION, &STATUS, call(mode).arg(user)).await?)
    }

    pub(super) async fn script_refresh(&self, mode: Mode, tickets: &[TicketRef]) -> Result<Vec<State>, RedisError> {
        const OPERATION: &str = "queue_refresh";
        let call = tickets.iter().fold(call(mode).arg(TICKET_MS), |call, t| call.arg(t.user).arg(t.session));
        let answer = self.run(OPERATION, &REFRESH, call).await?.into_array();
        answer.iter().map(|state| State::read(OPERATION, state)).collect()
    }

    pub(super) async fn script_leave(
        &self,
        mode: Mode,
        user: UserId,
        session: Option<SessionId>,
    ) -> Result<State, RedisError> {
        const OPERATION: &str = "queue_leave";
        let session = session.map(|session| session.to_string()).unwrap_or_default();
        State::read(OPERATION, &self.run(OPERATION, &LEAVE, call(mode).arg(user).arg(session)).await?)
    }

    pub(super) async fn script_rehome(&self, ticket: &Ticket, json: &str) -> Result<bool, RedisError> {
        let call = call(ticket.mode).arg(ticket.user).arg(ticket.session).arg(json).arg(TICKET_MS);
        Ok(self.run("queue_rehome", &REHOME, call).await?.as_i64() == Some(1))
    }

    pub(super) async fn script_pair(&self, mode: Mode, match_ids: &[MatchId]) -> Result<Vec<Pair>, RedisError> {
        const OPERATION: &str = "queue_pair";
        let call = match_ids.iter().fold(call(mode), Call::arg);
        read_pairs(OPERATION, self.run(OPERATION, &PAIR, call).await?)
    }

    pub(super) async fn script_finish(&self, mode: Mode, match_id: MatchId) -> Result<Option<Pair>, RedisError> {
        const OPERATION: &str = "queue_finish";
        let answer =
            self.run(OPERATION, &FINISH, call(mode).arg(match_id).arg(FOUND_MS).arg(WAITED_MS)).await?.into_array();
        let [left, right] = answer.as_slice() else { return Ok(None) };
        Ok(Some(Pair { match_id, left: read_ticket(OPERATION, left)?, right: read_ticket(OPERATION, right)? }))
    }

    /// Returns who waits again, and who had left.
    pub(super) async fn script_revert(
        &self,
        mode: Mode,
        match_id: MatchId,
    ) -> Result<(Vec<Ticket>, Vec<Ticket>), RedisError> {
        const OPERATION: &str = "queue_revert";
        let answer = self.run(OPERATION, &REVERT, call(mode).arg(match_id).arg(TICKET_MS)).await?.into_array();
        let (mut waiting, mut left) = (Vec::new(), Vec::new());
        for [waits, ticket] in answer.as_chunks::<2>().0 {
            let side = if waits.as_i64() == Some(1) { &mut waiting } else { &mut left };
            side.push(read_ticket(OPERATION, ticket)?);
        }
        Ok((waiting, left))
    }

    pub(super) async fn script_stale(&self, mode: Mode) -> Result<Vec<Pair>, RedisError> {
        const OPERATION: &str = "queue_stale";
        read_pairs(OPERATION, self.run(OPERATION, &STALE, call(mode).arg(STALE_MS).arg(STALE_MAX)).await?)
    }

    pub(super) async fn script_waited(&self, mode: Mode) -> Result<Option<u64>, RedisError> {
        Ok(self.run("queue_waited", &WAITED, call(mode)).await?.as_u64())
    }

    pub(super) async fn script_depth(&self, mode: Mode) -> Result<u64, RedisError> {
        Ok(self.run("queue_depth", &DEPTH, call(mode)).await?.as_u64().unwrap_or_default())
    }
}
