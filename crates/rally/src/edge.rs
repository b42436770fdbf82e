//! `rally edge`.

use rally_edge::{EdgeConfig, Ports};
use rally_fabric::Role;
use rally_service::{admin, drain, env::Var, telemetry};

use crate::node;

/// Every variable that an edge reads.
pub(crate) fn vars() -> Vec<&'static [Var]> {
    [node::vars(), vec![EdgeConfig::VARS, rally_edge::oauth::VARS, drain::VARS, admin::VARS, telemetry::VARS]].concat()
}

/// Runs an edge until it is asked to end.
pub(crate) async fn run(check_config: bool) -> anyhow::Result<()> {
    let public_url = |config: &EdgeConfig| config.public_url.clone();
    let started = node::start(Role::Edge, check_config, public_url, EdgeConfig::read).await?;
    let Some((node, config)) = started else { return Ok(()) };
    let ports = Ports {
        fabric: node.fabric.clone(),
        incarnation: node.incarnation,
        keys: node.keys.clone(),
        store: node.store.clone(),
        drain: node.drain.clone(),
        readiness: node.readiness.clone(),
    };
    node.run(rally_edge::run(config, ports)).await
}
