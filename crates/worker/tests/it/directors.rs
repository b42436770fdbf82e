//! Matchmakers and sweepers: what they find left over, and whom they cannot serve.

use std::time::Duration;

use rally_fabric::QueueStatus;
use rally_protocol::client::v1::Mode;
use rally_store::{BotLevel, NewMatch, Owner, Seat, User};
use rally_testkit::eventually;
use rally_units::{Incarnation, MatchId, NodeId, UserId};

use crate::support::{Cluster, LONG};

fn match_id(n: u8) -> MatchId {
    MatchId::from_bytes([n; 16])
}

fn practice(id: MatchId, user: UserId, owner: Owner) -> NewMatch {
    NewMatch {
        id,
        mode: rally_store::Mode::Practice,
        classic: false,
        private: false,
        score_to_win: 11,
        seed: 1,
        rules_version: 1,
        seats: [Seat::Player(user), Seat::Bot(BotLevel::Easy)],
        owner,
    }
}

async fn seated(cluster: &Cluster, user: &User, id: MatchId, owner: Owner) {
    let created = cluster.store.create_matches(&[practice(id, user.id, owner)]).await.unwrap();
    assert!(created[0].is_ok());
}

#[tokio::test]
async fn matches_of_a_worker_that_is_gone_are_void_and_those_of_the_living_are_not() {
    let cluster = Cluster::start().await;
    let worker = cluster.worker("worker-1").await;
    let [alice, bob] = [cluster.guest("alice").await, cluster.guest("bob").await];
    let gone = Owner { node: NodeId::of_name("worker-9"), incarnation: Incarnation::from_bits(9) };
    let living = Owner { node: worker.fabric.node(), incarnation: worker.fabric.incarnation() };
    seated(&cluster, &alice, match_id(1), gone).await;
    seated(&cluster, &bob, match_id(2), living).await;
    cluster.free(alice.id).await;
    assert!(cluster.store.recorded_result(match_id(1)).await.unwrap().is_some());
    assert!(cluster.store.active_match(bob.id).await.unwrap().is_some());
}

#[tokio::test]
async fn what_was_taken_from_a_dead_worker_is_ended_although_postgres_refused_at_first() {
    let cluster = Cluster::start().await;
    let _worker = cluster.worker("worker-1").await;
    let alice = cluster.guest("alice").await;
    let gone = Owner { node: NodeId::of_name("worker-9"), incarnation: Incarnation::from_bits(9) };
    seated(&cluster, &alice, match_id(1), gone).await;
    // The match can be taken, and not be ended.
    let postgres = cluster.db.connect().await;
    postgres
        .batch_execute("ALTER TABLE matches ADD CONSTRAINT no_end CHECK (ended_at IS NULL) NOT VALID")
        .await
        .unwrap();
    let is_taken = || async {
        let owner = cluster.store.owner_of(match_id(1)).await.unwrap();
        owner.is_some_and(|ownership| ownership.owner != gone)
    };
    eventually(LONG, is_taken).await;
    postgres.batch_execute("ALTER TABLE matches DROP CONSTRAINT no_end").await.unwrap();
    cluster.free(alice.id).await;
}

#[tokio::test]
async fn a_pair_of_a_director_that_died_is_made_under_its_match_id() {
    let cluster = Cluster::start().await;
    let mut edge = cluster.edge().await;
    let [alice, bob] = [cluster.guest("alice").await, cluster.guest("bob").await];
    let [alice, bob] = [&alice, &bob].map(|user| edge.ticket(user, Mode::Casual));
    let queue = edge.fabric.queue();
    queue.join(&alice).await.unwrap();
    queue.join(&bob).await.unwrap();
    let pairs = queue.pair(Mode::Casual, &[match_id(3)]).await.unwrap();
    assert_eq!(pairs.len(), 1);
    // The pair is taken off the queue, and nobody goes on with it, until there is a worker.
    let _worker = cluster.worker("worker-1").await;
    assert_eq!(edge.found(&alice).await, match_id(3));
    assert_eq!(edge.found(&bob).await, match_id(3));
    let status = queue.status(alice.user).await.unwrap();
    assert_eq!(status, QueueStatus::Found { mode: Mode::Casual, match_id: match_id(3) });
}

#[tokio::test]
async fn a_pair_whose_match_is_over_already_waits_again() {
    let cluster = Cluster::start().await;
    let mut edge = cluster.edge().await;
    let [alice, bob] = [cluster.guest("alice").await, cluster.guest("bob").await];
    // The director before had the match created, and died; nobody came, and it ended.
    let gone = Owner { node: NodeId::of_name("worker-9"), incarnation: Incarnation::from_bits(9) };
    seated(&cluster, &alice, match_id(4), gone).await;
    let abandoned = rally_store::EndReason::Abandoned;
    let held = rally_store::Ownership { owner: gone, epoch: rally_units::Epoch::FIRST };
    cluster.store.void_match(match_id(4), held, abandoned).await.unwrap();
    let [alice, bob] = [&alice, &bob].map(|user| edge.ticket(user, Mode::Casual));
    let queue = edge.fabric.queue();
    queue.join(&alice).await.unwrap();
    queue.join(&bob).await.unwrap();
    assert_eq!(queue.pair(Mode::Casual, &[match_id(4)]).await.unwrap().len(), 1);
    let _worker = cluster.worker("worker-1").await;
    let found = edge.found(&alice).await;
    assert_ne!(found, match_id(4), "it is not played a second time");
    assert_eq!(edge.found(&bob).await, found);
}

#[tokio::test]
async fn whoever_cannot_play_is_taken_off_the_queue() {
    let cluster = Cluster::start().await;
    let _worker = cluster.worker("worker-1").await;
    let edge = cluster.edge().await;
    let alice = cluster.guest("alice").await;
    let nobody = User { id: UserId::from_bytes([5; 16]), ..alice.clone() };
    let [alice, nobody] = [&alice, &nobody].map(|user| edge.ticket(user, Mode::Classic));
    let queue = edge.fabric.queue();
    queue.join(&alice).await.unwrap();
    queue.join(&nobody).await.unwrap();
    for ticket in [&alice, &nobody] {
        eventually(LONG, || async {
            // Kept waiting by its connection, as long as the queue will have it.
            let status = queue.refresh(&[ticket.reference()]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            status == [QueueStatus::Gone]
        })
        .await;
    }
}
