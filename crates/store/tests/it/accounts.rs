use std::time::Duration;

use rally_store::{CodeHash, Exchanged, Identity, LOGINS_MAX, NewAccount, RegisterError, Role, UserKind};
use rally_units::{LoginId, UserId};
use uuid::Uuid;

use crate::support::{Fixture, duel, left_wins, setup};

const DAY: Duration = Duration::from_secs(86_400);

fn new(name: &str) -> NewAccount<'_> {
    NewAccount { name, password_hash: "$argon2id$of a password", recovery_hash: [7; 32] }
}

async fn account(t: &Fixture, name: &str) -> UserId {
    t.store.register(&new(name), None).await.unwrap().id
}

#[tokio::test]
async fn an_account_has_its_name_alone() {
    let t = setup().await;
    let ada = t.store.register(&new("Ada"), None).await.unwrap();
    assert_eq!((ada.kind, ada.name.as_str()), (UserKind::Account, "Ada"));
    for name in ["Ada", "ada", "ADA"] {
        assert!(matches!(t.store.register(&new(name), None).await, Err(RegisterError::UsernameTaken)), "{name}");
    }
    let found = t.store.credentials("aDA").await.unwrap().unwrap();
    assert_eq!((found.user, found.role, found.totp_secret), (ada.clone(), Role::Player, None));
    assert_eq!(t.store.credentials_of(ada.id).await.unwrap().unwrap().password_hash, new("").password_hash);
    assert_eq!(t.store.credentials("grace").await.unwrap(), None);
    assert_eq!((t.count("users").await, t.count("accounts").await), (1, 1));
    assert!(t.store.set_role(ada.id, Role::Operator).await.unwrap());
    assert_eq!(t.store.credentials("ada").await.unwrap().unwrap().role, Role::Operator);
}

#[tokio::test]
async fn of_two_that_want_a_name_one_gets_it() {
    let t = setup().await;
    let tries = (0..8).map(|n| {
        let store = t.store.clone();
        tokio::spawn(async move { store.register(&new(if n % 2 == 0 { "Ada" } else { "aDa" }), None).await.is_ok() })
    });
    let mut made = 0;
    for one in tries.collect::<Vec<_>>() {
        made += usize::from(one.await.unwrap());
    }
    assert_eq!((made, t.count("users").await, t.count("accounts").await), (1, 1, 1));
}

#[tokio::test]
async fn a_guest_becomes_an_account_and_keeps_everything() {
    let t = setup().await;
    let [guest, other] = t.guests().await;
    let id = t.create(duel(guest, other)).await;
    let after = t.store.finish(&left_wins(id), rally_units::Epoch(1)).await.unwrap().ratings.unwrap()[0].after;
    let user = t.store.register(&new("Ada"), Some(guest)).await.unwrap();
    assert_eq!((user.id, user.kind, user.rating.rating), (guest, UserKind::Account, after));
    // Not twice, not somebody else's, and not one that does not exist.
    for nobody in [guest, UserId::from_uuid(Uuid::now_v7())] {
        assert!(matches!(t.store.register(&new("Eve"), Some(nobody)).await, Err(RegisterError::NotAGuest)));
    }
    // A name that is taken leaves the guest as it was.
    assert!(matches!(t.store.register(&new("ADA"), Some(other)).await, Err(RegisterError::UsernameTaken)));
    assert_eq!(t.store.user(other).await.unwrap().unwrap().kind, UserKind::Guest);
    assert_eq!(t.count("accounts").await, 1);
}

fn next(exchanged: Exchanged) -> u32 {
    match exchanged {
        Exchanged::Next { generation, .. } => generation,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_is_exchanged_once() {
    let t = setup().await;
    let ada = account(&t, "ada").await;
    let login = t.store.start_login(ada, "Firefox", DAY).await.unwrap();
    let other = t.store.start_login(ada, "Chrome", DAY).await.unwrap();
    assert_eq!(next(t.store.exchange(login, 1, DAY).await.unwrap()), 2);
    assert_eq!(next(t.store.exchange(login, 2, DAY).await.unwrap()), 3);
    // The first one again: it is in two hands, and the login ends for both.
    assert_eq!(t.store.exchange(login, 1, DAY).await.unwrap(), Exchanged::Reused(ada));
    assert_eq!(t.store.exchange(login, 3, DAY).await.unwrap(), Exchanged::Gone);
    // Other logins are not touched.
    assert_eq!(next(t.store.exchange(other, 1, DAY).await.unwrap()), 2);
    // A number that was never given says nothing, and ends nothing.
    assert_eq!(t.store.exchange(other, 9, DAY).await.unwrap(), Exchanged::Gone);
    assert_eq!(next(t.store.exchange(other, 2, DAY).await.unwrap()), 3);
    assert_eq!(t.store.exchange(LoginId::from_uuid(Uuid::now_v7()), 1, DAY).await.unwrap(), Exchanged::Gone);
}

#[tokio::test]
async fn of_many_exchanges_at_once_one_is_good() {
    let t = setup().await;
    let ada = account(&t, "ada").await;
    let login = t.store.start_login(ada, "", DAY).await.unwrap();
    let tries: Vec<_> = (0..8)
        .map(|_| {
            let store = t.store.clone();
            tokio::spawn(async move { store.exchange(login, 1, DAY).await.unwrap() })
        })
        .collect();
    let mut good = 0;
    for one in tries {
        good += usize::from(matches!(one.await.unwrap(), Exchanged::Next { .. }));
    }
    assert_eq!(good, 1);
    assert_eq!(t.store.exchange(login, 2, DAY).await.unwrap(), Exchanged::Gone, "the others have ended it");
}

#[tokio::test]
async fn logins_are_listed_and_ended() {
    let t = setup().await;
    let (ada, eve) = (account(&t, "ada").await, account(&t, "eve").await);
    let long = format!("agent\n\u{7}{}", "x".repeat(300));
    let first = t.store.start_login(ada, &long, DAY).await.unwrap();
    let second = t.store.start_login(ada, "second", DAY).await.unwrap();
    let expired = t.store.start_login(ada, "expired", Duration::ZERO).await.unwrap();
    assert_eq!(t.store.exchange(expired, 1, DAY).await.unwrap(), Exchanged::Gone);
    let listed = t.store.logins(ada).await.unwrap();
    assert_eq!(listed.iter().map(|login| login.id).collect::<Vec<_>>(), [second, first]);
    assert!(listed[1].agent.starts_with("agentxxx") && listed[1].agent.chars().count() == 200);

    assert!(!t.store.end_login(eve, first).await.unwrap(), "it is not hers");
    assert!(t.store.end_login(ada, first).await.unwrap());
    assert!(!t.store.end_login(ada, first).await.unwrap());
    let third = t.store.start_login(ada, "third", DAY).await.unwrap();
    // The one that has expired lies there until it is swept away.
    assert_eq!(t.store.end_logins(ada, Some(third)).await.unwrap().len(), 2);
    assert_eq!(t.store.logins(ada).await.unwrap().len(), 1);
    assert_eq!(t.store.end_logins(ada, None).await.unwrap(), [third]);
}

#[tokio::test]
async fn the_oldest_login_makes_room() {
    let t = setup().await;
    let ada = account(&t, "ada").await;
    let first = t.store.start_login(ada, "", DAY).await.unwrap();
    for _ in 0..LOGINS_MAX {
        t.store.start_login(ada, "", DAY).await.unwrap();
    }
    assert_eq!(t.count("logins").await, LOGINS_MAX);
    assert_eq!(t.store.exchange(first, 1, DAY).await.unwrap(), Exchanged::Gone);
}

#[tokio::test]
async fn a_recovery_code_sets_a_password_once() {
    let t = setup().await;
    let ada = account(&t, "ada").await;
    let login = t.store.start_login(ada, "", DAY).await.unwrap();
    assert!(t.store.recover(ada, &[8; 32], "new", &[9; 32]).await.unwrap().is_none());
    assert!(t.store.is_recovery_code(ada, &[7; 32]).await.unwrap());
    assert!(t.store.recover(ada, &[7; 32], "new", &[9; 32]).await.unwrap().is_some());
    assert!(t.store.recover(ada, &[7; 32], "newer", &[9; 32]).await.unwrap().is_none());
    assert_eq!(t.store.credentials("ada").await.unwrap().unwrap().password_hash, "new");
    assert_eq!(t.store.exchange(login, 1, DAY).await.unwrap(), Exchanged::Gone);
    assert!(t.store.recover(ada, &[9; 32], "newest", &[1; 32]).await.unwrap().is_some());
}

#[tokio::test]
async fn a_code_that_was_handed_out_sets_a_password_once_and_in_time() {
    let t = setup().await;
    let ada = account(&t, "ada").await;
    let login = t.store.start_login(ada, "", DAY).await.unwrap();
    assert!(t.store.offer_password_code(ada, &[3; 32], std::time::Duration::ZERO).await.unwrap());
    assert!(!t.store.is_recovery_code(ada, &[3; 32]).await.unwrap(), "too late");
    assert!(t.store.recover(ada, &[3; 32], "new", &[9; 32]).await.unwrap().is_none());
    assert!(t.store.offer_password_code(ada, &[4; 32], DAY).await.unwrap());
    assert!(!t.store.is_recovery_code(ada, &[3; 32]).await.unwrap(), "another one is in its place");
    assert_eq!(t.store.recover(ada, &[4; 32], "new", &[9; 32]).await.unwrap(), Some(vec![login]));
    assert!(t.store.recover(ada, &[4; 32], "newer", &[9; 32]).await.unwrap().is_none());
    // The recovery code of before has gone with it, and takes one that waits along.
    assert!(t.store.recover(ada, &[7; 32], "newer", &[8; 32]).await.unwrap().is_none());
    assert!(t.store.offer_password_code(ada, &[5; 32], DAY).await.unwrap());
    assert!(t.store.recover(ada, &[9; 32], "newest", &[8; 32]).await.unwrap().is_some());
    assert!(t.store.recover(ada, &[5; 32], "last", &[1; 32]).await.unwrap().is_none());
    let [guest] = t.guests().await;
    assert!(!t.store.offer_password_code(guest, &[6; 32], DAY).await.unwrap(), "guests have no password");
}

#[tokio::test]
async fn an_identity_is_one_accounts() {
    let t = setup().await;
    let [guest, other] = t.guests().await;
    let github = Identity { provider: "github", subject: "1", email: Some("a@rally.test") };
    assert_eq!(t.store.user_of_identity(github).await.unwrap(), None);
    let made = t.store.register_identity("octo", &[1; 32], github, Some(guest)).await.unwrap();
    assert_eq!((made.id, made.name.as_str()), (guest, "octo"));
    assert_eq!(t.store.user_of_identity(github).await.unwrap(), Some(made));
    // Neither its name nor itself a second time, and nothing half-way.
    let taken = t.store.register_identity("OCTO", &[1; 32], Identity { subject: "2", ..github }, Some(other)).await;
    assert!(matches!(taken, Err(RegisterError::UsernameTaken)));
    let twice = t.store.register_identity("octo2", &[1; 32], github, Some(other)).await;
    assert!(matches!(twice, Err(RegisterError::UsernameTaken)));
    assert_eq!(t.store.credentials_of(other).await.unwrap(), None);
    let again = t.store.register_identity("octo3", &[1; 32], Identity { subject: "3", ..github }, Some(guest)).await;
    assert!(matches!(again, Err(RegisterError::NotAGuest)));
    // One of each site; guests have none.
    assert!(!t.store.link_identity(guest, Identity { subject: "4", ..github }).await.unwrap());
    let google = Identity { provider: "google", subject: "1", email: None };
    assert!(t.store.link_identity(guest, google).await.unwrap());
    assert!(!t.store.link_identity(other, Identity { subject: "5", ..google }).await.unwrap());
    let linked = t.store.identities(guest).await.unwrap();
    let linked: Vec<_> = linked.iter().map(|one| (one.provider.as_str(), one.email.as_deref())).collect();
    assert_eq!(linked, [("github", Some("a@rally.test")), ("google", None)]);
    t.store.delete_user(guest).await.unwrap();
    assert_eq!(t.store.user_of_identity(github).await.unwrap(), None);
}

#[tokio::test]
async fn a_second_factor_counts_once_confirmed_and_each_code_once() {
    let t = setup().await;
    let ada = account(&t, "ada").await;
    let codes: [CodeHash; 2] = [[1; 32], [2; 32]];
    assert!(!t.store.confirm_totp(ada, b"secret", 5, &codes).await.unwrap(), "none waits");
    assert!(t.store.enrol_totp(ada, b"first").await.unwrap());
    assert!(t.store.enrol_totp(ada, b"secret").await.unwrap(), "in place of the first");
    assert_eq!(t.store.credentials("ada").await.unwrap().unwrap().totp_secret, None, "not in effect yet");
    assert_eq!(t.store.enrolled_totp(ada).await.unwrap().as_deref(), Some(&b"secret"[..]));
    assert!(!t.store.confirm_totp(ada, b"first", 5, &codes).await.unwrap());
    assert!(t.store.confirm_totp(ada, b"secret", 5, &codes).await.unwrap());
    assert_eq!(t.store.credentials("ada").await.unwrap().unwrap().totp_secret.as_deref(), Some(&b"secret"[..]));
    assert!(!t.store.enrol_totp(ada, b"third").await.unwrap(), "it is in effect");
    assert_eq!(t.store.enrolled_totp(ada).await.unwrap(), None);

    assert!(!t.store.use_totp_step(ada, 5).await.unwrap(), "the code that confirmed it");
    assert!(t.store.use_totp_step(ada, 6).await.unwrap());
    assert!(!t.store.use_totp_step(ada, 6).await.unwrap());
    assert!(t.store.use_totp_recovery(ada, &[1; 32]).await.unwrap());
    assert!(!t.store.use_totp_recovery(ada, &[1; 32]).await.unwrap());
    t.store.disable_totp(ada).await.unwrap();
    assert!(!t.store.use_totp_recovery(ada, &[2; 32]).await.unwrap());
    assert_eq!(t.store.credentials("ada").await.unwrap().unwrap().totp_secret, None);
}

#[tokio::test]
async fn somebody_who_is_forgotten_leaves_matches_only() {
    let t = setup().await;
    let [guest, other] = t.guests().await;
    let id = t.create(duel(guest, other)).await;
    t.store.finish(&left_wins(id), rally_units::Epoch(1)).await.unwrap();
    t.store.register(&new("Ada"), Some(guest)).await.unwrap();
    let login = t.store.start_login(guest, "", DAY).await.unwrap();
    t.store.delete_user(guest).await.unwrap();
    t.store.delete_user(guest).await.unwrap();
    assert_eq!(t.store.credentials("ada").await.unwrap(), None);
    assert_eq!(t.store.exchange(login, 1, DAY).await.unwrap(), Exchanged::Gone);
    assert_eq!(t.count("match_player_stats").await, 2);
    assert!(matches!(t.store.register(&new("Eve"), Some(guest)).await, Err(RegisterError::NotAGuest)));
    account(&t, "Ada").await;
}
