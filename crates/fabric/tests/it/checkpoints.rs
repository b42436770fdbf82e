//! Checkpoints on real servers: the newer and the higher epoch wins, journals have no holes; operators' orders; and whose
//! absence may be believed.

use bytes::Bytes;
use rally_fabric::{Checkpoint, Held, Node, Operator, Stored};
use rally_protocol::{
    cluster::{BundleKeys, v1::Order},
    names,
};
use rally_testkit::{Redis, RedisCluster, eventually};
use rally_units::{Epoch, Incarnation, MatchId, Tick};

use crate::support::{LONG, clock, config, match_id, node, start};

fn checkpoint(match_id: MatchId, epoch: u32, tick: u32, offset: u32, chunk: &'static str) -> Checkpoint {
    Checkpoint {
        match_id,
        epoch: Epoch(epoch),
        tick: Tick(tick),
        offset,
        chunk: Bytes::from_static(chunk.as_bytes()),
        state: Bytes::from(format!("{epoch}:{tick}")),
    }
}

fn held(by: u32, state: &str, journal: &'static str) -> Option<Held> {
    let state = Bytes::copy_from_slice(state.as_bytes());
    Some(Held { by: Epoch(by), state, journal: Bytes::from_static(journal.as_bytes()) })
}

async fn checkpoints(url: &str) {
    let node = node(url, "checkpoints").await;
    let fabric = &node.fabric;
    let id = match_id();
    let store = async |checkpoint| fabric.store_checkpoints(&[checkpoint]).await.expect("asked")[0];
    let take = async |epoch| fabric.take_checkpoints(&[(id, Epoch(epoch))]).await.expect("asked").remove(0);
    assert_eq!(take(1).await, None);
    assert_eq!(store(checkpoint(id, 1, 6, 3, "def")).await, Stored::Hole, "what comes before is not there");
    assert_eq!(store(checkpoint(id, 1, 6, 0, "abc")).await, Stored::Kept);
    assert_eq!(store(checkpoint(id, 1, 12, 3, "def")).await, Stored::Kept);
    // Late, or once more: what is newer stays.
    assert_eq!(store(checkpoint(id, 1, 6, 0, "abc")).await, Stored::Kept);
    assert_eq!(take(2).await, held(1, "1:12", "abcdef"));
    // From now on the former owner writes nothing.
    assert_eq!(store(checkpoint(id, 1, 18, 6, "lost")).await, Stored::Superseded);
    assert_eq!(take(2).await, held(2, "1:12", "abcdef"), "asked again");
    assert_eq!(take(1).await, None, "not for a former owner");
    // The next owner goes on from where it was, and may write parts of the journal anew.
    assert_eq!(store(checkpoint(id, 2, 13, 3, "xyz!")).await, Stored::Kept);
    assert_eq!(take(3).await, held(2, "2:13", "abcxyz!"));
    fabric.drop_checkpoints(&[(id, Epoch(2))]).await.expect("asked");
    assert_eq!(take(3).await, held(3, "2:13", "abcxyz!"), "a former owner drops nothing");
    fabric.drop_checkpoints(&[(id, Epoch(3))]).await.expect("asked");
    assert_eq!(take(4).await, None);

    // Many, in all slots, more than fit one call.
    let ids: Vec<MatchId> = (0..500).map(|_| match_id()).collect();
    let state = Bytes::from(vec![7; 2_000]);
    let many: Vec<_> =
        ids.iter().map(|id| Checkpoint { state: state.clone(), ..checkpoint(*id, 1, 1, 0, "j") }).collect();
    assert_eq!(fabric.store_checkpoints(&many).await.expect("kept"), vec![Stored::Kept; 500]);
    let wanted: Vec<_> = ids.iter().map(|id| (*id, Epoch(2))).collect();
    let got = fabric.take_checkpoints(&wanted).await.expect("asked");
    assert!(got.iter().all(|held| held.as_ref().is_some_and(|held| held.state == state)));
}

#[tokio::test]
async fn checkpoints_on_a_standalone_server() {
    let redis = Redis::start().await;
    checkpoints(&redis.url()).await;
    // Nothing is left for ever.
    let node = node(&redis.url(), "last").await;
    let id = match_id();
    node.fabric.store_checkpoints(&[checkpoint(id, 1, 1, 0, "j")]).await.expect("kept");
    for key in [names::checkpoint(id), names::journal(id)] {
        let ttl: i64 = redis.cli(&["PTTL", &key]).await.parse().expect("a number");
        assert!((1..=600_000).contains(&ttl), "{key}: {ttl} ms");
    }
    // A journal that was lost alone is no checkpoint.
    redis.cli(&["DEL", &names::journal(id)]).await;
    assert_eq!(node.fabric.take_checkpoints(&[(id, Epoch(2))]).await.expect("asked"), [None]);
}

#[tokio::test]
async fn checkpoints_on_a_cluster() {
    let cluster = RedisCluster::start().await;
    checkpoints(&cluster.url()).await;
}

#[tokio::test]
async fn orders_reach_the_life_that_is_meant_and_nobody_makes_one_up() {
    let redis = Redis::start().await;
    let worker = node(&redis.url(), "worker").await;
    let operator = Operator::connect(&redis.url(), None).expect("an address");
    let shown = operator.nodes().await.expect("asked");
    let meant = shown.iter().find(|node| node.id == worker.id()).expect("registered");
    let keys = |byte| BundleKeys::derive([&[byte; 32][..]]).expect("a key");
    let order = Order::Move { match_id: match_id(), to: None };
    let give = async |keys: BundleKeys, to: &Node, order| {
        operator.order(&keys, to, &order).await.expect("given");
    };
    let earlier_life = Node { incarnation: Incarnation::from_bits(meant.incarnation.to_bits() ^ 1), ..meant.clone() };
    give(keys(1), meant, order).await;
    give(keys(2), meant, Order::Drain).await;
    give(keys(1), &earlier_life, Order::Drain).await;
    give(keys(1), meant, Order::Drain).await;
    assert_eq!(worker.fabric.take_orders(&keys(1)).await.expect("asked"), [order, Order::Drain]);
    assert_eq!(worker.fabric.take_orders(&keys(1)).await.expect("asked"), [], "once");
}

#[tokio::test]
async fn nobody_is_judged_by_a_redis_that_has_forgotten() {
    let redis = Redis::start().await;
    let one = start(config(&redis.url(), "worker-1"));
    let other = start(config(&redis.url(), "worker-2"));
    let sees_both = async || one.fabric.nodes().get(other.id()).is_some() && one.fabric.may_judge(clock());
    eventually(LONG, sees_both).await;
    // However soon each of the two is back in Redis' memory, for a while it means nothing that the other is not.
    redis.cli(&["FLUSHALL"]).await;
    eventually(LONG, async || !one.fabric.may_judge(clock())).await;
    eventually(LONG, sees_both).await;
    // One that is gone is gone.
    let gone = other.id();
    other.leave().await;
    eventually(LONG, async || one.fabric.nodes().get(gone).is_none()).await;
    assert!(one.fabric.may_judge(clock()));
}
