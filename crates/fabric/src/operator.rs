//! What an operator sees of a cluster, without being a node: nothing here takes a lease or a mailbox.

use std::{sync::Arc, time::Duration};

use fred::types::Value;
use rally_protocol::names;
use rally_units::Incarnation;

use crate::{
    ConnectError, Node, RedisError,
    commands::{Call, Commands, Script},
    link::{Plan, Purpose, Replaceable},
};

/// Nobody waits for longer in front of a terminal.
const COMMAND_WITHIN: Duration = Duration::from_secs(3);

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

/// A connection that looks, and can leave an order.
#[derive(Clone, Debug)]
pub struct Operator {
    commands: Commands,
}

impl Operator {
    /// Connects in the background, within a tokio runtime.
    ///
    /// # Errors
    /// The URL cannot be read.
    pub fn connect(redis_url: &str) -> Result<Self, ConnectError> {
        let plan = Plan::new(redis_url, "redis_url", Purpose::Command, COMMAND_WITHIN, 1)?;
        Ok(Self { commands: Commands::new(Arc::new(Replaceable::new(plan))) })
    }

    pub(crate) fn commands(&self) -> &Commands {
        &self.commands
    }

    /// The living nodes, by their names.
    ///
    /// # Errors
    /// Redis cannot be asked.
    pub async fn nodes(&self) -> Result<Vec<Node>, RedisError> {
        let call = Call::keys([names::NODES.to_owned()]).arg(names::LEASE_PREFIX);
        let answer = self.commands.eval("nodes", &LIVING, call).await?.into_array();
        let mut answer = answer.iter().filter_map(Value::as_bytes);
        let mut nodes = Vec::new();
        while let (Some(lease), Some(description)) = (answer.next(), answer.next()) {
            let lease = std::str::from_utf8(lease).ok().and_then(|text| text.parse::<Incarnation>().ok());
            // What does not read is of a version that we do not know; what does not match is between two lives.
            if let Ok(node) = serde_json::from_slice::<Node>(description)
                && Some(node.incarnation) == lease
            {
                nodes.push(node);
            }
        }
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(nodes)
    }
}
