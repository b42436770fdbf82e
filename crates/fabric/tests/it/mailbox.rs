//! Bundles from mailbox to mailbox.

use std::time::Duration;

use rally_fabric::{Bounds, Pairs, Received};
use rally_protocol::cluster::v1::Control;
use rally_testkit::{Redis, RedisCluster, eventually};
use rally_units::Epoch;

use crate::{
    pairs::keys,
    support::{Counters, LONG, clock, config, match_id, node, number, parcel, start},
};

/// 100 bundles at each of 60 ticks a second, each sent back: none is lost, and all stay in order.
async fn sixty_hertz_times_a_hundred(url: &str) {
    const TICKS: u32 = 60;
    const EACH: u32 = 100;
    let mut there = node(url, "there").await;
    let mut back = node(url, "back").await;
    let (there_id, back_id) = (there.id(), back.id());
    let from_there = there.fabric.clone();
    let echo = async {
        for _ in 0..TICKS * EACH {
            let bundle = back.recv().await;
            assert!(back.fabric.send(there_id, bundle));
        }
    };
    let send = async {
        let mut ticks = tokio::time::interval(Duration::from_micros(16_667));
        for tick in 0..TICKS {
            ticks.tick().await;
            for i in 0..EACH {
                assert!(from_there.send(back_id, parcel(tick * EACH + i)));
            }
        }
    };
    let receive = async {
        for n in 0..TICKS * EACH {
            assert_eq!(number(&there.recv().await), n);
        }
    };
    tokio::join!(echo, send, receive);
}

/// What `Pairs` seals here comes out of `Pairs` there.
async fn pairs_over_mailboxes(url: &str) {
    let (a, mut b) = (node(url, "pairs-a").await, node(url, "pairs-b").await);
    let mut pairs_a = Pairs::new(a.id(), a.fabric.incarnation(), keys());
    let mut pairs_b = Pairs::new(b.id(), b.fabric.incarnation(), keys());
    pairs_a.set_active(b.id(), true);
    let (id, sent) = (match_id(), 100);
    for request in 0..sent {
        pairs_a.control(b.id(), id, Epoch(1), &Control::Created { request }).expect("room");
    }
    let mut a = a;
    let mut came = Vec::new();
    while came.len() < sent as usize {
        pairs_a.flush(clock(), |to, bundle| assert!(a.fabric.send(to, bundle)));
        pairs_b.flush(clock(), |to, bundle| assert!(b.fabric.send(to, bundle)));
        tokio::select! {
            bundle = a.recv() => {
                let _ = pairs_a.receive(clock(), &bundle, |_| ());
            }
            bundle = b.recv() => {
                let _ = pairs_b.receive(clock(), &bundle, |event| {
                    if let Received::Entry { entry, .. } = event {
                        came.push(Control::from_bytes(entry.payload).expect("a control"));
                    }
                });
            }
            () = tokio::time::sleep(Duration::from_millis(10)) => {}
        }
    }
    let expected: Vec<_> = (0..sent).map(|request| Control::Created { request }).collect();
    assert_eq!(came, expected);
}

#[tokio::test]
async fn sixty_hertz_times_a_hundred_on_a_standalone_server() {
    let redis = Redis::start().await;
    sixty_hertz_times_a_hundred(&redis.url()).await;
}

#[tokio::test]
async fn pairs_over_mailboxes_on_a_standalone_server() {
    let redis = Redis::start().await;
    pairs_over_mailboxes(&redis.url()).await;
}

#[tokio::test]
async fn on_a_cluster() {
    let cluster = RedisCluster::start().await;
    sixty_hertz_times_a_hundred(&cluster.url()).await;
    pairs_over_mailboxes(&cluster.url()).await;
}

#[tokio::test]
async fn several_buses_carry_the_mailboxes() {
    let (redis, bus_0, bus_1) = (Redis::start().await, Redis::start().await, Redis::start().await);
    let mut nodes = Vec::new();
    for i in 0..8 {
        let mut config = config(&redis.url(), &format!("on-a-bus-{i}"));
        config.bus_urls = vec![bus_0.url(), bus_1.url()];
        let node = start(config);
        node.fabric.ready().await.expect("ready");
        nodes.push(node);
    }
    let ids: Vec<_> = nodes.iter().map(|node| node.id()).collect();
    for (from, node) in nodes.iter().enumerate() {
        for to in &ids {
            assert!(node.fabric.send(*to, parcel(from as u32)));
        }
    }
    for node in &mut nodes {
        let mut senders = Vec::new();
        for _ in 0..8 {
            senders.push(number(&node.recv().await));
        }
        senders.sort_unstable();
        assert_eq!(senders, (0..8).collect::<Vec<_>>());
    }
    // Both buses carry some, and the main server none.
    for (server, carries) in [(&redis, false), (&bus_0, true), (&bus_1, true)] {
        let channels = server.cli(&["PUBSUB", "CHANNELS", "rally:mailbox:*"]).await;
        assert_eq!(!channels.is_empty(), carries, "{channels}");
    }
}

#[tokio::test]
async fn a_full_inbox_drops_and_counts_and_goes_on() {
    let counters = Counters::default();
    let _installed = metrics::set_default_local_recorder(&counters);
    let redis = Redis::start().await;
    let mut config = config(&redis.url(), "slow-reader");
    config.bounds = Bounds { inbox_len_max: 16, ..Bounds::default() };
    let mut slow = start(config);
    slow.fabric.ready().await.expect("ready");
    let sender = node(&redis.url(), "sender").await;
    for n in 0..2_000 {
        assert!(sender.fabric.send(slow.id(), parcel(n)));
    }
    // All are accounted for: received and waiting, dropped by our bound, or skipped by the library's.
    let accounted = || {
        let waiting = slow.mailbox.len() as u64;
        waiting + counters.get("rally_fabric_inbox_dropped_total") + counters.get("rally_fabric_lagged_total")
    };
    eventually(LONG, async || accounted() >= 2_000).await;
    assert!(counters.get("rally_fabric_inbox_dropped_total") > 0);
    while slow.mailbox.try_recv().is_ok() {}
    assert!(sender.fabric.send(slow.id(), parcel(7)));
    assert_eq!(number(&slow.recv().await), 7);
}

#[tokio::test]
async fn what_was_sent_before_the_shutdown_goes_out() {
    let redis = Redis::start().await;
    let mut receiver = node(&redis.url(), "receiver").await;
    let sender = node(&redis.url(), "sender").await;
    for n in 0..500 {
        assert!(sender.fabric.send(receiver.id(), parcel(n)));
    }
    sender.leave().await;
    for n in 0..500 {
        assert_eq!(number(&receiver.recv().await), n);
    }
}
