//! A director's lease: a hint about who runs a loop of which the cluster needs one.
//!
//! It is only a hint: two nodes may hold it for a moment, so every effect of a director is conditional elsewhere.

use rally_protocol::names;
use rally_units::Instant;

use crate::{
    Fabric, RedisError,
    commands::{Call, Script},
    lease::{HOLDS, LEASE},
};

/// KEYS: the lease. ARGV: who, ms.
static HOLD: Script = Script::fixed(
    r"
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
",
);

/// KEYS: the lease. ARGV: who.
static RELEASE: Script = Script::fixed(
    r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
",
);

/// One director's lease, as this node sees it. Call [`try_hold`](Self::try_hold) every 250 ms.
#[derive(Clone, Debug)]
pub struct Director {
    fabric: Fabric,
    key: String,
    who: String,
    held_sent: Option<Instant>,
}

impl Fabric {
    /// The lease of the director with this name. Asks nothing yet.
    pub fn director(&self, name: &str) -> Director {
        Director {
            fabric: self.clone(),
            key: names::director(name),
            who: format!("{} {}", self.node(), self.incarnation()),
            held_sent: None,
        }
    }
}

impl Director {
    /// Takes the lease if nobody has it, renews it if this node has it: for 1 s. Returns whether this node has it.
    pub async fn try_hold(&mut self) -> Result<bool, RedisError> {
        let sent = self.fabric.now();
        let call = Call::keys([self.key.clone()]).arg(&self.who).arg(LEASE.as_millis());
        let held = self.fabric.commands().eval("hold_director", &HOLD, call).await?.as_i64() == Some(1);
        self.held_sent = held.then_some(sent);
        Ok(held)
    }

    /// Whether the lease is this node's: for 750 ms after the last success was asked for.
    pub fn holds(&self, now: Instant) -> bool {
        self.held_sent.is_some_and(|sent| now.since(sent) < HOLDS)
    }

    /// Gives the lease up, so that another may take it at once.
    pub async fn release(&mut self) -> Result<(), RedisError> {
        self.held_sent = None;
        let call = Call::keys([self.key.clone()]).arg(&self.who);
        self.fabric.commands().eval("release_director", &RELEASE, call).await.map(|_| ())
    }
}
