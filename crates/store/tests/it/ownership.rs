use std::collections::HashMap;

use rally_store::{BotLevel, EndReason, NewMatch, Ownership, Seat};
use rally_units::{Epoch, MatchId};

use crate::support::{Fixture, duel, held, match_id, owner, private, setup};

async fn bot_matches(t: &Fixture, n: usize) -> Vec<(MatchId, Epoch)> {
    let [host] = t.guests().await;
    let new: Vec<_> = (0..n)
        .map(|_| NewMatch { seats: [Seat::Bot(BotLevel::Easy), Seat::Bot(BotLevel::Easy)], ..duel(host, host) })
        .collect();
    assert!(t.store.create_matches(&new).await.unwrap().iter().all(Result::is_ok));
    new.iter().map(|new| (new.id, Epoch(1))).collect()
}

/// Several want the same matches at the same epoch, in different orders: each match gets one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_several_takers_one_wins() {
    let t = setup().await;
    let matches = bot_matches(&t, 150).await;
    for round in 1..=4u32 {
        let tasks: Vec<_> = (0..6u64)
            .map(|taker| {
                let mut wanted: Vec<_> = matches.iter().map(|(id, _)| (*id, Epoch(round))).collect();
                wanted.rotate_left(usize::try_from(taker).unwrap() * 23);
                if taker % 2 == 1 {
                    wanted.reverse();
                }
                let store = t.store.clone();
                tokio::spawn(async move { (taker, store.take(&wanted, owner(100 + taker)).await.unwrap()) })
            })
            .collect();
        let mut taken = HashMap::new();
        for task in tasks {
            let (taker, won) = task.await.unwrap();
            for (id, epoch) in won {
                assert_eq!(epoch, Epoch(round + 1));
                assert_eq!(taken.insert(id, taker), None, "two owners of an epoch");
            }
        }
        assert_eq!(taken.len(), 150);
        for (id, taker) in taken {
            let ownership = Ownership { owner: owner(100 + taker), epoch: Epoch(round + 1) };
            assert_eq!(t.store.owner_of(id).await.unwrap(), Some(ownership));
        }
    }
}

#[tokio::test]
async fn taking_again_answers_the_same() {
    let t = setup().await;
    let matches = bot_matches(&t, 2).await;
    let taken = t.store.take(&matches, owner(2)).await.unwrap();
    assert_eq!(taken.len(), 2);
    // As after a lost answer.
    let mut again = t.store.take(&matches, owner(2)).await.unwrap();
    again.sort_unstable();
    let mut expected: Vec<_> = matches.iter().map(|(id, _)| (*id, Epoch(2))).collect();
    expected.sort_unstable();
    assert_eq!(again, expected);
    // Another life of the node is another owner.
    let mut reborn = owner(2);
    reborn.incarnation = owner(3).incarnation;
    assert_eq!(t.store.take(&matches, reborn).await.unwrap(), []);
    assert_eq!(t.store.take(&[(matches[0].0, Epoch(7)), (match_id(), Epoch(1))], reborn).await.unwrap(), []);
}

#[tokio::test]
async fn ended_matches_are_not_taken() {
    let t = setup().await;
    let matches = bot_matches(&t, 2).await;
    t.store.void_match(matches[0].0, held(1), EndReason::Abandoned).await.unwrap();
    assert_eq!(t.store.take(&matches, owner(2)).await.unwrap(), [(matches[1].0, Epoch(2))]);
    assert_eq!(t.store.owner_of(matches[0].0).await.unwrap(), None);
}

#[tokio::test]
async fn an_owner_confirms_what_it_still_holds() {
    let t = setup().await;
    let matches = bot_matches(&t, 120).await;
    t.store.take(&matches[..30], owner(2)).await.unwrap();
    t.store.void_match(matches[30].0, held(1), EndReason::Abandoned).await.unwrap();

    let mut held = t.store.confirm(&matches, owner(1)).await.unwrap();
    held.sort_unstable();
    let mut expected = matches[31..].to_vec();
    expected.sort_unstable();
    assert_eq!(held, expected);
    assert_eq!(t.store.confirm(&matches, owner(2)).await.unwrap(), [], "held at another epoch");
    assert_eq!(t.store.confirm(&[], owner(1)).await.unwrap(), []);
}

#[tokio::test]
async fn the_matches_of_a_dead_owner_are_found() {
    let t = setup().await;
    assert!(t.store.live_owners().await.unwrap().is_empty());
    let [a, b, c] = t.guests().await;
    let id = t.create(NewMatch { owner: owner(1), ..duel(a, b) }).await;
    t.create(NewMatch { owner: owner(2), ..private(c) }).await;
    assert_eq!(t.store.live_owners().await.unwrap(), HashMap::from([(owner(1), 1), (owner(2), 1)]));

    let orphans = t.store.live_matches_of(owner(1)).await.unwrap();
    assert_eq!(orphans, [(id, Epoch(1))]);
    for (id, epoch) in t.store.take(&orphans, owner(2)).await.unwrap() {
        t.store.void_match(id, Ownership { owner: owner(2), epoch }, EndReason::Abandoned).await.unwrap();
    }
    assert_eq!(t.store.live_owners().await.unwrap(), HashMap::from([(owner(2), 1)]));
    assert_eq!(t.store.active_match(a).await.unwrap(), None);
    assert!(t.store.active_match(c).await.unwrap().is_some());
}
