//! Nodes whose Redis and Postgres are reached over TLS, and what operators are told where that fails.

use rally_client::{
    Api, Encoding, NewMatch,
    protocol::{EventKind, Forfeit, JoinAs, Level, Skill},
};
use rally_testkit::{Authority, Postgres, Redis, eventually, eventually_ok};

use crate::support::{
    LONG, Player, Site,
    process::{run, said, vars},
};

#[tokio::test]
async fn a_match_is_played_over_tls() {
    let authority = Authority::new("ours");
    let here = authority.certify(&["localhost"]);
    let (redis, postgres) =
        tokio::join!(Redis::start_with_tls(&authority, &here, &[]), Postgres::start_with_tls(&here));
    let db = postgres.fresh_database().await;
    let url = format!("postgres://rally@localhost:{}/{}?sslmode=verify-full", postgres.port(), db.name());
    let redis_url = format!("rediss://localhost:{}", redis.tls_port());
    let ca = authority.file().display().to_string();
    let tls = [
        ("RALLY_REDIS_URL", &*redis_url),
        ("RALLY_DATABASE_URL", &*url),
        ("RALLY_REDIS_CA_FILE", &*ca),
        ("RALLY_DATABASE_CA_FILE", &*ca),
    ];
    let migrated = run(&["migrate"], &vars([("RALLY_DATABASE_URL", &*url), ("RALLY_DATABASE_CA_FILE", &*ca)]));
    assert!(migrated.status.success(), "{}", said(&migrated));
    let site = Site::start().await;
    let (edge, worker) = tokio::join!(site.edge("edge-1", &tls), site.worker("worker-1", &tls));

    let mut player = Player::at(edge.url(), Encoding::Json).await;
    let wanted = NewMatch::Practice { level: Level::Hard, skill: Skill::Smash, classic: false };
    // An edge that has only just come does not know the worker at once.
    let (api, token) = (Api::new(edge.url()), player.identity.tokens.access.clone());
    let match_id = eventually_ok(LONG, || api.create_match(&token, &wanted)).await;
    player.join(match_id, JoinAs::Player).await;
    player.ready(match_id);
    player.event(EventKind::Go).await;
    player.send(Forfeit { match_id });
    player.over().await;

    // Neither server has spoken plainly to anybody but this test.
    let sql = db.connect().await;
    let plain = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE application_name = 'rally' AND NOT ssl";
    assert_eq!(sql.query_one(plain, &[]).await.unwrap().get::<_, i64>(0), 0);
    let clients = redis.cli(&["CLIENT", "LIST"]).await;
    let plainly = clients.lines().filter(|line| !line.contains(&format!("laddr=127.0.0.1:{} ", redis.tls_port())));
    assert_eq!(plainly.count(), 1, "{clients}");
    let operator = run(&["cluster"], &vars([("RALLY_REDIS_URL", &*redis_url), ("RALLY_REDIS_CA_FILE", &*ca)]));
    assert!(said(&operator).contains("worker-1"), "{}", said(&operator));
    for log in [&edge.log, &worker.log] {
        let text = std::fs::read_to_string(log).unwrap();
        assert!(!text.contains("without TLS"), "{text}");
    }
}

#[tokio::test]
async fn who_cannot_be_trusted_is_told_with_what_to_do() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("a stranger"));
    let here = authority.certify(&["localhost"]);
    let (redis, postgres) =
        tokio::join!(Redis::start_with_tls(&authority, &here, &[]), Postgres::start_with_tls(&here));
    let (ours, theirs) = (authority.file().display().to_string(), stranger.file().display().to_string());
    let url = |host: &str| format!("postgres://rally@{host}:{}/rally?sslmode=require", postgres.port());
    let migrate = |url: &str, ca: &str| {
        let output = run(&["migrate"], &vars([("RALLY_DATABASE_URL", url), ("RALLY_DATABASE_CA_FILE", ca)]));
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        said(&output)
    };
    let unknown = migrate(&url("localhost"), &theirs);
    assert!(unknown.contains("UnknownIssuer") && unknown.contains("_CA_FILE"), "{unknown}");
    let other_name = migrate(&url("127.0.0.1"), &ours);
    assert!(other_name.contains("its certificate is for other names"), "{other_name}");

    let redis_url = format!("rediss://localhost:{}", redis.tls_port());
    let operator = run(&["cluster"], &vars([("RALLY_REDIS_URL", &redis_url), ("RALLY_REDIS_CA_FILE", &theirs)]));
    assert!(!operator.status.success() && said(&operator).contains("UnknownIssuer"), "{}", said(&operator));

    // A node waits, as for a server that is away, and says why.
    let site = Site::start().await;
    let log = site.refused(&[
        ("RALLY_REDIS_URL", &redis_url),
        ("RALLY_REDIS_CA_FILE", &theirs),
        ("RALLY_DATABASE_URL", &url("localhost")),
        ("RALLY_DATABASE_CA_FILE", &theirs),
    ]);
    let told = |start: &str| {
        let text = std::fs::read_to_string(&log.path).unwrap_or_default();
        text.lines().any(|line| line.contains(start) && line.contains("UnknownIssuer") && line.contains("_CA_FILE"))
    };
    eventually(LONG, async || told("a connection to Redis failed")).await;
    eventually(LONG, async || told("Postgres cannot be used")).await;
}

#[test]
fn what_cannot_be_meant_is_a_fault_of_the_configuration() {
    let node = |more: &[(&'static str, &str)]| {
        let key = crate::support::site::new_key();
        let mut all = vars([
            ("RALLY_REDIS_URL", "redis://127.0.0.1:1"),
            ("RALLY_DATABASE_URL", "postgres://rally@127.0.0.1:1/rally"),
            ("RALLY_CLUSTER_KEYS", &*key),
        ]);
        all.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        all.extend(vars(more.iter().copied()));
        let output = run(&["worker", "--check-config"], &all);
        (output.status.code(), said(&output))
    };
    let authority = Authority::new("ours");
    let (ca, cert) = (authority.file().display().to_string(), authority.certify(&["localhost"]));
    let (cert_file, key_file) = (cert.file().display().to_string(), cert.key_file().display().to_string());
    // Who names an authority believes to be protected.
    let (code, text) = node(&[("RALLY_REDIS_CA_FILE", &ca), ("RALLY_DATABASE_CA_FILE", &ca)]);
    assert_eq!(code, Some(78));
    assert_eq!(text.matches("is set, but the URL does not ask for TLS").count(), 2, "{text}");
    let (code, text) = node(&[("RALLY_DATABASE_URL", "postgres://rally@127.0.0.1:1/rally?sslmode=prefer")]);
    assert!(code == Some(78) && text.contains("none of disable, require and verify-full"), "{text}");
    let tls = ("RALLY_REDIS_URL", "rediss://127.0.0.1:1");
    let (code, text) = node(&[tls, ("RALLY_REDIS_CA_FILE", &key_file)]);
    assert!(code == Some(78) && text.contains("RALLY_REDIS_CA_FILE names a file that holds no certificate"), "{text}");
    let (code, text) = node(&[tls, ("RALLY_REDIS_CA_FILE", &ca), ("RALLY_REDIS_CERT_FILE", &cert_file)]);
    assert!(code == Some(78) && text.contains("RALLY_REDIS_KEY_FILE is not set"), "{text}");
    let other = authority.certify(&["elsewhere"]).key_file().display().to_string();
    let mixed =
        [tls, ("RALLY_REDIS_CERT_FILE", &*cert_file), ("RALLY_REDIS_KEY_FILE", &*other), ("RALLY_REDIS_CA_FILE", &*ca)];
    let (code, text) = node(&mixed);
    assert!(code == Some(1) && text.contains("cannot use TLS to Redis"), "{text}");
    let (code, text) = node(&[
        tls,
        ("RALLY_REDIS_CA_FILE", &ca),
        ("RALLY_REDIS_CERT_FILE", &cert_file),
        ("RALLY_REDIS_KEY_FILE", &key_file),
    ]);
    assert_eq!(code, Some(0), "{text}");
}

#[tokio::test]
async fn servers_elsewhere_that_are_reached_plainly_are_warned_of() {
    let site = Site::start().await;
    let log = site.refused(&[
        ("RALLY_REDIS_URL", "redis://redis.invalid:6379"),
        ("RALLY_DATABASE_URL", "postgres://rally@postgres.invalid/rally"),
    ]);
    for (server, host) in [("Redis", "redis.invalid"), ("Postgres", "postgres.invalid")] {
        let wanted = format!("{server} is reached without TLS");
        eventually(LONG, async || {
            let text = std::fs::read_to_string(&log.path).unwrap_or_default();
            text.lines().any(|line| line.contains(&wanted) && line.contains(host))
        })
        .await;
    }
}
