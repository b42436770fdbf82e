//! An edge as its process runs it, from the configuration to its end.

use std::time::{Duration, Instant};

use rally_edge::{EdgeConfig, EdgeError, Ports, run};
use rally_fabric::Role;
use rally_protocol::client::v1::ServerMessage;
use rally_service::{
    drain::Drain,
    entropy,
    env::{Env, MapEnv},
    local::free_port,
    readiness::Readiness,
};
use rally_testkit::eventually;
use rally_units::Incarnation;
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};
use tokio_tungstenite::client_async;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::{
    Client, Cluster, LONG, handshake, keys,
    site::{Browser, LOCALHOST},
};

const KEY: &str = "mN3x7u0Jp1QWbVd9kS5cRzYhT2aLfGeXoIiC8vD4B6E=";

struct Running {
    addr: std::net::SocketAddr,
    drain: Drain,
    readiness: Readiness,
    task: JoinHandle<Result<(), EdgeError>>,
    _shutdown: DropGuard,
}

impl Running {
    async fn is_up(&self) {
        eventually(LONG, async || TcpStream::connect(self.addr).await.is_ok() && self.readiness.is_ready()).await;
    }
}

async fn start(cluster: &Cluster, port: u16) -> Running {
    let addr = std::net::SocketAddr::new(LOCALHOST, port);
    let strings = MapEnv::new([("RALLY_SIGNING_KEYS", KEY), ("RALLY_HTTP_ADDR", &addr.to_string())]);
    let mut env = Env::new(&strings);
    let config = EdgeConfig::read(&mut env);
    let config = env.finish(config).unwrap();
    let shutdown = CancellationToken::new();
    let incarnation = Incarnation::from_bits(entropy::random_u64());
    let fabric = cluster.fabric(&format!("edge-{incarnation}"), incarnation, Role::Edge, &shutdown).await;
    let drain = Drain::new();
    let readiness = Readiness::new(drain.clone());
    let ports = Ports {
        fabric,
        incarnation,
        keys: keys(),
        store: cluster.store.clone(),
        drain: drain.clone(),
        readiness: readiness.clone(),
    };
    let task = tokio::spawn(run(config, ports));
    Running { addr, drain, readiness, task, _shutdown: shutdown.drop_guard() }
}

async fn open(running: &Running, browser: &Browser) -> Client {
    let stream = TcpStream::connect(running.addr).await.unwrap();
    let (socket, _) = client_async(handshake(Some("rally.v1.json")), stream).await.unwrap();
    let mut client = Client::of(socket);
    client.hello_with(browser.token.as_deref().unwrap()).await;
    assert!(matches!(client.next().await, ServerMessage::Welcome(_)));
    client
}

#[tokio::test]
async fn an_edge_sends_its_people_elsewhere_and_ends() {
    let cluster = Cluster::start().await;
    let running = start(&cluster, free_port().unwrap()).await;
    running.is_up().await;
    let mut browser = Browser::new(running.addr, LOCALHOST);
    browser.sign_in("ada").await;
    let mut clients = [open(&running, &browser).await, open(&running, &browser).await];

    let started = Instant::now();
    running.drain.begin(LONG);
    assert!(!running.readiness.is_ready());
    for client in &mut clients {
        let reconnect = client
            .until(|message| match message {
                ServerMessage::Reconnect(reconnect) => Some(reconnect.clone()),
                _ => None,
            })
            .await;
        assert!(reconnect.after_ms < 1_000);
        assert_eq!(client.closed().await, 1012);
    }
    timeout(LONG, running.task).await.expect("the end in time").unwrap().unwrap();
    assert!(started.elapsed() < LONG / 2, "few are sent away soon");
    assert_eq!(running.drain.guards(), 0);
    assert!(TcpStream::connect(running.addr).await.is_err());
}

#[tokio::test]
async fn an_edge_without_people_ends_at_once() {
    let cluster = Cluster::start().await;
    let running = start(&cluster, free_port().unwrap()).await;
    running.is_up().await;
    let started = Instant::now();
    running.drain.begin(LONG);
    timeout(LONG, running.task).await.expect("the end in time").unwrap().unwrap();
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_variable() {
    let cluster = Cluster::start().await;
    let taken = std::net::TcpListener::bind((LOCALHOST, 0)).unwrap();
    let running = start(&cluster, taken.local_addr().unwrap().port()).await;
    let error = timeout(LONG, running.task).await.expect("an end").unwrap().expect_err("taken").to_string();
    assert!(error.contains("RALLY_HTTP_ADDR"), "{error}");
    assert!(!running.readiness.is_ready());
}
