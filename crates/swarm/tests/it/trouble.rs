//! What goes wrong is counted and does not end a run.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use crate::{fake::Cluster, measuring::playing};

#[tokio::test]
async fn refusals_are_counted_by_their_codes_and_tried_again() {
    let cluster = Cluster::start().await;
    cluster.world.refuse_queueing.store(3, SeqCst);
    let report = playing(&cluster, "--players 2 --duration-s 1").await;
    let refused = &report.errors["rate_limited (queue_join)"];
    assert_eq!((refused.count, &*refused.first), (3, "slower"), "{:?}", report.errors);
    assert_eq!(report.playing, 2);
}

#[tokio::test]
async fn players_come_back_from_a_restart() {
    let cluster = Cluster::start().await;
    let world = Arc::clone(&cluster.world);
    let restarter = tokio::spawn(async move {
        while world.inputs.load(SeqCst) < 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.restart.store(true, SeqCst);
    });
    let report = playing(&cluster, "--players 4 --duration-s 4").await;
    restarter.await.unwrap();
    assert_eq!(report.reconnects, 4, "{}", report.table());
    assert_eq!(report.playing, 4, "{}", report.table());
    assert_eq!(cluster.world.hellos.load(SeqCst), 8);
    // Each counts from 1 again.
    assert_eq!(cluster.world.bad_seq.load(SeqCst), 0);
}

#[tokio::test]
async fn nobody_there_is_a_failure_and_not_a_panic() {
    let mut cluster = Cluster::start().await;
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    cluster.edges = vec![format!("http://{gone}").parse().unwrap()];
    let report = playing(&cluster, "--players 2 --duration-s 1 --join-timeout-s 1").await;
    assert_eq!((report.connected, report.snapshots), (0, 0));
    assert!(report.errors.contains_key("sign_in: connect"), "{:?}", report.errors);
    assert_eq!(report.shortfalls, ["no snapshot was received"]);
}
