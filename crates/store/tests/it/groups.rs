use jiff::{Timestamp, ToSpan as _};
use rally_store::{
    Appended, Departure, GROUP_MEMBERS_MAX, GROUPS_PER_USER_MAX, GroupError, GroupRole, NewMessage, Store,
};
use rally_units::{GroupId, UserId};
use uuid::Uuid;

use crate::support::{Fixture, setup};

async fn group(store: &Store, owner: UserId, others: &[UserId]) -> (GroupId, String) {
    let id = store.create_group(owner, "The Paddlers").await.unwrap().id;
    for user in others {
        assert!(store.invite_member(id, owner, *user).await.unwrap());
        assert!(store.join_group(id, *user).await.unwrap());
    }
    (id, format!("group:{id}"))
}

fn say(user: UserId, nonce: &str) -> NewMessage {
    NewMessage { user, nonce: nonce.into(), text: format!("says {nonce}"), edits: None, mentions: Vec::new() }
}

async fn says(t: &Fixture, channel: &str, message: NewMessage) -> Appended {
    t.store.append_messages(channel, &[message]).await.unwrap().remove(0)
}

fn is_stored(appended: &Appended) -> bool {
    matches!(appended, Appended::Stored { .. })
}

async fn roles(t: &Fixture, id: GroupId) -> Vec<(UserId, GroupRole)> {
    t.store.group_members(id).await.unwrap().into_iter().map(|member| (member.user, member.role)).collect()
}

macro_rules! refused {
    ($result:expr, $kind:pat) => {
        match $result {
            Err($kind) => {}
            other => panic!("{other:?}"),
        }
    };
}

#[tokio::test]
async fn one_comes_into_a_group_by_invitation_alone() {
    let t = setup().await;
    let [a, b, c] = t.guests().await;
    let (id, _) = group(&t.store, a, &[]).await;
    let made = t.store.group(id, a).await.unwrap().unwrap();
    assert_eq!((made.title.as_str(), made.role, made.slow_s), ("The Paddlers", GroupRole::Owner, 0));
    assert_eq!(t.store.group(id, b).await.unwrap(), None);
    refused!(t.store.join_group(id, b).await, GroupError::NoSuchGroup);
    refused!(t.store.invite_member(id, b, c).await, GroupError::NoSuchGroup);
    assert!(t.store.invite_member(id, a, b).await.unwrap());
    assert!(!t.store.invite_member(id, a, b).await.unwrap(), "it waits already");
    let invitations = t.store.invitations(b).await.unwrap();
    assert_eq!((invitations.len(), invitations[0].group, invitations[0].by), (1, id, a));
    assert_eq!(t.store.group_invited(id).await.unwrap()[0].user, b);
    assert!(t.store.join_group(id, b).await.unwrap() && !t.store.join_group(id, b).await.unwrap());
    assert_eq!(t.store.invitations(b).await.unwrap(), []);
    assert_eq!(roles(&t, id).await, [(a, GroupRole::Owner), (b, GroupRole::Member)]);

    // Members invite too; who declines, or is not wanted any more, stays out.
    assert!(t.store.invite_member(id, b, c).await.unwrap());
    assert!(t.store.decline_invitation(id, c).await.unwrap() && !t.store.decline_invitation(id, c).await.unwrap());
    refused!(t.store.join_group(id, c).await, GroupError::NoSuchGroup);
    assert!(t.store.invite_member(id, a, c).await.unwrap());
    refused!(t.store.uninvite_member(id, b, c).await, GroupError::Forbidden(_));
    t.store.uninvite_member(id, a, c).await.unwrap();
    refused!(t.store.join_group(id, c).await, GroupError::NoSuchGroup);
    // Between people of whom one blocks the other there is no invitation, and one that was there is not seen.
    t.store.invite_member(id, b, c).await.unwrap();
    t.store.block(c, b).await.unwrap();
    assert_eq!(t.store.invitations(c).await.unwrap(), []);
    t.store.uninvite_member(id, b, c).await.unwrap();
    refused!(t.store.invite_member(id, b, c).await, GroupError::NoSuchUser);
    refused!(t.store.invite_member(id, a, UserId::from_uuid(Uuid::now_v7())).await, GroupError::NoSuchUser);
}

#[tokio::test]
async fn each_does_something_to_lower_ranks_alone() {
    let t = setup().await;
    let [owner, first, second, member, stranger] = t.guests().await;
    let (id, channel) = group(&t.store, owner, &[first, second, member]).await;
    refused!(t.store.set_group_role(id, first, second, GroupRole::Moderator).await, GroupError::Forbidden(_));
    for moderator in [first, second] {
        t.store.set_group_role(id, owner, moderator, GroupRole::Moderator).await.unwrap();
    }
    for (actor, user) in [(first, second), (first, owner), (member, first), (member, member), (owner, owner)] {
        refused!(t.store.kick_member(id, actor, user).await, GroupError::Forbidden(_));
        refused!(t.store.mute_member(id, actor, user, None).await, GroupError::Forbidden(_));
        refused!(t.store.ban_member(id, actor, user).await, GroupError::Forbidden(_));
    }
    for (actor, user) in [(stranger, member), (stranger, stranger)] {
        refused!(t.store.kick_member(id, actor, user).await, GroupError::NoSuchGroup);
        refused!(t.store.ban_member(id, actor, user).await, GroupError::NoSuchGroup);
        refused!(t.store.change_group(id, actor, Some("mine"), None).await, GroupError::NoSuchGroup);
    }
    refused!(t.store.kick_member(id, first, stranger).await, GroupError::NoSuchUser);
    refused!(t.store.change_group(id, member, Some("mine"), None).await, GroupError::Forbidden(_));
    refused!(t.store.delete_group(id, first).await, GroupError::Forbidden(_));
    refused!(t.store.group_bans(id, member).await, GroupError::Forbidden(_));

    t.store.change_group(id, first, Some("The Others"), Some(30)).await.unwrap();
    let seen = t.store.group(id, member).await.unwrap().unwrap();
    assert_eq!((seen.title.as_str(), seen.slow_s), ("The Others", 30));
    t.store.change_group(id, first, None, Some(0)).await.unwrap();

    t.store.kick_member(id, first, member).await.unwrap();
    assert_eq!(says(&t, &channel, say(member, "1")).await, Appended::NotAllowed);
    // Who was put out may be invited again; who is kept out not.
    assert!(t.store.invite_member(id, second, member).await.unwrap());
    assert!(
        t.store.ban_member(id, first, member).await.unwrap() && !t.store.ban_member(id, first, member).await.unwrap()
    );
    refused!(t.store.join_group(id, member).await, GroupError::NoSuchGroup);
    refused!(t.store.invite_member(id, owner, member).await, GroupError::Forbidden(_));
    assert_eq!(t.store.group_bans(id, second).await.unwrap()[0].user, member);
    t.store.unban_member(id, second, member).await.unwrap();
    refused!(t.store.unban_member(id, second, member).await, GroupError::NoSuchUser);
    assert!(t.store.invite_member(id, owner, member).await.unwrap());
    assert!(t.store.ban_member(id, first, stranger).await.unwrap(), "also who is not in it");
}

#[tokio::test]
async fn a_group_has_one_owner_until_it_ends() {
    let t = setup().await;
    let [a, b, c, d] = t.guests().await;
    let (id, channel) = group(&t.store, a, &[b, c, d]).await;
    t.store.set_group_role(id, a, c, GroupRole::Moderator).await.unwrap();
    // Handed over.
    t.store.set_group_role(id, a, b, GroupRole::Owner).await.unwrap();
    assert_eq!(roles(&t, id).await[0], (b, GroupRole::Owner));
    assert_eq!(t.store.group_role(id, a).await.unwrap(), Some(GroupRole::Moderator));
    refused!(t.store.set_group_role(id, a, d, GroupRole::Owner).await, GroupError::Forbidden(_));
    // The eldest moderator is next, then the eldest member.
    assert_eq!(t.store.leave_group(id, b).await.unwrap(), Departure::Succeeded(a));
    assert_eq!(t.store.leave_group(id, a).await.unwrap(), Departure::Succeeded(c));
    refused!(t.store.leave_group(id, a).await, GroupError::NoSuchGroup);
    // Who wants to be forgotten leaves too.
    t.store.delete_user(c).await.unwrap();
    assert_eq!(roles(&t, id).await, [(d, GroupRole::Owner)]);
    assert!(is_stored(&says(&t, &channel, say(d, "1")).await));
    assert_eq!(t.store.leave_group(id, d).await.unwrap(), Departure::Ended);
    assert_eq!((t.count("groups").await, t.count("channels").await, t.count("channel_messages").await), (0, 0, 0));

    let (id, channel) = group(&t.store, a, &[b]).await;
    t.store.invite_member(id, b, d).await.unwrap();
    says(&t, &channel, say(b, "1")).await;
    let mut all = t.store.delete_group(id, a).await.unwrap();
    all.sort();
    let mut expected = [a, b, d];
    expected.sort();
    assert_eq!(all, expected);
    assert_eq!((t.count("groups").await, t.count("channels").await, t.count("channel_messages").await), (0, 0, 0));
    assert_eq!(says(&t, &channel, say(b, "2")).await, Appended::NotAllowed);
    assert_eq!(t.count("channels").await, 0, "what is said to a group that is gone does not bring it back");
}

#[tokio::test]
async fn who_is_muted_is_silent_until_then_also_after_coming_back() {
    let t = setup().await;
    let [owner, member] = t.guests().await;
    let (id, channel) = group(&t.store, owner, &[member]).await;
    assert!(is_stored(&says(&t, &channel, say(member, "1")).await));
    let until = (Timestamp::now() + 1.hour()).round(jiff::Unit::Second).unwrap();
    t.store.mute_member(id, owner, member, Some(until)).await.unwrap();
    assert_eq!(says(&t, &channel, say(member, "2")).await, Appended::Muted { until });
    // What was said before is repeated all the same.
    assert!(matches!(says(&t, &channel, say(member, "1")).await, Appended::Stored { repeated: true, .. }));
    assert_eq!(t.store.group_members(id).await.unwrap()[1].muted_until, Some(until));
    assert_eq!(t.store.own_channels(member).await.unwrap()[0].group.as_ref().unwrap().muted_until, Some(until));
    t.store.leave_group(id, member).await.unwrap();
    t.store.invite_member(id, owner, member).await.unwrap();
    t.store.join_group(id, member).await.unwrap();
    assert_eq!(says(&t, &channel, say(member, "3")).await, Appended::Muted { until });
    t.store.mute_member(id, owner, member, None).await.unwrap();
    assert!(is_stored(&says(&t, &channel, say(member, "3")).await));
    t.store.mute_member(id, owner, member, Some(Timestamp::now() - 1.second())).await.unwrap();
    assert!(is_stored(&says(&t, &channel, say(member, "4")).await));
}

#[tokio::test]
async fn in_a_slow_channel_each_says_something_once_in_a_while() {
    let t = setup().await;
    let [owner, a, b] = t.guests().await;
    let (id, channel) = group(&t.store, owner, &[a, b]).await;
    t.store.change_group(id, owner, None, Some(60)).await.unwrap();
    let both = t.store.append_messages(&channel, &[say(a, "1"), say(a, "2"), say(b, "1")]).await.unwrap();
    assert!(is_stored(&both[0]) && is_stored(&both[2]));
    let Appended::TooSoon { until } = both[1] else { panic!("{:?}", both[1]) };
    let wait_s = until.duration_since(Timestamp::now()).as_secs();
    assert!((55..=60).contains(&wait_s), "{wait_s} s");
    assert!(matches!(says(&t, &channel, say(a, "2")).await, Appended::TooSoon { .. }));
    assert!(matches!(says(&t, &channel, say(a, "1")).await, Appended::Stored { repeated: true, .. }));
    // Edits take no turn, and who keeps order is as quick as he likes.
    let edit = NewMessage { edits: Some(1), ..say(a, "e") };
    assert!(is_stored(&says(&t, &channel, edit).await));
    for nonce in ["1", "2", "3"] {
        assert!(is_stored(&says(&t, &channel, say(owner, nonce)).await));
    }
    t.sql.batch_execute("UPDATE channel_reads SET said_at = said_at - interval '61 s'").await.unwrap();
    assert!(is_stored(&says(&t, &channel, say(a, "2")).await));

    // `global`, by an operator's word, before anything was said there.
    t.store.set_slow_mode("global", 10).await.unwrap();
    assert!(is_stored(&says(&t, "global", say(a, "1")).await));
    assert!(matches!(says(&t, "global", say(a, "2")).await, Appended::TooSoon { .. }));
    t.store.set_slow_mode("global", 0).await.unwrap();
    assert!(is_stored(&says(&t, "global", say(a, "2")).await));
}

#[tokio::test]
async fn who_keeps_order_takes_back_what_others_have_said() {
    let t = setup().await;
    let [owner, a, b] = t.guests().await;
    let (_, channel) = group(&t.store, owner, &[a, b]).await;
    let take_back =
        |user, nonce: &str, offset| NewMessage { edits: Some(offset), text: String::new(), ..say(user, nonce) };
    says(&t, &channel, say(a, "1")).await;
    says(&t, &channel, NewMessage { edits: Some(1), ..say(a, "2") }).await;
    t.sql.batch_execute("UPDATE channel_messages SET sent_at = now() - interval '1 day'").await.unwrap();
    assert_eq!(says(&t, &channel, take_back(b, "1", 1)).await, Appended::NotEditable);
    assert_eq!(says(&t, &channel, take_back(a, "late", 1)).await, Appended::NotEditable);
    let rewrite = NewMessage { edits: Some(1), ..say(owner, "1") };
    assert_eq!(says(&t, &channel, rewrite).await, Appended::NotEditable, "nobody speaks for another");
    assert!(is_stored(&says(&t, &channel, take_back(owner, "1", 1)).await));
    let texts: Vec<_> =
        t.store.messages_after(&channel, 0).await.unwrap().messages.into_iter().map(|m| m.text).collect();
    assert_eq!(texts, ["", "", ""], "what was taken back is gone");
    assert_eq!(says(&t, &channel, take_back(owner, "2", 1)).await, Appended::NotEditable, "there is nothing any more");

    // In `global` operators do, in direct channels nobody.
    says(&t, "global", say(a, "1")).await;
    assert_eq!(says(&t, "global", take_back(b, "1", 1)).await, Appended::NotEditable);
    let operator = format!(
        "UPDATE users SET kind = 'account' WHERE id = '{b}';
        INSERT INTO accounts (user_id, role, password_hash, recovery_hash)
            VALUES ('{b}', 'operator', 'x', decode(repeat('00', 32), 'hex'))"
    );
    t.sql.batch_execute(&operator).await.unwrap();
    assert!(is_stored(&says(&t, "global", take_back(b, "2", 1)).await));
    let direct = format!("direct:{}:{}", a.min(b).as_uuid().simple(), a.max(b).as_uuid().simple());
    says(&t, &direct, say(a, "1")).await;
    assert_eq!(says(&t, &direct, take_back(b, "1", 1)).await, Appended::NotEditable);
    // And with whom one blocks, or is blocked by, there is nothing to say.
    t.store.block(b, a).await.unwrap();
    for user in [a, b] {
        assert_eq!(says(&t, &direct, say(user, "blocked")).await, Appended::NotAllowed);
    }
}

#[tokio::test]
async fn unread_messages_are_those_of_others() {
    let t = setup().await;
    let [owner, a, b] = t.guests().await;
    let (_, channel) = group(&t.store, owner, &[a, b]).await;
    let unread = async |user| t.store.own_channels(user).await.unwrap()[0].unread;
    for (user, nonce) in [(owner, "1"), (a, "1"), (b, "1")] {
        says(&t, &channel, say(user, nonce)).await;
    }
    says(&t, &channel, NewMessage { edits: Some(1), ..say(owner, "e") }).await;
    assert_eq!([unread(owner).await, unread(a).await], [2, 2]);
    t.store.note_read(&channel, a, 1).await.unwrap();
    assert_eq!(unread(a).await, 1);
    t.store.block(a, b).await.unwrap();
    assert_eq!(unread(a).await, 0, "whom one blocks does not count");
    let many: Vec<_> = (0..150).map(|n| say(b, &format!("m{n}"))).collect();
    t.store.append_messages(&channel, &many).await.unwrap();
    assert_eq!(unread(owner).await, rally_store::UNREAD_MAX);
}

#[tokio::test]
async fn groups_are_bounded() {
    let t = setup().await;
    let [a, b] = t.guests().await;
    for _ in 0..GROUPS_PER_USER_MAX {
        t.store.create_group(a, "one more").await.unwrap();
    }
    refused!(t.store.create_group(a, "too many").await, GroupError::TooMany(_));
    let (id, _) = group(&t.store, b, &[]).await;
    t.store.invite_member(id, b, a).await.unwrap();
    refused!(t.store.join_group(id, a).await, GroupError::TooMany(_));
    let crowd = format!(
        "INSERT INTO users (id, kind, name) SELECT gen_random_uuid(), 'guest', 'crowd' FROM generate_series(1, {0});
        INSERT INTO group_members (group_id, user_id, role) SELECT '{id}', u.id, 'member' FROM users u
            WHERE u.name = 'crowd' LIMIT {0} - 2",
        GROUP_MEMBERS_MAX
    );
    t.sql.batch_execute(&crowd).await.unwrap();
    let [c] = t.guests().await;
    refused!(t.store.invite_member(id, b, c).await, GroupError::TooMany(_));
}

#[tokio::test]
async fn nobody_says_anything_after_having_been_put_out() {
    let t = setup().await;
    let [owner, member] = t.guests().await;
    let (id, channel) = group(&t.store, owner, &[member]).await;
    // The group's lock is held: both wait for it, the kick first.
    t.sql.batch_execute("BEGIN; SELECT FROM channels FOR UPDATE").await.unwrap();
    let store = t.store.clone();
    let kick = tokio::spawn(async move { store.kick_member(id, owner, member).await });
    t.until_one_waits_for_a_lock().await;
    let store = t.store.clone();
    let speak = tokio::spawn(async move { store.append_messages(&channel, &[say(member, "1")]).await });
    t.sql.batch_execute("COMMIT").await.unwrap();
    kick.await.unwrap().unwrap();
    // Whichever came first: either it was said before, or it was not said.
    let said = speak.await.unwrap().unwrap().remove(0);
    assert!(is_stored(&said) || said == Appended::NotAllowed);
    let again = t.store.append_messages(&format!("group:{id}"), &[say(member, "2")]).await.unwrap();
    assert_eq!(again, [Appended::NotAllowed]);
}
