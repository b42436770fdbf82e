//! Waiting for an opponent, over edges.

use rally_fabric::{QueueStatus, Ticket};
use rally_protocol::{
    client::{
        codec::Encoding,
        v1::{ErrorCode, MatchFound, Mode, QueueJoin, QueueLeave, Resume, ServerMessage, Side, UserInfo},
    },
    cluster::v1::Control,
};
use rally_store::{NewMatch, Owner, Seat};

use crate::support::{Client, Cluster, LONG, new_match};

const JOIN: QueueJoin = QueueJoin { mode: Mode::Casual, skill: None };

async fn queued(client: &mut Client) {
    client.say(JOIN).await;
    assert!(matches!(client.next().await, ServerMessage::Queued(queued) if queued.mode == Mode::Casual));
}

#[tokio::test]
async fn two_who_wait_on_two_edges_find_each_other() {
    let cluster = Cluster::start().await;
    let edges = [cluster.edge("edge-1").await, cluster.edge("edge-2").await];
    let mut director = cluster.worker("worker").await;
    let users = [cluster.guest("ada").await, cluster.guest("bob").await];
    let mut clients = Vec::new();
    for (edge, user) in edges.iter().zip(users) {
        let mut client = Client::open(edge, Encoding::Json, user).await;
        queued(&mut client).await;
        clients.push(client);
    }
    let match_id = new_match();
    let pairs = director.fabric.queue().pair(Mode::Casual, &[match_id]).await.unwrap();
    let [pair] = &pairs[..] else { panic!("{pairs:?}") };
    assert_eq!([pair.left.user, pair.right.user], users);
    assert_eq!([pair.left.edge, pair.right.edge], [edges[0].node(), edges[1].node()]);
    let tell = |side, ticket: &Ticket, opponent: &Ticket| {
        let opponent = UserInfo { id: opponent.user, name: opponent.name.clone(), guest: opponent.guest };
        let message = MatchFound { match_id, mode: Mode::Casual, side, opponent: Some(opponent) };
        Control::Found { session: ticket.session, message: Box::new(message) }
    };
    director.tell(pair.left.edge, match_id, &tell(Side::Left, &pair.left, &pair.right));
    director.tell(pair.right.edge, match_id, &tell(Side::Right, &pair.right, &pair.left));
    director.flush();
    for (client, side) in clients.iter_mut().zip([Side::Left, Side::Right]) {
        let found = director_turns(&mut director, client.next()).await;
        assert!(matches!(found, ServerMessage::MatchFound(found) if found.side == side && found.match_id == match_id));
    }
}

/// The worker repeats what is not acknowledged, while a client waits.
async fn director_turns<T>(director: &mut crate::support::Worker, wait: impl Future<Output = T>) -> T {
    tokio::pin!(wait);
    loop {
        tokio::select! {
            done = &mut wait => return done,
            () = director.turn(std::time::Duration::from_millis(20)) => {}
        }
    }
}

#[tokio::test]
async fn queueing_twice_or_from_within_a_match_is_refused() {
    let cluster = Cluster::start().await;
    let edge = cluster.edge("edge").await;
    let worker = cluster.worker("worker").await;
    let (ada, bob) = (cluster.guest("ada").await, cluster.guest("bob").await);
    let mut client = Client::open(&edge, Encoding::Msgpack, ada).await;
    queued(&mut client).await;
    client.say(QueueJoin { mode: Mode::Classic, skill: None }).await;
    let error = client.error().await;
    assert_eq!((error.code, error.of.as_deref()), (ErrorCode::AlreadyInQueue, Some("queue_join")));
    client.say(QueueLeave {}).await;
    assert!(matches!(client.next().await, ServerMessage::QueueLeft(left) if left.mode == Mode::Casual));
    client.say(QueueLeave {}).await;
    assert_eq!(client.error().await.code, ErrorCode::NotFound);

    let new = NewMatch {
        id: new_match(),
        mode: rally_store::Mode::Practice,
        classic: false,
        private: false,
        score_to_win: 11,
        seed: 1,
        rules_version: 1,
        seats: [Seat::Player(bob), Seat::Bot(rally_store::BotLevel::Easy)],
        owner: Owner { node: worker.node(), incarnation: worker.incarnation },
    };
    cluster.store.create_matches(&[new]).await.unwrap()[0].unwrap();
    let mut client = Client::open(&edge, Encoding::Msgpack, bob).await;
    client.say(JOIN).await;
    assert_eq!(client.error().await.code, ErrorCode::AlreadyInMatch);
}

#[tokio::test]
async fn without_postgres_nobody_queues() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut client = Client::open(&edge, Encoding::Json, crate::support::somebody()).await;
    client.say(JOIN).await;
    let error = client.error().await;
    assert_eq!((error.code, error.of.as_deref()), (ErrorCode::Unavailable, Some("queue_join")));
}

#[tokio::test]
async fn a_ticket_lives_with_its_connection_and_follows_its_session() {
    let cluster = Cluster::start().await;
    let (one, two) = (cluster.edge("edge-1").await, cluster.edge("edge-2").await);
    let ada = cluster.guest("ada").await;
    let mut client = Client::connect(&one, Encoding::Json).await;
    let session = client.hello(ada, None).await.session;
    queued(&mut client).await;
    let status = || async { one.fabric.queue().status(ada).await.unwrap() };
    // Longer than a ticket that nobody refreshes.
    tokio::time::sleep(std::time::Duration::from_secs(7)).await;
    assert_eq!(status().await, QueueStatus::Waiting { mode: Mode::Casual });

    drop(client);
    let mut client = Client::connect(&two, Encoding::Json).await;
    let resume = Some(Resume { session, channels: Default::default() });
    let welcome = client.hello(ada, resume).await;
    assert_eq!((welcome.resumed, welcome.queue), (true, Some(Mode::Casual)));
    let pairs_with = cluster.guest("bob").await;
    let mut other = Client::open(&one, Encoding::Json, pairs_with).await;
    queued(&mut other).await;
    let pairs = one.fabric.queue().pair(Mode::Casual, &[new_match()]).await.unwrap();
    assert_eq!((pairs[0].left.session, pairs[0].left.edge), (session, two.node()));
}

#[tokio::test]
async fn without_its_connection_a_ticket_expires() {
    let cluster = Cluster::start().await;
    let edge = cluster.edge("edge").await;
    let ada = cluster.guest("ada").await;
    let mut client = Client::open(&edge, Encoding::Json, ada).await;
    queued(&mut client).await;
    drop(client);
    let queue = edge.fabric.queue();
    rally_testkit::eventually(LONG, || async { queue.status(ada).await.unwrap() == QueueStatus::Gone }).await;
}

#[tokio::test]
async fn a_pairing_whose_word_was_lost_is_told_by_the_refresh() {
    let cluster = Cluster::start().await;
    let edge = cluster.edge("edge").await;
    let worker = cluster.worker("worker").await;
    let users = [cluster.guest("ada").await, cluster.guest("bob").await];
    let mut clients = Vec::new();
    for user in users {
        let mut client = Client::open(&edge, Encoding::Json, user).await;
        queued(&mut client).await;
        clients.push(client);
    }
    let match_id = new_match();
    let queue = worker.fabric.queue();
    assert_eq!(queue.pair(Mode::Casual, &[match_id]).await.unwrap().len(), 1);
    let new = NewMatch {
        id: match_id,
        mode: rally_store::Mode::Casual,
        classic: false,
        private: false,
        score_to_win: 11,
        seed: 1,
        rules_version: 1,
        seats: users.map(Seat::Player),
        owner: Owner { node: worker.node(), incarnation: worker.incarnation },
    };
    cluster.store.create_matches(&[new]).await.unwrap()[0].unwrap();
    assert!(queue.finish(Mode::Casual, match_id).await.unwrap());
    // And then the director dies without a word.
    for (client, side) in clients.iter_mut().zip([Side::Left, Side::Right]) {
        let found = client.next().await;
        assert!(matches!(&found, ServerMessage::MatchFound(found) if found.side == side), "{found:?}");
    }
}
