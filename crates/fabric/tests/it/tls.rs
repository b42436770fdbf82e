//! Over TLS: on one server, with Sentinels and on a Cluster; and with whom nobody speaks.

use std::time::Duration;

use bytes::Bytes;
use rally_fabric::{ConnectError, Fabric, FabricConfig, Operator};
use rally_testkit::{Authority, Redis, RedisCluster, RedisSentinel, eventually};
use tokio_util::sync::CancellationToken;

use crate::support::{LONG, Node, config, start};

/// A node that trusts an authority.
fn trusting(url: &str, name: &str, authority: &Authority) -> FabricConfig {
    FabricConfig { tls: Some(authority.client(None)), ..config(url, name) }
}

async fn ready(config: FabricConfig) -> Node {
    let node = start(config);
    tokio::time::timeout(LONG, node.fabric.ready()).await.expect("in time").expect("ready");
    node
}

/// Two nodes find and hear each other.
async fn they_talk(url: &str, authority: &Authority) -> (Node, Node) {
    let (a, mut b) = tokio::join!(ready(trusting(url, "a", authority)), ready(trusting(url, "b", authority)));
    eventually(LONG, async || a.fabric.nodes().iter().any(|node| node.name == "b")).await;
    a.fabric.send(b.id(), Bytes::from_static(b"hello"));
    assert_eq!(&b.recv().await[..], b"hello");
    (a, b)
}

/// What keeps a client of this configuration out, in the end.
async fn fault_of(config: FabricConfig) -> String {
    let node = start(config);
    let mut faults = node.fabric.faults();
    let fault = tokio::time::timeout(LONG, faults.wait_for(|said| !said.is_empty())).await.expect("in time");
    let said = fault.expect("not shut down").clone();
    // And it is not in all the same.
    assert!(tokio::time::timeout(Duration::from_millis(300), node.fabric.ready()).await.is_err());
    said
}

#[tokio::test]
async fn one_server_is_spoken_to_in_tls_only() {
    let authority = Authority::new("ours");
    let redis = Redis::start_with_tls(&authority, &authority.certify(&["localhost", "127.0.0.1"]), &[]).await;
    let url = format!("rediss://localhost:{}", redis.tls_port());
    let nodes = they_talk(&url, &authority).await;
    let operator = Operator::connect(&url, Some(&authority.client(None))).expect("a valid address");
    assert_eq!(operator.nodes().await.expect("an answer").len(), 2);
    // But for the one that asks, nobody is at the plain port.
    let clients = redis.cli(&["CLIENT", "LIST"]).await;
    let at = |port: u16| clients.lines().filter(|line| line.contains(&format!("laddr=127.0.0.1:{port} "))).count();
    assert!(at(redis.tls_port()) >= 9 && at(redis.port()) == 1, "{clients}");
    drop(nodes);
}

#[tokio::test]
async fn whom_it_cannot_be_sure_of_it_does_not_speak_to() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("a stranger"));
    let here = authority.certify(&["localhost"]);
    let redis = Redis::start_with_tls(&authority, &here, &[]).await;
    let url = format!("rediss://localhost:{}", redis.tls_port());
    let fault = fault_of(trusting(&url, "a", &stranger)).await;
    assert!(fault.contains("UnknownIssuer"), "{fault}");
    // Right, and for another name.
    let by_number = format!("rediss://127.0.0.1:{}", redis.tls_port());
    let fault = fault_of(trusting(&by_number, "a", &authority)).await;
    assert!(fault.contains("NotValidForName"), "{fault}");
    // No TLS where TLS is expected, and an operator is told the same.
    let operator = Operator::connect(&format!("rediss://localhost:{}", redis.port()), Some(&authority.client(None)));
    let operator = operator.expect("a valid address");
    operator.nodes().await.expect_err("no TLS there");
    assert_ne!(operator.fault(), "");

    let without = Fabric::connect(config(&url, "a"), CancellationToken::new());
    assert!(matches!(without.expect_err("no authorities"), ConnectError::NoTls("redis_url")));
}

#[tokio::test]
async fn a_server_may_ask_for_a_certificate() {
    let authority = Authority::new("ours");
    let here = authority.certify(&["localhost"]);
    let redis = Redis::start_with_tls(&authority, &here, &[("tls-auth-clients", "yes")]).await;
    let url = format!("rediss://localhost:{}", redis.tls_port());
    fault_of(trusting(&url, "a", &authority)).await;
    let ours = authority.certify(&["edge.rally"]);
    ready(FabricConfig { tls: Some(authority.client(Some(&ours))), ..config(&url, "a") }).await;
}

#[tokio::test]
async fn a_cluster_is_spoken_to_in_tls() {
    let authority = Authority::new("ours");
    let cluster = RedisCluster::start_with_tls(&authority, &authority.certify(&["localhost", "127.0.0.1"])).await;
    they_talk(&cluster.tls_url(), &authority).await;
    // By one name for all of them, as a service has it, although they tell each other's addresses.
    let by_name = format!("rediss-cluster://localhost:{}", cluster.node(0).tls_port());
    they_talk(&by_name, &authority).await;
}

#[tokio::test]
async fn sentinels_are_spoken_to_in_tls() {
    let authority = Authority::new("ours");
    let sentinel = RedisSentinel::start_with_tls(&authority, &authority.certify(&["127.0.0.1"])).await;
    they_talk(&sentinel.tls_url(), &authority).await;
}
