//! The field and what stands on it, in numbers: lengths in u, times in sub-steps.

use rally_units::{SUB_STEPS_PER_TICK, TICK_HZ};

use crate::Side;

/// Width of the field.
pub const WIDTH: f64 = 1920.0;
/// Height of the field.
pub const HEIGHT: f64 = 1080.0;

/// Radius of a ball.
pub const BALL_RADIUS: f64 = 15.0;
/// Lowest and highest y of a ball's centre: it touches the wall there.
pub const BALL_Y: [f64; 2] = [BALL_RADIUS, HEIGHT - BALL_RADIUS];
/// Speed of a serve, in u/s.
pub const SERVE_SPEED: f64 = 600.0;
/// Highest speed of a ball, in u/s.
pub const BALL_SPEED_MAX: f64 = 1500.0;

/// Width of a paddle.
pub const PADDLE_WIDTH: f64 = 15.0;
/// Height of a paddle.
pub const PADDLE_HEIGHT: f64 = 100.0;
/// Lowest and highest y of a paddle's centre.
pub const PADDLE_Y: [f64; 2] = [PADDLE_HEIGHT / 2.0, HEIGHT - PADDLE_HEIGHT / 2.0];
/// Distance of a paddle from its side line.
pub const PADDLE_MARGIN: f64 = 30.0;

/// Radius of a power-up.
pub const POWER_UP_RADIUS: f64 = 55.0;

/// Sub-steps of one second.
pub const SUB_STEPS_PER_S: u16 = (TICK_HZ * SUB_STEPS_PER_TICK) as u16;
/// Seconds of one sub-step.
pub const SUB_STEP_S: f64 = 1.0 / SUB_STEPS_PER_S as f64;

impl Side {
    /// +1 if this player plays towards growing x, else -1.
    pub const fn forward(self) -> f64 {
        match self {
            Self::Left => 1.0,
            Self::Right => -1.0,
        }
    }

    /// x of the left and of the right edge of this side's paddle.
    pub const fn paddle_x(self) -> [f64; 2] {
        match self {
            Self::Left => [PADDLE_MARGIN, PADDLE_MARGIN + PADDLE_WIDTH],
            Self::Right => [WIDTH - PADDLE_MARGIN - PADDLE_WIDTH, WIDTH - PADDLE_MARGIN],
        }
    }
}
