//! What is kept in Redis for others to find: owners, sessions, directors' leases.

use std::time::Duration;

use bytes::Bytes;
use rally_fabric::{Owned, Owner};
use rally_protocol::names;
use rally_testkit::{Redis, RedisCluster, eventually};
use rally_units::{Epoch, Incarnation, LoginId, MatchId, NodeId};

use crate::support::{LONG, clock, match_id, node, session_id, user_id};

fn owned(match_id: MatchId, worker: &str, epoch: u32) -> Owned {
    let owner =
        Owner { node: NodeId::of_name(worker), incarnation: Incarnation::from_bits(u64::MAX - 7), epoch: Epoch(epoch) };
    Owned { match_id, owner }
}

async fn owners(url: &str) {
    let node = node(url, "owners").await;
    let fabric = &node.fabric;
    let id = match_id();
    assert_eq!(fabric.owner(id).await.expect("asked"), None);
    assert_eq!(fabric.set_owners(&[]).await.expect("nothing"), 0);
    assert_eq!(fabric.set_owners(&[owned(id, "w", 2)]).await.expect("set"), 1);
    assert_eq!(fabric.owner(id).await.expect("asked"), Some(owned(id, "w", 2).owner));
    // A lower epoch changes nothing; the same one asserts; a higher one replaces.
    assert_eq!(fabric.set_owners(&[owned(id, "late", 1)]).await.expect("set"), 0);
    assert_eq!(fabric.set_owners(&[owned(id, "w", 2), owned(id, "new", 10)]).await.expect("set"), 2);
    assert_eq!(fabric.owner(id).await.expect("asked"), Some(owned(id, "new", 10).owner));
    assert!(!fabric.clear_owner(id, Epoch(9)).await.expect("asked"));
    assert!(fabric.clear_owner(id, Epoch(10)).await.expect("asked"));
    assert_eq!(fabric.owner(id).await.expect("asked"), None);

    // Many, in all slots.
    let many: Vec<Owned> = (0..1_000).map(|epoch| owned(match_id(), "w", epoch + 1)).collect();
    assert_eq!(fabric.set_owners(&many).await.expect("set"), 1_000);
    for one in many.iter().step_by(97) {
        assert_eq!(fabric.owner(one.match_id).await.expect("asked"), Some(one.owner));
    }
}

async fn sessions(url: &str) {
    let node = node(url, "sessions").await;
    let sessions = node.fabric.sessions();
    let (kept, gone) = (session_id(), session_id());
    assert_eq!(sessions.get(kept).await.expect("asked"), None);
    let value = Bytes::from_static(b"\x00\xffbinary");
    sessions.put(kept, value.clone()).await.expect("put");
    assert_eq!(sessions.get(kept).await.expect("asked"), Some(value));
    assert_eq!(sessions.touch(&[kept, gone]).await.expect("touched"), [gone]);
    assert_eq!(sessions.touch(&[]).await.expect("nothing"), []);
    sessions.remove(kept).await.expect("removed");
    assert_eq!(sessions.get(kept).await.expect("asked"), None);
}

async fn invites(url: &str) {
    let node = node(url, "invites").await;
    let invites = node.fabric.invites();
    let (invite, [ada, bob, eve]) = (match_id(), [user_id(), user_id(), user_id()]);
    let says = Bytes::from_static(br#"{"to":"a duel"}"#);
    let minute = std::time::Duration::from_secs(60);
    let put =
        async |invite, from, keep_for| invites.put(invite, [from, ada], says.clone(), keep_for).await.expect("put");
    assert!(put(invite, bob, minute).await);
    assert_eq!(invites.take(invite, eve).await.expect("asked"), None, "it is not hers");
    assert_eq!(invites.take(match_id(), ada).await.expect("asked"), None);
    assert_eq!(invites.take(invite, ada).await.expect("asked"), Some(says.clone()));
    assert_eq!(invites.take(invite, ada).await.expect("asked"), None, "once");

    // Taken back by whose it is.
    assert!(put(invite, bob, minute).await);
    assert!(!invites.cancel(invite, [eve, ada]).await.expect("asked"));
    assert!(invites.cancel(invite, [bob, ada]).await.expect("asked"));
    assert_eq!(invites.take(invite, ada).await.expect("asked"), None);

    // One of each, and so many in all.
    let again = match_id();
    assert!(put(invite, bob, minute).await && put(again, bob, minute).await);
    assert_eq!(invites.take(invite, ada).await.expect("asked"), None, "the later one counts");
    for _ in 1..rally_fabric::INVITES_MAX {
        assert!(put(match_id(), user_id(), minute).await);
    }
    assert!(!put(match_id(), eve, minute).await);
    assert!(put(again, bob, std::time::Duration::from_millis(1)).await, "in place of the one before");
    // That one expires, and leaves room.
    eventually(LONG, async || put(match_id(), eve, minute).await).await;
    assert_eq!(invites.take(again, ada).await.expect("asked"), None);

    // A rematch is one when both have said so.
    let finished = match_id();
    let want = async |who, says| invites.rematch(finished, who, Bytes::from_static(says), minute).await.expect("asked");
    assert_eq!(want(ada, b"a").await, None);
    assert_eq!(want(ada, b"again").await, None);
    assert_eq!(want(bob, b"b").await, Some(Bytes::from_static(b"again")));
    assert_eq!(want(ada, b"a").await, None, "once");
}

async fn directors(url: &str) {
    let (a, b) = (node(url, "director-a").await, node(url, "director-b").await);
    let (mut in_a, mut in_b) = (a.fabric.director("matchmaking"), b.fabric.director("matchmaking"));
    assert!(in_a.try_hold().await.expect("asked"));
    assert!(in_a.holds(clock()) && !in_b.try_hold().await.expect("asked") && !in_b.holds(clock()));
    assert!(in_a.try_hold().await.expect("renewed"));
    assert!(b.fabric.director("tournaments").try_hold().await.expect("another one"));
    in_b.release().await.expect("not its own: nothing happens");
    assert!(!in_b.try_hold().await.expect("asked"));
    in_a.release().await.expect("released");
    assert!(!in_a.holds(clock()) && in_b.try_hold().await.expect("asked"));
    // One that dies loses it by time.
    drop(in_b);
    eventually(LONG, async || in_a.clone().try_hold().await.expect("asked")).await;
}

async fn once(url: &str) {
    let node = node(url, "once").await;
    let once = node.fabric.once();
    let name = session_id().to_string();
    assert_eq!(once.take(&name).await.expect("asked"), None);
    once.put(&name, Bytes::from_static(b"\x00x"), LONG).await.expect("put");
    let (first, second) = tokio::join!(once.take(&name), once.take(&name));
    let taken = [first, second].map(|taken| taken.expect("asked")).into_iter().flatten().collect::<Vec<_>>();
    assert_eq!(taken, [Bytes::from_static(b"\x00x")], "one of two gets it");
    once.put(&name, Bytes::from_static(b"x"), Duration::from_millis(1)).await.expect("put");
    eventually(LONG, async || once.take(&name).await.expect("asked").is_none()).await;
}

async fn revocations(url: &str) {
    let node = node(url, "revocations").await;
    let revoked = node.fabric.revocations();
    let before = revoked.since(0).await.expect("asked");
    let [a, b, soon] = std::array::from_fn(|_| LoginId::from_bytes(*session_id().as_bytes()));
    revoked.add(&[], LONG).await.expect("nothing");
    assert_eq!(revoked.since(before.number).await.expect("asked").logins, [], "nothing has changed");
    revoked.add(&[soon], Duration::from_millis(1)).await.expect("added");
    revoked.add(&[a, b], LONG).await.expect("added");
    let read = revoked.since(before.number).await.expect("asked");
    assert!(read.number > before.number);
    for login in [a, b] {
        let kept = read.logins.iter().find(|(each, _)| *each == login).expect("it is there").1;
        assert!(kept <= LONG && kept > LONG / 2, "{kept:?}");
    }
    assert_eq!(revoked.since(read.number).await.expect("asked").logins, []);
    // What no token needs any more is not read.
    eventually(LONG, async || {
        let all = revoked.since(before.number).await.expect("asked").logins;
        all.iter().all(|(login, _)| *login != soon)
    })
    .await;
}

#[tokio::test]
async fn on_a_standalone_server() {
    let redis = Redis::start().await;
    owners(&redis.url()).await;
    sessions(&redis.url()).await;
    invites(&redis.url()).await;
    directors(&redis.url()).await;
    once(&redis.url()).await;
    revocations(&redis.url()).await;
    // Nothing is left for ever.
    let node = node(&redis.url(), "last").await;
    let (id, session) = (match_id(), session_id());
    node.fabric.set_owners(&[owned(id, "w", 1)]).await.expect("set");
    node.fabric.sessions().put(session, Bytes::from_static(b"x")).await.expect("put");
    for (key, ms_max) in [(names::owner(id), 10_000), (names::session(session), 120_000)] {
        let ttl: i64 = redis.cli(&["PTTL", &key]).await.parse().expect("a number");
        assert!((1..=ms_max).contains(&ttl), "{key}: {ttl} ms");
    }
}

#[tokio::test]
async fn on_a_cluster() {
    let cluster = RedisCluster::start().await;
    owners(&cluster.url()).await;
    sessions(&cluster.url()).await;
    invites(&cluster.url()).await;
    directors(&cluster.url()).await;
    once(&cluster.url()).await;
    revocations(&cluster.url()).await;
}
