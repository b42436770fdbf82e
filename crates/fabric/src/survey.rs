//! Looking at all leases ten times a second, and whether what is seen may be believed.
//!
//! A lease that is gone means that its node is silent, unless it is Redis that has forgotten: then all are gone at once,
//! this node's own among them, and for a while nobody may be judged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use fred::types::Value;
use rally_protocol::names;
use rally_units::Instant;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    Fabric, FabricConfig, LinkState, Node, Nodes, RedisError,
    commands::{Call, Commands, Script},
    lease::HOLDS,
    link::Patience,
    membership::living,
};

/// How often workers look.
const EVERY: Duration = Duration::from_millis(100);
/// For how long this node's link must have held, and Redis have kept what it was told, before others are judged.
const SETTLED: Duration = Duration::from_secs(2);
/// A picture older than this says nothing about who is gone now.
const FRESH: Duration = Duration::from_millis(400);

/// KEYS: the registry. ARGV: prefix of leases. Returns lease and description of each living node.
static LIVING: Script = Script::fixed(
    r"
local answer = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local lease = redis.call('GET', ARGV[1] .. all[i])
  local description = string.match(all[i + 1], '^%d+ (.*)$')
  if lease and description then
    answer[#answer + 1] = lease
    answer[#answer + 1] = description
  end
end
return answer
",
);

/// The nodes whose leases live now.
pub(crate) async fn look(commands: &Commands) -> Result<Vec<Node>, RedisError> {
    Ok(living(described(commands).await?.iter().filter_map(Value::as_bytes)))
}

/// Lease and description of each of them, in turn.
pub(crate) async fn described(commands: &Commands) -> Result<Vec<Value>, RedisError> {
    let call = Call::keys([names::NODES.to_owned()]).arg(names::LEASE_PREFIX);
    Ok(commands.eval("survey", &LIVING, call).await?.into_array())
}

/// Since when Redis remembers, and when it was last looked at. Readable from any thread without a lock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// Nanoseconds of the clock.
    lost_at_ns: Arc<AtomicU64>,
    seen_at_ns: Arc<AtomicU64>,
}

impl Memory {
    /// This node's lease was not there although it should have been.
    pub(crate) fn lost(&self, now: Instant) {
        self.lost_at_ns.fetch_max(now.as_nanos(), Ordering::AcqRel);
    }

    /// A picture was asked for at this moment, and came.
    pub(crate) fn seen(&self, asked: Instant) {
        self.seen_at_ns.fetch_max(asked.as_nanos(), Ordering::AcqRel);
    }

    fn is_settled(&self, now: Instant) -> bool {
        let at = |ns: &AtomicU64| Instant::from_nanos(ns.load(Ordering::Acquire));
        now.since(at(&self.lost_at_ns)) >= SETTLED && now.since(at(&self.seen_at_ns)) < FRESH
    }
}

pub(crate) struct Survey {
    pub(crate) config: Arc<FabricConfig>,
    pub(crate) commands: Commands,
    pub(crate) nodes: Arc<ArcSwap<Nodes>>,
    pub(crate) memory: Memory,
    pub(crate) shutdown: CancellationToken,
}

impl Survey {
    pub(crate) async fn run(self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing_since: Option<Instant> = None;
        let mut patience = Patience::new(HOLDS);
        while self.shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let asked = (self.config.clock)();
            let Some(seen) = self.shutdown.run_until_cancelled(look(&self.commands)).await else { break };
            match seen.map(Nodes::new) {
                Ok(nodes) if nodes.lives(self.config.node(), self.config.incarnation) => {
                    failing_since = None;
                    patience.regained();
                    self.nodes.store(Arc::new(nodes));
                    self.memory.seen(asked);
                }
                // Not ours (yet), or forgotten. What is seen of others then means nothing.
                Ok(_) => self.memory.lost((self.config.clock)()),
                Err(error) => {
                    tracing::debug!(%error, "cannot look at the leases");
                    // As with the lease: a link that is stuck is not waited for.
                    let since = *failing_since.get_or_insert(asked);
                    if (self.config.clock)().since(since) >= patience.now() {
                        self.commands.replace_link();
                        patience.lost();
                        failing_since = None;
                    }
                }
            }
        }
    }
}

impl Fabric {
    /// Whether a node that is missing from [`nodes`](Self::nodes) may be taken for dead: this node's own link and lease
    /// hold, and have held for a while, and Redis has not lost its memory. Only workers look closely enough.
    pub fn may_judge(&self, now: Instant) -> bool {
        let link_held = |state: LinkState| matches!(state, LinkState::Up { since } if now.since(since) >= SETTLED);
        self.lease().holds(now) && self.memory().is_settled(now) && link_held(*self.link().borrow())
    }
}
