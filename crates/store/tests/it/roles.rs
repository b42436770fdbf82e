//! What the roles of nodes may not do. What they may is shown by the tests of edges and workers, which run as them.

use rally_store::{Store, StoreConfig};
use tokio_postgres::{Client, NoTls, error::SqlState};

use crate::support::{Fixture, duel, setup};

async fn as_role(t: &Fixture, role: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(&t.db.url_as(role), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn refused(client: &Client, statements: &[&str]) {
    for sql in statements {
        let error = client.batch_execute(sql).await.expect_err(sql);
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{sql}: {error:?}");
    }
}

const NOBODY_MAY: [&str; 6] = [
    "DROP TABLE users",
    "TRUNCATE matches CASCADE",
    "DELETE FROM matches",
    "UPDATE refinery_schema_history SET version = 1",
    "CREATE ROLE somebody",
    "ALTER TABLE matches DISABLE TRIGGER ALL",
];

#[tokio::test]
async fn an_edge_decides_no_match() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    t.create(duel(a, b)).await;
    let edge = as_role(&t, "rally_edge").await;
    refused(&edge, &NOBODY_MAY).await;
    refused(
        &edge,
        &[
            "UPDATE matches SET epoch = epoch + 1",
            "UPDATE matches SET score_left = 11",
            "UPDATE users SET rating = 3000",
            "INSERT INTO users (id, kind, name, rating) VALUES (gen_random_uuid(), 'guest', 'x', 3000)",
            "DELETE FROM users",
            "DELETE FROM active_seats",
            "DELETE FROM replays",
            "INSERT INTO active_seats SELECT id, gen_random_uuid() FROM users",
            "UPDATE match_player_stats SET paddle_hits = 1",
            "UPDATE player_totals SET wins = 1000",
            "SELECT * FROM outbox",
            "UPDATE reports SET closed_at = now()",
        ],
    )
    .await;
    edge.batch_execute("SELECT * FROM matches, users, active_seats").await.unwrap();
}

#[tokio::test]
async fn a_worker_knows_nothing_of_accounts_and_talk() {
    let t = setup().await;
    let worker = as_role(&t, "rally_worker").await;
    refused(&worker, &NOBODY_MAY).await;
    refused(
        &worker,
        &[
            "SELECT password_hash FROM accounts",
            "SELECT totp_secret FROM accounts",
            "SELECT * FROM logins",
            "SELECT * FROM identities",
            "SELECT * FROM account_codes",
            "SELECT body FROM channel_messages",
            "SELECT nonce FROM channel_messages",
            "SELECT code_hash FROM account_codes",
            "DELETE FROM accounts",
            "UPDATE users SET name = 'x'",
            "UPDATE users SET kind = 'account'",
            "INSERT INTO users (id, kind, name) VALUES (gen_random_uuid(), 'guest', 'x')",
            "UPDATE match_events SET data = '{}'",
            "UPDATE replays SET seed = 1",
            "DELETE FROM match_player_stats",
        ],
    )
    .await;
}

#[tokio::test]
async fn backups_and_the_exporter_change_nothing() {
    let t = setup().await;
    let (backup, exporter) = (as_role(&t, "rally_backup").await, as_role(&t, "rally_exporter").await);
    for role in [&backup, &exporter] {
        refused(role, &NOBODY_MAY).await;
        refused(role, &["INSERT INTO users (id, kind, name) VALUES (gen_random_uuid(), 'guest', 'x')"]).await;
    }
    backup
        .batch_execute("SELECT * FROM accounts; SELECT * FROM outbox; SELECT last_value FROM outbox_id_seq")
        .await
        .unwrap();
    refused(&exporter, &["SELECT * FROM users", "SELECT * FROM matches"]).await;
    exporter.batch_execute("SELECT query FROM pg_stat_activity; SELECT * FROM pg_stat_database").await.unwrap();
}

/// Every table is somebody's: one that is new is granted, or its name is here.
#[tokio::test]
async fn no_table_has_been_forgotten() {
    let t = setup().await;
    let none = "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
        AND NOT has_any_column_privilege('rally_edge', c.oid, 'SELECT')
        AND NOT has_any_column_privilege('rally_worker', c.oid, 'SELECT')";
    let rows = t.sql.query(none, &[]).await.unwrap();
    let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert!(names.is_empty(), "{names:?}");
}

#[tokio::test]
async fn grants_are_given_anew_with_each_migration_and_taken_away() {
    let t = setup().await;
    t.sql.batch_execute("GRANT ALL ON matches TO rally_edge; REVOKE ALL ON matches FROM rally_worker").await.unwrap();
    let worker = Store::new(&StoreConfig::new(t.db.url_as("rally_worker"))).unwrap();
    worker.live_owners().await.expect_err("nothing is granted");
    t.store.migrate().await.unwrap();
    worker.live_owners().await.unwrap();
    refused(&as_role(&t, "rally_edge").await, &["DELETE FROM matches"]).await;
    // Who owns nothing cannot migrate either.
    worker.migrate().await.expect_err("not the owner");
}
