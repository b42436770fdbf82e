//! What stands before the routes: addresses, limits, origins, headers, compression.

use axum::body::Body;
use http::{Method, StatusCode};
use rally_edge::auth::LoginToken;
use rally_protocol::client::v1::{ServerMessage, UserInfo};
use rally_units::LoginId;
use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite};

use crate::support::{
    Client, Cluster, LONG, counted, handshake,
    site::{Answer, Bounds, Browser, Site, rate},
};

const GUEST: &str = "/api/v1/auth/guest";
const ME: &str = "/api/v1/users/me";
/// Of an access token that nobody looks up.
const ANY_LOGIN: LoginToken = LoginToken { login: LoginId::from_bytes([1; 16]), generation: 1 };
const JSON: &str = "rally.v1.json";

/// A WebSocket handshake from this address with these headers.
async fn upgrade(
    site: &Site,
    from: [u8; 4],
    headers: &[(&'static str, &str)],
) -> Result<WebSocketStream<TcpStream>, Answer> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let stream = socket.connect(site.served.addr).await.unwrap();
    let mut request = handshake(Some(JSON));
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match client_async(request, stream).await {
        Ok((socket, answer)) => {
            assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
            assert!(!answer.headers().contains_key("content-encoding"));
            Ok(socket)
        }
        Err(tungstenite::Error::Http(answer)) => {
            let (parts, body) = answer.into_parts();
            let Some(body) = body else { panic!("no body") };
            Err(Answer { status: parts.status, headers: parts.headers, body })
        }
        Err(error) => panic!("{error}"),
    }
}

async fn site(change: impl FnOnce(&mut Bounds)) -> (Cluster, Site) {
    let cluster = Cluster::start().await;
    let mut bounds = Bounds::default();
    change(&mut bounds);
    let site = cluster.site(bounds).await;
    (cluster, site)
}

fn me() -> [u8; 4] {
    [127, 0, 0, 1]
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let (_cluster, site) = site(|_| {}).await;
    let browser = site.browser();
    for path in ["/", "/play/x", "/api/v1/users/me", "/api/nothing", "/ws", "/nothing"] {
        let answer = browser.get(path).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        assert!(answer.header("permissions-policy").is_some_and(|policy| policy.contains("camera=()")));
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert_eq!(answer.header("strict-transport-security"), None);
        assert!(answer.header("x-request-id").is_some_and(|id| id.len() >= 32));
    }
}

#[tokio::test]
async fn https_is_insisted_on_where_it_is_spoken() {
    let (_cluster, site) = site(|bounds| bounds.public_url = Some("https://play.example".into())).await;
    assert!(site.browser().get("/").await.header("strict-transport-security").is_some());
}

#[tokio::test]
async fn the_page_is_served_with_its_policy() {
    let (_cluster, site) = site(|_| {}).await;
    for path in ["/", "/play/0192d2f0-0000-7000-8000-000000000000", "/watch/0192d2f0-0000-7000-8000-000000000000"] {
        let page = site.browser().get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
        assert!(page.header("content-security-policy").is_some_and(|policy| policy.contains("connect-src 'self'")));
    }
}

#[tokio::test]
async fn large_answers_are_compressed_for_who_can_read_them() {
    let (_cluster, site) = site(|_| {}).await;
    for encoding in ["gzip", "br"] {
        let browser = site.browser().saying("accept-encoding", encoding);
        let answer = browser.post(GUEST, &json!({ "username": "ada" })).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-encoding")), (201, Some(encoding)));
        assert!(serde_json::from_slice::<serde_json::Value>(&answer.body).is_err());
        let small = browser.get(ME).await;
        assert_eq!(small.header("content-encoding"), None, "smaller than what compressing costs");
    }
    let plain = site.browser().post(GUEST, &json!({ "username": "ada" })).await;
    assert_eq!(plain.header("content-encoding"), None);
}

#[tokio::test]
async fn only_named_origins_may_use_the_api() {
    let (_cluster, site) = site(|bounds| bounds.allowed_origins = vec!["https://eu.example".into()]).await;
    let preflight = async |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization, content-type"),
        ];
        site.browser().send_with(Method::OPTIONS, "/api/v1/matches", headers, Body::empty()).await
    };
    let allowed = preflight("https://eu.example").await;
    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://eu.example"));
    assert!(allowed.header("access-control-allow-methods").is_some_and(|methods| methods.contains("POST")));
    let headers = allowed.header("access-control-allow-headers").unwrap();
    assert!(headers.contains("authorization") && headers.contains("content-type"));
    for foreign in ["https://evil.example", "http://eu.example", "https://eu.example.evil.example", "null"] {
        assert_eq!(preflight(foreign).await.header("access-control-allow-origin"), None, "{foreign}");
    }
    // A refusal can be read by the page that it is for.
    let refused = site.browser().saying("origin", "https://eu.example").get(ME).await;
    refused.problem(401, "unauthenticated");
    assert_eq!(refused.header("access-control-allow-origin"), Some("https://eu.example"));
    assert!(refused.header("vary").is_some_and(|vary| vary.to_ascii_lowercase().contains("origin")));
}

#[tokio::test]
async fn a_socket_is_for_our_pages_and_for_programs() {
    let (_cluster, site) = site(|bounds| {
        bounds.public_url = Some("https://us.example".into());
        bounds.allowed_origins = vec!["https://eu.example".into()];
    })
    .await;
    assert!(upgrade(&site, me(), &[]).await.is_ok());
    for ours in ["https://us.example", "https://eu.example"] {
        assert!(upgrade(&site, me(), &[("origin", ours)]).await.is_ok(), "{ours}");
    }
    for foreign in ["https://evil.example", "http://us.example", "null", "http://edge.test"] {
        let refused = upgrade(&site, me(), &[("origin", foreign)]).await.expect_err(foreign);
        refused.problem(403, "forbidden");
    }
}

#[tokio::test]
async fn what_is_no_handshake_is_a_problem() {
    let (_cluster, site) = site(|_| {}).await;
    site.browser().get("/ws").await.problem(400, "invalid_input");
    let unknown = upgrade(&site, me(), &[("sec-websocket-protocol", "rally.v9.xml")]).await.expect_err("refused");
    unknown.problem(400, "invalid_input");
    let old = upgrade(&site, me(), &[("sec-websocket-version", "8")]).await.expect_err("refused");
    old.problem(426, "upgrade_required");
    assert_eq!(old.header("sec-websocket-version"), Some("13"));
}

#[tokio::test]
async fn sign_ins_of_an_address_are_limited() {
    let (_cluster, site) = site(|bounds| {
        bounds.limits.auth = rate(1, 3);
        bounds.addresses.limit_exempt = vec!["127.0.0.64/26".parse().unwrap()];
    })
    .await;
    let sign_in = async |browser: &Browser| browser.post(GUEST, &json!({ "username": "ada" })).await;
    let browser = site.browser_at([127, 0, 0, 2]);
    for _ in 0..3 {
        assert_eq!(sign_in(&browser).await.status, 201);
    }
    let refused = sign_in(&browser).await;
    refused.problem(429, "rate_limited");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
    // Nobody is fooled by what a client says of itself.
    for spoof in ["203.0.113.7", "127.0.0.70", "unknown"] {
        let spoofing = site.browser_at([127, 0, 0, 2]).saying("x-forwarded-for", spoof);
        sign_in(&spoofing).await.problem(429, "rate_limited");
    }
    // Other things and other people are not affected.
    browser.get(ME).await.problem(401, "unauthenticated");
    assert_eq!(sign_in(&site.browser_at([127, 0, 0, 3])).await.status, 201);
    let exempt = site.browser_at([127, 0, 0, 70]);
    for _ in 0..10 {
        assert_eq!(sign_in(&exempt).await.status, 201);
    }
}

#[tokio::test]
async fn behind_a_proxy_its_clients_are_limited_each() {
    let (_cluster, site) = site(|bounds| {
        bounds.limits.auth = rate(1, 1);
        bounds.addresses.trusted_proxies = vec!["127.0.0.8/30".parse().unwrap()];
        bounds.addresses.limit_exempt = vec!["198.51.100.0/24".parse().unwrap()];
    })
    .await;
    let sign_in = async |forwarded: &str| {
        let proxy = site.browser_at([127, 0, 0, 9]).saying("x-forwarded-for", forwarded);
        proxy.post(GUEST, &json!({ "username": "ada" })).await
    };
    assert_eq!(sign_in("203.0.113.1").await.status, 201);
    sign_in("203.0.113.1").await.problem(429, "rate_limited");
    // The client put an address before its own; and one that is exempt.
    sign_in("192.0.2.66, 203.0.113.1").await.problem(429, "rate_limited");
    sign_in("198.51.100.1, 203.0.113.1").await.problem(429, "rate_limited");
    // Through another proxy of ours.
    sign_in("203.0.113.1, 127.0.0.10").await.problem(429, "rate_limited");
    assert_eq!(sign_in("203.0.113.2").await.status, 201);
    for _ in 0..3 {
        assert_eq!(sign_in("198.51.100.1").await.status, 201);
    }
}

#[tokio::test]
async fn requests_of_a_user_are_limited_wherever_they_come_from() {
    let (cluster, site) = site(|bounds| {
        bounds.limits.api = rate(1, 3);
        bounds.addresses.limit_exempt = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let user = UserInfo { id: cluster.guest("ada").await, name: "ada".into(), guest: true };
    let token = site.tokens.issue(&user, ANY_LOGIN).unwrap().access;
    let ask = async |last: u8| {
        let mut browser = site.browser_at([127, 0, 0, last]);
        browser.token = Some(token.clone());
        browser.get(ME).await
    };
    for last in 2..5 {
        assert_eq!(ask(last).await.status, 200);
    }
    ask(5).await.problem(429, "rate_limited");
}

#[tokio::test]
async fn sockets_are_limited_by_node_before_the_upgrade() {
    let (_cluster, site) = site(|bounds| bounds.limits.sockets_max = 2).await;
    let first = upgrade(&site, me(), &[]).await.expect("room");
    let _second = upgrade(&site, me(), &[]).await.expect("room");
    upgrade(&site, me(), &[]).await.expect_err("full").problem(503, "at_capacity");
    assert_eq!(site.browser().get("/").await.status, 200, "there is room for plain requests");
    drop(first);
    rally_testkit::eventually(LONG, async || upgrade(&site, me(), &[]).await.is_ok()).await;
}

#[tokio::test]
async fn sockets_are_limited_by_address() {
    let (_cluster, site) = site(|bounds| {
        bounds.limits.connections_per_address_max = 2;
        bounds.addresses.trusted_proxies = vec!["127.0.0.9/32".parse().unwrap()];
    })
    .await;
    // Directly: a socket keeps the place of its connection.
    let direct = [127, 0, 0, 2];
    let _held = [upgrade(&site, direct, &[]).await.expect("room"), upgrade(&site, direct, &[]).await.expect("room")];
    upgrade(&site, direct, &[]).await.expect_err("too many").problem(429, "rate_limited");
    // Behind a proxy: each client for itself.
    let by_proxy = async |client: &str| upgrade(&site, [127, 0, 0, 9], &[("x-forwarded-for", client)]).await;
    let held = [by_proxy("203.0.113.1").await.expect("room"), by_proxy("203.0.113.1").await.expect("room")];
    by_proxy("203.0.113.1").await.expect_err("too many").problem(429, "rate_limited");
    assert!(by_proxy("203.0.113.2").await.is_ok());
    drop(held);
    rally_testkit::eventually(LONG, async || by_proxy("203.0.113.1").await.is_ok()).await;
}

#[tokio::test]
async fn handshakes_are_limited_in_time() {
    let (_cluster, site) = site(|bounds| bounds.limits.upgrade = rate(1, 2)).await;
    assert!(upgrade(&site, me(), &[]).await.is_ok());
    assert!(upgrade(&site, me(), &[]).await.is_ok());
    upgrade(&site, me(), &[]).await.expect_err("too fast").problem(429, "rate_limited");
}

#[tokio::test]
async fn a_storm_is_let_in_at_a_pace_and_the_rest_told_when_to_come() {
    let (_cluster, site) = site(|bounds| bounds.limits.handshakes_per_s = 4).await;
    let began = std::time::Instant::now();
    let handshakes = futures_util::future::join_all((0..30).map(|_| async {
        let result = upgrade(&site, me(), &[]).await;
        (began.elapsed(), result)
    }));
    let (mut let_in, mut refused) = (Vec::new(), 0);
    for (at, result) in handshakes.await {
        match result {
            Ok(socket) => let_in.push((at, socket)),
            Err(answer) => {
                answer.problem(503, "at_capacity");
                let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
                assert!((4..=6).contains(&seconds), "{seconds}");
                refused += 1;
            }
        }
    }
    // One at once and four seconds of four each; a busy machine may send some of them later.
    assert!((17..=24).contains(&let_in.len()), "{}", let_in.len());
    assert_eq!(let_in.len() + refused, 30);
    assert!(let_in.iter().any(|(at, _)| *at >= std::time::Duration::from_secs(3)), "nobody had to wait");
}

#[tokio::test]
async fn sockets_are_limited_by_user() {
    let (cluster, site) = site(|bounds| bounds.limits.sockets_per_user_max = 2).await;
    let user = UserInfo { id: cluster.guest("ada").await, name: "ada".into(), guest: true };
    let open = async || {
        let mut client = Client::of(upgrade(&site, me(), &[]).await.expect("room"));
        client.hello_with(&site.tokens.issue(&user, ANY_LOGIN).unwrap().access).await;
        client
    };
    let welcome = |message| assert!(matches!(message, ServerMessage::Welcome(_)), "{message:?}");
    let (mut first, mut second) = (open().await, open().await);
    welcome(first.next().await);
    welcome(second.next().await);
    assert_eq!(open().await.closed().await, 4429);
    drop(first);
    rally_testkit::eventually(LONG, async || {
        let mut client = open().await;
        matches!(client.frame().await, Some(Ok(message)) if message.is_text())
    })
    .await;
}

#[tokio::test]
async fn request_ids_are_chosen_by_us_or_our_proxy() {
    let (_cluster, site) = site(|bounds| {
        bounds.addresses.trusted_proxies = vec!["127.0.0.9/32".parse().unwrap()];
    })
    .await;
    let id_for = async |from: [u8; 4], said: &str| {
        let answer = site.browser_at(from).saying("x-request-id", said).get(ME).await;
        answer.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(id_for([127, 0, 0, 9], "of-the-proxy").await, "of-the-proxy");
    assert_ne!(id_for([127, 0, 0, 2], "of-a-stranger").await, "of-a-stranger");
    assert_ne!(id_for([127, 0, 0, 9], &"x".repeat(65)).await.len(), 65);
}

#[tokio::test]
async fn requests_are_counted_by_route_not_by_path() {
    let (_cluster, site) = site(|_| {}).await;
    let browser = site.browser();
    let line = |route: &str, method: &str, status: &str| {
        counted(&format!(r#"rally_http_requests_total{{route="{route}",method="{method}",status="{status}"}}"#))
    };
    let before = [line(ME, "GET", "401"), line("/api", "GET", "404"), line("page", "GET", "404")];
    browser.get(ME).await;
    browser.get("/api/v1/a/thing/that/is/not").await;
    browser.get("/secret-path-of-mine").await;
    let after = [line(ME, "GET", "401"), line("/api", "GET", "404"), line("page", "GET", "404")];
    for (before, after) in before.into_iter().zip(after) {
        assert!(after > before);
    }
    assert_eq!(line("/secret-path-of-mine", "GET", "404"), 0);
}

#[tokio::test]
async fn an_edge_that_ends_takes_no_more_sockets() {
    let (_cluster, site) = site(|_| {}).await;
    site.served.drain.begin(LONG);
    upgrade(&site, me(), &[]).await.expect_err("ending").problem(503, "unavailable");
    assert_eq!(site.browser().get("/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_socket_counts_as_work_that_a_drain_waits_for() {
    let (_cluster, site) = site(|_| {}).await;
    let socket = upgrade(&site, me(), &[]).await.expect("room");
    rally_testkit::eventually(LONG, async || site.served.drain.guards() == 1).await;
    drop(socket);
    rally_testkit::eventually(LONG, async || site.served.drain.guards() == 0).await;
}

#[tokio::test]
async fn half_a_handshake_leaves_nothing_behind() {
    use tokio::io::AsyncWriteExt as _;
    let (_cluster, site) = site(|bounds| bounds.limits.sockets_max = 1).await;
    let mut stream = TcpStream::connect(site.served.addr).await.unwrap();
    let head = "GET /ws HTTP/1.1\r\nhost: edge\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    drop(stream);
    rally_testkit::eventually(LONG, async || upgrade(&site, me(), &[]).await.is_ok()).await;
}
