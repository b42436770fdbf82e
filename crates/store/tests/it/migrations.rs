use rally_store::{MigrateError, SchemaError, Store, StoreConfig, schema_version_needed};
use rally_testkit::Postgres;

use crate::support::setup;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_migrate_at_once() {
    let db = Postgres::shared().await.fresh_database().await;
    let migrating: Vec<_> = (0..4)
        .map(|_| {
            let store = Store::new(&StoreConfig::new(db.url())).unwrap();
            tokio::spawn(async move { store.migrate().await })
        })
        .collect();
    for task in migrating {
        assert_eq!(task.await.unwrap().unwrap(), schema_version_needed());
    }
    let rows = db.connect().await.query("SELECT version FROM refinery_schema_history", &[]).await.unwrap();
    let files = std::fs::read_dir("../../migrations").unwrap().map(|file| file.unwrap().file_name());
    let files = files.filter(|name| name.to_string_lossy().starts_with('V')).count();
    assert_eq!(rows.len(), files, "each applied once");
}

#[tokio::test]
async fn an_older_schema_is_noticed() {
    let db = Postgres::shared().await.fresh_database().await;
    let store = Store::new(&StoreConfig::new(db.url())).unwrap();
    assert_eq!(store.schema_version().await.unwrap(), 0);
    let needed = schema_version_needed();
    assert!(needed > 0);
    let error = store.check_schema().await.unwrap_err();
    assert!(matches!(error, SchemaError::Older { found: 0, needed: n } if n == needed), "{error}");

    store.migrate().await.unwrap();
    store.check_schema().await.unwrap();
    assert_eq!(store.schema_version().await.unwrap(), needed);
    // Again, with nothing to do.
    assert_eq!(store.migrate().await.unwrap(), needed);
}

#[tokio::test]
async fn a_newer_schema_is_left_alone() {
    let t = setup().await;
    t.sql
        .batch_execute("INSERT INTO refinery_schema_history VALUES (9999, 'later', '2030-01-01T00:00:00Z', '1')")
        .await
        .unwrap();
    assert_eq!(t.store.migrate().await.unwrap(), 9999);
    t.store.check_schema().await.unwrap();
}

#[tokio::test]
async fn a_changed_migration_is_refused() {
    let t = setup().await;
    t.sql.batch_execute("UPDATE refinery_schema_history SET checksum = '1' WHERE version = 1").await.unwrap();
    let error = t.store.migrate().await.unwrap_err();
    assert!(matches!(error, MigrateError::Failed(_)), "{error}");
    // The lock is free again.
    t.sql.batch_execute("SET lock_timeout = '5s'").await.unwrap();
    let key = i64::from_be_bytes(*b"\0\0rally\x01");
    t.sql.execute("SELECT pg_advisory_lock($1)", &[&key]).await.unwrap();
}
