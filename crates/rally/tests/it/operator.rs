//! `rally cluster`: what an operator sees.

use rally_client::{
    Encoding,
    protocol::{JoinAs, Mode},
};
use serde_json::Value;

use crate::support::{
    LONG, Player, Site, pair_ready,
    process::{Vars, run, said},
};

/// What `rally cluster` prints as JSON.
fn picture(vars: &Vars, more: &[&str]) -> Value {
    let out = run(&[&["cluster", "--json"], more].concat(), vars);
    assert!(out.status.success(), "{}", said(&out));
    serde_json::from_slice(&out.stdout).unwrap()
}

#[tokio::test]
async fn shows_nodes_and_matches_and_changes_nothing() {
    let site = Site::start().await;
    let (edge, _worker) = tokio::join!(site.edge("edge-1", &[]), site.worker("worker-1", &[]));
    let (mut one, mut other) =
        tokio::join!(Player::at(edge.url(), Encoding::Msgpack), Player::at(edge.url(), Encoding::Json));
    let (match_id, _) = pair_ready(Mode::Classic, &mut one, &mut other).await;

    // Loads are told once a second.
    let shown = rally_testkit::eventually_ok(LONG, async || {
        let shown = picture(&site.vars(), &["--matches"]);
        if shown["nodes"][0]["load"]["items"] == 2 { Ok(shown) } else { Err(shown) }
    })
    .await;
    let nodes = shown["nodes"].as_array().unwrap();
    let names: Vec<&str> = nodes.iter().map(|node| node["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["edge-1", "worker-1"], "and nobody who only looks");
    assert_eq!(nodes[0]["public_url"], edge.url().to_string());
    assert!(nodes[0].get("matches").is_none());
    assert_eq!(nodes[1]["matches"][0]["match"], match_id.to_string());
    assert_eq!(shown["orphans"], Value::Array(vec![]));

    let out = run(&["cluster", "--matches"], &site.vars());
    let table = said(&out);
    for wanted in ["edge-1", "2 connections", "worker-1", "serving", &match_id.to_string()] {
        assert!(table.contains(wanted), "{wanted} in {table}");
    }
    let joined = one.join(match_id, JoinAs::Player).await;
    assert_eq!(joined.match_id, match_id, "play goes on");
}
