//! Channels, presence and friendships over several edges.

use std::{collections::HashSet, time::Duration};

use rally_protocol::client::{
    codec::Encoding,
    v1::{
        ChannelJoin, ChannelJoined, ChannelLeave, ChatEdit, ChatMessage, ChatSend, ErrorCode, JoinAs, Place, Presence,
        Read, ServerMessage, SetStatus, Status, Typing,
    },
};
use rally_store::NewMessage;
use rally_testkit::eventually;
use rally_units::UserId;
use tokio::time::timeout;

use crate::support::{Client, Cluster, Edge, LONG, site::SOON};

fn text<T: for<'a> TryFrom<&'a str, Error: std::fmt::Debug>>(text: &str) -> T {
    T::try_from(text).unwrap()
}

impl Client {
    async fn join(&mut self, channel: &str, since: Option<u64>) -> ChannelJoined {
        self.say(ChannelJoin { channel: text(channel), since }).await;
        self.until(|message| match message {
            ServerMessage::ChannelJoined(joined) if joined.channel == channel => Some(joined.clone()),
            ServerMessage::ErrorMessage(error) => panic!("{error:?}"),
            _ => None,
        })
        .await
    }

    async fn chat(&mut self, channel: &str, what: &str, nonce: &str) {
        self.say(ChatSend { channel: text(channel), text: text(what), nonce: text(nonce) }).await;
    }

    async fn heard(&mut self) -> ChatMessage {
        self.until(|message| match message {
            ServerMessage::ChatMessage(said) => Some(said.clone()),
            ServerMessage::ErrorMessage(error) => panic!("{error:?}"),
            _ => None,
        })
        .await
    }

    async fn presence(&mut self, of: UserId) -> Presence {
        self.until(|message| match message {
            ServerMessage::Presence(presence) if presence.user == of => Some(presence.clone()),
            _ => None,
        })
        .await
    }

    /// What comes within a moment.
    async fn soon(&mut self) -> Option<ServerMessage> {
        timeout(SOON, self.next()).await.ok()
    }
}

async fn friends(cluster: &Cluster, a: UserId, b: UserId) {
    cluster.store.befriend(a, b).await.unwrap();
    assert!(cluster.store.accept_friend(b, a).await.unwrap());
}

async fn at(edge: &Edge, user: UserId) -> Client {
    Client::open(edge, Encoding::Msgpack, user).await
}

#[tokio::test]
async fn what_is_said_on_one_edge_is_read_on_another() {
    let cluster = Cluster::start().await;
    let (one, two) = (cluster.edge("edge-1").await, cluster.edge("edge-2").await);
    let (a, b) = (cluster.guest("ada").await, cluster.guest("bob").await);
    let (mut ada, mut bob) = (at(&one, a).await, Client::open(&two, Encoding::Json, b).await);
    let joined = ada.join("global", None).await;
    assert_eq!((joined.messages.len(), joined.recovered, joined.last_offset), (0, true, 0));
    bob.join("global", None).await;
    ada.chat("global", "hello", "n-1").await;
    let (mine, theirs) = (ada.heard().await, bob.heard().await);
    assert_eq!((mine.offset, mine.nonce.as_deref()), (1, Some("n-1")));
    assert_eq!((theirs.text.as_str(), theirs.nonce.as_deref(), theirs.from.id), ("hello", None, a));
    assert_eq!((theirs.id, theirs.sent_at), (mine.id, mine.sent_at));
    // The same mark twice is one message, and is answered again.
    ada.chat("global", "hello", "n-1").await;
    assert_eq!(ada.heard().await, mine);
    bob.chat("global", "<b>hi</b> \u{65}\u{301}", "n-1").await;
    let said = ada.heard().await;
    assert_eq!((said.offset, said.text.as_str()), (2, "<b>hi</b> é"), "as it was said, in NFC");
    assert_eq!(bob.heard().await.offset, 2);

    ada.say(Typing { channel: text("global") }).await;
    let typing = bob.until(|m| match m {
        ServerMessage::SomebodyTypes(typing) => Some(typing.clone()),
        _ => None,
    });
    assert_eq!(typing.await.user, a);
    // One's own within five minutes; others' not.
    bob.say(ChatEdit { channel: text("global"), offset: 1, text: text("bye"), nonce: text("e-1") }).await;
    assert_eq!(bob.error().await.code, ErrorCode::Forbidden);
    ada.say(ChatEdit { channel: text("global"), offset: 1, text: text(""), nonce: text("e-1") }).await;
    let edited = bob.heard().await;
    assert_eq!((edited.edits, edited.text.as_str(), edited.offset), (Some(1), "", 3));
    // Who has left hears nothing and says nothing.
    bob.say(ChannelLeave { channel: text("global") }).await;
    bob.chat("global", "again", "n-2").await;
    assert_eq!(bob.error().await.code, ErrorCode::Forbidden);
}

#[tokio::test]
async fn after_a_reconnect_exactly_what_was_missed_comes() {
    let cluster = Cluster::start().await;
    let (one, two) = (cluster.edge("edge-1").await, cluster.edge("edge-2").await);
    let (a, b) = (cluster.guest("ada").await, cluster.guest("bob").await);
    let (mut ada, mut bob) = (at(&one, a).await, at(&one, b).await);
    ada.join("global", None).await;
    bob.join("global", None).await;
    ada.chat("global", "1", "1").await;
    assert_eq!(bob.heard().await.offset, 1);
    drop(bob);
    for n in 2..=6 {
        ada.chat("global", &n.to_string(), &n.to_string()).await;
        assert_eq!(ada.heard().await.offset, if n == 2 { 1 } else { n - 1 });
    }
    let mut bob = at(&two, b).await;
    let joined = bob.join("global", Some(1)).await;
    let offsets: Vec<u64> = joined.messages.iter().map(|message| message.offset).collect();
    assert!(joined.recovered && offsets.starts_with(&[2, 3, 4, 5]), "{offsets:?}");
    let mut next = *offsets.last().unwrap() + 1;
    while next <= 6 {
        assert_eq!(bob.heard().await.offset, next);
        next += 1;
    }
    // So much was missed that the latest page has to do.
    let many: Vec<_> = (0..150)
        .map(|n| NewMessage { user: a, nonce: format!("m{n}"), text: n.to_string(), edits: None, mentions: Vec::new() })
        .collect();
    cluster.store.append_messages("global", &many).await.unwrap();
    let mut late = at(&two, b).await;
    let joined = late.join("global", Some(1)).await;
    assert_eq!((joined.recovered, joined.last_offset, joined.messages.len()), (false, 156, 100));
    assert_eq!(joined.messages.last().unwrap().offset, 156);
    // What nobody has told of is found when something is heard again.
    assert_eq!(bob.join("global", Some(156)).await.messages.len(), 0);
}

#[tokio::test]
async fn a_storm_reaches_everybody_in_order_and_once() {
    let cluster = Cluster::start().await;
    let edges = [cluster.edge("edge-1").await, cluster.edge("edge-2").await];
    let mut talkers = Vec::new();
    for n in 0..10 {
        let user = cluster.guest(&format!("user_{n}")).await;
        let mut client = at(&edges[n % 2], user).await;
        client.join("global", None).await;
        talkers.push(client);
    }
    // Ten at once are allowed to each.
    for (n, talker) in talkers.iter_mut().enumerate() {
        for m in 0..8 {
            talker.chat("global", &format!("{n} {m}"), &m.to_string()).await;
        }
    }
    for talker in &mut talkers {
        let mut texts = HashSet::new();
        for offset in 1..=80 {
            let said = talker.heard().await;
            assert_eq!(said.offset, offset);
            assert!(texts.insert(said.text));
        }
    }
}

#[tokio::test]
async fn one_says_so_much_and_no_more_over_all_edges() {
    let cluster = Cluster::start().await;
    let edges = [cluster.edge("edge-1").await, cluster.edge("edge-2").await];
    let user = cluster.guest("ada").await;
    let mut devices = [at(&edges[0], user).await, at(&edges[1], user).await];
    for device in &mut devices {
        device.join("global", None).await;
    }
    // Each says more than all may at once, so that each is told.
    for n in 0..32 {
        devices[n % 2].chat("global", "spam", &n.to_string()).await;
    }
    for device in &mut devices {
        assert_eq!(device.error().await.code, ErrorCode::RateLimited);
    }
}

#[tokio::test]
async fn direct_messages_are_for_two() {
    let cluster = Cluster::start().await;
    let (one, two) = (cluster.edge("edge-1").await, cluster.edge("edge-2").await);
    let (a, b, c) = (cluster.guest("ada").await, cluster.guest("bob").await, cluster.guest("eve").await);
    let (mut ada, mut bob, mut eve) = (at(&one, a).await, at(&two, b).await, at(&two, c).await);
    ada.join(&format!("direct:{b}"), None).await;
    bob.join(&format!("direct:{a}"), None).await;
    eve.join(&format!("direct:{a}"), None).await;
    ada.chat(&format!("direct:{b}"), "psst", "1").await;
    assert_eq!(ada.heard().await.channel, format!("direct:{b}"));
    let heard = bob.heard().await;
    assert_eq!((heard.channel, heard.text.as_str()), (format!("direct:{a}"), "psst"));
    bob.say(Read { channel: text(&format!("direct:{a}")), offset: 1 }).await;
    let read = ada.until(|m| match m {
        ServerMessage::SomebodyRead(read) => Some(read.clone()),
        _ => None,
    });
    assert_eq!(read.await.offset, 1);
    eventually(LONG, async || cluster.store.own_channels(b).await.unwrap()[0].read_offset == 1).await;
    assert_eq!(eve.soon().await, None, "it is not hers");

    // Whom one blocks is not heard any more, and cannot come in.
    cluster.store.block(b, c).await.unwrap();
    for channel in [format!("direct:{b}"), format!("direct:{c}"), "direct:nobody".into(), "lobby".into()] {
        eve.say(ChannelJoin { channel: text(&channel), since: None }).await;
        assert_eq!(eve.error().await.code, ErrorCode::NotFound, "{channel}");
    }
    let no_seat = format!("match:{}", crate::support::new_match());
    eve.say(ChannelJoin { channel: text(&no_seat), since: None }).await;
    assert_eq!(eve.error().await.code, ErrorCode::Forbidden);
}

#[tokio::test]
async fn who_is_blocked_is_not_heard() {
    let cluster = Cluster::start().await;
    let edge = cluster.edge("edge").await;
    let (a, b, c) = (cluster.guest("ada").await, cluster.guest("bob").await, cluster.guest("eve").await);
    cluster.store.block(a, c).await.unwrap();
    let (mut ada, mut bob, mut eve) = (at(&edge, a).await, at(&edge, b).await, at(&edge, c).await);
    for client in [&mut bob, &mut eve] {
        client.join("global", None).await;
    }
    eve.chat("global", "before", "1").await;
    assert_eq!(bob.heard().await.offset, 1);
    assert_eq!(ada.join("global", None).await.messages, []);
    eve.chat("global", "after", "2").await;
    assert_eq!(bob.heard().await.offset, 2);
    bob.chat("global", "hello", "1").await;
    assert_eq!(ada.heard().await.offset, 3);
}

#[tokio::test]
async fn without_postgres_nothing_is_said_and_everybody_is_told() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut client = at(&edge, crate::support::somebody()).await;
    client.say(ChannelJoin { channel: text("global"), since: None }).await;
    assert_eq!(client.error().await.code, ErrorCode::Unavailable);
}

#[tokio::test]
async fn friends_see_where_one_is_on_however_many_devices() {
    let cluster = Cluster::start().await;
    let (one, two) = (cluster.edge("edge-1").await, cluster.edge("edge-2").await);
    let (a, b, c) = (cluster.guest("ada").await, cluster.guest("bob").await, cluster.guest("eve").await);
    friends(&cluster, a, b).await;
    let (mut ada, mut eve) = (at(&one, a).await, at(&one, c).await);
    let mut phone = at(&two, b).await;
    assert_eq!(ada.presence(b).await, Presence { user: b, status: Status::Online, match_id: None });
    assert_eq!(phone.presence(a).await.status, Status::Online, "who comes later is told who is there");
    let mut laptop = at(&one, b).await;
    assert_eq!(laptop.presence(a).await.status, Status::Online);
    phone.say(SetStatus { status: Status::Busy }).await;
    assert_eq!(ada.presence(b).await.status, Status::Busy);
    drop(phone);
    assert_eq!(ada.presence(b).await.status, Status::Online, "the laptop is still there");
    laptop.say(SetStatus { status: Status::Away }).await;
    assert_eq!(ada.presence(b).await.status, Status::Away);
    drop(laptop);
    assert_eq!(ada.presence(b).await.status, Status::Offline);
    eventually(LONG, async || cluster.store.profile(b).await.unwrap().unwrap().last_seen_at.is_some()).await;
    assert_eq!(eve.soon().await, None, "she is nobody's friend");
}

#[tokio::test]
async fn a_change_is_seen_on_other_edges_within_two_seconds() {
    let cluster = Cluster::start().await;
    let (one, two) = (cluster.edge("edge-1").await, cluster.edge("edge-2").await);
    let (a, b) = (cluster.guest("ada").await, cluster.guest("bob").await);
    friends(&cluster, a, b).await;
    let mut worker = cluster.worker("worker").await;
    let match_id = crate::support::new_match();
    worker.own(match_id).await;
    let mut ada = at(&one, a).await;
    let seen = async |ada: &mut Client, since: std::time::Instant| {
        let seen = ada.presence(b).await;
        assert!(since.elapsed() < Duration::from_secs(2), "{seen:?} after {:?}", since.elapsed());
        (seen.status, seen.match_id)
    };
    let came = std::time::Instant::now();
    let mut bob = at(&two, b).await;
    assert_eq!(seen(&mut ada, came).await, (Status::Online, None));
    for status in [Status::Away, Status::Busy, Status::Online] {
        let said = std::time::Instant::now();
        bob.say(SetStatus { status }).await;
        assert_eq!(seen(&mut ada, said).await, (status, None));
    }
    // In a match, and which.
    bob.ask_in(match_id, JoinAs::Player).await;
    worker.let_in(match_id, Place::Left, 1).await;
    bob.joined().await;
    let joined = std::time::Instant::now();
    assert_eq!(seen(&mut ada, joined).await, (Status::Online, Some(match_id)));
    let left = std::time::Instant::now();
    drop(bob);
    assert_eq!(seen(&mut ada, left).await.0, Status::Offline);
}

#[tokio::test]
async fn a_dead_edge_leaves_no_ghosts() {
    let cluster = Cluster::start().await;
    let (one, two) = (cluster.edge("edge-1").await, cluster.edge("edge-2").await);
    let (a, b) = (cluster.guest("ada").await, cluster.guest("bob").await);
    friends(&cluster, a, b).await;
    let mut ada = at(&one, a).await;
    let bob = at(&two, b).await;
    assert_eq!(ada.presence(b).await.status, Status::Online);
    // It is gone without a word of its people: the sockets' task does not get to say anything.
    let died = std::time::Instant::now();
    two.dies().await;
    assert_eq!(ada.presence(b).await.status, Status::Offline);
    assert!(died.elapsed() < Duration::from_secs(5), "{:?}", died.elapsed());
    drop(bob);
}
