//! Who is connected where, as it stands in Redis.

use rally_fabric::{PRESENCE_FOR, Presence, PresenceChange};
use rally_protocol::{client::v1::Status, names};
use rally_testkit::{Redis, RedisCluster};
use rally_units::{Incarnation, NodeId};

use crate::support::{match_id, node, session_id, user_id};

fn at(edge: &str, status: Status) -> Presence {
    Presence {
        node: NodeId::of_name(edge),
        incarnation: Incarnation::from_bits(u64::MAX - 7),
        status,
        match_id: Some(match_id()),
    }
}

async fn sessions_write_their_own_entries(url: &str) {
    let node = node(url, "presence").await;
    let presence = node.fabric.presence();
    let (ada, grace, nobody) = (user_id(), user_id(), user_id());
    let (one, two) = (session_id(), session_id());
    let (here, there) = (at("edge-1", Status::Online), at("edge-2", Status::Busy));
    let put = |user, session, presence| PresenceChange { user, session, presence, gone: false };
    presence.put(&[put(ada, one, here), put(ada, two, there), put(grace, one, there)]).await.expect("put");
    let found = presence.get(&[ada, nobody, grace]).await.expect("asked");
    assert_eq!(found[0].get(&one), Some(&here));
    assert_eq!(found[0].get(&two), Some(&there));
    assert!(found[1].is_empty() && found[2].len() == 1);

    // The session goes on at another edge; what the first one says afterwards is too late.
    presence.put(&[put(ada, one, there)]).await.expect("put");
    let gone = |presence| PresenceChange { user: ada, session: one, presence, gone: true };
    presence.put(&[gone(here)]).await.expect("put");
    assert_eq!(presence.get(&[ada]).await.expect("asked")[0].get(&one), Some(&there));
    presence.put(&[gone(there)]).await.expect("put");
    let left = presence.get(&[ada]).await.expect("asked");
    assert_eq!(left[0].keys().collect::<Vec<_>>(), [&two]);
    presence.put(&[]).await.expect("nothing");
}

#[tokio::test]
async fn on_a_standalone_server() {
    let redis = Redis::start().await;
    sessions_write_their_own_entries(&redis.url()).await;
    let user = user_id();
    let node = node(&redis.url(), "last").await;
    let change = PresenceChange { user, session: session_id(), presence: at("edge-1", Status::Away), gone: false };
    node.fabric.presence().put(&[change]).await.expect("put");
    let ttl: u128 = redis.cli(&["PTTL", &names::presence(user)]).await.parse().expect("a number");
    assert!((1..=PRESENCE_FOR.as_millis()).contains(&ttl), "nothing is left for ever: {ttl} ms");
}

#[tokio::test]
async fn on_a_cluster() {
    sessions_write_their_own_entries(&RedisCluster::start().await.url()).await;
}
