use std::{
    error::Error as _,
    time::{Duration, Instant},
};

use metrics_exporter_prometheus::PrometheusBuilder;
use rally_store::{CreateUserError, FenceError, FinishError, Score, Store, StoreConfig, StoreError, User};
use rally_testkit::{Postgres, Proxy, Way, eventually, eventually_ok};
use rally_units::Epoch;

use crate::support::{duel, impatient, left_wins, setup};

/// Fails as unavailable, and within the bounds of `impatient`, with room for a busy machine.
async fn assert_unavailable<T: std::fmt::Debug>(call: impl Future<Output = Result<T, StoreError>>) {
    let started = Instant::now();
    let error = call.await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

fn is_unavailable(made: Result<User, CreateUserError>) -> bool {
    matches!(made, Err(CreateUserError::Store(error)) if error.is_unavailable())
}

#[tokio::test]
async fn the_server_need_not_be_up() {
    let mut postgres = Postgres::start().await;
    let db = postgres.fresh_database().await;
    postgres.stop().await;

    let store = Store::new(&StoreConfig::new(db.url())).unwrap();
    for _ in 0..3 {
        assert_unavailable(store.ping()).await;
    }
    assert_unavailable(store.schema_version()).await;
    let error = store.migrate().await.unwrap_err();
    assert!(matches!(&error, rally_store::MigrateError::Store(error) if error.is_unavailable()), "{error:?}");

    postgres.restart().await;
    store.migrate().await.unwrap();
    store.check_schema().await.unwrap();
}

#[tokio::test]
async fn a_restart_of_the_server_is_survived() {
    let mut postgres = Postgres::start().await;
    let db = postgres.fresh_database().await;
    let store = Store::new(&StoreConfig::new(db.url())).unwrap();
    store.migrate().await.unwrap();
    let (a, b) = (store.create_guest("a").await.unwrap().id, store.create_guest("b").await.unwrap().id);
    let new = duel(a, b);
    store.create_matches(std::slice::from_ref(&new)).await.unwrap()[0].unwrap();
    // Several connections, all of which will be dead.
    let (one, two, three) = tokio::join!(store.user(a), store.user(b), store.ping());
    assert!(one.is_ok() && two.is_ok() && three.is_ok());

    postgres.stop().await;
    for _ in 0..5 {
        assert_unavailable(store.user(a)).await;
    }
    let started = Instant::now();
    match store.finish(&left_wins(new.id), Epoch(1)).await {
        Err(FinishError::Store(error)) => assert!(error.is_unavailable()),
        other => panic!("{other:?}"),
    }
    assert!(started.elapsed() < Duration::from_secs(5));

    postgres.restart().await;
    let within = Duration::from_secs(10);
    eventually_ok(within, || store.record_goal(new.id, Epoch(1), Score { left: 1, right: 0 })).await;
    store.finish(&left_wins(new.id), Epoch(1)).await.unwrap();
}

/// A link that swallows everything: no socket tells, only the store's own bounds.
#[tokio::test]
async fn a_silent_link_is_given_up() {
    let t = setup().await;
    let [a] = t.guests().await;
    let proxy = Proxy::start(Postgres::shared().await.port()).await;
    let store = Store::new(&impatient(&proxy.url(t.db.url()))).unwrap();
    store.user(a).await.unwrap();

    proxy.cut(Way::Both);
    // First on the connection that exists, then on ones that cannot be made.
    for _ in 0..3 {
        assert_unavailable(store.user(a)).await;
    }
    proxy.heal();
    // The silent connection was not kept: the next call has a new one.
    store.user(a).await.unwrap();

    proxy.drop_connections();
    proxy.refuse(true);
    eventually(Duration::from_secs(5), || async { store.ping().await.is_err() }).await;
    proxy.heal();
    store.user(a).await.unwrap();
}

/// An answer may be lost after the server has acted; repeating the call finds out.
#[tokio::test]
async fn a_lost_answer_is_asked_for_again() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    let proxy = Proxy::start(Postgres::shared().await.port()).await;
    let store = Store::new(&impatient(&proxy.url(t.db.url()))).unwrap();
    let new = [duel(a, b)];
    store.create_matches(&new).await.unwrap()[0].unwrap();
    let id = new[0].id;
    store.record_goal(id, Epoch(1), Score { left: 1, right: 0 }).await.unwrap();

    proxy.cut(Way::ToClient);
    let error = store.record_goal(id, Epoch(1), Score { left: 2, right: 0 }).await.unwrap_err();
    assert!(matches!(&error, FenceError::Store(error) if error.is_unavailable()), "{error}");
    let score = t.sql.query_one("SELECT score_left FROM matches", &[]).await.unwrap().get::<_, i32>(0);
    assert_eq!(score, 2, "the server acted");
    proxy.heal();
    store.record_goal(id, Epoch(1), Score { left: 2, right: 0 }).await.unwrap();
}

#[tokio::test]
async fn a_busy_pool_and_a_held_lock_have_bounds() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    let id = t.create(duel(a, b)).await;
    // The one that waits for a connection gives up long before the one that has it.
    let (acquire_timeout, operation_timeout) = (Duration::from_millis(500), Duration::from_secs(4));
    let config = StoreConfig { pool_max: 1, acquire_timeout, operation_timeout, ..StoreConfig::new(t.db.url()) };
    let store = Store::new(&config).unwrap();
    store.ping().await.unwrap();

    t.sql.batch_execute("BEGIN; SELECT FROM matches FOR UPDATE").await.unwrap();
    let blocked = tokio::spawn({
        let store = store.clone();
        async move { store.record_goal(id, Epoch(1), Score { left: 1, right: 0 }).await }
    });
    t.until_one_waits_for_a_lock().await;
    // The only connection is in use.
    assert_unavailable(store.ping()).await;
    let error = blocked.await.unwrap().unwrap_err();
    assert!(matches!(&error, FenceError::Store(error) if error.is_unavailable()), "{error}");

    t.sql.batch_execute("COMMIT").await.unwrap();
    store.record_goal(id, Epoch(1), Score { left: 1, right: 0 }).await.unwrap();
}

#[tokio::test]
async fn a_database_that_can_only_be_read_is_none_to_work_with() {
    let t = setup().await;
    let only_reads = |on: &str| format!("ALTER DATABASE \"{}\" SET default_transaction_read_only = {on}", t.db.name());
    t.sql.batch_execute(&only_reads("on")).await.unwrap();
    // As its connections are from now on.
    let store = Store::new(&StoreConfig::new(t.db.url())).unwrap();
    let error = store.ping().await.unwrap_err();
    assert!(error.is_unavailable() && error.source().unwrap().to_string().contains("read-only"), "{error:?}");
    assert!(is_unavailable(store.create_guest("a").await));
    store.schema_version().await.unwrap();

    t.sql.batch_execute(&only_reads("off")).await.unwrap();
    let store = Store::new(&StoreConfig::new(t.db.url())).unwrap();
    store.ping().await.unwrap();
    store.create_guest("a").await.unwrap();
}

/// The server says so when a file cannot grow; here a trigger says it.
#[tokio::test]
async fn a_full_disk_is_told_of_for_a_while() {
    let t = setup().await;
    t.sql
        .batch_execute(
            "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
             CREATE TRIGGER no_room BEFORE INSERT ON users EXECUTE FUNCTION no_room()",
        )
        .await
        .unwrap();
    let disk_full_for = Duration::from_secs(1);
    let store = Store::new(&StoreConfig { disk_full_for, ..StoreConfig::new(t.db.url()) }).unwrap();
    store.ping().await.unwrap();
    assert!(is_unavailable(store.create_guest("a").await));
    let error = store.ping().await.unwrap_err();
    eventually(Duration::from_secs(10), || async { store.ping().await.is_ok() }).await;
    assert!(error.is_unavailable() && error.source().unwrap().to_string().contains("disk is full"), "{error:?}");
}

#[tokio::test]
async fn connections_that_nobody_uses_are_closed() {
    let t = setup().await;
    let idle_timeout = Duration::from_millis(400);
    let mut url = t.db.url().to_owned();
    url.push_str(if url.contains('?') { "&" } else { "?" });
    url.push_str("application_name=idle");
    let store = Store::new(&StoreConfig { idle_timeout, ..StoreConfig::new(url) }).unwrap();
    let count = async || -> i64 {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'idle'";
        t.sql.query_one(sql, &[]).await.unwrap().get(0)
    };
    let (one, two, three) = tokio::join!(store.ping(), store.ping(), store.ping());
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    assert_eq!(count().await, 3);
    // The one that is in use all the time stays.
    eventually(Duration::from_secs(10), || async {
        store.ping().await.unwrap();
        count().await == 1
    })
    .await;
    eventually(Duration::from_secs(10), || async { count().await == 0 }).await;
    store.ping().await.unwrap();
}

/// Whoever drops a call in the middle of its transaction leaves no lock and no half-used connection behind.
#[tokio::test]
async fn a_dropped_call_leaves_nothing_behind() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    let id = t.create(duel(a, b)).await;
    let store = Store::new(&StoreConfig { pool_max: 1, ..StoreConfig::new(t.db.url()) }).unwrap();
    store.ping().await.unwrap();

    // The result's transaction holds the match's row and waits for a user's.
    t.sql.batch_execute("BEGIN; SELECT FROM users FOR UPDATE").await.unwrap();
    let finishing = tokio::spawn({
        let store = store.clone();
        async move { store.finish(&left_wins(id), Epoch(1)).await }
    });
    t.until_one_waits_for_a_lock().await;
    finishing.abort();
    assert!(finishing.await.unwrap_err().is_cancelled());
    t.sql.batch_execute("COMMIT").await.unwrap();

    let finished = store.finish(&left_wins(id), Epoch(1)).await.unwrap();
    assert_eq!(t.store.recorded_result(id).await.unwrap(), Some(finished));
    assert_eq!(t.count("outbox").await, 1);
}

#[test]
fn secrets_stay_out_of_sight() {
    let config = StoreConfig::new("postgres://rally:hunter2@localhost/rally");
    assert!(!format!("{config:?}").contains("hunter2"));
    let bad = StoreConfig::new("postgres://rally:hunter2@localhost:port/rally");
    let error = Store::new(&bad).err().unwrap();
    assert!(!format!("{error:?} {error}").contains("hunter2"));
    assert!(Store::new(&StoreConfig { pool_max: 0, ..config }).is_err());
}

#[tokio::test]
async fn operations_are_measured() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let t = setup().await;
    let [a, b] = t.guests().await;
    let id = t.create(duel(a, b)).await;
    t.store.finish(&left_wins(id), Epoch(2)).await.unwrap_err();
    t.store.create_guest(&"x".repeat(100)).await.unwrap_err();

    let text = metrics.render();
    for line in [
        r#"rally_store_query_seconds_count{operation="create_guest"} 3"#,
        r#"rally_store_query_seconds_count{operation="finish"} 1"#,
        r#"rally_store_errors_total{operation="finish",kind="fenced"} 1"#,
        r#"rally_store_errors_total{operation="create_guest",kind="refused"} 1"#,
        "rally_store_pool_connections 1",
        "rally_store_pool_connections_max 8",
        "rally_store_pool_waiting 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} not in\n{text}");
    }
}
