//! Sessions: found again on any edge, and sent elsewhere before an edge ends.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use rally_protocol::{
    client::{
        codec::Encoding,
        v1::{JoinAs, Ping, Place, Resume, ServerMessage},
    },
    cluster::v1::Control,
};
use rally_units::SessionId;

use crate::support::{Client, Cluster, LONG, Said, new_match, somebody};

fn resume(session: SessionId) -> Option<Resume> {
    Some(Resume { session, channels: Default::default() })
}

#[tokio::test]
async fn a_session_is_found_again_on_another_edge() {
    let cluster = Cluster::without_database().await;
    let (one, two) = (cluster.edge("edge-1").await, cluster.edge("edge-2").await);
    let user = somebody();
    let mut client = Client::connect(&one, Encoding::Json).await;
    let session = client.hello(user, None).await.session;
    drop(client);
    let mut client = Client::connect(&two, Encoding::Json).await;
    let welcome = client.hello(user, resume(session)).await;
    assert_eq!((welcome.session, welcome.resumed, &*welcome.edge), (session, true, "edge-2"));

    // Another user's session is not for the asking, nor one that never was.
    let mut thief = Client::connect(&two, Encoding::Json).await;
    let welcome = thief.hello(somebody(), resume(session)).await;
    assert!(!welcome.resumed && welcome.session != session);
    let mut late = Client::connect(&two, Encoding::Json).await;
    assert!(!late.hello(user, resume(SessionId::from_bytes([3; 16]))).await.resumed);
}

#[tokio::test]
async fn a_session_resumed_on_the_same_edge_closes_its_older_connection() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut worker = cluster.worker("worker").await;
    let match_id = new_match();
    worker.own(match_id).await;
    let user = somebody();
    let mut older = Client::connect(&edge, Encoding::Msgpack).await;
    let session = older.hello(user, None).await.session;
    older.ask_in(match_id, JoinAs::Player).await;
    worker.let_in(match_id, Place::Left, 1).await;
    older.joined().await;

    let mut newer = Client::connect(&edge, Encoding::Msgpack).await;
    assert!(newer.hello(user, resume(session)).await.resumed);
    assert_eq!(older.closed().await, 4409);
    newer.ask_in(match_id, JoinAs::Player).await;
    // In this order at the owner.
    assert_eq!(worker.control().await.1, Control::Leave { session });
    let (_, joined) = worker.let_in(match_id, Place::Left, 2).await;
    assert_eq!(joined, session);
    newer.joined().await;
    newer.input(match_id, 1).await;
    assert!(matches!(worker.next().await, (_, _, Said::Inputs(records)) if records[0].generation == 2));
}

#[tokio::test]
async fn a_drain_sends_everybody_elsewhere_and_players_of_a_match_one_by_one() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut worker = cluster.worker("worker").await;
    let match_id = new_match();
    worker.own(match_id).await;
    let mut players = Vec::new();
    for place in [Place::Left, Place::Right] {
        let mut client = Client::open(&edge, Encoding::Msgpack, somebody()).await;
        client.ask_in(match_id, JoinAs::Player).await;
        worker.let_in(match_id, place, 1).await;
        client.joined().await;
        players.push(client);
    }
    let idle = Client::open(&edge, Encoding::Json, somebody()).await;
    let within = Duration::from_secs(2);
    let hub = edge.hub.clone();
    let drained = tokio::spawn(async move { hub.drain(within).await });
    let mut leaving = Vec::new();
    for mut client in players.into_iter().chain([idle]) {
        leaving.push(tokio::spawn(async move {
            let after_ms = client
                .until(|message| match message {
                    ServerMessage::Reconnect(reconnect) => Some(reconnect.after_ms),
                    _ => None,
                })
                .await;
            let left = Instant::now();
            assert!(after_ms < 1_000);
            assert_eq!(client.closed().await, 1012);
            left
        }));
    }
    let node = edge.node();
    let mut moments = Vec::new();
    for leaving in leaving {
        moments.push(worker.tick_during(node, match_id, 1, leaving).await.unwrap());
    }
    let apart = moments[0].max(moments[1]) - moments[0].min(moments[1]);
    assert!(apart > within / 8, "both players of a match went within {apart:?}");
    tokio::time::timeout(LONG, drained).await.unwrap().unwrap();
    edge.sockets.closed().await;
    rally_testkit::eventually(LONG, || async {
        edge.fabric.nodes().iter().any(|found| found.id == node && found.load.draining)
    })
    .await;
}

#[tokio::test]
async fn a_new_edge_gets_its_share_of_idle_people_and_of_nobody_else() {
    const IDLE: usize = 150;
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge_at("edge", Some("http://edge")).await;
    let mut worker = cluster.worker("worker").await;
    let match_id = new_match();
    worker.own(match_id).await;
    let mut player = Client::open(&edge, Encoding::Msgpack, somebody()).await;
    player.ask_in(match_id, JoinAs::Player).await;
    worker.let_in(match_id, Place::Left, 1).await;
    player.joined().await;
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(Client::open(&edge, Encoding::Msgpack, somebody()).await);
    }
    let node = edge.node();
    let _second = cluster.edge_at("second", Some("http://second")).await;

    let left = async {
        let reasons = futures_util::stream::iter(idle.into_iter().map(|mut client| async move {
            let reason = client.until(|message| match message {
                ServerMessage::Reconnect(reconnect) => Some(reconnect.reason.clone()),
                _ => None,
            });
            let reason = tokio::time::timeout(LONG, reason).await.ok()?;
            assert_eq!(client.closed().await, 1012);
            Some(reason)
        }));
        // Until enough have left for the others to be within their share.
        let mut left = Box::pin(reasons.buffer_unordered(IDLE).filter_map(async |reason| reason));
        for _ in 0..IDLE / 6 {
            assert_eq!(left.next().await.as_deref(), Some("rebalance"));
        }
        // Whoever is left may stay.
        edge.sockets.len()
    };
    // Who plays must be heard of.
    let pings = async {
        loop {
            player.say(Ping { t: 0 }).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let left = async {
        tokio::select! {
            left = left => left,
            () = pings => unreachable!(),
        }
    };
    let still_here = worker.tick_during(node, match_id, 1, left).await;
    assert!(still_here > IDLE / 2, "{still_here}");
    player.input(match_id, 1).await;
    assert!(!worker.inputs().await.is_empty(), "the player was left alone");
}
