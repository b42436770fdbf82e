//! No token, key or password of a run stands in its logs, however much they say.

use rally_client::{
    Api, Encoding, NewMatch,
    protocol::{EventKind, Forfeit, JoinAs, Level, Skill},
};

use crate::support::{LONG, Player, Raw, Site, http::post};

const REDIS_PASSWORD: &str = "rds-7Kq2vXw9LmT4";
const POSTGRES_PASSWORD: &str = "pgs-3Zb8nYc6HdR5";

#[tokio::test]
async fn logs_hold_no_secret() {
    let mut site = Site::start().await;
    site.redis.cli(&["CONFIG", "SET", "requirepass", REDIS_PASSWORD]).await;
    site.redis_url = site.redis_url.replace("redis://", &format!("redis://:{REDIS_PASSWORD}@"));
    let database_url = site.db.url().replace("rally@", &format!("rally:{POSTGRES_PASSWORD}@"));
    let all = [("RALLY_LOG", "trace"), ("RALLY_DATABASE_URL", &*database_url)];
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
