use rally_store::{CreateUserError, StoreErrorKind, UserKind};
use rally_units::UserId;
use uuid::Uuid;

use crate::support::{Fixture, setup};

async fn add_account(t: &Fixture, name: &str) {
    t.sql
        .execute("INSERT INTO users (id, kind, name) VALUES ($1, 'account', $2)", &[&Uuid::now_v7(), &name])
        .await
        .unwrap();
}

#[tokio::test]
async fn guests_share_names_but_not_with_accounts() {
    let t = setup().await;
    let first = t.store.create_guest("Ada").await.unwrap();
    let second = t.store.create_guest("Ada").await.unwrap();
    assert!(first.id < second.id, "ids rise");
    assert_eq!((first.kind, first.name.as_str(), first.rating.rating), (UserKind::Guest, "Ada", 1500.0));
    assert_eq!(t.store.user(first.id).await.unwrap(), Some(first));

    add_account(&t, "Grace").await;
    for name in ["Grace", "grace", "GRACE"] {
        let error = t.store.create_guest(name).await.unwrap_err();
        assert!(matches!(error, CreateUserError::UsernameTaken), "{error}");
    }
    t.store.create_guest("Grace_").await.unwrap();
    assert_eq!(t.count("users").await, 4);
}

#[tokio::test]
async fn nobody_is_somebody() {
    let t = setup().await;
    assert_eq!(t.store.user(UserId::from_uuid(Uuid::now_v7())).await.unwrap(), None);
}

#[tokio::test]
async fn names_are_data() {
    let t = setup().await;
    for name in ["'; DROP TABLE users; --", "$1", "%s\\", "a' OR 'a'='a", "名前 \u{1f3d3}"] {
        let user = t.store.create_guest(name).await.unwrap();
        assert_eq!(user.name, name);
        assert_eq!(t.store.user(user.id).await.unwrap().unwrap().name, name);
    }
    assert_eq!(t.count("users").await, 5);
}

#[tokio::test]
async fn impossible_names_are_refused_not_unavailable() {
    let t = setup().await;
    for name in ["", "nul\0", &"x".repeat(65)] {
        match t.store.create_guest(name).await {
            Err(CreateUserError::Store(error)) => assert_eq!(error.kind, StoreErrorKind::Refused, "{error}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(t.count("users").await, 0);
}
