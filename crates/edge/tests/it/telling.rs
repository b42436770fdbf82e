//! What one is told until one has read it, who is named, what is found again, and what is reported.

use http::Method;
use rally_protocol::client::v1::{ErrorCode, Notified, Read, ServerMessage};
use serde_json::{Value, json};

use crate::{
    groups::Person,
    support::{
        Cluster,
        site::{Bounds, SOON},
    },
};

impl Person {
    async fn told(&mut self, kind: &str) -> Notified {
        self.ws
            .until(|message| match message {
                ServerMessage::Notified(told) if told.kind == kind => Some(told.clone()),
                _ => None,
            })
            .await
    }

    async fn unread(&self) -> Vec<Value> {
        self.does(Method::GET, "/notifications", Value::Null).await["items"].as_array().unwrap().clone()
    }
}

#[tokio::test]
async fn one_is_told_at_once_and_until_one_has_read_it() {
    let cluster = Cluster::start().await;
    let (one, two) = (cluster.site(Bounds::default()).await, cluster.site(Bounds::default()).await);
    let (mut ada, mut bob) = (Person::at(&one, "ada").await, Person::at(&two, "bob").await);
    ada.does(Method::POST, "/friends/requests", json!({ "user": bob.id })).await;
    let told = bob.told("friend_request").await;
    assert_eq!(told.from.as_ref().map(|from| from.id), Some(ada.id));
    let unread = bob.unread().await;
    assert_eq!((unread.len(), &unread[0]["id"]), (1, &json!(told.id)));
    // Answering reads it; and tells the other.
    bob.does(Method::POST, "/friends", json!({ "user": ada.id })).await;
    assert_eq!(ada.told("friend_accepted").await.from.map(|from| from.id), Some(bob.id));
    assert_eq!(bob.unread().await, [0; 0]);

    let made = ada.does(Method::POST, "/channels", json!({ "title": "Paddlers" })).await;
    let channel = made["name"].as_str().unwrap();
    ada.does(Method::POST, &format!("/channels/{channel}/invitations"), json!({ "user": bob.id })).await;
    let told = bob.told("group_invitation").await;
    assert_eq!((told.channel.as_deref(), told.text.as_deref()), (Some(channel), Some("Paddlers")));
    let listed = bob.does(Method::GET, "/channels", Value::Null).await;
    assert_eq!(listed["invitations"][0]["channel"], channel);
    // Read, it can still be answered; once answered it is read.
    bob.does(Method::POST, "/notifications/read", json!({ "ids": [told.id] })).await;
    assert_eq!(bob.unread().await, [0; 0]);
    bob.does(Method::DELETE, &format!("/channels/{channel}/invitations/{}", bob.id), Value::Null).await;
    ada.does(Method::POST, &format!("/channels/{channel}/invitations"), json!({ "user": bob.id })).await;
    bob.told("group_invitation").await;
    bob.does(Method::POST, &format!("/channels/{channel}/join"), json!({})).await;
    assert_eq!(bob.unread().await, [0; 0]);
    let nothing = bob.ask(Method::POST, "/notifications/read", json!({})).await;
    assert_eq!(nothing.fields(), ["ids"]);
    assert_eq!(bob.ask(Method::GET, "/notifications?before=x", Value::Null).await.fields(), ["before"]);
}

#[tokio::test]
async fn who_is_named_is_told() {
    let cluster = Cluster::start().await;
    let (one, two) = (cluster.site(Bounds::default()).await, cluster.site(Bounds::default()).await);
    let (mut ada, mut bob) = (Person::at(&one, "ada").await, Person::at(&two, "bob").await);
    let eve = Person::at(&two, "eve").await;
    let channel = ada.group(&[&bob]).await;
    ada.reads(&channel).await;
    ada.says(&channel, "@BOB and @eve, look; I am @ada").await;
    let said = ada.hears().await;
    assert_eq!(said.mentions, [bob.id], "nobody who does not read here, nor oneself");
    let told = bob.told("mention").await;
    assert_eq!((told.channel.as_deref(), told.offset), (Some(channel.as_str()), Some(1)));
    assert_eq!(told.text.as_deref(), Some("@BOB and @eve, look; I am @ada"));
    assert_eq!(eve.unread().await, [0; 0]);
    // In a direct channel, which each calls by the other.
    let (to_bob, to_ada) = (format!("direct:{}", bob.id), format!("direct:{}", ada.id));
    ada.reads(&to_bob).await;
    ada.says(&to_bob, "@bob?").await;
    assert_eq!(bob.told("mention").await.channel, Some(to_ada.clone()));
    assert_eq!(bob.unread().await.len(), 2);
    // Reading the channel is enough.
    bob.reads(&to_ada).await;
    bob.ws.say(Read { channel: to_ada.as_str().try_into().unwrap(), offset: 1 }).await;
    rally_testkit::eventually(crate::support::LONG, async || bob.unread().await.len() == 1).await;
}

#[tokio::test]
async fn nothing_comes_from_whom_one_blocks() {
    let cluster = Cluster::start().await;
    let (one, two) = (cluster.site(Bounds::default()).await, cluster.site(Bounds::default()).await);
    let (mut ada, mut bob, mut eve) =
        (Person::at(&one, "ada").await, Person::at(&two, "bob").await, Person::at(&two, "eve").await);
    let channel = bob.group(&[&ada, &eve]).await;
    let direct = format!("direct:{}", ada.id);
    eve.reads(&direct).await;
    ada.does(Method::POST, "/blocks", json!({ "user": eve.id })).await;
    for person in [&mut ada, &mut bob, &mut eve] {
        person.reads(&channel).await;
    }
    // In a group of both, by name or not; and in a channel that was open before.
    eve.says(&channel, "@ada, do you hear me?").await;
    assert_eq!(eve.hears().await.offset, 1);
    eve.ws.say(rally_protocol::client::v1::Typing { channel: channel.as_str().try_into().unwrap() }).await;
    eve.says(&direct, "@ada!").await;
    assert_eq!(eve.ws.error().await.code, ErrorCode::Forbidden);
    // No request, no invitation, and nothing of either to be found.
    eve.ask(Method::POST, "/friends/requests", json!({ "user": ada.id })).await.problem(403, "forbidden");
    let other = eve.does(Method::POST, "/channels", json!({ "title": "Come" })).await;
    let invite = format!("/channels/{}/invitations", other["name"].as_str().unwrap());
    eve.ask(Method::POST, &invite, json!({ "user": ada.id })).await.problem(404, "not_found");
    bob.says(&channel, "@ada").await;
    // What is told and what is said come in any order.
    let (mut told, mut said) = (None, None);
    while told.is_none() || said.is_none() {
        match ada.ws.next().await {
            ServerMessage::Notified(one) if one.kind == "mention" => told = told.or(one.from.map(|from| from.id)),
            ServerMessage::ChatMessage(one) => said = said.or(Some(one.from.id)),
            _ => {}
        }
    }
    assert_eq!((told, said), (Some(bob.id), Some(bob.id)), "the first that she hears of each");
    assert_eq!(ada.unread().await.len(), 1);
    let page = ada.does(Method::GET, &format!("/channels/{channel}/messages"), Value::Null).await;
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    let found = ada.does(Method::GET, "/messages?search=ada", Value::Null).await;
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    let listed = ada.does(Method::GET, "/channels", Value::Null).await;
    assert_eq!((&listed["items"][1]["unread"], &listed["invitations"]), (&json!(1), &json!([])));
}

#[tokio::test]
async fn who_is_blocked_is_not_told_so() {
    let cluster = Cluster::start().await;
    let (one, two) = (cluster.site(Bounds::default()).await, cluster.site(Bounds::default()).await);
    let (ada, mut bob) = (Person::at(&one, "ada").await, Person::at(&two, "bob").await);
    let mut eve = Person::at(&two, "eve").await;
    bob.does(Method::POST, "/friends/requests", json!({ "user": ada.id })).await;
    for person in [&eve, &bob] {
        ada.does(Method::POST, "/blocks", json!({ "user": person.id })).await;
    }
    let friend = |message: &ServerMessage| match message {
        ServerMessage::Friend(friend) => Some((friend.user.id, friend.change.clone())),
        _ => None,
    };
    // What there was between them has ended; that is all that is said.
    assert_eq!(bob.ws.until(friend).await, (ada.id, "removed".to_owned()));
    // The same edge has heard of both by then, in this order.
    assert!(tokio::time::timeout(SOON, eve.ws.until(friend)).await.is_err());
}

#[tokio::test]
async fn who_tells_not_how_far_he_has_read_does_not_see_it_either() {
    let cluster = Cluster::start().await;
    let (one, two) = (cluster.site(Bounds::default()).await, cluster.site(Bounds::default()).await);
    let (mut ada, mut bob) = (Person::at(&one, "ada").await, Person::at(&two, "bob").await);
    let (to_bob, to_ada) = (format!("direct:{}", bob.id), format!("direct:{}", ada.id));
    ada.reads(&to_bob).await;
    bob.reads(&to_ada).await;
    let read = async |person: &mut Person, channel: &str, offset: u64| {
        person.ws.say(Read { channel: channel.try_into().unwrap(), offset }).await;
    };
    let seen = async |person: &mut Person| {
        let seen = person.ws.until(|message| match message {
            ServerMessage::SomebodyRead(read) => Some(read.offset),
            _ => None,
        });
        tokio::time::timeout(SOON, seen).await.ok()
    };
    for n in 1..=3 {
        ada.says(&to_bob, "hello").await;
        assert_eq!(bob.hears().await.offset, n);
    }
    read(&mut bob, &to_ada, 1).await;
    assert_eq!(ada.ws.until(|m| matches!(m, ServerMessage::SomebodyRead(_)).then_some(())).await, ());
    let settings = ada.does(Method::PATCH, "/users/me", json!({ "read_receipts": false })).await;
    assert_eq!(settings["settings"]["read_receipts"], false);
    // Until her edge knows it; then neither way.
    let started = std::time::Instant::now();
    for offset in [1, 2, 3].into_iter().cycle() {
        read(&mut bob, &to_ada, offset).await;
        if seen(&mut ada).await.is_none() {
            break;
        }
        assert!(started.elapsed() < crate::support::LONG, "she sees it still");
    }
    read(&mut ada, &to_bob, 3).await;
    assert_eq!(seen(&mut bob).await, None);
}

#[tokio::test]
async fn what_was_said_is_found_again_by_those_who_may_read_it() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let (mut ada, mut bob) = (Person::at(&site, "ada").await, Person::at(&site, "bob").await);
    let eve = Person::at(&site, "eve").await;
    let group = ada.group(&[&bob]).await;
    let direct = format!("direct:{}", bob.id);
    for channel in ["global", &group, &direct] {
        ada.reads(channel).await;
        ada.says(channel, "a smashing rally").await;
        ada.hears().await;
    }
    let channels = async |person: &Person, query: &str| {
        let found = person.does(Method::GET, &format!("/messages?search={query}"), Value::Null).await;
        let items = found["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["channel"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(channels(&ada, "RALLY").await, [direct.clone(), group.clone(), "global".to_owned()]);
    assert_eq!(channels(&bob, "smashing%20rally").await[0], format!("direct:{}", ada.id));
    assert_eq!(channels(&eve, "rally").await, ["global"]);
    assert_eq!(channels(&ada, &format!("rally&channel={group}")).await, std::slice::from_ref(&group));
    let hidden = eve.ask(Method::GET, &format!("/messages?search=rally&channel={group}"), Value::Null).await;
    hidden.problem(404, "not_found");
    let page = ada.does(Method::GET, "/messages?search=rally&limit=2", Value::Null).await;
    let next = page["next"].as_str().unwrap();
    assert_eq!(channels(&ada, &format!("rally&limit=2&before={next}")).await, ["global"]);
    assert_eq!(channels(&ada, "%27%20OR%201=1%20--").await, <[String; 0]>::default());
    let wrong = ada.ask(Method::GET, "/messages?search=&before=x&limit=0", Value::Null).await;
    assert_eq!(wrong.fields(), ["search", "before", "limit"]);
    bob.reads(&group).await;
}

#[tokio::test]
async fn what_is_reported_waits_for_operators() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let (mut ada, bob) = (Person::at(&site, "ada").await, Person::at(&site, "bob").await);
    let eve = Person::at(&site, "eve").await;
    let group = ada.group(&[&bob]).await;
    ada.reads(&group).await;
    ada.says(&group, "an insult").await;
    ada.hears().await;
    let message = json!({ "message": { "channel": group, "offset": 1 }, "reason": "abuse", "text": "look" });
    let made = bob.does(Method::POST, "/reports", message.clone()).await;
    let open = cluster.store.reports(true, 10).await.unwrap();
    assert_eq!(json!(open[0].id), made["id"]);
    assert_eq!(open[0].message.as_ref().map(|(.., said)| said.as_str()), Some("an insult"));
    eve.ask(Method::POST, "/reports", message).await.problem(404, "not_found");
    let nobody = json!({ "user": crate::support::somebody(), "reason": "spam" });
    eve.ask(Method::POST, "/reports", nobody).await.problem(404, "not_found");
    let unclear = json!({ "user": ada.id, "match": crate::support::new_match(), "reason": "dull" });
    assert_eq!(eve.ask(Method::POST, "/reports", unclear).await.fields(), ["reason", "user"]);
    // So many at once, and no more.
    for reason in ["abuse", "spam", "name", "other"] {
        eve.ask(Method::POST, "/reports", json!({ "user": ada.id, "reason": reason })).await;
    }
    let report = json!({ "user": bob.id, "reason": "spam" });
    eve.ask(Method::POST, "/reports", report).await.problem(429, "rate_limited");
}
