//! The world follows recordings of the old game, so that its players find the same game. `oracle/README.md` says
//! what is in the files.

use rally_sim::{Ball, Dir, Event, Events, Input, Rules, Side, Skill, World};
use rally_units::SubStep;
use serde::Deserialize;
use serde_json::Value;

/// How far a sample may be off, in its own unit.
const TOLERANCE: f64 = 1e-6;

#[derive(Deserialize)]
struct Recording {
    ball: Start,
    skills: [Name; 2],
    inputs: Vec<(u32, Name, i8, bool)>,
    events: Vec<Vec<Value>>,
    samples: Vec<[f64; 10]>,
}

#[derive(Deserialize)]
struct Start {
    x: f64,
    y: f64,
    vx: f64,
    vy: f64,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Name {
    Left,
    Right,
    Smash,
    Dash,
}

impl Name {
    fn side(self) -> Side {
        match self {
            Self::Left => Side::Left,
            Self::Right => Side::Right,
            Self::Smash | Self::Dash => panic!("a skill where a side belongs"),
        }
    }

    fn skill(self) -> Skill {
        match self {
            Self::Smash => Skill::Smash,
            Self::Dash => Skill::Dash,
            Self::Left | Self::Right => panic!("a side where a skill belongs"),
        }
    }
}

/// A recorded event: its sub-step, its name, its side, and a goal's y.
type Mark = (u32, &'static str, Side, Option<f64>);

fn mark((SubStep(at), event): (SubStep, Event)) -> Option<Mark> {
    match event {
        Event::Hit { side, .. } => Some((at, "hit", side, None)),
        Event::SmashHit { side } => Some((at, "smash", side, None)),
        Event::Goal { scorer, y } => Some((at, "goal", scorer, Some(y))),
        _ => None,
    }
}

/// What the samples hold besides their sub-step.
fn sample(world: &World) -> [f64; 9] {
    let [ball] = world.balls() else { panic!("recordings have one ball") };
    let [left, right] = world.paddles();
    let [score_left, score_right] = world.score().map(f64::from);
    [ball.x, ball.y, ball.vx, ball.vy, left.y, right.y, world.paddle_speed(), score_left, score_right]
}

fn follow(json: &str) {
    let recording: Recording = serde_json::from_str(json).unwrap();
    let rules = Rules { skills: recording.skills.map(Name::skill), ..Rules::default() };
    let Start { x, y, vx, vy } = recording.ball;
    let mut world = World::with_ball(1, rules, Ball::new(x, y, vx, vy));
    let mut events = Events::new();
    let mut marks = Vec::new();
    let mut inputs = recording.inputs.iter().peekable();
    let end = recording.events.iter().map(|event| event[0].as_u64().unwrap() as u32 + 1);
    let end = end.chain(recording.samples.iter().map(|sample| sample[0] as u32)).max().unwrap();
    let mut samples = recording.samples.iter().peekable();
    loop {
        let SubStep(now) = world.clock();
        if let Some(expected) = samples.next_if(|sample| sample[0] as u32 == now) {
            for (field, (actual, expected)) in sample(&world).iter().zip(&expected[1..]).enumerate() {
                let error = (actual - expected).abs();
                assert!(error <= TOLERANCE, "sub-step {now}, field {field}: {actual}, recorded {expected}");
            }
        }
        if now == end {
            break;
        }
        while let Some((_, side, dir, press)) = inputs.next_if(|input| input.0 == now) {
            world.apply(side.side(), Input { dir: Dir::try_from(*dir).unwrap(), press: *press });
        }
        world.sub_step(&mut events);
        marks.extend(events.iter().filter_map(mark));
    }
    assert_eq!(samples.next(), None, "every sample is compared");
    assert_eq!(inputs.next().map(|input| input.0), None, "every input is applied");

    assert_eq!(marks.len(), recording.events.len(), "{marks:?}");
    for (mark, recorded) in marks.iter().zip(&recording.events) {
        let (at, name, side, y) = mark;
        assert_eq!(recorded[0], *at, "{mark:?}");
        assert_eq!(recorded[1], *name, "{mark:?}");
        assert_eq!(recorded[2], format!("{side:?}").to_lowercase(), "{mark:?}");
        if let Some(y) = y {
            let error = (recorded[3].as_f64().unwrap() - y).abs();
            assert!(error <= TOLERANCE, "{mark:?}, recorded {recorded:?}");
        }
    }
}

#[test]
fn a_serve_to_the_left_comes_back() {
    follow(include_str!("../oracle/serve-left.json"));
}

#[test]
fn a_ball_off_the_edge_of_a_paddle_leads_to_a_goal() {
    follow(include_str!("../oracle/paddle-edge.json"));
}

#[test]
fn a_rally_of_half_a_minute() {
    follow(include_str!("../oracle/rally.json"));
}

#[test]
fn a_rally_with_smashes_and_dashes() {
    follow(include_str!("../oracle/smash-dash.json"));
}
