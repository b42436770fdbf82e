//! Invitations, their answers, and rematches, over two edges.

use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};
use rally_protocol::{
    client::{
        codec::Encoding,
        v1::{
            DuelAnswer, DuelCancel, DuelInvite, DuelInvited, ErrorCode, MatchFound, Mode, Rematch, ServerMessage,
            SetStatus, Side, Skill, Status,
        },
    },
    cluster::v1::{Control, MatchSpec, SeatSpec},
};
use rally_store::{EndReason, MatchResult, NewMatch, Owner, PlayerStats, Score, Seat};
use rally_units::{Epoch, Incarnation, MatchId, NodeId, SubStep, UserId};

use crate::support::{Client, Cluster, Edge, LONG, Worker, new_match};

fn invite(user: UserId) -> DuelInvite {
    DuelInvite { user, mode: Mode::Duel, skill: Some(Skill::Dash) }
}

impl Client {
    async fn invited(&mut self) -> DuelInvited {
        self.until(|message| match message {
            ServerMessage::DuelInvited(invited) => Some(invited.clone()),
            ServerMessage::ErrorMessage(error) => panic!("{error:?}"),
            _ => None,
        })
        .await
    }

    async fn sent(&mut self) -> MatchId {
        self.until(|message| match message {
            ServerMessage::DuelSent(sent) => Some(sent.invite),
            ServerMessage::ErrorMessage(error) => panic!("{error:?}"),
            _ => None,
        })
        .await
    }

    async fn answered(&mut self) -> (MatchId, bool) {
        self.until(|message| match message {
            ServerMessage::DuelAnswered(answered) => Some((answered.invite, answered.accept)),
            _ => None,
        })
        .await
    }

    async fn withdrawn(&mut self) -> MatchId {
        self.until(|message| match message {
            ServerMessage::DuelOver(over) => Some(over.invite),
            _ => None,
        })
        .await
    }

    async fn found(&mut self) -> MatchFound {
        self.until(|message| match message {
            ServerMessage::MatchFound(found) => Some(found.clone()),
            ServerMessage::ErrorMessage(error) => panic!("{error:?}"),
            _ => None,
        })
        .await
    }
}

/// The next match that an edge wants hosted, which is.
async fn host(worker: &mut Worker) -> MatchSpec {
    let (edge, Control::Create { request, spec }) = worker.control().await else { panic!("not a match to host") };
    worker.tell(edge, spec.id, &Control::Created { request });
    worker.flush();
    *spec
}

fn seats(spec: &MatchSpec) -> [(UserId, Skill); 2] {
    [0, 1].map(|i: usize| match &spec.seats[i] {
        SeatSpec::User { id, skill, .. } => (*id, *skill),
        other => panic!("{other:?}"),
    })
}

struct Two {
    cluster: Cluster,
    edges: [Edge; 2],
    worker: Worker,
    ids: [UserId; 2],
}

async fn two() -> Two {
    let cluster = Cluster::start().await;
    let edges = [cluster.edge("edge-1").await, cluster.edge("edge-2").await];
    let worker = cluster.worker("worker").await;
    for edge in &edges {
        rally_testkit::eventually(LONG, async || !edge.fabric.nodes().workers().is_empty()).await;
    }
    let ids = [cluster.guest("ada").await, cluster.guest("bob").await];
    Two { cluster, edges, worker, ids }
}

#[tokio::test]
async fn an_invitation_becomes_a_match() {
    let Two { edges, mut worker, ids: [a, b], cluster: _cluster } = two().await;
    let mut ada = Client::open(&edges[0], Encoding::Json, a).await;
    let mut bob = Client::open(&edges[1], Encoding::Json, b).await;
    let mut bobs_phone = Client::open(&edges[0], Encoding::Msgpack, b).await;
    ada.say(invite(b)).await;
    let id = ada.sent().await;
    for bob in [&mut bob, &mut bobs_phone] {
        let invited = bob.invited().await;
        assert_eq!((invited.invite, invited.from.id, invited.mode, invited.expires_in_s), (id, a, Mode::Duel, 60));
    }
    bobs_phone.say(DuelAnswer { invite: id, accept: true, skill: None }).await;
    let spec = host(&mut worker).await;
    assert_eq!((spec.mode, spec.classic, spec.private), (Mode::Duel, false, false));
    assert_eq!(seats(&spec), [(a, Skill::Dash), (b, Skill::Smash)]);
    assert_eq!(ada.answered().await, (id, true));
    assert_eq!((bob.withdrawn().await, bobs_phone.withdrawn().await), (id, id), "it is answered");
    let found = [ada.found().await, bobs_phone.found().await];
    assert_eq!(found.each_ref().map(|found| (found.match_id, found.mode)), [(spec.id, Mode::Duel); 2]);
    assert_eq!(found.each_ref().map(|found| found.side), [Side::Left, Side::Right]);
    assert_eq!(found.map(|found| found.opponent.unwrap().id), [b, a]);
    // Once, and the other device is not drawn into it.
    bob.say(DuelAnswer { invite: id, accept: true, skill: None }).await;
    assert_eq!(bob.error().await.code, ErrorCode::NotFound);
}

#[tokio::test]
async fn an_invitation_is_declined_or_taken_back() {
    let Two { edges, ids: [a, b], cluster, .. } = two().await;
    let mut ada = Client::open(&edges[0], Encoding::Json, a).await;
    let mut bob = Client::open(&edges[1], Encoding::Json, b).await;
    let eve = cluster.guest("eve").await;
    let mut eve = Client::open(&edges[1], Encoding::Json, eve).await;
    ada.say(invite(b)).await;
    let id = bob.invited().await.invite;
    eve.say(DuelAnswer { invite: id, accept: true, skill: None }).await;
    assert_eq!(eve.error().await.code, ErrorCode::NotFound, "it is not hers");
    bob.say(DuelAnswer { invite: id, accept: false, skill: None }).await;
    assert_eq!(ada.answered().await, (id, false));

    ada.say(DuelInvite { mode: Mode::Classic, ..invite(b) }).await;
    let invited = bob.invited().await;
    assert_eq!(invited.mode, Mode::Classic);
    ada.say(DuelCancel { invite: invited.invite, user: b }).await;
    assert_eq!(bob.withdrawn().await, invited.invite);
    bob.say(DuelAnswer { invite: invited.invite, accept: true, skill: None }).await;
    assert_eq!(bob.error().await.code, ErrorCode::NotFound);
}

#[tokio::test]
async fn who_may_not_be_invited() {
    let Two { cluster, edges, ids: [a, b], .. } = two().await;
    let mut ada = Client::open(&edges[0], Encoding::Json, a).await;
    let mut bob = Client::open(&edges[1], Encoding::Json, b).await;
    let mut refused = async |invite: DuelInvite| {
        ada.say(invite).await;
        let error = ada.error().await;
        assert_eq!(error.of.as_deref(), Some("duel_invite"));
        error.code
    };
    assert_eq!(refused(invite(a)).await, ErrorCode::InvalidInput, "oneself");
    assert_eq!(refused(DuelInvite { mode: Mode::Ranked, ..invite(b) }).await, ErrorCode::InvalidInput);
    cluster.store.block(b, a).await.unwrap();
    assert_eq!(refused(invite(b)).await, ErrorCode::NotFound, "who blocks one");
    cluster.store.unblock(b, a).await.unwrap();
    bob.say(SetStatus { status: Status::Busy }).await;
    rally_testkit::eventually(LONG, async || {
        let sessions = edges[0].fabric.presence().get(&[b]).await.unwrap();
        sessions[0].values().any(|presence| presence.status == Status::Busy)
    })
    .await;
    assert_eq!(refused(invite(b)).await, ErrorCode::Forbidden, "who is not to be disturbed");
    // Five at once, then one in five seconds; what was refused counts.
    assert_eq!(refused(invite(UserId::from_bytes([9; 16]))).await, ErrorCode::NotFound);
    assert_eq!(refused(invite(b)).await, ErrorCode::RateLimited);
}

async fn played(cluster: &Cluster, players: [UserId; 2], ended_at: Timestamp) -> MatchId {
    let id = new_match();
    let new = NewMatch {
        id,
        mode: rally_store::Mode::Casual,
        classic: true,
        private: false,
        score_to_win: 11,
        seed: 1,
        rules_version: 1,
        seats: players.map(Seat::Player),
        owner: Owner { node: NodeId::from_bits(1), incarnation: Incarnation::from_bits(1) },
    };
    cluster.store.create_matches(&[new]).await.unwrap()[0].unwrap();
    let result = MatchResult {
        match_id: id,
        score: Score { left: 11, right: 7 },
        winner: Some(rally_store::Side::Left),
        reason: EndReason::Score,
        started_at: None,
        ended_at,
        duration: SubStep(24_000),
        players: [PlayerStats::default(); 2],
        events: Vec::new(),
        replay: Vec::new(),
    };
    cluster.store.finish(&result, Epoch(1)).await.unwrap();
    id
}

#[tokio::test]
async fn both_want_a_rematch() {
    let Two { cluster, edges, mut worker, ids: [a, b] } = two().await;
    let mut ada = Client::open(&edges[0], Encoding::Json, a).await;
    let mut bob = Client::open(&edges[1], Encoding::Msgpack, b).await;
    let finished = played(&cluster, [a, b], Timestamp::now()).await;
    bob.say(Rematch { match_id: finished, skill: Some(Skill::Dash) }).await;
    let wanted = ada.until(|message| match message {
        ServerMessage::RematchWanted(wanted) => Some(wanted.match_id),
        _ => None,
    });
    assert_eq!(wanted.await, finished);
    // Said twice is said once.
    bob.say(Rematch { match_id: finished, skill: Some(Skill::Dash) }).await;
    ada.say(Rematch { match_id: finished, skill: None }).await;
    let spec = host(&mut worker).await;
    assert_eq!((spec.mode, spec.classic), (Mode::Duel, true), "by the rules of the one before");
    assert_eq!(seats(&spec), [(b, Skill::Dash), (a, Skill::Smash)], "sides swapped");
    assert_eq!((bob.found().await.side, ada.found().await.side), (Side::Left, Side::Right));

    // Not with others, and not for ever.
    let eve = cluster.guest("eve").await;
    let mut eve = Client::open(&edges[0], Encoding::Json, eve).await;
    eve.say(Rematch { match_id: finished, skill: None }).await;
    assert_eq!(eve.error().await.code, ErrorCode::NotFound);
    let long_ago = played(&cluster, [a, b], Timestamp::now() - 61.seconds()).await;
    ada.say(Rematch { match_id: long_ago, skill: None }).await;
    let error = ada.error().await;
    assert_eq!((error.code, error.of.as_deref()), (ErrorCode::NotFound, Some("rematch")));
    let nothing_more = worker.all_within(Duration::from_millis(100)).await;
    assert!(!nothing_more.iter().any(|said| format!("{said:?}").contains("Create")), "{nothing_more:?}");
}
