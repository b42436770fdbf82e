//! Over TLS, and with whom nobody speaks.

use std::error::Error;

use rally_store::{ConfigError, Store, StoreConfig};
use rally_testkit::{Authority, Postgres};

fn url(postgres: &Postgres, host: &str, database: &str) -> String {
    format!("postgres://rally@{host}:{}/{database}?sslmode=verify-full", postgres.port())
}

fn trusting(authority: &Authority, url: &str) -> Store {
    Store::new(&StoreConfig { tls: Some(authority.client(None)), ..StoreConfig::new(url) }).unwrap()
}

/// An error and all its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

#[tokio::test]
async fn everything_goes_over_tls() {
    let authority = Authority::new("ours");
    let postgres = Postgres::start_with_tls(&authority.certify(&["localhost"])).await;
    let db = postgres.fresh_database().await;
    let store = trusting(&authority, &url(&postgres, "localhost", db.name()));
    store.migrate().await.unwrap();
    store.create_guest("ada").await.unwrap();
    let sql = db.connect().await;
    let count = "SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl)
        FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'rally'";
    let row = sql.query_one(count, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (1, 0));
}

#[tokio::test]
async fn whom_it_cannot_be_sure_of_it_does_not_speak_to() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("a stranger"));
    let postgres = Postgres::start_with_tls(&authority.certify(&["localhost"])).await;
    let error = trusting(&stranger, &url(&postgres, "localhost", "rally")).ping().await.unwrap_err();
    assert!(error.is_unavailable() && chain(&error).contains("UnknownIssuer"), "{}", chain(&error));
    // Right, and for another name.
    let error = trusting(&authority, &url(&postgres, "127.0.0.1", "rally")).migrate().await.unwrap_err();
    assert!(chain(&error).contains("not valid for name"), "{}", chain(&error));
    // Never plainly where TLS was asked for.
    let plain = Postgres::shared().await;
    let error = trusting(&authority, &url(plain, "localhost", "rally")).ping().await.unwrap_err();
    assert!(chain(&error).contains("does not support TLS"), "{}", chain(&error));
    let without = Store::new(&StoreConfig::new(url(&postgres, "localhost", "rally")));
    assert!(matches!(without.err(), Some(ConfigError::NoTls)));
}
