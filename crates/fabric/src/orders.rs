//! What an operator tells a node to do. An order waits in Redis for some seconds; a node that lives fetches it sooner.
//! Orders are sealed with the cluster's key, for the one life of the node that is meant: whoever can write to Redis can
//! neither make one up nor repeat it later.

use std::time::Duration;

use fred::types::Value;
use rally_protocol::{
    cluster::{BundleKeys, v1::Order},
    names,
};
use rally_units::{Incarnation, MatchId, NodeId};

use crate::{
    Fabric, Node, Operator, RedisError,
    commands::{Call, Script},
};

/// How long an order waits.
const TTL: Duration = Duration::from_secs(10);
/// Orders that wait for one node; more push the oldest out.
const ORDERS_MAX: usize = 1_024;

/// KEYS: the node's orders. ARGV: order, most, ms.
static PUSH: Script = Script::fixed(
    r"
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], -tonumber(ARGV[2]), -1)
return redis.call('PEXPIRE', KEYS[1], ARGV[3])
",
);

/// KEYS: the node's orders.
static POP: Script = Script::fixed(
    r"
local orders = redis.call('LRANGE', KEYS[1], 0, -1)
redis.call('DEL', KEYS[1])
return orders
",
);

impl Operator {
    /// Orders a node to do something, within the next seconds.
    ///
    /// # Errors
    /// Redis cannot be asked.
    pub async fn order(&self, keys: &BundleKeys, to: &Node, order: &Order) -> Result<(), RedisError> {
        let sealed = keys.seal_for(context(to.id, to.incarnation), &order.to_bytes());
        let call = Call::keys([names::orders(to.id)]).bytes(sealed).arg(ORDERS_MAX).arg(TTL.as_millis());
        self.commands().eval("order", &PUSH, call).await.map(drop)
    }
}

impl Fabric {
    /// What this node has been ordered to do since the last call. What is not sealed for it is left out, and counted.
    pub async fn take_orders(&self, keys: &BundleKeys) -> Result<Vec<Order>, RedisError> {
        let answer = self.commands().eval("take_orders", &POP, Call::keys([names::orders(self.node())])).await?;
        let context = context(self.node(), self.incarnation());
        let read = |value: Value| {
            let sealed = value.into_bytes()?;
            let order = keys.open_for(context, &sealed).and_then(|bytes| Order::from_bytes(bytes).ok());
            if order.is_none() {
                metrics::counter!("rally_fabric_orders_refused_total").increment(1);
                tracing::warn!("refused an order that is not sealed for this node");
            }
            order
        };
        Ok(answer.into_array().into_iter().filter_map(read).collect())
    }
}

/// What an order is sealed for, in the shape of a match's id, of which none is made so.
fn context(node: NodeId, life: Incarnation) -> MatchId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&node.to_bits().to_le_bytes());
    bytes[8..].copy_from_slice(&life.to_bits().to_le_bytes());
    MatchId::from_bytes(bytes)
}
