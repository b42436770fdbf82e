//! The HTTP API: what it gives, and every way in which it refuses.

use std::{
    io,
    sync::{Arc, Mutex},
    thread,
};

use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Method;
use http_body_util::StreamBody;
use hyper::body::Frame;
use rally_edge::auth::{ACCESS_FOR, LEEWAY, LoginToken, Tokens};
use rally_fabric::{Joined, Ticket};
use rally_protocol::{
    client::v1::{ErrorCode, Level, Mode, Skill, UserInfo},
    cluster::v1::{Control, MatchSpec, SeatSpec},
};
use rally_service::clock;
use rally_store::{NewMatch, Owner, Seat, Store, StoreConfig};
use rally_testkit::eventually;
use rally_units::{Incarnation, LoginId, MatchId, NodeId, SessionId, UserId};
use serde_json::{Value, json};
use tracing_subscriber::{
    Layer as _, filter::dynamic_filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::support::{
    Cluster, LONG, Worker, new_match,
    site::{Bounds, Browser, Site},
};

const GUEST: &str = "/api/v1/auth/guest";
const REFRESH: &str = "/api/v1/auth/refresh";
const ME: &str = "/api/v1/users/me";
const MATCHES: &str = "/api/v1/matches";

/// One that Postgres does not know.
const ANY_LOGIN: LoginToken = LoginToken { login: LoginId::from_bytes([1; 16]), generation: 1 };

fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(value: &Value) -> T {
    value.as_str().unwrap().parse().unwrap()
}

/// A worker that the site knows of.
async fn worker_of(cluster: &Cluster, site: &Site) -> Worker {
    let worker = cluster.worker("worker").await;
    eventually(LONG, async || !site.fabric.nodes().workers().is_empty()).await;
    worker
}

/// Asks for a match, and has the worker answer this.
async fn create(
    browser: &Browser,
    worker: &mut Worker,
    body: Value,
    answer: Result<(), ErrorCode>,
) -> (MatchSpec, crate::support::site::Answer) {
    let asked = browser.post(MATCHES, &body);
    let answered = async {
        let (edge, Control::Create { request, spec }) = worker.control().await else { panic!("not a creation") };
        let control = match answer {
            Ok(()) => Control::Created { request },
            Err(code) => Control::Refused { request, code, detail: "no".into() },
        };
        worker.tell(edge, spec.id, &control);
        worker.flush();
        *spec
    };
    let (answer, spec) = tokio::join!(asked, answered);
    (spec, answer)
}

/// Seats a user in a match, as a worker would.
async fn seat(store: &Store, user: UserId) -> MatchId {
    let new = NewMatch {
        id: new_match(),
        mode: rally_store::Mode::Duel,
        classic: false,
        private: true,
        score_to_win: 11,
        seed: 1,
        rules_version: 1,
        seats: [Seat::Player(user), Seat::Open],
        owner: Owner { node: NodeId::of_name("worker"), incarnation: Incarnation::from_bits(1) },
    };
    assert!(store.create_matches(std::slice::from_ref(&new)).await.unwrap()[0].is_ok());
    new.id
}

#[tokio::test]
async fn a_guest_signs_in_and_is_known() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let mut browser = site.browser();
    let signed_in = browser.sign_in("Ada_1815").await;
    assert_eq!(signed_in["user"]["name"], "Ada_1815");
    assert_eq!(signed_in["user"]["guest"], true);
    assert_eq!(signed_in["expires_in_s"], ACCESS_FOR.as_secs());
    let me = browser.get(ME).await;
    assert_eq!(me.status, 200);
    let me = me.json();
    assert_eq!((&me["match"], &me["queue"]), (&Value::Null, &Value::Null));
    for field in ["id", "name", "guest"] {
        assert_eq!(me["user"][field], signed_in["user"][field]);
    }
    assert_eq!(cluster.store.user(id(&signed_in["user"]["id"])).await.unwrap().unwrap().name, "Ada_1815");
    // Guests may share a name.
    assert_ne!(site.browser().sign_in("Ada_1815").await["user"]["id"], signed_in["user"]["id"]);
}

#[tokio::test]
async fn tokens_are_not_for_caches() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let answer = site.browser().post(GUEST, &json!({ "username": "ada" })).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_guest_has_a_plain_name_that_is_nobodys() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let browser = site.browser();
    for bad in
        [json!("ab"), json!("123456789012345678901"), json!("a b c"), json!("adä"), json!(7), json!([]), json!(null)]
    {
        let answer = browser.post(GUEST, &json!({ "username": bad })).await;
        assert_eq!(answer.fields(), ["username"], "{bad}");
    }
    assert_eq!(browser.post(GUEST, &json!({})).await.fields(), ["username"]);
    cluster.account("Grace").await;
    browser.post(GUEST, &json!({ "username": "gRACE" })).await.problem(409, "username_taken");
}

#[tokio::test]
async fn a_refresh_token_gives_the_next_pair_while_its_user_exists() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let mut browser = site.browser();
    let signed_in = browser.sign_in("ada").await;
    let answer = browser.post(REFRESH, &json!({ "refresh_token": signed_in["refresh_token"] })).await;
    assert_eq!(answer.status, 200);
    let again = answer.json();
    assert_eq!(again["user"], signed_in["user"]);
    browser.token = again["access_token"].as_str().map(str::to_owned);
    assert_eq!(browser.get(ME).await.status, 200);

    browser.post(REFRESH, &json!({ "refresh_token": signed_in["access_token"] })).await.problem(401, "unauthenticated");
    browser.post(REFRESH, &json!({ "refresh_token": "no" })).await.problem(401, "unauthenticated");
    let nobody = UserInfo { id: UserId::from_bytes([9; 16]), name: "nobody".into(), guest: true };
    let nobodys = site.tokens.issue(&nobody, ANY_LOGIN).unwrap().refresh;
    browser.post(REFRESH, &json!({ "refresh_token": nobodys })).await.problem(401, "unauthenticated");
    browser.post(REFRESH, &json!({})).await.problem(401, "unauthenticated");
    assert_eq!(browser.post(REFRESH, &json!({ "refresh_token": 1 })).await.fields(), ["refresh_token"]);
    assert_eq!(browser.post(REFRESH, &json!({ "refresh_token": "x".repeat(5_000) })).await.fields(), ["refresh_token"]);
}

#[tokio::test]
async fn without_a_good_token_one_is_nobody() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let mut browser = site.browser();
    let user = UserInfo { id: cluster.guest("ada").await, name: "ada".into(), guest: true };
    let now_s = clock::wall_ms() / 1_000;
    let expired = site.tokens.issue_at(&user, ANY_LOGIN, now_s - (ACCESS_FOR + LEEWAY).as_secs() - 5).unwrap().access;
    let forged = Tokens::new([&[42; 32][..]]).unwrap().issue(&user, ANY_LOGIN).unwrap().access;
    let good = site.tokens.issue(&user, ANY_LOGIN).unwrap();
    let (_, claims_and_signature) = good.access.split_once('.').unwrap();
    let unsigned = format!("{}.{claims_and_signature}", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#));
    for bad in [expired, forged, unsigned, good.refresh, "garbage".into(), String::new()] {
        browser.token = Some(bad);
        browser.get(ME).await.problem(401, "unauthenticated");
        browser.post(MATCHES, &json!({ "mode": "practice" })).await.problem(401, "unauthenticated");
    }
    browser.token = None;
    browser.get(ME).await.problem(401, "unauthenticated");
    let basic = site.browser().saying("authorization", "Basic YTpi");
    basic.get(ME).await.problem(401, "unauthenticated");
    browser.token = Some(good.access);
    assert_eq!(browser.get(ME).await.status, 200, "what failed before must have failed for the token");
}

#[tokio::test]
async fn every_bad_body_is_a_problem() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let browser = site.browser();
    const JSON: Option<(&str, &str)> = Some(("content-type", "application/json"));
    let send = async |kind, body: Vec<u8>| browser.send_with(Method::POST, GUEST, kind, Body::from(body)).await;

    let good = br#"{"username": "ada"}"#.to_vec();
    send(None, good.clone()).await.problem(415, "invalid_input");
    send(Some(("content-type", "text/plain")), good.clone()).await.problem(415, "invalid_input");
    let charset = Some(("content-type", "Application/JSON; charset=utf-8"));
    assert_eq!(send(charset, good.clone()).await.status, 201);
    for bad in [&b""[..], b"{", b"[]", b"\"ada\"", b"{\"username\": \"\xff\xfe\"}", &b"[".repeat(10_000)] {
        send(JSON, bad.to_vec()).await.problem(400, "invalid_input");
    }
    // Too large, said before and not said.
    send(JSON, vec![b' '; 17 * 1024]).await.problem(413, "payload_too_large");
    let pieces = (0..40).map(|_| Ok::<_, std::io::Error>(Frame::data(bytes::Bytes::from_static(&[b' '; 1024]))));
    let chunked = Body::new(StreamBody::new(futures_util::stream::iter(pieces)));
    browser.send_with(Method::POST, GUEST, JSON, chunked).await.problem(413, "payload_too_large");
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let browser = site.browser();
    for path in
        ["/api", "/api/", "/api/v1", "/api/v1/nothing", "/api/v2/users/me", "/nothing.js", "/api/v1/auth/guest/"]
    {
        browser.get(path).await.problem(404, "not_found");
    }
    for (method, path) in [
        (Method::GET, GUEST),
        (Method::DELETE, MATCHES),
        (Method::POST, ME),
        (Method::POST, "/ws"),
        (Method::from_bytes(b"BREW").unwrap(), ME),
    ] {
        let answer = browser.send(method.clone(), path, Body::empty()).await;
        answer.problem(405, "method_not_allowed");
        assert!(answer.headers.contains_key("allow"), "{method} {path}");
    }
}

#[tokio::test]
async fn a_match_against_the_bot_is_hosted() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let mut worker = worker_of(&cluster, &site).await;
    let mut browser = site.browser();
    let ada = browser.sign_in("ada").await;
    let body = json!({ "mode": "practice", "level": "hard", "skill": "dash", "classic": true });
    let (spec, answer) = create(&browser, &mut worker, body, Ok(())).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.json(), json!({ "match": spec.id, "mode": "practice" }));
    let left = SeatSpec::User { id: id(&ada["user"]["id"]), name: "ada".into(), guest: true, skill: Skill::Dash };
    let seats = [left, SeatSpec::Bot { level: Level::Hard }];
    assert_eq!(spec, MatchSpec { id: spec.id, mode: Mode::Practice, classic: true, private: false, seats });
    // What is not said.
    let (spec, _) = create(&browser, &mut worker, json!({ "mode": "practice" }), Ok(())).await;
    assert!(matches!(&spec.seats[0], SeatSpec::User { skill: Skill::Smash, .. }) && !spec.classic);
    assert_eq!(spec.seats[1], SeatSpec::Bot { level: Level::Normal });
}

#[tokio::test]
async fn local_and_private_matches_are_hosted() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let mut worker = worker_of(&cluster, &site).await;
    let mut browser = site.browser();
    browser.sign_in("ada").await;
    let (spec, answer) = create(&browser, &mut worker, json!({ "mode": "local" }), Ok(())).await;
    assert_eq!(answer.json(), json!({ "match": spec.id, "mode": "local" }));
    assert_eq!((spec.mode, spec.private), (Mode::Local, false));
    assert_eq!(spec.seats[0], spec.seats[1]);
    for mode in ["duel", "private"] {
        let (spec, answer) = create(&browser, &mut worker, json!({ "mode": mode, "classic": true }), Ok(())).await;
        assert_eq!(answer.json(), json!({ "match": spec.id, "mode": "duel" }));
        assert_eq!((spec.mode, spec.private, spec.classic), (Mode::Duel, true, true));
        assert_eq!(spec.seats[1], SeatSpec::Open);
    }
}

#[tokio::test]
async fn a_match_that_one_cannot_start_is_refused_by_field() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let mut browser = site.browser();
    browser.sign_in("ada").await;
    for mode in [json!("ranked"), json!("casual"), json!("tournament"), json!("Practice"), json!(5), json!(null)] {
        assert_eq!(browser.post(MATCHES, &json!({ "mode": mode })).await.fields(), ["mode"], "{mode}");
    }
    let wrong = json!({ "mode": "practice", "level": "impossible", "skill": "fly", "classic": 1 });
    assert_eq!(browser.post(MATCHES, &wrong).await.fields(), ["level", "skill", "classic"]);
}

#[tokio::test]
async fn one_match_at_a_time() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let mut worker = worker_of(&cluster, &site).await;
    let mut browser = site.browser();
    let ada = browser.sign_in("ada").await;
    let user = id(&ada["user"]["id"]);

    // The worker finds out: somebody was quicker.
    let body = json!({ "mode": "practice" });
    let (_, answer) = create(&browser, &mut worker, body.clone(), Err(ErrorCode::AlreadyInMatch)).await;
    assert_eq!(answer.problem(409, "already_in_match")["match"], Value::Null);

    let match_id = seat(&cluster.store, user).await;
    let problem = browser.post(MATCHES, &body).await.problem(409, "already_in_match");
    assert_eq!(problem["match"], match_id.to_string());
    assert_eq!(browser.get(ME).await.json()["match"], match_id.to_string());
}

#[tokio::test]
async fn who_waits_in_a_queue_does_not_start_a_match() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let _worker = worker_of(&cluster, &site).await;
    let mut browser = site.browser();
    let ada = browser.sign_in("ada").await;
    let ticket = Ticket {
        session: SessionId::from_bytes([1; 16]),
        user: id(&ada["user"]["id"]),
        name: "ada".into(),
        guest: true,
        mode: Mode::Casual,
        skill: Skill::Smash,
        rating: Ticket::RATING_OF_NEWCOMERS,
        edge: site.fabric.node(),
        edge_incarnation: Incarnation::from_bits(1),
    };
    assert_eq!(site.fabric.queue().join(&ticket).await.unwrap(), Joined::Joined);
    browser.post(MATCHES, &json!({ "mode": "practice" })).await.problem(409, "already_in_queue");
    assert_eq!(browser.get(ME).await.json()["queue"], "casual");
}

#[tokio::test]
async fn without_room_for_a_match_one_is_told_when_to_come_back() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let mut browser = site.browser();
    browser.sign_in("ada").await;
    let body = json!({ "mode": "practice" });
    browser.post(MATCHES, &body).await.problem(503, "at_capacity");
    let mut worker = worker_of(&cluster, &site).await;
    let (_, answer) = create(&browser, &mut worker, body, Err(ErrorCode::AtCapacity)).await;
    answer.problem(503, "at_capacity");
}

#[tokio::test]
async fn without_postgres_or_redis_one_is_told_so() {
    let mut cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let mut browser = site.browser();
    let ada = browser.sign_in("ada").await;

    let mut config = StoreConfig::new("postgres://nobody@127.0.0.1:1/none");
    config.acquire_timeout = std::time::Duration::from_millis(200);
    let store = std::mem::replace(&mut cluster.edge_store, Store::new(&config).unwrap());
    let blind = cluster.site(Bounds::default()).await;
    cluster.edge_store = store;
    let mut other = blind.browser();
    other.post(GUEST, &json!({ "username": "ada" })).await.problem(503, "unavailable");
    other.post(REFRESH, &json!({ "refresh_token": ada["refresh_token"] })).await.problem(503, "unavailable");
    other.token = browser.token.clone();
    other.get(ME).await.problem(503, "unavailable");
    other.post(MATCHES, &json!({ "mode": "local" })).await.problem(503, "unavailable");

    cluster.redis.stop().await;
    browser.get(ME).await.problem(503, "unavailable");
    browser.post(MATCHES, &json!({ "mode": "local" })).await.problem(503, "unavailable");
    assert_eq!(site.browser().post(GUEST, &json!({ "username": "bob" })).await.status, 201, "needs no Redis");
}

/// Where a test's log goes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_token_is_logged() {
    // This test's runtime runs everything in this thread. A subscriber for the thread alone would miss events that
    // other tests met first, without one; and those tests need not be logged.
    let here = thread::current().id();
    let log = Log::default();
    let writer = log.clone();
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .with_filter(dynamic_filter_fn(move |_, _| thread::current().id() == here));
    tracing_subscriber::registry().with(layer).init();
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let mut browser = site.browser();
    let ada = browser.sign_in("ada").await;
    let refresh_token = ada["refresh_token"].as_str().unwrap().to_owned();
    browser.get(ME).await;
    browser.post(REFRESH, &json!({ "refresh_token": refresh_token })).await;
    let access_token = browser.token.take().unwrap();
    browser.token = Some(format!("{access_token}x"));
    browser.get(ME).await.problem(401, "unauthenticated");

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("answered") && log.contains(ME), "the requests are logged");
    for token in [access_token, refresh_token] {
        for part in token.split('.').skip(1) {
            assert!(!log.contains(part), "a token is logged");
        }
    }
}
