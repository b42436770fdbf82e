//! What remains of the servers when the process that started them is killed: nothing.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use rally_testkit::{Postgres, Redis, eventually};

use crate::{folder_of, is_alive};

/// Tells this executable, started by the test below, to be the victim.
const VICTIM: &str = "RALLY_TESTKIT_VICTIM";

/// Not a test by itself: starts servers, says which, and waits to be killed.
#[tokio::test]
async fn victim() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    let (mut redis, postgres) = (Redis::start().await, Postgres::start().await);
    redis.pause();
    println!("\npids {} {}", redis.pid(), postgres.pid());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn nothing_outlives_a_killed_process() {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "orphans::victim", "--nocapture"])
        .env(VICTIM, "yes")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let pids: Vec<u32> = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("pids ").map(|p| p.split(' ').map(|n| n.parse().unwrap()).collect()))
        .expect("the victim names its servers");
    let folders: Vec<PathBuf> = pids.iter().map(|pid| folder_of(*pid)).collect();
    assert!(pids.iter().all(|pid| is_alive(*pid)) && folders.iter().all(|f| f.exists()));

    victim.kill().unwrap();
    victim.wait().unwrap();

    eventually(Duration::from_secs(20), || async {
        !pids.iter().any(|pid| is_alive(*pid)) && !folders.iter().any(|f| f.parent().unwrap().exists())
    })
    .await;
}
