//! A world as bytes and back, and the hash by which two machines know that they agree.
//!
//! The bytes are canonical: equal worlds save to equal bytes, and the hash is taken from them. Numbers are
//! little-endian; a float is its 64 bits. The head names the version of this layout; whoever changes the layout
//! raises it. What is restored comes from elsewhere and is checked field by field, so that no bytes can make a world
//! that the rules could not play on with.

use arrayvec::ArrayVec;
use rally_units::{Rng, SubStep};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    BALLS_MAX, Ball, Dir, Effects, POWER_UPS_MAX, Paddle, PowerUp, PowerUpKind, Rules, Side, Skill, SkillState, World,
    field::{BALL_RADIUS, BALL_SPEED_MAX, BALL_Y, HEIGHT, PADDLE_Y, WIDTH},
    rules::{paddle, power_ups},
};

/// Version of the layout.
const LAYOUT: u16 = 1;

const HEAD_BYTES: usize = 2 + 1 + 2 + 1 + 4 + 8 + 2 + 2 * (8 + 2) + 8 + 2 * (2 + 2 + 1) + 2 + 2 * 2 + 2 + 2;
const BALL_BYTES: usize = 4 * 8 + 2;
const POWER_UP_BYTES: usize = 1 + 2 * 8 + 2;

/// Most bytes that a saved world has. One with a single ball and nothing else has about a hundred.
pub const SAVE_BYTES_MAX: usize = HEAD_BYTES + 1 + BALLS_MAX * BALL_BYTES + 1 + POWER_UPS_MAX * POWER_UP_BYTES;

/// Latest match clock that a saved world may have: a hundred days of play.
const CLOCK_MAX: u32 = 1 << 31;

/// Rounding may lift a speed over its bound by a few units in the last place.
const SPEED_SLACK: f64 = 1e-6;

/// Why bytes are no world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Another layout, probably of another version of this program.
    #[error("saved in layout {0}, and this is layout {LAYOUT}")]
    Layout(u16),
    /// They end too soon.
    #[error("the bytes end before the world does")]
    Truncated,
    /// They go on after the world.
    #[error("{0} bytes are left over")]
    LeftOver(usize),
    /// A field holds what it never can.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
}

impl World {
    /// Appends the world to `out`: at most [`SAVE_BYTES_MAX`] bytes, for [`World::restore`].
    pub fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes());
    }

    /// Hash of the whole state, the same on every machine.
    pub fn hash(&self) -> u64 {
        xxh3_64(&self.bytes())
    }

    fn bytes(&self) -> ArrayVec<u8, SAVE_BYTES_MAX> {
        let mut out = Writer(ArrayVec::new());
        out.put(LAYOUT.to_le_bytes());
        out.put([u8::from(self.rules.classic)]);
        out.put(self.rules.skills.map(|skill| skill as u8));
        out.put([self.rules.score_to_win]);
        out.put(self.clock.0.to_le_bytes());
        out.put(self.rng.state().to_le_bytes());
        out.put(self.score);
        for paddle in &self.paddles {
            out.float(paddle.y);
            out.put(i8::from(paddle.dir).to_le_bytes());
            out.put([u8::from(paddle.pressed)]);
        }
        out.float(self.paddle_speed);
        for skill in &self.skills {
            out.put(skill.cooldown_sub_steps.to_le_bytes());
            out.put(skill.active_sub_steps.to_le_bytes());
            out.put([u8::from(skill.met)]);
        }
        let [left, right] = self.effects.blackout_sub_steps;
        for timer in
            [self.effects.split_sub_steps, left, right, self.effects.blackhole_sub_steps, self.next_power_up_sub_steps]
        {
            out.put(timer.to_le_bytes());
        }
        out.put([self.balls.len() as u8]);
        for ball in &self.balls {
            for value in [ball.x, ball.y, ball.vx, ball.vy] {
                out.float(value);
            }
            out.put([ball.last_hitter, ball.guard].map(side_to_byte));
        }
        out.put([self.power_ups.len() as u8]);
        for power_up in &self.power_ups {
            out.put([power_up.kind as u8]);
            out.float(power_up.x);
            out.float(power_up.y);
            out.put(power_up.remaining_sub_steps.to_le_bytes());
        }
        out.0
    }

    /// The world that was saved as these bytes.
    ///
    /// # Errors
    /// If they are not what [`World::save`] writes for some state of a match. It never panics, and what it returns
    /// can be played on.
    pub fn restore(bytes: &[u8]) -> Result<Self, RestoreError> {
        let mut from = Reader(bytes);
        let layout = u16::from_le_bytes(from.take()?);
        if layout != LAYOUT {
            return Err(RestoreError::Layout(layout));
        }
        let rules = Rules {
            classic: from.flag("classic")?,
            skills: [from.skill()?, from.skill()?],
            score_to_win: from.byte("score to win", 1, u8::MAX)?,
        };
        let clock = u32::from_le_bytes(from.take()?);
        if clock > CLOCK_MAX {
            return Err(RestoreError::OutOfRange("clock"));
        }
        let rng = Rng::from_seed(u64::from_le_bytes(from.take()?));
        let score = [from.byte("score", 0, rules.score_to_win)?, from.byte("score", 0, rules.score_to_win)?];
        let paddles = [from.paddle()?, from.paddle()?];
        let paddle_speed = from.float("paddle speed", paddle::SPEED)?;
        let skills = [from.skill_state(rules.skills[0])?, from.skill_state(rules.skills[1])?];
        let effects = Effects {
            split_sub_steps: from.timer("split", 0, power_ups::SPLIT)?,
            blackout_sub_steps: [
                from.timer("blackout", 0, power_ups::BLACKOUT)?,
                from.timer("blackout", 0, power_ups::BLACKOUT)?,
            ],
            blackhole_sub_steps: from.timer("blackhole", 0, power_ups::BLACKHOLE)?,
        };
        let next_power_up_sub_steps = from.timer("next power-up", 0, power_ups::WAIT_MAX)?;
        let mut balls = ArrayVec::new();
        for _ in 0..from.byte("balls", 0, BALLS_MAX as u8)? {
            balls.push(from.ball()?);
        }
        let mut power_ups = ArrayVec::new();
        for _ in 0..from.byte("power-ups", 0, POWER_UPS_MAX as u8)? {
            power_ups.push(from.power_up()?);
        }
        if !from.0.is_empty() {
            return Err(RestoreError::LeftOver(from.0.len()));
        }
        let world = Self {
            rules,
            clock: SubStep(clock),
            rng,
            score,
            paddles,
            paddle_speed,
            skills,
            balls,
            power_ups,
            next_power_up_sub_steps,
            effects,
        };
        // Without a ball nothing would ever happen again, and two winners are none.
        if world.balls.is_empty() && world.winner().is_none() {
            return Err(RestoreError::OutOfRange("balls"));
        }
        if score == [rules.score_to_win; 2] {
            return Err(RestoreError::OutOfRange("score"));
        }
        Ok(world)
    }
}

const fn side_to_byte(side: Option<Side>) -> u8 {
    match side {
        None => 0,
        Some(Side::Left) => 1,
        Some(Side::Right) => 2,
    }
}

/// Writes into room that is large enough for every world.
struct Writer(ArrayVec<u8, SAVE_BYTES_MAX>);

impl Writer {
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        let fits = self.0.try_extend_from_slice(&bytes);
        debug_assert!(fits.is_ok(), "SAVE_BYTES_MAX counts every field");
    }

    fn float(&mut self, value: f64) {
        self.put(value.to_bits().to_le_bytes());
    }
}

/// Takes checked fields off the front of untrusted bytes.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], RestoreError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(RestoreError::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    fn byte(&mut self, what: &'static str, low: u8, high: u8) -> Result<u8, RestoreError> {
        let [byte] = self.take()?;
        if (low..=high).contains(&byte) { Ok(byte) } else { Err(RestoreError::OutOfRange(what)) }
    }

    fn flag(&mut self, what: &'static str) -> Result<bool, RestoreError> {
        self.byte(what, 0, 1).map(|byte| byte == 1)
    }

    fn timer(&mut self, what: &'static str, low: u16, high: u16) -> Result<u16, RestoreError> {
        let timer = u16::from_le_bytes(self.take()?);
        if (low..=high).contains(&timer) { Ok(timer) } else { Err(RestoreError::OutOfRange(what)) }
    }

    /// NaN is in no range, so it does not pass.
    fn float(&mut self, what: &'static str, [low, high]: [f64; 2]) -> Result<f64, RestoreError> {
        let value = f64::from_bits(u64::from_le_bytes(self.take()?));
        if (low..=high).contains(&value) { Ok(value) } else { Err(RestoreError::OutOfRange(what)) }
    }

    fn skill(&mut self) -> Result<Skill, RestoreError> {
        Ok(if self.flag("skill")? { Skill::Dash } else { Skill::Smash })
    }

    fn side(&mut self, what: &'static str) -> Result<Option<Side>, RestoreError> {
        Ok(match self.byte(what, 0, 2)? {
            0 => None,
            1 => Some(Side::Left),
            _ => Some(Side::Right),
        })
    }

    fn paddle(&mut self) -> Result<Paddle, RestoreError> {
        Ok(Paddle {
            y: self.float("paddle", PADDLE_Y)?,
            dir: Dir::try_from(i8::from_le_bytes(self.take()?)).map_err(|_| RestoreError::OutOfRange("direction"))?,
            pressed: self.flag("press")?,
        })
    }

    fn skill_state(&mut self, skill: Skill) -> Result<SkillState, RestoreError> {
        Ok(SkillState {
            skill,
            cooldown_sub_steps: self.timer("cooldown", 0, skill.cooldown_sub_steps())?,
            active_sub_steps: self.timer("skill", 0, skill.active_sub_steps())?,
            met: self.flag("smash")?,
        })
    }

    fn ball(&mut self) -> Result<Ball, RestoreError> {
        const OUT: f64 = 4.0 * BALL_RADIUS;
        const SPEED: f64 = BALL_SPEED_MAX + SPEED_SLACK;
        let ball = Ball {
            x: self.float("ball", [-OUT, WIDTH + OUT])?,
            y: self.float("ball", BALL_Y)?,
            vx: self.float("ball", [-SPEED, SPEED])?,
            vy: self.float("ball", [-SPEED, SPEED])?,
            last_hitter: self.side("ball")?,
            guard: self.side("ball")?,
        };
        if ball.speed() <= SPEED { Ok(ball) } else { Err(RestoreError::OutOfRange("ball")) }
    }

    fn power_up(&mut self) -> Result<PowerUp, RestoreError> {
        let kind = self.byte("power-up", 0, PowerUpKind::ALL.len() as u8 - 1)?;
        Ok(PowerUp {
            kind: PowerUpKind::ALL[usize::from(kind)],
            x: self.float("power-up", [0.0, WIDTH])?,
            y: self.float("power-up", [0.0, HEIGHT])?,
            remaining_sub_steps: self.timer("power-up", 1, power_ups::LIFE)?,
        })
    }
}
