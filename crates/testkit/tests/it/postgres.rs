use rally_testkit::Postgres;

use crate::{folder_of, is_alive};

#[tokio::test]
async fn databases_of_the_shared_server_are_apart() {
    let postgres = Postgres::shared().await;
    let (a, b) = (postgres.fresh_database().await, postgres.fresh_database().await);
    assert_ne!(a.name(), b.name());
    a.connect().await.batch_execute("CREATE TABLE t (n int)").await.unwrap();
    let missing = b.connect().await.query("SELECT n FROM t", &[]).await.unwrap_err();
    assert_eq!(missing.code().map(tokio_postgres::error::SqlState::code), Some("42P01"));
}

#[tokio::test]
async fn a_copy_has_the_tables_of_its_template() {
    let postgres = Postgres::shared().await;
    let template = postgres.fresh_database().await;
    {
        let client = template.connect().await;
        client.batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (7)").await.unwrap();
    }
    // The server ends our session a moment after we did.
    let client = postgres.fresh_database().await.connect().await;
    rally_testkit::eventually(std::time::Duration::from_secs(10), || async {
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1";
        client.query_one(sessions, &[&template.name()]).await.unwrap().get::<_, i64>(0) == 0
    })
    .await;
    let copy = postgres.copy_of(&template).await;
    let n: i32 = copy.connect().await.query_one("SELECT n FROM t", &[]).await.unwrap().get(0);
    assert_eq!(n, 7);
}

#[tokio::test]
async fn a_restarted_postgres_has_its_port_and_its_data() {
    let mut postgres = Postgres::start().await;
    let (port, database) = (postgres.port(), postgres.fresh_database().await);
    database.connect().await.batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (1)").await.unwrap();
    postgres.stop().await;
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err());
    postgres.restart().await;
    assert_eq!(postgres.port(), port);
    let n: i32 = database.connect().await.query_one("SELECT n FROM t", &[]).await.unwrap().get(0);
    assert_eq!(n, 1);
    let (pid, folder) = (postgres.pid(), folder_of(postgres.pid()));
    drop(postgres);
    assert!(!is_alive(pid));
    assert!(!folder.exists());
}
