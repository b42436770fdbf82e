//! Power-ups, row by row of the rules.

use rally_sim::{BALLS_MAX, Ball, Event, Events, POWER_UPS_MAX, PowerUp, PowerUpKind, Rules, Side, World};
use rally_units::SubStep;

use crate::scene::{Scene, assert_close};

fn collected(event: &Event) -> bool {
    matches!(event, Event::PowerUpCollected { .. })
}

/// A match in which power-ups appear as ever, but with this ball and these power-ups at first.
fn match_with(seed: u64, ball: Ball, power_ups: &[PowerUp]) -> World {
    let save = |world: World| {
        let mut bytes = Vec::new();
        world.save(&mut bytes);
        bytes
    };
    let staged = save(World::staged(seed, Rules::default(), &[ball], power_ups));
    // The balls and power-ups are the last things in the bytes: they are the staged ones, all before is the match's.
    let own = save(World::new(seed, Rules::default()));
    let head = own.len() - save_bytes_of_ball_and_power_ups(0);
    let tail = staged.len() - save_bytes_of_ball_and_power_ups(power_ups.len());
    World::restore(&[&own[..head], &staged[tail..]].concat()).unwrap()
}

/// A count, a ball with two sides, a count, and power-ups with a kind and a time.
fn save_bytes_of_ball_and_power_ups(power_ups: usize) -> usize {
    1 + (4 * 8 + 2) + 1 + power_ups * (1 + 2 * 8 + 2)
}

/// Flies up and down near the right edge, out of every power-up's reach.
const ASIDE: Ball = Ball::new(1850.0, 540.0, 0.0, 600.0);

/// Plays a match for a minute in which nobody takes anything.
fn watch(seed: u64, mut see: impl FnMut(u32, Event, &World)) {
    let mut world = match_with(seed, ASIDE, &[]);
    let mut events = Events::new();
    for _ in 0..240 * 60 {
        world.sub_step(&mut events);
        for (SubStep(at), event) in &events {
            see(at, event, &world);
        }
    }
}

#[test]
fn the_first_comes_after_5_to_15_s_and_one_more_every_6_to_12_s() {
    let (mut earliest, mut latest) = (u32::MAX, 0);
    let (mut shortest, mut longest) = (u32::MAX, 0);
    for seed in 0..300 {
        let mut last = None;
        watch(seed, |at, event, _| {
            if let Event::PowerUpSpawned { .. } = event {
                match last.replace(at) {
                    None => (earliest, latest) = (earliest.min(at), latest.max(at)),
                    Some(before) => (shortest, longest) = (shortest.min(at - before), longest.max(at - before)),
                }
            }
        });
    }
    assert!((5 * 240..=5 * 240 + 48).contains(&earliest), "{earliest}");
    assert!((15 * 240 - 48..=15 * 240).contains(&latest), "{latest}");
    assert!((6 * 240..=6 * 240 + 12).contains(&shortest), "{shortest}");
    assert!((12 * 240 - 12..=12 * 240).contains(&longest), "{longest}");
}

#[test]
fn kinds_are_uniform_and_places_150_u_from_the_edges() {
    let mut kinds = [0_u32; 3];
    let (mut low, mut high) = ([f64::MAX; 2], [f64::MIN; 2]);
    for seed in 0..300 {
        watch(seed, |_, event, world| {
            if let Event::PowerUpSpawned { kind, x, y } = event {
                kinds[PowerUpKind::ALL.iter().position(|k| *k == kind).unwrap()] += 1;
                low = [low[0].min(x), low[1].min(y)];
                high = [high[0].max(x), high[1].max(y)];
                assert!(world.power_ups().iter().any(|power_up| (power_up.x, power_up.y) == (x, y)));
            }
        });
    }
    let all: u32 = kinds.iter().sum();
    assert!(all > 1_500 && kinds.iter().all(|n| (all * 28 / 100..all * 39 / 100).contains(n)), "{kinds:?}");
    assert!(low[0] >= 150.0 && low[0] < 160.0 && low[1] >= 150.0 && low[1] < 160.0, "{low:?}");
    assert!(high[0] <= 1770.0 && high[0] > 1760.0 && high[1] <= 930.0 && high[1] > 920.0, "{high:?}");
}

#[test]
fn one_that_nobody_takes_lives_9_s() {
    for seed in 0..20 {
        let mut spawned = Vec::new();
        let mut expired = Vec::new();
        watch(seed, |at, event, _| match event {
            Event::PowerUpSpawned { .. } => spawned.push(at),
            Event::PowerUpExpired { .. } => expired.push(at),
            _ => {}
        });
        assert!(!expired.is_empty());
        for (spawned, expired) in spawned.iter().zip(&expired) {
            assert_eq!(expired - spawned, 9 * 240);
        }
    }
}

#[test]
fn there_are_at_most_5_on_the_field() {
    // Five that never go are more than can gather by themselves: one appears every 6 s at most and stays for 9.
    let one = PowerUp { kind: PowerUpKind::Split, x: 300.0, y: 300.0, remaining_sub_steps: 2160 };
    let mut due = 0;
    for seed in 0..20 {
        let mut world = match_with(seed, ASIDE, &[one; POWER_UPS_MAX]);
        assert_eq!(world.power_ups().len(), POWER_UPS_MAX);
        let mut events = Events::new();
        for _ in 0..2_159 {
            world.sub_step(&mut events);
            assert_eq!(world.power_ups().len(), POWER_UPS_MAX);
        }
        // An empty field would have seen one by now.
        let mut empty = match_with(seed, ASIDE, &[]);
        for _ in 0..2_159 {
            empty.sub_step(&mut events);
        }
        due += empty.power_ups().len();
    }
    assert!(due > 3, "{due} would have appeared");
}

#[test]
fn classic_mode_has_none() {
    let mut world = World::new(3, Rules { classic: true, ..Rules::default() });
    let mut events = Events::new();
    for _ in 0..240 * 60 {
        world.tick(&mut events);
        assert!(world.power_ups().is_empty());
    }
}

#[test]
fn a_ball_that_touches_one_collects_it() {
    // Radii are 15 and 55. After the first sub-step, which collects before it flies, the ball is 70 u away.
    let mut scene =
        Scene::power_ups(&[Ball::new(1032.5, 540.0, -600.0, 0.0)], &[(PowerUpKind::Blackout, 960.0, 540.0)]);
    assert_eq!(scene.until(collected), 1);
    assert!(scene.world.power_ups().is_empty());
}

#[test]
fn it_goes_to_the_last_hitter_even_where_the_guard_has_gone() {
    // The right player hits the ball; by the middle of the left half it is long clear of his paddle.
    let ball = Ball::new(1855.0, 540.0, 900.0, 0.0);
    let mut scene = Scene::power_ups(&[ball], &[(PowerUpKind::Blackout, 400.0, 540.0)]);
    scene.until(collected);
    let (_, event) = *scene.log.iter().find(|(_, event)| collected(event)).unwrap();
    assert!(matches!(event, Event::PowerUpCollected { side: Side::Right, .. }), "{event:?}");
    assert_eq!(scene.ball().last_hitter, Some(Side::Right));
}

#[test]
fn before_any_hit_it_goes_to_the_half_it_is_in() {
    for (x, side) in [(700.0, Side::Left), (1200.0, Side::Right)] {
        let mut scene = Scene::power_ups(&[Ball::new(x, 540.0, 0.0, 600.0)], &[(PowerUpKind::Blackout, x, 540.0)]);
        scene.run(1);
        assert_eq!(scene.log, [(0, Event::PowerUpCollected { side, kind: PowerUpKind::Blackout, x, y: 540.0 })]);
    }
}

#[test]
fn a_split_adds_a_ball_within_20_degrees_at_the_same_speed() {
    for y in [200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0] {
        let parent = Ball { last_hitter: Some(Side::Left), ..Ball::new(600.0, y, 700.0, 200.0) };
        let mut scene = Scene::power_ups(&[parent], &[(PowerUpKind::Split, 600.0, y)]);
        scene.run(1);
        let [first, second] = scene.world.balls() else { panic!("two balls") };
        assert_close(second.speed(), parent.speed());
        let cos = (first.vx * second.vx + first.vy * second.vy) / (first.speed() * second.speed());
        assert!(cos >= libm::cos(f64::to_radians(20.0)) - 1e-12 && cos < 1.0, "{cos}");
        assert_eq!(second.last_hitter, Some(Side::Left), "it credits whom its parent credits");
    }
}

#[test]
fn splits_make_at_most_10_balls() {
    let balls: Vec<_> = (0..BALLS_MAX).map(|i| Ball::new(600.0, 60.0 + 100.0 * i as f64, 0.0, 600.0)).collect();
    let mut scene = Scene::power_ups(&balls, &[(PowerUpKind::Split, 600.0, 540.0)]);
    scene.run(1);
    assert_eq!(scene.times(collected), [0]);
    assert_eq!(scene.world.balls().len(), BALLS_MAX);
    assert_eq!(scene.world.effects().split_sub_steps, 10 * 240, "its time runs all the same");
}

#[test]
fn a_split_ends_after_10_s_and_keeps_the_ball_with_the_largest_abs_vx() {
    // Up and down, so that none leaves; the third is the fastest towards a goal although not the fastest.
    let balls = [
        Ball::new(500.0, 300.0, 1.0, 600.0),
        Ball::new(700.0, 300.0, -2.0, 900.0),
        Ball::new(900.0, 300.0, -5.0, 300.0),
        Ball::new(1100.0, 300.0, 3.0, 1200.0),
    ];
    let mut scene = Scene::power_ups(&balls, &[(PowerUpKind::Split, 700.0, 300.0)]);
    scene.run(1);
    assert_eq!(scene.world.balls().len(), 5);
    scene.run(10 * 240 - 1);
    assert!(scene.world.balls().len() > 1, "not before its time");
    let fastest = scene.world.balls().iter().map(|ball| ball.vx.abs()).fold(0.0, f64::max);
    scene.run(1);
    assert_eq!(scene.times(|event| matches!(event, Event::SplitEnded)), [10 * 240]);
    assert_eq!(scene.ball().vx.abs(), fastest);
    assert_eq!(scene.world.effects().split_sub_steps, 0);
}

#[test]
fn another_split_starts_its_time_anew() {
    // Balls pass the second one 300 sub-steps later.
    let (first, second) = ((PowerUpKind::Split, 960.0, 300.0), (PowerUpKind::Split, 960.0, 980.0));
    let mut scene = Scene::power_ups(&[Ball::new(960.0, 300.0, 0.0, 480.0)], &[first, second]);
    let ended = scene.until(|event| matches!(event, Event::SplitEnded));
    let times = scene.times(collected);
    assert_eq!(times.len(), 2);
    assert_eq!(ended, times[1] + 10 * 240);
}

#[test]
fn a_blackout_darkens_the_opponent_for_5_s() {
    for side in Side::ALL {
        let ball = Ball { last_hitter: Some(side), ..Ball::new(600.0, 540.0, 0.0, 600.0) };
        let mut scene = Scene::power_ups(&[ball], &[(PowerUpKind::Blackout, 600.0, 540.0)]);
        scene.run(1);
        let dark = |scene: &Scene| scene.world.effects().blackout_sub_steps;
        assert_eq!(dark(&scene)[side.index()], 0);
        assert_eq!(dark(&scene)[side.opponent().index()], 5 * 240);
        scene.run(5 * 240 - 1);
        assert_eq!(dark(&scene)[side.opponent().index()], 1);
        scene.run(1);
        assert_eq!(dark(&scene), [0, 0]);
    }
}

#[test]
fn a_blackhole_bends_for_8_s_and_keeps_speeds() {
    let ball = Ball::new(600.0, 540.0, 0.0, 600.0);
    let mut scene = Scene::power_ups(&[ball], &[(PowerUpKind::Blackhole, 600.0, 540.0)]);
    scene.run(1);
    assert_eq!((scene.ball().vx, scene.ball().vy), (0.0, 600.0), "it works from the next sub-step on");
    assert_eq!(scene.world.effects().blackhole_sub_steps, 8 * 240);
    let mut bent = 0;
    for _ in 0..8 * 240 {
        // A level ball off its wall turns without a blackhole too: count only where direction changes otherwise.
        let before = scene.ball();
        scene.run(1);
        let after = scene.ball();
        if !scene.times(|event| matches!(event, Event::Hit { .. } | Event::Goal { .. })).is_empty() {
            break;
        }
        assert_close(after.speed(), 600.0);
        bent += u32::from(after.vx != before.vx);
    }
    assert!(bent > 240, "{bent}");
}

#[test]
fn a_blackhole_pulls_400_and_swirls_1_and_grows_stronger() {
    let ball = Ball::new(760.0, 540.0, 0.0, 600.0);
    let mut scene = Scene::power_ups(&[ball], &[(PowerUpKind::Blackhole, 760.0, 540.0)]);
    scene.run(1);
    let before = scene.ball();
    scene.run(1);
    let after = scene.ball();
    // Its first sub-step of 1920: the strength is 0.6 + 0.8 / 1920, the direction that to the centre, and swirl is
    // a quarter turn (x to y) from it.
    let strength = (0.6 + 0.8 / 1920.0) / 240.0;
    let (dx, dy) = (960.0 - before.x, 540.0 - before.y);
    let distance = libm::hypot(dx, dy);
    let vx = before.vx + (400.0 * dx - dy) / distance * strength;
    let vy = before.vy + (400.0 * dy + dx) / distance * strength;
    let scale = 600.0 / libm::hypot(vx, vy);
    assert_close(after.vx, vx * scale);
    assert_close(after.vy, vy * scale);
}

#[test]
fn a_blackhole_ends_and_the_ball_flies_straight_again() {
    let ball = Ball::new(600.0, 540.0, 0.0, 600.0);
    let mut scene = Scene::power_ups(&[ball], &[(PowerUpKind::Blackhole, 600.0, 540.0)]);
    scene.run(1 + 8 * 240);
    assert_eq!(scene.world.effects().blackhole_sub_steps, 0);
    let hits = scene.log.len();
    let before = scene.ball();
    scene.run(1);
    if scene.log.len() == hits {
        assert_eq!((scene.ball().vx, scene.ball().vy.abs()), (before.vx, before.vy.abs()));
    }
}
