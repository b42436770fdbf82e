//! Topics.

use bytes::Bytes;
use rally_fabric::{Bounds, RedisCause, TopicEvent, TopicStream};
use rally_protocol::names;
use rally_testkit::{Redis, RedisCluster, eventually};

use crate::support::{LONG, config, node, start};

pub(crate) async fn next(stream: &mut TopicStream) -> TopicEvent {
    tokio::time::timeout(LONG, stream.next()).await.expect("in time").expect("not shut down")
}

fn message(text: &str) -> TopicEvent {
    TopicEvent::Message(Bytes::copy_from_slice(text.as_bytes()))
}

/// All readers on all nodes get every message, in order, and nothing of other topics.
async fn everybody_hears(url: &str) {
    let (a, b) = (node(url, "topic-a").await, node(url, "topic-b").await);
    let mut in_a = a.fabric.topics().subscribe("lobby").await.expect("confirmed");
    let mut twice_in_a = a.fabric.topics().subscribe("lobby").await.expect("confirmed");
    let mut in_b = b.fabric.topics().subscribe("lobby").await.expect("confirmed");
    let mut other = b.fabric.topics().subscribe("other").await.expect("confirmed");
    for i in 0..50 {
        b.fabric.topics().publish("lobby", format!("{i}").as_bytes()).await.expect("published");
    }
    a.fabric.topics().publish("other", b"\xff\x00").await.expect("published");
    for stream in [&mut in_a, &mut twice_in_a, &mut in_b] {
        for i in 0..50 {
            assert_eq!(next(stream).await, message(&format!("{i}")));
        }
    }
    assert_eq!(next(&mut other).await, TopicEvent::Message(Bytes::from_static(b"\xff\x00")));
}

#[tokio::test]
async fn everybody_hears_on_a_standalone_server() {
    let redis = Redis::start().await;
    everybody_hears(&redis.url()).await;
}

#[tokio::test]
async fn everybody_hears_on_a_cluster() {
    let cluster = RedisCluster::start().await;
    everybody_hears(&cluster.url()).await;
}

#[tokio::test]
async fn redis_is_told_a_second_after_the_last_reader() {
    let redis = Redis::start().await;
    let node = node(&redis.url(), "reader").await;
    let subscribers = async || redis.cli(&["PUBSUB", "NUMSUB", &names::topic("lobby")]).await;
    let first = node.fabric.topics().subscribe("lobby").await.expect("confirmed");
    let second = node.fabric.topics().subscribe("lobby").await.expect("confirmed");
    assert!(subscribers().await.ends_with('1'), "one subscription for both");
    drop(first);
    drop(second);
    // Somebody comes back within the second: no new subscription is needed.
    let mut third = node.fabric.topics().subscribe("lobby").await.expect("confirmed");
    node.fabric.topics().publish("lobby", b"x").await.expect("published");
    assert_eq!(next(&mut third).await, message("x"));
    drop(third);
    eventually(LONG, async || subscribers().await.ends_with('0')).await;
    // And from nothing again.
    let mut fourth = node.fabric.topics().subscribe("lobby").await.expect("confirmed");
    node.fabric.topics().publish("lobby", b"y").await.expect("published");
    assert_eq!(next(&mut fourth).await, message("y"));
}

#[tokio::test]
async fn topics_are_bounded() {
    let redis = Redis::start().await;
    let mut config = config(&redis.url(), "bounded");
    config.bounds = Bounds { topics_max: 2, topic_len_max: 4, ..Bounds::default() };
    let node = start(config);
    node.fabric.ready().await.expect("ready");
    let topics = node.fabric.topics();
    let mut slow = topics.subscribe("one").await.expect("confirmed");
    let _two = topics.subscribe("two").await.expect("confirmed");
    let refused = topics.subscribe("three").await.expect_err("a third");
    assert!(matches!(refused.cause, RedisCause::Bound(_)), "{refused}");
    // A reader that is too slow is told, and reads on from what is left.
    let mut quick = topics.subscribe("one").await.expect("confirmed");
    for i in 0..20 {
        topics.publish("one", format!("{i}").as_bytes()).await.expect("published");
        assert_eq!(next(&mut quick).await, message(&format!("{i}")));
    }
    assert_eq!(next(&mut slow).await, TopicEvent::Gap);
    assert_eq!(next(&mut slow).await, message("16"));
}
