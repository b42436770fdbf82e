use std::time::Duration;

use rally_testkit::{Redis, RedisCluster, RedisSentinel, eventually};
use tokio::io::AsyncReadExt as _;

use crate::{folder_of, is_alive};

#[tokio::test]
async fn a_redis_answers_and_leaves_nothing() {
    let redis = Redis::start().await;
    assert_eq!(redis.cli(&["PING"]).await, "PONG");
    assert_eq!(redis.cli(&["CONFIG", "GET", "appendonly"]).await, "appendonly\nno");
    let (pid, folder) = (redis.pid(), folder_of(redis.pid()));
    assert!(folder.exists());
    drop(redis);
    assert!(!is_alive(pid));
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_restarted_redis_has_its_port_but_not_its_memory() {
    let mut redis = Redis::start().await;
    let port = redis.port();
    redis.cli(&["SET", "k", "v"]).await;
    redis.restart().await;
    assert_eq!(redis.port(), port);
    assert_eq!(redis.cli(&["EXISTS", "k"]).await, "0");
    redis.stop().await;
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err());
    redis.restart().await;
    assert_eq!(redis.cli(&["PING"]).await, "PONG");
}

#[tokio::test]
async fn a_paused_redis_keeps_connections_and_says_nothing() {
    let mut redis = Redis::start().await;
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", redis.port())).await.unwrap();
    redis.pause();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"PING\r\n").await.unwrap();
    let mut reply = [0; 7];
    let silent = tokio::time::timeout(Duration::from_millis(200), stream.read_exact(&mut reply)).await;
    assert!(silent.is_err());
    redis.resume();
    // The first read was cancelled before it took anything.
    stream.read_exact(&mut reply).await.unwrap();
    assert_eq!(&reply, b"+PONG\r\n");
}

#[tokio::test]
async fn a_paused_redis_ends_with_its_owner_too() {
    let mut redis = Redis::start().await;
    let pid = redis.pid();
    redis.pause();
    drop(redis);
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn many_start_at_once() {
    let started = (0..6).map(|_| tokio::spawn(Redis::start()));
    let mut ports = Vec::new();
    let mut alive = Vec::new();
    for redis in started {
        let redis = redis.await.unwrap();
        ports.push(redis.port());
        alive.push(redis);
    }
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), alive.len());
}

#[tokio::test]
async fn a_cluster_shares_its_slots_and_moves_them() {
    let cluster = RedisCluster::start().await;
    let slot = cluster.slot_of("{a}1").await;
    let owner = cluster.owner_of(slot).await;
    let to = (owner + 1) % 3;
    cluster.node(owner).cli(&["SET", "{a}1", "one"]).await;
    cluster.move_slot(slot, to).await;
    assert_eq!(cluster.owner_of(slot).await, to);
    assert_eq!(cluster.node(to).cli(&["GET", "{a}1"]).await, "one");
    for i in 0..3 {
        let info = cluster.node(i).cli(&["CLUSTER", "INFO"]).await;
        assert!(info.contains("cluster_state:ok"), "{info}");
    }
    assert_eq!(cluster.urls().len(), 3);
}

#[tokio::test]
async fn a_cluster_notices_a_dead_node() {
    let mut cluster = RedisCluster::start().await;
    cluster.node_mut(2).kill().await;
    eventually(Duration::from_secs(20), || async {
        cluster.node(0).cli(&["CLUSTER", "INFO"]).await.contains("cluster_state:fail")
    })
    .await;
}

#[tokio::test]
async fn a_replica_of_a_cluster_takes_over_with_its_data() {
    let mut cluster = RedisCluster::start_with_replicas().await;
    let owner = cluster.owner_of(cluster.slot_of("{a}1").await).await;
    cluster.node(owner).cli(&["SET", "{a}1", "one"]).await;
    cluster.node(owner).cli(&["WAIT", "1", "5000"]).await;
    assert!(!cluster.has_taken_over(owner).await);
    cluster.kill_master(owner).await;
    eventually(Duration::from_secs(30), async || cluster.has_taken_over(owner).await).await;
    let other = (owner + 1) % 3;
    eventually(Duration::from_secs(30), async || {
        cluster.node(other).cli(&["CLUSTER", "INFO"]).await.contains("cluster_state:ok")
    })
    .await;
}

#[tokio::test]
async fn sentinels_put_the_replica_in_the_masters_place() {
    let mut sentinel = RedisSentinel::start().await;
    assert!(sentinel.url().starts_with("redis-sentinel://127.0.0.1:"));
    assert!(!sentinel.has_taken_over().await);
    sentinel.kill_master().await;
    eventually(Duration::from_secs(30), async || sentinel.has_taken_over().await).await;
}
