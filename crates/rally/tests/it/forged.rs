//! Bundles that a thief of the Redis password, or a node that is not the owner, puts into others' mailboxes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rally_client::{
    Encoding,
    protocol::{Dir, EventKind, Mode, ServerMessage},
};
use rally_fabric::Pairs;
use rally_protocol::{
    client::codec::Messages as _,
    cluster::{BundleKeys, BundleReader, v1::SnapshotHead},
    names,
};
use rally_service::clock;
use rally_testkit::eventually_ok;
use rally_units::{Epoch, Incarnation, MatchId, NodeId, Tick};

use crate::support::{LONG, Player, SCORE_TO_WIN, cluster::Cluster, http::metric, pair_ready, resp::Resp, shared};

/// Bundles refused by both workers for this reason.
async fn refused_by_workers(cluster: &Cluster, reason: &str) -> f64 {
    let mut sum = 0.0;
    for admin in cluster.workers {
        sum += metric(admin, "rally_fabric_bundles_refused_total", &[("reason", reason)]).await;
    }
    sum
}

#[tokio::test]
async fn forged_bundles_are_refused_and_counted_and_the_match_goes_on() {
    let cluster = shared().await;
    let [edge, other] = &cluster.edges;
    let (mut one, mut two) =
        tokio::join!(Player::at(edge.url(), Encoding::Msgpack), Player::at(other.url(), Encoding::Json));
    let (match_id, _) = pair_ready(Mode::Classic, &mut one, &mut two).await;
    one.event(EventKind::Go).await;

    let key = std::fs::read_to_string(cluster.dir.join("keys/cluster.key")).unwrap();
    let key = STANDARD.decode(key.trim()).unwrap();
    let keys = BundleKeys::derive([key.as_slice()]).unwrap();
    let db = cluster.db.connect().await;
    let row = db
        .query_one("SELECT owner_node, epoch FROM matches WHERE id = $1::text::uuid", &[&match_id.to_string()])
        .await
        .unwrap();
    let owner = NodeId::from_bits(row.get::<_, i64>(0).cast_unsigned());
    let epoch = Epoch(u32::try_from(row.get::<_, i64>(1)).unwrap());

    // What an edge says to the owner can be heard by whoever reads its mailbox.
    let mut thief = Resp::connect(cluster.redis.port()).await;
    let mut wire = Resp::connect(cluster.redis.port()).await;
    let mailbox = names::mailbox(owner);
    wire.subscribe(&mailbox).await;
    one.client.input(match_id, Dir::Stay, false).unwrap();
    let heard = loop {
        let bundle = wire.message().await;
        if BundleReader::open(&bundle, &keys).is_ok_and(|open| open.entries().next().is_some()) {
            break bundle;
        }
    };
    drop(wire);
    let mut changed = heard.clone();
    *changed.last_mut().unwrap() ^= 1;
    let mut lying = heard.clone();
    lying[60] ^= 1;
    let strangers = BundleKeys::derive([&[7; 32][..]]).unwrap().seal_raw(&heard[..heard.len() - 16]);
    let mut versioned = heard.clone();
    versioned[0] = 77;
    for (reason, bundle) in [
        ("mac", &changed[..]),
        ("mac", &lying),
        ("mac", &strangers),
        ("truncated", &heard[..30]),
        ("truncated", &[]),
        // Cut within its entries, it is not what was sealed.
        ("mac", &heard[..heard.len() - 1]),
        ("version", &versioned),
        ("repeated", &heard),
    ] {
        let before = refused_by_workers(cluster, reason).await;
        assert_eq!(thief.publish(&mailbox, bundle).await, 1, "the owner listens");
        let counted = async || match refused_by_workers(cluster, reason).await > before {
            true => Ok(()),
            false => Err(format!("{reason} is not counted, of {} bytes", bundle.len())),
        };
        eventually_ok(LONG, counted).await;
    }

    // A node with the right key that is not the owner: by an older epoch, and by the present one.
    old_owner(cluster, &keys, match_id, Epoch(epoch.0 - 1), "older_epoch").await;
    old_owner(cluster, &keys, match_id, epoch, "not_the_owner").await;

    // Nobody has noticed: the same match, to its end.
    one.step_aside(match_id);
    let mut last = Tick(0);
    let over = loop {
        let next = one.message(|message| match message {
            ServerMessage::Snapshot(snapshot) => Some(Err(snapshot.clone())),
            ServerMessage::GameOver(over) => Some(Ok(over.clone())),
            ServerMessage::ErrorMessage(error) => panic!("{error:?}"),
            _ => None,
        });
        match next.await {
            Ok(over) => break over,
            Err(snapshot) => {
                assert_eq!(snapshot.epoch, epoch);
                assert!(snapshot.tick > last && snapshot.tick < FORGED_TICK);
                last = snapshot.tick;
            }
        }
    };
    assert_eq!(over, two.over().await);
    assert_eq!(over.score.iter().max(), Some(&SCORE_TO_WIN));
    assert!(one.lost.is_empty() && two.lost.is_empty());
}

/// Of snapshots that must not come through.
const FORGED_TICK: Tick = Tick(1 << 30);

/// Sends an edge snapshots and events of a match as another node, under this epoch, until it counts a refusal.
async fn old_owner(cluster: &Cluster, keys: &BundleKeys, match_id: MatchId, epoch: Epoch, reason: &str) {
    let edge = &cluster.edges[0];
    let me = NodeId::of_name(&format!("impostor-{reason}"));
    let to = NodeId::of_name(edge.name);
    let mut pairs = Pairs::new(me, Incarnation::from_bits(7), keys.clone());
    let mut inbox = Resp::connect(cluster.redis.port()).await;
    inbox.subscribe(&names::mailbox(me)).await;
    let mut out = Resp::connect(cluster.redis.port()).await;

    let refused = async || metric(edge.admin, "rally_edge_entries_refused_total", &[("reason", reason)]).await;
    let before = refused().await;
    // They introduce themselves first.
    while pairs.incarnation(to).is_none() {
        pairs.message(to, match_id, epoch, game_over(match_id)).unwrap();
        publish(&mut pairs, &mut out).await;
        let bundle = inbox.message().await;
        // The first answers say that we do not know each other.
        let _ = pairs.receive(clock::now(), &bundle, |_| {});
    }
    let snapshot = SnapshotHead { tick: FORGED_TICK, generation: [1; 2], applied: [0; 2], durable: [0; 2] };
    let said = async {
        while refused().await <= before {
            pairs.snapshot(to, match_id, epoch, |buf| buf.extend_from_slice(&snapshot.to_bytes()));
            publish(&mut pairs, &mut out).await;
        }
    };
    tokio::time::timeout(LONG, said).await.expect("a refusal");
}

/// A result that nobody has decided.
fn game_over(match_id: MatchId) -> bytes::Bytes {
    let over = rally_client::protocol::GameOver {
        match_id,
        winner: None,
        score: [0, 0],
        reason: rally_client::protocol::EndReason::Abandoned,
        ratings: None,
    };
    ServerMessage::from(over).encode(Encoding::Msgpack).unwrap().into()
}

async fn publish(pairs: &mut Pairs, out: &mut Resp) {
    let mut bundles = Vec::new();
    pairs.flush(clock::now(), |to, bundle| bundles.push((to, bundle)));
    for (to, bundle) in bundles {
        out.publish(&names::mailbox(to), &bundle).await;
    }
}
