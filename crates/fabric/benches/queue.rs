//! What pairing costs: a thousand tickets, taken a hundred pairs at a time as a director does, from a Redis of its own.

use std::time::{Duration, Instant as StdInstant};

use rally_fabric::{Fabric, FabricConfig, Joined, Role, Ticket};
use rally_protocol::client::v1::{Mode, Skill};
use rally_testkit::Redis;
use rally_units::{Incarnation, Instant, MatchId, NodeId, SessionId, UserId};
use rustix::time::{ClockId, clock_gettime};
use tokio_util::sync::CancellationToken;

const TICKETS: u32 = 1_000;
const PAIRS_AT_ONCE: u32 = 100;
const ROUNDS: u32 = 20;

fn clock() -> Instant {
    let now = clock_gettime(ClockId::Boottime);
    Instant::from_nanos(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

fn bytes(n: u32) -> [u8; 16] {
    std::array::from_fn(|i| n.to_be_bytes()[i % 4])
}

fn ticket(n: u32, mode: Mode, rating: i32) -> Ticket {
    Ticket {
        session: SessionId::from_bytes(bytes(n)),
        user: UserId::from_bytes(bytes(n)),
        name: "somebody".into(),
        guest: true,
        mode,
        skill: Skill::Smash,
        rating,
        edge: NodeId::of_name("edge"),
        edge_incarnation: Incarnation::from_bits(1),
    }
}

/// The time of one round, and tickets left over.
async fn round(fabric: &Fabric, first: u32, mode: Mode, rating: impl Fn(u32) -> i32) -> (Duration, u32) {
    let queue = fabric.queue();
    for n in first..first + TICKETS {
        let joined = queue.join(&ticket(n, mode, rating(n - first))).await.expect("asked");
        assert_eq!(joined, Joined::Joined);
    }
    let (mut left, mut last_match) = (TICKETS, first);
    let started = StdInstant::now();
    loop {
        let ids: Vec<MatchId> = (0..PAIRS_AT_ONCE).map(|i| MatchId::from_bytes(bytes(last_match + i))).collect();
        last_match += PAIRS_AT_ONCE;
        let pairs = queue.pair(mode, &ids).await.expect("asked");
        if pairs.is_empty() {
            return (started.elapsed(), left);
        }
        left -= 2 * pairs.len() as u32;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let redis = Redis::start().await;
    let config = FabricConfig::new(redis.url(), "bench", Incarnation::from_bits(1), Role::Worker, clock);
    let shutdown = CancellationToken::new();
    let fabric = Fabric::connect(config, shutdown.clone()).expect("valid");
    fabric.ready().await.expect("ready");
    let kinds = [
        ("by waiting time", Mode::Casual, 0),
        ("by rating, all newcomers", Mode::Ranked, 0),
        ("by rating, from 900 to 2,100", Mode::Ranked, 1),
    ];
    for (name, mode, spread) in kinds {
        let rating = |n: u32| 1_500 + spread * ((n * 7_919 % 1_201) as i32 - 600);
        let (mut all, mut longest, mut left) = (Duration::ZERO, Duration::ZERO, 0);
        for n in 0..ROUNDS {
            let (took, left_over) = round(&fabric, n * 2 * TICKETS, mode, rating).await;
            (all, longest, left) = (all + took, longest.max(took), left.max(left_over));
            redis.cli(&["FLUSHALL"]).await;
        }
        let mean_ms = all.as_secs_f64() * 1e3 / f64::from(ROUNDS);
        let longest_ms = longest.as_secs_f64() * 1e3;
        println!("{TICKETS} tickets {name}: {mean_ms:.1} ms, at most {longest_ms:.1} ms; {left} left over");
    }
    shutdown.cancel();
}
