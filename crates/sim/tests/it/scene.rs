//! A world on a stage: who stands where, what is pressed, and what came of it.

use rally_sim::{Ball, Dir, Event, Events, Input, PowerUp, PowerUpKind, Rules, Side, Skill, World};
use rally_units::SubStep;

/// A world, played sub-step by sub-step, with everything that happened so far.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) log: Vec<(u32, Event)>,
    events: Events,
}

/// A ball that flies level through the middle of the field and is far from everything.
pub(crate) const IDLE: Ball = Ball::new(960.0, 540.0, -600.0, 0.0);

impl Scene {
    pub(crate) fn of(world: World) -> Self {
        Self { world, log: Vec::new(), events: Events::new() }
    }

    /// These balls, nothing else, default rules.
    pub(crate) fn balls(balls: &[Ball]) -> Self {
        Self::of(World::staged(7, Rules::default(), balls, &[]))
    }

    /// These balls and power-ups of these kinds, each where its number says.
    pub(crate) fn power_ups(balls: &[Ball], power_ups: &[(PowerUpKind, f64, f64)]) -> Self {
        let power_ups: Vec<_> =
            power_ups.iter().map(|&(kind, x, y)| PowerUp { kind, x, y, remaining_sub_steps: 2160 }).collect();
        Self::of(World::staged(7, Rules::default(), balls, &power_ups))
    }

    /// An idle ball, and both players with this skill.
    pub(crate) fn skill(skill: Skill, balls: &[Ball]) -> Self {
        Self::of(World::staged(7, Rules { skills: [skill; 2], ..Rules::default() }, balls, &[]))
    }

    pub(crate) fn hold(&mut self, side: Side, dir: Dir) -> &mut Self {
        self.world.apply(side, Input { dir, press: false });
        self
    }

    pub(crate) fn press(&mut self, side: Side) -> &mut Self {
        let dir = self.world.paddles()[side.index()].dir;
        self.world.apply(side, Input { dir, press: true });
        self
    }

    pub(crate) fn run(&mut self, sub_steps: u32) -> &mut Self {
        for _ in 0..sub_steps {
            self.world.sub_step(&mut self.events);
            self.log.extend(self.events.iter().map(|(SubStep(at), event)| (at, event)));
        }
        self
    }

    /// Runs until something happens for which `wanted` says yes; its sub-step.
    pub(crate) fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> u32 {
        for _ in 0..100_000 {
            self.run(1);
            let last = self.world.clock().0 - 1;
            if self.log.iter().rev().take_while(|(at, _)| *at == last).any(|(_, event)| wanted(event)) {
                return last;
            }
        }
        panic!("it never happened; what did: {:?}", self.log);
    }

    /// Where it happened, for each event for which `wanted` says yes.
    pub(crate) fn times(&self, wanted: impl Fn(&Event) -> bool) -> Vec<u32> {
        self.log.iter().filter(|(_, event)| wanted(event)).map(|(at, _)| *at).collect()
    }

    /// The only ball.
    pub(crate) fn ball(&self) -> Ball {
        let [ball] = self.world.balls() else { panic!("one ball, not {:?}", self.world.balls()) };
        *ball
    }
}

/// Equal but for rounding.
#[track_caller]
pub(crate) fn assert_close(actual: f64, expected: f64) {
    assert!((actual - expected).abs() < 1e-9, "{actual} is not {expected}");
}
