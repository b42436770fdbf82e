//! The handle on all that goes through Redis, and its tasks.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use fred::{
    error::{Error, ErrorKind},
    interfaces::ClientLike as _,
    types::{InfoKind, Value},
};
use rally_protocol::cluster::v1::NodeLoad;
use rally_units::{Incarnation, Instant, NodeId};
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    CheckError, ConnectError, FabricConfig, Lease, Nodes, ReadyError, RedisCause, Role,
    commands::Commands,
    link::{Faults, Plan, Purpose, Replaceable, Terms},
    mailbox::{self, Mailbox, Outbox},
    membership::{Membership, Standing},
    survey::{Memory, Survey},
    topics::TopicHub,
};

/// When Redis goes away in the middle of a check.
const CHECK_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Whether messages get through, judged by messages of this node to itself through its own mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// They do.
    Up {
        /// Since when without a break.
        since: Instant,
    },
    /// None has for 250 ms.
    Silent {
        /// When the last one came (the start of the fabric, if none did).
        since: Instant,
    },
}

/// The connection of this node to all others. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Fabric {
    inner: Arc<Inner>,
}

struct Inner {
    config: Arc<FabricConfig>,
    commands: Commands,
    /// For what must not hold up the others: checkpoints, which are large, and surveys, which are frequent.
    bulk: Commands,
    outbox: Outbox,
    inbox: Mutex<Option<mpsc::Receiver<Bytes>>>,
    lease: Lease,
    load: Arc<ArcSwap<NodeLoad>>,
    nodes: Arc<ArcSwap<Nodes>>,
    link: watch::Receiver<LinkState>,
    faults: Arc<Faults>,
    standing: watch::Receiver<Standing>,
    topics: TopicHub,
    memory: Memory,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl fmt::Debug for Fabric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fabric").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl Fabric {
    /// Starts the tasks, within a tokio runtime. Redis need not be up: see [`ready`](Self::ready). All tasks end when
    /// `shutdown` is cancelled: bundles that wait still go out, and the node leaves the registry by itself ([`finished`](Self::finished) waits for that).
    pub fn connect(config: FabricConfig, shutdown: CancellationToken) -> Result<Self, ConnectError> {
        let bounds = config.bounds;
        if config.name.is_empty() {
            return Err(ConnectError::Name);
        }
        for (bound, name) in [
            (bounds.inbox_len_max, "inbox_len_max"),
            (bounds.outbox_len_max, "outbox_len_max"),
            (bounds.in_flight_max, "in_flight_max"),
            (bounds.topic_len_max, "topic_len_max"),
            (bounds.topics_max, "topics_max"),
        ] {
            if bound == 0 {
                return Err(ConnectError::Bound(name));
            }
        }
        let faults = Arc::new(watch::Sender::new(String::new()));
        let plan = |url: &str, setting, purpose, messages_max| {
            let terms = Terms { tls: config.tls.as_deref(), command_timeout: bounds.command_timeout, faults: &faults };
            Plan::new(url, setting, terms, purpose, messages_max)
        };
        let redis = |purpose, messages_max| plan(&config.redis_url, "redis_url", purpose, messages_max);
        let bus_urls =
            if config.bus_urls.is_empty() { std::slice::from_ref(&config.redis_url) } else { &config.bus_urls };
        let commands_plan = redis(Purpose::Command, 1)?;
        let bulk_plan = redis(Purpose::Command, 1)?;
        let topics_plan = redis(Purpose::Subscribe, bounds.inbox_len_max)?;
        let own_bus = mailbox::bus_of(config.node(), bus_urls.len());
        let mailbox_plan = plan(&bus_urls[own_bus], "bus_urls", Purpose::Subscribe, bounds.inbox_len_max)?;
        let publish_plans =
            bus_urls.iter().map(|url| plan(url, "bus_urls", Purpose::Publish, 1)).collect::<Result<Vec<_>, _>>()?;

        // From here on nothing fails, and tasks start.
        let config = Arc::new(config);
        let tasks = TaskTracker::new();
        let commands = Commands::new(Arc::new(Replaceable::new(commands_plan)));
        // An edge has neither.
        let bulk = match config.role {
            Role::Worker => Commands::new(Arc::new(Replaceable::new(bulk_plan))),
            Role::Edge => commands.clone(),
        };
        let publishers: Vec<_> = publish_plans.into_iter().map(|plan| Arc::new(Replaceable::new(plan))).collect();
        let queues = publishers.iter().map(|publisher| {
            let (sender, queue) = mpsc::channel(bounds.outbox_len_max);
            tasks.spawn(mailbox::publish(queue, publisher.clone(), bounds.in_flight_max, shutdown.clone()));
            sender
        });
        let outbox = Outbox::new(queues.collect());
        let (inbox_sender, inbox) = mpsc::channel(bounds.inbox_len_max);
        let (link_sender, link) = watch::channel(LinkState::Silent { since: (config.clock)() });
        tasks.spawn(
            Mailbox {
                node: config.node(),
                incarnation: config.incarnation,
                clock: config.clock,
                plan: mailbox_plan,
                publisher: publishers[own_bus].clone(),
                outbox: outbox.clone(),
                inbox: inbox_sender,
                state: link_sender,
                shutdown: shutdown.clone(),
            }
            .run(),
        );
        let (stands, standing) = watch::channel(Standing::Asking);
        let memory = Memory::default();
        let lease = Lease::default();
        let load = Arc::new(ArcSwap::from_pointee(NodeLoad::default()));
        let nodes = Arc::new(ArcSwap::from_pointee(Nodes::default()));
        tasks.spawn(
            Membership {
                config: config.clone(),
                commands: commands.clone(),
                lease: lease.clone(),
                load: load.clone(),
                nodes: nodes.clone(),
                standing: stands,
                memory: memory.clone(),
                shutdown: shutdown.clone(),
            }
            .run(),
        );
        if config.role == Role::Worker {
            let survey = Survey {
                config: config.clone(),
                commands: bulk.clone(),
                nodes: nodes.clone(),
                memory: memory.clone(),
                shutdown: shutdown.clone(),
            };
            tasks.spawn(survey.run());
        }
        let topics = TopicHub::start(&config, topics_plan, commands.clone(), &tasks, shutdown.clone());
        tasks.close();
        let inbox = Mutex::new(Some(inbox));
        let inner = Inner {
            config,
            commands,
            bulk,
            outbox,
            inbox,
            lease,
            load,
            nodes,
            link,
            faults,
            standing,
            topics,
            memory,
            tasks,
            shutdown,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Asks Redis (of a Cluster: each master) whether it is fit for us: it must not evict keys.
    pub async fn check(&self) -> Result<(), CheckError> {
        let memory = self
            .commands()
            .run("check", async |client| {
                let mut answers: Vec<Value> = Vec::new();
                if client.is_clustered() {
                    let servers = client.active_connections();
                    if servers.is_empty() {
                        return Err(Error::new(ErrorKind::IO, "no connection to any master"));
                    }
                    for server in servers {
                        answers.push(client.with_cluster_node(server).info(Some(InfoKind::Memory)).await?);
                    }
                } else {
                    answers.push(client.info(Some(InfoKind::Memory)).await?);
                }
                Ok(answers)
            })
            .await?;
        for answer in memory {
            refuse_eviction(&answer.as_string().unwrap_or_default())?;
        }
        Ok(())
    }

    /// Resolves once this node is part of the cluster: it holds its lease, its mailbox has been proved by a message to
    /// itself, and Redis has passed [`check`](Self::check). Fails when another living node has its name, or
    /// speaks another protocol. Waits for
    /// as long as Redis is away.
    pub async fn ready(&self) -> Result<(), ReadyError> {
        let (mut standing, mut link) = (self.inner.standing.clone(), self.inner.link.clone());
        let wait = async {
            let is_settled = |standing: &Standing| *standing != Standing::Asking;
            let settled = standing.wait_for(is_settled).await.map_err(|_| ReadyError::Shutdown)?.clone();
            if let Some(refused) = settled.refusal(&self.inner.config) {
                return Err(refused);
            }
            loop {
                match self.check().await {
                    Ok(()) => break,
                    Err(CheckError::Redis(error)) if matches!(error.cause, RedisCause::Reply(_)) => {
                        // An account that may not ask is no reason not to start.
                        tracing::warn!(%error, "cannot see whether Redis evicts keys");
                        break;
                    }
                    Err(CheckError::Redis(_)) => tokio::time::sleep(CHECK_AGAIN_AFTER).await,
                    Err(unfit @ CheckError::Evicts { .. }) => return Err(unfit.into()),
                }
            }
            let is_up = |state: &LinkState| matches!(state, LinkState::Up { .. });
            link.wait_for(is_up).await.map_err(|_| ReadyError::Shutdown)?;
            Ok(())
        };
        self.inner.shutdown.run_until_cancelled(wait).await.unwrap_or(Err(ReadyError::Shutdown))
    }

    /// Resolves once another living node has been found to have this node's name, after which the lease does not hold
    /// any more. Never, if that does not happen.
    pub async fn name_taken(&self) -> ReadyError {
        let mut standing = self.inner.standing.clone();
        let is_taken = |standing: &Standing| matches!(standing, Standing::NameTaken { .. });
        let taken = standing.wait_for(is_taken).await.ok().map(|standing| standing.clone());
        match taken.and_then(|standing| standing.refusal(&self.inner.config)) {
            Some(refused) => refused,
            None => std::future::pending().await,
        }
    }

    /// Why the last connection failed, in words; empty as long as none has. Clients try again by themselves.
    pub fn faults(&self) -> watch::Receiver<String> {
        self.inner.faults.subscribe()
    }

    /// Resolves once all tasks have ended after the shutdown, the node's departure included.
    pub async fn finished(&self) {
        self.inner.tasks.wait().await;
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.inner.config.node()
    }

    /// This life of it.
    pub fn incarnation(&self) -> Incarnation {
        self.inner.config.incarnation
    }

    /// Sends a bundle to a node's mailbox. Never blocks, and may be called from any thread. `false`: too many bundles
    /// wait, it was dropped and counted. There is no promise of delivery either way.
    pub fn send(&self, to: NodeId, bundle: Bytes) -> bool {
        self.inner.outbox.send(to, bundle)
    }

    /// What comes to this node's mailbox: sealed bundles, still to be judged by [`Pairs::receive`](crate::Pairs::receive).
    /// When it is full, further ones are dropped and counted. Only the first call gets it.
    pub fn take_mailbox(&self) -> Option<mpsc::Receiver<Bytes>> {
        self.inner.inbox.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The living nodes, this one included: a picture at most 250 ms old while Redis answers.
    pub fn nodes(&self) -> Arc<Nodes> {
        self.inner.nodes.load_full()
    }

    /// How busy this node is; goes out with the next renewal of its lease.
    pub fn set_load(&self, load: NodeLoad) {
        self.inner.load.store(Arc::new(load));
    }

    /// This node's lease.
    pub fn lease(&self) -> Lease {
        self.inner.lease.clone()
    }

    /// Whether messages get through.
    pub fn link(&self) -> watch::Receiver<LinkState> {
        self.inner.link.clone()
    }

    pub(crate) fn now(&self) -> Instant {
        (self.inner.config.clock)()
    }

    pub(crate) fn commands(&self) -> &Commands {
        &self.inner.commands
    }

    pub(crate) fn bulk(&self) -> &Commands {
        &self.inner.bulk
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.inner.memory
    }

    pub(crate) fn topic_hub(&self) -> &TopicHub {
        &self.inner.topics
    }
}

/// `info` is what `INFO memory` says.
fn refuse_eviction(info: &str) -> Result<(), CheckError> {
    let field = |name: &str| info.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
    let has_limit = field("maxmemory").is_some_and(|bytes| bytes != "0");
    match field("maxmemory_policy") {
        Some(policy) if has_limit && policy != "noeviction" => Err(CheckError::Evicts { policy: policy.to_owned() }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_eviction_under_a_limit_is_refused() {
        let info = |max: &str, policy: &str| format!("# Memory\r\nmaxmemory:{max}\r\nmaxmemory_policy:{policy}\r\n");
        assert!(refuse_eviction(&info("0", "allkeys-lru")).is_ok());
        assert!(refuse_eviction(&info("1000", "noeviction")).is_ok());
        assert!(matches!(
            refuse_eviction(&info("1000", "volatile-ttl")),
            Err(CheckError::Evicts { policy }) if policy == "volatile-ttl"
        ));
        assert!(refuse_eviction("").is_ok(), "a managed Redis may not tell");
    }
}
