//! Load scripts that talk to a server directly, on the schema as it is.

use std::process::Command;

use rally_manifests::repository;
use rally_service::local::{ScratchDir, find_postgres};

use crate::support::{Site, process::said};

#[tokio::test]
async fn pgbench_writes_matches_that_the_schema_takes() {
    let site = Site::start().await;
    let programs = find_postgres().unwrap().remove(0).path;
    let path = format!("{}:{}", programs.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let dir = ScratchDir::new("pgbench").unwrap();
    let summary = dir.path().join("pgbench").display().to_string();
    let output = Command::new("bash")
        .arg(repository().join("scripts/load.sh"))
        .arg("pgbench")
        .envs([("PATH", path.as_str()), ("DATABASE_URL", site.db.url()), ("SUMMARY", &summary)])
        .envs([("DURATION", "1"), ("PEOPLE", "50")])
        .output()
        .unwrap();
    if said(&output).contains("skipped: ") {
        eprintln!("{}", said(&output));
        return;
    }
    assert!(output.status.success(), "{}", said(&output));
    let report = std::fs::read_to_string(format!("{summary}.txt")).unwrap();
    assert!(report.contains("tps = ") && report.contains("INSERT INTO replays"), "{report}");
    let db = site.db.connect().await;
    let ended: i64 = db.query_one("SELECT count(*) FROM matches WHERE reason = 'score'", &[]).await.unwrap().get(0);
    let replays: i64 = db.query_one("SELECT count(*) FROM replays", &[]).await.unwrap().get(0);
    let seats: i64 = db.query_one("SELECT count(*) FROM active_seats", &[]).await.unwrap().get(0);
    assert!(ended > 0 && ended == replays, "{ended} {replays}");
    assert_eq!(seats, 0);
}
