//! What an ended login can still do: nothing, at any edge.

use std::time::{Duration, Instant};

use rally_protocol::client::v1::ServerMessage;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::{
    Client, Cluster, LONG,
    site::{Bounds, Browser, Site},
};

const GOOD: &str = "correct horse battery staple";
/// From the end of a login until every edge knows: 2 s, and as much again for a machine that does other things.
const KNOWN_WITHIN: Duration = Duration::from_secs(4);

fn with_token(site: &Site, signed_in: &Value) -> Browser {
    let mut browser = site.browser();
    browser.token = Some(signed_in["access_token"].as_str().unwrap().to_owned());
    browser
}

/// A socket that is welcome.
async fn socket(site: &Site, signed_in: &Value) -> Client {
    let stream = TcpStream::connect(site.served.addr).await.unwrap();
    let mut client = Client::over(stream, rally_protocol::client::Encoding::Json).await;
    client.hello_with(signed_in["access_token"].as_str().unwrap()).await;
    client.until(|message| matches!(message, ServerMessage::Welcome(_)).then_some(())).await;
    client
}

#[tokio::test]
async fn its_sockets_close_and_its_tokens_are_refused_at_every_edge() {
    let cluster = Cluster::start().await;
    let (here, there) = (cluster.site(Bounds::default()).await, cluster.site(Bounds::default()).await);
    let body = json!({ "username": "ada", "password": GOOD });
    assert_eq!(here.browser().post("/api/v1/auth/register", &body).await.status, 201);
    let login = async || here.browser().post("/api/v1/auth/login", &body).await.json();
    let (phone, laptop, tablet) = (login().await, login().await, login().await);
    let mut sockets = [socket(&here, &phone).await, socket(&there, &phone).await, socket(&there, &laptop).await];

    let began = Instant::now();
    assert_eq!(with_token(&here, &phone).post("/api/v1/auth/logout", &json!({})).await.status, 204);
    with_token(&here, &phone).get("/api/v1/users/me").await.problem(401, "unauthenticated");
    assert_eq!(sockets[0].closed().await, 4401);
    assert_eq!(sockets[1].closed().await, 4401);
    assert!(began.elapsed() < KNOWN_WITHIN, "{:?}", began.elapsed());
    with_token(&there, &phone).get("/api/v1/users/me").await.problem(401, "unauthenticated");
    // Nor is it let in again.
    let stream = TcpStream::connect(there.served.addr).await.unwrap();
    let mut late = Client::over(stream, rally_protocol::client::Encoding::Json).await;
    late.hello_with(phone["access_token"].as_str().unwrap()).await;
    assert_eq!(late.closed().await, 4401);
    // An edge that starts later knows, too.
    let later = cluster.site(Bounds::default()).await;
    rally_testkit::eventually(LONG, async || with_token(&later, &phone).get("/api/v1/users/me").await.status == 401)
        .await;
    // Others of the same user stay, until all are ended.
    assert_eq!(with_token(&there, &laptop).get("/api/v1/users/me").await.status, 200);
    let everywhere = with_token(&here, &tablet).post("/api/v1/auth/logout", &json!({ "everywhere": true })).await;
    assert_eq!(everywhere.status, 204);
    assert_eq!(sockets[2].closed().await, 4401);
    with_token(&there, &laptop).get("/api/v1/users/me").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_stolen_token_ends_what_its_thief_has_opened() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let mut browser = site.browser();
    let first = browser.sign_in("visitor").await;
    let refresh = json!({ "refresh_token": first["refresh_token"] });
    let second = site.browser().post("/api/v1/auth/refresh", &refresh).await.json();
    let mut thief = socket(&site, &second).await;
    // Its owner comes with the same one: one of the two has stolen it.
    site.browser().post("/api/v1/auth/refresh", &refresh).await.problem(401, "unauthenticated");
    assert_eq!(thief.closed().await, 4401);
    with_token(&site, &second).get("/api/v1/users/me").await.problem(401, "unauthenticated");
}
