//! Matches from the queue to their result.

use std::time::Duration;

use rally_protocol::{
    client::v1::{EndReason, Mode, ServerMessage},
    cluster::v1::{Command, Control},
};
use rally_units::MatchId;

use crate::support::{Cluster, Edge, Heard, LONG};

async fn game_over(edge: &mut Edge) -> EndReason {
    edge.hear(|heard| match heard {
        Heard::Message(message) => match &**message {
            ServerMessage::GameOver(over) => Some(over.reason),
            _ => None,
        },
        Heard::Control(_) => None,
    })
    .await
}

#[tokio::test]
async fn two_who_wait_play_and_their_result_is_recorded_before_it_is_told() {
    let cluster = Cluster::start().await;
    let worker = cluster.worker("worker-1").await;
    let mut edge = cluster.edge().await;
    let users = [cluster.guest("alice").await, cluster.guest("bob").await];
    let tickets = users.each_ref().map(|user| edge.ticket(user, Mode::Ranked));
    for ticket in &tickets {
        edge.fabric.queue().join(ticket).await.unwrap();
    }
    let match_id = edge.found(&tickets[0]).await;
    assert_eq!(edge.found(&tickets[1]).await, match_id);
    let again = edge.count(Duration::from_millis(500), |h| matches!(h, Heard::Control(Control::Found { .. }))).await;
    assert_eq!(again, 0, "each is told once");

    let node = worker.fabric.node();
    for ticket in &tickets {
        edge.join(node, match_id, ticket);
        edge.joined().await;
        edge.say(node, match_id, &Control::Command { session: ticket.session, command: Command::Ready });
    }
    // Anybody may watch it, and finds it in the list; once it is over, nobody does.
    rally_testkit::eventually(LONG, async || {
        let live = edge.fabric.live().read().await.unwrap();
        let listed = live.iter().find(|live| live.id == match_id);
        listed.is_some_and(|live| {
            let users = live.players.each_ref().map(|player| player.user);
            assert_eq!((live.mode, live.viewers, users), (Mode::Ranked, 0, tickets.each_ref().map(|t| Some(t.user))));
            true
        })
    })
    .await;
    let forfeit = Control::Command { session: tickets[0].session, command: Command::Forfeit };
    edge.say(node, match_id, &forfeit);
    assert_eq!(game_over(&mut edge).await, EndReason::Forfeit);
    let result = cluster.store.recorded_result(match_id).await.unwrap().expect("recorded before it is told");
    assert_eq!(result.winner, Some(rally_store::Side::Right));
    assert!(result.ratings.is_some());
    for user in users {
        assert_eq!(cluster.store.active_match(user.id).await.unwrap(), None);
    }
    rally_testkit::eventually(LONG, async || edge.fabric.live().read().await.unwrap().is_empty()).await;
}

#[tokio::test]
async fn who_waited_in_vain_is_paired_with_the_next() {
    let cluster = Cluster::start().await;
    let worker = cluster.worker("worker-1").await;
    let mut edge = cluster.edge().await;
    let [alice, bob, carol] = ["alice", "bob", "carol"];
    let [alice, bob, carol] = [cluster.guest(alice).await, cluster.guest(bob).await, cluster.guest(carol).await];
    let [alice, bob] = [&alice, &bob].map(|user| edge.ticket(user, Mode::Casual));
    edge.fabric.queue().join(&alice).await.unwrap();
    edge.fabric.queue().join(&bob).await.unwrap();
    let first = edge.found(&alice).await;
    edge.join(worker.fabric.node(), first, &alice);
    assert_eq!(game_over(&mut edge).await, EndReason::NoShow);
    edge.hear(|heard| matches!(heard, Heard::Control(Control::Requeued { .. })).then_some(())).await;

    let carol = edge.ticket(&carol, Mode::Casual);
    edge.fabric.queue().join(&carol).await.unwrap();
    let second = edge.found(&alice).await;
    assert_ne!(second, first);
    assert_eq!(edge.found(&carol).await, second);
}

#[tokio::test]
async fn a_drain_ends_what_still_plays_and_frees_its_players() {
    let cluster = Cluster::start().await;
    let worker = cluster.worker("worker-1").await;
    let mut edge = cluster.edge().await;
    let users = [cluster.guest("alice").await, cluster.guest("bob").await];
    let tickets = users.each_ref().map(|user| edge.ticket(user, Mode::Casual));
    for ticket in &tickets {
        edge.fabric.queue().join(ticket).await.unwrap();
    }
    let match_id: MatchId = edge.found(&tickets[0]).await;
    for ticket in &tickets {
        edge.join(worker.fabric.node(), match_id, ticket);
        edge.joined().await;
    }
    worker.drain.begin(Duration::from_secs(4));
    assert_eq!(game_over(&mut edge).await, EndReason::Abandoned);
    tokio::time::timeout(LONG, worker.task).await.unwrap().unwrap().unwrap();
    for user in users {
        assert_eq!(cluster.store.active_match(user.id).await.unwrap(), None);
    }
}
