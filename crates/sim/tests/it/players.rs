//! Two scripted players, good enough to keep a rally going and bad enough to lose it: they make long matches out of a
//! seed, with all that can happen in them.

use rally_sim::{Dir, Events, Input, Rules, Side, Skill, World};

/// A match that plays itself, the same for the same seed.
pub(crate) struct Match {
    pub(crate) world: World,
    pub(crate) events: Events,
    noise: u64,
}

impl Match {
    pub(crate) fn new(seed: u64) -> Self {
        let skills = [Skill::Smash, Skill::Dash];
        let rules = Rules {
            classic: seed % 7 == 6,
            skills: [skills[(seed % 2) as usize], skills[(seed / 2 % 2) as usize]],
            score_to_win: 11,
        };
        Self::of(World::new(seed, rules), seed)
    }

    pub(crate) fn of(world: World, seed: u64) -> Self {
        Self { world, events: Events::new(), noise: seed ^ 0x5555 }
    }

    fn random(&mut self) -> u64 {
        self.noise = self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.noise >> 33
    }

    /// What a player says before this tick.
    pub(crate) fn input(&mut self, side: Side) -> Input {
        let ball =
            self.world.balls().iter().max_by(|a, b| (-side.forward() * a.vx).total_cmp(&(-side.forward() * b.vx)));
        let goal = ball.map_or(540.0, |ball| ball.y);
        let aim = goal + (self.random() % 81) as f64 - 40.0;
        let off = aim - self.world.paddles()[side.index()].y;
        let asleep = self.random().is_multiple_of(10);
        let dir = if asleep || off.abs() < 8.0 {
            Dir::Stay
        } else if off < 0.0 {
            Dir::Up
        } else {
            Dir::Down
        };
        Input { dir, press: self.random().is_multiple_of(40) }
    }

    /// Both inputs, then a tick.
    pub(crate) fn tick(&mut self) {
        for side in Side::ALL {
            let input = self.input(side);
            self.world.apply(side, input);
        }
        self.world.tick(&mut self.events);
    }
}
