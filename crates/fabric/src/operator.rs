//! What an operator sees of a cluster, without being a node: nothing here takes a lease or a mailbox.

use std::{sync::Arc, time::Duration};

use crate::{
    ConnectError, Node, RedisError,
    commands::Commands,
    link::{Plan, Purpose, Replaceable},
    survey::look,
};

/// Nobody waits for longer in front of a terminal.
const COMMAND_WITHIN: Duration = Duration::from_secs(3);

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
        let mut nodes = look(&self.commands).await?;
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(nodes)
    }
}
