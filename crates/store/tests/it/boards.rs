//! Leaderboards of friends and around one, and what those meet who have played very much: with plans, on many rows.

use rally_store::{
    CURVE_SQL, LeaderboardSort, MatchFilter, MatchSort, Mode, RANK_SQL, around_sql, friends_sql, matches_sql,
};
use rally_units::UserId;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    history::{explain, nodes, reads_a_page_along},
    support::{Fixture, setup},
};

/// Ranked players, the best first.
async fn players<const N: usize>(t: &Fixture) -> [UserId; N] {
    let mut players: [UserId; N] = t.guests().await;
    players.reverse();
    for (n, player) in players.iter().enumerate() {
        let (rating, wins, id) = (2_000.0 - n as f64, 100 - n as i64, player.as_uuid());
        let rated = "UPDATE users SET rating = $2, rating_deviation = 60 WHERE id = $1";
        t.sql.execute(rated, &[&id, &rating]).await.unwrap();
        let won = "INSERT INTO player_totals (user_id, matches, wins) VALUES ($1, 200, $2)";
        t.sql.execute(won, &[&id, &wins]).await.unwrap();
    }
    players
}

#[tokio::test]
async fn one_sees_who_is_a_little_better_and_a_little_worse() {
    let t = setup().await;
    let all = players::<30>(&t).await;
    let [nobody] = t.guests().await;
    for sort in [LeaderboardSort::Rating, LeaderboardSort::Wins] {
        let around = async |user| {
            let ranked = t.store.leaderboard_around(sort, user, 10).await.unwrap();
            ranked.into_iter().map(|ranked| ranked.user).collect::<Vec<_>>()
        };
        assert_eq!(around(all[15]).await, all[10..=20]);
        assert_eq!(around(all[0]).await, all[..=5], "nobody is better");
        assert_eq!(around(all[28]).await, all[23..], "one is worse");
        assert_eq!(around(nobody).await, [], "who has not played stands nowhere");
    }
}

#[tokio::test]
async fn friends_have_a_board_of_their_own() {
    let t = setup().await;
    let all = players::<8>(&t).await;
    let me = all[4];
    for friend in [all[1], all[6], all[7]] {
        t.store.befriend(me, friend).await.unwrap();
        assert!(t.store.accept_friend(friend, me).await.unwrap());
    }
    // Asked, and not answered.
    t.store.befriend(me, all[0]).await.unwrap();
    for sort in [LeaderboardSort::Rating, LeaderboardSort::Wins] {
        let mut found = Vec::new();
        let mut from = None;
        loop {
            let page = t.store.leaderboard_of_friends(sort, me, from, 3).await.unwrap();
            found.extend(page.items.iter().map(|ranked| ranked.user));
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        assert_eq!(found, [all[1], me, all[6], all[7]]);
    }
}

/// No more than so many rows, each found by an index. That is a few milliseconds of work, which a busy machine stretches.
fn takes_little(explained: &Value, rows_max: f64) {
    for node in nodes(&explained["Plan"]) {
        assert_ne!(node["Node Type"], "Seq Scan", "{explained:#}");
        let touched = node["Actual Rows"].as_f64().unwrap() * node["Actual Loops"].as_f64().unwrap();
        assert!(touched <= rows_max, "{} touches {touched} rows: {explained:#}", node["Node Type"]);
    }
    let ms = explained["Execution Time"].as_f64().unwrap();
    assert!(ms < 50.0, "{ms} ms: {explained:#}");
}

/// No helpers are started, which takes longer than the work; and what does not decide the order is read of those alone who
/// are on the page.
fn stays_with_its_page(explained: &Value, sort: LeaderboardSort, rows_max: f64) {
    let rest = match sort {
        LeaderboardSort::Rating => "player_totals",
        LeaderboardSort::Wins => "users",
    };
    let mut read = 0.0;
    for node in nodes(&explained["Plan"]) {
        let kind = node["Node Type"].as_str().unwrap();
        assert!(!kind.starts_with("Gather"), "{explained:#}");
        if node["Relation Name"] == rest {
            read += node["Actual Rows"].as_f64().unwrap() * node["Actual Loops"].as_f64().unwrap();
        }
    }
    assert!(read > 0.0 && read <= rows_max, "{read} rows of {rest}: {explained:#}");
}

#[tokio::test]
async fn boards_and_long_histories_are_read_along_indexes() {
    let t = setup().await;
    // Somebody among 200,000 with 500 friends and 20,000 of 60,000 matches, of which few are rated.
    t.sql
        .batch_execute(
            "INSERT INTO users (id, kind, name, rating, rating_deviation)
                SELECT gen_random_uuid(), 'account', 'user_' || n, 1000 + n % 977, 60 FROM generate_series(1, 200000) n;
            INSERT INTO users (id, kind, name, rating, rating_deviation)
                VALUES ('00000000-0000-7000-8000-000000000001', 'account', 'ada', 1900, 60);
            INSERT INTO player_totals (user_id, matches, wins) SELECT id, 100, 1 + (random() * 100)::int FROM users;
            INSERT INTO friendships (low, high, requested_by, accepted_at)
                SELECT '00000000-0000-7000-8000-000000000001', id, id, now() FROM users WHERE name < 'user_11'
                    AND id > '00000000-0000-7000-8000-000000000001' LIMIT 500;
            INSERT INTO friendships (low, high, requested_by, accepted_at)
                SELECT least(a, b), greatest(a, b), a, now() FROM (
                    SELECT id AS a, lead(id) OVER (ORDER BY name) AS b FROM users) pairs
                WHERE b IS NOT NULL ON CONFLICT DO NOTHING;
            INSERT INTO matches (id, mode, classic, private, score_to_win, seed, rules_version, left_seat, left_user,
                    right_seat, owner_node, owner_incarnation, epoch, ended_at, winner, reason, duration_sub_steps)
                SELECT gen_random_uuid(), CASE WHEN n % 30 = 0 THEN 'ranked' ELSE 'casual' END, false,
                    false, 11, 1, 1, 'player',
                    CASE WHEN n % 3 = 0 THEN '00000000-0000-7000-8000-000000000001'::uuid ELSE others[1 + n % 5000] END,
                    'open', 1, 1, 1, now(), 'left', 'score', (random() * 1e5)::int
                FROM generate_series(1, 60000) n,
                    (SELECT array_agg(id) AS others FROM (SELECT id FROM users LIMIT 5000) few) they;
            INSERT INTO match_player_stats (match_id, side, user_id, paddle_hits, fastest_ball, power_ups_split,
                    power_ups_blackout, power_ups_blackhole, skills_used, skills_successful, disconnected_ms,
                    rating_before, rating_after)
                SELECT id, 'left', left_user, 1, 1, 0, 0, 0, 0, 0, 0, CASE WHEN mode = 'ranked' THEN 1500 END,
                    CASE WHEN mode = 'ranked' THEN 1501 END FROM matches",
        )
        .await
        .unwrap();
    // As a database is that has lived for a while.
    t.sql.batch_execute("VACUUM ANALYZE").await.unwrap();
    let ada = "'00000000-0000-7000-8000-000000000001'";
    for (sort, index) in
        [(LeaderboardSort::Rating, "users_by_rating"), (LeaderboardSort::Wins, "player_totals_by_wins")]
    {
        let around = explain(&t, "uuid", &around_sql(sort, 25), ada).await;
        reads_a_page_along(&around, index, 60.0);
        let friends = explain(&t, "uuid", &friends_sql(sort, false, 50), ada).await;
        takes_little(&friends, 510.0);
        stays_with_its_page(&friends, sort, 50.0);
        let from = format!("{ada}, 1500, '7fffffff-0000-0000-0000-000000000000'");
        takes_little(&explain(&t, "uuid, float8, uuid", &friends_sql(sort, true, 50), &from).await, 510.0);
    }
    for sql in RANK_SQL {
        takes_little(&explain(&t, "uuid, bigint", sql, &format!("{ada}, 10000")).await, 10_000.0);
    }
    reads_a_page_along(&explain(&t, "uuid", CURVE_SQL, ada).await, "match_player_stats_rated", 200.0);

    let own = |mode| MatchFilter { user: Some(UserId::from_uuid(Uuid::nil())), mode };
    let casual = MatchFilter { user: None, mode: Some(Mode::Casual) };
    for (filter, sort, types, args) in [
        (own(Some(Mode::Ranked)), MatchSort::Newest, "uuid, text", "ranked"),
        (own(Some(Mode::Ranked)), MatchSort::Oldest, "uuid, text", "ranked"),
        (own(None), MatchSort::Longest, "uuid", ""),
        (own(None), MatchSort::Oldest, "uuid", ""),
        (casual, MatchSort::Longest, "text", "casual"),
    ] {
        let args = match (filter.user, args) {
            (Some(_), "") => ada.to_owned(),
            (Some(_), mode) => format!("{ada}, '{mode}'"),
            (None, mode) => format!("'{mode}'"),
        };
        let explained = explain(&t, types, &matches_sql(filter, sort, false, 20), &args).await;
        if filter.user.is_none() {
            reads_a_page_along(&explained, "matches_finished_mode_longest", 20.0);
        }
        // A plan for everybody expects few matches of one. By whatever index hers are found, and then sorted: that takes
        // little all the same.
        takes_little(&explained, 20_000.0);
    }
}
