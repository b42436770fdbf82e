//! The private servers of a development cluster.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rally_service::local::{
    Guarded, LocalError, LocalPostgres, LocalRedis, PostgresOptions, RedisOptions, ScratchDir, Signal, Spec,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn scratch() -> ScratchDir {
    ScratchDir::new("local").unwrap()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What a private Postgres answers to a query of one text column.
async fn query(postgres: &LocalPostgres, sql: &str) -> Result<String, String> {
    query_at(postgres.url().expose_secret(), sql).await
}

async fn query_at(url: &str, sql: &str) -> Result<String, String> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.map_err(|e| e.to_string())?;
    tokio::spawn(connection);
    let rows = client.simple_query(sql).await.map_err(|e| e.to_string())?;
    let text = rows.iter().find_map(|r| match r {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    Ok(text.unwrap_or_default())
}

/// Sends inline commands to a Redis; gives all it answers until it closes.
async fn redis_says(redis: &LocalRedis, commands: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", redis.port())).await.unwrap();
    stream.write_all(format!("{commands}QUIT\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn postgres_keeps_its_data_and_its_password() {
    let dir = scratch();
    let mut options = PostgresOptions::new(dir.path().join("pg"));
    options.password = Some(SecretString::from("correct horse"));
    let postgres = LocalPostgres::start(&options).await.unwrap();
    query(&postgres, "CREATE TABLE t (n int); INSERT INTO t VALUES (5)").await.unwrap();
    assert_eq!(query(&postgres, "SHOW fsync").await.unwrap(), "on");
    let without = format!("postgres://rally@127.0.0.1:{}/rally", postgres.port());
    assert!(query_at(&without, "SELECT 1").await.is_err(), "asks for the password");
    let location = postgres.location().to_owned();
    postgres.stop().await;
    let log = fs::read_to_string(location.join("postgres.log")).unwrap();
    assert!(!log.contains("correct horse") && !location.join("password.new").exists());

    let again = LocalPostgres::start(&options).await.unwrap();
    assert_eq!(query(&again, "SELECT n FROM t").await.unwrap(), "5");
    again.kill().await;
    let recovered = LocalPostgres::start(&options).await.unwrap();
    assert_eq!(query(&recovered, "SELECT n FROM t").await.unwrap(), "5");
}

#[tokio::test]
async fn data_of_another_major_version_is_a_clear_error() {
    let dir = scratch();
    let mut options = PostgresOptions::new(dir.path().join("pg"));
    options.durable = false;
    let postgres = LocalPostgres::start(&options).await.unwrap();
    let version = postgres.location().join("data/PG_VERSION");
    postgres.stop().await;
    fs::write(&version, "9\n").unwrap();
    let e = LocalPostgres::start(&options).await.unwrap_err();
    assert!(matches!(e, LocalError::OtherVersion { .. }), "{e}");
    assert!(e.to_string().contains("holds data of Postgres 9, but installed is "), "{e}");
}

#[tokio::test]
async fn an_interrupted_initialisation_is_begun_again() {
    let dir = scratch();
    let mut options = PostgresOptions::new(dir.path().join("pg"));
    options.durable = false;
    let first = LocalPostgres::start(&options).await.unwrap();
    let home = first.location().to_owned();
    first.stop().await;
    // As if the first start had been killed before its last step.
    fs::rename(home.join("data"), home.join("data.new")).unwrap();
    let again = LocalPostgres::start(&options).await.unwrap();
    assert_eq!(query(&again, "SELECT 'fresh'").await.unwrap(), "fresh");
}

#[tokio::test]
async fn as_root_the_files_lie_where_the_servers_user_can_enter() {
    if !is_root() {
        // A plain user runs everything as himself: there is no elsewhere.
        return;
    }
    let dir = scratch();
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let mut options = PostgresOptions::new(closed.join("pg"));
    options.durable = false;
    let postgres = LocalPostgres::start(&options).await.unwrap();
    let location = postgres.location().to_owned();
    let _removed = Removed(location.clone());
    assert!(location.starts_with("/var/tmp"), "{}", location.display());
    let told = fs::read_to_string(closed.join("pg/postgres.location")).unwrap();
    assert_eq!(Path::new(told.trim()), location);
    let meta = fs::metadata(&location).unwrap();
    assert!(meta.uid() != 0 && meta.permissions().mode() & 0o077 == 0);
    query(&postgres, "CREATE TABLE t (n int); INSERT INTO t VALUES (6)").await.unwrap();
    postgres.stop().await;
    let again = LocalPostgres::start(&options).await.unwrap();
    assert_eq!(again.location(), location);
    assert_eq!(query(&again, "SELECT n FROM t").await.unwrap(), "6");
    again.stop().await;

    // Anybody may make names in /var/tmp: a folder there that is not ours is not used.
    fs::remove_dir_all(&location).unwrap();
    fs::create_dir(&location).unwrap();
    let e = LocalPostgres::start(&options).await.unwrap_err();
    assert!(matches!(e, LocalError::NotOurs { .. }), "{e}");
}

struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn redis_keeps_its_data_where_asked_and_its_password() {
    let dir = scratch();
    let mut options = RedisOptions::new(dir.path().join("redis"));
    options.keeps_data = true;
    options.password = Some(SecretString::from("correct \"horse\""));
    let redis = LocalRedis::start(&options).await.unwrap();
    assert!(redis_says(&redis, "GET k\r\n").await.starts_with("-NOAUTH"));
    let login = "AUTH \"correct \\\"horse\\\"\"\r\n";
    assert!(redis_says(&redis, &format!("{login}SET k v\r\n")).await.starts_with("+OK\r\n+OK\r\n"));
    redis.stop().await;
    assert_eq!(fs::metadata(options.dir.join("redis.conf")).unwrap().permissions().mode() & 0o077, 0);

    let again = LocalRedis::start(&options).await.unwrap();
    assert_eq!(redis_says(&again, &format!("{login}GET k\r\n")).await, "+OK\r\n$1\r\nv\r\n+OK\r\n");
}

#[tokio::test]
async fn a_port_that_was_asked_for_and_is_taken_is_an_error() {
    let dir = scratch();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = RedisOptions::new(dir.path().join("redis"));
    options.port = Some(taken.local_addr().unwrap().port());
    let e = LocalRedis::start(&options).await.unwrap_err().to_string();
    assert!(e.contains("redis-server failed") && e.contains("Address already in use"), "{e}");
}

#[tokio::test]
async fn another_server_on_the_port_is_not_mistaken_for_ours() {
    let dir = scratch();
    let first = LocalRedis::start(&RedisOptions::new(dir.path().join("a"))).await.unwrap();
    let mut options = RedisOptions::new(dir.path().join("b"));
    options.port = Some(first.port());
    assert!(LocalRedis::start(&options).await.is_err());
}

#[tokio::test]
async fn a_successor_waits_for_the_files() {
    let dir = scratch();
    let options = RedisOptions::new(dir.path().join("redis"));
    let first = LocalRedis::start(&options).await.unwrap();
    let waiting = tokio::spawn({
        let options = options.clone();
        async move { LocalRedis::start(&options).await }
    });
    // It cannot have come up while the first one has the files.
    for _ in 0..20 {
        tokio::task::yield_now().await;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        assert!(!waiting.is_finished());
    }
    first.stop().await;
    assert!(waiting.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_guarded_program_has_its_arguments_variables_and_status() {
    let dir = scratch();
    let log = dir.path().join("out");
    let script = r#"echo "$1 $GREETING $(pwd)"; read -r line; echo "stdin: [$line]"; exit 7"#;
    let spec = Spec::new("/bin/sh")
        .args(["-c", script, "sh", "an argument"])
        .var("GREETING", "hello")
        .cwd("/")
        .output(fs::File::create(&log).unwrap());
    let mut child = Guarded::spawn(spec).unwrap();
    let status = loop {
        match child.exit() {
            Some(status) => break status,
            None => tokio::time::sleep(std::time::Duration::from_millis(2)).await,
        }
    };
    assert_eq!(status.code(), Some(7));
    // The guard's pipe is not the program's to read.
    assert_eq!(fs::read_to_string(&log).unwrap(), "an argument hello /\nstdin: []\n");
}

#[tokio::test]
async fn a_program_that_ignores_the_gentle_signal_is_killed() {
    let dir = scratch();
    let log = dir.path().join("out");
    let spec = Spec::new("/bin/sh")
        .args(["-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"])
        .output(fs::File::create(&log).unwrap());
    let mut child = Guarded::spawn(spec).unwrap();
    while fs::read_to_string(&log).unwrap() != "ready\n" {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    child.end(Signal::TERM, std::time::Duration::from_millis(100)).await;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.exit().unwrap()), Some(9));
}
