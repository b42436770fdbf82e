//! No token, key, password or code of a run stands in its logs, nor what people say to each other, however much the logs
//! say.

use rally_client::{
    Api, Encoding, NewMatch,
    protocol::{EventKind, Forfeit, JoinAs, Level, Skill},
};

use serde_json::{Value, json};

use crate::support::{LONG, Player, Raw, Site, http::post, unique};

const REDIS_PASSWORD: &str = "rds-7Kq2vXw9LmT4";
const POSTGRES_PASSWORD: &str = "pgs-3Zb8nYc6HdR5";
const PASSWORD: &str = "seven grey owls in a barn";
const WRONG_PASSWORD: &str = "eight grey owls in a barn";
const NEXT_PASSWORD: &str = "nine white owls on a roof";
const WORDS: &str = "between the two of us alone";

#[tokio::test]
async fn logs_hold_no_secret() {
    let mut site = Site::start().await;
    site.redis.cli(&["CONFIG", "SET", "requirepass", REDIS_PASSWORD]).await;
    let redis_url = site.redis.url().replace("redis://", &format!("redis://:{REDIS_PASSWORD}@"));
    let database_url = site.db.url().replace("rally@", &format!("rally:{POSTGRES_PASSWORD}@"));
    let all = [("RALLY_LOG", "trace"), ("RALLY_REDIS_URL", &*redis_url), ("RALLY_DATABASE_URL", &*database_url)];
    let (mut edge, mut worker) = tokio::join!(site.edge("edge-1", &all), site.worker("worker-1", &all));

    let mut player = Player::at(edge.url(), Encoding::Json).await;
    let tokens = player.identity.tokens.clone();
    let refreshed = Api::new(edge.url()).refresh(&tokens.refresh).await.unwrap();
    let wanted = NewMatch::Practice { level: Level::Hard, skill: Skill::Smash, classic: false };
    let match_id = Api::new(edge.url()).create_match(&tokens.access, &wanted).await.unwrap();
    player.join(match_id, JoinAs::Player).await;
    player.ready(match_id);
    player.event(EventKind::Go).await;
    player.send(Forfeit { match_id });
    player.over().await;
    // What is refused is looked at most closely.
    let mut raw = Raw::connect(edge.port).await;
    raw.hello(&tokens.refresh).await;
    raw.closed().await;
    let bearer = format!("Bearer {}x", tokens.access);
    let refused = post([127, 0, 0, 1], edge.port, "/api/v1/matches", &[("authorization", &bearer)], "{}").await;
    assert_eq!(refused.status, 401);
    // What people type: passwords, codes, and what they say to each other.
    let name = unique("ada");
    let ask = async |path: &str, token: &str, body: Value| {
        let bearer = format!("Bearer {token}");
        let headers: &[(&str, &str)] = if token.is_empty() { &[] } else { &[("authorization", &bearer)] };
        post([127, 0, 0, 1], edge.port, &format!("/api/v1{path}"), headers, &body.to_string()).await
    };
    let made = ask("/auth/register", "", json!({ "username": name, "password": PASSWORD })).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    let text = |answer: &Value, field: &str| answer[field].as_str().unwrap().to_owned();
    let (access, refresh, code) =
        (text(&made, "access_token"), text(&made, "refresh_token"), text(&made, "recovery_code"));
    assert_eq!(ask("/auth/login", "", json!({ "username": name, "password": WRONG_PASSWORD })).await.status, 401);
    let enrolled = ask("/auth/totp/enrol", &access, json!({ "password": PASSWORD })).await;
    let totp = text(&enrolled.json(), "secret");
    let recovered = json!({ "username": name, "recovery_code": code, "new_password": NEXT_PASSWORD });
    let recovered = ask("/auth/recover", "", recovered).await;
    assert_eq!(recovered.status, 200, "{recovered:?}");
    let next_code = text(&recovered.json(), "recovery_code");
    let access = text(&recovered.json(), "access_token");
    let mut talks = Raw::open(edge.port, &access).await;
    talks.say(json!({ "type": "channel_join", "channel": format!("direct:{}", player.identity.user.id) })).await;
    talks.until("channel_joined").await;
    let channel = format!("direct:{}", player.identity.user.id);
    talks.say(json!({ "type": "chat_send", "channel": channel, "text": WORDS, "nonce": "1" })).await;
    talks.until("chat_message").await;
    let report = json!({ "user": player.identity.user.id, "reason": "other", "text": WORDS });
    assert_eq!(ask("/reports", &access, report).await.status, 201);
    // And what fails: with Redis and Postgres gone, errors are told with their chain.
    site.redis.stop().await;
    let _ = Api::new(edge.url()).create_match(&refreshed.access, &wanted).await;
    edge.terminate();
    worker.terminate();
    tokio::join!(edge.ended(LONG), worker.ended(LONG));

    let secrets = [
        ("access token", tokens.access.as_str()),
        ("refresh token", &tokens.refresh),
        ("refreshed access token", &refreshed.access),
        ("access token of an account", &access),
        ("refresh token of an account", &refresh),
        ("password", PASSWORD),
        ("wrong password", WRONG_PASSWORD),
        ("next password", NEXT_PASSWORD),
        ("recovery code", &code),
        ("next recovery code", &next_code),
        ("second factor", &totp),
        ("what two say to each other", WORDS),
        ("cluster key", &site.cluster_key),
        ("signing key", &site.signing_key),
        ("password of Redis", REDIS_PASSWORD),
        ("password of Postgres", POSTGRES_PASSWORD),
    ];
    for log in [&edge.log, &worker.log] {
        let text = std::fs::read_to_string(log).unwrap();
        assert!(text.lines().count() > 20, "a log that says something: {text}");
        for line in text.lines() {
            assert!(serde_json::from_str::<serde_json::Value>(line).is_ok_and(|line| line.is_object()), "{line}");
        }
        for (what, secret) in secrets {
            // Tokens are known by their last part, the signature.
            let secret = secret.rsplit('.').next().unwrap();
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{what} in {}", log.display());
        }
    }
}
