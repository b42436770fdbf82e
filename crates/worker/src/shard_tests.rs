//! A worker's tick thread without its thread: edges speak to it in bundles, and the test is Postgres.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use rally_fabric::{Nodes, Pairs, ReceiveError, Received};
use rally_protocol::{
    client::{
        Encoding,
        codec::Messages as _,
        v1::{Dir, EndReason, ErrorCode, EventKind, JoinAs, Mode, Phase, ServerMessage, Side, Skill},
    },
    cluster::{
        BundleKeys, EntryKind,
        v1::{Command, Control, InputRecord, MatchSpec, SeatSpec, SnapshotHead},
    },
};
use rally_room::RoomSettings;
use rally_units::{Epoch, Incarnation, Instant, MatchId, NodeId, SessionId, UserId};

use crate::{
    effect::{Answer, Effect, Grant, Refused},
    host::HostConfig,
    pacing::PHASES,
    shard::Shard,
};

const WORKER: &str = "worker-1";

fn keys() -> BundleKeys {
    BundleKeys::derive([&[7u8; 32][..]]).unwrap()
}

fn match_id(n: u8) -> MatchId {
    MatchId::from_bytes([n; 16])
}

fn user(n: u8) -> UserId {
    UserId::from_bytes([n; 16])
}

fn session(n: u8) -> SessionId {
    SessionId::from_bytes([n; 16])
}

/// What an edge has received.
#[derive(Default)]
struct Heard {
    controls: Vec<Control>,
    messages: Vec<ServerMessage>,
    snapshots: Vec<(SnapshotHead, ServerMessage)>,
}

struct TestEdge {
    id: NodeId,
    pairs: Pairs,
    heard: Heard,
}

impl TestEdge {
    fn new(name: &str, incarnation: u64) -> Self {
        let id = NodeId::of_name(name);
        let mut pairs = Pairs::new(id, Incarnation::from_bits(incarnation), keys());
        pairs.meet(NodeId::of_name(WORKER), Incarnation::from_bits(1));
        Self { id, pairs, heard: Heard::default() }
    }
}

/// A worker, two edges, and the time.
struct Scene {
    now: Instant,
    step: usize,
    shard: Shard,
    edges: [TestEdge; 2],
    /// Cut off: nothing comes from it or to it.
    silent: Option<usize>,
    effects: Vec<Effect>,
}

impl Scene {
    fn new() -> Self {
        Self::with(HostConfig { me: NodeId::of_name(WORKER), matches_max: 2, room: RoomSettings { score_to_win: 1 } })
    }

    fn with(config: HostConfig) -> Self {
        let edges = [TestEdge::new("edge-1", 11), TestEdge::new("edge-2", 12)];
        let mut pairs = Pairs::new(config.me, Incarnation::from_bits(1), keys());
        pairs.meet(edges[0].id, Incarnation::from_bits(11));
        pairs.meet(edges[1].id, Incarnation::from_bits(12));
        Self {
            now: Instant::from_millis(10_000),
            step: 0,
            shard: Shard::new(config, pairs),
            edges,
            silent: None,
            effects: Vec::new(),
        }
    }

    /// One phase of a tick: edges send, the worker works, edges receive.
    fn step(&mut self) {
        self.now += Duration::from_nanos(1_000_000_000 / 240);
        let mut to_worker = Vec::new();
        for (i, edge) in self.edges.iter_mut().enumerate() {
            edge.pairs.set_active(NodeId::of_name(WORKER), true);
            edge.pairs.flush(self.now, |_, bundle| to_worker.push((i, bundle)));
        }
        to_worker.retain(|(from, _)| self.silent != Some(*from));
        for (_, bundle) in to_worker {
            // Two nodes that have not met refuse what comes first, and learn from it.
            let received = self.shard.receive(self.now, &bundle);
            assert!(
                matches!(received, Ok(()) | Err(ReceiveError::OtherLife | ReceiveError::UnprovenLife)),
                "{received:?}"
            );
        }
        self.shard.tick_phase(self.step % PHASES);
        if self.step.is_multiple_of(60) {
            self.shard.housekeep(self.now, &Nodes::default());
        }
        self.step += 1;
        let mut to_edges = Vec::new();
        self.shard.flush(self.now, |to, bundle| to_edges.push((to, bundle)));
        for (to, bundle) in to_edges {
            let (i, edge) = self.edges.iter_mut().enumerate().find(|(_, edge)| edge.id == to).unwrap();
            if self.silent == Some(i) {
                continue;
            }
            let heard = &mut edge.heard;
            let received = edge.pairs.receive(self.now, &bundle, |received| {
                let Received::Entry { entry, .. } = received else { return };
                match entry.kind {
                    EntryKind::Control => heard.controls.push(Control::from_bytes(entry.payload).unwrap()),
                    EntryKind::Message => {
                        heard.messages.push(ServerMessage::decode(Encoding::Msgpack, entry.payload).unwrap());
                    }
                    EntryKind::Snapshot => {
                        let (head, message) = SnapshotHead::split(entry.payload).unwrap();
                        heard.snapshots.push((head, ServerMessage::decode(Encoding::Msgpack, message).unwrap()));
                    }
                    EntryKind::Inputs => panic!("edges get no inputs"),
                }
            });
            assert!(
                matches!(received, Ok(()) | Err(ReceiveError::OtherLife | ReceiveError::UnprovenLife)),
                "{received:?}"
            );
        }
        self.effects.extend(self.shard.effects());
    }

    fn run(&mut self, ticks: usize) {
        (0..ticks * PHASES).for_each(|_| self.step());
    }

    fn ask(&mut self, edge: usize, id: MatchId, control: Control) {
        self.edges[edge].pairs.control(NodeId::of_name(WORKER), id, Epoch::default(), &control).unwrap();
    }

    fn answer(&mut self, answer: Answer) {
        self.shard.answer(self.now, answer);
    }

    /// Takes the effects that Postgres would carry out, and those of the cache away.
    fn effects(&mut self) -> Vec<Effect> {
        let all = std::mem::take(&mut self.effects);
        all.into_iter().filter(|effect| !matches!(effect, Effect::Own(_) | Effect::Disown(..))).collect()
    }

    fn create(&mut self, spec: MatchSpec) {
        let id = spec.id;
        self.ask(0, id, Control::Create { request: 1, spec: Box::new(spec) });
        self.run(1);
        let effects = self.effects();
        let [Effect::Create(spec)] = &effects[..] else { panic!("{effects:?}") };
        let granted = Ok(Grant::Here { epoch: Epoch::FIRST, seed: 42 });
        self.answer(Answer::Created { spec: spec.clone(), granted });
        self.run(1);
        let controls = std::mem::take(&mut self.edges[0].heard.controls);
        assert_eq!(controls, [Control::Created { request: 1 }]);
    }

    fn join(&mut self, edge: usize, session_n: u8, user_n: u8, join_as: JoinAs) -> Vec<Control> {
        let join = Control::Join {
            request: 100 + u64::from(session_n),
            session: session(session_n),
            user: user(user_n),
            name: format!("user{user_n}"),
            join_as,
            skill: Skill::Dash,
        };
        self.ask(edge, match_id(1), join);
        self.run(2);
        std::mem::take(&mut self.edges[edge].heard.controls)
    }

    fn command(&mut self, edge: usize, session_n: u8, command: Command) {
        self.ask(edge, match_id(1), Control::Command { session: session(session_n), command });
        self.run(1);
    }

    /// A casual match of users 1 and 2, on edges 0 and 1, both there.
    fn with_match() -> Self {
        let mut scene = Self::new();
        scene.create(casual(1));
        assert!(matches!(scene.join(0, 1, 1, JoinAs::Player)[..], [Control::Joined { generation: 1, .. }]));
        assert!(matches!(scene.join(1, 2, 2, JoinAs::Player)[..], [Control::Joined { generation: 1, .. }]));
        scene
    }

    fn playing() -> Self {
        let mut scene = Self::with_match();
        scene.command(0, 1, Command::Ready);
        scene.command(1, 2, Command::Ready);
        scene.run(3 * 60 + 4);
        scene
    }

    fn phase(&self, edge: usize) -> Phase {
        match &self.edges[edge].heard.snapshots.last().unwrap().1 {
            ServerMessage::Snapshot(snapshot) => snapshot.phase,
            other => panic!("{other:?}"),
        }
    }

    fn events(&self, edge: usize) -> Vec<EventKind> {
        let event = |message: &ServerMessage| match message {
            ServerMessage::MatchEvent(event) => Some(event.event),
            _ => None,
        };
        self.edges[edge].heard.messages.iter().filter_map(event).collect()
    }
}

fn seat(n: u8) -> SeatSpec {
    SeatSpec::User { id: user(n), name: format!("user{n}"), guest: true, skill: Skill::Smash }
}

fn casual(n: u8) -> MatchSpec {
    MatchSpec { id: match_id(n), mode: Mode::Casual, classic: false, private: false, seats: [seat(1), seat(2)] }
}

#[test]
fn two_edges_get_every_snapshot_and_event_of_their_match() {
    let mut scene = Scene::playing();
    assert_eq!(scene.phase(0), Phase::Playing);
    for edge in &mut scene.edges {
        edge.heard.snapshots.clear();
    }
    scene.run(60);
    for edge in &scene.edges {
        let ticks: Vec<_> = edge.heard.snapshots.iter().map(|(head, _)| head.tick.0).collect();
        assert_eq!(ticks.len(), 60, "60 a second");
        assert!(ticks.is_sorted_by(|a, b| a + 1 == *b), "{ticks:?}");
    }
    let ns = |edge: usize| -> Vec<u32> {
        let n = |message: &ServerMessage| match message {
            ServerMessage::MatchEvent(event) => Some(event.n),
            _ => None,
        };
        scene.edges[edge].heard.messages.iter().filter_map(n).collect()
    };
    assert!(ns(1).is_sorted_by(|a, b| a + 1 == *b), "{:?}", ns(1));
    assert!(scene.events(1).contains(&EventKind::Go));
}

#[test]
fn an_input_moves_the_paddle_and_is_acknowledged() {
    let mut scene = Scene::playing();
    let input = |n, dir| InputRecord { side: Side::Left, generation: 1, n, seq: n, dir, press: false };
    let to = NodeId::of_name(WORKER);
    scene.edges[0].pairs.inputs(to, match_id(1), Epoch::FIRST, &[input(1, Dir::Up), input(2, Dir::Up)]);
    scene.run(30);
    let (head, ServerMessage::Snapshot(snapshot)) = scene.edges[1].heard.snapshots.last().unwrap() else { panic!() };
    assert_eq!((head.applied[0], snapshot.ack), (2, [2, 0]));
    assert!(snapshot.paddles[0].0 < 540 * 16 - 100 * 16, "{:?}", snapshot.paddles);
}

#[test]
fn inputs_that_do_not_fit_are_refused_and_hurt_nobody() {
    let mut scene = Scene::playing();
    let to = NodeId::of_name(WORKER);
    let pairs = &mut scene.edges[0].pairs;
    let old = InputRecord { side: Side::Left, generation: 0, n: 1, seq: 1, dir: Dir::Up, press: false };
    pairs.inputs(to, match_id(1), Epoch::FIRST, &[old]);
    pairs.inputs(to, match_id(9), Epoch::FIRST, &[old]);
    scene.run(30);
    let (head, ServerMessage::Snapshot(snapshot)) = scene.edges[0].heard.snapshots.last().unwrap() else { panic!() };
    assert_eq!((head.applied, snapshot.paddles[0].0), ([0, 0], 540 * 16));
}

#[test]
fn a_match_ends_is_recorded_and_then_told() {
    let mut scene = Scene::playing();
    scene.command(0, 1, Command::Forfeit);
    scene.run(2);
    let effects = scene.effects();
    let Some(Effect::Finish { result, epoch, .. }) = effects.last() else { panic!("{effects:?}") };
    assert_eq!((result.winner, result.reason, *epoch), (Some(Side::Right), EndReason::Forfeit, Epoch::FIRST));
    assert!(matches!(effects[0], Effect::Started { .. }));
    assert_eq!(scene.events(1).last(), Some(&EventKind::ResultPending));
    let told = |scene: &Scene| scene.edges[1].heard.messages.iter().any(|m| matches!(m, ServerMessage::GameOver(_)));
    assert!(!told(&scene), "not before it is recorded");

    scene.answer(Answer::Finished { match_id: match_id(1), ratings: None });
    scene.run(2);
    assert!(told(&scene));
    assert_eq!(scene.shard.host().load(), 0);

    let joined = scene.join(0, 3, 1, JoinAs::Player);
    let Some(Control::Joined { picture, .. }) = joined.last() else { panic!("{joined:?}") };
    assert_eq!(picture.over.as_ref().unwrap().reason, EndReason::Forfeit, "who comes late sees the result");
    scene.run(61 * 60);
    let gone = scene.join(0, 4, 1, JoinAs::Player);
    assert!(gone.iter().any(|c| matches!(c, Control::Refused { code: ErrorCode::NotFound, .. })), "{gone:?}");
}

#[test]
fn a_newer_connection_takes_the_seat_over() {
    let mut scene = Scene::with_match();
    let joined = scene.join(1, 9, 1, JoinAs::Player);
    assert!(matches!(joined[..], [Control::Joined { generation: 2, .. }]), "{joined:?}");
    let older = std::mem::take(&mut scene.edges[0].heard.controls);
    assert_eq!(older, [Control::SeatTaken { session: session(1), side: Side::Left }]);
    // The older connection's end changes nothing for the newer one.
    scene.ask(0, match_id(1), Control::Leave { session: session(1) });
    scene.command(1, 9, Command::Ready);
    scene.command(1, 2, Command::Ready);
    scene.run(3 * 60 + 4);
    assert_eq!(scene.phase(1), Phase::Playing);
}

#[test]
fn a_spectator_watches_and_commands_nothing() {
    let mut scene = Scene::with_match();
    let joined = scene.join(1, 9, 9, JoinAs::Spectator);
    assert!(matches!(joined[..], [Control::Joined { generation: 0, .. }]), "{joined:?}");
    scene.command(1, 9, Command::Forfeit);
    let refused = std::mem::take(&mut scene.edges[1].heard.controls);
    assert!(matches!(refused[..], [Control::CommandRefused { code: ErrorCode::Forbidden, .. }]), "{refused:?}");
}

#[test]
fn players_of_a_silent_edge_are_away() {
    let mut scene = Scene::playing();
    scene.silent = Some(0);
    scene.run(2 * 60);
    assert_eq!(scene.shard.host().edges(), 1);
    assert!(scene.events(1).contains(&EventKind::Away));
}

#[test]
fn players_of_an_edge_that_restarted_are_away() {
    let mut scene = Scene::playing();
    scene.edges[0] = TestEdge::new("edge-1", 99);
    scene.run(30);
    assert_eq!(scene.shard.host().edges(), 1);
    assert!(scene.events(1).contains(&EventKind::Away));
}

#[test]
fn an_open_seat_is_claimed_in_postgres_first() {
    let mut scene = Scene::new();
    let seats = [seat(1), SeatSpec::Open];
    scene.create(MatchSpec { mode: Mode::Duel, private: true, seats, ..casual(1) });
    assert!(scene.join(1, 2, 2, JoinAs::Player).is_empty(), "not before the claim");
    let mut effects = scene.effects();
    let Some(Effect::Claim { side: Side::Right, join, .. }) = effects.pop() else { panic!() };
    let refused = Refused::new(ErrorCode::AlreadyInMatch, "elsewhere");
    let side = Side::Right;
    scene.answer(Answer::Claimed { match_id: match_id(1), side, join: join.clone(), granted: Err(refused) });
    scene.run(2);
    let told = std::mem::take(&mut scene.edges[1].heard.controls);
    assert!(matches!(told[..], [Control::Refused { code: ErrorCode::AlreadyInMatch, .. }]), "{told:?}");

    scene.answer(Answer::Claimed { match_id: match_id(1), side, join, granted: Ok(()) });
    scene.run(2);
    let told = std::mem::take(&mut scene.edges[1].heard.controls);
    assert!(matches!(told[..], [Control::Joined { generation: 1, .. }]), "{told:?}");
}

#[test]
fn a_full_or_draining_worker_takes_no_more() {
    let mut scene = Scene::new();
    scene.create(casual(1));
    scene.create(MatchSpec { id: match_id(2), ..casual(2) });
    let refused = |scene: &mut Scene, n| {
        scene.ask(0, match_id(n), Control::Create { request: 5, spec: Box::new(casual(n)) });
        scene.run(2);
        let told = std::mem::take(&mut scene.edges[0].heard.controls);
        assert!(matches!(told[..], [Control::Refused { request: 5, code: ErrorCode::AtCapacity, .. }]), "{told:?}");
    };
    refused(&mut scene, 3);
    let mut scene = Scene::new();
    scene.answer(Answer::Drain);
    refused(&mut scene, 1);
}

#[test]
fn creating_twice_is_creating_once() {
    let mut scene = Scene::new();
    for request in [1, 2] {
        scene.ask(0, match_id(1), Control::Create { request, spec: Box::new(casual(1)) });
    }
    scene.run(1);
    let effects = scene.effects();
    assert_eq!(effects.len(), 1);
    let Some(Effect::Create(spec)) = effects.into_iter().next() else { panic!() };
    scene.answer(Answer::Created { spec, granted: Ok(Grant::Here { epoch: Epoch::FIRST, seed: 1 }) });
    scene.ask(1, match_id(1), Control::Create { request: 3, spec: Box::new(casual(1)) });
    scene.run(2);
    let told = std::mem::take(&mut scene.edges[0].heard.controls);
    assert_eq!(told, [Control::Created { request: 1 }, Control::Created { request: 2 }]);
    assert_eq!(std::mem::take(&mut scene.edges[1].heard.controls), [Control::Created { request: 3 }]);
    assert_eq!(scene.shard.host().load(), 1);
}

#[test]
fn who_waited_in_vain_is_queued_again() {
    let mut scene = Scene::new();
    scene.create(casual(1));
    scene.join(0, 1, 1, JoinAs::Player);
    scene.run(11 * 60);
    let effects = scene.effects();
    let requeued: Vec<_> =
        effects.iter().filter_map(|e| if let Effect::Requeue(ticket) = e { Some(ticket) } else { None }).collect();
    assert_eq!(requeued.len(), 1);
    assert_eq!((requeued[0].user, requeued[0].session, requeued[0].edge), (user(1), session(1), scene.edges[0].id));
    assert!(effects.iter().any(|e| matches!(e, Effect::Finish { result, .. } if result.winner.is_none())));
}

#[test]
fn a_fenced_match_is_said_no_more() {
    let mut scene = Scene::playing();
    scene.answer(Answer::Fenced { match_id: match_id(1) });
    scene.run(1);
    scene.edges[0].heard.snapshots.clear();
    scene.run(10);
    assert!(scene.edges[0].heard.snapshots.is_empty());
    assert!(scene.edges[0].heard.controls.contains(&Control::NotHere));
    assert_eq!(scene.shard.host().load(), 0);
}

#[test]
fn what_still_plays_at_the_deadline_is_void_once_that_is_recorded() {
    let mut scene = Scene::playing();
    scene.effects();
    scene.answer(Answer::GiveUp);
    scene.run(1);
    let effects = scene.effects();
    assert!(matches!(effects[..], [Effect::Void { .. }]), "{effects:?}");
    scene.answer(Answer::Voided { match_id: match_id(1) });
    scene.run(2);
    let over = scene.edges[0].heard.messages.last();
    assert!(matches!(over, Some(ServerMessage::GameOver(over)) if over.reason == EndReason::Abandoned), "{over:?}");
    assert_eq!(scene.shard.host().load(), 0);
}

#[test]
fn bad_bundles_are_refused_and_nobody_else_notices() {
    let mut scene = Scene::playing();
    let mut bundles = Vec::new();
    let worker = NodeId::of_name(WORKER);
    let forfeit = Control::Command { session: session(1), command: Command::Forfeit };
    scene.edges[0].pairs.control(worker, match_id(1), Epoch::FIRST, &forfeit).unwrap();
    scene.edges[0].pairs.flush(scene.now, |_, bundle| bundles.push(bundle));
    let good = bundles[0].clone();
    let mut forged = good.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    for bad in [&forged[..], &good[..good.len() - 1], &good[..3], b""] {
        assert!(scene.shard.receive(scene.now, bad).is_err());
    }
    scene.run(2);
    assert_eq!(scene.phase(1), Phase::Playing, "the forged forfeit did not count");
    scene.shard.receive(scene.now, &good).unwrap();
    assert_eq!(scene.shard.receive(scene.now, &good), Err(ReceiveError::Repeated));
}
