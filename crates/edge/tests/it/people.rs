//! Profiles, pictures, history and leaderboards over HTTP, and who may ask for what.

use std::collections::BTreeMap;

use axum::body::Body;
use http::Method;
use rally_edge::api::{Access, table};
use rally_store::{MatchResult, Mode, NewMatch, Owner, PlayerStats, Score, Seat, Side};
use rally_units::{Epoch, Incarnation, MatchId, NodeId, SubStep, UserId};
use serde_json::{Value, json};

use crate::support::{
    Cluster, new_match,
    site::{Bounds, Browser, Site},
};

const ME: &str = "/api/v1/users/me";
const AVATAR: &str = "/api/v1/users/me/avatar";
const GOOD: &str = "correct horse battery staple";

async fn account(site: &Site, name: &str) -> (Browser, UserId) {
    let mut browser = site.browser();
    let answer = browser.post("/api/v1/auth/register", &json!({ "username": name, "password": GOOD })).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let made = answer.json();
    browser.token = made["access_token"].as_str().map(str::to_owned);
    (browser, made["user"]["id"].as_str().unwrap().parse().unwrap())
}

async fn patch(browser: &Browser, body: Value) -> crate::support::site::Answer {
    let json = Some(("content-type", "application/json"));
    browser.send_with(Method::PATCH, ME, json, Body::from(body.to_string())).await
}

/// A finished match that the left one has won.
async fn played(cluster: &Cluster, mode: Mode, left: UserId, right: UserId) -> MatchId {
    let id = new_match();
    let new = NewMatch {
        id,
        mode,
        classic: false,
        private: false,
        score_to_win: 3,
        seed: u64::MAX,
        rules_version: 1,
        seats: [Seat::Player(left), Seat::Player(right)],
        owner: Owner { node: NodeId::from_bits(1), incarnation: Incarnation::from_bits(1) },
    };
    assert_eq!(cluster.store.create_matches(&[new]).await.unwrap(), [Ok(Epoch(1))]);
    let result = MatchResult {
        match_id: id,
        score: Score { left: 3, right: 1 },
        winner: Some(Side::Left),
        reason: rally_store::EndReason::Score,
        started_at: None,
        ended_at: "2026-11-23T10:00:00Z".parse().unwrap(),
        duration: SubStep(240 * 90),
        players: [PlayerStats { paddle_hits: 7, ..PlayerStats::default() }, PlayerStats::default()],
        events: vec![rally_store::MatchEvent {
            n: 4,
            clock: SubStep(480),
            kind: rally_store::EventKind::Goal,
            data: json!({ "scorer": "left", "y": 12.5 }),
        }],
        replay: vec![rally_store::ReplaySegment {
            seed: u64::MAX,
            rules_version: 1,
            input_log: vec![1, 2, 3],
            hashes: vec![(rally_units::Tick(60), u64::MAX)],
        }],
    };
    cluster.store.finish(&result, Epoch(1)).await.unwrap();
    id
}

#[tokio::test]
async fn a_profile_is_shown_and_changed() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let (ada, id) = account(&site, "Ada").await;
    let (_grace, _) = account(&site, "Grace").await;
    let me = ada.get(ME).await.json();
    assert_eq!(me["settings"], json!({ "language": "en", "friend_requests": "all", "read_receipts": true }));
    assert_eq!((&me["user"]["rating"], &me["user"]["avatar"]), (&json!(1500.0), &Value::Null));
    let changed = patch(&ada, json!({ "username": "Ada_1815", "language": "fr", "friend_requests": "none" })).await;
    assert_eq!(changed.status, 200);
    let changed = changed.json();
    assert_eq!((&changed["user"]["name"], &changed["settings"]["language"]), (&json!("Ada_1815"), &json!("fr")));
    patch(&ada, json!({ "username": "gRACE" })).await.problem(409, "username_taken");
    let wrong = json!({ "username": "a b", "language": "French", "friend_requests": "some" });
    assert_eq!(patch(&ada, wrong).await.fields(), ["username", "language", "friend_requests"]);

    let mut guest = site.browser();
    guest.sign_in("visitor").await;
    let seen = guest.get(&format!("/api/v1/users/{id}")).await.json();
    assert_eq!((&seen["name"], seen.get("settings")), (&json!("Ada_1815"), None), "settings are nobody else's affair");
    for nobody in ["nonsense", "00000000-0000-0000-0000-000000000000", "'%20OR%201=1"] {
        guest.get(&format!("/api/v1/users/{nobody}")).await.problem(404, "not_found");
    }
    let found = guest.get("/api/v1/users?search=ADA_").await.json();
    assert_eq!(found["items"][0]["id"], seen["id"]);
    assert_eq!(guest.get("/api/v1/users?search=visitor").await.json()["items"], json!([]), "guests are not found");
    assert_eq!(guest.get("/api/v1/users?search=%25").await.fields(), ["search"]);
    assert_eq!(guest.get("/api/v1/users?limit=0").await.fields(), ["search", "limit"]);
}

#[tokio::test]
async fn a_picture_is_drawn_anew() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let (ada, id) = account(&site, "Ada").await;
    let mut upload = std::io::Cursor::new(Vec::new());
    image::DynamicImage::new_rgb8(640, 480).write_to(&mut upload, image::ImageFormat::Jpeg).unwrap();
    let upload = upload.into_inner();
    let put = async |kind: &str, bytes: &[u8]| {
        ada.send_with(Method::PUT, AVATAR, Some(("content-type", kind)), Body::from(bytes.to_vec())).await
    };
    let anonymous = site.browser();
    let path = format!("/api/v1/users/{id}/avatar");
    anonymous.get(&path).await.problem(404, "not_found");
    assert_eq!(put("image/jpeg", &upload).await.status, 204);
    let shown = anonymous.get(&path).await;
    assert_eq!((shown.status.as_u16(), shown.header("content-type")), (200, Some("image/png")));
    assert_eq!(shown.header("x-content-type-options"), Some("nosniff"));
    let drawn = image::load_from_memory_with_format(&shown.body, image::ImageFormat::Png).unwrap();
    assert_eq!((drawn.width(), drawn.height()), (256, 256));
    let said = ada.get(ME).await.json()["user"]["avatar"].as_str().unwrap().to_owned();
    assert_eq!(anonymous.get(&said).await.body, shown.body);

    put("image/png", &upload).await.problem(400, "invalid_input");
    put("image/svg+xml", b"<svg onload=alert(1)>").await.problem(415, "invalid_input");
    put("image/png", &vec![0; 513 * 1024]).await.problem(413, "payload_too_large");
    assert_eq!(anonymous.get(&path).await.body, shown.body, "what is refused changes nothing");
    assert_eq!(ada.send(Method::DELETE, AVATAR, Body::empty()).await.status, 204);
    anonymous.get(&path).await.problem(404, "not_found");
}

#[tokio::test]
async fn history_is_read_page_by_page() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let ((ada, a), (_, b)) = (account(&site, "Ada").await, account(&site, "Grace").await);
    let first = played(&cluster, Mode::Ranked, a, b).await;
    for _ in 0..3 {
        played(&cluster, Mode::Casual, b, a).await;
    }
    let mut seen = 0;
    let mut path = format!("/api/v1/users/{a}/matches?mode=casual&limit=2");
    loop {
        let page = ada.get(&path).await.json();
        seen += page["items"].as_array().unwrap().len();
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/users/{a}/matches?mode=casual&limit=2&cursor={next}");
    }
    assert_eq!(seen, 3);
    assert_eq!(ada.get("/api/v1/matches?sort=longest").await.json()["items"].as_array().unwrap().len(), 4);
    let wrong = "/api/v1/matches?mode=chess&sort=best&limit=1000&cursor=zz";
    assert_eq!(ada.get(wrong).await.fields(), ["mode", "sort", "limit", "cursor"]);

    let one = ada.get(&format!("/api/v1/matches/{first}")).await.json();
    assert_eq!((&one["score"], &one["winner"], &one["mode"]), (&json!([3, 1]), &json!("left"), &json!("ranked")));
    assert_eq!(one["players"][0], json!({ "user": a, "name": "Ada", "bot": null }));
    assert_eq!((&one["duration_s"], &one["has_replay"]), (&json!(90.0), &json!(true)));
    assert_eq!((&one["statistics"][0]["side"], &one["statistics"][0]["paddle_hits"]), (&json!("left"), &json!(7)));
    let events = ada.get(&format!("/api/v1/matches/{first}/events")).await.json();
    let goal = json!({ "n": 4, "at_s": 2.0, "event": "goal", "data": { "scorer": "left", "y": 12.5 } });
    assert_eq!(events, json!({ "items": [goal], "next_n": null }));
    assert_eq!(ada.get(&format!("/api/v1/matches/{first}/events?from=5")).await.json()["items"], json!([]));
    let replay = ada.get(&format!("/api/v1/matches/{first}/replay")).await.json();
    let segment = json!({ "seed": u64::MAX.to_string(), "rules_version": 1, "input_log": "AQID",
        "hashes": [[60, u64::MAX.to_string()]] });
    assert_eq!(replay, json!({ "match": first, "segments": [segment] }));
    for what in ["", "/events", "/replay"] {
        ada.get(&format!("/api/v1/matches/{}{what}", new_match())).await.problem(404, "not_found");
        ada.get(&format!("/api/v1/matches/nonsense{what}")).await.problem(404, "not_found");
    }

    let stats = ada.get(&format!("/api/v1/users/{a}/stats")).await.json();
    assert_eq!((&stats["matches"], &stats["wins"], &stats["losses"]), (&json!(4), &json!(1), &json!(3)));
    assert_eq!((&stats["rank"], &stats["play_s"]), (&json!(1), &json!(360.0)));
    assert_eq!(stats["rating_curve"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn leaderboards_rank_and_stats_count() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let ((ada, a), (_, b)) = (account(&site, "Ada").await, account(&site, "Grace").await);
    played(&cluster, Mode::Ranked, a, b).await;
    let page = ada.get("/api/v1/leaderboard?limit=1").await.json();
    assert_eq!((&page["items"][0]["id"], &page["items"][0]["rank"]), (&json!(a), &json!(1)));
    assert_eq!(page["own_rank"], 1);
    let next = format!("/api/v1/leaderboard?limit=1&cursor={}", page["next"].as_str().unwrap());
    let page = site.browser().get(&next).await.json();
    assert_eq!((&page["items"][0]["id"], &page["items"][0]["rank"]), (&json!(b), &json!(2)));
    assert_eq!(page["own_rank"], Value::Null);
    let page = site.browser().get("/api/v1/leaderboard?by=wins").await.json();
    assert_eq!((page["items"].as_array().unwrap().len(), &page["items"][0]["wins"]), (1, &json!(1)));
    assert_eq!(ada.get("/api/v1/leaderboard?by=luck").await.fields(), ["by"]);

    // Of friends, and around one: for those who are somebody.
    for scope in ["friends", "around"] {
        let path = format!("/api/v1/leaderboard?scope={scope}");
        site.browser().get(&path).await.problem(401, "unauthenticated");
        let page = ada.get(&path).await.json();
        let ids: Vec<&Value> = page["items"].as_array().unwrap().iter().map(|row| &row["id"]).collect();
        let everybody = [json!(a), json!(b)];
        assert_eq!(ids, everybody.iter().take(if scope == "friends" { 1 } else { 2 }).collect::<Vec<_>>());
        assert_eq!((&page["items"][0]["rank"], &page["own_rank"]), (&json!(1), &json!(1)));
    }
    assert_eq!(ada.get("/api/v1/leaderboard?scope=all").await.fields(), ["scope"]);

    let stats = site.browser().get("/api/v1/stats").await.json();
    assert_eq!((&stats["players"], &stats["live_matches"]), (&json!(2), &json!(0)));
    // All edges share one answer for a second.
    account(&site, "Edith").await;
    let elsewhere = cluster.site(Bounds::default()).await;
    rally_testkit::eventually(crate::support::LONG, async || {
        elsewhere.browser().get("/api/v1/stats").await.json()["players"] == 3
    })
    .await;
}

#[tokio::test]
async fn live_matches_are_listed_as_long_as_their_worker_lives() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let (ada, a) = account(&site, "Ada").await;
    let (one, two) = (cluster.worker("worker-1").await, cluster.worker("worker-2").await);
    let ids = [new_match(), new_match(), new_match()];
    let live = |id, viewers| rally_fabric::LiveMatch {
        id,
        mode: rally_protocol::client::v1::Mode::Casual,
        players: [(Some(a), "Ada"), (None, "Bot (hard)")]
            .map(|(user, name)| rally_fabric::LivePlayer { user, name: name.into() }),
        score: [3, 1],
        viewers,
    };
    let listed = async || {
        let page = ada.get("/api/v1/matches?state=live").await.json();
        page["items"].as_array().unwrap().iter().map(|row| row["id"].clone()).collect::<Vec<_>>()
    };
    // Each worker says so again and again; here they do when asked.
    rally_testkit::eventually(crate::support::LONG, async || {
        // On a busy machine Redis may answer too late.
        one.fabric.live().tell(vec![live(ids[0], 2), live(ids[1], 0)]).await.is_ok()
            && two.fabric.live().tell(vec![live(ids[2], 7)]).await.is_ok()
            && listed().await == [json!(ids[2]), json!(ids[0]), json!(ids[1])]
    })
    .await;
    two.fabric.live().tell(vec![live(ids[2], 7)]).await.ok();
    let page = ada.get("/api/v1/matches?state=live").await.json();
    assert_eq!(
        page["items"][0],
        json!({ "id": ids[2], "mode": "casual", "score": [3, 1], "viewers": 7,
            "players": [{ "user": a, "name": "Ada" }, { "user": null, "name": "Bot (hard)" }] })
    );
    drop(two);
    rally_testkit::eventually(crate::support::LONG, async || {
        one.fabric.live().tell(vec![live(ids[0], 2)]).await.is_ok() && listed().await == [json!(ids[0])]
    })
    .await;
    assert_eq!(ada.get("/api/v1/matches?state=over").await.fields(), ["state"]);
}

#[tokio::test]
async fn who_wants_to_be_forgotten_is() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let ((ada, a), (grace, b)) = (account(&site, "Ada").await, account(&site, "Grace").await);
    let id = played(&cluster, Mode::Ranked, a, b).await;
    assert_eq!(ada.post("/api/v1/friends/requests", &json!({ "user": b })).await.status, 201);
    let said =
        rally_store::NewMessage { user: a, nonce: "n".into(), text: "hello".into(), mentions: Vec::new(), edits: None };
    cluster.store.append_messages("global", &[said]).await.unwrap();
    let export = ada.get("/api/v1/users/me/export").await;
    assert!(export.header("content-disposition").unwrap().starts_with("attachment"));
    let file = export.json();
    assert_eq!((&file["me"]["user"]["name"], &file["matches"][0]["id"]), (&json!("Ada"), &json!(id)));
    assert!(!export.text().contains("argon2"));
    assert_eq!(
        (&file["friends"][0]["user"]["name"], &file["friends"][0]["direction"]),
        (&json!("Grace"), &json!("outgoing"))
    );
    assert_eq!((&file["messages"][0]["text"], &file["messages"][0]["channel"]), (&json!("hello"), &json!("global")));
    for kept in ["email", "identities", "sessions", "blocks", "statistics"] {
        assert!(file.get(kept).is_some(), "{kept}");
    }

    let json_type = || Some(("content-type", "application/json"));
    let delete = async |body: Value| ada.send_with(Method::DELETE, ME, json_type(), Body::from(body.to_string())).await;
    assert_eq!(delete(json!({})).await.fields(), ["password"]);
    delete(json!({ "password": "six blue lamps on a boat" })).await.problem(401, "unauthenticated");
    assert_eq!(delete(json!({ "password": GOOD })).await.status, 204);
    ada.get(ME).await.problem(401, "unauthenticated");
    grace.get(&format!("/api/v1/users/{a}")).await.problem(404, "not_found");
    assert_eq!(grace.get(&format!("/api/v1/matches/{id}")).await.json()["players"][0]["name"], "deleted");
    account(&site, "Ada").await;
    let mut guest = site.browser();
    guest.sign_in("visitor").await;
    let gone = guest.send_with(Method::DELETE, ME, json_type(), Body::from("{}")).await;
    assert_eq!(gone.status, 204);
}

/// What each route answers to somebody of this role who sends nothing useful. Whoever adds a route says it here.
fn expected(method: &Method, path: &str) -> Option<[u16; 3]> {
    // Nobody, a guest, an account.
    const OPEN: [u16; 3] = [400, 400, 400];
    const SIGNED: [u16; 3] = [401, 200, 200];
    const BODY: [u16; 3] = [401, 400, 400];
    const NOT_THERE: [u16; 3] = [401, 404, 404];
    const FORBIDDEN: [u16; 3] = [401, 400, 400];
    let routes = BTreeMap::from([
        ("POST /auth/guest", OPEN),
        ("POST /auth/register", OPEN),
        ("POST /auth/login", OPEN),
        ("POST /auth/refresh", [401, 401, 401]),
        ("POST /auth/recover", OPEN),
        ("POST /auth/logout", [401, 204, 204]),
        ("GET /auth/sessions", SIGNED),
        ("DELETE /auth/sessions/{id}", NOT_THERE),
        ("POST /auth/password", FORBIDDEN),
        ("POST /auth/totp/enrol", FORBIDDEN),
        ("POST /auth/totp/confirm", FORBIDDEN),
        ("POST /auth/totp/disable", FORBIDDEN),
        ("POST /auth/forgot", OPEN),
        ("PUT /auth/email", FORBIDDEN),
        ("POST /auth/email/confirm", FORBIDDEN),
        ("GET /auth/oauth", [200, 200, 200]),
        ("POST /auth/oauth/confirm", OPEN),
        ("DELETE /auth/oauth/{provider}", [401, 403, 400]),
        ("GET /users/me/account", [401, 403, 200]),
        ("GET /auth/oauth/{provider}/start", [404, 404, 404]),
        ("POST /auth/oauth/{provider}/start", [404, 404, 404]),
        ("GET /auth/oauth/{provider}/callback", OPEN),
        ("GET /users", BODY),
        ("GET /users/me", SIGNED),
        ("PATCH /users/me", SIGNED),
        ("DELETE /users/me", [401, 204, 400]),
        ("GET /users/me/export", SIGNED),
        ("PUT /users/me/avatar", [401, 415, 415]),
        ("DELETE /users/me/avatar", [401, 204, 204]),
        ("GET /users/{id}", NOT_THERE),
        ("GET /users/{id}/avatar", [404, 404, 404]),
        ("GET /users/{id}/stats", NOT_THERE),
        ("GET /users/{id}/matches", NOT_THERE),
        ("GET /matches", SIGNED),
        ("POST /matches", BODY),
        ("GET /matches/{id}", NOT_THERE),
        ("GET /matches/{id}/events", NOT_THERE),
        ("GET /matches/{id}/replay", NOT_THERE),
        // There is no worker that could look whether it has one.
        ("POST /matches/{id}/replay", [401, 503, 503]),
        ("GET /friends", SIGNED),
        ("POST /friends", BODY),
        ("DELETE /friends/{id}", NOT_THERE),
        ("GET /friends/requests", SIGNED),
        ("POST /friends/requests", BODY),
        ("DELETE /friends/requests/{id}", NOT_THERE),
        ("GET /blocks", SIGNED),
        ("POST /blocks", BODY),
        ("DELETE /blocks/{id}", NOT_THERE),
        ("GET /channels", SIGNED),
        ("GET /channels/{name}/messages", NOT_THERE),
        ("GET /messages", BODY),
        ("POST /channels", BODY),
        ("GET /channels/{name}", NOT_THERE),
        ("PATCH /channels/{name}", NOT_THERE),
        ("DELETE /channels/{name}", NOT_THERE),
        ("POST /channels/{name}/join", NOT_THERE),
        ("POST /channels/{name}/leave", NOT_THERE),
        ("POST /channels/{name}/invitations", BODY),
        ("DELETE /channels/{name}/invitations/{id}", NOT_THERE),
        ("PATCH /channels/{name}/members/{id}", NOT_THERE),
        ("DELETE /channels/{name}/members/{id}", NOT_THERE),
        ("GET /channels/{name}/bans", NOT_THERE),
        ("PUT /channels/{name}/bans/{id}", NOT_THERE),
        ("DELETE /channels/{name}/bans/{id}", NOT_THERE),
        ("GET /notifications", SIGNED),
        ("POST /notifications/read", BODY),
        ("POST /reports", BODY),
        ("GET /leaderboard", [200, 200, 200]),
        ("GET /stats", [200, 200, 200]),
        ("GET /openapi.json", [200, 200, 200]),
    ]);
    routes.get(format!("{method} {path}").as_str()).copied()
}

#[tokio::test]
async fn every_route_answers_each_role_as_the_table_says() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    for (n, (method, path, access, _)) in table().into_iter().enumerate() {
        let expected = expected(&method, path).unwrap_or_else(|| panic!("{method} {path} is not in the table"));
        // Whoever is asked for is somebody else, who is not there.
        let group = format!("group:{}", new_match());
        let asked = format!("/api/v1{}", path.replace("{id}", &new_match().to_string()).replace("{name}", &group));
        let mut guest = site.browser();
        guest.sign_in("visitor").await;
        let (account, _) = account(&site, &format!("user_{n}")).await;
        for (browser, expected) in [&site.browser(), &guest, &account].into_iter().zip(expected) {
            let json = (path != "/users/me/avatar").then_some(("content-type", "application/json"));
            let answer = browser.send_with(method.clone(), &asked, json, Body::from("{}")).await;
            assert_eq!(answer.status.as_u16(), expected, "{method} {path}: {}", answer.text());
        }
        assert_eq!(access == Access::Anybody, expected[0] != 401 || path == "/auth/refresh", "{method} {path}");
    }
    // What is for accounts is refused to guests whose request is sound.
    let mut guest = site.browser();
    guest.sign_in("visitor").await;
    let sound = json!({ "password": GOOD, "new_password": "six blue lamps on a boat", "code": "000000",
        "email": "ada@rally.test" });
    for (method, path, access, _) in table() {
        if access == Access::Account {
            let json = Some(("content-type", "application/json"));
            let body = Body::from(sound.to_string());
            guest.send_with(method, &format!("/api/v1{path}"), json, body).await.problem(403, "forbidden");
        }
    }
}
