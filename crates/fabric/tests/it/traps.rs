//! What the client library (or Redis) gets wrong unless it is kept from it. One test for each trap.

use std::time::Duration;

use rally_fabric::{Bounds, LinkState, Owned, Owner, RedisCause, TopicEvent, TopicStream};
use rally_protocol::names;
use rally_testkit::{Proxy, Redis, RedisCluster, Way, eventually};
use rally_units::{Epoch, Incarnation, MatchId};

use crate::{
    support::{Counters, LONG, Node, clock, config, match_id, node, number, parcel, start},
    topics::next,
};

/// On a busy machine: the 250 ms, one more probe, and time to be scheduled.
const FOUND_WITHIN: Duration = Duration::from_millis(750);

/// Bundles get through again, sooner or later.
async fn gets_through(from: &Node, to: &mut Node) {
    const MARK: u32 = 1 << 31;
    for _ in 0..200 {
        from.fabric.send(to.id(), parcel(MARK));
        let came =
            tokio::time::timeout(Duration::from_millis(100), async { while number(&to.recv().await) != MARK {} });
        if came.await.is_ok() {
            return;
        }
    }
    panic!("nothing gets through");
}

/// What is published is heard again, sooner or later.
async fn is_heard(from: &Node, stream: &mut TopicStream, message: &[u8]) {
    let expected = TopicEvent::Message(message.to_vec().into());
    for _ in 0..200 {
        // One that timed out may have been published all the same.
        let _ = from.fabric.topics().publish("moving", message).await;
        let came = tokio::time::timeout(Duration::from_millis(100), async { while next(stream).await != expected {} });
        if came.await.is_ok() {
            return;
        }
    }
    panic!("nobody hears it");
}

fn owned(node: &Node, match_id: MatchId, epoch: u32) -> Owned {
    Owned { match_id, owner: Owner { node: node.id(), incarnation: node.fabric.incarnation(), epoch: Epoch(epoch) } }
}

/// Trap: the library's channel holds 32 messages, and loses the others. Ours holds what the inbox holds.
#[tokio::test]
async fn trap_a_burst_overruns_the_broadcast_channel() {
    let counters = Counters::default();
    let _installed = metrics::set_default_local_recorder(&counters);
    let redis = Redis::start().await;
    let (sender, mut receiver) = (node(&redis.url(), "sender").await, node(&redis.url(), "receiver").await);
    for n in 0..3_000 {
        assert!(sender.fabric.send(receiver.id(), parcel(n)));
    }
    for n in 0..3_000 {
        assert_eq!(number(&receiver.recv().await), n);
    }
    assert_eq!(counters.get("rally_fabric_lagged_total"), 0);
}

/// Trap: a subscriber that lags gets an error that looks like the end of the stream.
#[tokio::test]
async fn trap_lag_is_a_gap_and_not_the_end() {
    let counters = Counters::default();
    let _installed = metrics::set_default_local_recorder(&counters);
    let redis = Redis::start().await;
    let mut config = config(&redis.url(), "tiny");
    config.bounds = Bounds { inbox_len_max: 1, ..Bounds::default() };
    let mut tiny = start(config);
    tiny.fabric.ready().await.expect("ready");
    let sender = node(&redis.url(), "sender").await;
    eventually(LONG, async || {
        for n in 0..500 {
            sender.fabric.send(tiny.id(), parcel(n));
        }
        counters.get("rally_fabric_lagged_total") > 0
    })
    .await;
    gets_through(&sender, &mut tiny).await;
}

/// Trap: a sharded subscription goes silent for good when its slot moves. Ours are plain: nothing is lost.
#[tokio::test]
async fn trap_a_moved_slot_silences_a_subscription() {
    let cluster = RedisCluster::start().await;
    let (sender, mut receiver) = (node(&cluster.url(), "sender").await, node(&cluster.url(), "receiver").await);
    let mut stream = receiver.fabric.topics().subscribe("moving").await.expect("confirmed");
    let id = match_id();
    sender.fabric.set_owners(&[owned(&sender, id, 1)]).await.expect("set");
    for key in [names::mailbox(receiver.id()), names::topic("moving"), names::NODES.to_owned(), names::owner(id)] {
        let slot = cluster.slot_of(&key).await;
        let to = (cluster.owner_of(slot).await + 1) % 3;
        cluster.move_slot(slot, to).await;
        // On a busy machine the move may take longer than a link may be silent, or a command may last: what was said in
        // that moment is lost, what is said afterwards is not.
        gets_through(&sender, &mut receiver).await;
        is_heard(&sender, &mut stream, key.as_bytes()).await;
        eventually(LONG, async || matches!(sender.fabric.owner(id).await, Ok(Some(_)))).await;
        eventually(LONG, async || sender.fabric.lease().holds(clock())).await;
    }
    eventually(LONG, async || matches!(*receiver.fabric.link().borrow(), LinkState::Up { .. })).await;
}

/// Trap: the library's own resubscription sends empty commands, after which answers are off by one.
#[tokio::test]
async fn trap_answers_stay_with_their_questions_after_a_reconnection() {
    let mut redis = Redis::start().await;
    let node = node(&redis.url(), "node").await;
    let _streams = [
        node.fabric.topics().subscribe("one").await.expect("confirmed"),
        node.fabric.topics().subscribe("two").await.expect("confirmed"),
    ];
    for _ in 0..2 {
        redis.restart().await;
        let restarted = clock();
        eventually(LONG, async || node.fabric.lease().last_renewed_sent() > Some(restarted)).await;
        let all: Vec<Owned> = (1..=200).map(|epoch| owned(&node, match_id(), epoch)).collect();
        assert_eq!(node.fabric.set_owners(&all).await.expect("set"), all.len());
        for one in &all {
            assert_eq!(node.fabric.owner(one.match_id).await.expect("asked"), Some(one.owner));
        }
    }
}

/// Trap: the answer to SUBSCRIBE does not say that messages arrive.
#[tokio::test]
async fn trap_what_is_published_right_after_a_subscription_arrives() {
    let redis = Redis::start().await;
    let (reader, writer) = (node(&redis.url(), "reader").await, node(&redis.url(), "writer").await);
    for i in 0..300 {
        let name = format!("topic-{i}");
        let mut stream = reader.fabric.topics().subscribe(&name).await.expect("confirmed");
        writer.fabric.topics().publish(&name, b"first").await.expect("published");
        assert_eq!(next(&mut stream).await, TopicEvent::Message(b"first".as_slice().into()), "{name}");
    }
    // The same for mailboxes: nodes that are ready hear at once.
    for i in 0..20 {
        let mut fresh = node(&redis.url(), &format!("fresh-{i}")).await;
        assert!(writer.fabric.send(fresh.id(), parcel(i)));
        assert_eq!(number(&fresh.recv().await), i);
    }
}

/// Trap: nothing is noticed when the link is half-open. The probe finds it, and the client is replaced.
#[tokio::test]
async fn trap_a_half_open_link_is_found_and_replaced() {
    let counters = Counters::default();
    let _installed = metrics::set_default_local_recorder(&counters);
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.port()).await;
    let mut behind = node(&proxy.url(&redis.url()), "behind").await;
    let mut other = node(&redis.url(), "other").await;
    let mut stream = behind.fabric.topics().subscribe("lobby").await.expect("confirmed");
    for way in [Way::ToClient, Way::ToTarget, Way::Both] {
        behind.link_is_up().await;
        let silences = counters.get("rally_fabric_link_silences_total");
        let cut_at = clock();
        proxy.cut(way);
        let last_heard = behind.link_is_silent().await;
        let took = clock().since(cut_at.max(last_heard));
        assert!(took >= Duration::from_millis(200), "{way:?}: too rash: {took:?}");
        assert!(took < FOUND_WITHIN, "{way:?}: found after {took:?}");
        assert_eq!(counters.get("rally_fabric_link_silences_total"), silences + 1);

        // No socket was closed. New connections work, and the old ones stay dead.
        proxy.heal();
        behind.link_is_up().await;
        gets_through(&other, &mut behind).await;
        gets_through(&behind, &mut other).await;
        eventually(LONG, async || behind.fabric.lease().holds(clock())).await;
        assert_eq!(next(&mut stream).await, TopicEvent::Gap, "{way:?}: readers are told");
        other.fabric.topics().publish("lobby", b"back").await.expect("published");
        assert_eq!(next(&mut stream).await, TopicEvent::Message(b"back".as_slice().into()));
    }
}

/// A slow link is late and never dead: neither a far Redis nor lost packets cost a node its lease.
#[tokio::test]
async fn a_slow_link_is_late_and_never_dead() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.port()).await;
    let mut slow = node(&proxy.url(&redis.url()), "slow").await;
    let mut other = node(&redis.url(), "other").await;
    for name in ["far", "stuttering"] {
        match name {
            "far" => proxy.delay(Duration::from_millis(100)),
            _ => proxy.stutter(5, Duration::from_millis(200)),
        }
        // A moment in which the new pace may cost a probe; from then on nothing may end.
        tokio::time::sleep(Duration::from_secs(1)).await;
        slow.link_is_up().await;
        let began = clock();
        while clock().since(began) < Duration::from_secs(4) {
            assert!(slow.fabric.lease().holds(clock()), "{name}: after {:?}", clock().since(began));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        gets_through(&other, &mut slow).await;
        gets_through(&slow, &mut other).await;
        proxy.heal();
    }
}

/// The same with a Redis that hangs: all its sockets stay open.
#[tokio::test]
async fn trap_a_redis_that_hangs_is_found() {
    let mut redis = Redis::start().await;
    let mut node = node(&redis.url(), "node").await;
    let hangs_at = clock();
    redis.pause();
    let last_heard = node.link_is_silent().await;
    let took = clock().since(hangs_at.max(last_heard));
    assert!(took < FOUND_WITHIN, "found after {took:?}");
    redis.resume();
    node.link_is_up().await;
    eventually(LONG, async || node.fabric.lease().holds(clock())).await;
    let me = node.id();
    while node.mailbox.try_recv().is_ok() {}
    assert!(node.fabric.send(me, parcel(1)));
    assert_eq!(number(&node.recv().await), 1);
}

/// Trap: no command timeout.
#[tokio::test]
async fn trap_a_command_ends_in_time() {
    let mut redis = Redis::start().await;
    let node = node(&redis.url(), "node").await;
    redis.pause();
    let started = std::time::Instant::now();
    let error = node.fabric.owner(match_id()).await.expect_err("nobody answers");
    assert!(matches!(error.cause, RedisCause::Timeout | RedisCause::Disconnected), "{error}");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    redis.resume();
    eventually(LONG, async || node.fabric.owner(match_id()).await.is_ok()).await;
}

/// Trap: an unbounded queue. Ours drops, counts, and never blocks.
#[tokio::test]
async fn trap_what_cannot_be_sent_is_dropped_and_counted() {
    let counters = Counters::default();
    let _installed = metrics::set_default_local_recorder(&counters);
    let mut redis = Redis::start().await;
    let (sender, mut receiver) = (node(&redis.url(), "sender").await, node(&redis.url(), "receiver").await);
    redis.pause();
    let bundle = bytes::Bytes::from(vec![1; 4_096]);
    let mut refused = 0;
    // 400 MiB, if it were kept.
    for _ in 0..1_000 {
        for _ in 0..100 {
            refused += u64::from(!sender.fabric.send(receiver.id(), bundle.clone()));
        }
        tokio::task::yield_now().await;
    }
    let dropped = counters.get("rally_fabric_publish_dropped_total reason=queue_full");
    assert!(refused > 0 && dropped >= refused, "{refused} refused, {dropped} counted");
    redis.resume();
    gets_through(&sender, &mut receiver).await;
}

/// Trap: no reconnection by default, and none of what was subscribed afterwards. Redis comes back empty.
#[tokio::test]
async fn trap_after_a_restart_everything_desired_is_there_again() {
    let mut redis = Redis::start().await;
    let (mut a, mut b) = (node(&redis.url(), "a").await, node(&redis.url(), "b").await);
    let topics = a.fabric.topics();
    let names: Vec<String> = (0..600).map(|i| format!("topic-{i}")).collect();
    let streams = futures_util::future::join_all(names.iter().map(|name| topics.subscribe(name))).await;
    let mut streams: Vec<_> = streams.into_iter().map(|stream| stream.expect("confirmed")).collect();
    redis.kill().await;
    a.link_is_silent().await;
    b.link_is_silent().await;
    redis.restart().await;
    for node in [&a, &b] {
        node.link_is_up().await;
        eventually(LONG, async || node.fabric.lease().holds(clock()) && node.fabric.nodes().iter().count() == 2).await;
    }
    gets_through(&a, &mut b).await;
    gets_through(&b, &mut a).await;
    for (name, stream) in names.iter().zip(&mut streams) {
        assert_eq!(next(stream).await, TopicEvent::Gap, "{name}");
        b.fabric.topics().publish(name, b"x").await.expect("published");
        assert_eq!(next(stream).await, TopicEvent::Message(b"x".as_slice().into()));
    }
}

/// A master of a Cluster dies and comes back empty: whoever subscribed there is found silent and subscribes again.
#[tokio::test]
async fn trap_a_dead_master_takes_subscriptions_with_it() {
    let mut cluster = RedisCluster::start().await;
    let mut nodes = Vec::new();
    for i in 0..4 {
        nodes.push(node(&cluster.url(), &format!("node-{i}")).await);
    }
    for i in 0..3 {
        cluster.node_mut(i).restart().await;
        for node in &nodes {
            eventually(LONG, async || {
                matches!(*node.fabric.link().borrow(), LinkState::Up { .. }) && node.fabric.lease().holds(clock())
            })
            .await;
        }
    }
    eventually(LONG, async || {
        let id = match_id();
        let set = nodes[0].fabric.set_owners(&[owned(&nodes[0], id, 1)]).await;
        matches!(set, Ok(1)) && matches!(nodes[1].fabric.owner(id).await, Ok(Some(_)))
    })
    .await;
    for from in 0..4 {
        let sender = nodes.remove(0);
        gets_through(&sender, &mut nodes[from % 3]).await;
        nodes.push(sender);
    }
}

/// Trap: one task of the library serves all connections of a client. Ours are apart, and subscribers only subscribe.
#[tokio::test]
async fn trap_each_purpose_has_its_own_client() {
    let redis = Redis::start().await;
    let node = node(&redis.url(), "node").await;
    let _stream = node.fabric.topics().subscribe("lobby").await.expect("confirmed");
    node.fabric.owner(match_id()).await.expect("asked");
    let list = redis.cli(&["CLIENT", "LIST"]).await;
    let clients: Vec<&str> = list.lines().filter(|line| !line.contains("cmd=client|list")).collect();
    let having = |what: &str| clients.iter().filter(|line| line.contains(what)).count();
    assert_eq!(clients.len(), 5, "{list}");
    assert_eq!(having(" cmd=publish "), 1, "{list}");
    assert_eq!(having(" cmd=subscribe "), 2, "mailbox and topics: {list}");
    assert_eq!(having(" sub=0 "), 3, "publishing, commands, and what is asked ten times a second: {list}");
}

/// Trap: keys of several slots in one call are refused by a Cluster. Each of our scripts stays within one.
#[test]
fn trap_keys_of_a_script_share_a_slot() {
    let tag =
        |key: String| key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag.to_owned());
    use rally_protocol::client::v1::Mode;
    for &mode in Mode::ALL {
        let keys = [
            names::queue_waiting(mode),
            names::queue_tickets(mode),
            names::queue_expiry(mode),
            names::queue_users(mode),
            names::queue_pending(mode),
        ];
        let tags: std::collections::BTreeSet<_> = keys.into_iter().map(tag).collect();
        assert!(tags.len() == 1 && !tags.contains(&None), "{tags:?}");
    }
    let lease = names::lease(rally_units::NodeId::of_name("x"));
    assert_eq!(tag(lease), tag(names::NODES.to_owned()));
    assert_eq!(Incarnation::from_bits(1).to_string().len(), 16, "leases are compared as text");
}
