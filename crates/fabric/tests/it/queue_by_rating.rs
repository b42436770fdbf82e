//! Pairing by rating: against a model that looks at everybody, and with a thousand at once.

use std::time::{Duration, SystemTime};

use proptest::{
    collection::vec,
    strategy::{Just, Strategy as _, ValueTree as _},
    test_runner::TestRunner,
};
use rally_fabric::{Fabric, Joined, Ticket};
use rally_protocol::{client::v1::Mode, names};
use rally_testkit::{Redis, RedisCluster};
use rally_units::UserId;

use crate::{
    queue::{ids, ticket},
    support::{LONG, node},
};

const MODE: Mode = Mode::Ranked;

/// Somebody in the model: how strong, and for how many seconds in line.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    rating: i32,
    waited_s: u32,
}

impl Waiting {
    fn reaches(self, other: Self) -> bool {
        self.rating.abs_diff(other.rating) <= 100 + 50 * self.waited_s
    }
}

/// Whoever has waited longest chooses first: the nearest of those who reach each other, of equals whoever came first.
/// `line` is in the order of coming.
fn model(line: &[Waiting], pairs_max: usize) -> Vec<(usize, usize)> {
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    for (i, one) in line.iter().enumerate() {
        let is_taken = |n: usize| pairs.iter().any(|&(left, right)| left == n || right == n);
        if pairs.len() == pairs_max || is_taken(i) {
            continue;
        }
        let others = (0..line.len()).filter(|&n| n != i && !is_taken(n));
        let in_reach = others.filter(|&n| one.reaches(line[n]) && line[n].reaches(*one));
        if let Some(other) = in_reach.min_by_key(|&n| (one.rating.abs_diff(line[n].rating), n)) {
            pairs.push((i, other));
        }
    }
    pairs
}

async fn join(fabric: &Fabric, rating: i32) -> Ticket {
    let ticket = Ticket { rating, ..ticket("p", MODE) };
    assert_eq!(fabric.queue().join(&ticket).await.expect("asked"), Joined::Joined);
    ticket
}

#[tokio::test]
async fn pairs_are_those_of_the_model() {
    let redis = Redis::start().await;
    let node = node(&redis.url(), "queue").await;
    let queue = node.fabric.queue();
    let mut runner = TestRunner::deterministic();
    // Near each other and far apart, and many of the same rating.
    let rating = proptest::prop_oneof![Just(1_500), 1_400..1_600_i32, 600..2_600_i32];
    let line = vec((rating, 0..30_u32), 0..40);
    let mut all = 0;
    for case in 0..150 {
        let mut line: Vec<Waiting> = line
            .new_tree(&mut runner)
            .expect("a case")
            .current()
            .into_iter()
            .map(|(rating, waited_s)| Waiting { rating, waited_s })
            .collect();
        line.sort_by_key(|waiting| std::cmp::Reverse(waiting.waited_s));
        let pairs_max = 1 + case % 20;
        let mut users: Vec<UserId> = Vec::new();
        for waiting in &line {
            users.push(join(&node.fabric, waiting.rating).await.user);
        }
        // Half a second past the full one, so that the script sees the same seconds a moment later.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let came: Vec<String> = line
            .iter()
            .enumerate()
            .map(|(n, waiting)| {
                let ago =
                    Duration::from_millis(u64::from(waiting.waited_s) * 1_000 + 500) - Duration::from_micros(n as u64);
                (now - ago).as_micros().to_string()
            })
            .collect();
        let (key, names) = (names::queue_waiting(MODE), users.iter().map(ToString::to_string).collect::<Vec<_>>());
        let mut command = vec!["ZADD", key.as_str()];
        command.extend(came.iter().zip(&names).flat_map(|(came, name)| [came.as_str(), name.as_str()]));
        if !line.is_empty() {
            redis.cli(&command).await;
        }

        let pairs = queue.pair(MODE, &ids(pairs_max)).await.expect("asked");
        let found: Vec<_> = pairs.iter().map(|pair| (pair.left.user, pair.right.user)).collect();
        let expected: Vec<_> = model(&line, pairs_max).into_iter().map(|(a, b)| (users[a], users[b])).collect();
        assert_eq!(found, expected, "case {case}: {line:?}");
        all += pairs.len();
        redis.cli(&["FLUSHALL"]).await;
    }
    assert!(all > 500, "only {all} pairs");
}

/// Nobody far apart is paired at once, and everybody is in the end.
async fn reach_grows(url: &str) {
    let node = node(url, "queue").await;
    let queue = node.fabric.queue();
    let (weak, strong) = (join(&node.fabric, 1_400).await, join(&node.fabric, 1_551).await);
    assert_eq!(queue.pair(MODE, &ids(1)).await.expect("asked"), [], "151 apart");
    let references = [weak.reference(), strong.reference()];
    // After two seconds each reaches 200.
    let paired = tokio::time::timeout(LONG, async {
        loop {
            queue.refresh(&references).await.expect("asked");
            let pairs = queue.pair(MODE, &ids(1)).await.expect("asked");
            if !pairs.is_empty() {
                return pairs;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let pairs = paired.await.expect("paired in the end");
    assert_eq!([pairs[0].left.user, pairs[0].right.user], [weak.user, strong.user]);
    assert_eq!([pairs[0].left.rating, pairs[0].right.rating], [1_400, 1_551]);

    // What they waited is what is estimated for the next; two who waited as long do not change it.
    assert_eq!(queue.waited(MODE).await.expect("asked"), None);
    assert!(queue.finish(MODE, pairs[0].match_id).await.expect("asked"));
    let waited = queue.waited(MODE).await.expect("asked").expect("measured");
    assert!((Duration::from_secs(1)..LONG).contains(&waited), "{waited:?}");
}

#[tokio::test]
async fn the_reach_grows_on_a_standalone_server() {
    let redis = Redis::start().await;
    reach_grows(&redis.url()).await;
}

#[tokio::test]
async fn the_reach_grows_on_a_cluster() {
    let cluster = RedisCluster::start().await;
    reach_grows(&cluster.url()).await;
}

/// A thousand tickets within a second, as they come: some hundreds of points apart, and all of one rating.
#[tokio::test]
async fn a_thousand_are_paired_within_a_second() {
    const TICKETS: i32 = 1_000;
    let redis = Redis::start().await;
    let node = node(&redis.url(), "director").await;
    let queue = node.fabric.queue();
    for spread in [0, 1] {
        let tickets: Vec<Ticket> =
            // In an order that is none, from 900 to 2,100.
            (0..TICKETS).map(|i| Ticket { rating: 1_500 + spread * ((i * 7_919) % 1_201 - 600), ..ticket("p", MODE) }).collect();
        for some in tickets.chunks(100) {
            let joins = futures_util::future::join_all(some.iter().map(|ticket| queue.join(ticket))).await;
            assert!(joins.into_iter().all(|answer| answer.expect("asked") == Joined::Joined));
        }
        let started = std::time::Instant::now();
        let mut paired = 0;
        loop {
            let pairs = queue.pair(MODE, &ids(100)).await.expect("asked");
            if pairs.is_empty() {
                break;
            }
            assert!(pairs.iter().all(|pair| pair.left.rating.abs_diff(pair.right.rating) <= 100 + 50 * 20));
            paired += 2 * pairs.len();
        }
        let took = started.elapsed();
        // But for a few far apart from each other.
        assert!(paired >= 980, "only {paired}");
        assert!(took < Duration::from_secs(1), "1,000 tickets took {took:?}");
    }
}
