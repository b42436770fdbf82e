//! In which mode a user waits: one key for each user, in a slot of its own.
//!
//! On a Cluster this key and the queue of a mode cannot be changed by one script. The order of steps makes up for it. A
//! join *claims* the key first, enters the queue, and then looks whether the claim is still its own; if not it
//! leaves the queue again. Somebody who finds a claim without a ticket behind it (its edge died between the
//! steps) takes it over, and looks into that queue *again* afterwards: so of two joins that meet, at least one sees the
//! other, and at most one stays. In the worst case both are told that the user waits already, and nobody does.
//!
//! Claims live a little longer than tickets and are renewed with them, so no ticket waits without one.

use rally_protocol::{client::v1::Mode, names};
use rally_units::{MatchId, SessionId, UserId};

use super::{Queue, TicketRef, scripts::State};
use crate::{
    RedisError,
    commands::{Call, GET, Script, malformed},
};

/// Longer than a ticket lives.
const CLAIM_MS: u32 = 8_000;
/// How long a match that was found can be read.
const FOUND_MS: u32 = 60_000;
/// Attempts at a key that changes between two looks.
const ATTEMPTS_MAX: usize = 3;

/// KEYS: claim. ARGV: value, ms. Returns what stands there already.
static CLAIM: Script = Script::fixed(
    r"
local held = redis.call('GET', KEYS[1])
if held then return held end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
",
);

/// KEYS: claim. ARGV: expected, value, ms. An empty value deletes. Returns whether what was expected stood there.
static REPLACE: Script = Script::fixed(
    r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
",
);

/// KEYS: claim. ARGV: value, ms. Makes the claim again if it was lost with Redis' memory. Returns what stands there.
static RENEW: Script = Script::fixed(
    r"
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return held end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
",
);

/// A session waits in a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) mode: Mode,
    pub(super) session: SessionId,
}

impl Claim {
    fn to_value(self) -> String {
        format!("w {} {}", self.mode, self.session)
    }
}

/// What stands in the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Waiting(Claim),
    Found { mode: Mode, match_id: MatchId },
}

impl Held {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (kind, mode, id) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
        match kind {
            "w" => Some(Self::Waiting(Claim { mode, session: id.parse().ok()? })),
            "f" => Some(Self::Found { mode, match_id: id.parse().ok()? }),
            _ => None,
        }
    }

    pub(super) fn waiting(self) -> Option<Claim> {
        match self {
            Self::Waiting(claim) => Some(claim),
            Self::Found { .. } => None,
        }
    }
}

impl From<TicketRef> for Claim {
    fn from(ticket: TicketRef) -> Self {
        Self { mode: ticket.mode, session: ticket.session }
    }
}

impl Queue {
    /// Claims the user. `Some` is the mode in which it waits already.
    pub(super) async fn claim(&self, user: UserId, mine: Claim) -> Result<Option<Mode>, RedisError> {
        const OPERATION: &str = "queue_claim";
        let commands = self.fabric.commands();
        for _ in 0..ATTEMPTS_MAX {
            let call = Call::keys([names::queued_user(user)]).arg(mine.to_value()).arg(CLAIM_MS);
            let Some(text) = commands.eval(OPERATION, &CLAIM, call).await?.as_string() else { return Ok(None) };
            let held = Held::parse(&text).ok_or(malformed(OPERATION, "claim"))?;
            if let Held::Waiting(other) = held
                && self.waits(user, other).await?
            {
                return Ok(Some(other.mode));
            }
            // A match was found since, or the ticket behind it is gone.
            if !self.replace_claim(user, &text, &mine.to_value(), CLAIM_MS).await? {
                continue;
            }
            if let Held::Waiting(other) = held
                && other != mine
                && self.waits(user, other).await?
            {
                self.replace_claim(user, &mine.to_value(), &text, CLAIM_MS).await?;
                return Ok(Some(other.mode));
            }
            return Ok(None);
        }
        // Others are quicker again and again: it surely waits.
        Ok(Some(mine.mode))
    }

    async fn waits(&self, user: UserId, claim: Claim) -> Result<bool, RedisError> {
        let state = self.script_status(claim.mode, user).await?;
        Ok(matches!(state, State::Waiting | State::Pending(_)))
    }

    async fn replace_claim(&self, user: UserId, from: &str, to: &str, ms: u32) -> Result<bool, RedisError> {
        let call = Call::keys([names::queued_user(user)]).arg(from).arg(to).arg(ms);
        Ok(self.fabric.commands().eval("queue_replace_claim", &REPLACE, call).await?.as_i64() == Some(1))
    }

    /// What stands in the user's key.
    pub(super) async fn claim_of(&self, user: UserId) -> Result<Option<Held>, RedisError> {
        const OPERATION: &str = "queue_claim_of";
        let held = self.fabric.commands().eval(OPERATION, &GET, Call::keys([names::queued_user(user)])).await?;
        held.as_string().map(|text| Held::parse(&text).ok_or(malformed(OPERATION, "claim"))).transpose()
    }

    /// `Some` if the claim is not ours any more: the mode of who has it, or ours if nobody has.
    pub(super) async fn lost_to(&self, user: UserId, mine: Claim) -> Result<Option<Mode>, RedisError> {
        Ok(match self.claim_of(user).await? {
            Some(Held::Waiting(claim)) if claim == mine => None,
            // A director was quick.
            Some(Held::Found { mode, .. }) if mode == mine.mode => None,
            Some(Held::Waiting(claim)) => Some(claim.mode),
            Some(Held::Found { mode, .. }) => Some(mode),
            None => Some(mine.mode),
        })
    }

    /// Gives a claim up, if it is still this one.
    pub(super) async fn release(&self, user: UserId, claim: Claim) -> Result<(), RedisError> {
        self.replace_claim(user, &claim.to_value(), "", 0).await.map(|_| ())
    }

    /// Renews the claims of tickets; says of each what stands in its user's key.
    pub(super) async fn renew_claims(&self, tickets: &[TicketRef]) -> Result<Vec<Held>, RedisError> {
        const OPERATION: &str = "queue_renew_claims";
        let calls = tickets.iter().map(|ticket| {
            let claim = Claim::from(*ticket);
            Call::keys([names::queued_user(ticket.user)]).arg(claim.to_value()).arg(CLAIM_MS)
        });
        let answers = self.fabric.commands().eval_many(OPERATION, &RENEW, calls.collect()).await?;
        let held = answers.iter().map(|answer| answer.as_str().as_deref().and_then(Held::parse));
        held.map(|held| held.ok_or(malformed(OPERATION, "claim"))).collect()
    }

    /// These wait no more: their claims become the match that was found, or go.
    pub(super) async fn settle(&self, over: &[(TicketRef, Option<MatchId>)]) -> Result<(), RedisError> {
        let calls = over.iter().map(|(ticket, found)| {
            let value = found.map(|match_id| format!("f {} {match_id}", ticket.mode)).unwrap_or_default();
            let claim = Claim::from(*ticket);
            Call::keys([names::queued_user(ticket.user)]).arg(claim.to_value()).arg(value).arg(FOUND_MS)
        });
        self.fabric.commands().eval_many("queue_settle", &REPLACE, calls.collect()).await.map(|_| ())
    }
}
