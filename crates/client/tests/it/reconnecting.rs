//! What a client does when its connection ends.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use rally_client::{Client, CloseReason, Config, Event, protocol::*};

use crate::{
    connecting::next,
    server::{Counts, Edge, MATCH, SESSION, identity, match_joined},
};

async fn two_edges() -> (Arc<Counts>, Edge, Edge) {
    let counts = Arc::new(Counts::default());
    let (one, two) = (Edge::start(&counts).await, Edge::start(&counts).await);
    (counts, one, two)
}

#[tokio::test]
async fn comes_back_to_its_match_through_an_edge_that_it_learnt_of() {
    let (counts, mut one, mut two) = two_edges().await;
    let both = [one.url.clone(), two.url.clone()];
    let mut client = Client::start(Config::new([one.url.clone()]), identity());
    let (mut peer, _) = one.welcome(&both).await;
    assert!(matches!(next(&mut client).await, Event::Connected { .. }));
    client.send(MatchJoin { match_id: MATCH, join_as: JoinAs::Player, skill: Some(Skill::Dash) }).unwrap();
    assert!(matches!(peer.next_but_pings().await, Some(ClientMessage::MatchJoin(_))));
    peer.send(match_joined()).await;
    next(&mut client).await;
    for _ in 0..3 {
        client.input(MATCH, Dir::Up, false).unwrap();
        peer.next_but_pings().await.unwrap();
    }

    // The edge dies: no close frame.
    drop(peer);
    assert!(matches!(next(&mut client).await, Event::Disconnected { code: None, .. }));

    let (mut peer, hello) = two.welcome(&both).await;
    assert_eq!(hello.resume.unwrap().session, SESSION);
    let rejoin = MatchJoin { match_id: MATCH, join_as: JoinAs::Player, skill: Some(Skill::Dash) };
    assert_eq!(peer.next_but_pings().await, Some(rejoin.into()));
    assert!(matches!(next(&mut client).await, Event::Connected { edge, .. } if edge == two.url));
    // Numbers begin anew, and not before the match is joined again.
    client.input(MATCH, Dir::Up, false).unwrap();
    peer.send(match_joined()).await;
    next(&mut client).await;
    client.input(MATCH, Dir::Down, false).unwrap();
    let first = InputMessage { match_id: MATCH, seq: 1, dir: Dir::Down, press: false, side: None };
    assert_eq!(peer.next_but_pings().await, Some(first.into()));
    assert_eq!(counts.live_max.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn obeys_reconnect_with_its_time() {
    let (counts, mut one, mut two) = two_edges().await;
    let mut client = Client::start(Config::new([one.url.clone(), two.url.clone()]), identity());
    let (mut peer, _) = one.welcome(&[]).await;
    next(&mut client).await;
    let asked = Instant::now();
    peer.send(Reconnect { after_ms: 300, reason: "drain".into() }).await;
    peer.close(close::RESTART).await;
    assert!(matches!(next(&mut client).await, Event::Disconnected { code: Some(close::RESTART), .. }));
    let (peer, _) = two.welcome(&[]).await;
    assert!(asked.elapsed() >= Duration::from_millis(300), "{:?}", asked.elapsed());
    assert_eq!(counts.live_max.load(Ordering::SeqCst), 1);
    drop(peer);
}

#[tokio::test]
async fn leaves_by_itself_when_the_edge_does_not_close() {
    let (_counts, mut one, mut two) = two_edges().await;
    let mut client = Client::start(Config::new([one.url.clone(), two.url.clone()]), identity());
    let (mut peer, _) = one.welcome(&[]).await;
    next(&mut client).await;
    peer.send(Reconnect { after_ms: 50, reason: "drain".into() }).await;
    assert_eq!(peer.next_but_pings().await, None, "the client closes");
    drop(peer);
    two.welcome(&[]).await;
}

#[tokio::test]
async fn stays_away_after_4401_and_4409() {
    for (code, reason) in [
        (close::UNAUTHENTICATED, CloseReason::Unauthenticated(String::new())),
        (close::SEAT_TAKEN, CloseReason::SeatTaken),
    ] {
        let (_counts, mut one, mut two) = two_edges().await;
        let mut client = Client::start(Config::new([one.url.clone(), two.url.clone()]), identity());
        let (peer, _) = one.welcome(&[]).await;
        next(&mut client).await;
        peer.close(code).await;
        assert_eq!(next(&mut client).await, Event::Closed(reason));
        // The task has ended: nothing is left that could connect.
        assert_eq!(client.next().await, None);
        assert!(!client.connected().await);
        assert!(one.nobody_comes() && two.nobody_comes());
    }
}

#[tokio::test]
async fn a_refused_hello_is_final() {
    let (_counts, mut one, _two) = two_edges().await;
    let mut client = Client::start(Config::new([one.url.clone()]), identity());
    let mut peer = one.accept().await;
    peer.hello().await;
    peer.close(close::UNAUTHENTICATED).await;
    assert_eq!(next(&mut client).await, Event::Closed(CloseReason::Unauthenticated(String::new())));
}

#[tokio::test]
async fn other_codes_bring_it_back_with_growing_waits() {
    let (counts, mut one, _two) = two_edges().await;
    let config = Config { backoff_first: Duration::from_millis(20), ..Config::new([one.url.clone()]) };
    let mut client = Client::start(config, identity());
    for round in 0..4u32 {
        let (peer, _) = one.welcome(&[]).await;
        assert!(matches!(next(&mut client).await, Event::Connected { .. }));
        peer.close(close::POLICY).await;
        match next(&mut client).await {
            Event::Disconnected { code, retry_in, .. } => {
                assert_eq!(code, Some(close::POLICY));
                let span = Duration::from_millis(20 << round);
                assert!((span / 2..=span).contains(&retry_in), "{retry_in:?} of {span:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(counts.live_max.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn goes_on_to_the_next_edge_when_one_cannot_be_reached() {
    let (_counts, one, mut two) = two_edges().await;
    let gone = one.url.clone();
    drop(one);
    let config = Config { backoff_first: Duration::from_millis(5), ..Config::new([gone, two.url.clone()]) };
    let mut client = Client::start(config, identity());
    let (_peer, _) = two.welcome(&[]).await;
    loop {
        match next(&mut client).await {
            Event::Disconnected { code: None, .. } => {}
            Event::Connected { edge, .. } => break assert_eq!(edge, two.url),
            other => panic!("{other:?}"),
        }
    }
}
