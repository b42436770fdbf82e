//! The only place where wire types meet rule types.
//!
//! Lengths become integers in 1/16 u and velocities integers in u/s, both rounded to the nearest; sub-steps become
//! ticks, rounded up, so that what still acts is never shown as over.

use rally_protocol::{
    Bounded,
    client::{
        codec::Message,
        v1::{
            BallState, Dir, EffectState, EndReason, EventKind, MatchEvent, PaddleState, Phase, PowerUp, PowerUpState,
            Side, Skill, SkillState, Snapshot,
        },
    },
    cluster::v1::InputRecord,
};
use rally_sim as sim;
use rally_units::{Epoch, MatchId, SUB_STEPS_PER_TICK, Tick};
use smallvec::SmallVec;

use crate::{
    log::Action,
    referee::{Happening, Reason, Stage},
};

pub(crate) const fn side_to_wire(side: sim::Side) -> Side {
    match side {
        sim::Side::Left => Side::Left,
        sim::Side::Right => Side::Right,
    }
}

pub(crate) const fn side_to_rules(side: Side) -> sim::Side {
    match side {
        Side::Left => sim::Side::Left,
        Side::Right => sim::Side::Right,
    }
}

pub(crate) const fn skill_to_wire(skill: sim::Skill) -> Skill {
    match skill {
        sim::Skill::Smash => Skill::Smash,
        sim::Skill::Dash => Skill::Dash,
    }
}

pub(crate) const fn skill_to_rules(skill: Skill) -> sim::Skill {
    match skill {
        Skill::Smash => sim::Skill::Smash,
        Skill::Dash => sim::Skill::Dash,
    }
}

pub(crate) const fn power_up_to_wire(kind: sim::PowerUpKind) -> PowerUp {
    match kind {
        sim::PowerUpKind::Split => PowerUp::Split,
        sim::PowerUpKind::Blackout => PowerUp::Blackout,
        sim::PowerUpKind::Blackhole => PowerUp::Blackhole,
    }
}

const fn dir_to_wire(dir: sim::Dir) -> Dir {
    match dir {
        sim::Dir::Up => Dir::Up,
        sim::Dir::Stay => Dir::Stay,
        sim::Dir::Down => Dir::Down,
    }
}

const fn dir_to_rules(dir: Dir) -> sim::Dir {
    match dir {
        Dir::Up => sim::Dir::Up,
        Dir::Stay => sim::Dir::Stay,
        Dir::Down => sim::Dir::Down,
    }
}

pub(crate) const fn reason_to_wire(reason: Reason) -> EndReason {
    match reason {
        Reason::Score => EndReason::Score,
        Reason::Timeout => EndReason::Timeout,
        Reason::Forfeit => EndReason::Forfeit,
        Reason::NoShow => EndReason::NoShow,
        Reason::Abandoned => EndReason::Abandoned,
    }
}

pub(crate) const fn phase(stage: Stage) -> Phase {
    match stage {
        Stage::Waiting => Phase::Waiting,
        Stage::Countdown { .. } => Phase::Countdown,
        Stage::Playing => Phase::Playing,
        Stage::Paused { .. } => Phase::Paused,
        Stage::Finished(_) => Phase::Finished,
    }
}

pub(crate) const fn input_to_action(input: InputRecord) -> Action {
    Action::Input { side: side_to_rules(input.side), dir: dir_to_rules(input.dir), press: input.press }
}

/// A length on the wire: 1/16 u. The field is 30,720 of them wide, and a ball leaves it by less than 100.
fn length(u: f64) -> i16 {
    (u * 16.0).round() as i16
}

/// A velocity on the wire: u/s.
fn velocity(u_per_s: f64) -> i16 {
    u_per_s.round() as i16
}

const fn ticks(sub_steps: u16) -> u16 {
    sub_steps.div_ceil(SUB_STEPS_PER_TICK as u16)
}

/// All that a snapshot is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) id: MatchId,
    pub(crate) tick: Tick,
    pub(crate) epoch: Epoch,
    pub(crate) phase: Phase,
    pub(crate) ack: [u32; 2],
    /// Who collected the split that acts now.
    pub(crate) split_by: Option<sim::Side>,
    /// Goals that have been told.
    pub(crate) score: [u8; 2],
    pub(crate) world: &'a sim::World,
}

impl View<'_> {
    fn paddles(&self) -> [PaddleState; 2] {
        self.world.paddles().map(|paddle| (length(paddle.y), dir_to_wire(paddle.dir)))
    }

    fn balls(&self) -> impl ExactSizeIterator<Item = BallState> {
        let balls = self.world.balls().iter();
        balls.map(|ball| (length(ball.x), length(ball.y), velocity(ball.vx), velocity(ball.vy)))
    }

    fn skills(&self) -> [SkillState; 2] {
        self.world.skills().map(|skill| (ticks(skill.cooldown_sub_steps), ticks(skill.active_sub_steps)))
    }

    /// A power-up's id is the sub-step at which it will expire: as one counts up the other counts down, so it stays the
    /// same, and no two appear at once. 16 bits of it last for 273 s, a power-up for 9.
    fn power_ups(&self) -> impl ExactSizeIterator<Item = PowerUpState> {
        let clock = self.world.clock().0;
        self.world.power_ups().iter().map(move |power_up| {
            let id = clock.wrapping_add(u32::from(power_up.remaining_sub_steps)) as u16;
            let kind = power_up_to_wire(power_up.kind);
            (id, kind, length(power_up.x), length(power_up.y), ticks(power_up.remaining_sub_steps))
        })
    }

    fn effects(&self) -> SmallVec<[EffectState; 4]> {
        let effects = self.world.effects();
        let [left, right] = effects.blackout_sub_steps;
        [
            (PowerUp::Split, self.split_by.map(side_to_wire), effects.split_sub_steps),
            (PowerUp::Blackout, Some(Side::Left), left),
            (PowerUp::Blackout, Some(Side::Right), right),
            (PowerUp::Blackhole, None, effects.blackhole_sub_steps),
        ]
        .into_iter()
        .filter(|(.., sub_steps)| *sub_steps > 0)
        .map(|(kind, side, sub_steps)| (kind, side, ticks(sub_steps)))
        .collect()
    }
}

/// The snapshot as a message, for `match_joined`.
pub(crate) fn snapshot(view: &View<'_>) -> Snapshot {
    Snapshot {
        match_id: view.id,
        tick: view.tick,
        clock: view.world.clock(),
        epoch: view.epoch,
        phase: view.phase,
        ack: view.ack,
        paddles: view.paddles(),
        balls: bounded(view.balls().collect()),
        score: view.score,
        skills: view.skills(),
        power_ups: bounded(view.power_ups().collect()),
        effects: bounded(view.effects().into_vec()),
    }
}

/// The bounds of the wire are those of the rules.
fn bounded<T, const MAX: usize>(items: Vec<T>) -> Bounded<T, MAX> {
    let bounded = Bounded::try_from(items);
    debug_assert!(bounded.is_ok(), "the rules allow more than the wire does");
    bounded.unwrap_or_default()
}

const _: () = {
    use rally_protocol::limits;
    assert!(sim::BALLS_MAX <= limits::BALLS_MAX);
    assert!(sim::POWER_UPS_MAX <= limits::POWER_UPS_MAX);
    assert!(4 <= limits::EFFECTS_MAX);
};

/// Appends the snapshot as a finished msgpack message. Written by hand, since it goes out 60 times a second for each
/// match: the generic way allocates the lists first. A test holds it to the same bytes.
pub(crate) fn write_snapshot(view: &View<'_>, out: &mut Vec<u8>) {
    let mut out = Msgpack(out);
    out.array(Snapshot::SHAPE.fields.len() + 1);
    out.uint(Snapshot::SHAPE.number);
    out.id(view.id);
    out.uint(view.tick.0);
    out.uint(view.world.clock().0);
    out.uint(view.epoch.0);
    out.uint(view.phase.number());
    out.array(2);
    for ack in view.ack {
        out.uint(ack);
    }
    out.array(2);
    for (y, dir) in view.paddles() {
        out.array(2);
        out.int(y);
        out.int(i8::from(dir));
    }
    let balls = view.balls();
    out.array(balls.len());
    for (x, y, vx, vy) in balls {
        out.array(4);
        for value in [x, y, vx, vy] {
            out.int(value);
        }
    }
    out.array(2);
    for score in view.score {
        out.uint(score);
    }
    out.array(2);
    for (cooldown, active) in view.skills() {
        out.array(2);
        out.uint(cooldown);
        out.uint(active);
    }
    let power_ups = view.power_ups();
    out.array(power_ups.len());
    for (id, kind, x, y, left) in power_ups {
        out.array(5);
        out.uint(id);
        out.uint(kind.number());
        out.int(x);
        out.int(y);
        out.uint(left);
    }
    let effects = view.effects();
    out.array(effects.len());
    for (kind, side, left) in effects {
        out.array(3);
        out.uint(kind.number());
        match side {
            Some(side) => out.uint(side.number()),
            None => out.nil(),
        }
        out.uint(left);
    }
}

/// Writing to memory cannot fail.
struct Msgpack<'a>(&'a mut Vec<u8>);

impl Msgpack<'_> {
    fn array(&mut self, len: usize) {
        let written = rmp::encode::write_array_len(self.0, len as u32);
        debug_assert!(written.is_ok());
    }

    fn uint(&mut self, value: impl Into<u64>) {
        let written = rmp::encode::write_uint(self.0, value.into());
        debug_assert!(written.is_ok());
    }

    fn int(&mut self, value: impl Into<i64>) {
        let written = rmp::encode::write_sint(self.0, value.into());
        debug_assert!(written.is_ok());
    }

    fn nil(&mut self) {
        let written = rmp::encode::write_nil(self.0);
        debug_assert!(written.is_ok());
    }

    fn id(&mut self, id: MatchId) {
        let written = rmp::encode::write_bin(self.0, id.as_bytes());
        debug_assert!(written.is_ok());
    }
}

/// The event for something that happened; `None` where there is none. `score` is the one after it.
///
/// Where a ball was hit is taken from the world after the tick, at most 3 sub-steps later: near enough for a spark.
pub(crate) fn event(
    happening: Happening,
    world: &sim::World,
    score: [u8; 2],
    match_id: MatchId,
    tick: Tick,
    n: u32,
) -> Option<MatchEvent> {
    use EventKind as Kind;
    let wire = |side: sim::Side| Some(side_to_wire(side));
    let blank = |kind| blank_event(kind, match_id, tick, n);
    Some(match happening {
        Happening::Ready(side) => MatchEvent { side: wire(side), ..blank(Kind::Ready) },
        Happening::Countdown { left_s } => MatchEvent { value: Some(left_s), ..blank(Kind::Countdown) },
        Happening::Go => blank(Kind::Go),
        Happening::Paused { by, pauses_left } => {
            MatchEvent { side: by.and_then(wire), value: by.map(|_| u32::from(pauses_left)), ..blank(Kind::Paused) }
        }
        Happening::Resumed { by } => MatchEvent { side: by.and_then(wire), ..blank(Kind::Resumed) },
        Happening::Away { side, left_s } => {
            MatchEvent { side: wire(side), value: Some(u32::from(left_s)), ..blank(Kind::Away) }
        }
        Happening::Back { side, left_s } => {
            MatchEvent { side: wire(side), value: Some(u32::from(left_s)), ..blank(Kind::Back) }
        }
        Happening::Played { event, .. } => match event {
            sim::Event::Goal { scorer, y } => {
                MatchEvent { side: wire(scorer), y: Some(length(y)), score: Some(score), ..blank(Kind::Goal) }
            }
            sim::Event::Hit { side, speed, .. } => MatchEvent {
                side: wire(side),
                y: Some(length(hit_y(world, side))),
                value: Some(speed.round() as u32),
                ..blank(Kind::Hit)
            },
            sim::Event::SkillUsed { side, skill } => {
                MatchEvent { side: wire(side), skill: Some(skill_to_wire(skill)), ..blank(Kind::Skill) }
            }
            sim::Event::PowerUpCollected { side, kind, .. } => {
                MatchEvent { side: wire(side), power_up: Some(power_up_to_wire(kind)), ..blank(Kind::PowerUp) }
            }
            // The snapshot shows these.
            sim::Event::Served { .. }
            | sim::Event::SmashHit { .. }
            | sim::Event::PowerUpSpawned { .. }
            | sim::Event::PowerUpExpired { .. }
            | sim::Event::SplitEnded => return None,
        },
    })
}

/// The match is over, and its result is being recorded.
pub(crate) fn result_pending(match_id: MatchId, tick: Tick, n: u32) -> MatchEvent {
    blank_event(EventKind::ResultPending, match_id, tick, n)
}

/// The match goes on at another worker.
pub(crate) fn moved(match_id: MatchId, tick: Tick, n: u32) -> MatchEvent {
    blank_event(EventKind::Moved, match_id, tick, n)
}

const fn blank_event(event: EventKind, match_id: MatchId, tick: Tick, n: u32) -> MatchEvent {
    MatchEvent { match_id, tick, n, event, side: None, value: None, y: None, score: None, skill: None, power_up: None }
}

/// Where the ball is that this side has just hit: of those it hit last, the one nearest to its paddle.
fn hit_y(world: &sim::World, side: sim::Side) -> f64 {
    let [left, right] = side.paddle_x();
    let middle = (left + right) / 2.0;
    let hit = world.balls().iter().filter(|ball| ball.last_hitter == Some(side));
    let nearest = hit.min_by(|a, b| (a.x - middle).abs().total_cmp(&(b.x - middle).abs()));
    nearest.map_or(world.paddles()[side.index()].y, |ball| ball.y)
}
