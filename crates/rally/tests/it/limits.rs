//! How much of an edge one address and one person may have, and that nobody can pretend to be somebody else.

use rally_client::{Api, protocol::close};
use serde_json::json;

use crate::support::{
    Raw, Site,
    http::{metric, post},
    unique,
};

const GUEST: &str = "/api/v1/auth/guest";
const ME: [u8; 4] = [127, 0, 0, 1];
const NEIGHBOUR: [u8; 4] = [127, 0, 0, 2];
const PROXY: [u8; 4] = [127, 0, 0, 9];

#[tokio::test]
async fn an_address_has_so_many_connections_whatever_it_says_of_itself() {
    let site = Site::start().await;
    let more = [("RALLY_CONNECTIONS_PER_ADDRESS_MAX", "3"), ("RALLY_TRUSTED_PROXIES", "127.0.0.9/32")];
    let edge = site.edge("edge-1", &more).await;
    let connect = async |from, headers: &[(&'static str, &str)]| Raw::connect_from(from, edge.port, headers).await;

    let mut mine = Vec::new();
    for _ in 0..3 {
        mine.push(connect(ME, &[]).await.expect("room"));
    }
    for spoof in [&[][..], &[("x-forwarded-for", "203.0.113.7")], &[("x-forwarded-for", "127.0.0.9, 203.0.113.8")]] {
        let (status, retry_after) = connect(ME, spoof).await.err().expect("too many");
        assert_eq!(status, 429);
        assert!(retry_after.is_some_and(|s| s.parse::<u32>().is_ok_and(|s| s > 0)));
    }
    let limited = metric(edge.admin, "rally_edge_limited_total", &[("limit", "connections_address")]).await;
    assert!(limited >= 3.0, "{limited}");
    // Others have room of their own.
    let neighbour = connect(NEIGHBOUR, &[]).await.expect("another address");
    // A proxy of ours is believed: each client behind it has its own count.
    let client = [("x-forwarded-for", "203.0.113.7")];
    let mut behind = Vec::new();
    for _ in 0..3 {
        behind.push(connect(PROXY, &client).await.expect("room"));
    }
    assert_eq!(connect(PROXY, &client).await.err().map(|(status, _)| status), Some(429));
    behind.push(connect(PROXY, &[("x-forwarded-for", "203.0.113.8")]).await.expect("another client"));
    // A place that is given back can be taken again.
    drop(mine.pop());
    rally_testkit::eventually(crate::support::LONG, async || connect(ME, &[]).await.is_ok()).await;
    drop((neighbour, behind));
}

#[tokio::test]
async fn sign_ins_connections_of_a_person_and_the_edge_itself_are_bounded() {
    let site = Site::start().await;
    let few = [("RALLY_AUTH_PER_MINUTE", "2"), ("RALLY_CONNECTIONS_PER_USER_MAX", "1")];
    let full = [("RALLY_CONNECTIONS_MAX", "2")];
    let (few, full) = tokio::join!(site.edge("edge-1", &few), site.edge("edge-2", &full));

    let body = || json!({ "username": unique("guest") }).to_string();
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let answer = post(ME, few.port, GUEST, &[], &body()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        tokens.push(answer.json()["access_token"].as_str().unwrap().to_owned());
    }
    for headers in [&[][..], &[("x-forwarded-for", "203.0.113.7")]] {
        let answer = post(ME, few.port, GUEST, headers, &body()).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (429, Some("rate_limited")));
        assert!(answer.header("retry-after").is_some_and(|s| s.parse::<u32>().is_ok_and(|s| s > 0)));
    }
    assert_eq!(post(NEIGHBOUR, few.port, GUEST, &[], &body()).await.status, 201);

    // The second connection of the same person on an edge that grants one.
    let _first = Raw::open(few.port, &tokens[0]).await;
    let mut second = Raw::connect(few.port).await;
    second.hello(&tokens[0]).await;
    assert_eq!(second.closed().await, (vec![], close::TOO_MANY));
    Raw::open(few.port, &tokens[1]).await;

    // An edge that is full says so, and when to come back.
    let who = Api::new(full.url()).sign_in_as_guest(&unique("guest")).await.unwrap();
    let _both = (Raw::open(full.port, &who.tokens.access).await, Raw::connect(full.port).await);
    let (status, retry_after) = Raw::connect_from(ME, full.port, &[]).await.err().expect("full");
    assert_eq!(status, 503);
    assert!(retry_after.is_some());
    // The API goes on.
    assert_eq!(post(ME, full.port, GUEST, &[], &body()).await.status, 201);
}
