//! What an operator sees of a cluster, without being a node: nothing here takes a lease or a mailbox.

use std::{sync::Arc, time::Duration};

use rustls::ClientConfig;
use tokio::sync::watch;

use crate::{
    ConnectError, Node, RedisError,
    commands::Commands,
    link::{Faults, Plan, Purpose, Replaceable, Terms},
    survey::look,
};

/// Nobody waits for longer in front of a terminal.
const COMMAND_WITHIN: Duration = Duration::from_secs(3);

/// A connection that looks, and can leave an order.
#[derive(Clone, Debug)]
pub struct Operator {
    commands: Commands,
    faults: Arc<Faults>,
}

impl Operator {
    /// Connects in the background, within a tokio runtime.
    ///
    /// # Errors
    /// The URL cannot be read, or asks for TLS and there is no `tls`.
    pub fn connect(redis_url: &str, tls: Option<&ClientConfig>) -> Result<Self, ConnectError> {
        let faults = Arc::new(watch::Sender::new(String::new()));
        let terms = Terms { tls, command_timeout: COMMAND_WITHIN, faults: &faults };
        let plan = Plan::new(redis_url, "redis_url", terms, Purpose::Command, 1)?;
        Ok(Self { commands: Commands::new(Arc::new(Replaceable::new(plan))), faults })
    }

    pub(crate) fn commands(&self) -> &Commands {
        &self.commands
    }

    /// Why the last connection failed, in words; empty as long as none has.
    pub fn fault(&self) -> String {
        self.faults.borrow().clone()
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
