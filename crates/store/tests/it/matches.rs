use std::collections::HashMap;

use rally_store::{
    BotLevel, ClaimError, CreateError, EndReason, FenceError, Mode, NewMatch, Ownership, Score, Seat, Side,
};
use rally_units::{Epoch, UserId};
use uuid::Uuid;

use crate::support::{duel, held, match_id, owner, private, setup};

fn stranger() -> UserId {
    UserId::from_uuid(Uuid::now_v7())
}

#[tokio::test]
async fn a_created_match_is_found_by_its_players() {
    let t = setup().await;
    let [a, b, c] = t.guests().await;
    let new = duel(a, b);
    let id = t.create(new.clone()).await;
    let ownership = Ownership { owner: owner(1), epoch: Epoch(1) };

    assert_eq!(t.store.owner_of(id).await.unwrap(), Some(ownership));
    for (user, side) in [(a, Side::Left), (b, Side::Right)] {
        let active = t.store.active_match(user).await.unwrap().unwrap();
        assert_eq!((active.match_id, active.side, active.ownership), (id, side, ownership));
    }
    assert_eq!(t.store.active_match(c).await.unwrap(), None);
    assert_eq!(t.store.owner_of(match_id()).await.unwrap(), None);

    let row = t.sql.query_one("SELECT * FROM matches", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>("seed").cast_unsigned(), new.seed);
    assert_eq!((row.get::<_, &str>("mode"), row.get::<_, i32>("score_to_win")), ("ranked", 11));
}

#[tokio::test]
async fn one_batch_may_hold_good_and_bad() {
    let t = setup().await;
    let [a, b, c, d, e, f, g] = t.guests().await;
    let before = duel(a, b);
    t.create(before.clone()).await;

    let second = NewMatch { id: match_id(), owner: owner(2), ..before.clone() };
    let good = duel(c, d);
    let overlapping = duel(d, e);
    // e is free again, because the match before was refused as a whole.
    let after_it = duel(e, f);
    let unknown = stranger();
    let bot = NewMatch { mode: Mode::Practice, seats: [Seat::Player(g), Seat::Bot(BotLevel::Hard)], ..duel(g, g) };
    let batch = [
        second,
        good.clone(),
        overlapping,
        after_it,
        duel(unknown, g),
        duel(g, g),
        NewMatch { owner: owner(3), ..before.clone() },
        bot,
    ];
    let results = t.store.create_matches(&batch).await.unwrap();
    assert_eq!(
        results,
        [
            Err(CreateError::AlreadyInMatch { user: a, match_id: before.id }),
            Ok(Epoch(1)),
            Err(CreateError::AlreadyInMatch { user: d, match_id: good.id }),
            Ok(Epoch(1)),
            Err(CreateError::NoSuchUser(unknown)),
            Err(CreateError::AgainstItself(g)),
            Err(CreateError::AlreadyExists(Ownership { owner: owner(1), epoch: Epoch(1) })),
            Ok(Epoch(1)),
        ]
    );
    assert_eq!(t.count("matches").await, 4);
    assert_eq!(t.count("active_seats").await, 7);
}

#[tokio::test]
async fn creating_again_after_the_end_changes_nothing() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    let new = duel(a, b);
    t.create(new.clone()).await;
    t.store.void_match(new.id, held(1), EndReason::NoShow).await.unwrap();
    let results = t.store.create_matches(&[new]).await.unwrap();
    assert_eq!(results, [Err(CreateError::AlreadyExists(Ownership { owner: owner(1), epoch: Epoch(1) }))]);
    assert_eq!(t.store.active_match(a).await.unwrap(), None);
}

#[tokio::test]
async fn many_matches_go_in_several_transactions() {
    let t = setup().await;
    let new: Vec<_> = (0..205)
        .map(|_| NewMatch {
            seats: [Seat::Bot(BotLevel::Easy), Seat::Bot(BotLevel::Easy)],
            ..duel(stranger(), stranger())
        })
        .collect();
    let results = t.store.create_matches(&new).await.unwrap();
    assert_eq!(results, vec![Ok(Epoch(1)); 205]);
    assert_eq!(t.count("matches").await, 205);
    assert_eq!(t.store.create_matches(&[]).await.unwrap(), []);
}

/// Batches that name the same users in different orders, all at once: nobody is seated twice, no half match stays, and
/// no two batches lock each other out.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_sits_twice() {
    let t = setup().await;
    let users: [UserId; 12] = t.guests().await;
    for round in 0..10 {
        let tasks: Vec<_> = (0..8usize)
            .map(|task| {
                let batch: Vec<_> = (0..6usize)
                    .map(|n| {
                        let left = (n * 5 + task * 7 + round) % 12;
                        let right = (left + 1 + task) % 12;
                        duel(users[left], users[right])
                    })
                    .collect();
                let store = t.store.clone();
                tokio::spawn(async move {
                    let results = store.create_matches(&batch).await.unwrap();
                    batch.into_iter().zip(results).filter(|(_, result)| result.is_ok()).map(|(new, _)| new).collect()
                })
            })
            .collect();
        let mut created: Vec<NewMatch> = Vec::new();
        for task in tasks {
            created.append(&mut task.await.unwrap());
        }
        assert!(!created.is_empty());

        let mut seats = HashMap::new();
        for new in &created {
            for user in new.seats.iter().filter_map(|seat| seat.user()) {
                assert_eq!(seats.insert(user, new.id), None, "seated twice");
            }
        }
        for user in users {
            let active = t.store.active_match(user).await.unwrap().map(|active| active.match_id);
            assert_eq!(active, seats.get(&user).copied());
        }
        assert_eq!(t.count("matches WHERE ended_at IS NULL").await, i64::try_from(created.len()).unwrap());
        for new in created {
            t.store.void_match(new.id, held(1), EndReason::Abandoned).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_creations_with_the_same_player_one_wins() {
    let t = setup().await;
    let [a, b, c] = t.guests().await;
    for _ in 0..30 {
        let (ab, ac) = ([duel(a, b)], [duel(c, a)]);
        let (first, second) = tokio::join!(t.store.create_matches(&ab), t.store.create_matches(&ac));
        let (first, second) = (first.unwrap()[0], second.unwrap()[0]);
        let (winner, loser) = if first.is_ok() { (&ab[0], second) } else { (&ac[0], first) };
        assert_eq!(loser, Err(CreateError::AlreadyInMatch { user: a, match_id: winner.id }));
        assert_eq!(t.count("active_seats").await, 2);
        t.store.void_match(winner.id, held(1), EndReason::NoShow).await.unwrap();
    }
}

#[tokio::test]
async fn an_open_seat_is_claimed_once() {
    let t = setup().await;
    let [host, guest, late] = t.guests().await;
    let id = t.create(private(host)).await;

    let error = t.store.claim_seat(id, Side::Right, guest, Epoch(2)).await.unwrap_err();
    assert!(matches!(error, ClaimError::Fence(FenceError::Fenced { current: Epoch(1) })), "{error}");
    let error = t.store.claim_seat(id, Side::Left, guest, Epoch(1)).await.unwrap_err();
    assert!(matches!(error, ClaimError::Taken), "{error}");
    let error = t.store.claim_seat(id, Side::Right, host, Epoch(1)).await.unwrap_err();
    assert!(matches!(error, ClaimError::AlreadyInMatch { match_id } if match_id == id), "{error}");
    let error = t.store.claim_seat(id, Side::Right, stranger(), Epoch(1)).await.unwrap_err();
    assert!(matches!(error, ClaimError::NoSuchUser), "{error}");
    let error = t.store.claim_seat(match_id(), Side::Right, guest, Epoch(1)).await.unwrap_err();
    assert!(matches!(error, ClaimError::Fence(FenceError::NoSuchMatch)), "{error}");

    t.store.claim_seat(id, Side::Right, guest, Epoch(1)).await.unwrap();
    t.store.claim_seat(id, Side::Right, guest, Epoch(1)).await.unwrap();
    let active = t.store.active_match(guest).await.unwrap().unwrap();
    assert_eq!((active.match_id, active.side), (id, Side::Right));
    let error = t.store.claim_seat(id, Side::Right, late, Epoch(1)).await.unwrap_err();
    assert!(matches!(error, ClaimError::Taken), "{error}");

    let elsewhere = t.create(private(late)).await;
    let error = t.store.claim_seat(elsewhere, Side::Right, guest, Epoch(1)).await.unwrap_err();
    assert!(matches!(error, ClaimError::AlreadyInMatch { match_id } if match_id == id), "{error}");

    t.store.void_match(elsewhere, held(1), EndReason::NoShow).await.unwrap();
    let error = t.store.claim_seat(elsewhere, Side::Right, late, Epoch(1)).await.unwrap_err();
    assert!(matches!(error, ClaimError::Fence(FenceError::Ended)), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_claims_have_one_winner() {
    let t = setup().await;
    let [host, other_host] = t.guests().await;
    let rivals: [UserId; 6] = t.guests().await;
    let (one, two) = (t.create(private(host)).await, t.create(private(other_host)).await);
    // Each rival tries both matches at once.
    let tasks: Vec<_> = rivals
        .iter()
        .flat_map(|rival| [(one, *rival), (two, *rival)])
        .map(|(id, rival)| {
            let store = t.store.clone();
            tokio::spawn(async move { (id, rival, store.claim_seat(id, Side::Right, rival, Epoch(1)).await) })
        })
        .collect();
    let mut winners = HashMap::new();
    for task in tasks {
        let (id, rival, result) = task.await.unwrap();
        match result {
            Ok(()) => assert_eq!(winners.insert(id, rival), None),
            Err(ClaimError::Taken | ClaimError::AlreadyInMatch { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(winners.len(), 2);
    assert_ne!(winners[&one], winners[&two]);
    assert_eq!(t.count("active_seats").await, 4);
}

#[tokio::test]
async fn goals_count_only_at_the_epoch_and_never_fall() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    let id = t.create(duel(a, b)).await;
    let score = async || {
        let row = t.sql.query_one("SELECT score_left, score_right FROM matches", &[]).await.unwrap();
        (row.get::<_, i32>(0), row.get::<_, i32>(1))
    };
    t.store.start_match(id, Epoch(1)).await.unwrap();
    let started = t.sql.query_one("SELECT started_at::text FROM matches", &[]).await.unwrap().get::<_, String>(0);
    t.store.record_goal(id, Epoch(1), Score { left: 2, right: 1 }).await.unwrap();
    // Late and repeated.
    t.store.record_goal(id, Epoch(1), Score { left: 1, right: 1 }).await.unwrap();
    t.store.start_match(id, Epoch(1)).await.unwrap();
    assert_eq!(score().await, (2, 1));
    assert_eq!(
        t.sql.query_one("SELECT started_at::text FROM matches", &[]).await.unwrap().get::<_, String>(0),
        started
    );

    assert_eq!(t.store.take(&[(id, Epoch(1))], owner(2)).await.unwrap(), [(id, Epoch(2))]);
    let error = t.store.record_goal(id, Epoch(1), Score { left: 9, right: 9 }).await.unwrap_err();
    assert!(matches!(error, FenceError::Fenced { current: Epoch(2) }), "{error}");
    let error = t.store.start_match(id, Epoch(1)).await.unwrap_err();
    assert!(matches!(error, FenceError::Fenced { current: Epoch(2) }), "{error}");
    let error = t.store.void_match(id, held(1), EndReason::Abandoned).await.unwrap_err();
    assert!(matches!(error, FenceError::Fenced { current: Epoch(2) }), "{error}");
    assert_eq!(score().await, (2, 1));
    assert!(t.store.active_match(a).await.unwrap().is_some());

    let other = Ownership { owner: owner(3), epoch: Epoch(2) };
    let error = t.store.void_match(id, other, EndReason::Abandoned).await.unwrap_err();
    assert!(matches!(error, FenceError::Fenced { current: Epoch(2) }), "of that epoch there is another owner: {error}");
    t.store.void_match(id, held(2), EndReason::Abandoned).await.unwrap();
    let error = t.store.record_goal(id, Epoch(2), Score { left: 9, right: 9 }).await.unwrap_err();
    assert!(matches!(error, FenceError::Ended), "{error}");
    let error = t.store.void_match(id, held(2), EndReason::Abandoned).await.unwrap_err();
    assert!(matches!(error, FenceError::Ended), "{error}");
    let error = t.store.record_goal(match_id(), Epoch(1), Score::default()).await.unwrap_err();
    assert!(matches!(error, FenceError::NoSuchMatch), "{error}");
    assert_eq!(t.store.active_match(a).await.unwrap(), None);
    let voided = t.store.recorded_result(id).await.unwrap().unwrap();
    assert_eq!((voided.winner, voided.reason), (None, EndReason::Abandoned));
}

/// A claim that commits while the match is being called off leaves no seat behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calling_off_frees_the_seat_that_is_being_claimed() {
    let t = setup().await;
    let [host, guest] = t.guests().await;
    for _ in 0..40 {
        let id = t.create(private(host)).await;
        let (claimed, voided) = tokio::join!(
            t.store.claim_seat(id, Side::Right, guest, Epoch(1)),
            t.store.void_match(id, held(1), EndReason::NoShow),
        );
        voided.unwrap();
        assert!(matches!(claimed, Ok(()) | Err(ClaimError::Fence(FenceError::Ended))), "{claimed:?}");
        assert_eq!(t.count("active_seats").await, 0);
    }
}
