//! What a worker's core does without sockets: ticks, snapshots and events encoded, bundles sealed for two edges, as
//! each match has its players on two. 5,000 matches at 60 Hz are 300,000 items a second.
//!
//! What the edges do (open the bundles, acknowledge) is not timed.

// The shard's modules are compiled in as they are, tests and all, so that nothing of them has to be public for this.
#![allow(dead_code, unused_imports)]

#[path = "../src/effect.rs"]
mod effect;
#[path = "../src/host/mod.rs"]
mod host;
#[path = "../src/metrics.rs"]
mod metrics;
#[path = "../src/pacing.rs"]
mod pacing;
#[path = "../src/shard.rs"]
mod shard;
#[path = "../src/tenure.rs"]
mod tenure;

use std::{cell::RefCell, time::Duration};

use bytes::Bytes;
use divan::{Bencher, counter::ItemsCount};
use rally_fabric::Pairs;
use rally_protocol::{
    client::v1::{JoinAs, Mode, Skill},
    cluster::{
        BundleKeys,
        v1::{Command, Control, MatchSpec, SeatSpec},
    },
};
use rally_room::RoomSettings;
use rally_units::{Epoch, Incarnation, Instant, MatchId, NodeId, SessionId, UserId};
use tokio::sync::oneshot;

use crate::{
    effect::{Answer, Effect, Grant},
    host::HostConfig,
    metrics::Metrics,
    pacing::PHASES,
    shard::Shard,
};

fn main() {
    divan::main();
}

const WORKER: Incarnation = Incarnation::from_bits(1);

struct Edge {
    id: NodeId,
    pairs: Pairs,
}

/// A worker in play, and two edges, each with one player of every match.
struct Scene {
    now: Instant,
    shard: Shard,
    edges: [Edge; 2],
    sent: Vec<(NodeId, Bytes)>,
}

fn id<T>(kind: u8, n: usize, from_bytes: fn([u8; 16]) -> T) -> T {
    let mut bytes = [kind; 16];
    bytes[8..].copy_from_slice(&(n as u64).to_be_bytes());
    from_bytes(bytes)
}

impl Scene {
    fn playing(matches: usize) -> Self {
        let keys = BundleKeys::derive([&[7; 32][..]]).expect("a key");
        let me = NodeId::of_name("worker");
        let mut pairs = Pairs::new(me, WORKER, keys.clone());
        let edges = ["edge-1", "edge-2"].map(|name| {
            let (id, incarnation) = (NodeId::of_name(name), Incarnation::from_bits(name.len() as u64));
            pairs.meet(id, incarnation);
            let mut edge = Pairs::new(id, incarnation, keys.clone());
            edge.meet(me, WORKER);
            Edge { id, pairs: edge }
        });
        // They stand at their paddles and return the first serve for ever.
        let config =
            HostConfig { me, incarnation: WORKER, matches_max: matches, room: RoomSettings { score_to_win: 99 } };
        let shard = Shard::new(config, pairs, Metrics::new());
        let mut scene = Self { now: Instant::from_millis(1_000), shard, edges, sent: Vec::new() };
        scene.shard.look(scene.now, (true, 0), true);
        // The nodes meet, and then the players come, no more at once than may wait for an acknowledgement.
        scene.run(10);
        let all: Vec<usize> = (0..matches).collect();
        for some in all.chunks(500) {
            some.iter().for_each(|n| scene.create(me, *n));
            scene.say(me, some, |side, n| Control::Join {
                request: 1,
                session: session(side, n),
                user: user(side, n),
                name: "player".into(),
                join_as: JoinAs::Player,
                skill: Skill::Smash,
            });
            scene.say(me, some, |side, n| Control::Command { session: session(side, n), command: Command::Ready });
        }
        scene.run(4 * 60);
        scene
    }

    fn create(&mut self, me: NodeId, n: usize) {
        let seats = [0, 1].map(|side| SeatSpec::User {
            id: user(side, n),
            name: "player".into(),
            guest: true,
            skill: Skill::Smash,
        });
        let spec =
            MatchSpec { id: id(0, n, MatchId::from_bytes), mode: Mode::Casual, classic: false, private: false, seats };
        self.shard.answer(self.now, Answer::Place { worker: me, spec: Box::new(spec), reply: oneshot::channel().0 });
        let asked = self.shard.effects().find_map(|effect| match effect {
            Effect::Create(spec) => Some(spec),
            _ => None,
        });
        let grant = Grant::Here { epoch: Epoch::FIRST, seed: n as u64 };
        self.shard.answer(self.now, Answer::Created { spec: asked.expect("a match to create"), grant });
    }

    /// Both edges say this about each of these matches.
    fn say(&mut self, me: NodeId, matches: &[usize], control: impl Fn(usize, usize) -> Control) {
        for n in matches {
            for (side, edge) in self.edges.iter_mut().enumerate() {
                let match_id = id(0, *n, MatchId::from_bytes);
                edge.pairs.control(me, match_id, Epoch::FIRST, &control(side, *n)).expect("room in the window");
            }
        }
        self.run(10);
    }

    fn run(&mut self, ticks: usize) {
        for _ in 0..ticks {
            self.exchange();
            self.tick();
        }
    }

    /// All that a worker's core does in a tick.
    fn tick(&mut self) {
        for phase in 0..PHASES {
            self.now += Duration::from_nanos(1_000_000_000 / 240);
            self.shard.look(self.now, (true, 0), true);
            self.shard.tick_phase(self.now, phase);
            let sent = &mut self.sent;
            self.shard.flush(self.now, |to, bundle| sent.push((to, bundle)));
            self.shard.effects().for_each(drop);
        }
    }

    fn exchange(&mut self) {
        let Self { now, shard, edges, sent } = self;
        for (to, bundle) in sent.drain(..) {
            for edge in edges.iter_mut().filter(|edge| edge.id == to) {
                // The first ones, between nodes that have not met, are refused.
                let _ = edge.pairs.receive(*now, &bundle, |_| {});
            }
        }
        for edge in edges {
            edge.pairs.set_active(NodeId::of_name("worker"), true);
            edge.pairs.flush(*now, |_, bundle| {
                let _ = shard.receive(*now, &bundle);
            });
        }
    }
}

fn user(side: usize, n: usize) -> UserId {
    id(1 + side as u8, n, UserId::from_bytes)
}

fn session(side: usize, n: usize) -> SessionId {
    id(3 + side as u8, n, SessionId::from_bytes)
}

/// One item is one tick of one match, with its snapshot for two edges and its share of their bundles.
#[divan::bench(args = [1_000, 5_000], sample_count = 300, sample_size = 1)]
fn match_ticks(bencher: Bencher<'_, '_>, matches: usize) {
    let scene = RefCell::new(Scene::playing(matches));
    assert_eq!(scene.borrow().shard.host().load(), matches);
    bencher
        .with_inputs(|| scene.borrow_mut().exchange())
        .input_counter(move |()| ItemsCount::new(matches))
        .bench_local_values(|()| scene.borrow_mut().tick());
    let mut scene = scene.into_inner();
    let snapshots = scene.shard.take_stats().entries_sent;
    assert!(snapshots > (600 * matches) as u64, "both edges of every match get every snapshot: {snapshots}");
}
