//! Postgres away.

use std::time::Duration;

use rally_protocol::{
    client::v1::{ErrorCode, Level, Mode, Skill},
    cluster::v1::{Control, MatchSpec, SeatSpec},
};
use rally_store::User;
use rally_testkit::{Postgres, eventually};
use rally_units::MatchId;

use crate::support::{Cluster, Heard, LONG};

/// More than are written at once.
const ENDING: usize = 70;

fn practice(n: usize, user: &User) -> MatchSpec {
    MatchSpec {
        id: MatchId::from_bytes([n as u8; 16]),
        mode: Mode::Practice,
        classic: false,
        private: false,
        seats: [
            SeatSpec::User { id: user.id, name: user.name.clone(), guest: true, skill: Skill::Smash },
            SeatSpec::Bot { level: Level::Easy },
        ],
    }
}

fn is_created(heard: &Heard) -> Option<()> {
    matches!(heard, Heard::Control(Control::Created { .. })).then_some(())
}

#[tokio::test]
async fn with_postgres_away_results_wait_and_hold_up_nothing_else() {
    let mut postgres = Postgres::start().await;
    let cluster = Cluster::on(&postgres).await;
    let worker = cluster.worker("worker-1").await;
    let node = worker.fabric.node();
    let mut edge = cluster.edge().await;
    let mut users = Vec::new();
    for n in 0..=ENDING {
        users.push(cluster.guest("player").await);
        let spec = practice(n, &users[n]);
        edge.say(node, spec.id, &Control::Create { request: n as u64, spec: Box::new(spec) });
    }
    for _ in 0..=ENDING {
        edge.hear(is_created).await;
    }
    // Somebody comes to the first match. All others end after 10 s.
    let ticket = edge.ticket(&users[0], Mode::Practice);
    let first = practice(0, &users[0]).id;
    edge.join(node, first, &ticket);
    edge.joined().await;
    postgres.stop().await;
    edge.count(Duration::from_secs(22), |_| false).await;
    let owner = edge.fabric.owner(first).await.unwrap();
    assert_eq!(owner.map(|owner| owner.node), Some(node), "asserted again and again");

    let late = practice(200, &users[0]);
    edge.say(node, late.id, &Control::Create { request: 200, spec: Box::new(late) });
    let code = edge
        .hear(|heard| match heard {
            Heard::Control(Control::Refused { request: 200, code, .. }) => Some(*code),
            _ => None,
        })
        .await;
    assert_eq!(code, ErrorCode::Unavailable);

    postgres.restart().await;
    eventually(LONG, || async {
        let last = cluster.store.recorded_result(practice(ENDING, &users[ENDING]).id).await;
        last.is_ok_and(|result| result.is_some())
    })
    .await;
    for user in &users[1..] {
        cluster.free(user.id).await;
    }
}
