//! A database that answers and cannot be used: nodes say so, and wait for it.

use rally_client::{
    Api, ApiError, Encoding, NewMatch,
    protocol::{JoinAs, Level, Skill},
};
use rally_testkit::{Postgres, eventually, eventually_ok};
use rally_units::NodeId;

use crate::support::{
    LONG, Player, Site,
    http::{get, metric},
    process::{run, said, vars},
};

#[tokio::test]
async fn a_database_that_becomes_read_only_is_reported_and_ends_nobody() {
    let site = Site::start().await;
    let (edge, worker) = tokio::join!(site.edge("edge-1", &[]), site.worker("worker-1", &[]));
    let mut player = Player::at(edge.url(), Encoding::Msgpack).await;
    let api = Api::new(edge.url());
    let wanted = NewMatch::Practice { level: Level::Easy, skill: Skill::Smash, classic: true };
    // The edge learns of a new worker within moments.
    let hosted = eventually_ok(LONG, || api.create_match(&player.identity.tokens.access, &wanted)).await;
    // As when its disk is almost full, or it has become a standby.
    let sql = site.db.connect().await;
    let set = async |to: &str| {
        let name = site.db.name();
        let now = format!(
            "ALTER DATABASE \"{name}\" SET default_transaction_read_only = {to};
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
        );
        sql.batch_execute(&now).await.unwrap();
    };
    let say = async |wanted: &str| {
        for node in [&edge, &worker] {
            eventually_ok(LONG, async || {
                let answer = get(node.admin, "/readyz").await.unwrap();
                if answer.status == 200 && answer.body.trim() == wanted { Ok(()) } else { Err(answer.body) }
            })
            .await;
        }
    };
    say("ready").await;
    set("on").await;
    say("ready, without: postgres").await;
    assert_eq!(metric(edge.admin, "rally_degraded", &[]).await, 1.0);
    player.join(hosted, JoinAs::Player).await;
    let refused = api.sign_in_as_guest("late").await.unwrap_err();
    assert!(matches!(&refused, ApiError::Refused(problem) if problem.status == 503), "{refused:?}");

    set("off").await;
    say("ready").await;
    api.sign_in_as_guest("late").await.unwrap();
}

#[tokio::test]
async fn a_node_whose_schema_does_not_fit_does_not_join() {
    let site = Site::start().await;
    let empty = Postgres::shared().await.fresh_database().await;
    let redis = site.redis.url_as("rally-worker");
    let worker = site.refused(&[("RALLY_DATABASE_URL", empty.url()), ("RALLY_REDIS_URL", &redis)]);
    let log = || std::fs::read_to_string(&worker.path).unwrap_or_default();
    eventually(LONG, async || log().contains("run `rally migrate`")).await;
    // An edge has been taken in meanwhile, so that there was time enough.
    let _edge = site.edge("edge-1", &[]).await;
    let lease = |name: &str| rally_protocol::names::lease(NodeId::of_name(name));
    assert_eq!(site.redis.cli(&["EXISTS", &lease("edge-1")]).await, "1");
    assert_eq!(site.redis.cli(&["EXISTS", &lease("waiting")]).await, "0");
    let migrated = run(&["migrate"], &vars([("RALLY_DATABASE_URL", empty.url())]));
    assert!(migrated.status.success(), "{}", said(&migrated));
    eventually(LONG, async || site.redis.cli(&["EXISTS", &lease("waiting")]).await == "1").await;
}
