//! The queue: one place for each user, first come first served, and no ticket paired twice.

use std::{collections::HashSet, time::Duration};

use rally_fabric::{Fabric, Joined, Left, QueueStatus, Ticket};
use rally_protocol::{
    client::v1::{Mode, Skill},
    names,
};
use rally_testkit::{Redis, RedisCluster, eventually};
use rally_units::{Incarnation, MatchId, NodeId};

use crate::support::{LONG, match_id, node, session_id, user_id};

pub(crate) fn ticket(name: &str, mode: Mode) -> Ticket {
    Ticket {
        session: session_id(),
        user: user_id(),
        name: name.into(),
        guest: true,
        mode,
        skill: Skill::Dash,
        rating: Ticket::RATING_OF_NEWCOMERS,
        edge: NodeId::of_name("edge"),
        edge_incarnation: Incarnation::from_bits(u64::MAX),
    }
}

async fn joined(fabric: &Fabric, name: &str, mode: Mode) -> Ticket {
    let ticket = ticket(name, mode);
    assert_eq!(fabric.queue().join(&ticket).await.expect("asked"), Joined::Joined);
    ticket
}

async fn status(fabric: &Fabric, ticket: &Ticket) -> QueueStatus {
    let refreshed = fabric.queue().refresh(&[ticket.reference()]).await.expect("asked");
    refreshed[0]
}

pub(crate) fn ids(n: usize) -> Vec<MatchId> {
    (0..n).map(|_| match_id()).collect()
}

/// From waiting to found, and what can be read on the way.
async fn a_pair_is_made(url: &str) {
    let node = node(url, "queue").await;
    let (fabric, queue, mode) = (&node.fabric, node.fabric.queue(), Mode::Casual);
    assert_eq!(queue.pair(mode, &ids(3)).await.expect("asked"), []);
    let a = joined(fabric, "a", mode).await;
    assert_eq!(queue.pair(mode, &ids(3)).await.expect("asked"), [], "nobody plays himself");
    let b = joined(fabric, "b", mode).await;
    let c = joined(fabric, "c", mode).await;
    assert_eq!(queue.depth(mode).await.expect("asked"), 3);
    assert_eq!(status(fabric, &a).await, QueueStatus::Waiting { mode });

    let id = match_id();
    let pairs = queue.pair(mode, &[id, match_id()]).await.expect("asked");
    assert_eq!(pairs.len(), 1, "c waits for another");
    assert_eq!((pairs[0].match_id, &pairs[0].left, &pairs[0].right), (id, &a, &b), "oldest first");
    assert_eq!(queue.depth(mode).await.expect("asked"), 1);
    let pending = QueueStatus::Pending { mode, match_id: id };
    assert_eq!((status(fabric, &a).await, queue.status(b.user).await.expect("asked")), (pending, pending));
    assert_eq!(queue.join(&a).await.expect("asked"), Joined::AlreadyQueued { mode });

    assert!(queue.finish(mode, id).await.expect("asked"));
    assert!(!queue.finish(mode, id).await.expect("asked"), "once");
    let found = QueueStatus::Found { mode, match_id: id };
    assert_eq!((status(fabric, &a).await, queue.status(b.user).await.expect("asked")), (found, found));
    assert_eq!(queue.revert(mode, id).await.expect("asked"), [], "too late");
    // Whoever has played may wait again.
    assert_eq!(queue.join(&a).await.expect("asked"), Joined::Joined);
    assert_eq!(status(fabric, &a).await, QueueStatus::Waiting { mode });
    for waiting in [&a, &c] {
        assert_eq!(queue.leave(waiting.user).await.expect("asked"), Left::Left { mode });
        assert_eq!(queue.leave(waiting.user).await.expect("asked"), Left::NotQueued);
    }
}

/// A user waits once, in one mode.
async fn one_place_for_each_user(url: &str) {
    let node = node(url, "queue").await;
    let (fabric, queue) = (&node.fabric, node.fabric.queue());
    let first = joined(fabric, "a", Mode::Casual).await;
    for mode in [Mode::Casual, Mode::Ranked, Mode::Classic] {
        let again = Ticket { mode, session: session_id(), ..first.clone() };
        let answer = queue.join(&again).await.expect("asked");
        assert_eq!(answer, Joined::AlreadyQueued { mode: Mode::Casual });
        assert_eq!(status(fabric, &again).await, QueueStatus::Gone, "not this session's");
    }
    assert_eq!(status(fabric, &first).await, QueueStatus::Waiting { mode: Mode::Casual });
    assert_eq!(queue.leave(first.user).await.expect("asked"), Left::Left { mode: Mode::Casual });
    let other = Ticket { mode: Mode::Ranked, ..first };
    assert_eq!(queue.join(&other).await.expect("asked"), Joined::Joined);
    assert_eq!(queue.leave(other.user).await.expect("asked"), Left::Left { mode: Mode::Ranked });
}

/// Two edges let the same user in at the same moment, in two modes, over and over: never both.
async fn joins_that_meet(url: &str) {
    let (a, b) = (node(url, "edge-a").await, node(url, "edge-b").await);
    let (in_a, in_b) = (a.fabric.queue(), b.fabric.queue());
    let mut both_refused = 0;
    for _ in 0..100 {
        let one = ticket("a", Mode::Casual);
        let two = Ticket { mode: Mode::Classic, session: session_id(), ..one.clone() };
        let (one_in, two_in) = tokio::join!(in_a.join(&one), in_b.join(&two));
        let is_in = |answer: Result<Joined, _>| answer.expect("asked") == Joined::Joined;
        let (one_in, two_in) = (is_in(one_in), is_in(two_in));
        assert!(!(one_in && two_in), "both");
        both_refused += u32::from(!one_in && !two_in);
        let waits = in_a.depth(Mode::Casual).await.expect("asked") + in_a.depth(Mode::Classic).await.expect("asked");
        assert_eq!(waits, u64::from(one_in || two_in));
        in_a.leave(one.user).await.expect("asked");
    }
    assert!(both_refused < 50, "{both_refused} of 100 times nobody got in");
}

/// The match cannot be made: back to the front of the line, but for whoever left.
async fn a_revert_puts_first(url: &str) {
    let node = node(url, "queue").await;
    let (fabric, queue, mode) = (&node.fabric, node.fabric.queue(), Mode::Ranked);
    let [a, b] = [joined(fabric, "a", mode).await, joined(fabric, "b", mode).await];
    let id = match_id();
    assert_eq!(queue.pair(mode, &[id]).await.expect("asked").len(), 1);
    let c = joined(fabric, "c", mode).await;
    assert_eq!(queue.revert(mode, id).await.expect("asked"), [a.clone(), b.clone()]);
    let pairs = queue.pair(mode, &ids(2)).await.expect("asked");
    assert_eq!((&pairs[0].left, &pairs[0].right), (&a, &b), "before c");

    // One leaves while it is pending.
    let left = queue.leave(a.user).await.expect("asked");
    assert_eq!(left, Left::Pending { match_id: pairs[0].match_id });
    assert_eq!(queue.revert(mode, pairs[0].match_id).await.expect("asked"), std::slice::from_ref(&b));
    assert_eq!(status(fabric, &a).await, QueueStatus::Gone);
    let pairs = queue.pair(mode, &ids(2)).await.expect("asked");
    assert_eq!((&pairs[0].left, &pairs[0].right), (&b, &c));
    assert!(queue.finish(mode, pairs[0].match_id).await.expect("asked"));

    // For whom the opponent never came.
    let d = joined(fabric, "d", mode).await;
    assert_eq!(queue.join_first(&b).await.expect("asked"), Joined::Joined);
    assert_eq!(queue.join_first(&c).await.expect("asked"), Joined::Joined);
    let pairs = queue.pair(mode, &ids(2)).await.expect("asked");
    assert_eq!((&pairs[0].left, &pairs[0].right), (&c, &b), "the last to come first is first");
    assert!(queue.finish(mode, pairs[0].match_id).await.expect("asked"));
    assert_eq!(queue.leave(d.user).await.expect("asked"), Left::Left { mode });
}

/// 1,000 tickets, four directors at once: each ticket in one pair, quickly.
async fn directors_at_once(url: &str) {
    const TICKETS: usize = 1_000;
    let mode = Mode::Classic;
    let mut nodes = Vec::new();
    for i in 0..4 {
        nodes.push(node(url, &format!("director-{i}")).await);
    }
    let queue = nodes[0].fabric.queue();
    let tickets: Vec<Ticket> = (0..TICKETS).map(|i| ticket(&format!("p{i}"), mode)).collect();
    for some in tickets.chunks(100) {
        let joins = futures_util::future::join_all(some.iter().map(|ticket| queue.join(ticket))).await;
        assert!(joins.into_iter().all(|answer| answer.expect("asked") == Joined::Joined));
    }
    let started = std::time::Instant::now();
    let each = nodes.iter().map(|node| {
        let queue = node.fabric.queue();
        async move {
            let mut all = Vec::new();
            loop {
                let pairs = queue.pair(mode, &ids(50)).await.expect("asked");
                if pairs.is_empty() {
                    return all;
                }
                all.extend(pairs);
            }
        }
    });
    let pairs: Vec<_> = futures_util::future::join_all(each).await.into_iter().flatten().collect();
    let took = started.elapsed();
    assert_eq!(pairs.len(), TICKETS / 2);
    let users: HashSet<_> = pairs.iter().flat_map(|pair| [pair.left.user, pair.right.user]).collect();
    assert_eq!(users.len(), TICKETS);
    assert!(took < Duration::from_secs(1), "{TICKETS} tickets took {took:?}");

    // Several finish and revert the same pairs at once: each pair ends one way, once.
    let other = nodes[1].fabric.queue();
    let ends = pairs.iter().take(100).map(|pair| async {
        let (finished, reverted) = tokio::join!(queue.finish(mode, pair.match_id), other.revert(mode, pair.match_id));
        (finished.expect("asked"), reverted.expect("asked").len())
    });
    for end in futures_util::future::join_all(ends).await {
        assert!(matches!(end, (true, 0) | (false, 2)), "{end:?}");
    }
    for pair in &pairs {
        queue.finish(mode, pair.match_id).await.expect("asked");
    }
    futures_util::future::join_all(tickets.iter().map(|ticket| queue.leave(ticket.user))).await;
}

/// A connection comes back on another edge.
async fn a_ticket_moves(url: &str) {
    let node = node(url, "queue").await;
    let (fabric, queue, mode) = (&node.fabric, node.fabric.queue(), Mode::Casual);
    let a = joined(fabric, "a", mode).await;
    let b = joined(fabric, "b", mode).await;
    let moved = Ticket { edge: NodeId::of_name("another"), ..a.clone() };
    assert!(queue.rehome(&moved).await.expect("asked"));
    let stranger = Ticket { session: session_id(), ..a };
    assert!(!queue.rehome(&stranger).await.expect("asked"));
    let pairs = queue.pair(mode, &ids(1)).await.expect("asked");
    assert_eq!((&pairs[0].left, &pairs[0].right), (&moved, &b), "its place in line stays");
    queue.finish(mode, pairs[0].match_id).await.expect("asked");
}

async fn all(url: &str) {
    a_pair_is_made(url).await;
    one_place_for_each_user(url).await;
    joins_that_meet(url).await;
    a_revert_puts_first(url).await;
    directors_at_once(url).await;
    a_ticket_moves(url).await;
}

#[tokio::test]
async fn on_a_standalone_server() {
    let redis = Redis::start().await;
    all(&redis.url()).await;
    eventually(LONG, async || redis.cli(&["ZCARD", &names::queue_waiting(Mode::Casual)]).await == "0").await;
}

#[tokio::test]
async fn on_a_cluster() {
    let cluster = RedisCluster::start().await;
    all(&cluster.url()).await;
}

#[tokio::test]
async fn tickets_without_a_heartbeat_expire() {
    let redis = Redis::start().await;
    let node = node(&redis.url(), "queue").await;
    let (fabric, queue, mode) = (&node.fabric, node.fabric.queue(), Mode::Casual);
    let dead = joined(fabric, "dead", mode).await;
    let alive = joined(fabric, "alive", mode).await;
    // Refreshed by whoever holds the connection, for longer than a ticket lives by itself.
    eventually(LONG, async || {
        assert_eq!(status(fabric, &alive).await, QueueStatus::Waiting { mode });
        queue.status(dead.user).await.expect("asked") == QueueStatus::Gone
    })
    .await;
    assert_eq!(queue.depth(mode).await.expect("asked"), 1);
    assert_eq!(queue.pair(mode, &ids(1)).await.expect("asked"), []);
    assert_eq!(status(fabric, &dead).await, QueueStatus::Gone, "a refresh revives nothing");
    assert_eq!(queue.join(&dead).await.expect("asked"), Joined::Joined);
}

#[tokio::test]
async fn a_pair_whose_director_died_is_found() {
    let redis = Redis::start().await;
    let node = node(&redis.url(), "queue").await;
    let (fabric, queue, mode) = (&node.fabric, node.fabric.queue(), Mode::Casual);
    let [a, b] = [joined(fabric, "a", mode).await, joined(fabric, "b", mode).await];
    let pairs = queue.pair(mode, &ids(1)).await.expect("asked");
    assert_eq!(queue.stale_pending(mode).await.expect("asked"), [], "not yet");
    eventually(LONG, async || queue.stale_pending(mode).await.expect("asked") == pairs).await;
    assert_eq!(queue.revert(mode, pairs[0].match_id).await.expect("asked"), [a, b]);
}

#[tokio::test]
async fn a_claim_without_a_ticket_is_taken_over() {
    let redis = Redis::start().await;
    let node = node(&redis.url(), "queue").await;
    let a = ticket("a", Mode::Casual);
    // Its edge died between the claim and the queue.
    let stale = format!("w ranked {}", session_id());
    redis.cli(&["SET", &names::queued_user(a.user), &stale]).await;
    assert_eq!(node.fabric.queue().join(&a).await.expect("asked"), Joined::Joined);
}

#[tokio::test]
async fn redis_forgets_and_the_tickets_are_gone() {
    let redis = Redis::start().await;
    let node = node(&redis.url(), "queue").await;
    let a = joined(&node.fabric, "a", Mode::Casual).await;
    redis.cli(&["FLUSHALL"]).await;
    assert_eq!(status(&node.fabric, &a).await, QueueStatus::Gone);
    assert_eq!(node.fabric.queue().join(&a).await.expect("asked"), Joined::Joined);
}
