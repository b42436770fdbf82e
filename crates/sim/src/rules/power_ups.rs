//! Power-ups: where and when they appear, who takes them, and what they do.

use rally_units::Rng;

use crate::{
    BALLS_MAX, Ball, Event, Events, Rules, Side, World,
    field::{BALL_RADIUS, HEIGHT, POWER_UP_RADIUS, SUB_STEP_S, SUB_STEPS_PER_S, WIDTH},
    math::hypot,
};

/// Most power-ups on the field at once.
pub const POWER_UPS_MAX: usize = 5;

/// Sub-steps until the first one, at least and at most.
const FIRST: [u16; 2] = [5 * SUB_STEPS_PER_S, 15 * SUB_STEPS_PER_S];
/// Sub-steps from one to the next, at least and at most.
const EVERY: [u16; 2] = [6 * SUB_STEPS_PER_S, 12 * SUB_STEPS_PER_S];
/// Longest wait for a power-up that a state can hold.
pub(crate) const WAIT_MAX: u16 = FIRST[1] + 1;
/// Sub-steps that one stays on the field.
pub(crate) const LIFE: u16 = 9 * SUB_STEPS_PER_S;
/// Distance of its centre from the edges of the field, at least.
pub(crate) const EDGE: f64 = 150.0;

/// Sub-steps of a split.
pub(crate) const SPLIT: u16 = 10 * SUB_STEPS_PER_S;
/// Sub-steps of a blackout.
pub(crate) const BLACKOUT: u16 = 5 * SUB_STEPS_PER_S;
/// Sub-steps of a blackhole.
pub(crate) const BLACKHOLE: u16 = 8 * SUB_STEPS_PER_S;

/// Widest angle between a ball and the one split from it, in degrees.
const SPLIT_DEG: f64 = 20.0;
/// Accelerations towards the blackhole and around it, in u/s^2.
const PULL: f64 = 400.0;
const SWIRL: f64 = 1.0;

/// What a power-up does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PowerUpKind {
    /// One more ball for 10 s.
    Split,
    /// Darkens the field for the collector's opponent for 5 s.
    Blackout,
    /// Bends the way of all balls towards the centre for 8 s.
    Blackhole,
}

impl PowerUpKind {
    /// All kinds, in the order of their numbers in saved states.
    pub const ALL: [Self; 3] = [Self::Split, Self::Blackout, Self::Blackhole];
}

/// A power-up on the field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerUp {
    /// What it does.
    pub kind: PowerUpKind,
    /// Centre, in u.
    pub x: f64,
    /// Centre, in u.
    pub y: f64,
    /// Sub-steps for which it stays.
    pub remaining_sub_steps: u16,
}

impl PowerUp {
    fn touches(&self, ball: &Ball) -> bool {
        const REACH: f64 = POWER_UP_RADIUS + BALL_RADIUS;
        let (dx, dy) = (ball.x - self.x, ball.y - self.y);
        dx * dx + dy * dy <= REACH * REACH
    }
}

/// What collected power-ups still do, in sub-steps; 0 where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Until the extra balls go.
    pub split_sub_steps: u16,
    /// Until the left, and the right, player sees again. Fading in and out is the picture's business.
    pub blackout_sub_steps: [u16; 2],
    /// Until balls fly straight again.
    pub blackhole_sub_steps: u16,
}

/// Sub-steps until the first power-up of a match, the one in which it appears included; 0 where there are none.
pub(crate) fn first_spawn(rules: Rules, rng: &mut Rng) -> u16 {
    if rules.classic { 0 } else { draw(rng, FIRST) + 1 }
}

fn draw(rng: &mut Rng, [low, high]: [u16; 2]) -> u16 {
    low + rng.below(u32::from(high - low) + 1) as u16
}

/// Bends the way of every ball while there is a blackhole, leaving its speed as it was.
pub(crate) fn bend(world: &mut World) {
    if world.effects.blackhole_sub_steps == 0 {
        return;
    }
    world.effects.blackhole_sub_steps -= 1;
    let progress = 1.0 - f64::from(world.effects.blackhole_sub_steps) / f64::from(BLACKHOLE);
    let strength = (0.6 + 0.8 * progress) * SUB_STEP_S;
    for ball in &mut world.balls {
        let (dx, dy) = (WIDTH / 2.0 - ball.x, HEIGHT / 2.0 - ball.y);
        let distance = hypot(dx, dy);
        if distance == 0.0 {
            continue; // At the centre there is no direction to bend to.
        }
        let (nx, ny) = (dx / distance, dy / distance);
        let before = ball.speed();
        let vx = ball.vx + (nx * PULL - ny * SWIRL) * strength;
        let vy = ball.vy + (ny * PULL + nx * SWIRL) * strength;
        let after = hypot(vx, vy);
        if after > 0.0 {
            ball.vx = vx * (before / after);
            ball.vy = vy * (before / after);
        }
    }
}

/// Appearance, expiry, and collection by the balls as they stand.
pub(crate) fn step(world: &mut World, events: &mut Events) {
    for remaining in &mut world.effects.blackout_sub_steps {
        *remaining = remaining.saturating_sub(1);
    }
    if world.next_power_up_sub_steps > 0 {
        world.next_power_up_sub_steps -= 1;
        if world.next_power_up_sub_steps == 0 {
            spawn(world, events);
            world.next_power_up_sub_steps = draw(&mut world.rng, EVERY);
        }
    }
    expire(world, events);
    collect(world, events);
}

/// Puts a power-up on the field, unless it is full.
fn spawn(world: &mut World, events: &mut Events) {
    if world.power_ups.is_full() {
        return;
    }
    let kind = PowerUpKind::ALL[world.rng.below(PowerUpKind::ALL.len() as u32) as usize];
    let x = world.rng.between(EDGE, WIDTH - EDGE);
    let y = world.rng.between(EDGE, HEIGHT - EDGE);
    // One more, which the expiry of this very sub-step takes off again.
    world.power_ups.push(PowerUp { kind, x, y, remaining_sub_steps: LIFE + 1 });
    events.push(world.clock, Event::PowerUpSpawned { kind, x, y });
}

fn expire(world: &mut World, events: &mut Events) {
    world.power_ups.retain(|power_up| {
        power_up.remaining_sub_steps = power_up.remaining_sub_steps.saturating_sub(1);
        let PowerUp { kind, x, y, remaining_sub_steps } = *power_up;
        if remaining_sub_steps == 0 {
            events.push(world.clock, Event::PowerUpExpired { kind, x, y });
        }
        remaining_sub_steps > 0
    });
}

fn collect(world: &mut World, events: &mut Events) {
    // Backwards, because what is taken goes out of the list. A ball that a split adds here takes nothing yet: it
    // stands where its parent does, which has taken all there is.
    for index in (0..world.power_ups.len()).rev() {
        let power_up = world.power_ups[index];
        let Some(ball) = world.balls.iter().find(|ball| power_up.touches(ball)).copied() else { continue };
        world.power_ups.remove(index);
        let half = if ball.x < WIDTH / 2.0 { Side::Left } else { Side::Right };
        let side = ball.last_hitter.unwrap_or(half);
        let PowerUp { kind, x, y, .. } = power_up;
        events.push(world.clock, Event::PowerUpCollected { side, kind, x, y });
        match kind {
            PowerUpKind::Split => split(world, ball),
            PowerUpKind::Blackout => world.effects.blackout_sub_steps[side.opponent().index()] = BLACKOUT,
            PowerUpKind::Blackhole => world.effects.blackhole_sub_steps = BLACKHOLE,
        }
    }
}

/// Adds a ball beside its parent, which also shares what it was hit by: neither is hit twice, both credit the hitter.
fn split(world: &mut World, parent: Ball) {
    // One more, which the end of this very sub-step takes off again.
    world.effects.split_sub_steps = SPLIT + 1;
    if world.balls.len() < BALLS_MAX {
        let (sin, cos) = libm::sincos(world.rng.between(-SPLIT_DEG, SPLIT_DEG).to_radians());
        let (vx, vy) = (parent.vx * cos - parent.vy * sin, parent.vx * sin + parent.vy * cos);
        world.balls.push(Ball { vx, vy, ..parent });
    }
}

/// At the end of a split only the ball that is fastest towards a goal stays.
pub(crate) fn end_split(world: &mut World, events: &mut Events) {
    if world.effects.split_sub_steps == 0 {
        return;
    }
    world.effects.split_sub_steps -= 1;
    if world.effects.split_sub_steps > 0 {
        return;
    }
    // The first of several equal ones, on every machine.
    let keep = world.balls.iter().copied().reduce(|best, ball| if ball.vx.abs() > best.vx.abs() { ball } else { best });
    world.balls.clear();
    world.balls.extend(keep);
    events.push(world.clock, Event::SplitEnded);
}
