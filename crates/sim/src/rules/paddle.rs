//! How fast paddles are, and where they go.

use crate::{
    Dir, World,
    field::{HEIGHT, PADDLE_Y, SUB_STEP_S},
};

/// A paddle's speed as a part of the fastest ball's.
const SPEED_OF_BALL: f64 = 0.6;
/// Lowest and highest speed, in u/s.
pub(crate) const SPEED: [f64; 2] = [400.0, 1600.0];
/// Speed in a dash, in u/s.
const DASH_SPEED: f64 = 2000.0;

/// A paddle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Paddle {
    /// Centre, in u.
    pub y: f64,
    /// Where it is told to go.
    pub dir: Dir,
    /// A press that the next sub-step is to use.
    pub(crate) pressed: bool,
}

impl Paddle {
    pub(crate) const AT_START: Self = Self { y: HEIGHT / 2.0, dir: Dir::Stay, pressed: false };
}

/// Speed of both paddles, in u/s, for balls as they stand.
pub(crate) fn speed(world: &World) -> f64 {
    let fastest = world.balls.iter().map(|ball| ball.speed()).fold(0.0, f64::max);
    (SPEED_OF_BALL * fastest).clamp(SPEED[0], SPEED[1])
}

/// Moves both paddles.
pub(crate) fn step(world: &mut World) {
    world.paddle_speed = speed(world);
    for (paddle, skill) in world.paddles.iter_mut().zip(&world.skills) {
        let speed = if skill.dashes() { DASH_SPEED } else { world.paddle_speed };
        paddle.y = (paddle.y + f64::from(i8::from(paddle.dir)) * speed * SUB_STEP_S).clamp(PADDLE_Y[0], PADDLE_Y[1]);
    }
}
