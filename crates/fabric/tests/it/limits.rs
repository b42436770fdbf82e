//! Rates that all nodes count together.

use std::time::Duration;

use rally_fabric::SharedRate;
use rally_protocol::names;
use rally_testkit::{Redis, RedisCluster, eventually};

use crate::support::{LONG, node};

const PLAIN: SharedRate =
    SharedRate { name: "plain", interval: Duration::from_secs(60), burst: 3, growth_max: 1, remember: Duration::ZERO };
const GROWING: SharedRate = SharedRate {
    name: "growing",
    interval: Duration::from_millis(40),
    burst: 2,
    growth_max: 64,
    remember: Duration::from_secs(60),
};

async fn nodes_count_together(url: &str) {
    let (a, b) = (node(url, "limits-a").await, node(url, "limits-b").await);
    let (a, b) = (a.fabric.limits(), b.fabric.limits());
    assert_eq!(a.charge(&PLAIN, "ada").await.expect("asked"), None);
    assert_eq!(b.charge(&PLAIN, "ada").await.expect("asked"), None);
    assert_eq!(a.charge(&PLAIN, "ada").await.expect("asked"), None);
    let wait = b.charge(&PLAIN, "ada").await.expect("asked").expect("refused");
    assert!(wait > Duration::from_secs(50) && wait <= Duration::from_secs(60), "{wait:?}");
    // What is refused is not charged, and others have counts of their own.
    assert!(a.charge(&PLAIN, "ada").await.expect("asked").is_some_and(|again| again <= wait));
    assert_eq!(a.charge(&PLAIN, "grace").await.expect("asked"), None);
    a.refund(&PLAIN, "ada").await.expect("taken back");
    assert_eq!(b.charge(&PLAIN, "ada").await.expect("asked"), None);
    assert!(b.charge(&PLAIN, "ada").await.expect("asked").is_some());
    a.forget(&PLAIN, "ada").await.expect("forgotten");
    assert_eq!(b.charge(&PLAIN, "ada").await.expect("asked"), None);
    a.refund(&PLAIN, "nobody").await.expect("nothing to take back");
}

#[tokio::test]
async fn on_a_standalone_server() {
    let redis = Redis::start().await;
    nodes_count_together(&redis.url()).await;
    let ttl: i64 = redis.cli(&["PTTL", &names::limit("plain", "ada")]).await.parse().expect("a number");
    assert!((1..=61_000).contains(&ttl), "nothing is left for ever: {ttl} ms");
}

#[tokio::test]
async fn on_a_cluster() {
    nodes_count_together(&RedisCluster::start().await.url()).await;
}

#[tokio::test]
async fn who_keeps_trying_waits_longer_and_longer() {
    let redis = Redis::start().await;
    let node = node(&redis.url(), "limits").await;
    let limits = node.fabric.limits();
    // One after the other, each as soon as it may.
    let mut waits = Vec::new();
    for _ in 0..7 {
        eventually(LONG, async || limits.charge(&GROWING, "eve").await.expect("asked").is_none()).await;
        waits.push(limits.charge(&GROWING, "eve").await.expect("asked").unwrap_or_default());
    }
    let last = waits.last().copied().unwrap_or_default();
    assert!(last >= GROWING.interval * 16, "{waits:?}");
    // The script's clock is Redis' own, and a test waits for conditions: only the order is certain.
    let grown: Vec<_> = waits.iter().skip(2).collect();
    assert!(grown.windows(2).all(|pair| pair[0] < pair[1]), "{waits:?}");
    limits.forget(&GROWING, "eve").await.expect("forgotten");
    assert_eq!(limits.charge(&GROWING, "eve").await.expect("asked"), None);
}
