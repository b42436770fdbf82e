//! Sign-in, handshake, both encodings.

use std::{sync::Arc, time::Duration};

use rally_client::{Api, ApiError, Client, Config, Encoding, Event, SendError, protocol::*};
use tokio::time::timeout;

use crate::server::{Counts, Edge, MATCH, SOON, identity, match_joined, snapshot, welcome};

pub(crate) async fn next(client: &mut Client) -> Event {
    timeout(SOON, client.next()).await.expect("an event in time").expect("not closed")
}

#[tokio::test]
async fn a_guest_signs_in() {
    let edge = Edge::start(&Arc::new(Counts::default())).await;
    let api = Api::new(edge.url.clone());
    let alice = api.sign_in_as_guest("alice").await.unwrap();
    assert_eq!(alice, identity());
    match api.sign_in_as_guest("bob").await {
        Err(ApiError::Refused(problem)) => {
            assert_eq!((problem.status, &*problem.code), (429, "rate_limited"));
            assert_eq!(problem.retry_after, Some(Duration::from_secs(7)));
        }
        other => panic!("{other:?}"),
    }
}

async fn plays(encoding: Encoding) {
    let mut edge = Edge::start(&Arc::new(Counts::default())).await;
    let config = Config { encoding, ..Config::new([edge.url.clone()]) };
    let mut client = Client::start(config, identity());
    assert_eq!(client.send(QueueLeave {}), Err(SendError::NotConnected));

    let (mut peer, hello) = edge.welcome(&[]).await;
    assert_eq!(peer.encoding, encoding);
    assert_eq!((&*hello.token, hello.resume), ("t0", None));
    assert_eq!(next(&mut client).await, Event::Connected { edge: edge.url.clone(), welcome: Box::new(welcome(&[])) });
    assert!(client.connected().await);

    assert_eq!(client.send(Ping { t: 1 }), Err(SendError::Reserved));
    // Before the match is joined an input has no number, and none is sent.
    client.input(MATCH, Dir::Up, false).unwrap();
    client.send(MatchJoin { match_id: MATCH, join_as: JoinAs::Player, skill: None }).unwrap();
    assert!(matches!(peer.next_but_pings().await, Some(ClientMessage::MatchJoin(_))));
    peer.send(match_joined()).await;
    assert_eq!(next(&mut client).await, Event::Message(match_joined().into()));
    for (seq, dir) in [(1, Dir::Up), (2, Dir::Down)] {
        client.input(MATCH, dir, seq == 2).unwrap();
        let expected = InputMessage { match_id: MATCH, seq, dir, press: seq == 2, side: None };
        assert_eq!(peer.next_but_pings().await, Some(expected.into()));
    }
    peer.send(snapshot(7)).await;
    assert_eq!(next(&mut client).await, Event::Message(snapshot(7).into()));

    drop(client);
    assert_eq!(peer.next_but_pings().await, None);
}

#[tokio::test]
async fn plays_in_msgpack() {
    plays(Encoding::Msgpack).await;
}

#[tokio::test]
async fn plays_in_json() {
    plays(Encoding::Json).await;
}

#[tokio::test]
async fn a_message_of_a_later_version_is_skipped() {
    let mut edge = Edge::start(&Arc::new(Counts::default())).await;
    let mut client = Client::start(Config { encoding: Encoding::Json, ..Config::new([edge.url.clone()]) }, identity());
    let (mut peer, _) = edge.welcome(&[]).await;
    next(&mut client).await;
    peer.send_text(r#"{"type":"from_the_future","x":1}"#).await;
    peer.send(snapshot(1)).await;
    assert_eq!(next(&mut client).await, Event::Message(snapshot(1).into()));
}
