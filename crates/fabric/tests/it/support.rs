//! Nodes on real servers, a clock, and counters that can be read.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use rally_fabric::{Fabric, FabricConfig, LinkState, Role};
use rally_units::{Incarnation, Instant, MatchId, NodeId, SessionId, UserId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What anything may take on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) fn clock() -> Instant {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    let elapsed = START.get_or_init(std::time::Instant::now).elapsed();
    // Not zero, which would hide a mix-up with "never".
    Instant::from_nanos(1_000_000_000 + elapsed.as_nanos() as u64)
}

/// A number that no other call returns.
pub(crate) fn unique() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(1);
    LAST.fetch_add(1, Ordering::Relaxed)
}

fn unique_bytes() -> [u8; 16] {
    let n = unique().to_be_bytes();
    std::array::from_fn(|i| n[i % 8])
}

pub(crate) fn match_id() -> MatchId {
    MatchId::from_bytes(unique_bytes())
}

pub(crate) fn user_id() -> UserId {
    UserId::from_bytes(unique_bytes())
}

pub(crate) fn session_id() -> SessionId {
    SessionId::from_bytes(unique_bytes())
}

/// A node, shut down when dropped.
pub(crate) struct Node {
    pub(crate) fabric: Fabric,
    pub(crate) mailbox: mpsc::Receiver<Bytes>,
    shutdown: CancellationToken,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub(crate) fn config(url: &str, name: &str) -> FabricConfig {
    FabricConfig::new(url, name, Incarnation::from_bits(unique()), Role::Worker, clock)
}

/// A node that need not be ready.
pub(crate) fn start(config: FabricConfig) -> Node {
    let shutdown = CancellationToken::new();
    let fabric = Fabric::connect(config, shutdown.clone()).expect("a valid configuration");
    let mailbox = fabric.take_mailbox().expect("the first to ask");
    Node { fabric, mailbox, shutdown }
}

/// A node that is part of the cluster.
pub(crate) async fn node(url: &str, name: &str) -> Node {
    let node = start(config(url, name));
    tokio::time::timeout(LONG, node.fabric.ready()).await.expect("in time").expect("ready");
    node
}

impl Node {
    pub(crate) fn id(&self) -> NodeId {
        self.fabric.node()
    }

    pub(crate) async fn recv(&mut self) -> Bytes {
        tokio::time::timeout(LONG, self.mailbox.recv()).await.expect("a bundle in time").expect("not shut down")
    }

    /// Shuts it down in good order.
    pub(crate) async fn leave(self) {
        self.shutdown.cancel();
        tokio::time::timeout(LONG, self.fabric.finished()).await.expect("in time");
    }

    pub(crate) async fn link_is_up(&self) -> Instant {
        let mut link = self.fabric.link();
        let up = link.wait_for(|state| matches!(state, LinkState::Up { .. }));
        match *tokio::time::timeout(LONG, up).await.expect("in time").expect("not shut down") {
            LinkState::Up { since } | LinkState::Silent { since } => since,
        }
    }

    pub(crate) async fn link_is_silent(&self) -> Instant {
        let mut link = self.fabric.link();
        let silent = link.wait_for(|state| matches!(state, LinkState::Silent { .. }));
        match *tokio::time::timeout(LONG, silent).await.expect("in time").expect("not shut down") {
            LinkState::Up { since } | LinkState::Silent { since } => since,
        }
    }
}

/// Something that begins like a bundle. What is in it is the affair of `Pairs`.
pub(crate) fn parcel(n: u32) -> Bytes {
    let mut bytes = vec![1];
    bytes.extend_from_slice(&n.to_be_bytes());
    bytes.into()
}

pub(crate) fn number(parcel: &[u8]) -> u32 {
    u32::from_be_bytes(std::array::from_fn(|i| parcel[1 + i]))
}

/// Counters of the thread that it was installed on.
#[derive(Clone, Default)]
pub(crate) struct Counters(Arc<Mutex<HashMap<String, Arc<AtomicU64>>>>);

impl Counters {
    pub(crate) fn get(&self, name: &str) -> u64 {
        self.0.lock().expect("not poisoned").get(name).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let mut name = key.name().to_owned();
        for label in key.labels() {
            name.push_str(&format!(" {}={}", label.key(), label.value()));
        }
        Counter::from_arc(self.0.lock().expect("not poisoned").entry(name).or_default().clone())
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// Every future of the fabric can be spawned on a runtime of several threads. Not run: that it compiles says it.
#[expect(dead_code)]
fn futures_are_send(fabric: &Fabric) {
    fn is_send(_: impl Send) {}
    let (id, session, user) = (match_id(), session_id(), user_id());
    is_send(fabric.ready());
    is_send(fabric.check());
    is_send(fabric.name_taken());
    is_send(fabric.finished());
    is_send(fabric.owner(id));
    is_send(fabric.set_owners(&[]));
    is_send(fabric.clear_owner(id, rally_units::Epoch(1)));
    is_send(fabric.director("x").try_hold());
    is_send(fabric.director("x").release());
    let (sessions, topics, queue) = (fabric.sessions(), fabric.topics(), fabric.queue());
    is_send(sessions.put(session, Bytes::new()));
    is_send(sessions.get(session));
    is_send(sessions.touch(&[]));
    is_send(sessions.remove(session));
    is_send(topics.subscribe("x"));
    is_send(topics.publish("x", b""));
    is_send(queue.refresh(&[]));
    is_send(queue.leave(user));
    is_send(queue.status(user));
    let mode = rally_protocol::client::v1::Mode::Casual;
    is_send(queue.pair(mode, &[]));
    is_send(queue.finish(mode, id));
    is_send(queue.revert(mode, id));
    is_send(queue.stale_pending(mode));
    is_send(queue.depth(mode));
}
