//! Rates that the whole cluster counts together: GCRA, in one script per count.
//!
//! A count is the time at which it will be as good as new. Each charge moves that time on by an interval, and is refused
//! while it lies more than a burst ahead. Where a rate **grows**, every charge beyond the burst counts twice as much as
//! the one before, so that who keeps trying waits longer and longer; what was successful is taken back.
//!
//! Redis' own clock is used: those of the nodes need not agree.

use std::time::Duration;

use rally_protocol::names;

use crate::{
    Fabric, RedisError,
    commands::{Call, Script, malformed},
};

/// KEYS: count. ARGV: interval_ms, burst, growth_max, forget_ms. Returns 0, or after how many ms to come back.
static CHARGE: Script = Script::fixed(
    r"
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local interval, burst, growth_max = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local held = redis.call('HMGET', KEYS[1], 'tat', 'n')
local tat, n = math.max(tonumber(held[1]) or 0, now), tonumber(held[2]) or 0
local wait = tat - now - interval * (burst - 1)
if wait > 0 then return math.ceil(wait) end
n = n + 1
local factor = 1
if growth_max > 1 and n > burst then factor = math.min(growth_max, 2 ^ math.min(n - burst, 52)) end
tat = tat + interval * factor
redis.call('HSET', KEYS[1], 'tat', string.format('%.3f', tat), 'n', n)
redis.call('PEXPIRE', KEYS[1], math.ceil(tat - now) + tonumber(ARGV[4]))
return 0
",
);

/// KEYS: count. ARGV: interval_ms.
static REFUND: Script = Script::fixed(
    r"
local held = redis.call('HMGET', KEYS[1], 'tat', 'n')
if not held[1] then return 0 end
redis.call('HSET', KEYS[1], 'tat', held[1] - ARGV[1], 'n', math.max(0, held[2] - 1))
return 1
",
);

static FORGET: Script = Script::fixed("return redis.call('DEL', KEYS[1])");

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedRate {
    /// What it counts, which names its counts in Redis.
    pub name: &'static str,
    /// Once in so long, for ever. At least a millisecond.
    pub interval: Duration,
    /// So many at once.
    pub burst: u32,
    /// How much more a charge may count that comes again and again; 1: always the same.
    pub growth_max: u32,
    /// For how long after it is as good as new it is remembered how often it was charged.
    pub remember: Duration,
}

/// Charges rates. All nodes see the same counts.
#[derive(Clone, Debug)]
pub struct SharedLimits {
    fabric: Fabric,
}

impl Fabric {
    /// Rates that the whole cluster counts together.
    pub fn limits(&self) -> SharedLimits {
        SharedLimits { fabric: self.clone() }
    }
}

impl SharedLimits {
    /// Charges one. `Some`: refused, and when to come back.
    ///
    /// # Errors
    /// Redis is away; the caller decides what that means.
    pub async fn charge(&self, rate: &SharedRate, who: &str) -> Result<Option<Duration>, RedisError> {
        const OPERATION: &str = "limit_charge";
        let call = Call::keys([names::limit(rate.name, who)])
            .arg(rate.interval.as_millis().max(1))
            .arg(rate.burst.max(1))
            .arg(rate.growth_max.max(1))
            .arg(rate.remember.as_millis());
        let answer = self.fabric.commands().eval(OPERATION, &CHARGE, call).await?;
        let ms = answer.as_u64().ok_or(malformed(OPERATION, "wait"))?;
        Ok((ms > 0).then(|| Duration::from_millis(ms)))
    }

    /// Takes one charge back, without what it had grown by.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn refund(&self, rate: &SharedRate, who: &str) -> Result<(), RedisError> {
        let call = Call::keys([names::limit(rate.name, who)]).arg(rate.interval.as_millis().max(1));
        self.fabric.commands().eval("limit_refund", &REFUND, call).await.map(drop)
    }

    /// Forgets all charges.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn forget(&self, rate: &SharedRate, who: &str) -> Result<(), RedisError> {
        self.fabric.commands().eval("limit_forget", &FORGET, Call::keys([names::limit(rate.name, who)])).await.map(drop)
    }
}
