use rally_store::{
    BotLevel, EVENTS_MAX, EndReason, EventKind, FinishError, MatchEvent, MatchResult, Mode, NewMatch, PlayerStats,
    PowerUps, REPLAY_BYTES_MAX, ReplaySegment, Score, Seat, Side,
};
use rally_units::{Epoch, SubStep, Tick};
use serde_json::{Value, json};

use crate::support::{Fixture, duel, held, left_wins, match_id, owner, private, setup};

pub(crate) fn goal(n: u32) -> MatchEvent {
    MatchEvent { n, clock: SubStep(n * 240), kind: EventKind::Goal, data: json!({"scorer": "left", "y": 512.5}) }
}

pub(crate) fn segment(seed: u64, log_bytes: usize) -> ReplaySegment {
    ReplaySegment {
        seed,
        rules_version: 3,
        input_log: (0..log_bytes).map(|n| n as u8).collect(),
        hashes: vec![(Tick(60), u64::MAX), (Tick(120), 1), (Tick(u32::MAX), 0)],
    }
}

/// Rows that a result leaves, all tables together.
async fn traces(t: &Fixture) -> [i64; 5] {
    [
        t.count("match_player_stats").await,
        t.count("match_events").await,
        t.count("replays").await,
        t.count("outbox").await,
        t.count("matches WHERE ended_at IS NOT NULL").await,
    ]
}

#[tokio::test]
async fn a_result_leaves_everything_behind() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    let id = t.create(duel(a, b)).await;
    let result = MatchResult {
        started_at: Some("2026-11-23T09:58:00Z".parse().unwrap()),
        players: [
            PlayerStats {
                paddle_hits: 40,
                fastest_ball: 1473.25,
                power_ups: PowerUps { split: 1, blackout: 2, blackhole: 3 },
                skills_used: 9,
                skills_successful: 5,
                disconnected_ms: 1_250,
            },
            PlayerStats { paddle_hits: u32::MAX, ..PlayerStats::default() },
        ],
        // A number that comes twice must not lose the result.
        events: vec![
            goal(3),
            MatchEvent { kind: EventKind::Skill, ..goal(7) },
            MatchEvent { data: Value::Null, ..goal(3) },
        ],
        replay: vec![segment(u64::MAX, 5_000), segment(8, 0)],
        ..left_wins(id)
    };
    let finished = t.store.finish(&result, Epoch(1)).await.unwrap();

    assert_eq!((finished.score, finished.winner, finished.reason), (result.score, Some(Side::Left), EndReason::Score));
    let [left, right] = finished.ratings.unwrap();
    assert_eq!((left.user, left.before, left.after.round()), (a, 1500.0, 1662.0));
    assert_eq!((right.user, right.before, right.after.round()), (b, 1500.0, 1338.0));
    let rating = t.store.user(a).await.unwrap().unwrap().rating;
    assert_eq!((rating.rating, rating.deviation.round()), (left.after, 290.0));
    assert_eq!(t.store.user(b).await.unwrap().unwrap().rating.rating, right.after);

    assert_eq!(t.store.recorded_result(id).await.unwrap(), Some(finished));
    assert_eq!(t.store.replay(id).await.unwrap(), result.replay);
    assert_eq!(t.store.replay(match_id()).await.unwrap(), []);
    assert_eq!(t.store.active_match(a).await.unwrap(), None);
    assert_eq!(t.store.owner_of(id).await.unwrap(), None);
    assert_eq!(traces(&t).await, [2, 2, 2, 1, 1]);

    let row = t.sql.query_one("SELECT * FROM match_player_stats WHERE side = 'left'", &[]).await.unwrap();
    let numbers = [
        "paddle_hits",
        "power_ups_split",
        "power_ups_blackout",
        "power_ups_blackhole",
        "skills_used",
        "skills_successful",
        "disconnected_ms",
    ]
    .map(|column| row.get::<_, i64>(column));
    assert_eq!(numbers, [40, 1, 2, 3, 9, 5, 1_250]);
    assert_eq!(row.get::<_, f64>("fastest_ball"), 1473.25);
    let row = t.sql.query_one("SELECT * FROM match_events WHERE n = 3", &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>("clock_sub_steps"), row.get::<_, &str>("kind")), (720, "goal"));
    assert_eq!(row.get::<_, Value>("data"), json!({"scorer": "left", "y": 512.5}));
    let row = t.sql.query_one("SELECT * FROM matches", &[]).await.unwrap();
    assert_eq!(row.get::<_, jiff::Timestamp>("started_at"), result.started_at.unwrap());
    assert_eq!(row.get::<_, jiff::Timestamp>("ended_at"), result.ended_at);
    assert_eq!(row.get::<_, i64>("duration_sub_steps"), i64::from(result.duration.0));
    let row = t.sql.query_one("SELECT * FROM outbox", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>("kind"), "match_finished");
    assert_eq!(
        row.get::<_, Value>("payload"),
        json!({
            "match": id.to_string(), "mode": "ranked", "players": [a.to_string(), b.to_string()], "score": [11, 4],
            "winner": "left", "reason": "score", "ended_at": "2026-11-23T10:00:00.123456Z",
        })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_result_is_recorded_once() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    for round in 1..=5 {
        let id = t.create(duel(a, b)).await;
        let tasks: Vec<_> = (0..8u16)
            .map(|n| {
                // Each would leave another score.
                let result = MatchResult {
                    score: Score { left: 11, right: n },
                    events: vec![goal(1)],
                    replay: vec![segment(1, 10)],
                    ..left_wins(id)
                };
                let store = t.store.clone();
                tokio::spawn(async move { store.finish(&result, Epoch(1)).await })
            })
            .collect();
        let (mut first, mut others) = (Vec::new(), Vec::new());
        for task in tasks {
            match task.await.unwrap() {
                Ok(finished) => first.push(finished),
                Err(FinishError::AlreadyRecorded(recorded)) => others.push(*recorded),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!((first.len(), others.len()), (1, 7));
        assert!(others.iter().all(|other| *other == first[0]), "{first:?} {others:?}");
        assert_eq!(traces(&t).await, [2, 1, 1, 1, 1].map(|n| n * round));
        assert_eq!(t.store.user(a).await.unwrap().unwrap().rating.rating, first[0].ratings.unwrap()[0].after);
        assert_eq!(t.count("active_seats").await, 0);
    }
}

#[tokio::test]
async fn a_former_owner_records_nothing() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    let id = t.create(duel(a, b)).await;
    assert_eq!(t.store.take(&[(id, Epoch(1))], owner(2)).await.unwrap(), [(id, Epoch(2))]);
    let result = MatchResult { events: vec![goal(1)], replay: vec![segment(1, 10)], ..left_wins(id) };

    // One that was, and one that never was.
    for epoch in [Epoch(1), Epoch(3)] {
        let error = t.store.finish(&result, epoch).await.unwrap_err();
        assert!(matches!(error, FinishError::Fenced { current: Epoch(2) }), "{error}");
    }
    assert_eq!(traces(&t).await, [0; 5]);
    assert_eq!(t.count("active_seats").await, 2);
    assert_eq!(t.store.user(a).await.unwrap().unwrap().rating.rating, 1500.0);

    t.store.finish(&result, Epoch(2)).await.unwrap();
    let error = t.store.finish(&result, Epoch(1)).await.unwrap_err();
    assert!(matches!(error, FinishError::Fenced { .. }), "{error}");
    let error = t.store.finish(&left_wins(match_id()), Epoch(1)).await.unwrap_err();
    assert!(matches!(error, FinishError::NoSuchMatch), "{error}");
}

/// Either the owner recorded and nobody took the match, or the match was taken and the owner recorded nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn recording_and_taking_exclude_each_other() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    for _ in 0..40 {
        let id = t.create(duel(a, b)).await;
        let (result, expected) = (left_wins(id), [(id, Epoch(1))]);
        let (recorded, taken) = tokio::join!(t.store.finish(&result, Epoch(1)), t.store.take(&expected, owner(2)));
        match (recorded, taken.unwrap().as_slice()) {
            (Ok(_), []) => {}
            (Err(FinishError::Fenced { current: Epoch(2) }), [(taken, Epoch(2))]) if *taken == id => {
                assert!(t.store.recorded_result(id).await.unwrap().is_none());
                t.store.void_match(id, held(2), EndReason::Abandoned).await.unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn ratings_start_from_what_is_committed() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    let id = t.create(duel(a, b)).await;
    // Somebody else is changing a player's rating.
    t.sql.batch_execute("BEGIN; UPDATE users SET rating = 2000, rating_deviation = 50").await.unwrap();
    let finishing = tokio::spawn({
        let store = t.store.clone();
        async move { store.finish(&left_wins(id), Epoch(1)).await }
    });
    t.until_one_waits_for_a_lock().await;
    t.sql.batch_execute("COMMIT").await.unwrap();
    let [left, right] = finishing.await.unwrap().unwrap().ratings.unwrap();
    assert_eq!((left.before, right.before), (2000.0, 2000.0));
    assert!(left.after > 2000.0 && right.after < 2000.0);
}

#[tokio::test]
async fn only_rated_matches_with_a_winner_change_ratings() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    let rated = async |new: NewMatch, result: MatchResult| {
        let id = t.create(new).await;
        t.store.finish(&MatchResult { match_id: id, ..result }, Epoch(1)).await.unwrap().ratings.is_some()
    };
    let won = left_wins(match_id());
    let abandoned = MatchResult { winner: None, reason: EndReason::Abandoned, ..won.clone() };
    for mode in [Mode::Casual, Mode::Classic, Mode::Duel] {
        assert!(!rated(NewMatch { mode, ..duel(a, b) }, won.clone()).await, "{mode:?}");
    }
    assert!(!rated(duel(a, b), abandoned).await);
    for level in [BotLevel::Easy, BotLevel::Normal, BotLevel::Hard] {
        let seats = [Seat::Player(a), Seat::Bot(level)];
        assert!(!rated(NewMatch { mode: Mode::Practice, seats, ..duel(a, b) }, won.clone()).await);
    }
    let seats = [Seat::Player(a), Seat::Shared];
    assert!(!rated(NewMatch { mode: Mode::Local, seats, ..duel(a, b) }, won.clone()).await);
    assert!(!rated(private(a), won.clone()).await);
    assert_eq!(t.store.user(a).await.unwrap().unwrap().rating.rating, 1500.0);

    let forfeit = MatchResult { winner: Some(Side::Right), reason: EndReason::Forfeit, ..won.clone() };
    assert!(rated(NewMatch { mode: Mode::Tournament, ..duel(a, b) }, forfeit).await);
    assert!(rated(duel(a, b), MatchResult { reason: EndReason::Timeout, ..won }).await);
    assert_ne!(t.store.user(a).await.unwrap().unwrap().rating.rating, 1500.0);
}

#[tokio::test]
async fn what_is_too_large_does_not_lose_the_result() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    let id = t.create(duel(a, b)).await;
    let result = MatchResult {
        events: (0..u32::try_from(EVENTS_MAX).unwrap() + 5).map(goal).collect(),
        replay: vec![segment(1, REPLAY_BYTES_MAX / 2), segment(2, REPLAY_BYTES_MAX / 2 + 1)],
        ..left_wins(id)
    };
    t.store.finish(&result, Epoch(1)).await.unwrap();
    assert_eq!(traces(&t).await, [2, i64::try_from(EVENTS_MAX).unwrap(), 0, 1, 1]);
    assert!(t.store.recorded_result(id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_contradictory_result_is_refused_as_a_whole() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    let id = t.create(duel(a, b)).await;
    let result = MatchResult { winner: None, ..left_wins(id) };
    match t.store.finish(&result, Epoch(1)).await {
        Err(FinishError::Store(error)) => assert!(!error.is_unavailable(), "{error}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(traces(&t).await, [0; 5]);
    // The connection is fit for use, and the match is free.
    t.store.finish(&left_wins(id), Epoch(1)).await.unwrap();
}
