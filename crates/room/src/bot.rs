//! The bot: one more player, who says a direction and a press like any other.
//!
//! It knows its own paddle and its own skill at every moment, as one who holds the key does. The field it sees only
//! when it looks; in between it acts on what it expected then. It never asks for what an eye cannot see: keys that the
//! opponent holds, the match's random stream, when a power-up will appear. A blackout leaves balls visible, so it does
//! not disturb the bot.

use rally_protocol::client::v1::Level;
use rally_sim::{
    Ball, Dir, Input, Side, Skill, World,
    field::{BALL_RADIUS, BALL_SPEED_MAX, BALL_Y, HEIGHT, SERVE_SPEED},
};
use rally_units::{Rng, TICK_HZ};

use crate::save::{Reader, RestoreError, Writer};

/// Distance from the target, in u, within which the bot is content.
const DEAD_ZONE: f64 = 24.0;
/// It starts to move this much further away than the dead zone, and stops this much further inside: else it would
/// tremble at the edge.
const HYSTERESIS: f64 = 10.0;

/// Ticks before a ball's arrival at which it presses for a smash, which lasts for 12.
const SMASH_TICKS: i32 = 8;

/// What a level is made of.
#[derive(Clone, Copy, Debug)]
struct Habits {
    /// From one look at the field to the next.
    look_ticks: u32,
    /// By how much it misjudges, at most, where a ball at serving speed will arrive, in u.
    misjudges: f64,
    /// And by how much more the fastest ball. Half a paddle and a ball's radius are 65 u.
    misjudges_fast: f64,
    uses_skill: bool,
}

const fn habits(level: Level) -> Habits {
    match level {
        Level::Easy => Habits { look_ticks: TICK_HZ * 3 / 2, misjudges: 55.0, misjudges_fast: 80.0, uses_skill: false },
        Level::Normal => Habits { look_ticks: TICK_HZ, misjudges: 15.0, misjudges_fast: 55.0, uses_skill: false },
        Level::Hard => Habits { look_ticks: TICK_HZ / 10, misjudges: 15.0, misjudges_fast: 55.0, uses_skill: true },
    }
}

/// A ball that is expected.
#[derive(Clone, Copy, Debug)]
struct Expected {
    /// Where it will arrive, misjudgement included.
    y: f64,
    arrives_in_ticks: i32,
}

/// One bot in one seat.
#[derive(Clone, Debug)]
pub(crate) struct Bot {
    side: Side,
    habits: Habits,
    rng: Rng,
    look_in_ticks: u32,
    expected: Option<Expected>,
    /// Of the ball that is expected: -1 to 1. Drawn once for each, or looking often would average it away.
    misjudgement: f64,
}

impl Bot {
    pub(crate) fn new(side: Side, level: Level, match_seed: u64) -> Self {
        let mut rng = Rng::from_seed(match_seed ^ (0x0b07_0b07 + side.index() as u64));
        let habits = habits(level);
        Self { side, habits, look_in_ticks: rng.below(habits.look_ticks), rng, expected: None, misjudgement: 0.0 }
    }

    pub(crate) fn save(&self, to: &mut Writer<'_>) {
        to.u64(self.rng.state());
        to.u32(self.look_in_ticks);
        to.flag(self.expected.is_some());
        let Expected { y, arrives_in_ticks } = self.expected.unwrap_or(Expected { y: 0.0, arrives_in_ticks: 0 });
        to.float(y);
        to.u32(arrives_in_ticks.cast_unsigned());
        to.float(self.misjudgement);
    }

    pub(crate) fn restore(from: &mut Reader<'_>, side: Side, level: Level) -> Result<Self, RestoreError> {
        let habits = habits(level);
        let rng = Rng::from_seed(from.u64()?);
        let look_in_ticks = from.ticks("bot")?.min(habits.look_ticks);
        let expects = from.flag("bot")?;
        let expected = Expected { y: from.float("bot")?, arrives_in_ticks: from.u32()?.cast_signed() };
        if expected.arrives_in_ticks == i32::MIN {
            return Err(RestoreError::OutOfRange("bot"));
        }
        let misjudgement = from.float("bot")?;
        Ok(Self { side, habits, rng, look_in_ticks, expected: expects.then_some(expected), misjudgement })
    }

    /// What it does before the next tick in play; `None` if it goes on as it does.
    pub(crate) fn think(&mut self, world: &World) -> Option<Input> {
        if self.look_in_ticks == 0 {
            self.look(world.balls());
            self.look_in_ticks = self.habits.look_ticks;
        }
        self.look_in_ticks -= 1;
        if let Some(expected) = &mut self.expected {
            expected.arrives_in_ticks -= 1;
            if expected.arrives_in_ticks < 0 {
                // Hit or missed: either way it is not coming any more.
                self.expected = None;
            }
        }
        let own = world.paddles()[self.side.index()];
        let target = self.expected.map_or(HEIGHT / 2.0, |expected| expected.y);
        let dir = steer(own.y, target, own.dir);
        let press = self.habits.uses_skill && self.wants_skill(world, own.y, dir);
        (dir != own.dir || press).then_some(Input { dir, press })
    }

    /// Finds the ball that will arrive first.
    fn look(&mut self, balls: &[Ball]) {
        let first =
            balls.iter().filter_map(|ball| Some((ball, self.flight_s(ball)?))).min_by(|(_, a), (_, b)| a.total_cmp(b));
        let Some((ball, flight_s)) = first else {
            self.expected = None;
            return;
        };
        if self.expected.is_none() {
            self.misjudgement = self.rng.between(-1.0, 1.0);
        }
        let haste = ((ball.speed() - SERVE_SPEED) / (BALL_SPEED_MAX - SERVE_SPEED)).clamp(0.0, 1.0);
        let error = self.misjudgement * (self.habits.misjudges + self.habits.misjudges_fast * haste);
        self.expected = Some(Expected {
            y: bounced(ball.y + ball.vy * flight_s) + error,
            arrives_in_ticks: (flight_s * f64::from(TICK_HZ)).ceil() as i32,
        });
    }

    /// Seconds until a ball reaches the paddle's front, if it comes this way and has not passed it.
    fn flight_s(&self, ball: &Ball) -> Option<f64> {
        let [left, right] = self.side.paddle_x();
        let front = if self.side == Side::Left { right } else { left };
        let distance = (ball.x - front) * self.side.forward() - BALL_RADIUS;
        let speed = -ball.vx * self.side.forward();
        (speed > 0.0 && distance > 0.0).then(|| distance / speed)
    }

    fn wants_skill(&self, world: &World, own_y: f64, dir: Dir) -> bool {
        let skill = world.skills()[self.side.index()];
        let Some(expected) = self.expected.filter(|_| skill.cooldown_sub_steps == 0) else { return false };
        match skill.skill {
            Skill::Smash => expected.arrives_in_ticks <= SMASH_TICKS,
            // Only if walking would be too late.
            Skill::Dash => {
                let walk_s = ((expected.y - own_y).abs() - 2.0 * DEAD_ZONE) / world.paddle_speed();
                dir != Dir::Stay && walk_s * f64::from(TICK_HZ) > f64::from(expected.arrives_in_ticks)
            }
        }
    }
}

/// Where a ball is that would be at `y` if there were no walls.
fn bounced(y: f64) -> f64 {
    let [top, bottom] = BALL_Y;
    let height = bottom - top;
    // Two walls make a pattern that repeats after going there and back.
    let along = (y - top).rem_euclid(2.0 * height);
    top + if along <= height { along } else { 2.0 * height - along }
}

fn steer(y: f64, target: f64, held: Dir) -> Dir {
    let off = target - y;
    let near = if held == Dir::Stay { DEAD_ZONE + HYSTERESIS } else { DEAD_ZONE - HYSTERESIS };
    if off.abs() <= near {
        Dir::Stay
    } else if off < 0.0 {
        Dir::Up
    } else {
        Dir::Down
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flight_is_folded_at_the_walls() {
        assert_eq!(bounced(500.0), 500.0);
        assert_eq!(bounced(15.0 - 100.0), 115.0);
        assert_eq!(bounced(1065.0 + 100.0), 965.0);
        assert_eq!(bounced(15.0 + 2.0 * 1050.0 + 7.0), 22.0);
    }

    #[test]
    fn it_starts_late_and_stops_early_so_that_it_does_not_tremble() {
        assert_eq!(steer(500.0, 530.0, Dir::Stay), Dir::Stay);
        assert_eq!(steer(500.0, 535.0, Dir::Stay), Dir::Down);
        assert_eq!(steer(500.0, 520.0, Dir::Down), Dir::Down);
        assert_eq!(steer(500.0, 512.0, Dir::Down), Dir::Stay);
        assert_eq!(steer(500.0, 465.0, Dir::Stay), Dir::Up);
    }

    #[test]
    fn what_it_expects_is_where_the_ball_arrives() {
        let mut bot = Bot::new(Side::Right, Level::Hard, 1);
        bot.habits = Habits { misjudges: 0.0, misjudges_fast: 0.0, ..bot.habits };
        let mut ball = Ball::new(300.0, 200.0, 700.0, -600.0);
        bot.look(&[ball]);
        let expected = bot.expected.expect("it comes this way");
        // The same flight, in sub-steps; walls are met up to 2.5 u late.
        let mut ticks = 0;
        while ball.x + BALL_RADIUS < Side::Right.paddle_x()[0] {
            ball.x += ball.vx / 240.0;
            ball.y += ball.vy / 240.0;
            if ball.y < BALL_Y[0] || ball.y > BALL_Y[1] {
                ball.vy = -ball.vy;
            }
            ticks += 1;
        }
        assert!((expected.y - ball.y).abs() < 15.0, "{expected:?} {ball:?}");
        assert!((expected.arrives_in_ticks - ticks / 4).abs() <= 1);
    }

    #[test]
    fn it_acts_on_its_last_look_alone() {
        let mut bot = Bot::new(Side::Right, Level::Normal, 1);
        bot.look(&[Ball::new(300.0, 200.0, 700.0, 0.0)]);
        let before = bot.expected.expect("it comes").y;
        bot.look_in_ticks = 30;
        let elsewhere = World::with_ball(1, rally_sim::Rules::default(), Ball::new(900.0, 1000.0, 700.0, 0.0));
        for _ in 0..30 {
            bot.think(&elsewhere);
            assert_eq!(bot.expected.expect("still").y, before);
        }
        bot.think(&elsewhere);
        assert!(bot.expected.expect("seen").y > 900.0);
    }
}
