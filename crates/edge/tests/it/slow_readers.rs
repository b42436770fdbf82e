//! Who reads slowly gets every event and the newest snapshot, or is sent away; who reads quickly notices nothing.

use std::time::{Duration, Instant};

use rally_protocol::{
    client::{
        codec::Encoding,
        v1::{JoinAs, Place, ServerMessage},
    },
    cluster::v1::SnapshotHead,
};
use rally_units::Tick;
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Client, Cluster, Edge, counted, new_match, somebody};

/// A socket that takes in little.
async fn narrow(edge: &Edge) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    socket.connect(edge.addr).await.unwrap()
}

/// Says something through these now and then, by the clock: their links must not seem dead, however slow the machine is.
#[derive(Default)]
struct Alive(Option<Instant>);

impl Alive {
    async fn keep<const N: usize>(&mut self, clients: [&mut Client; N]) {
        if self.0.is_none_or(|last| last.elapsed() > Duration::from_millis(300)) {
            for client in clients {
                client.send(tokio_tungstenite::tungstenite::Message::Pong(Default::default())).await;
            }
            self.0 = Some(Instant::now());
        }
    }
}

fn head(tick: u32) -> SnapshotHead {
    SnapshotHead { tick: Tick(tick), ..SnapshotHead::default() }
}

#[tokio::test]
async fn a_slow_reader_gets_all_events_and_the_newest_snapshot() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut worker = cluster.worker("worker").await;
    worker.lets_stay = true;
    let match_id = new_match();
    worker.own(match_id).await;
    let mut slow = Client::over(narrow(&edge).await, Encoding::Json).await;
    slow.hello(somebody(), None).await;
    let mut quick = Client::open(&edge, Encoding::Msgpack, somebody()).await;
    for client in [&mut slow, &mut quick] {
        client.ask_in(match_id, JoinAs::Spectator).await;
        worker.let_in(match_id, Place::Spectator, 0).await;
        client.joined().await;
    }
    let before = counted("rally_edge_snapshots_conflated_total");
    let (mut tick, mut events) = (0, 0);
    let (mut quick_ticks, mut lost) = (Vec::new(), 0);
    let mut alive = Alive::default();
    while counted("rally_edge_snapshots_conflated_total") < before + 500 {
        tick += 1;
        worker.snapshot(edge.node(), match_id, head(tick));
        if tick % 50 == 0 {
            events += 1;
            worker.event(edge.node(), match_id, events);
        }
        worker.flush();
        if tick % 8 == 0 {
            worker.turn(Duration::from_millis(1)).await;
            worker.let_stay(match_id, events, u32::MAX);
            let batch = async {
                while quick_ticks.last() != Some(&tick) {
                    quick_ticks.push(quick.snapshot().await.tick.0);
                }
            };
            // Between nodes snapshots may be lost, where a machine has too much to do. The next ones come.
            lost += usize::from(tokio::time::timeout(Duration::from_secs(1), batch).await.is_err());
        }
        alive.keep([&mut slow, &mut quick]).await;
        assert!(tick < 100_000, "the socket takes everything");
    }
    assert!(quick_ticks.is_sorted_by(|a, b| a < b));
    let sent = tick as usize / 8 * 8;
    // All of what came between nodes in time, and on the busiest machine most of that does.
    assert!(quick_ticks.len() + 8 * lost >= sent && 2 * 8 * lost < sent, "it got {} of {sent}", quick_ticks.len());
    // At last it reads.
    let (mut ticks, mut got) = (Vec::new(), Vec::new());
    while ticks.last() != Some(&tick) || got.len() < events as usize {
        match slow.next().await {
            ServerMessage::Snapshot(snapshot) => ticks.push(snapshot.tick.0),
            ServerMessage::MatchEvent(event) => got.push(event.n),
            other => panic!("{other:?}"),
        }
    }
    assert!(ticks.is_sorted_by(|a, b| a < b));
    assert!(ticks.len() + 400 < tick as usize, "{} of {tick}", ticks.len());
    assert_eq!(got, (1..=events).collect::<Vec<_>>());
    // And is up to date from then on.
    worker.snapshot(edge.node(), match_id, head(tick + 1));
    worker.flush();
    assert_eq!(slow.snapshot().await.tick.0, tick + 1);
}

#[tokio::test]
async fn one_for_whom_too_many_events_wait_is_closed() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut worker = cluster.worker("worker").await;
    worker.lets_stay = true;
    let match_id = new_match();
    worker.own(match_id).await;
    let mut slow = Client::over(narrow(&edge).await, Encoding::Json).await;
    slow.hello(somebody(), None).await;
    slow.ask_in(match_id, JoinAs::Spectator).await;
    worker.let_in(match_id, Place::Spectator, 0).await;
    let before = counted("rally_edge_slow_closes_total");
    let (mut n, mut tick) = (0, 0);
    let mut alive = Alive::default();
    while counted("rally_edge_slow_closes_total") == before {
        for _ in 0..100 {
            n += 1;
            worker.event(edge.node(), match_id, n);
        }
        tick += 1;
        worker.snapshot(edge.node(), match_id, head(tick));
        worker.flush();
        worker.turn(Duration::from_millis(2)).await;
        // What was missed need not come: it would be too much for one answer.
        worker.let_stay(match_id, n, 0);
        alive.keep([&mut slow]).await;
        assert!(n < 200_000, "the socket takes everything");
    }
    // It is gone soon, although it never read its close.
    rally_testkit::eventually(crate::support::LONG, || async { edge.sockets.is_empty() }).await;
}
