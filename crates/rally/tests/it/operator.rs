//! `rally cluster`: what an operator sees. `rally admin`: what an operator does for people.

use rally_client::{
    Encoding,
    protocol::{JoinAs, Mode},
};
use serde_json::Value;

use crate::support::{
    LONG, Player, Site, http, pair_ready,
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

#[tokio::test]
async fn moves_a_match_and_drains_a_node() {
    let site = Site::start().await;
    let (edge, _one, _two) =
        tokio::join!(site.edge("edge-1", &[]), site.worker("worker-1", &[]), site.worker("worker-2", &[]));
    let (mut one, mut other) =
        tokio::join!(Player::at(edge.url(), Encoding::Msgpack), Player::at(edge.url(), Encoding::Json));
    let (match_id, _) = pair_ready(Mode::Classic, &mut one, &mut other).await;
    let host = || {
        let shown = picture(&site.vars(), &["--matches"]);
        let workers = shown["nodes"].as_array().unwrap().iter().filter(|node| node["role"] == "worker");
        let hosts = workers.filter(|node| !node["matches"].as_array().unwrap().is_empty());
        hosts.map(|node| node["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let [first] = &host()[..] else { panic!("one worker has the match") };
    let second = if first == "worker-1" { "worker-2" } else { "worker-1" };

    let unknown = run(&["cluster", "drain", "worker-9"], &site.vars());
    assert!(!unknown.status.success() && said(&unknown).contains("no node is called worker-9"), "{}", said(&unknown));
    let there = run(&["cluster", "move", &match_id.to_string(), first], &site.vars());
    assert!(!there.status.success(), "{}", said(&there));

    let told = run(&["cluster", "move", &match_id.to_string(), second], &site.vars());
    assert!(told.status.success(), "{}", said(&told));
    let hosts_are = async |wanted: &str| {
        let hosts = host();
        if hosts == [wanted] { Ok(()) } else { Err(format!("{hosts:?}")) }
    };
    rally_testkit::eventually_ok(LONG, async || hosts_are(second).await).await;

    let told = run(&["cluster", "drain", second], &site.vars());
    assert!(told.status.success(), "{}", said(&told));
    rally_testkit::eventually_ok(LONG, async || hosts_are(first).await).await;
    let joined = one.join(match_id, JoinAs::Player).await;
    assert_eq!(joined.match_id, match_id, "play goes on");
}

#[tokio::test]
async fn helps_who_has_lost_a_password() {
    let site = Site::start().await;
    let edge = site.edge("edge-1", &[]).await;
    let admin = |args: &[&str]| run(&[&["admin"], args].concat(), &site.vars());
    let code_of = |out: &std::process::Output| said(out).lines().last().unwrap().to_owned();

    let made = admin(&["create", "Boss"]);
    assert!(made.status.success() && said(&made).contains("Boss is an operator's account"), "{}", said(&made));
    let recover = async |name: &str, code: &str, password: &str| {
        let body = serde_json::json!({ "username": name, "recovery_code": code, "new_password": password });
        http::post([127, 0, 0, 1], edge.port, "/api/v1/auth/recover", &[], &body.to_string()).await.status
    };
    let code = code_of(&made);
    assert_eq!(recover("boss", &code, "correct horse battery staple").await, 200);
    assert_eq!(recover("boss", &code, "six blue lamps on a boat").await, 401, "it is good once");
    let again = admin(&["create", "boss"]);
    assert!(again.status.success() && said(&again).contains("is an operator from now on"), "{}", said(&again));

    let reset = admin(&["reset", "boss", "--totp"]);
    assert!(reset.status.success() && said(&reset).contains("second factor of Boss is gone"), "{}", said(&reset));
    assert_eq!(recover("boss", &code_of(&reset), "six blue lamps on a boat").await, 200);
    for (args, fault) in [(["reset", "nobody"], "no account"), (["create", "a b"], "is no name")] {
        let refused = admin(&args);
        assert!(!refused.status.success() && said(&refused).contains(fault), "{}", said(&refused));
    }
}
