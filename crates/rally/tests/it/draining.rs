//! Nodes that are asked to end: their matches are finished first, or given up by the deadline; their players go
//! elsewhere and keep their match.

use std::time::{Duration, Instant};

use rally_client::{
    Encoding, Event,
    protocol::{EndReason, EventKind, Forfeit, GameOver, JoinAs, Mode, QueueJoin, close},
};
use rally_testkit::eventually;
use rally_units::MatchId;

use crate::support::{LONG, Player, Raw, SCORE_TO_WIN, Site, http::get, pair_ready};

async fn two_in_play(site: &Site, edges: [&crate::support::Node; 2]) -> (MatchId, Player, Player) {
    let (mut one, mut other) =
        tokio::join!(Player::at(edges[0].url(), Encoding::Msgpack), Player::at(edges[1].url(), Encoding::Json));
    let (match_id, _) = pair_ready(Mode::Classic, &mut one, &mut other).await;
    other.event(EventKind::Go).await;
    assert_eq!(seats(site).await, 2);
    (match_id, one, other)
}

async fn seats(site: &Site) -> i64 {
    site.db.connect().await.query_one("SELECT count(*) FROM active_seats", &[]).await.unwrap().get(0)
}

async fn recorded(site: &Site, over: &GameOver) {
    let sql = "SELECT reason, score_left, score_right FROM matches WHERE id = $1::text::uuid";
    let row = site.db.connect().await.query_one(sql, &[&over.match_id.to_string()]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), over.reason.as_str());
    assert_eq!([row.get::<_, i32>(1), row.get(2)], over.score.map(i32::from));
    assert_eq!(seats(site).await, 0);
}

#[tokio::test]
async fn a_worker_finishes_its_matches_before_it_ends() {
    let site = Site::start().await;
    let (edge, mut worker) = tokio::join!(site.edge("edge-1", &[]), site.worker("worker-1", &[]));
    let (match_id, mut one, mut other) = two_in_play(&site, [&edge, &edge]).await;

    worker.terminate();
    eventually(LONG, async || get(worker.admin, "/readyz").await.is_ok_and(|a| a.status == 503)).await;
    assert_eq!(get(worker.admin, "/healthz").await.unwrap().status, 200, "alive while it drains");
    // The match goes on as if nothing were, and takes as long as it takes.
    one.step_aside(match_id);
    other.step_aside(match_id);
    let (over, same) = tokio::join!(one.over(), other.over());
    assert_eq!(over, same);
    assert_eq!((over.reason, over.score.iter().max()), (EndReason::Score, Some(&SCORE_TO_WIN)));
    recorded(&site, &over).await;
    let status = worker.ended(LONG).await;
    assert!(status.success(), "{status}");

    // Without a worker one waits; with the next one play goes on.
    one.send(QueueJoin { mode: Mode::Casual, skill: None });
    other.send(QueueJoin { mode: Mode::Casual, skill: None });
    let _next = site.worker("worker-2", &[]).await;
    let (found, also_found) = tokio::join!(one.found(), other.found());
    assert_eq!(found.match_id, also_found.match_id);
}

#[tokio::test]
async fn a_worker_gives_up_by_the_deadline_what_does_not_end() {
    let site = Site::start().await;
    let drain_within = Duration::from_secs(5);
    let bound = drain_within.as_millis().to_string();
    let bound = [("RALLY_DRAIN_MS", bound.as_str())];
    let (edge, mut worker) = tokio::join!(site.edge("edge-1", &[]), site.worker("worker-1", &bound));
    let (match_id, mut one, mut other) = two_in_play(&site, [&edge, &edge]).await;

    // Neither moves, so each flat serve is returned for ever.
    worker.terminate();
    let asked_at = Instant::now();
    let (over, same) = tokio::join!(one.over(), other.over());
    assert_eq!(over, same);
    assert_eq!((over.match_id, over.winner, over.reason), (match_id, None, EndReason::Abandoned));
    recorded(&site, &over).await;
    let status = worker.ended(LONG).await;
    assert!(status.success(), "{status}");
    // The deadline, what the process grants its role after it, and a busy machine.
    assert!(asked_at.elapsed() < drain_within + Duration::from_secs(5), "{:?}", asked_at.elapsed());
}

#[tokio::test]
async fn the_people_of_an_edge_go_to_another_and_keep_their_match() {
    let site = Site::start().await;
    let (mut first, second, _worker) =
        tokio::join!(site.edge("edge-1", &[]), site.edge("edge-2", &[]), site.worker("worker-1", &[]));
    // An edge that has only just come is not known to the others at once.
    eventually(LONG, async || Player::at(first.url(), Encoding::Json).await.welcome.edges.len() == 2).await;
    let (match_id, mut one, mut other) = two_in_play(&site, [&first, &second]).await;
    // Somebody who is in no match, by hand: what is said, and in which order.
    let idle = Player::at(first.url(), Encoding::Msgpack).await;
    let mut raw = Raw::open(first.port, &idle.identity.tokens.access).await;
    drop(idle);

    first.terminate();
    let watch = async {
        let reconnect = raw.until("reconnect").await;
        assert_eq!(reconnect["reason"], "drain");
        assert!(reconnect["after_ms"].as_u64().unwrap() <= 5_000, "{reconnect}");
        assert_eq!(raw.closed().await, (vec![], close::RESTART));
    };
    let come_back = one.until(|event| match event {
        Event::Connected { edge, welcome } => Some((edge.clone(), welcome.match_id)),
        _ => None,
    });
    let (at, ()) = tokio::join!(come_back, watch);
    assert_eq!(at, (second.url(), Some(match_id)));
    assert_eq!(one.lost, [Some(close::RESTART)]);
    let status = first.ended(LONG).await;
    assert!(status.success(), "{status}");

    // The SDK has joined again. Neither had to be waited for long enough to pause.
    let joined = one.joined().await;
    assert_eq!(joined.match_id, match_id);
    let back = other.event(EventKind::Back).await;
    assert_eq!(back.side.map(Into::into), Some(joined.side));
    // New people are taken by the other edge as before, and what is played goes on.
    let mut watcher = Player::at(second.url(), Encoding::Json).await;
    watcher.join(match_id, JoinAs::Spectator).await;
    one.client.input(match_id, rally_client::protocol::Dir::Up, false).unwrap();
    one.applied(back.side.unwrap(), 1).await;
    one.send(Forfeit { match_id });
    let (over, same, seen) = tokio::join!(one.over(), other.over(), watcher.over());
    assert_eq!((&over, &over), (&same, &seen));
    assert_eq!(over.reason, EndReason::Forfeit);
    recorded(&site, &over).await;
}
