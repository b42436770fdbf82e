use jiff::{Timestamp, ToSpan as _};
use rally_store::{
    NOTIFICATIONS_MAX, NewMessage, Notification, NotificationKind, OPEN_REPORTS_MAX, ReportAbout, ReportError,
    ReportReason,
};
use rally_units::UserId;
use uuid::Uuid;

use crate::support::{Fixture, duel, match_id, setup};

fn about(from: UserId, subject: Uuid) -> Notification {
    Notification { subject: Some(subject), ..Notification::new(NotificationKind::DuelInvitation, from) }
}

async fn count(t: &Fixture, user: UserId) -> usize {
    t.store.notifications(user, None, 100).await.unwrap().len()
}

#[tokio::test]
async fn what_one_is_told_stays_until_it_is_read() {
    let t = setup().await;
    let [a, b, c] = t.guests().await;
    let request = Notification::new(NotificationKind::FriendRequest, b);
    let told = t.store.notify(a, &request).await.unwrap().unwrap();
    assert_eq!(told.from.as_ref().map(|(id, _, name)| (*id, name.as_str())), Some((b, "guest_1")));
    assert_eq!(t.store.notify(a, &request).await.unwrap(), None, "it is told already");
    assert!(t.store.notify(a, &Notification::new(NotificationKind::FriendRequest, c)).await.unwrap().is_some());
    let invitation = Uuid::now_v7();
    t.store.notify(a, &about(b, invitation)).await.unwrap().unwrap();
    let all = t.store.notifications(a, None, 2).await.unwrap();
    assert_eq!((all.len(), all[0].notification.subject), (2, Some(invitation)), "the latest first");
    let rest = t.store.notifications(a, Some(all[1].id), 2).await.unwrap();
    assert_eq!(rest, std::slice::from_ref(&told));
    assert_eq!(t.store.read_notifications(b, &[told.id], Some(Uuid::max())).await.unwrap(), 0, "not one's own");
    assert_eq!(t.store.read_notifications(a, &[told.id], None).await.unwrap(), 1);
    assert!(t.store.notify(a, &request).await.unwrap().is_some(), "told again once it was read");
    assert_eq!(t.store.read_notifications(a, &[], Some(all[0].id)).await.unwrap(), 2);
    assert_eq!(count(&t, a).await, 1);
    // Settled otherwise.
    t.store.settle_notification(a, NotificationKind::FriendRequest, Some(c), None).await.unwrap();
    assert_eq!(count(&t, a).await, 1);
    t.store.settle_notification(a, NotificationKind::FriendRequest, Some(b), None).await.unwrap();
    assert_eq!(count(&t, a).await, 0);
    // What is of no interest any more.
    let past = Notification { expires_at: Some(Timestamp::now() - 1.second()), ..about(b, invitation) };
    t.store.notify(a, &past).await.unwrap();
    assert_eq!(count(&t, a).await, 0);
    assert!(t.store.notify(a, &about(b, invitation)).await.unwrap().is_some());
    assert_eq!(t.store.notify(UserId::from_uuid(Uuid::now_v7()), &request).await.unwrap(), None, "nobody");
}

#[tokio::test]
async fn the_oldest_go_and_whom_one_blocks_tells_nothing() {
    let t = setup().await;
    let [a, b, c] = t.guests().await;
    for _ in 0..NOTIFICATIONS_MAX + 5 {
        t.store.notify(a, &about(b, Uuid::now_v7())).await.unwrap().unwrap();
    }
    assert_eq!(t.count("notifications").await, NOTIFICATIONS_MAX);
    t.store.notify(a, &about(c, Uuid::now_v7())).await.unwrap().unwrap();
    assert_eq!(t.count("notifications").await, NOTIFICATIONS_MAX);
    t.store.block(a, b).await.unwrap();
    assert_eq!(t.store.notify(a, &about(b, Uuid::now_v7())).await.unwrap(), None);
    assert_eq!(count(&t, a).await, 1, "nor is anything shown that was told before");
    t.store.delete_user(a).await.unwrap();
    assert_eq!(t.count("notifications").await, 0);
}

#[tokio::test]
async fn reading_a_channel_reads_what_was_said_to_one_there() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    let say = |nonce: &str| NewMessage {
        user: b,
        nonce: nonce.into(),
        text: "@guest_0".into(),
        edits: None,
        mentions: vec![a],
    };
    let said = t.store.append_messages("global", &[say("1"), say("2")]).await.unwrap();
    assert!(matches!(&said[0], rally_store::Appended::Stored { message, .. } if message.mentions == [a]));
    for offset in [1, 2] {
        let mention = Notification {
            channel: Some("global".into()),
            offset: Some(offset),
            ..Notification::new(NotificationKind::Mention, b)
        };
        t.store.notify(a, &mention).await.unwrap().unwrap();
    }
    t.store.notify(a, &about(b, Uuid::now_v7())).await.unwrap();
    t.store.note_read("global", a, 1).await.unwrap();
    assert_eq!(count(&t, a).await, 2);
    t.store.note_read("global", a, 2).await.unwrap();
    assert_eq!(count(&t, a).await, 1, "the invitation is another matter");
}

#[tokio::test]
async fn names_mean_those_who_read_the_channel() {
    let t = setup().await;
    let [a, b, c] = t.guests().await;
    let id = t.store.create_group(a, "group").await.unwrap().id;
    t.store.invite_member(id, a, b).await.unwrap();
    t.store.join_group(id, b).await.unwrap();
    let names: Vec<String> = ["guest_0", "guest_1", "guest_2"].map(str::to_owned).into();
    let mut named = t.store.named_in(&format!("group:{id}"), &names).await.unwrap();
    named.sort();
    assert_eq!(named, [("guest_0".into(), a), ("guest_1".into(), b)]);
    let direct = format!("direct:{}:{}", a.as_uuid().simple(), c.as_uuid().simple());
    let mut named = t.store.named_in(&direct, &names).await.unwrap();
    named.sort();
    assert_eq!(named, [("guest_0".into(), a), ("guest_2".into(), c)]);
    assert_eq!(t.store.named_in("global", &names).await.unwrap(), [], "guests share names: accounts only");
    t.sql.batch_execute("UPDATE users SET kind = 'account', name = 'Ada' WHERE name = 'guest_2'").await.unwrap();
    for everybodys in ["global".to_owned(), format!("watch:{}", Uuid::nil())] {
        assert_eq!(t.store.named_in(&everybodys, &["ada".to_owned()]).await.unwrap(), [("ada".into(), c)]);
    }
    let played = t.create(duel(a, b)).await;
    let mut named = t.store.named_in(&format!("match:{played}"), &names).await.unwrap();
    named.sort_unstable();
    assert_eq!(named.len(), 2, "its players: {named:?}");
    assert_eq!(t.store.named_in(&format!("match:{}", Uuid::nil()), &names).await.unwrap(), []);
}

#[tokio::test]
async fn reports_wait_for_an_operator() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    let say = NewMessage { user: b, nonce: "1".into(), text: "an insult".into(), edits: None, mentions: Vec::new() };
    t.store.append_messages("global", std::slice::from_ref(&say)).await.unwrap();
    let the_match = t.create(duel(a, b)).await;
    let message = ReportAbout::Message("global".into(), 1);
    let id = t.store.report(a, &message, ReportReason::Abuse, "look").await.unwrap();
    assert_eq!(t.store.report(a, &message, ReportReason::Abuse, "look!").await.unwrap(), id, "the same is one");
    t.store.report(a, &ReportAbout::Match(the_match), ReportReason::Cheating, "").await.unwrap();
    for nothing in [
        ReportAbout::User(a),
        ReportAbout::User(UserId::from_uuid(Uuid::now_v7())),
        ReportAbout::Message("global".into(), 7),
        ReportAbout::Match(match_id()),
    ] {
        let refused = t.store.report(a, &nothing, ReportReason::Other, "").await;
        assert!(matches!(refused, Err(ReportError::NoSuchThing)), "{refused:?}");
    }
    // What it said stays with the report, though it is taken back.
    let take_back = NewMessage { nonce: "2".into(), text: String::new(), edits: Some(1), ..say };
    t.store.append_messages("global", &[take_back]).await.unwrap();
    let open = t.store.reports(true, 10).await.unwrap();
    assert_eq!((open.len(), open[0].id, open[1].match_id), (2, id, Some(the_match)));
    assert_eq!(open[0].message, Some(("global".into(), 1, "an insult".into())));
    assert_eq!(open[0].user.as_ref().map(|(user, _)| *user), Some(b));
    assert!(t.store.close_report(id, "warned").await.unwrap() && !t.store.close_report(id, "again").await.unwrap());
    let closed = t.store.reports(false, 10).await.unwrap();
    assert_eq!(closed[0].closed.as_ref().map(|(_, outcome)| outcome.as_str()), Some("warned"));
    assert_eq!(t.store.reports(true, 10).await.unwrap().len(), 1);

    let crowd = format!(
        "INSERT INTO reports (id, reporter_id, user_id, reason, body)
            SELECT gen_random_uuid(), '{a}', '{b}', 'other', n FROM generate_series(1, {OPEN_REPORTS_MAX}) n"
    );
    t.sql.batch_execute(&crowd).await.unwrap();
    let refused = t.store.report(a, &ReportAbout::User(b), ReportReason::Spam, "").await;
    assert!(matches!(refused, Err(ReportError::TooMany)), "{refused:?}");
}
