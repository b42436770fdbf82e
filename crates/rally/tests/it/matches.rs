//! Players on different edges, from the queue to the recorded result.

use rally_client::{
    Api, Encoding, NewMatch,
    protocol::{
        Dir, EndReason, ErrorCode, EventKind, Forfeit, GameOver, InputMessage, JoinAs, Level, MatchJoin, Mode, Pause,
        Phase, Place, QueueJoin, ResumePlay, ServerMessage, Side, Skill,
    },
};
use rally_units::MatchId;

use crate::support::{Player, SCORE_TO_WIN, alone_in_queue, by_side, cluster::Cluster, pair, pair_ready, shared};

/// What is recorded of a match: exactly what `game_over` said, at the moment at which it was said.
async fn recorded(cluster: &Cluster, over: &GameOver) {
    let db = cluster.db.connect().await;
    let id = over.match_id.to_string();
    let row = db
        .query_one(
            "SELECT winner, reason, score_left, score_right, ended_at IS NOT NULL FROM matches WHERE id = $1::text::uuid",
            &[&id],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, Option<&str>>(0), over.winner.map(Side::as_str));
    assert_eq!(row.get::<_, &str>(1), over.reason.as_str());
    assert_eq!([row.get::<_, i32>(2), row.get(3)], over.score.map(i32::from));
    assert!(row.get::<_, bool>(4));
    let count = async |from: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM {from} match_id = $1::text::uuid");
        db.query_one(&sql, &[&id]).await.unwrap().get(0)
    };
    assert_eq!(count("active_seats WHERE").await, 0, "its players are free");
    assert_eq!(count("match_player_stats WHERE").await, 2);
    assert!(count("replays WHERE").await >= 1);
    let goals: i64 = over.score.map(i64::from).iter().sum();
    assert_eq!(count("match_events WHERE kind = 'goal' AND").await, goals);
}

/// All events of a match came, each once and in order: `first` is the number of the last one before.
fn complete(player: &Player, match_id: MatchId, last_before: u32) {
    let numbers: Vec<u32> = player.events.iter().filter(|e| e.match_id == match_id).map(|e| e.n).collect();
    let last = *numbers.last().expect("events");
    assert_eq!(numbers, (last_before + 1..=last).collect::<Vec<_>>());
}

async fn meet_and_play(mode: Mode) -> GameOver {
    let cluster = shared().await;
    let [one, other] = &cluster.edges;
    // Both encodings, and a watcher on either edge.
    let (mut one, mut other, mut watcher) = tokio::join!(
        Player::at(one.url(), Encoding::Msgpack),
        Player::at(other.url(), Encoding::Json),
        Player::at(other.url(), Encoding::Msgpack),
    );
    assert_ne!(one.welcome.edge, other.welcome.edge);
    let (match_id, side) = pair(mode, &mut one, &mut other).await;
    let (left, right) = by_side(side, &mut one, &mut other);
    let (l, r) = tokio::join!(left.join(match_id, JoinAs::Player), right.join(match_id, JoinAs::Player));
    assert_eq!((l.side, r.side), (Place::Left, Place::Right));
    assert_eq!((l.mode, l.classic, l.private, l.phase), (mode, mode == Mode::Classic, false, Phase::Waiting));
    assert_eq!(l.score_to_win, SCORE_TO_WIN);
    let names = |joined: &rally_client::protocol::MatchJoined| {
        joined.players.clone().map(|player| player.expect("a player").user.expect("a person"))
    };
    assert_eq!(names(&r), [left.identity.user.id, right.identity.user.id]);
    let w = watcher.join(match_id, JoinAs::Spectator).await;
    assert_eq!((w.side, names(&w)), (Place::Spectator, names(&r)));

    left.ready(match_id);
    right.ready(match_id);
    left.event(EventKind::Go).await;
    // One of them leaves the goal open; the other's paddle returns every flat serve.
    left.step_aside(match_id);
    left.applied(Side::Left, 1).await;
    let (over, same, seen) = tokio::join!(left.over(), right.over(), watcher.over());
    assert_eq!((&over, &over), (&same, &seen));
    recorded(cluster, &over).await;

    assert_eq!((over.reason, over.score.iter().max()), (EndReason::Score, Some(&SCORE_TO_WIN)));
    complete(left, match_id, l.last_event);
    complete(right, match_id, r.last_event);
    complete(&watcher, match_id, w.last_event);
    let of = |kind| watcher.events.iter().filter(move |event| event.event == kind);
    assert_eq!(of(EventKind::Ready).count(), 2);
    assert_eq!(of(EventKind::Countdown).map(|e| e.value.unwrap()).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(of(EventKind::Go).count(), 1);
    assert_eq!(of(EventKind::ResultPending).count(), 1);
    let mut score = [0; 2];
    for goal in of(EventKind::Goal) {
        score[goal.side.unwrap().index()] += 1;
        assert_eq!(goal.score, Some(score));
    }
    assert_eq!(score, over.score);

    // Free again: both may queue at once, and leave.
    let _alone = alone_in_queue(mode).await;
    left.send(QueueJoin { mode, skill: None });
    let answered = left.message(|message| match message {
        ServerMessage::Queued(_) => Some(Ok(())),
        ServerMessage::ErrorMessage(error) => Some(Err(error.clone())),
        _ => None,
    });
    assert_eq!(answered.await, Ok(()));
    left.send(rally_client::protocol::QueueLeave {});
    left.message(|message| matches!(message, ServerMessage::QueueLeft(_)).then_some(())).await;
    over
}

#[tokio::test]
async fn two_on_two_edges_play_to_the_end_while_a_third_watches() {
    let (casual, classic) = tokio::join!(meet_and_play(Mode::Casual), meet_and_play(Mode::Classic));
    assert_eq!((casual.ratings, classic.ratings), (None, None));
    assert_eq!((classic.winner, classic.score), (Some(Side::Right), [0, SCORE_TO_WIN]), "nothing but flat serves");
}

#[tokio::test]
async fn a_ranked_match_changes_both_ratings() {
    let over = meet_and_play(Mode::Ranked).await;
    let winner = over.winner.unwrap();
    let ratings = over.ratings.expect("ratings");
    let (won, lost) = (ratings[winner.index()], ratings[winner.opponent().index()]);
    assert!(won.0 == 1500 && won.1 > 1500 && lost.0 == 1500 && lost.1 < 1500, "{ratings:?}");
    let db = shared().await.db.connect().await;
    let rows = db
        .query(
            "SELECT round(u.rating)::bigint, round(s.rating_before)::bigint, round(s.rating_after)::bigint
             FROM match_player_stats s JOIN users u ON u.id = s.user_id WHERE s.match_id = $1::text::uuid ORDER BY s.side",
            &[&over.match_id.to_string()],
        )
        .await
        .unwrap();
    let stored: Vec<[i64; 3]> = rows.iter().map(|row| [row.get(0), row.get(1), row.get(2)]).collect();
    let told: Vec<[i64; 3]> = ratings.iter().map(|(before, after)| [*after, *before, *after].map(i64::from)).collect();
    assert_eq!(stored, told);
}

#[tokio::test]
async fn a_private_match_is_for_whoever_has_its_link() {
    let cluster = shared().await;
    let [one, other] = &cluster.edges;
    let (mut host, mut guest, mut third) = tokio::join!(
        Player::at(one.url(), Encoding::Json),
        Player::at(other.url(), Encoding::Msgpack),
        Player::at(one.url(), Encoding::Msgpack),
    );
    let wanted = NewMatch::Private { skill: Skill::Dash, classic: false };
    let match_id = Api::new(one.url()).create_match(&host.identity.tokens.access, &wanted).await.unwrap();
    let joined = host.join(match_id, JoinAs::Player).await;
    assert_eq!((joined.side, joined.private, &joined.players[1]), (Place::Left, true, &None));
    let joined = guest.join(match_id, JoinAs::Player).await;
    assert_eq!((joined.side, joined.mode), (Place::Right, Mode::Duel));
    assert_eq!(joined.players[0].as_ref().unwrap().skill, Some(Skill::Dash));
    // No seat is left, and nobody watches.
    for join_as in [JoinAs::Player, JoinAs::Spectator] {
        third.send(MatchJoin { match_id, join_as, skill: None });
        let refused = third.error().await;
        assert_eq!((refused.code, refused.match_id), (ErrorCode::Forbidden, Some(match_id)));
    }
    host.ready(match_id);
    guest.ready(match_id);
    guest.event(EventKind::Go).await;
    host.step_aside(match_id);
    guest.step_aside(match_id);
    let (over, same) = tokio::join!(host.over(), guest.over());
    assert_eq!(over, same);
    recorded(cluster, &over).await;
}

async fn practise(level: Level, encoding: Encoding) {
    let cluster = shared().await;
    let edge = &cluster.edges[level as usize % 2];
    let mut player = Player::at(edge.url(), encoding).await;
    let wanted = NewMatch::Practice { level, skill: Skill::Smash, classic: true };
    let match_id = Api::new(edge.url()).create_match(&player.identity.tokens.access, &wanted).await.unwrap();
    let joined = player.join(match_id, JoinAs::Player).await;
    let bot = joined.players[1].clone().expect("a bot");
    assert_eq!((joined.side, bot.bot, bot.user, bot.ready), (Place::Left, Some(level), None, true));
    player.ready(match_id);
    player.event(EventKind::Go).await;
    player.step_aside(match_id);
    let over = player.over().await;
    assert_eq!(over.reason, EndReason::Score);
    recorded(cluster, &over).await;
}

async fn play_both_sides() {
    let cluster = shared().await;
    let edge = &cluster.edges[1];
    let mut player = Player::at(edge.url(), Encoding::Json).await;
    let wanted = NewMatch::Local { classic: true };
    let match_id = Api::new(edge.url()).create_match(&player.identity.tokens.access, &wanted).await.unwrap();
    assert_eq!(player.join(match_id, JoinAs::Player).await.side, Place::Both);
    player.ready(match_id);
    player.event(EventKind::Go).await;
    for (side, dir) in [(Side::Left, Dir::Up), (Side::Right, Dir::Down)] {
        player.send(InputMessage { match_id, seq: 0, dir, press: false, side: Some(side) });
    }
    // Each paddle has its own numbers.
    let paddles = player.message(|message| match message {
        ServerMessage::Snapshot(snapshot) => (snapshot.ack == [1, 1]).then_some(snapshot.paddles),
        _ => None,
    });
    assert_eq!(paddles.await.map(|(_, dir)| dir), [Dir::Up, Dir::Down]);
    let over = player.over().await;
    assert_eq!(over.reason, EndReason::Score);
    recorded(cluster, &over).await;
}

#[tokio::test]
async fn one_plays_the_bot_at_each_level_or_both_sides() {
    tokio::join!(
        practise(Level::Easy, Encoding::Msgpack),
        practise(Level::Normal, Encoding::Json),
        practise(Level::Hard, Encoding::Msgpack),
        play_both_sides(),
    );
}

#[tokio::test]
async fn a_match_can_be_paused_resumed_and_given_up() {
    let cluster = shared().await;
    let [one, other] = &cluster.edges;
    let (mut one, mut other) =
        tokio::join!(Player::at(one.url(), Encoding::Msgpack), Player::at(other.url(), Encoding::Msgpack));
    let (match_id, side) = pair_ready(Mode::Classic, &mut one, &mut other).await;
    let (left, right) = by_side(side, &mut one, &mut other);
    right.event(EventKind::Go).await;

    left.send(Pause { match_id });
    let paused = right.event(EventKind::Paused).await;
    assert_eq!((paused.side, paused.value), (Some(Side::Left), Some(2)));
    // The clock stands, snapshots go on.
    let clock = |message: &ServerMessage| match message {
        ServerMessage::Snapshot(snapshot) if snapshot.phase == Phase::Paused => Some(snapshot.clock),
        _ => None,
    };
    assert_eq!(right.message(clock).await, right.message(clock).await);
    // A pause within a pause is none.
    right.send(Pause { match_id });
    assert_eq!(right.error().await.of.as_deref(), Some("pause"));

    right.send(ResumePlay { match_id });
    let resumed = left.event(EventKind::Resumed).await;
    assert_eq!(resumed.side, Some(Side::Right));
    assert_eq!(left.event(EventKind::Countdown).await.value, Some(3));
    left.event(EventKind::Go).await;

    left.send(Forfeit { match_id });
    let (over, same) = tokio::join!(left.over(), right.over());
    assert_eq!(over, same);
    assert_eq!((over.winner, over.reason), (Some(Side::Right), EndReason::Forfeit));
    recorded(cluster, &over).await;
}
