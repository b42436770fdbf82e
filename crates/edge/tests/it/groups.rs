//! Groups over two edges: over HTTP their members keep order, on their sockets they hear of it.

use axum::body::Body;
use http::Method;
use rally_protocol::client::{
    codec::Encoding,
    v1::{
        ChannelClosed, ChannelJoin, ChannelJoined, ChatEdit, ChatMessage, ChatSend, ErrorCode, ErrorMessage,
        GroupChanged, ServerMessage,
    },
};
use rally_units::UserId;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::{
    Client, Cluster,
    site::{Answer, Bounds, Browser, Site},
};

fn text<T: for<'a> TryFrom<&'a str, Error: std::fmt::Debug>>(text: &str) -> T {
    T::try_from(text).unwrap()
}

/// Somebody with a page and a socket, at one of the edges.
pub(crate) struct Person {
    pub(crate) id: UserId,
    pub(crate) http: Browser,
    pub(crate) ws: Client,
}

impl Person {
    pub(crate) async fn at(site: &Site, name: &str) -> Self {
        let mut http = site.browser();
        let id = http.sign_in(name).await["user"]["id"].as_str().unwrap().parse().unwrap();
        let ws = Self::socket(site, &http).await;
        Self { id, http, ws }
    }

    pub(crate) async fn socket(site: &Site, http: &Browser) -> Client {
        let stream = TcpStream::connect(site.served.addr).await.unwrap();
        let mut ws = Client::over(stream, Encoding::Json).await;
        ws.hello_with(http.token.as_ref().unwrap()).await;
        let welcome = ws.next().await;
        assert!(matches!(welcome, ServerMessage::Welcome(_)), "{welcome:?}");
        ws
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, body: Value) -> Answer {
        let json = Some(("content-type", "application/json"));
        self.http.send_with(method, &format!("/api/v1{path}"), json, Body::from(body.to_string())).await
    }

    /// Asks, and succeeds.
    #[track_caller]
    pub(crate) fn does(&self, method: Method, path: &str, body: Value) -> impl Future<Output = Value> {
        let asked = format!("{method} {path} {body}");
        let answer = self.ask(method, path, body);
        async move {
            let answer = answer.await;
            assert!(answer.status.is_success(), "{asked}: {}", answer.text());
            serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
        }
    }

    pub(crate) async fn group(&self, others: &[&Person]) -> String {
        let made = self.does(Method::POST, "/channels", json!({ "title": " The Paddlers " })).await;
        assert_eq!((&made["title"], &made["role"]), (&json!("The Paddlers"), &json!("owner")));
        let name = made["name"].as_str().unwrap().to_owned();
        for other in others {
            self.does(Method::POST, &format!("/channels/{name}/invitations"), json!({ "user": other.id })).await;
            other.does(Method::POST, &format!("/channels/{name}/join"), json!({})).await;
        }
        name
    }

    pub(crate) async fn reads(&mut self, channel: &str) -> ChannelJoined {
        self.ws.say(ChannelJoin { channel: text(channel), since: None }).await;
        self.ws
            .until(|message| match message {
                ServerMessage::ChannelJoined(joined) if joined.channel == channel => Some(joined.clone()),
                ServerMessage::ErrorMessage(error) => panic!("{error:?}"),
                _ => None,
            })
            .await
    }

    pub(crate) async fn says(&mut self, channel: &str, what: &str) {
        let nonce = rally_service::entropy::random_u64().to_string();
        self.ws.say(ChatSend { channel: text(channel), text: text(what), nonce: text(&nonce) }).await;
    }

    pub(crate) async fn hears(&mut self) -> ChatMessage {
        self.ws
            .until(|message| match message {
                ServerMessage::ChatMessage(said) => Some(said.clone()),
                ServerMessage::ErrorMessage(error) => panic!("{error:?}"),
                _ => None,
            })
            .await
    }

    async fn group_changed(&mut self, change: &str) -> GroupChanged {
        self.ws
            .until(|message| match message {
                ServerMessage::GroupChanged(changed) if changed.change == change => Some(changed.clone()),
                _ => None,
            })
            .await
    }

    async fn closed(&mut self) -> ChannelClosed {
        self.ws
            .until(|message| match message {
                ServerMessage::ChannelClosed(closed) => Some(closed.clone()),
                _ => None,
            })
            .await
    }

    async fn refused(&mut self, channel: &str) -> ErrorMessage {
        self.says(channel, "hello?").await;
        self.ws.error().await
    }
}

#[tokio::test]
async fn a_group_talks_over_two_edges() {
    let cluster = Cluster::start().await;
    let (one, two) = (cluster.site(Bounds::default()).await, cluster.site(Bounds::default()).await);
    let (mut ada, mut bob, mut eve) =
        (Person::at(&one, "ada").await, Person::at(&two, "bob").await, Person::at(&two, "eve").await);
    let channel = ada.group(&[&bob]).await;
    assert_eq!(ada.group_changed("joined").await.user, Some(bob.id));
    ada.reads(&channel).await;
    bob.reads(&channel).await;
    bob.says(&channel, "hello").await;
    assert_eq!((ada.hears().await.text, bob.hears().await.text), ("hello".into(), "hello".into()));
    let group = bob.does(Method::GET, &format!("/channels/{channel}"), Value::Null).await;
    assert_eq!((&group["role"], group["members"].as_array().unwrap().len()), (&json!("member"), 2));

    // To others it does not exist.
    eve.ws.say(ChannelJoin { channel: text(&channel), since: None }).await;
    assert_eq!(eve.ws.error().await.code, ErrorCode::NotFound);
    for path in ["", "/messages", "/bans"] {
        let answer = eve.ask(Method::GET, &format!("/channels/{channel}{path}"), Value::Null).await;
        answer.problem(404, "not_found");
    }
    eve.ask(Method::POST, &format!("/channels/{channel}/join"), json!({})).await.problem(404, "not_found");
    let invite = json!({ "user": eve.id });
    eve.ask(Method::POST, &format!("/channels/{channel}/invitations"), invite).await.problem(404, "not_found");
    let mine = json!({ "title": "mine" });
    bob.ask(Method::PATCH, &format!("/channels/{channel}"), mine).await.problem(403, "forbidden");

    let renamed = ada.does(Method::PATCH, &format!("/channels/{channel}"), json!({ "title": "Others" })).await;
    assert_eq!(renamed["title"], "Others");
    assert_eq!(bob.group_changed("renamed").await.title.as_deref(), Some("Others"));
    for bad in [json!({}), json!({ "title": "" }), json!({ "title": "a\nb" }), json!({ "title": "x".repeat(61) })] {
        assert_eq!(ada.ask(Method::POST, "/channels", bad).await.fields(), ["title"]);
    }
    let both = ada.ask(Method::PATCH, &format!("/channels/{channel}"), json!({ "title": 1, "slow_s": 21_601 })).await;
    assert_eq!(both.fields(), ["title", "slow_s"]);

    // What waits to be read.
    bob.says(&channel, "are you there?").await;
    bob.hears().await;
    let listed = ada.does(Method::GET, "/channels", Value::Null).await;
    let own = &listed["items"][1];
    assert_eq!((&own["name"], &own["title"], &own["unread"]), (&json!(channel), &json!("Others"), &json!(2)));

    ada.does(Method::DELETE, &format!("/channels/{channel}"), Value::Null).await;
    for person in [&mut ada, &mut bob] {
        let closed = person.closed().await;
        assert_eq!((closed.channel, closed.reason.as_str()), (channel.clone(), "deleted"));
        assert_eq!(person.refused(&channel).await.code, ErrorCode::Forbidden);
    }
    ada.ask(Method::GET, &format!("/channels/{channel}"), Value::Null).await.problem(404, "not_found");
}

#[tokio::test]
async fn who_is_put_out_reads_no_more_on_any_edge() {
    let cluster = Cluster::start().await;
    let (one, two) = (cluster.site(Bounds::default()).await, cluster.site(Bounds::default()).await);
    let (mut ada, mut bob) = (Person::at(&one, "ada").await, Person::at(&two, "bob").await);
    // Also on a second device, at the other edge.
    let mut phone = Person { id: bob.id, ws: Person::socket(&one, &bob.http).await, http: one.browser() };
    for (method, path, reason) in [(Method::DELETE, "members", "kicked"), (Method::PUT, "bans", "banned")] {
        let channel = ada.group(&[&bob]).await;
        for person in [&mut ada, &mut bob, &mut phone] {
            person.reads(&channel).await;
        }
        ada.does(method, &format!("/channels/{channel}/{path}/{}", bob.id), Value::Null).await;
        assert_eq!(ada.group_changed(reason).await.user, Some(bob.id));
        for device in [&mut bob, &mut phone] {
            let closed = device.closed().await;
            assert_eq!((closed.channel, closed.reason.as_str()), (channel.clone(), reason));
            assert_eq!(device.refused(&channel).await.code, ErrorCode::Forbidden);
            device.ws.say(ChannelJoin { channel: text(&channel), since: Some(0) }).await;
            assert_eq!(device.ws.error().await.code, ErrorCode::NotFound);
        }
        ada.says(&channel, "he is gone").await;
        ada.hears().await;
        // Had it come to him, it would have come before the next thing that does.
        for device in [&mut bob, &mut phone] {
            device.reads("global").await;
            device.says("global", "I am still here").await;
            assert_eq!(device.hears().await.channel, "global");
            device.ws.say(rally_protocol::client::v1::ChannelLeave { channel: text("global") }).await;
        }
        bob.ask(Method::GET, &format!("/channels/{channel}/messages"), Value::Null).await.problem(404, "not_found");
        let invite =
            ada.ask(Method::POST, &format!("/channels/{channel}/invitations"), json!({ "user": bob.id })).await;
        assert_eq!(invite.status.as_u16(), if reason == "kicked" { 204 } else { 403 }, "{}", invite.text());
    }
}

#[tokio::test]
async fn what_was_lost_on_the_way_is_made_up_for() {
    let cluster = Cluster::start().await;
    let site = cluster.site(Bounds::default()).await;
    let (ada, mut bob) = (Person::at(&site, "ada").await, Person::at(&site, "bob").await);
    let channel = ada.group(&[&bob]).await;
    bob.reads(&channel).await;
    // Put out without anybody's being told; then the link is lost, so that something may have been.
    let id = channel.strip_prefix("group:").unwrap().parse().unwrap();
    cluster.store.kick_member(id, ada.id, bob.id).await.unwrap();
    cluster.redis.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    assert_eq!(bob.closed().await.channel, channel);
}

#[tokio::test]
async fn moderators_keep_order() {
    let cluster = Cluster::start().await;
    let (one, two) = (cluster.site(Bounds::default()).await, cluster.site(Bounds::default()).await);
    let (mut ada, mut bob, mut eve) =
        (Person::at(&one, "ada").await, Person::at(&two, "bob").await, Person::at(&one, "eve").await);
    let channel = ada.group(&[&bob, &eve]).await;
    for person in [&mut ada, &mut bob, &mut eve] {
        person.reads(&channel).await;
    }
    let member = |person: &Person| format!("/channels/{channel}/members/{}", person.id);
    let mute = json!({ "mute_s": 3600 });
    eve.ask(Method::PATCH, &member(&bob), mute.clone()).await.problem(403, "forbidden");
    ada.does(Method::PATCH, &member(&bob), json!({ "role": "moderator" })).await;
    assert_eq!(eve.group_changed("role").await.role.as_deref(), Some("moderator"));

    eve.says(&channel, "an insult").await;
    assert_eq!(bob.hears().await.offset, 1);
    bob.does(Method::PATCH, &member(&eve), mute).await;
    let until = eve.group_changed("muted").await.until.unwrap();
    let refused = eve.refused(&channel).await;
    assert_eq!(
        (refused.code, refused.until, refused.of.as_deref()),
        (ErrorCode::Forbidden, Some(until), Some("chat_send"))
    );
    assert!(refused.detail.contains("muted"), "{}", refused.detail);
    // What was said is taken back, also for those who come later.
    bob.ws.say(ChatEdit { channel: text(&channel), offset: 1, text: text(""), nonce: text("t") }).await;
    for person in [&mut ada, &mut eve] {
        while person.hears().await.edits != Some(1) {}
    }
    let page = ada.does(Method::GET, &format!("/channels/{channel}/messages"), Value::Null).await;
    assert_eq!((&page["items"][0]["text"], &page["items"][1]["edits"]), (&json!(""), &json!(1)));
    bob.does(Method::PATCH, &member(&eve), json!({ "mute_s": 0 })).await;
    eve.says(&channel, "sorry").await;
    while ada.hears().await.text != "sorry" {}

    // Slow mode: once in so long, over all edges and devices.
    bob.does(Method::PATCH, &format!("/channels/{channel}"), json!({ "slow_s": 600 })).await;
    assert_eq!(eve.group_changed("slow").await.slow_s, Some(600));
    eve.says(&channel, "slowly").await;
    while eve.hears().await.text != "slowly" {}
    let refused = eve.refused(&channel).await;
    assert_eq!(refused.code, ErrorCode::RateLimited);
    assert!(refused.until.is_some());

    for bad in [json!({ "role": "king" }), json!({ "role": 1 })] {
        assert_eq!(ada.ask(Method::PATCH, &member(&bob), bad).await.fields(), ["role"]);
    }
    assert_eq!(ada.ask(Method::PATCH, &member(&bob), json!({ "mute_s": -1 })).await.fields(), ["mute_s"]);
    ada.does(Method::PATCH, &member(&eve), json!({ "role": "owner" })).await;
    ada.ask(Method::DELETE, &format!("/channels/{channel}"), Value::Null).await.problem(403, "forbidden");
    eve.does(Method::POST, &format!("/channels/{channel}/leave"), json!({})).await;
    assert_eq!(eve.closed().await.reason, "left");
    let group = ada.does(Method::GET, &format!("/channels/{channel}"), Value::Null).await;
    assert_eq!(group["members"][0]["role"], "owner");
    assert_eq!(group["members"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn players_and_those_who_watch_talk_apart() {
    let cluster = Cluster::start().await;
    let (one, two) = (cluster.site(Bounds::default()).await, cluster.site(Bounds::default()).await);
    let (mut ada, mut bob, mut eve) =
        (Person::at(&one, "ada").await, Person::at(&two, "bob").await, Person::at(&two, "eve").await);
    let id = crate::support::new_match();
    let new = rally_store::NewMatch {
        id,
        mode: rally_store::Mode::Duel,
        classic: false,
        private: false,
        score_to_win: 3,
        seed: 1,
        rules_version: 1,
        seats: [rally_store::Seat::Player(ada.id), rally_store::Seat::Player(bob.id)],
        owner: rally_store::Owner {
            node: rally_units::NodeId::from_bits(1),
            incarnation: rally_units::Incarnation::from_bits(1),
        },
    };
    assert!(cluster.store.create_matches(&[new]).await.unwrap()[0].is_ok());
    let (players, watchers) = (format!("match:{id}"), format!("watch:{id}"));
    for person in [&mut ada, &mut bob] {
        person.reads(&players).await;
    }
    eve.ws.say(ChannelJoin { channel: text(&players), since: None }).await;
    assert_eq!(eve.ws.error().await.code, ErrorCode::Forbidden);
    eve.ask(Method::GET, &format!("/channels/{players}/messages"), Value::Null).await.problem(403, "forbidden");
    eve.reads(&watchers).await;
    ada.says(&players, "for bob alone").await;
    assert_eq!(bob.hears().await.text, "for bob alone");
    // Names are called among those who may read: of players by whoever plays, of accounts where all may watch.
    ada.says(&players, "@bob and @eve").await;
    assert_eq!(ada.hears().await.text, "for bob alone");
    assert_eq!(ada.hears().await.mentions, [bob.id]);
    assert_eq!(bob.hears().await.mentions, [bob.id]);
    eve.says(&watchers, "who will win?").await;
    assert_eq!(eve.hears().await.text, "who will win?", "the first thing that she hears");
    // Nor do players hear what is said of them, unless they want to.
    bob.says(&players, "for ada alone").await;
    assert_eq!(ada.hears().await.text, "for ada alone");
}
