//! `rally worker`.

use rally_fabric::Role;
use rally_service::{admin, drain, env::Var, telemetry};
use rally_worker::{Ports, WorkerConfig};

use crate::node;

/// Every variable that a worker reads.
pub(crate) fn vars() -> Vec<&'static [Var]> {
    [node::vars(), vec![WorkerConfig::VARS, drain::VARS, admin::VARS, telemetry::VARS]].concat()
}

/// Runs a worker until it is asked to end.
pub(crate) async fn run(check_config: bool) -> anyhow::Result<()> {
    let started = node::start(Role::Worker, check_config, |_| None, WorkerConfig::read).await?;
    let Some((mut node, config)) = started else { return Ok(()) };
    let ports = Ports {
        fabric: node.fabric.clone(),
        incarnation: node.incarnation,
        keys: node.keys.clone(),
        store: node.store.clone(),
        moves: node.take_moves(),
        drain: node.drain.clone(),
    };
    let fabric = node.fabric.clone();
    let role = async {
        // Who is none of the cluster must not lead its queues either. Where this fails, the node ends with the reason.
        match fabric.ready().await {
            Ok(()) => rally_worker::run(config, ports).await,
            Err(_) => std::future::pending().await,
        }
    };
    node.run(role).await
}
