//! How much is said, and whether all hear it.

use std::sync::atomic::Ordering::SeqCst;

use clap::Parser as _;
use rally_swarm::{
    chat::{ChatReport, chat},
    cli::{Cli, Command},
};

use crate::fake::Cluster;

async fn chatting(cluster: &Cluster, options: &str) -> ChatReport {
    let edges: Vec<_> = cluster.edges.iter().map(ToString::to_string).collect();
    let line = format!("swarm chat --quiet --nodes none --ramp-per-s 1000 --edges {} {options}", edges.join(","));
    match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
        Command::Chat(args) => chat(&args).await.unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_carried_is_counted_up_to_what_the_readers_may_say() {
    let cluster = Cluster::start().await;
    let report = chatting(&cluster, "--readers 20 --step-s 1 --first-per-s 5 --growth 2 --lag-ms 5000").await;
    assert_eq!((report.reading, report.edges, report.shortfalls.len()), (20, 2, 0), "{}", report.table());
    // 5, 10, and then what 20 people may say: each a fifth less than one a second.
    let rates: Vec<f64> = report.steps.iter().map(|step| step.wanted_per_s).collect();
    assert_eq!(rates, [5.0, 10.0, 16.0]);
    for (step, sent) in report.steps.iter().zip([5, 10, 16]) {
        assert_eq!((step.sent, step.delivered, step.missing), (sent, 20 * sent, 0), "{}", report.table());
        assert!(step.carried && step.p50_ms > 0.0 && step.p50_ms <= step.p99_ms, "{}", report.table());
    }
    assert_eq!(report.messages_per_s, Some(16.0));
    assert!(report.errors.is_empty());
}

#[tokio::test]
async fn what_is_refused_or_lost_ends_it() {
    let cluster = Cluster::start().await;
    cluster.world.chat_max.store(12, SeqCst);
    let options = "--readers 20 --step-s 1 --first-per-s 5 --growth 2 --lag-ms 5000";
    let report = chatting(&cluster, options).await;
    assert_eq!((report.steps.len(), report.messages_per_s), (2, Some(5.0)), "{}", report.table());
    assert_eq!((report.steps[1].refused, report.errors["at_capacity"].count), (3, 3));
    assert!(!report.steps[1].carried);

    let cluster = Cluster::start().await;
    cluster.world.lose_every.store(3, SeqCst);
    let report = chatting(&cluster, "--readers 20 --step-s 1 --first-per-s 5").await;
    assert_eq!((report.steps.len(), report.steps[0].missing, report.steps[0].carried), (1, 1, false));
    assert_eq!(report.shortfalls, ["no step was carried"], "{}", report.table());
}
