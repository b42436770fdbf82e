//! The task that keeps this node's lease and its place in the registry, and takes pictures of the registry.
//!
//! One script does all of it every 250 ms: after Redis has lost its memory, the nodes are back with the next one.

use std::{mem::discriminant, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use fred::types::Value;
use rally_protocol::{cluster::v1::NodeLoad, names};
use rally_units::{Incarnation, Instant, NodeId};
use serde::Deserialize;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    FabricConfig, Lease, Node, Nodes, ReadyError, RedisError,
    commands::{Call, Commands, Script, malformed},
    lease::{HOLDS, LEASE, RENEW},
    link::Patience,
    registry::first_protocol,
    survey::{Memory, described},
};

/// A node that died is forgotten after this long.
const PURGE_AFTER: Duration = Duration::from_secs(60);

/// KEYS: this node's lease, the registry. ARGV: incarnation, lease ms, node, description, prefix of leases, purge ms.
/// Returns the holder of the lease; if that is us, also whether it was there before, then lease and description of each
/// living node.
static RENEW_LEASE: Script = Script::fixed(
    r"
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return {holder} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[2], ARGV[3], string.format('%d', now) .. ' ' .. ARGV[4])
local answer = {ARGV[1], holder and '1' or '0'}
local all = redis.call('HGETALL', KEYS[2])
for i = 1, #all, 2 do
  local lease = redis.call('GET', ARGV[5] .. all[i])
  local seen, description = string.match(all[i + 1], '^(%d+) (.*)$')
  if lease and description then
    answer[#answer + 1] = lease
    answer[#answer + 1] = description
  elseif not seen or now - tonumber(seen) > tonumber(ARGV[6]) then
    redis.call('HDEL', KEYS[2], all[i])
  end
end
return answer
",
);

/// KEYS: this node's lease, the registry. ARGV: incarnation, node.
static LEAVE: Script = Script::fixed(
    r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HDEL', KEYS[2], ARGV[2])
return 1
",
);

/// Whether the node is one of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not yet known.
    Asking,
    /// It holds its name.
    Member,
    /// For longer than a dead process' lease lives, somebody else has its name.
    NameTaken { by: Incarnation },
    /// For as long, somebody lives who speaks another protocol. The node has not joined.
    OtherProtocol { other: String, theirs: u8 },
}

impl Standing {
    /// Why the node is none of the cluster, if it is none.
    pub(crate) fn refusal(&self, config: &FabricConfig) -> Option<ReadyError> {
        match self {
            Self::Asking | Self::Member => None,
            Self::NameTaken { by } => Some(ReadyError::NameTaken { name: config.name.clone(), other: *by }),
            Self::OtherProtocol { other, theirs } => {
                Some(ReadyError::OtherProtocol { other: other.clone(), theirs: *theirs, ours: config.protocol })
            }
        }
    }
}

/// What a node of any version says of itself.
#[derive(Deserialize)]
struct Speaks {
    id: NodeId,
    name: String,
    #[serde(default = "first_protocol")]
    protocol: u8,
}

/// The first of others who speaks another protocol, from pairs of lease and description.
fn unlike<'a>(config: &FabricConfig, mut pairs: impl Iterator<Item = &'a [u8]>) -> Option<Standing> {
    while let (Some(_), Some(description)) = (pairs.next(), pairs.next()) {
        if let Ok(Speaks { id, name, protocol }) = serde_json::from_slice(description)
            && protocol != config.protocol
            && id != config.node()
        {
            return Some(Standing::OtherProtocol { other: name, theirs: protocol });
        }
    }
    None
}

pub(crate) struct Membership {
    pub(crate) config: Arc<FabricConfig>,
    pub(crate) commands: Commands,
    pub(crate) lease: Lease,
    pub(crate) load: Arc<ArcSwap<NodeLoad>>,
    pub(crate) nodes: Arc<ArcSwap<Nodes>>,
    pub(crate) standing: watch::Sender<Standing>,
    pub(crate) memory: Memory,
    pub(crate) shutdown: CancellationToken,
}

impl Membership {
    pub(crate) async fn run(self) {
        if let Some(mut may_join) = self.config.may_join.clone() {
            let opened = self.shutdown.run_until_cancelled(may_join.wait_for(|may| *may)).await;
            if opened.is_none_or(|opened| opened.is_err()) {
                return;
            }
        }
        let mut ticks = interval(RENEW);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing_since: Option<Instant> = None;
        let mut refused: Option<(Standing, Instant)> = None;
        let mut patience = Patience::new(HOLDS);
        while self.shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let sent = (self.config.clock)();
            let Some(result) = self.shutdown.run_until_cancelled(self.renew()).await else { break };
            match result {
                Ok(Standing::Member) => {
                    self.lease.renewed(sent);
                    self.set(Standing::Member);
                    (failing_since, refused) = (None, None);
                    patience.regained();
                }
                Ok(standing) => {
                    failing_since = None;
                    let before = refused.take().filter(|(before, _)| discriminant(before) == discriminant(&standing));
                    let since = before.map_or(sent, |(_, since)| since);
                    refused = Some((standing.clone(), since));
                    // A process that was killed and started again meets its own old lease, and those of its neighbours.
                    if sent.since(since) > LEASE + RENEW
                        && self.set(standing.clone())
                        && let Some(error) = standing.refusal(&self.config)
                    {
                        tracing::error!(%error, "this node is none of the cluster");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the lease could not be renewed");
                    metrics::counter!("rally_fabric_lease_failures_total").increment(1);
                    refused = None;
                    let since = *failing_since.get_or_insert(sent);
                    if (self.config.clock)().since(since) >= patience.now() {
                        self.commands.replace_link();
                        patience.lost();
                        failing_since = None;
                    }
                }
            }
        }
        // The lease ends by itself if this does not get through.
        let _left = timeout(self.config.bounds.command_timeout, self.leave()).await;
    }

    async fn leave(&self) -> Result<(), RedisError> {
        let call = Call::keys([names::lease(self.config.node()), names::NODES.to_owned()])
            .arg(self.config.incarnation)
            .arg(self.config.node());
        self.commands.eval("leave", &LEAVE, call).await.map(drop)
    }

    /// True if that is news.
    fn set(&self, standing: Standing) -> bool {
        self.standing.send_if_modified(|old| {
            let is_news = *old != standing;
            *old = standing;
            is_news
        })
    }

    /// Joins, or stays a member.
    async fn renew(&self) -> Result<Standing, RedisError> {
        const OPERATION: &str = "renew_lease";
        let config = &self.config;
        let joins = *self.standing.borrow() != Standing::Member;
        if joins
            && let Some(refused) = unlike(config, described(&self.commands).await?.iter().filter_map(Value::as_bytes))
        {
            return Ok(refused);
        }
        let me = Node {
            id: config.node(),
            incarnation: config.incarnation,
            name: config.name.clone(),
            role: config.role,
            public_url: config.public_url.clone(),
            version: config.version.clone(),
            protocol: config.protocol,
            load: **self.load.load(),
        };
        let description = serde_json::to_string(&me).map_err(|_| malformed(OPERATION, "own description"))?;
        let call = Call::keys([names::lease(me.id), names::NODES.to_owned()])
            .arg(me.incarnation)
            .arg(LEASE.as_millis())
            .arg(me.id)
            .arg(description)
            .arg(names::LEASE_PREFIX)
            .arg(PURGE_AFTER.as_millis());
        let answer = self.commands.eval(OPERATION, &RENEW_LEASE, call).await?.into_array();
        let mut answer = answer.iter().filter_map(|value| value.as_bytes());
        let holder = answer.next().and_then(parse_incarnation).ok_or(malformed(OPERATION, "holder"))?;
        if holder != me.incarnation {
            return Ok(Standing::NameTaken { by: holder });
        }
        let was_there = answer.next() == Some(b"1");
        // Who has come at the same moment, and did not see this one either.
        if joins && let Some(refused) = unlike(config, answer.clone()) {
            self.leave().await?;
            return Ok(refused);
        }
        if !was_there {
            self.memory.lost((config.clock)());
        }
        let living = living(answer);
        metrics::gauge!("rally_fabric_nodes").set(living.len() as f64);
        self.nodes.store(Arc::new(Nodes::new(living)));
        Ok(Standing::Member)
    }
}

/// Nodes from pairs of lease and description.
pub(crate) fn living<'a>(mut pairs: impl Iterator<Item = &'a [u8]>) -> Vec<Node> {
    let mut living = Vec::new();
    while let (Some(lease), Some(description)) = (pairs.next(), pairs.next()) {
        // What does not read is of a version that we do not know; what does not match is between two lives.
        match serde_json::from_slice::<Node>(description) {
            Ok(node) if Some(node.incarnation) == parse_incarnation(lease) => living.push(node),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "a node's description does not read"),
        }
    }
    living
}

fn parse_incarnation(bytes: &[u8]) -> Option<Incarnation> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}
