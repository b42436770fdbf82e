//! Two or three nodes on a network that loses, repeats and reorders, and that restart at any moment.
//!
//! Whatever happens: what a life of a node hears from a life of another is an unbroken run of what that one pushed for
//! it, each once, in order. When the network heals, everything gets through.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use rally_fabric::{Pairs, Received};
use rally_units::{Epoch, Incarnation, Instant, MatchId, NodeId};

use crate::pairs::keys;

const MATCH: MatchId = MatchId::from_bytes([1; 16]);

#[derive(Clone, Debug)]
enum Op {
    Push {
        from: usize,
        to: usize,
        bytes: usize,
    },
    Flush {
        node: usize,
    },
    Advance {
        ms: u64,
    },
    /// Of what is in flight; any order.
    Deliver {
        which: usize,
    },
    Lose {
        which: usize,
    },
    Repeat {
        which: usize,
    },
    Restart {
        node: usize,
    },
    /// The registry tells one about the present life of another.
    Meet {
        node: usize,
        of: usize,
    },
    Forget {
        node: usize,
        of: usize,
    },
}

fn op(restarts: bool) -> impl Strategy<Value = Op> {
    let node = 0..3usize;
    let which = 0..64usize;
    let rare = if restarts { 1 } else { 0 };
    prop_oneof![
        8 => (node.clone(), node.clone(), 5..200usize).prop_map(|(from, to, bytes)| Op::Push { from, to, bytes }),
        1 => (node.clone(), node.clone(), Just(40_000usize)).prop_map(|(from, to, bytes)| Op::Push { from, to, bytes }),
        8 => node.clone().prop_map(|node| Op::Flush { node }),
        4 => (1..150u64).prop_map(|ms| Op::Advance { ms }),
        10 => which.clone().prop_map(|which| Op::Deliver { which }),
        3 => which.clone().prop_map(|which| Op::Lose { which }),
        3 => which.prop_map(|which| Op::Repeat { which }),
        rare => node.clone().prop_map(|node| Op::Restart { node }),
        1 => (node.clone(), node.clone()).prop_map(|(node, of)| Op::Meet { node, of }),
        rare => (node.clone(), node).prop_map(|(node, of)| Op::Forget { node, of }),
    ]
}

/// A life of a node.
type Life = u64;

struct Node {
    life: Life,
    pairs: Pairs,
    /// How many entries this life has pushed for each node.
    pushed: [u32; 3],
}

struct World {
    n: usize,
    now: Instant,
    lives: Life,
    nodes: Vec<Node>,
    wire: Vec<(usize, Bytes)>,
    /// (receiver's life, sender's life) -> counters in the order in which they came.
    heard: BTreeMap<(Life, Life), Vec<u32>>,
}

fn id(node: usize) -> NodeId {
    NodeId::from_bits(node as u64 + 1)
}

impl World {
    fn new(n: usize) -> Self {
        let mut world = Self {
            n,
            now: Instant::from_millis(1),
            lives: 0,
            nodes: Vec::new(),
            wire: Vec::new(),
            heard: BTreeMap::new(),
        };
        world.nodes = (0..n).map(|node| world.born(node)).collect();
        world
    }

    fn born(&mut self, node: usize) -> Node {
        self.lives += 1;
        let pairs = Pairs::new(id(node), Incarnation::from_bits(self.lives), keys());
        Node { life: self.lives, pairs, pushed: [0; 3] }
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Push { from, to, bytes } => self.push(from % self.n, to % self.n, bytes),
            Op::Flush { node } => self.flush(node % self.n),
            Op::Advance { ms } => self.now = Instant::from_nanos(self.now.as_nanos() + ms * 1_000_000),
            Op::Deliver { which } => {
                if let Some((to, bundle)) = self.pick(which) {
                    self.deliver(to, &bundle);
                }
            }
            Op::Lose { which } => drop(self.pick(which)),
            Op::Repeat { which } => {
                if let Some(copied) = self.wire.get(which % self.wire.len().max(1)).cloned() {
                    self.wire.push(copied);
                }
            }
            Op::Restart { node } => self.nodes[node % self.n] = self.born(node % self.n),
            Op::Meet { node, of } => {
                let life = Incarnation::from_bits(self.nodes[of % self.n].life);
                self.nodes[node % self.n].pairs.meet(id(of % self.n), life);
            }
            Op::Forget { node, of } => self.nodes[node % self.n].pairs.forget(id(of % self.n)),
        }
    }

    fn pick(&mut self, which: usize) -> Option<(usize, Bytes)> {
        let n = self.wire.len();
        (n > 0).then(|| self.wire.remove(which % n))
    }

    fn push(&mut self, from: usize, to: usize, bytes: usize) {
        if from == to {
            return;
        }
        let node = &mut self.nodes[from];
        let mut payload = vec![0; bytes];
        payload[..4].copy_from_slice(&(node.pushed[to] + 1).to_le_bytes());
        if node.pairs.message(id(to), MATCH, Epoch(1), payload.into()).is_ok() {
            node.pushed[to] += 1;
        }
    }

    fn flush(&mut self, node: usize) {
        let wire = &mut self.wire;
        let pairs = &mut self.nodes[node].pairs;
        pairs.flush(self.now, |to, bundle| wire.push((to.to_bits() as usize - 1, bundle)));
        // Otherwise its owner would spin.
        assert!(!pairs.has_entries() && pairs.next_deadline().is_none_or(|deadline| deadline > self.now));
    }

    fn deliver(&mut self, to: usize, bundle: &[u8]) {
        let (heard, node) = (&mut self.heard, &mut self.nodes[to]);
        let _refused = node.pairs.receive(self.now, bundle, |event| {
            if let Received::Entry { from_incarnation, entry, .. } = event {
                let counter = u32::from_le_bytes(std::array::from_fn(|i| entry.payload[i]));
                heard.entry((node.life, from_incarnation.to_bits())).or_default().push(counter);
            }
        });
    }

    /// The network is well from now on, and everybody speaks now and then.
    fn heal(&mut self) {
        for node in 0..self.n {
            for other in (0..self.n).filter(|other| *other != node) {
                self.nodes[node].pairs.set_active(id(other), true);
            }
        }
        for _ in 0..400 {
            self.now = Instant::from_nanos(self.now.as_nanos() + 10_000_000);
            (0..self.n).for_each(|node| self.flush(node));
            for (to, bundle) in std::mem::take(&mut self.wire) {
                self.deliver(to, &bundle);
            }
        }
    }

    fn heard(&self, by: usize, from: usize) -> &[u32] {
        self.heard.get(&(self.nodes[by].life, self.nodes[from].life)).map_or(&[], Vec::as_slice)
    }
}

fn ops(restarts: bool) -> impl Strategy<Value = Vec<Op>> {
    proptest::collection::vec(op(restarts), 0..300)
}

proptest! {
    #[test]
    fn without_restarts_all_come_once_and_in_order(n in 2..=3usize, ops in ops(false)) {
        let mut world = World::new(n);
        ops.iter().for_each(|op| world.run(op));
        world.heal();
        for by in 0..n {
            for from in (0..n).filter(|from| *from != by) {
                let pushed: Vec<u32> = (1..=world.nodes[from].pushed[by]).collect();
                prop_assert_eq!(world.heard(by, from), pushed.as_slice());
            }
        }
    }

    #[test]
    fn over_restarts_each_life_hears_an_unbroken_run(n in 2..=3usize, ops in ops(true)) {
        let mut world = World::new(n);
        ops.iter().for_each(|op| world.run(op));
        world.heal();
        let before: BTreeMap<_, _> = world.heard.clone();
        // By now all know each other's present lives: nothing more may be lost.
        for from in 0..n {
            for to in 0..n {
                (0..3).for_each(|_| world.push(from, to, 8));
            }
        }
        world.heal();
        for run in world.heard.values() {
            // Entries dropped by `forget` are holes in what was pushed, never repeats or disorder.
            prop_assert!(run.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", run);
        }
        let forgets = ops.iter().any(|op| matches!(op, Op::Forget { .. }));
        if !forgets {
            for run in world.heard.values() {
                prop_assert!(run.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{:?}", run);
            }
        }
        for by in 0..n {
            for from in (0..n).filter(|from| *from != by) {
                let old = before.get(&(world.nodes[by].life, world.nodes[from].life)).map_or(0, Vec::len);
                let last = world.nodes[from].pushed[by];
                prop_assert_eq!(&world.heard(by, from)[old..], &[last - 2, last - 1, last]);
            }
        }
    }
}
