//! Pings, dead links and tokens.

use std::sync::{Arc, atomic::Ordering};

use rally_client::{Client, CloseReason, Config, Event, Identity, Tokens, protocol::*};

use crate::{
    connecting::next,
    server::{Counts, Edge, MATCH, identity, match_joined, user, welcome},
};

#[tokio::test]
async fn pings_each_second_in_a_match_and_takes_silence_for_a_dead_link() {
    let mut edge = Edge::start(&Arc::new(Counts::default())).await;
    let mut client = Client::start(Config::new([edge.url.clone()]), identity());
    let (mut peer, _) = edge.welcome(&[]).await;
    next(&mut client).await;
    client.send(MatchJoin { match_id: MATCH, join_as: JoinAs::Player, skill: None }).unwrap();
    peer.next().await;
    peer.send(match_joined()).await;
    next(&mut client).await;
    match peer.next().await {
        Some(ClientMessage::Ping(ping)) => peer.send(Pong { t: ping.t, server_time_ms: 0 }).await,
        other => panic!("{other:?}"),
    }
    match next(&mut client).await {
        Event::RoundTrip(time) => assert!(time < std::time::Duration::from_secs(1), "{time:?}"),
        other => panic!("{other:?}"),
    }
    // From here on the edge is silent, though its socket lives.
    match next(&mut client).await {
        Event::Disconnected { code: None, detail, .. } => assert!(detail.contains("too long"), "{detail}"),
        other => panic!("{other:?}"),
    }
    drop(peer);
    edge.welcome(&[]).await;
}

#[tokio::test]
async fn refreshes_its_token_and_announces_it() {
    let counts = Arc::new(Counts::default());
    counts.refreshed_for_s.store(900, Ordering::SeqCst);
    let mut edge = Edge::start(&counts).await;
    let mut client = Client::start(Config::new([edge.url.clone()]), identity());
    let mut peer = edge.accept().await;
    peer.hello().await;
    // The edge knows better how long the token lives: half of this is left for a refresh.
    peer.send(Welcome { token_expires_in_s: 1, ..welcome(&[]) }).await;
    assert!(matches!(next(&mut client).await, Event::Connected { .. }));
    let fresh = Tokens { access: "t1".into(), refresh: "r1".into(), expires_in_s: 900 };
    assert_eq!(next(&mut client).await, Event::Refreshed(fresh));
    match peer.next_but_pings().await {
        Some(ClientMessage::Auth(auth)) => assert_eq!(&*auth.token, "t1"),
        other => panic!("{other:?}"),
    }
    // The next connection comes with the new token.
    drop(peer);
    let (_peer, hello) = edge.welcome(&[]).await;
    assert_eq!(&*hello.token, "t1");
}

#[tokio::test]
async fn an_expired_token_that_cannot_be_refreshed_is_final() {
    let edge = Edge::start(&Arc::new(Counts::default())).await;
    let tokens = Tokens { access: "t0".into(), refresh: "r0".into(), expires_in_s: 0 };
    let mut client = Client::start(Config::new([edge.url.clone()]), Identity { user: user(), tokens });
    assert!(matches!(next(&mut client).await, Event::Closed(CloseReason::Unauthenticated(_))));
    assert_eq!(client.next().await, None);
}
