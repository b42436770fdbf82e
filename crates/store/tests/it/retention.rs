//! What nobody needs any more goes, in batches; everything else stays.

use std::time::Duration;

use rally_store::{
    MatchResult, NewMessage, Notification, NotificationKind, Old, Place, ReportAbout, ReportReason, Swept,
};
use rally_units::UserId;
use uuid::Uuid;

use crate::{
    results::{goal, segment},
    support::{Fixture, duel, held, left_wins, setup},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Fixture {
    /// Removes all that is older than a day, in batches of so many. Returns how many rows, in how many batches.
    async fn sweep(&self, what: Old, batch: usize) -> (u64, usize) {
        let (mut from, mut removed, mut batches) = (Place::START, 0, 0);
        loop {
            let swept = self.store.remove_old(what, DAY, from, batch).await.unwrap().unwrap();
            batches += 1;
            removed += swept.removed;
            assert!(swept.removed <= batch as u64, "{swept:?}");
            match swept.next {
                Some(next) => from = next,
                None => return (removed, batches),
            }
        }
    }

    async fn run(&self, sql: &str) {
        self.sql.batch_execute(sql).await.unwrap();
    }

    async fn says(&self, channel: &str, user: UserId, n: usize) {
        for _ in 0..n {
            let nonce = Uuid::now_v7().to_string();
            let new = NewMessage { user, nonce, text: "hello".into(), edits: None, mentions: Vec::new() };
            self.store.append_messages(channel, &[new]).await.unwrap();
        }
    }
}

/// The time of an id becomes three days ago: what an id of that time would be.
const AGED: &str = "(SELECT overlay(gen_random_uuid()::text placing
    left(id_of(now() - interval '3 days')::text, 13) from 1 for 13)::uuid)";

#[tokio::test]
async fn what_has_expired_goes_and_the_rest_stays() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    for _ in 0..6 {
        t.store.start_login(a, "browser", DAY).await.unwrap();
    }
    t.run("UPDATE logins SET expires_at = now() - interval '1 day 1 s' WHERE id IN (SELECT id FROM logins LIMIT 5)")
        .await;
    assert_eq!(t.sweep(Old::Logins, 2).await, (5, 3));
    assert_eq!(t.count("logins").await, 1);

    // Expired; unread for too long; unread since today.
    for kind in [NotificationKind::FriendRequest, NotificationKind::FriendAccepted, NotificationKind::GroupInvitation] {
        t.store.notify(a, &Notification::new(kind, b)).await.unwrap().unwrap();
    }
    t.run("UPDATE notifications SET expires_at = now() - interval '1 s' WHERE kind = 'friend_request'").await;
    t.run(&format!(
        "UPDATE notifications SET id = {AGED}, created_at = now() - interval '3 days' WHERE kind = 'friend_accepted'"
    ))
    .await;
    assert_eq!(t.sweep(Old::Notifications, 10).await, (2, 1));
    assert_eq!(t.count("notifications WHERE kind = 'group_invitation'").await, 1);

    // Closed reports alone.
    for reason in [ReportReason::Spam, ReportReason::Abuse] {
        t.store.report(a, &ReportAbout::User(b), reason, "").await.unwrap();
    }
    t.run("UPDATE reports SET closed_at = now() - interval '2 days', outcome = 'done' WHERE reason = 'spam'").await;
    assert_eq!(t.sweep(Old::Reports, 10).await, (0, 1), "its id says that it was made today");
    t.run(&format!("UPDATE reports SET id = {AGED} WHERE reason = 'spam'")).await;
    t.run("UPDATE reports SET id = id_of(now() - interval '3 days') WHERE reason = 'abuse'").await;
    assert_eq!(t.sweep(Old::Reports, 10).await, (1, 1));
    assert_eq!(t.count("reports WHERE reason = 'abuse'").await, 1, "it waits for an operator, however long");
}

#[tokio::test]
async fn of_old_matches_the_result_stays() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id = t.create(duel(a, b)).await;
        let result = MatchResult { events: vec![goal(1), goal(2)], replay: vec![segment(1, 10)], ..left_wins(id) };
        t.store.finish(&result, held(1).epoch).await.unwrap();
        ids.push(id.as_uuid());
    }
    // As two of them would be that ended two days ago; the ids of all say that they were made long ago.
    t.run("ALTER TABLE replays DROP CONSTRAINT replays_match_id_fkey").await;
    t.run("ALTER TABLE match_events DROP CONSTRAINT match_events_match_id_fkey").await;
    t.run("UPDATE matches SET ended_at = now()").await;
    for (n, id) in ids.iter().enumerate() {
        let aged: Uuid = format!("0192000{n}-0000-7000-8000-000000000000").parse().unwrap();
        t.run(&format!(
            "INSERT INTO matches (id, mode, classic, private, score_to_win, seed, rules_version, left_seat,
                right_seat, owner_node, owner_incarnation, epoch, ended_at, reason)
            VALUES ('{aged}', 'local', false, false, 11, 1, 1, 'shared', 'shared', 1, 1, 1,
                now() - interval '{} hours', 'no_show')",
            [48, 1, 49][n]
        ))
        .await;
        for table in ["replays", "match_events"] {
            t.run(&format!("UPDATE {table} SET match_id = '{aged}' WHERE match_id = '{id}'")).await;
        }
    }
    let each = t.count("match_events").await / 3;
    assert!(each > 0);
    assert_eq!(t.count("replays").await, 3);
    assert_eq!(t.sweep(Old::Replays, 1).await, (2, 3));
    assert_eq!(t.sweep(Old::Events, 1_000).await, (2 * each as u64, 1));
    for table in ["replays", "match_events"] {
        let left = t.count(&format!("{table} WHERE match_id = '01920001-0000-7000-8000-000000000000'")).await;
        assert_eq!(left, t.count(table).await, "what ended an hour ago");
    }
    assert_eq!((t.count("matches").await, t.count("match_player_stats").await), (6, 6));

    assert_eq!(t.sweep(Old::Outbox, 2).await, (0, 1));
    t.run("UPDATE outbox SET created_at = now() - interval '2 days' WHERE id < (SELECT max(id) FROM outbox)").await;
    assert_eq!(t.sweep(Old::Outbox, 2).await, (2, 2));
    assert_eq!(t.count("outbox").await, 1);
}

#[tokio::test]
async fn old_messages_go_and_channels_of_matches_with_them() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    let (over, on) = (format!("match:{}", Uuid::now_v7()), format!("watch:{}", Uuid::now_v7()));
    for channel in ["global", &over, &on] {
        t.says(channel, a, 4).await;
        t.store.note_read(channel, b, 4).await.unwrap();
    }
    t.run(&format!(
        "UPDATE channel_messages SET sent_at = now() - interval '2 days'
        WHERE channel IN ('global', '{over}') OR message_offset < 3"
    ))
    .await;
    assert_eq!(t.sweep(Old::Chat, 3).await, (10, 4));
    assert_eq!(t.count(&format!("channels WHERE name = '{over}'")).await, 0);
    assert_eq!(t.count("channels").await, 2, "everybody's stays, and one in which something is left");
    assert_eq!(t.count("channel_reads").await, 2);
    // Offsets go on where they were.
    t.says("global", a, 1).await;
    let left = t.store.messages_after("global", 0).await.unwrap();
    assert_eq!((left.messages[0].offset, left.last_offset), (5, 5));
}

#[tokio::test]
async fn guests_who_have_left_nothing_behind_are_forgotten() {
    let t = setup().await;
    let all: [UserId; 8] = t.guests().await;
    let [gone, also_gone, signed_in, seen, played, spoke, friend, invited] = all;
    let [fresh] = t.guests().await;
    t.store.start_login(gone, "browser", DAY).await.unwrap();
    t.run("UPDATE logins SET expires_at = now() - interval '1 s'").await;
    t.store.start_login(signed_in, "browser", DAY).await.unwrap();
    t.store.note_seen(&[seen]).await.unwrap();
    t.create(duel(played, fresh)).await;
    t.says("global", spoke, 1).await;
    t.store.befriend(friend, fresh).await.unwrap();
    // Something that is not asked for: whatever refers to somebody keeps that one, and nobody else.
    let group = t.store.create_group(fresh, "group").await.unwrap().id;
    t.run(&format!(
        "INSERT INTO group_invitations (group_id, user_id, invited_by) VALUES ('{group}', '{fresh}', '{invited}')"
    ))
    .await;
    let ids: Vec<String> = all.iter().map(|user| format!("'{user}'")).collect();
    let ids = ids.join(",");
    t.run(&format!("UPDATE users SET created_at = now() - interval '2 days' WHERE id IN ({ids})")).await;
    // Ids of the past, for which what refers to them has to follow.
    let swept = t.sweep(Old::Guests, 3).await;
    assert_eq!(swept.0, 0, "their ids say that they came today");
    let constraints = "SELECT conrelid::regclass::text AS t, conname::text AS c, pg_get_constraintdef(oid) AS d
        FROM pg_constraint WHERE contype = 'f' AND confrelid = 'users'::regclass";
    // Who has asked is one of the two, which holds again once both have changed.
    t.run("ALTER TABLE friendships DROP CONSTRAINT friendships_check1").await;
    for row in t.sql.query(constraints, &[]).await.unwrap() {
        let (table, name, def): (String, String, String) = (row.get("t"), row.get("c"), row.get("d"));
        t.run(&format!("ALTER TABLE {table} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} {def} ON UPDATE CASCADE"))
            .await;
    }
    t.run(&format!(
        "UPDATE users SET id = overlay(id::text placing '01920000-0000' from 1 for 13)::uuid WHERE id IN ({ids})"
    ))
    .await;
    let before = t.count("users").await;
    let (removed, batches) = t.sweep(Old::Guests, 3).await;
    assert_eq!((removed, batches), (2, 3));
    assert_eq!(t.count("users").await, before - 2);
    let name = |user: UserId| format!("users WHERE right(id::text, 22) = '{}'", &user.to_string()[14..]);
    for user in [gone, also_gone] {
        assert_eq!(t.count(&name(user)).await, 0);
    }
    for user in [signed_in, seen, played, spoke, friend, invited, fresh] {
        assert_eq!(t.count(&name(user)).await, 1);
    }
}

#[tokio::test]
async fn one_removes_at_a_time_and_a_batch_is_all_or_nothing() {
    let t = setup().await;
    let [a] = t.guests().await;
    t.store.start_login(a, "browser", DAY).await.unwrap();
    t.run("UPDATE logins SET expires_at = now() - interval '2 days'").await;
    let other = t.db.connect().await;
    let key = i64::from_be_bytes(*b"\0\0rally\x02");
    other.execute("SELECT pg_advisory_lock($1)", &[&key]).await.unwrap();
    let remove = async || t.store.remove_old(Old::Logins, DAY, Place::START, 10).await.unwrap();
    assert_eq!(remove().await, None);
    assert_eq!(t.count("logins").await, 1);
    other.execute("SELECT pg_advisory_unlock($1)", &[&key]).await.unwrap();
    assert_eq!(remove().await, Some(Swept { removed: 1, next: None }));
}
