//! Players whose connections end: they come back on any edge, and never lost their seat.

use std::time::{Duration, Instant};

use rally_client::{
    Encoding,
    protocol::{Dir, EndReason, EventKind, Forfeit, JoinAs, Mode, close},
};
use serde_json::json;

use crate::support::{Player, Raw, pair_ready, shared};

#[tokio::test]
async fn a_player_comes_back_on_the_other_edge_and_the_newest_connection_has_the_seat() {
    let [first, second] = &shared().await.edges;
    let (mut player, mut opponent) =
        tokio::join!(Player::at(first.url(), Encoding::Msgpack), Player::at(second.url(), Encoding::Json));
    let (match_id, side) = pair_ready(Mode::Casual, &mut player, &mut opponent).await;
    opponent.event(EventKind::Go).await;
    for seq in 1..=3 {
        player.client.input(match_id, Dir::Stay, false).unwrap();
        player.applied(side, seq).await;
    }

    // Gone, and back on the other edge.
    let went_at = Instant::now();
    let identity = player.identity.clone();
    drop(player);
    let away = opponent.event(EventKind::Away).await;
    assert_eq!(away.side, Some(side));
    let mut raw = Raw::connect(second.port).await;
    raw.hello(&identity.tokens.access).await;
    let welcome = raw.until("welcome").await;
    assert_eq!(welcome["match"], match_id.to_string());
    raw.say(json!({ "type": "match_join", "match": match_id, "as": "player" })).await;
    let joined = raw.until("match_joined").await;
    assert_eq!((joined["side"].as_str(), joined["phase"].as_str()), (Some(side.as_str()), Some("playing")));
    let back = opponent.event(EventKind::Back).await;
    assert_eq!(back.side, Some(side));
    // On a machine that is so busy that this took 2 s, the match has paused, rightly.
    if went_at.elapsed() < Duration::from_millis(1_500) {
        assert!(!opponent.events.iter().any(|event| event.event == EventKind::Paused));
    }

    // Numbers begin again at 1 after `match_joined`; the old count is refused.
    let input = |seq: u32, dir: i8| json!({ "type": "input", "match": match_id, "seq": seq, "dir": dir });
    raw.say(input(1, 1)).await;
    loop {
        let snapshot = raw.until("snapshot").await;
        if snapshot["ack"][side.index()] == 1 {
            assert_eq!(snapshot["paddles"][side.index()][1], 1);
            break;
        }
    }
    let (code, of) = raw.refused(input(1, -1)).await;
    assert_eq!((&*code, of.as_deref()), ("invalid_input", Some("input")));

    // A newer connection of the same person, here or there, takes the seat; the older one is told.
    let take_over = async {
        let mut newest = Player::again(first.url(), Encoding::Msgpack, identity).await;
        assert_eq!(newest.welcome.match_id, Some(match_id));
        assert_eq!(newest.join(match_id, JoinAs::Player).await.side, side.into());
        newest
    };
    let (newest, (errors, code)) = tokio::join!(take_over, raw.closed());
    assert_eq!((errors, code), (vec![], close::SEAT_TAKEN));

    newest.send(Forfeit { match_id });
    let over = opponent.over().await;
    assert_eq!((over.winner, over.reason), (Some(side.opponent()), EndReason::Forfeit));
    // Being taken over is no absence.
    let absences = opponent.events.iter().filter(|event| event.event == EventKind::Away).count();
    assert_eq!(absences, 1);
    assert!(opponent.lost.is_empty());
}
