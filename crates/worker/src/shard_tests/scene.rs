//! A worker's tick thread without its thread: edges speak to it in bundles, and the test is Postgres, Redis and the
//! clock.

use std::time::Duration;

use rally_fabric::{Pairs, ReceiveError, Received};
use rally_protocol::{
    client::{
        Encoding,
        codec::Messages as _,
        v1::{EventKind, JoinAs, Mode, Phase, ServerMessage, Skill},
    },
    cluster::{
        BundleKeys, EntryKind,
        v1::{Command, Control, MatchSpec, SeatSpec, SnapshotHead},
    },
};
use rally_room::RoomSettings;
use rally_units::{Epoch, Incarnation, Instant, MatchId, NodeId, SessionId, UserId};

use crate::{
    effect::{Answer, Effect, Grant},
    host::{Copied, Copy, HostConfig},
    metrics::Metrics,
    pacing::PHASES,
    shard::Shard,
};

const WORKER: &str = "worker-1";

pub(super) const HERE: Grant = Grant::Here { epoch: Epoch::FIRST, seed: 42 };

pub(super) fn worker() -> NodeId {
    NodeId::of_name(WORKER)
}

fn keys() -> BundleKeys {
    BundleKeys::derive([&[7u8; 32][..]]).unwrap()
}

pub(super) fn match_id(n: u8) -> MatchId {
    MatchId::from_bytes([n; 16])
}

pub(super) fn user(n: u8) -> UserId {
    UserId::from_bytes([n; 16])
}

pub(super) fn session(n: u8) -> SessionId {
    SessionId::from_bytes([n; 16])
}

/// What an edge has received.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) controls: Vec<Control>,
    pub(super) messages: Vec<ServerMessage>,
    pub(super) snapshots: Vec<(SnapshotHead, ServerMessage)>,
}

pub(super) struct TestEdge {
    pub(super) id: NodeId,
    incarnation: Incarnation,
    pub(super) pairs: Pairs,
    pub(super) heard: Heard,
}

impl TestEdge {
    pub(super) fn new(name: &str, incarnation: u64) -> Self {
        let id = NodeId::of_name(name);
        let incarnation = Incarnation::from_bits(incarnation);
        let mut pairs = Pairs::new(id, incarnation, keys());
        pairs.meet(NodeId::of_name(WORKER), Incarnation::from_bits(1));
        Self { id, incarnation, pairs, heard: Heard::default() }
    }
}

/// A worker, two edges, and the time.
pub(super) struct Scene {
    pub(super) now: Instant,
    step: usize,
    pub(super) shard: Shard,
    pub(super) edges: [TestEdge; 2],
    /// Cut off: nothing comes from it or to it.
    pub(super) silent: Option<usize>,
    /// Whether the registry knows an edge.
    pub(super) is_registered: [bool; 2],
    pub(super) lease_holds: bool,
    pub(super) link_is_up: bool,
    /// Bundles that the worker has sent.
    pub(super) bundles_sent: usize,
    /// Whether Redis keeps copies of matches, and says so.
    pub(super) keeps_copies: bool,
    effects: Vec<Effect>,
}

impl Scene {
    pub(super) fn new() -> Self {
        Self::with(HostConfig {
            me: NodeId::of_name(WORKER),
            incarnation: Incarnation::from_bits(1),
            matches_max: 2,
            room: RoomSettings { score_to_win: 1 },
        })
    }

    pub(super) fn with(config: HostConfig) -> Self {
        let edges = [TestEdge::new("edge-1", 11), TestEdge::new("edge-2", 12)];
        let mut pairs = Pairs::new(config.me, Incarnation::from_bits(1), keys());
        pairs.meet(edges[0].id, Incarnation::from_bits(11));
        pairs.meet(edges[1].id, Incarnation::from_bits(12));
        Self {
            now: Instant::from_millis(10_000),
            step: 0,
            shard: Shard::new(config, pairs, Metrics::new()),
            edges,
            silent: None,
            is_registered: [true; 2],
            lease_holds: true,
            link_is_up: true,
            bundles_sent: 0,
            keeps_copies: true,
            effects: Vec::new(),
        }
    }

    /// One phase of a tick: edges send, the worker works, edges receive.
    pub(super) fn step(&mut self) {
        self.now += Duration::from_nanos(1_000_000_000 / 240);
        let mut to_worker = Vec::new();
        for (i, edge) in self.edges.iter_mut().enumerate() {
            edge.pairs.set_active(NodeId::of_name(WORKER), true);
            edge.pairs.flush(self.now, |_, bundle| to_worker.push((i, bundle)));
        }
        to_worker.retain(|(from, _)| self.link_is_up && self.silent != Some(*from));
        self.shard.look(self.now, (self.lease_holds, 0), self.link_is_up);
        for (_, bundle) in to_worker {
            // Two nodes that have not met refuse what comes first, and learn from it.
            let received = self.shard.receive(self.now, &bundle);
            assert!(
                matches!(received, Ok(()) | Err(ReceiveError::OtherLife | ReceiveError::UnprovenLife)),
                "{received:?}"
            );
        }
        self.shard.tick_phase(self.now, self.step % PHASES);
        if self.step.is_multiple_of(60) {
            let registered = self.edges.iter().zip(self.is_registered).filter(|(_, is_registered)| *is_registered);
            let mut living: Vec<_> = registered.map(|(edge, _)| (edge.id, edge.incarnation)).collect();
            living.push((NodeId::of_name(WORKER), Incarnation::from_bits(1)));
            self.shard.housekeep(self.now, &living);
        }
        self.step += 1;
        let mut to_edges = Vec::new();
        self.shard.flush(self.now, |to, bundle| to_edges.push((to, bundle)));
        self.bundles_sent += to_edges.len();
        to_edges.retain(|_| self.link_is_up);
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
                    EntryKind::Inputs | EntryKind::State => panic!("edges get no inputs"),
                }
            });
            assert!(
                matches!(received, Ok(()) | Err(ReceiveError::OtherLife | ReceiveError::UnprovenLife)),
                "{received:?}"
            );
        }
        let mut copied = Vec::new();
        for effect in self.shard.effects() {
            match effect {
                Effect::Copy(copies) => copied.extend(copies),
                effect => self.effects.push(effect),
            }
        }
        if !copied.is_empty() && self.keeps_copies {
            let kept = |copy: Copy| (copy.match_id, copy.epoch, copy.tick, Copied::Kept);
            self.shard.answer(self.now, Answer::Copied(copied.into_iter().map(kept).collect()));
        }
    }

    pub(super) fn run(&mut self, ticks: usize) {
        (0..ticks * PHASES).for_each(|_| self.step());
    }

    pub(super) fn ask(&mut self, edge: usize, id: MatchId, control: Control) {
        self.edges[edge].pairs.control(NodeId::of_name(WORKER), id, Epoch::default(), &control).unwrap();
    }

    pub(super) fn answer(&mut self, answer: Answer) {
        self.shard.answer(self.now, answer);
    }

    /// Takes the effects that Postgres would carry out, and those of the cache away.
    pub(super) fn effects(&mut self) -> Vec<Effect> {
        let all = std::mem::take(&mut self.effects);
        all.into_iter()
            .filter(|effect| !matches!(effect, Effect::Own(_) | Effect::Disown(..) | Effect::Forget(..)))
            .collect()
    }

    pub(super) fn create(&mut self, spec: MatchSpec) {
        let spec = self.ask_to_create(1, spec);
        self.answer(Answer::Created { spec, grant: HERE });
        self.run(1);
        assert_eq!(self.controls(0), [Control::Created { request: 1 }]);
    }

    pub(super) fn join(&mut self, edge: usize, session_n: u8, user_n: u8, join_as: JoinAs) -> Vec<Control> {
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

    pub(super) fn command(&mut self, edge: usize, session_n: u8, command: Command) {
        self.ask(edge, match_id(1), Control::Command { session: session(session_n), command });
        self.run(1);
    }

    /// A casual match of users 1 and 2, on edges 0 and 1, both there.
    pub(super) fn with_match() -> Self {
        let mut scene = Self::new();
        scene.create(casual(1));
        assert!(matches!(scene.join(0, 1, 1, JoinAs::Player)[..], [Control::Joined { generation: 1, .. }]));
        assert!(matches!(scene.join(1, 2, 2, JoinAs::Player)[..], [Control::Joined { generation: 1, .. }]));
        scene
    }

    pub(super) fn playing() -> Self {
        let mut scene = Self::with_match();
        scene.command(0, 1, Command::Ready);
        scene.command(1, 2, Command::Ready);
        scene.run(3 * 60 + 4);
        scene
    }

    /// The controls that an edge has heard since the last call.
    pub(super) fn controls(&mut self, edge: usize) -> Vec<Control> {
        std::mem::take(&mut self.edges[edge].heard.controls)
    }

    /// A match is asked for, and the test has yet to say what Postgres says.
    pub(super) fn ask_to_create(&mut self, request: u64, spec: MatchSpec) -> Box<MatchSpec> {
        self.ask(0, spec.id, Control::Create { request, spec: Box::new(spec) });
        self.run(1);
        let effects = self.effects();
        let [Effect::Create(spec)] = &effects[..] else { panic!("{effects:?}") };
        spec.clone()
    }

    pub(super) fn phase(&self, edge: usize) -> Phase {
        match &self.edges[edge].heard.snapshots.last().unwrap().1 {
            ServerMessage::Snapshot(snapshot) => snapshot.phase,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn events(&self, edge: usize) -> Vec<EventKind> {
        let event = |message: &ServerMessage| match message {
            ServerMessage::MatchEvent(event) => Some(event.event),
            _ => None,
        };
        self.edges[edge].heard.messages.iter().filter_map(event).collect()
    }
}

pub(super) fn seat(n: u8) -> SeatSpec {
    SeatSpec::User { id: user(n), name: format!("user{n}"), guest: true, skill: Skill::Smash }
}

pub(super) fn casual(n: u8) -> MatchSpec {
    MatchSpec { id: match_id(n), mode: Mode::Casual, classic: false, private: false, seats: [seat(1), seat(2)] }
}
