use rally_store::{
    Appended, BefriendError, Befriended, Blocked, FriendRequests, MESSAGES_MAX, Message, NewMessage, ProfileChange,
};
use rally_units::UserId;
use uuid::Uuid;

use crate::support::{Fixture, setup};

async fn names(t: &Fixture, user: UserId, are_friends: bool) -> Vec<String> {
    t.store.acquaintances(user, are_friends).await.unwrap().into_iter().map(|one| one.name).collect()
}

#[tokio::test]
async fn friendship_takes_two() {
    let t = setup().await;
    let [a, b, c] = t.guests().await;
    assert_eq!(t.store.befriend(a, b).await.unwrap(), Befriended::Requested);
    assert_eq!(t.store.befriend(a, b).await.unwrap(), Befriended::Unchanged);
    assert_eq!(names(&t, a, true).await, <[String; 0]>::default());
    let (mine, theirs) =
        (t.store.acquaintances(a, false).await.unwrap(), t.store.acquaintances(b, false).await.unwrap());
    assert_eq!((mine[0].user, mine[0].is_incoming, theirs[0].user, theirs[0].is_incoming), (b, false, a, true));
    assert!(!t.store.accept_friend(a, b).await.unwrap(), "one cannot accept one's own request");
    assert!(t.store.accept_friend(b, a).await.unwrap());
    assert_eq!((names(&t, a, true).await, names(&t, b, true).await), (vec!["guest_1".into()], vec!["guest_0".into()]));
    assert_eq!(t.store.friend_ids(a).await.unwrap(), [b]);
    // Both ask: friends at once.
    assert_eq!(t.store.befriend(c, a).await.unwrap(), Befriended::Requested);
    assert_eq!(t.store.befriend(a, c).await.unwrap(), Befriended::Accepted);
    assert_eq!(t.store.friend_ids(a).await.unwrap().len(), 2);
    assert!(!t.store.unfriend(b, a, false).await.unwrap(), "it is no request any more");
    assert!(t.store.unfriend(b, a, true).await.unwrap() && !t.store.unfriend(a, b, true).await.unwrap());
    for nobody in [a, UserId::from_uuid(Uuid::now_v7())] {
        assert!(matches!(t.store.befriend(a, nobody).await, Err(BefriendError::NoSuchUser)));
    }
}

#[tokio::test]
async fn of_two_that_ask_each_other_at_once_both_are_friends() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    let (one, other) = tokio::join!(t.store.befriend(a, b), t.store.befriend(b, a));
    let mut outcomes = [one.unwrap(), other.unwrap()];
    outcomes.sort_by_key(|outcome| *outcome != Befriended::Requested);
    assert_eq!(outcomes, [Befriended::Requested, Befriended::Accepted]);
}

#[tokio::test]
async fn who_wants_no_requests_gets_none() {
    let t = setup().await;
    let [a, b, c, d] = t.guests().await;
    let wants = async |user, friend_requests| {
        let change = ProfileChange { friend_requests: Some(friend_requests), ..ProfileChange::default() };
        t.store.change_profile(user, &change).await.unwrap();
    };
    wants(a, FriendRequests::None).await;
    assert!(matches!(t.store.befriend(b, a).await, Err(BefriendError::Refused)));
    wants(a, FriendRequests::FriendsOfFriends).await;
    assert!(matches!(t.store.befriend(b, a).await, Err(BefriendError::Refused)));
    // With a friend in common.
    for other in [a, b] {
        t.store.befriend(other, c).await.unwrap();
        assert!(t.store.accept_friend(c, other).await.unwrap());
    }
    assert_eq!(t.store.befriend(b, a).await.unwrap(), Befriended::Requested);

    assert_eq!(t.store.block(c, a).await.unwrap(), Blocked::Parted);
    assert_eq!(t.store.block(c, a).await.unwrap(), Blocked::Apart);
    assert_eq!(t.store.friend_ids(c).await.unwrap(), [b], "the friendship has ended");
    for (one, other) in [(a, c), (c, a)] {
        assert!(matches!(t.store.befriend(one, other).await, Err(BefriendError::Refused)));
        assert!(!t.store.may_meet(one, other).await.unwrap());
    }
    assert!(t.store.may_meet(c, d).await.unwrap());
    assert_eq!(t.store.blocked_ids(c).await.unwrap(), [a]);
    assert_eq!(t.store.blocked(c).await.unwrap()[0].name, "guest_0");
    assert_eq!(t.store.block(c, c).await.unwrap(), Blocked::Refused);
    assert!(t.store.unblock(c, a).await.unwrap() && !t.store.unblock(c, a).await.unwrap());
    assert!(t.store.may_meet(a, c).await.unwrap());
}

#[tokio::test]
async fn a_request_does_not_slip_past_a_block() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    // As a request has the two that has looked for blocks and has not written yet.
    let mut other = t.db.connect().await;
    let request = other.transaction().await.unwrap();
    let lock = "SELECT FROM users WHERE id IN ($1, $2) ORDER BY id FOR NO KEY UPDATE";
    request.execute(lock, &[&a.as_uuid(), &b.as_uuid()]).await.unwrap();
    let insert =
        "INSERT INTO friendships (low, high, requested_by) VALUES (least($1::uuid, $2::uuid), greatest($1, $2), $2)";
    request.execute(insert, &[&a.as_uuid(), &b.as_uuid()]).await.unwrap();
    let store = t.store.clone();
    let block = tokio::spawn(async move { store.block(a, b).await });
    t.until_one_waits_for_a_lock().await;
    request.commit().await.unwrap();
    assert_eq!(block.await.unwrap().unwrap(), Blocked::Parted);
    assert_eq!(t.count("friendships").await, 0);
}

fn say(user: UserId, nonce: &str) -> NewMessage {
    NewMessage { user, nonce: nonce.into(), text: format!("says {nonce}"), edits: None, mentions: Vec::new() }
}

fn edit(user: UserId, nonce: &str, edits: u64) -> NewMessage {
    NewMessage { edits: Some(edits), ..say(user, nonce) }
}

fn stored(appended: &Appended) -> (&Message, bool) {
    match appended {
        Appended::Stored { message, repeated } => (message, *repeated),
        refused => panic!("not stored: {refused:?}"),
    }
}

#[tokio::test]
async fn offsets_rise_by_one_and_marks_count_once() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    let first = t.store.append_messages("global", &[say(a, "1"), say(b, "1"), say(a, "1"), say(a, "2")]).await.unwrap();
    let offsets: Vec<_> = first.iter().map(stored).map(|(message, repeated)| (message.offset, repeated)).collect();
    assert_eq!(offsets, [(1, false), (2, false), (1, true), (3, false)]);
    assert_eq!((stored(&first[1]).0.name.as_str(), stored(&first[1]).0.text.as_str()), ("guest_1", "says 1"));
    let again = t.store.append_messages("global", &[say(b, "2"), say(a, "2")]).await.unwrap();
    let offsets: Vec<_> = again.iter().map(stored).map(|(message, repeated)| (message.offset, repeated)).collect();
    assert_eq!(offsets, [(4, false), (3, true)]);
    // Another channel counts for itself.
    let other = t.store.append_messages("other", &[say(a, "1")]).await.unwrap();
    assert_eq!(stored(&other[0]), (stored(&other[0]).0, false));
    assert_eq!(t.count("channel_messages").await, 5);
}

#[tokio::test]
async fn many_append_at_once_without_holes() {
    let t = setup().await;
    let [a] = t.guests().await;
    let appending: Vec<_> = (0..8)
        .map(|n| {
            let store = t.store.clone();
            tokio::spawn(async move {
                for m in 0..5 {
                    let batch = [say(a, &format!("{n}-{m}")), say(a, &format!("{n}-{m}-b"))];
                    store.append_messages("global", &batch).await.unwrap();
                }
            })
        })
        .collect();
    for task in appending {
        task.await.unwrap();
    }
    let stretch = t.store.messages_after("global", 0).await.unwrap();
    let offsets: Vec<u64> = stretch.messages.iter().map(|message| message.offset).collect();
    assert_eq!((offsets, stretch.last_offset), ((1..=80).collect(), 80));
}

#[tokio::test]
async fn one_edits_ones_own_for_a_while() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    t.store.append_messages("global", &[say(a, "1")]).await.unwrap();
    let batch =
        [edit(b, "x", 1), edit(a, "y", 7), edit(a, "z", 1), NewMessage { text: String::new(), ..edit(a, "w", 1) }];
    let edited = t.store.append_messages("global", &batch).await.unwrap();
    assert_eq!(edited[..2], [Appended::NotEditable, Appended::NotEditable]);
    assert_eq!((stored(&edited[2]).0.edits, stored(&edited[2]).0.offset), (Some(1), 2));
    assert_eq!((stored(&edited[3]).0.text.as_str(), stored(&edited[3]).0.offset), ("", 3));
    t.sql.batch_execute("UPDATE channel_messages SET sent_at = now() - interval '6 minutes'").await.unwrap();
    assert_eq!(t.store.append_messages("global", &[edit(a, "late", 1)]).await.unwrap(), [Appended::NotEditable]);
}

#[tokio::test]
async fn a_channel_is_read_forwards_and_backwards() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    assert_eq!(t.store.messages_after("global", 0).await.unwrap().last_offset, 0);
    let batch: Vec<_> = (0..150).map(|n| say(a, &n.to_string())).collect();
    t.store.append_messages("global", &batch[..100]).await.unwrap();
    t.store.append_messages("global", &batch[100..]).await.unwrap();
    let offsets = |stretch: rally_store::Stretch| {
        (stretch.messages.first().map(|m| m.offset), stretch.messages.last().map(|m| m.offset), stretch.last_offset)
    };
    assert_eq!(offsets(t.store.messages_after("global", 0).await.unwrap()), (Some(1), Some(MESSAGES_MAX as u64), 150));
    assert_eq!(offsets(t.store.messages_after("global", 148).await.unwrap()), (Some(149), Some(150), 150));
    assert_eq!(offsets(t.store.messages_after("global", u64::MAX).await.unwrap()), (None, None, 150));
    assert_eq!(offsets(t.store.messages_before("global", None, 10).await.unwrap()), (Some(141), Some(150), 150));
    assert_eq!(offsets(t.store.messages_before("global", Some(141), 10).await.unwrap()), (Some(131), Some(140), 150));

    let direct = "direct:a:b";
    t.store.open_direct(direct, [a, b]).await.unwrap();
    t.store.open_direct(direct, [a, b]).await.unwrap();
    assert_eq!(t.store.own_channels(a).await.unwrap(), [], "nothing was said");
    t.store.append_messages(direct, &[say(a, "1"), say(a, "2"), say(b, "1")]).await.unwrap();
    t.store.note_read(direct, a, 2).await.unwrap();
    t.store.note_read(direct, a, 1).await.unwrap();
    t.store.note_read(direct, b, 99).await.unwrap();
    t.store.note_read("nowhere", b, 1).await.unwrap();
    let own = async |user| {
        let own = t.store.own_channels(user).await.unwrap();
        own.into_iter().map(|c| (c.name, c.last_offset, c.read_offset, c.unread)).collect::<Vec<_>>()
    };
    assert_eq!(own(a).await, [(direct.to_owned(), 3, 2, 1)]);
    assert_eq!(own(b).await, [(direct.to_owned(), 3, 3, 0)]);
    t.store.delete_user(a).await.unwrap();
    assert_eq!(t.store.messages_after(direct, 0).await.unwrap().messages[0].name, "deleted");
}
