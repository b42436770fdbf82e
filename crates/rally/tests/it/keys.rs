//! Both kinds of keys are rolled as `rally keys --help` says, one node after another, while two play: nobody meets a key
//! that it does not know.

use std::time::{Duration, Instant};

use rally_client::{
    Api, Encoding, Event, Identity,
    protocol::{EndReason, EventKind, Forfeit, JoinAs, Mode, ServerMessage, Snapshot, close},
};

use crate::support::{
    LONG, Node, Player, Site,
    http::metric,
    pair_ready,
    process::{Vars, run, said},
    site::new_key,
};

/// Nodes in the order in which they are replaced.
const ORDER: [&str; 4] = ["worker", "edge", "worker", "edge"];

/// Edges stay where they are, as behind a name: `port`, where there was one before.
async fn start(site: &Site, at: usize, step: usize, port: u16, cluster: &str, signing: &str) -> Node {
    let name = format!("{}-{at}-{step}", ORDER[at]);
    match ORDER[at] {
        "edge" => {
            let (addr, url) = (format!("127.0.0.1:{port}"), format!("http://127.0.0.1:{port}"));
            let all = [
                ("RALLY_CLUSTER_KEYS", cluster),
                ("RALLY_SIGNING_KEYS", signing),
                ("RALLY_DRAIN_MS", "1500"),
                ("RALLY_HTTP_ADDR", &addr),
                ("RALLY_PUBLIC_URL", &url),
            ];
            let given = if port == 0 { &all[..3] } else { &all };
            let mut edge = site.edge(&name, given).await;
            edge.port = if port == 0 { edge.port } else { port };
            edge
        }
        // Neither gets there while the keys roll.
        _ => site.worker(&name, &[("RALLY_CLUSTER_KEYS", cluster), ("RALLY_SCORE_TO_WIN", "99")]).await,
    }
}

/// A snapshot that comes from now on.
async fn plays_on(player: &mut Player, after: &mut Option<Snapshot>) {
    let before = after.take();
    // What was heard meanwhile does not count.
    while tokio::time::timeout(Duration::ZERO, player.until(|_| Some(()))).await.is_ok() {}
    let next = player.until(|event| match event {
        Event::Message(ServerMessage::Snapshot(snapshot)) => {
            before.as_ref().is_none_or(|before| snapshot.tick > before.tick).then(|| snapshot.clone())
        }
        _ => None,
    });
    *after = Some(next.await);
}

#[tokio::test]
async fn both_keys_roll_one_node_after_another_while_two_play() {
    let site = Site::start().await;
    let [cluster_old, cluster_new, signing_old, signing_new] = [(); 4].map(|()| new_key());
    let mut nodes = Vec::new();
    for at in 0..ORDER.len() {
        nodes.push(start(&site, at, 0, 0, &cluster_old, &signing_old).await);
    }
    let (mut one, mut other) =
        tokio::join!(Player::at(nodes[1].url(), Encoding::Msgpack), Player::at(nodes[3].url(), Encoding::Json));
    let (match_id, _) = pair_ready(Mode::Classic, &mut one, &mut other).await;
    other.event(EventKind::Go).await;
    // Somebody who comes back after each step, and somebody who stays away for all of it.
    let api = |node: &Node| Api::new(node.url());
    let mut returning = api(&nodes[1]).sign_in_as_guest("returning").await.unwrap().tokens;
    let away = api(&nodes[3]).sign_in_as_guest("away").await.unwrap().tokens;

    let lists = |old: &str, new: &str| [format!("{old},{new}"), format!("{new},{old}"), new.to_owned()];
    let steps = lists(&cluster_old, &cluster_new).into_iter().zip(lists(&signing_old, &signing_new)).enumerate();
    let mut seen = [None, None];
    for (step, (cluster, signing)) in steps {
        for at in 0..ORDER.len() {
            // A worker's successor is there before it goes; an edge's people go to the other one meanwhile.
            let next = if ORDER[at] == "worker" {
                Some(start(&site, at, step + 1, 0, &cluster, &signing).await)
            } else {
                None
            };
            nodes[at].terminate();
            let status = nodes[at].ended(LONG).await;
            assert!(status.success(), "{status}");
            nodes[at] = match next {
                Some(next) => next,
                None => start(&site, at, step + 1, nodes[at].port, &cluster, &signing).await,
            };
            plays_on(&mut one, &mut seen[0]).await;
            plays_on(&mut other, &mut seen[1]).await;
            // Who has signed in at either edge is known to the other, whichever of them is the newer.
            for [here, there] in [[1, 3], [3, 1]] {
                let known = api(&nodes[here]).sign_in_as_guest("somebody").await.unwrap();
                drop(Player::again(nodes[there].url(), Encoding::Msgpack, known).await);
            }
            for node in &nodes {
                let refused = metric(node.admin, "rally_fabric_bundles_refused_total", &[("reason", "mac")]).await;
                assert_eq!(refused, 0.0, "a bundle sealed with a key that is not known, at step {step}, {at}");
            }
        }
        returning = api(&nodes[3]).refresh(&returning.refresh).await.unwrap();
        if step == 1 {
            // The new key signs. Within the 30 days that follow, who plays has exchanged the old one's tokens.
            for (player, edge) in [(&mut one, &nodes[1]), (&mut other, &nodes[3])] {
                let tokens = api(edge).refresh(&player.identity.tokens.refresh).await.unwrap();
                let identity = Identity { tokens, ..player.identity.clone() };
                *player = Player::again(edge.url(), Encoding::Msgpack, identity).await;
                player.join(match_id, JoinAs::Player).await;
            }
        }
    }
    // With the old keys gone, what they have signed is worth nothing.
    api(&nodes[1]).refresh(&away.refresh).await.expect_err("signed with a key that is gone");
    api(&nodes[1]).refresh(&returning.refresh).await.unwrap();

    // Whoever has just been sent on is back in a moment, and what was said meanwhile is not heard.
    let db = site.db.connect().await;
    let sql = "SELECT reason FROM matches WHERE id = $1::text::uuid AND ended_at IS NOT NULL";
    let started = Instant::now();
    let reason: String = loop {
        let _ = one.client.send(Forfeit { match_id });
        for player in [&mut one, &mut other] {
            let listened = player.until(|_| None::<()>);
            let _ = tokio::time::timeout(Duration::from_millis(200), listened).await;
        }
        if let Some(row) = db.query_opt(sql, &[&match_id.to_string()]).await.unwrap() {
            break row.get(0);
        }
        assert!(started.elapsed() < LONG, "the match does not end");
    };
    assert_eq!(reason, EndReason::Forfeit.as_str(), "whoever owned it last has recorded it");
    for player in [&one, &other] {
        // Edges that were replaced sent their people on, or were not there for a moment; nobody was refused.
        let lost = &player.lost;
        assert!(!lost.is_empty() && lost.iter().all(|code| code.is_none_or(|code| code == close::RESTART)), "{lost:?}");
    }
}

#[test]
fn the_help_says_how() {
    let help = said(&run(&["keys", "--help"], &Vars::new()));
    for step in ["RALLY_CLUSTER_KEYS=OLD,NEW", "RALLY_CLUSTER_KEYS=NEW,OLD", "RALLY_CLUSTER_KEYS=NEW\n", "30 days"] {
        assert!(help.contains(step), "{step} is not in {help}");
    }
}
