//! The state of a match in play, and the order in which the rules change it.

use arrayvec::ArrayVec;
use rally_units::{Rng, SUB_STEPS_PER_TICK, SubStep};

use crate::{
    BALLS_MAX, Ball, Dir, Effects, Events, Input, POWER_UPS_MAX, Paddle, PowerUp, Rules, Side, SkillState,
    rules::{ball, goals, paddle, power_ups, skills},
};

/// The whole state of a match in play.
///
/// It is a plain value of at most 1 KiB without anything on the heap: a clone is a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    pub(crate) rules: Rules,
    pub(crate) clock: SubStep,
    pub(crate) rng: Rng,
    pub(crate) score: [u8; 2],
    pub(crate) paddles: [Paddle; 2],
    /// Of the last sub-step, in u/s. Nothing depends on it: it is kept for those who draw or predict paddles.
    pub(crate) paddle_speed: f64,
    pub(crate) skills: [SkillState; 2],
    pub(crate) balls: ArrayVec<Ball, BALLS_MAX>,
    pub(crate) power_ups: ArrayVec<PowerUp, POWER_UPS_MAX>,
    /// Until the next power-up appears, 0 where none will.
    pub(crate) next_power_up_sub_steps: u16,
    pub(crate) effects: Effects,
}

// Ten thousand matches on a core stay within its caches, and a checkpoint within one small message.
const _: () = assert!(size_of::<World>() <= 1024);

impl World {
    /// A match before its first sub-step: score 0 to 0, paddles in the middle, a ball about to fly from the centre.
    ///
    /// `seed` decides everything that is left to chance. A score to win of 0 means 1.
    pub fn new(seed: u64, rules: Rules) -> Self {
        let mut world = Self::empty(seed, rules);
        world.next_power_up_sub_steps = power_ups::first_spawn(rules, &mut world.rng);
        goals::serve(&mut world);
        world
    }

    /// Like [`World::new`], but with goals scored already: where a match goes on of which nothing else is known.
    pub fn at_score(seed: u64, rules: Rules, score: [u8; 2]) -> Self {
        Self { score, ..Self::new(seed, rules) }
    }

    /// Like [`World::new`], but with this ball instead of the serve, and no power-ups: how recordings and drills begin.
    pub fn with_ball(seed: u64, rules: Rules, ball: Ball) -> Self {
        Self::staged(seed, rules, &[ball], &[])
    }

    /// Like [`World::new`], but with just these balls and power-ups: no others will appear. Those beyond
    /// [`BALLS_MAX`] and [`POWER_UPS_MAX`] are left out. For tests and benches.
    pub fn staged(seed: u64, rules: Rules, balls: &[Ball], power_ups: &[PowerUp]) -> Self {
        let mut world = Self::empty(seed, rules);
        world.balls.extend(balls.iter().copied().take(BALLS_MAX));
        world.power_ups.extend(power_ups.iter().copied().take(POWER_UPS_MAX));
        world
    }

    fn empty(seed: u64, rules: Rules) -> Self {
        Self {
            rules: Rules { score_to_win: rules.score_to_win.max(1), ..rules },
            clock: SubStep::default(),
            rng: Rng::from_seed(seed),
            score: [0; 2],
            paddles: [Paddle::AT_START; 2],
            paddle_speed: paddle::SPEED[0],
            skills: rules.skills.map(SkillState::ready),
            balls: ArrayVec::new(),
            power_ups: ArrayVec::new(),
            next_power_up_sub_steps: 0,
            effects: Effects::default(),
        }
    }

    /// Takes what a player says. It counts from the next sub-step on: the direction is held until the next input,
    /// a press is one press, and presses before the same sub-step are one.
    pub fn apply(&mut self, side: Side, input: Input) {
        let paddle = &mut self.paddles[side.index()];
        paddle.dir = input.dir;
        paddle.pressed |= input.press;
    }

    /// Stops a paddle, because its player is lost.
    pub fn halt(&mut self, side: Side) {
        self.paddles[side.index()].dir = Dir::Stay;
    }

    /// Plays one tick: 4 sub-steps. `events` is emptied and then holds what happened in them.
    pub fn tick(&mut self, events: &mut Events) {
        events.clear();
        for _ in 0..SUB_STEPS_PER_TICK {
            self.advance(events);
        }
    }

    /// Plays one sub-step. `events` is emptied and then holds what happened in it.
    pub fn sub_step(&mut self, events: &mut Events) {
        events.clear();
        self.advance(events);
    }

    /// The order within a sub-step is part of the rules. Once the match is won nothing changes any more.
    fn advance(&mut self, events: &mut Events) {
        if self.winner().is_some() {
            return;
        }
        skills::step(self, events);
        power_ups::bend(self);
        paddle::step(self);
        power_ups::step(self, events);
        ball::fly(self, events);
        ball::meet(self);
        power_ups::end_split(self, events);
        goals::step(self, events);
        self.clock.0 = self.clock.0.saturating_add(1);
    }

    /// The match clock: sub-steps played so far, which is also the index of the next one.
    pub fn clock(&self) -> SubStep {
        self.clock
    }

    /// What the match is played by.
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// Goals of the left and of the right player.
    pub fn score(&self) -> [u8; 2] {
        self.score
    }

    /// Who has won, if anyone.
    pub fn winner(&self) -> Option<Side> {
        Side::ALL.into_iter().find(|side| self.score[side.index()] >= self.rules.score_to_win)
    }

    /// The left and the right paddle.
    pub fn paddles(&self) -> &[Paddle; 2] {
        &self.paddles
    }

    /// Speed of both paddles in the last sub-step, dashes apart, in u/s.
    pub fn paddle_speed(&self) -> f64 {
        self.paddle_speed
    }

    /// The balls on the field: at least one until the match is won.
    pub fn balls(&self) -> &[Ball] {
        &self.balls
    }

    /// The skills of the left and of the right player.
    pub fn skills(&self) -> &[SkillState; 2] {
        &self.skills
    }

    /// The power-ups on the field.
    pub fn power_ups(&self) -> &[PowerUp] {
        &self.power_ups
    }

    /// What collected power-ups still do.
    pub fn effects(&self) -> Effects {
        self.effects
    }
}
