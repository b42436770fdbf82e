//! Players and spectators of a match, with a worker that does what the test says.

use std::time::Duration;

use rally_protocol::{
    client::{
        codec::{Encoding, Messages as _},
        v1::{
            EndReason, ErrorCode, EventKind, GameOver, InputMessage, JoinAs, MatchLeave, Pause, Ping, Place, Ready,
            ServerMessage, Side,
        },
    },
    cluster::v1::{Command, Control, MatchSpec, SeatSpec, SnapshotHead},
};
use rally_store::{NewMatch, Owner, Seat};
use rally_units::{Epoch, MatchId, Tick};

use crate::support::{Client, Cluster, Edge, LONG, Said, Worker, counted, new_match, somebody};

/// A client on the left seat of a match of this worker.
async fn seated(edge: &Edge, worker: &mut Worker, match_id: MatchId, encoding: Encoding) -> Client {
    let mut client = Client::open(edge, encoding, somebody()).await;
    client.ask_in(match_id, JoinAs::Player).await;
    worker.let_in(match_id, Place::Left, 1).await;
    assert_eq!(client.joined().await.side, Place::Left);
    client
}

fn head(tick: u32, applied: u32) -> SnapshotHead {
    SnapshotHead { tick: Tick(tick), generation: [1, 0], applied: [applied, 0], durable: [applied, 0] }
}

#[tokio::test]
async fn two_on_two_edges_get_the_same_match_each_in_their_encoding() {
    let cluster = Cluster::without_database().await;
    let (one, two) = (cluster.edge("edge-1").await, cluster.edge("edge-2").await);
    let mut worker = cluster.worker("worker").await;
    let match_id = new_match();
    worker.own(match_id).await;
    let mut left = seated(&one, &mut worker, match_id, Encoding::Json).await;
    let mut right = Client::open(&two, Encoding::Msgpack, somebody()).await;
    right.ask_in(match_id, JoinAs::Player).await;
    worker.let_in(match_id, Place::Right, 1).await;
    assert_eq!(right.joined().await.side, Place::Right);
    let mut watcher = Client::open(&two, Encoding::Json, somebody()).await;
    watcher.ask_in(match_id, JoinAs::Spectator).await;
    worker.let_in(match_id, Place::Spectator, 0).await;
    watcher.joined().await;

    for tick in 1..=20 {
        for edge in [&one, &two] {
            worker.snapshot(edge.node(), match_id, head(tick, 0));
            if tick % 5 == 0 {
                worker.event(edge.node(), match_id, tick / 5);
            }
        }
        worker.flush();
        worker.turn(Duration::from_millis(16)).await;
    }
    for client in [&mut left, &mut right, &mut watcher] {
        let (mut ticks, mut events) = (Vec::new(), Vec::new());
        while ticks.last() != Some(&20) || events.len() < 4 {
            match client.next().await {
                ServerMessage::Snapshot(snapshot) => ticks.push(snapshot.tick.0),
                ServerMessage::MatchEvent(event) => events.push(event.n),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(ticks, (1..=20).collect::<Vec<_>>());
        assert_eq!(events, [1, 2, 3, 4]);
    }
}

#[tokio::test]
async fn inputs_reach_the_owner_once_and_in_order() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut worker = cluster.worker("worker").await;
    let match_id = new_match();
    worker.own(match_id).await;
    let mut client = seated(&edge, &mut worker, match_id, Encoding::Msgpack).await;
    let mut got = Vec::new();
    for seq in 1..=30 {
        client.input(match_id, seq).await;
        if seq % 3 == 0 {
            while got.len() < seq as usize {
                got.extend(worker.inputs().await);
            }
            worker.snapshot(edge.node(), match_id, head(seq, seq));
            worker.flush();
            client.snapshot().await;
        }
    }
    let numbers: Vec<_> = got.iter().map(|r| (r.n, r.seq, r.generation, r.side)).collect();
    assert_eq!(numbers, (1..=30).map(|n| (n, n, 1, Side::Left)).collect::<Vec<_>>());
    // All are applied, so none comes again.
    for tick in 31..=40 {
        worker.snapshot(edge.node(), match_id, head(tick, 30));
        worker.flush();
        client.snapshot().await;
    }
    let more = worker.all_within(Duration::from_millis(50)).await;
    assert!(more.iter().all(|said| !matches!(said, Said::Inputs(_))), "{more:?}");
}

#[tokio::test]
async fn an_input_that_is_not_applied_is_sent_again_after_three_snapshots() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut worker = cluster.worker("worker").await;
    let match_id = new_match();
    worker.own(match_id).await;
    let mut client = seated(&edge, &mut worker, match_id, Encoding::Msgpack).await;
    client.input(match_id, 1).await;
    let first = worker.inputs().await;
    for tick in 1..=3 {
        worker.snapshot(edge.node(), match_id, head(tick, 0));
        worker.flush();
        client.snapshot().await;
    }
    assert_eq!(worker.inputs().await, first);
}

#[tokio::test]
async fn bad_inputs_are_refused_and_counted() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut worker = cluster.worker("worker").await;
    let match_id = new_match();
    worker.own(match_id).await;
    let mut client = seated(&edge, &mut worker, match_id, Encoding::Json).await;
    let mut watcher = Client::open(&edge, Encoding::Json, somebody()).await;
    watcher.ask_in(match_id, JoinAs::Spectator).await;
    worker.let_in(match_id, Place::Spectator, 0).await;

    client.input(match_id, 1).await;
    client.input(match_id, 1).await;
    let error = client.error().await;
    assert_eq!(
        (error.code, error.of.as_deref(), error.match_id),
        (ErrorCode::InvalidInput, Some("input"), Some(match_id))
    );
    client.input(new_match(), 1).await;
    assert_eq!(client.error().await.code, ErrorCode::NotFound);
    let side = InputMessage { match_id, seq: 2, dir: Default::default(), press: false, side: Some(Side::Right) };
    client.say(side).await;
    assert_eq!(client.error().await.code, ErrorCode::InvalidInput);
    watcher.input(match_id, 1).await;
    assert_eq!(watcher.error().await.code, ErrorCode::Forbidden);
    for reason in ["seq_back", "not_in_match", "side", "spectator"] {
        assert!(counted(&format!("rally_edge_refused_total{{reason=\"{reason}\"}}")) >= 1, "{reason}");
    }
    // Of all these the worker has seen one.
    client.input(match_id, 2).await;
    let mut got = worker.inputs().await;
    while got.len() < 2 {
        got.extend(worker.inputs().await);
    }
    assert_eq!(got.iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn leaving_and_vanishing_are_told_to_the_owner() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut worker = cluster.worker("worker").await;
    let match_id = new_match();
    worker.own(match_id).await;
    let mut client = Client::open(&edge, Encoding::Msgpack, somebody()).await;
    client.ask_in(match_id, JoinAs::Spectator).await;
    let (_, session) = worker.let_in(match_id, Place::Spectator, 0).await;
    client.joined().await;
    client.say(MatchLeave { match_id }).await;
    assert_eq!(worker.control().await.1, Control::Leave { session });

    client.ask_in(match_id, JoinAs::Player).await;
    worker.let_in(match_id, Place::Left, 1).await;
    client.joined().await;
    drop(client);
    assert_eq!(worker.control().await.1, Control::Leave { session });
}

#[tokio::test]
async fn commands_go_to_the_owner_and_refusals_come_back() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut worker = cluster.worker("worker").await;
    let match_id = new_match();
    worker.own(match_id).await;
    let mut client = seated(&edge, &mut worker, match_id, Encoding::Json).await;
    client.say(Ready { match_id }).await;
    let (_, Control::Command { session, command: Command::Ready }) = worker.control().await else {
        panic!("not ready")
    };
    client.say(Pause { match_id }).await;
    worker.control().await;
    let refused = Control::CommandRefused {
        session,
        command: Command::Pause,
        code: ErrorCode::Forbidden,
        detail: "no pauses left".into(),
    };
    worker.tell(edge.node(), match_id, &refused);
    worker.flush();
    let error = client.error().await;
    assert_eq!(
        (error.code, error.of.as_deref(), &*error.detail),
        (ErrorCode::Forbidden, Some("pause"), "no pauses left")
    );
}

#[tokio::test]
async fn a_seat_taken_by_a_newer_connection_closes_the_older_with_4409() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut worker = cluster.worker("worker").await;
    let match_id = new_match();
    worker.own(match_id).await;
    let user = somebody();
    let mut older = Client::open(&edge, Encoding::Msgpack, user).await;
    older.ask_in(match_id, JoinAs::Player).await;
    let (_, session) = worker.let_in(match_id, Place::Left, 1).await;
    older.joined().await;
    let mut newer = Client::open(&edge, Encoding::Msgpack, user).await;
    newer.ask_in(match_id, JoinAs::Player).await;
    let (from, Control::Join { request, .. }) = worker.control().await else { panic!("not a join") };
    worker.tell(from, match_id, &Control::SeatTaken { session, side: Side::Left });
    worker.answer(from, match_id, request, Place::Left, 2, 0).await;
    assert_eq!(older.closed().await, 4409);
    newer.joined().await;
    newer.input(match_id, 1).await;
    let record = loop {
        if let (_, _, Said::Inputs(records)) = worker.next().await {
            break records[0];
        }
    };
    assert_eq!((record.generation, record.n, record.seq), (2, 1, 1));
}

#[tokio::test]
async fn a_match_that_nobody_has_is_not_found() {
    let cluster = Cluster::start().await;
    let edge = cluster.edge("edge").await;
    let mut client = Client::open(&edge, Encoding::Json, somebody()).await;
    let match_id = new_match();
    client.ask_in(match_id, JoinAs::Spectator).await;
    let error = client.error().await;
    assert_eq!(
        (error.code, error.of.as_deref(), error.match_id),
        (ErrorCode::NotFound, Some("match_join"), Some(match_id))
    );
}

#[tokio::test]
async fn with_redis_ignorant_postgres_names_the_owner() {
    let cluster = Cluster::start().await;
    let edge = cluster.edge("edge").await;
    let mut worker = cluster.worker("worker").await;
    let user = cluster.guest("ada").await;
    let match_id = new_match();
    let new = NewMatch {
        id: match_id,
        mode: rally_store::Mode::Practice,
        classic: false,
        private: false,
        score_to_win: 11,
        seed: 1,
        rules_version: 1,
        seats: [Seat::Player(user), Seat::Bot(rally_store::BotLevel::Easy)],
        owner: Owner { node: worker.node(), incarnation: worker.incarnation },
    };
    assert_eq!(cluster.store.create_matches(&[new]).await.unwrap(), [Ok(Epoch(1))]);
    let mut client = Client::connect(&edge, Encoding::Json).await;
    // The welcome says where one is.
    assert_eq!(client.hello(user, None).await.match_id, Some(match_id));
    client.ask_in(match_id, JoinAs::Player).await;
    worker.let_in(match_id, Place::Left, 1).await;
    client.joined().await;
}

#[tokio::test]
async fn a_silent_owner_is_asked_again_and_nothing_counts_meanwhile() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut worker = cluster.worker("worker").await;
    let match_id = new_match();
    worker.own(match_id).await;
    let mut client = seated(&edge, &mut worker, match_id, Encoding::Msgpack).await;
    client.input(match_id, 1).await;
    client.input(match_id, 2).await;
    // Silence: the edge looks for the owner and asks to come in again.
    let (from, request) = loop {
        if let (from, _, Said::Control(Control::Join { request, .. })) = worker.next().await {
            break (from, request);
        }
    };
    worker.snapshot(from, match_id, head(900, 0));
    worker.answer(from, match_id, request, Place::Left, 2, 0).await;
    client.joined().await;
    worker.snapshot(from, match_id, head(901, 0));
    worker.flush();
    // What was said before the answer did not count (it was in the same bundle, which counts as after it) or did; what
    // counts is that the client numbers its inputs anew, under a new generation.
    client.snapshot().await;
    client.input(match_id, 1).await;
    let record = loop {
        if let (_, _, Said::Inputs(records)) = worker.next().await
            && let Some(record) = records.iter().find(|record| record.generation == 2)
        {
            break *record;
        }
    };
    assert_eq!((record.n, record.seq), (1, 1));
}

#[tokio::test]
async fn former_owners_are_not_believed() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let (mut former, mut owner) = (cluster.worker("worker-1").await, cluster.worker("worker-2").await);
    owner.epoch = Epoch(2);
    let match_id = new_match();
    former.own(match_id).await;
    let mut client = seated(&edge, &mut former, match_id, Encoding::Msgpack).await;
    former.snapshot(edge.node(), match_id, head(10, 0));
    former.flush();
    assert_eq!(client.snapshot().await.tick, Tick(10));
    // The new owner has taken the match over, with its attached edges: its first word is enough.
    loop {
        owner.snapshot(edge.node(), match_id, head(11, 0));
        owner.event(edge.node(), match_id, 1);
        owner.flush();
        owner.turn(Duration::from_millis(10)).await;
        if client.event().await.n == 1 {
            break;
        }
    }
    let line = r#"rally_edge_entries_refused_total{reason="older_epoch"}"#;
    let before = counted(line);
    former.snapshot(edge.node(), match_id, head(500, 0));
    former.event(edge.node(), match_id, 2);
    former.flush();
    rally_testkit::eventually(LONG, || async { counted(line) >= before + 2 }).await;
    owner.snapshot(edge.node(), match_id, head(13, 0));
    owner.event(edge.node(), match_id, 2);
    owner.flush();
    let (mut ticks, mut last) = (Vec::new(), None);
    while last.is_none() {
        match client.next().await {
            ServerMessage::Snapshot(snapshot) => ticks.push(snapshot.tick),
            ServerMessage::MatchEvent(event) => last = Some(event.n),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(last, Some(2));
    assert!(!ticks.contains(&Tick(500)), "{ticks:?}");
}

#[tokio::test]
async fn forged_truncated_and_repeated_bundles_change_nothing() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut worker = cluster.worker("worker").await;
    let match_id = new_match();
    worker.own(match_id).await;
    let mut client = seated(&edge, &mut worker, match_id, Encoding::Msgpack).await;
    let bundle = worker.seal(edge.node(), match_id, head(7, 0));
    for (reason, bytes) in [
        ("mac", {
            let mut forged = bundle.to_vec();
            forged[60] ^= 1;
            forged
        }),
        ("truncated", bundle[..10].to_vec()),
        ("version", vec![9; 100]),
    ] {
        let line = format!("rally_edge_bundles_refused_total{{reason=\"{reason}\"}}");
        let before = counted(&line);
        assert!(worker.fabric.send(edge.node(), bytes.into()));
        rally_testkit::eventually(LONG, || async { counted(&line) > before }).await;
    }
    assert!(worker.fabric.send(edge.node(), bundle.clone()));
    assert_eq!(client.snapshot().await.tick, Tick(7));
    let line = r#"rally_edge_bundles_refused_total{reason="repeated"}"#;
    let before = counted(line);
    assert!(worker.fabric.send(edge.node(), bundle));
    rally_testkit::eventually(LONG, || async { counted(line) > before }).await;
    worker.snapshot(edge.node(), match_id, head(8, 0));
    worker.flush();
    assert_eq!(client.snapshot().await.tick, Tick(8));
}

#[tokio::test]
async fn a_finished_match_may_fall_silent() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut worker = cluster.worker("worker").await;
    let match_id = new_match();
    worker.own(match_id).await;
    let mut client = seated(&edge, &mut worker, match_id, Encoding::Json).await;
    let mut pending = crate::support::event(match_id, 1);
    pending.event = EventKind::ResultPending;
    worker.message(edge.node(), match_id, &pending.into());
    worker.flush();
    assert_eq!(client.event().await.event, EventKind::ResultPending);
    // Longer than a match in play may be silent; keep-alives alone go on.
    let said = worker.all_within(Duration::from_millis(700)).await;
    assert_eq!(said, []);
    let over = GameOver { match_id, winner: Some(Side::Left), score: [11, 3], reason: EndReason::Score, ratings: None };
    worker.message(edge.node(), match_id, &over.clone().into());
    worker.flush();
    assert_eq!(client.next().await, ServerMessage::GameOver(over));
    worker.tell(edge.node(), match_id, &Control::Gone);
    worker.flush();
    // Nothing is left of it here.
    for t in 1.. {
        client.input(match_id, t).await;
        client.say(Ping { t: t.into() }).await;
        match client.next().await {
            ServerMessage::ErrorMessage(error) => {
                assert_eq!(error.code, ErrorCode::NotFound);
                break;
            }
            // It has not heard of it yet.
            other => assert!(matches!(other, ServerMessage::Pong(_)), "{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_edge_keeps_its_owners_awake_while_it_is_attached() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut worker = cluster.worker("worker").await;
    let match_id = new_match();
    worker.own(match_id).await;
    let mut client = seated(&edge, &mut worker, match_id, Encoding::Json).await;
    let node = edge.node();
    worker.tick_during(node, match_id, 1, tokio::time::sleep(Duration::from_millis(900))).await;
    let heard = worker.last_heard(node).expect("heard of");
    assert!(rally_service::clock::now().since(heard) < Duration::from_millis(500));
    client.snapshot().await;
}

#[tokio::test]
async fn a_new_match_is_hosted_by_a_worker() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let spec = |id| MatchSpec {
        id,
        mode: rally_protocol::client::v1::Mode::Duel,
        classic: false,
        private: true,
        seats: [SeatSpec::Open, SeatSpec::Open],
    };
    let none = edge.hub.create_match(spec(new_match())).await.unwrap_err();
    assert_eq!(none.code, ErrorCode::AtCapacity);

    let mut worker = cluster.worker("worker").await;
    rally_testkit::eventually(LONG, || async { !edge.fabric.nodes().workers().is_empty() }).await;
    for refused in [false, true] {
        let id = new_match();
        let (created, ()) = tokio::join!(edge.hub.create_match(spec(id)), async {
            let (from, Control::Create { request, spec: asked }) = worker.control().await else {
                panic!("not a create")
            };
            assert_eq!(*asked, spec(id));
            let answer = match refused {
                false => Control::Created { request },
                true => Control::Refused { request, code: ErrorCode::AlreadyInMatch, detail: "busy".into() },
            };
            worker.tell(from, id, &answer);
            worker.flush();
        });
        assert_eq!(
            created.map_err(|refusal| refusal.code),
            if refused { Err(ErrorCode::AlreadyInMatch) } else { Ok(()) }
        );
    }
    // One that does not answer.
    let late = edge.hub.create_match(spec(new_match())).await.unwrap_err();
    assert_eq!(late.code, ErrorCode::Unavailable);
}

#[tokio::test]
async fn a_worker_that_does_not_play_the_match_is_looked_past() {
    let cluster = Cluster::start().await;
    let edge = cluster.edge("edge").await;
    let mut wrong = cluster.worker("worker-1").await;
    let match_id = new_match();
    // Redis remembers a worker, Postgres knows of no such match.
    wrong.own(match_id).await;
    let mut client = Client::open(&edge, Encoding::Json, somebody()).await;
    client.ask_in(match_id, JoinAs::Player).await;
    let (from, Control::Join { request, .. }) = wrong.control().await else { panic!("not a join") };
    let refused = Control::Refused { request, code: ErrorCode::NotFound, detail: "not played here".into() };
    wrong.tell(from, match_id, &refused);
    wrong.flush();
    assert_eq!(client.error().await.code, ErrorCode::NotFound);
}

#[tokio::test]
async fn a_cut_link_costs_nobody_the_match() {
    let mut cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let mut worker = cluster.worker("worker").await;
    let match_id = new_match();
    worker.own(match_id).await;
    let mut client = seated(&edge, &mut worker, match_id, Encoding::Msgpack).await;
    let node = edge.node();
    cluster.redis.pause();
    // Longer than all that would give up: silence, leases, unanswered joins.
    worker.tick_during(node, match_id, 1, alive(&mut client, Duration::from_secs(7))).await;
    cluster.redis.resume();
    // However often the edge has looked for the owner meanwhile, it asks once.
    let mut asked = Vec::new();
    let answered = async |worker: &mut Worker, asked: &mut Vec<u64>| {
        for said in worker.all_within(Duration::from_millis(20)).await {
            if let Said::Control(Control::Join { request, .. }) = said {
                asked.push(request);
                worker.answer(node, match_id, request, Place::Left, 2, 0).await;
            }
        }
    };
    let mut tick = 5_000;
    let joined = loop {
        tick += 1;
        worker.snapshot(node, match_id, head(tick, 0));
        worker.flush();
        answered(&mut worker, &mut asked).await;
        if let Ok(message) = tokio::time::timeout(Duration::from_millis(1), client.next()).await
            && let ServerMessage::MatchJoined(joined) = message
        {
            break joined;
        }
        assert!(tick < 6_000, "not let in again");
    };
    assert_eq!(joined.side, Place::Left);
    assert!(asked.len() <= 2, "asked {} times", asked.len());
    worker.snapshot(node, match_id, head(tick + 1_000, 0));
    worker.flush();
    loop {
        if client.snapshot().await.tick == Tick(tick + 1_000) {
            break;
        }
    }
}

/// Lets a client say that it lives, each second for this long.
async fn alive(client: &mut Client, span: Duration) {
    let until = tokio::time::Instant::now() + span;
    for t in 0.. {
        client.say(Ping { t }).await;
        tokio::time::sleep(Duration::from_millis(900)).await;
        if tokio::time::Instant::now() >= until {
            return;
        }
    }
}

#[tokio::test]
async fn whoever_is_in_a_match_stays_as_it_is_when_another_worker_goes_on_with_it() {
    let cluster = Cluster::without_database().await;
    let edge = cluster.edge("edge").await;
    let (mut former, mut owner) = (cluster.worker("worker-1").await, cluster.worker("worker-2").await);
    (owner.epoch, owner.lets_stay) = (Epoch(2), true);
    let match_id = new_match();
    former.own(match_id).await;
    let mut client = seated(&edge, &mut former, match_id, Encoding::Msgpack).await;
    for seq in 1..=3 {
        client.input(match_id, seq).await;
    }
    let mut sent = Vec::new();
    while sent.len() < 3 {
        sent.extend(former.inputs().await);
    }
    // All three are applied; the first will outlive the worker.
    let progress = SnapshotHead { applied: [3, 0], durable: [1, 0], ..head(10, 3) };
    former.snapshot(edge.node(), match_id, progress);
    former.event(edge.node(), match_id, 1);
    former.flush();
    assert_eq!(client.event().await.n, 1);

    // It is gone, and another has gone on from what was safe.
    owner.tell(edge.node(), match_id, &Control::Here);
    let (from, request, last_event, present) = loop {
        if let (from, _, Said::Control(Control::Attach { request, last_event, present })) = owner.next().await {
            break (from, request, last_event, present);
        }
    };
    assert_eq!((last_event, present.len()), (1, 1));
    assert_eq!((present[0].place, present[0].generation), (Place::Left, 1));
    let encoded = |n| ServerMessage::from(crate::support::event(match_id, n)).encode(Encoding::Msgpack).unwrap();
    let missed = vec![encoded(1), encoded(1_001), encoded(1_002)];
    owner.tell(from, match_id, &Control::Attached { request, last_event: 1_002, missed });
    owner.flush();
    // What was missed comes once, and the client does not come in anew: its inputs keep their numbers, and those that
    // were not safe are sent again.
    assert_eq!(client.event().await.n, 1_001);
    assert_eq!(client.event().await.n, 1_002);
    owner.snapshot(from, match_id, head(9, 1));
    owner.event(from, match_id, 1_003);
    owner.flush();
    assert_eq!(
        owner.inputs().await.iter().map(|input| (input.generation, input.n)).collect::<Vec<_>>(),
        [(1, 2), (1, 3)]
    );
    let mut seen = Vec::new();
    loop {
        match client.next().await {
            ServerMessage::Snapshot(snapshot) => seen.push(snapshot.tick),
            ServerMessage::MatchEvent(event) => {
                assert_eq!(event.n, 1_003);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    client.input(match_id, 4).await;
    assert_eq!(owner.inputs().await[0].seq, 4);
    assert!(seen.len() <= 1, "{seen:?}");
}
