//! Figures.

use std::sync::atomic::Ordering::SeqCst;

use clap::Parser as _;
use rally_swarm::{
    cli::{Cli, Command},
    idle::{IdleReport, idle},
    play::{PlayReport, play},
};

use crate::fake::Cluster;

fn parse(command: &str, cluster: &Cluster, options: &str) -> Command {
    let edges: Vec<_> = cluster.edges.iter().map(ToString::to_string).collect();
    let line = format!("swarm {command} --quiet --nodes none --ramp-per-s 1000 --edges {} {options}", edges.join(","));
    Cli::try_parse_from(line.split_whitespace()).unwrap().command
}

/// Runs `swarm play` with these options.
pub(crate) async fn playing(cluster: &Cluster, options: &str) -> PlayReport {
    match parse("play", cluster, &format!("--no-floor --warmup-s 0 {options}")) {
        Command::Play(args) => play(&args).await.unwrap(),
        other => panic!("{other:?}"),
    }
}

async fn idling(cluster: &Cluster, options: &str) -> IdleReport {
    match parse("idle", cluster, &format!("--settle-s 0 {options}")) {
        Command::Idle(args) => idle(&args).await.unwrap(),
        other => panic!("{other:?}"),
    }
}

async fn counts_what_was_sent(encoding: &str) {
    let cluster = Cluster::start().await;
    cluster.world.apply_after_ms.store(60, SeqCst);
    let options = format!("--matches 3 --duration-s 2 --encoding {encoding} --expect snapshots>=0.8,input_p50_ms>=60");
    let report = playing(&cluster, &options).await;
    assert_eq!((report.connected, report.playing, report.matches), (6, 6, 3));
    assert_eq!(report.shortfalls, Vec::<String>::new(), "{}", report.table());
    // Six players, two seconds, 60 per second; what a busy machine may take is little.
    assert!((600.0..=780.0).contains(&report.snapshots_expected), "{}", report.table());
    assert!(report.snapshots <= cluster.world.snapshots_sent.load(SeqCst));
    assert_eq!((report.missed_ticks, report.repeated, report.reconnects), (0, 0, 0));
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    // Ten inputs per second and player, each applied 60 ms after it came.
    assert!((80..=140).contains(&report.inputs_sent), "{}", report.table());
    assert!(report.input_ms.p50.unwrap() >= 60.0, "{}", report.table());
    assert_eq!(cluster.world.bad_seq.load(SeqCst), 0);
    assert!(report.interval_ms.p50.unwrap() < 33.0, "{}", report.table());
    // At the end nobody is left in a match.
    assert_eq!(cluster.world.forfeits.load(SeqCst), 3);
}

#[tokio::test]
async fn counts_what_was_sent_in_msgpack() {
    counts_what_was_sent("msgpack").await;
}

#[tokio::test]
async fn counts_what_was_sent_in_json() {
    counts_what_was_sent("json").await;
}

#[tokio::test]
async fn sees_what_is_missing() {
    let cluster = Cluster::start().await;
    cluster.world.skip_every.store(4, SeqCst);
    let report = playing(&cluster, "--players 4 --duration-s 2 --expect snapshots>=0.98").await;
    let ratio = report.snapshots_ratio.unwrap();
    assert!((0.65..=0.8).contains(&ratio), "{}", report.table());
    // A quarter of about 480.
    assert!((90..=130).contains(&report.missed_ticks), "{}", report.table());
    assert_eq!(report.shortfalls.len(), 1, "{:?}", report.shortfalls);
}

#[tokio::test]
async fn sees_a_silence() {
    let cluster = Cluster::start().await;
    cluster.world.silent_after.store(60, SeqCst);
    let report = playing(&cluster, "--players 2 --duration-s 3").await;
    assert!(report.gaps >= 2, "{}", report.table());
    // Half a second each, beyond the interval that would have been.
    assert_eq!(report.gap_ms.count, 2, "{}", report.table());
    let (p50, max) = (report.gap_ms.p50.unwrap(), report.gap_ms.max.unwrap());
    assert!(p50 >= 470.0 && (480.0..=1_500.0).contains(&max), "{}", report.table());
    assert_eq!(report.continuity.broken(), 0, "{}", report.table());
    assert!(report.snapshots_ratio.unwrap() < 0.95, "{}", report.table());
}

#[tokio::test]
async fn private_matches_are_on_two_edges() {
    let cluster = Cluster::start().await;
    let report = playing(&cluster, "--players 8 --duration-s 1 --pairing private --threads 2").await;
    assert_eq!((report.playing, report.matches, report.matches_on_two_edges), (8, 4, 4), "{}", report.table());
    assert!(report.errors.is_empty(), "{:?}", report.errors);
}

#[tokio::test]
async fn plays_again_when_a_match_is_over() {
    let cluster = Cluster::start().await;
    cluster.world.end_at.store(30, SeqCst);
    let report = playing(&cluster, "--players 2 --duration-s 3 --expect snapshots>=0.8").await;
    assert!(report.matches_finished >= 4, "{}", report.table());
    // Between two matches nothing is due.
    assert_eq!(report.shortfalls, Vec::<String>::new(), "{}", report.table());
}

#[tokio::test]
async fn comes_from_many_addresses() {
    let cluster = Cluster::start().await;
    let report = idling(&cluster, "--connections 20 --spread-addresses").await;
    assert_eq!(report.connected, 20);
    assert_eq!(cluster.world.sources.lock().unwrap().len(), 20);
    assert_eq!(cluster.world.hellos.load(SeqCst), 20);
    assert_eq!(report.shortfalls, Vec::<String>::new());
}
