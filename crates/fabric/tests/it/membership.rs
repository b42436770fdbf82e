//! Leases and the registry.

use std::time::Duration;

use rally_fabric::{CheckError, FabricConfig, ReadyError, RedisCause};
use rally_protocol::{cluster::v1::NodeLoad, names};
use rally_testkit::{Proxy, Redis, RedisCluster, Way, eventually};
use rally_units::{Incarnation, NodeId};

use crate::support::{LONG, clock, config, node, start};

/// Nodes see each other, with what each says of itself, and see each other go.
async fn nodes_come_and_go(url: &str) {
    let worker = node(url, "worker-0").await;
    let mut edge_config = config(url, "edge-0");
    edge_config.role = rally_fabric::Role::Edge;
    edge_config.public_url = Some("https://edge-0.example".into());
    let edge = start(edge_config);
    edge.fabric.ready().await.expect("ready");
    worker.fabric.set_load(NodeLoad { items: 7, ..NodeLoad::default() });

    eventually(LONG, async || {
        let nodes = edge.fabric.nodes();
        nodes.workers().iter().any(|worker| worker.matches == 7) && nodes.edge_urls() == ["https://edge-0.example"]
    })
    .await;
    let nodes = edge.fabric.nodes();
    assert_eq!(nodes.get(worker.id()).map(|node| node.name.as_str()), Some("worker-0"));
    assert!(nodes.lives(worker.id(), worker.fabric.incarnation()));
    assert!(!nodes.lives(worker.id(), Incarnation::from_bits(1 << 60)));

    worker.fabric.set_load(NodeLoad { draining: true, ..NodeLoad::default() });
    eventually(LONG, async || edge.fabric.nodes().workers().is_empty()).await;
    assert!(edge.fabric.nodes().get(worker.id()).is_some(), "it lives, and takes no more");

    let id = worker.id();
    worker.leave().await;
    // At once, not when the lease would have ended: one renewal of the edge's is enough.
    eventually(LONG, async || edge.fabric.nodes().get(id).is_none()).await;
}

#[tokio::test]
async fn nodes_come_and_go_on_a_standalone_server() {
    let redis = Redis::start().await;
    nodes_come_and_go(&redis.url()).await;
}

#[tokio::test]
async fn nodes_come_and_go_on_a_cluster() {
    let cluster = RedisCluster::start().await;
    nodes_come_and_go(&cluster.url()).await;
}

#[tokio::test]
async fn a_name_held_by_another_living_node_is_refused() {
    let redis = Redis::start().await;
    let first = node(&redis.url(), "same").await;
    let second = start(config(&redis.url(), "same"));
    let refused = tokio::time::timeout(LONG, second.fabric.ready()).await.expect("in time");
    assert!(
        matches!(&refused, Err(ReadyError::NameTaken { name, other }) if name == "same" && *other == first.fabric.incarnation()),
        "{refused:?}"
    );
    assert!(!second.fabric.lease().holds(clock()));
    assert!(first.fabric.lease().holds(clock()));
    // It does not take the name of the first when it leaves.
    second.leave().await;
    assert_eq!(redis.cli(&["GET", &names::lease(first.id())]).await, first.fabric.incarnation().to_string());
}

#[tokio::test]
async fn who_speaks_another_protocol_than_the_cluster_is_refused_until_that_is_gone() {
    let redis = Redis::start().await;
    let first = node(&redis.url(), "first").await;
    let of_tomorrow = || FabricConfig { protocol: 2, ..config(&redis.url(), "of-tomorrow") };
    let refused = start(of_tomorrow());
    let error = tokio::time::timeout(LONG, refused.fabric.ready()).await.expect("in time");
    assert!(
        matches!(&error, Err(ReadyError::OtherProtocol { other, theirs: 1, ours: 2 }) if other == "first"),
        "{error:?}"
    );
    assert!(!refused.fabric.lease().holds(clock()));
    assert_eq!(redis.cli(&["EXISTS", &names::lease(refused.id())]).await, "0", "it has not joined");
    refused.leave().await;
    // A cluster that is replaced as a whole: its successor meets leases for a moment.
    let id = first.id();
    let successor = start(of_tomorrow());
    first.leave().await;
    tokio::time::timeout(LONG, successor.fabric.ready()).await.expect("in time").expect("alone");
    assert!(successor.fabric.nodes().get(id).is_none());
}

#[tokio::test]
async fn a_node_that_was_killed_and_comes_back_waits_for_its_old_lease() {
    let redis = Redis::start().await;
    let lease = names::lease(NodeId::of_name("phoenix"));
    redis.cli(&["SET", &lease, &Incarnation::from_bits(u64::MAX).to_string(), "PX", "1000"]).await;
    let phoenix = node(&redis.url(), "phoenix").await;
    assert!(phoenix.fabric.lease().holds(clock()));
}

#[tokio::test]
async fn a_lease_does_not_hold_without_redis_and_others_see_it_end() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.port()).await;
    let cut_off = node(&proxy.url(&redis.url()), "cut-off").await;
    let witness = node(&redis.url(), "witness").await;
    eventually(LONG, async || witness.fabric.nodes().get(cut_off.id()).is_some()).await;
    assert!(cut_off.fabric.lease().holds(clock()));

    proxy.cut(Way::Both);
    proxy.refuse(true);
    let last = cut_off.fabric.lease().last_renewed_sent().expect("renewed");
    eventually(LONG, async || witness.fabric.nodes().get(cut_off.id()).is_none()).await;
    // Whoever sees the lease gone knows that its holder has been silent for a while.
    assert!(!cut_off.fabric.lease().holds(clock()));
    assert!(clock().since(last) >= Duration::from_millis(750));

    proxy.heal();
    eventually(LONG, async || cut_off.fabric.lease().holds(clock())).await;
    eventually(LONG, async || witness.fabric.nodes().get(cut_off.id()).is_some()).await;
}

#[tokio::test]
async fn a_dead_node_is_forgotten_after_a_minute() {
    let redis = Redis::start().await;
    let witness = node(&redis.url(), "witness").await;
    let long_ago = clock_ms(&redis).await - 61_000;
    let lately = clock_ms(&redis).await - 30_000;
    redis.cli(&["HSET", names::NODES, "00000000000000aa", &format!("{long_ago} {{}}")]).await;
    redis.cli(&["HSET", names::NODES, "00000000000000bb", &format!("{lately} {{}}")]).await;
    eventually(LONG, async || redis.cli(&["HEXISTS", names::NODES, "00000000000000aa"]).await == "0").await;
    assert_eq!(redis.cli(&["HEXISTS", names::NODES, "00000000000000bb"]).await, "1");
    assert_eq!(witness.fabric.nodes().iter().count(), 1);
}

async fn clock_ms(redis: &Redis) -> u64 {
    let time = redis.cli(&["TIME"]).await;
    let seconds: u64 = time.lines().next().and_then(|line| line.parse().ok()).expect("seconds");
    seconds * 1_000
}

#[tokio::test]
async fn a_redis_that_evicts_is_refused() {
    let redis = Redis::start_with(&[("maxmemory", "100mb"), ("maxmemory-policy", "allkeys-lru")]).await;
    let node = start(config(&redis.url(), "node"));
    let refused = tokio::time::timeout(LONG, node.fabric.ready()).await.expect("in time");
    let Err(ReadyError::Check(CheckError::Evicts { policy })) = refused else { panic!("{refused:?}") };
    assert_eq!(policy, "allkeys-lru");
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    node.fabric.ready().await.expect("fit now");
}

#[tokio::test]
async fn an_account_that_may_not_ask_for_memory_still_starts() {
    let redis = Redis::start().await;
    redis.cli(&["ACL", "SETUSER", "rally", "on", ">a-password", "~rally:*", "&rally:*", "+@all", "-info"]).await;
    let denied = redis.cli(&["ACL", "DRYRUN", "rally", "INFO"]).await;
    assert!(!denied.starts_with("OK"), "{denied}");
    let _node = node(&redis.url().replace("redis://", "redis://rally:a-password@"), "limited").await;
}

#[tokio::test]
async fn without_redis_a_node_starts_and_waits() {
    let mut redis = Redis::start().await;
    redis.kill().await;
    let node = start(config(&redis.url(), "early"));
    let early = tokio::time::timeout(Duration::from_millis(500), node.fabric.ready()).await;
    assert!(early.is_err(), "it waits");
    let failed = node.fabric.check().await.expect_err("nobody there");
    assert!(
        matches!(&failed, CheckError::Redis(error) if matches!(error.cause, RedisCause::Timeout | RedisCause::Disconnected)),
        "{failed}"
    );
    redis.restart().await;
    tokio::time::timeout(LONG, node.fabric.ready()).await.expect("in time").expect("ready");
}

#[tokio::test]
async fn addresses_are_judged_before_anything_starts_and_never_shown() {
    let try_url = |change: &dyn Fn(&mut FabricConfig)| {
        let mut config = config("redis://127.0.0.1:1", "node");
        change(&mut config);
        assert!(!format!("{config:?}").contains("secret"));
        rally_fabric::Fabric::connect(config, tokio_util::sync::CancellationToken::new())
            .map(|_| ())
            .map_err(|e| e.to_string())
    };
    let error = try_url(&|config| config.redis_url = "://secret@".into()).expect_err("no address");
    assert!(error.contains("redis_url") && !error.contains("secret"), "{error}");
    let error = try_url(&|config| config.bus_urls = vec!["nonsense".into()]).expect_err("no address");
    assert!(error.contains("bus_urls"), "{error}");
    let error = try_url(&|config| config.bounds.inbox_len_max = 0).expect_err("zero");
    assert!(error.contains("inbox_len_max"), "{error}");
    try_url(&|config| config.name.clear()).expect_err("no name");
}
