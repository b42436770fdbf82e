//! A cluster of workers under test and one edge that does what the test says.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use rally_fabric::{Fabric, FabricConfig, Pairs, Received, Role, Ticket};
use rally_protocol::{
    client::{
        Encoding,
        codec::Messages as _,
        v1::{JoinAs, Mode, ServerMessage, Skill},
    },
    cluster::{BundleKeys, EntryKind, v1::Control},
};
use rally_service::{clock, drain::Drain, entropy};
use rally_store::{Store, StoreConfig, User};
use rally_testkit::{Postgres, Redis, TestDb, eventually};
use rally_units::{Epoch, Incarnation, MatchId, NodeId, SessionId, UserId};
use rally_worker::{Ports, RetentionConfig, WorkerConfig, WorkerError};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) struct Cluster {
    redis: Redis,
    pub(crate) db: TestDb,
    /// May do everything, for the test.
    pub(crate) store: Store,
    /// Of workers that are started from now on.
    pub(crate) config: WorkerConfig,
    /// May do what a worker may.
    worker_store: Store,
}

pub(crate) struct Worker {
    pub(crate) fabric: Fabric,
    pub(crate) drain: Drain,
    pub(crate) task: JoinHandle<Result<(), WorkerError>>,
    _shutdown: DropGuard,
}

fn keys() -> BundleKeys {
    BundleKeys::derive([&[7; 32][..]]).unwrap()
}

fn incarnation() -> Incarnation {
    Incarnation::from_bits(entropy::random_u64() | 1)
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::on(Postgres::shared().await).await
    }

    /// On a Postgres of the test's own.
    pub(crate) async fn on(postgres: &Postgres) -> Self {
        let redis = Redis::start().await;
        let db = postgres.fresh_database().await;
        let store = Store::new(&StoreConfig::new(db.url().to_owned())).unwrap();
        store.migrate().await.unwrap();
        let config = WorkerConfig { matches_max: 100, score_to_win: 11, retention: RetentionConfig::FOR_EVER };
        let worker_store = Store::new(&StoreConfig::new(db.url_as("rally_worker"))).unwrap();
        Self { redis, db, store, config, worker_store }
    }

    async fn fabric(&self, name: &str, role: Role) -> (Fabric, Incarnation, DropGuard) {
        let incarnation = incarnation();
        let shutdown = CancellationToken::new();
        let config = FabricConfig::new(
            self.redis.url_as(&format!("rally-{}", role.as_str())),
            name,
            incarnation,
            role,
            clock::now,
        );
        let fabric = Fabric::connect(config, shutdown.clone()).unwrap();
        timeout(LONG, fabric.ready()).await.unwrap().unwrap();
        (fabric, incarnation, shutdown.drop_guard())
    }

    pub(crate) async fn worker(&self, name: &str) -> Worker {
        let (fabric, incarnation, shutdown) = self.fabric(name, Role::Worker).await;
        let drain = Drain::new();
        let ports = Ports {
            fabric: fabric.clone(),
            incarnation,
            keys: keys(),
            store: self.worker_store.clone(),
            moves: mpsc::channel(1).1,
            drain: drain.clone(),
        };
        let task = tokio::spawn(rally_worker::run(self.config, ports));
        Worker { fabric, drain, task, _shutdown: shutdown }
    }

    pub(crate) async fn edge(&self) -> Edge {
        let (fabric, incarnation, shutdown) = self.fabric("edge-1", Role::Edge).await;
        let pairs = Pairs::new(fabric.node(), incarnation, keys());
        let mailbox = fabric.take_mailbox().unwrap();
        Edge { fabric, incarnation, pairs, mailbox, heard: Vec::new(), _shutdown: shutdown }
    }

    pub(crate) async fn guest(&self, name: &str) -> User {
        self.store.create_guest(name).await.unwrap()
    }

    /// Waits until a player sits nowhere.
    pub(crate) async fn free(&self, user: UserId) {
        eventually(LONG, || async { self.store.active_match(user).await.unwrap().is_none() }).await;
    }
}

/// What the edge has heard.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    Control(Control),
    Message(Box<ServerMessage>),
}

pub(crate) struct Edge {
    pub(crate) fabric: Fabric,
    pub(crate) incarnation: Incarnation,
    pairs: Pairs,
    mailbox: mpsc::Receiver<Bytes>,
    heard: Vec<Heard>,
    _shutdown: DropGuard,
}

impl Edge {
    pub(crate) fn ticket(&self, user: &User, mode: Mode) -> Ticket {
        Ticket {
            session: session(),
            user: user.id,
            name: user.name.clone(),
            guest: true,
            mode,
            skill: Skill::Smash,
            rating: Ticket::RATING_OF_NEWCOMERS,
            edge: self.fabric.node(),
            edge_incarnation: self.incarnation,
        }
    }

    pub(crate) fn say(&mut self, worker: NodeId, match_id: MatchId, control: &Control) {
        self.pairs.set_active(worker, true);
        self.pairs.control(worker, match_id, Epoch::default(), control).unwrap();
    }

    pub(crate) fn join(&mut self, worker: NodeId, match_id: MatchId, ticket: &Ticket) {
        let Ticket { session, user, ref name, skill, .. } = *ticket;
        let join = Control::Join { request: 1, session, user, name: name.clone(), join_as: JoinAs::Player, skill };
        self.say(worker, match_id, &join);
    }

    /// The first thing, of those not waited for yet, for which `pick` has something.
    pub(crate) async fn hear<T>(&mut self, mut pick: impl FnMut(&Heard) -> Option<T>) -> T {
        let heard = timeout(LONG, async {
            loop {
                if let Some((at, picked)) = self.heard.iter().enumerate().find_map(|(i, h)| Some((i, pick(h)?))) {
                    self.heard.remove(at);
                    return picked;
                }
                self.turn().await;
            }
        });
        match heard.await {
            Ok(heard) => heard,
            Err(_) => panic!("not heard in time; but: {:?}", self.heard),
        }
    }

    /// Listens for a while, and says how many things for which `pick` holds have come in all.
    pub(crate) async fn count(&mut self, span: Duration, pick: impl Fn(&Heard) -> bool) -> usize {
        let until = clock::now() + span;
        while clock::now() < until {
            self.turn().await;
        }
        self.heard.iter().filter(|heard| pick(heard)).count()
    }

    async fn turn(&mut self) {
        let fabric = &self.fabric;
        self.pairs.flush(clock::now(), |to, bundle| {
            fabric.send(to, bundle);
        });
        let Ok(Some(bundle)) = timeout(Duration::from_millis(10), self.mailbox.recv()).await else { return };
        let heard = &mut self.heard;
        // Between two nodes that do not know each other yet, the first bundles are refused.
        let _ = self.pairs.receive(clock::now(), &bundle, |received| {
            let Received::Entry { entry, .. } = received else { return };
            match entry.kind {
                EntryKind::Control => {
                    heard.push(Heard::Control(Control::from_bytes(entry.payload).unwrap()));
                }
                EntryKind::Message => {
                    heard.push(Heard::Message(Box::new(
                        ServerMessage::decode(Encoding::Msgpack, entry.payload).unwrap(),
                    )));
                }
                EntryKind::Snapshot | EntryKind::Inputs | EntryKind::State => {}
            }
        });
    }

    /// That this connection has an opponent.
    pub(crate) async fn found(&mut self, ticket: &Ticket) -> MatchId {
        self.hear(|heard| match heard {
            Heard::Control(Control::Found { session, message }) if *session == ticket.session => Some(message.match_id),
            _ => None,
        })
        .await
    }

    /// That this connection has come into the match.
    pub(crate) async fn joined(&mut self) {
        self.hear(|heard| matches!(heard, Heard::Control(Control::Joined { .. })).then_some(())).await;
    }
}

pub(crate) fn session() -> SessionId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    SessionId::from_bytes(bytes)
}
