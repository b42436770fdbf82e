//! How balls fly, bounce off walls and paddles, and meet each other.

use crate::{
    Event, Events, Side, World,
    field::{BALL_RADIUS, BALL_SPEED_MAX, BALL_Y, HEIGHT, PADDLE_HEIGHT, SERVE_SPEED, SUB_STEP_S, WIDTH},
    math::hypot,
    rules::paddle::Paddle,
};

/// Most balls at once.
pub const BALLS_MAX: usize = 10;

/// Direction of a ball hit by the very end of a paddle, in degrees.
const BOUNCE_DEG: f64 = 45.0;
/// What a hit makes of a ball's speed.
const HIT_FACTOR: f64 = 1.05;
/// Gap that a hit leaves between ball and paddle.
const HIT_GAP: f64 = 0.01;
/// Gap from which on the paddle that hit a ball last may hit it again.
const GUARD_GAP: f64 = 2.0;
/// How far two balls that met are moved apart, each, beyond half their overlap.
const MEET_GAP: f64 = 0.5;

/// A ball.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ball {
    /// Centre, in u.
    pub x: f64,
    /// Centre, in u.
    pub y: f64,
    /// Velocity, in u/s.
    pub vx: f64,
    /// Velocity, in u/s.
    pub vy: f64,
    /// Who hit it last, who therefore gets what it collects. `None` since its serve.
    pub last_hitter: Option<Side>,
    /// Whose paddle may not hit it, because it has just done so. Not the same as the last hitter: that one stays.
    pub guard: Option<Side>,
}

impl Ball {
    /// A ball that nobody has hit yet.
    pub const fn new(x: f64, y: f64, vx: f64, vy: f64) -> Self {
        Self { x, y, vx, vy, last_hitter: None, guard: None }
    }

    /// A serve from the centre.
    pub(crate) const fn served(towards: Side) -> Self {
        Self::new(WIDTH / 2.0, HEIGHT / 2.0, -towards.forward() * SERVE_SPEED, 0.0)
    }

    /// Speed, in u/s.
    pub fn speed(&self) -> f64 {
        hypot(self.vx, self.vy)
    }

    /// Moves on for a sub-step, and off a wall that it reaches.
    fn fly(&mut self) {
        self.x += self.vx * SUB_STEP_S;
        self.y += self.vy * SUB_STEP_S;
        let [top, bottom] = BALL_Y;
        if self.y <= top {
            self.y = top;
            self.vy = self.vy.abs();
        } else if self.y >= bottom {
            self.y = bottom;
            self.vy = -self.vy.abs();
        }
    }

    /// Vector from the nearest point of a paddle to the centre, zero if the centre is inside.
    fn offset_from(&self, side: Side, paddle: &Paddle) -> [f64; 2] {
        let [left, right] = side.paddle_x();
        let half = PADDLE_HEIGHT / 2.0;
        [self.x - self.x.clamp(left, right), self.y - self.y.clamp(paddle.y - half, paddle.y + half)]
    }

    /// Moves the ball out of the paddle and sends it away from it, at the speed it had.
    fn bounce(&mut self, side: Side, paddle: &Paddle, [dx, dy]: [f64; 2]) {
        // Where the ball was met, before it is moved out, decides its direction.
        let rel = ((self.y - paddle.y) / (PADDLE_HEIGHT / 2.0)).clamp(-1.0, 1.0);
        let distance = hypot(dx, dy);
        if distance > 0.0 {
            let out = BALL_RADIUS - distance + HIT_GAP;
            self.x += dx / distance * out;
            // Between the end of a paddle and the wall there may be no room for a ball: the wall wins.
            self.y = (self.y + dy / distance * out).clamp(BALL_Y[0], BALL_Y[1]);
        } else {
            // The centre is inside (two balls met there), so there is no contact normal: out by the front.
            let [left, right] = side.paddle_x();
            let front = if side == Side::Left { right } else { left };
            self.x = front + side.forward() * (BALL_RADIUS + HIT_GAP);
        }
        let (sin, cos) = libm::sincos(rel * BOUNCE_DEG.to_radians());
        let speed = self.speed();
        self.vx = side.forward() * speed * cos;
        self.vy = speed * sin;
    }

    /// Scales the velocity so that the speed, which is `from` now, becomes `to` or the highest there is.
    fn set_speed(&mut self, from: f64, to: f64) {
        let factor = to.min(BALL_SPEED_MAX) / from;
        self.vx *= factor;
        self.vy *= factor;
    }

    fn cap_speed(&mut self) {
        let speed = self.speed();
        if speed > BALL_SPEED_MAX {
            self.set_speed(speed, BALL_SPEED_MAX);
        }
    }
}

/// Ball by ball: flight, walls, paddles.
pub(crate) fn fly(world: &mut World, events: &mut Events) {
    for index in 0..world.balls.len() {
        world.balls[index].fly();
        for side in Side::ALL {
            hit(world, index, side, events);
        }
    }
}

/// Lets a paddle hit a ball if they touch.
fn hit(world: &mut World, index: usize, side: Side, events: &mut Events) {
    let World { balls, paddles, skills, clock, .. } = world;
    let (ball, paddle, skill) = (&mut balls[index], &paddles[side.index()], &mut skills[side.index()]);
    let offset @ [dx, dy] = ball.offset_from(side, paddle);
    let distance_squared = dx * dx + dy * dy;
    if ball.guard == Some(side) {
        const CLEAR: f64 = BALL_RADIUS + GUARD_GAP;
        if distance_squared >= CLEAR * CLEAR {
            ball.guard = None;
        }
        return;
    }
    if distance_squared > BALL_RADIUS * BALL_RADIUS {
        return;
    }
    ball.bounce(side, paddle, offset);
    ball.last_hitter = Some(side);
    ball.guard = Some(side);
    let smash = skill.smash_factor();
    let speed = ball.speed();
    if speed > 0.0 {
        ball.set_speed(speed, (speed * HIT_FACTOR).min(BALL_SPEED_MAX) * smash.unwrap_or(1.0));
    }
    events.push(*clock, Event::Hit { side, speed: ball.speed(), smash: smash.is_some() });
    if smash.is_some() && skill.meet() {
        events.push(*clock, Event::SmashHit { side });
    }
}

/// Balls against balls: an elastic exchange between equal masses, along the line between their centres.
pub(crate) fn meet(world: &mut World) {
    let balls = world.balls.as_mut_slice();
    for first in 1..balls.len() {
        let (before, rest) = balls.split_at_mut(first);
        for a in before {
            exchange(a, &mut rest[0]);
        }
    }
}

fn exchange(a: &mut Ball, b: &mut Ball) {
    const REACH: f64 = 2.0 * BALL_RADIUS;
    let (dx, dy) = (b.x - a.x, b.y - a.y);
    let distance_squared = dx * dx + dy * dy;
    if distance_squared >= REACH * REACH {
        return;
    }
    let distance = hypot(dx, dy);
    // Two balls in one place have no line between them; any will do, if it is always the same.
    let (nx, ny) = if distance > 0.0 { (dx / distance, dy / distance) } else { (1.0, 0.0) };

    // Balls that overlap but already part (a ball just split) do not meet: exchanging would pull them together.
    let closing = (a.vx - b.vx) * nx + (a.vy - b.vy) * ny;
    if closing > 0.0 {
        a.vx -= closing * nx;
        a.vy -= closing * ny;
        b.vx += closing * nx;
        b.vy += closing * ny;
        // The exchange keeps the energy of both, not each one's bound.
        a.cap_speed();
        b.cap_speed();
    }

    let out = (REACH - distance) / 2.0 + MEET_GAP;
    for (ball, direction) in [(a, -1.0), (b, 1.0)] {
        ball.x += direction * nx * out;
        ball.y = (ball.y + direction * ny * out).clamp(BALL_Y[0], BALL_Y[1]);
    }
}
