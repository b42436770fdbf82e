//! What every node is made of, whatever its role: configuration, telemetry, admin port, Redis, Postgres, and an end.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use rally_fabric::{Fabric, FabricConfig, LinkState, Role};
use rally_protocol::cluster::{BundleKeys, v1::Order};
use rally_service::{
    admin::{self, ADMIN_ADDR, Identity},
    clock,
    drain::{self, Drain, Outcome},
    entropy,
    env::{Env, Faults, Key, ProcessEnv, Strings as _, Unit, Var},
    listen::listen,
    readiness::Readiness,
    signal::Endings,
    telemetry::{Telemetry, TelemetryConfig},
};
use rally_store::Store;
use rally_units::Incarnation;
use rally_worker::MoveOrder;
use secrecy::ExposeSecret as _;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    dev, edge,
    servers::{self, DatabaseConfig, RedisConfig},
    worker,
};

pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What bundles are sealed with.
pub(crate) const CLUSTER_KEYS: Var = Var::secret(
    "RALLY_CLUSTER_KEYS",
    Unit::Key,
    "Keys that seal what nodes tell each other, separated by commas: the first signs, all verify.",
);
const NODE_NAME: Var = Var::new(
    "RALLY_NODE_NAME",
    Unit::Text,
    "This node's name, unique in the cluster while it lives. Default: HOSTNAME, which in Kubernetes is the pod's name.",
);
/// The variables of every node, besides those of the servers that it uses.
const OWN_VARS: &[Var] = &[CLUSTER_KEYS, NODE_NAME];

/// The variables of every node.
pub(crate) fn vars() -> Vec<&'static [Var]> {
    vec![servers::REDIS_VARS, servers::BUS_VARS, servers::DATABASE_VARS, OWN_VARS]
}

/// How often a node fetches operators' orders.
const ORDERS_EVERY: Duration = Duration::from_millis(500);
/// Moves ordered and not yet begun to be looked at.
const MOVES_MAX: usize = 1_024;

/// How often a node looks whether Postgres and Redis are there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The configuration that all roles share.
struct NodeConfig {
    redis: RedisConfig,
    database: DatabaseConfig,
    cluster_keys: Vec<Key>,
    name: String,
    drain_within: Duration,
    admin_addr: SocketAddr,
    telemetry: TelemetryConfig,
}

impl NodeConfig {
    fn read(env: &mut Env<'_>, role: Role) -> Option<Self> {
        let redis = RedisConfig::read_with_buses(env);
        let database = DatabaseConfig::read(env);
        let cluster_keys = env.keys(&CLUSTER_KEYS);
        let name = env.optional::<String>(&NODE_NAME);
        let drain_within = drain::read_limit(env);
        let admin_addr = admin::read_addr(env);
        let telemetry = TelemetryConfig::read(env);
        // Without a name two processes on one machine would take each other's mailbox.
        let host = || ProcessEnv.get("HOSTNAME").ok().flatten().unwrap_or_else(|| "localhost".to_owned());
        Some(Self {
            redis: redis?,
            database: database?,
            cluster_keys: cluster_keys?,
            name: name?.unwrap_or_else(|| format!("{}-{}", host(), role.as_str())),
            drain_within: drain_within?,
            admin_addr: admin_addr?,
            telemetry: telemetry?,
        })
    }
}

/// Reads the configuration of a node and of its role: all faults at once.
fn read_all<C>(
    role: Role,
    read_role: impl FnOnce(&mut Env<'_>) -> Option<C>,
) -> Result<(NodeConfig, C, Vec<String>), Faults> {
    let strings = ProcessEnv;
    let mut env = Env::new(&strings);
    let node = NodeConfig::read(&mut env, role);
    let role = read_role(&mut env);
    // Nodes on one machine may share an environment: what another role reads is no typing error.
    let warnings = rally_service::env::unknown(&strings, &[&edge::vars()[..], &worker::vars(), &[dev::VARS]].concat());
    let (node, role) = env.finish(node.zip(role))?;
    Ok((node, role, warnings))
}

/// A node that is up, before its role begins.
pub(crate) struct Node {
    pub(crate) fabric: Fabric,
    pub(crate) incarnation: Incarnation,
    pub(crate) keys: BundleKeys,
    pub(crate) store: Store,
    pub(crate) drain: Drain,
    pub(crate) readiness: Readiness,
    name: String,
    shutdown: CancellationToken,
    drain_within: Duration,
    moves: Option<mpsc::Receiver<MoveOrder>>,
    endings: Endings,
    // Dropped last: what happens until then is logged.
    _telemetry: Telemetry,
}

/// Reads the configuration and brings a node up. `None`: it was only to be checked.
pub(crate) async fn start<C>(
    role: Role,
    check_config: bool,
    public_url: impl FnOnce(&C) -> Option<String>,
    read_role: impl FnOnce(&mut Env<'_>) -> Option<C>,
) -> anyhow::Result<Option<(Node, C)>> {
    let (mut config, role_config, warnings) = read_all(role, read_role)?;
    // Before the check ends: a certificate that does not fit its key is found by it too.
    let redis_tls = config.redis.take_tls().context("cannot use TLS to Redis")?;
    let store_config = config.database.store().context("cannot use TLS to Postgres")?;
    if check_config {
        warnings.iter().for_each(|warning| eprintln!("rally: warning: {warning}"));
        println!("the configuration is sound");
        return Ok(None);
    }
    // From here on a signal means: end in order.
    let endings = Endings::listen().context("cannot handle signals")?;
    let telemetry = Telemetry::start(config.telemetry, role.as_str(), &config.name)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    config.redis.warn()?;
    servers::warn_of_plain(&store_config)?;
    let admin_listener = listen(config.admin_addr, &ADMIN_ADDR).await?;
    let drain = Drain::new();
    let readiness = Readiness::new(drain.clone());
    let identity = Identity { role: role.as_str(), node: config.name.clone(), version: VERSION };
    let admin_router = admin::router(identity, readiness.clone(), telemetry.metrics.clone());
    tokio::spawn(admin::serve(admin_listener, admin_router));

    let keys = BundleKeys::derive(config.cluster_keys.iter().map(|key| key.expose_secret().as_slice()))?;
    let store = Store::new(&store_config)?;
    let incarnation = Incarnation::from_bits(entropy::random_u64());
    let mut fabric_config =
        FabricConfig::new(config.redis.url.expose_secret(), config.name.clone(), incarnation, role, clock::now);
    fabric_config.bus_urls = config.redis.bus_urls.iter().map(|url| url.expose_secret().to_owned()).collect();
    fabric_config.tls = redis_tls;
    fabric_config.public_url = public_url(&role_config);
    fabric_config.version = VERSION.to_owned();
    let (fits, may_join) = watch::channel(false);
    fabric_config.may_join = Some(may_join);
    let shutdown = CancellationToken::new();
    let fabric = Fabric::connect(fabric_config, shutdown.clone())?;

    tokio::spawn(watch_postgres(store.clone(), readiness.clone(), fits));
    tokio::spawn(tell_redis_faults(fabric.clone()));
    tokio::spawn(watch_redis(fabric.clone(), readiness.clone()));
    let (moves_to, moves) = mpsc::channel(MOVES_MAX);
    tokio::spawn(obey(fabric.clone(), keys.clone(), drain.clone(), config.drain_within, moves_to));

    tracing::info!(version = VERSION, %incarnation, "starting");
    let node = Node {
        fabric,
        incarnation,
        keys,
        store,
        drain,
        readiness,
        name: config.name,
        shutdown,
        drain_within: config.drain_within,
        moves: Some(moves),
        endings,
        _telemetry: telemetry,
    };
    Ok(Some((node, role_config)))
}

impl Node {
    /// What operators want moved, for a worker. Only the first call gets it.
    pub(crate) fn take_moves(&mut self) -> mpsc::Receiver<MoveOrder> {
        self.moves.take().unwrap_or_else(|| mpsc::channel(1).1)
    }

    /// Runs a role until it ends, draining when a signal comes. A second signal ends the drain at once.
    pub(crate) async fn run<E>(mut self, role: impl Future<Output = Result<(), E>>) -> anyhow::Result<()>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        tokio::pin!(role);
        tokio::select! {
            biased;
            result = &mut role => return Ok(result?),
            joined = self.fabric.ready() => {
                // Waits for as long as Redis is away; fails only where waiting would not help.
                joined?;
            }
            _ = self.endings.next() => self.drain.begin(self.drain_within),
        }
        loop {
            tokio::select! {
                biased;
                result = &mut role => {
                    result?;
                    break;
                }
                // Another node answers to this name, and its lease is the one that holds: this one could only stand still.
                taken = self.fabric.name_taken() => return Err(taken.into()),
                _ = self.endings.next() => {
                    let within = if self.drain.has_begun() { Duration::ZERO } else { self.drain_within };
                    tracing::info!(node = self.name, within_s = within.as_secs(), "draining");
                    self.drain.begin(within);
                }
                outcome = self.drain.wait(), if self.drain.has_begun() => {
                    if let Outcome::DeadlinePassed { left } = outcome {
                        tracing::warn!(left, "the drain's deadline has passed");
                    }
                    // The role sees it too, and ends by itself.
                    drop(tokio::time::timeout(LAST_WORDS_WITHIN, &mut role).await);
                    break;
                }
            }
        }
        self.shutdown.cancel();
        // The node leaves the registry, so that nobody counts on it for another second.
        tokio::time::sleep(Duration::from_millis(100)).await;
        tracing::info!("ended");
        Ok(())
    }
}

/// How long a role may take to end after its drain is over.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(1);

/// Does what operators order by way of Redis, until the drain that one of them may have begun.
async fn obey(fabric: Fabric, keys: BundleKeys, drain: Drain, drain_within: Duration, moves: mpsc::Sender<MoveOrder>) {
    loop {
        tokio::select! {
            _ = drain.begun() => return,
            () = tokio::time::sleep(ORDERS_EVERY) => {}
        }
        // Where it fails, Redis is away, which others say loudly enough.
        for order in fabric.take_orders(&keys).await.unwrap_or_default() {
            tracing::info!(?order, "an operator's order");
            match order {
                // An edge has no matches to move.
                Order::Move { match_id, to } => drop(moves.try_send((match_id, to))),
                Order::Drain => drain.begin(drain_within),
            }
        }
    }
}

/// Looks after Postgres. `fits` is told once the schema does: only then the node joins the cluster.
async fn watch_postgres(store: Store, readiness: Readiness, fits: watch::Sender<bool>) {
    // Matches go on without it, and whoever comes back to one must find an edge.
    let answers = readiness.condition_to_begin("postgres");
    let schema = readiness.condition("schema");
    // The reason is told when it changes, not each second.
    let mut told = String::new();
    loop {
        let answered = store.ping().await;
        answers.set(answered.is_ok());
        let said = answered.as_ref().err().map(|error| servers::explain(error)).unwrap_or_default();
        if said != told {
            if said.is_empty() {
                tracing::info!("Postgres can be used");
            } else {
                tracing::warn!(error = said, "Postgres cannot be used");
            }
            told = said;
        }
        if answered.is_ok() {
            match store.check_schema().await {
                Ok(()) => {
                    schema.set(true);
                    fits.send_replace(true);
                }
                Err(error) => {
                    schema.set(false);
                    tracing::warn!(%error, "the database's schema does not fit; run `rally migrate`");
                }
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Why connections fail is said this often, however many clients try.
const TOLD_EVERY: Duration = Duration::from_secs(10);

async fn tell_redis_faults(fabric: Fabric) {
    let mut faults = fabric.faults();
    while faults.changed().await.is_ok() {
        let said = faults.borrow_and_update().clone();
        tracing::warn!(error = servers::with_advice(said), "a connection to Redis failed");
        tokio::time::sleep(TOLD_EVERY).await;
    }
}

async fn watch_redis(fabric: Fabric, readiness: Readiness) {
    let joined = readiness.condition("cluster");
    let link_up = readiness.condition("redis");
    let leased = readiness.condition("lease");
    if fabric.ready().await.is_err() {
        // Whoever runs the role sees the same error, and ends.
        return;
    }
    joined.latch();
    let (mut link, lease) = (fabric.link(), fabric.lease());
    loop {
        link_up.set(matches!(*link.borrow_and_update(), LinkState::Up { .. }));
        // The bus may be up while the Redis that keeps leases and queues is not.
        leased.set(lease.holds(clock::now()));
        if let Ok(Err(_)) = tokio::time::timeout(LOOK_EVERY, link.changed()).await {
            return;
        }
    }
}
