//! Time, field, paddles and balls, row by row of the rules.

use rally_sim::{Ball, Dir, Event, Events, Rules, Side, World, field};
use rally_units::SubStep;

use crate::scene::{IDLE, Scene, assert_close};

#[test]
fn a_tick_is_four_sub_steps_of_1_240_s() {
    let mut world = World::with_ball(1, Rules::default(), IDLE);
    world.tick(&mut Events::new());
    assert_eq!(world.clock(), SubStep(4));
    assert_eq!(world.balls()[0].x, 960.0 - 600.0 / 60.0);
}

#[test]
fn a_match_begins_with_a_level_serve_from_the_centre_to_either_side() {
    let mut to_the_left = 0;
    for seed in 0..1_000 {
        let world = World::new(seed, Rules::default());
        let [ball] = world.balls() else { panic!("one ball") };
        assert_eq!((ball.x, ball.y, ball.vx.abs(), ball.vy), (960.0, 540.0, 600.0, 0.0));
        assert_eq!(world.paddles().map(|paddle| paddle.y), [540.0; 2]);
        to_the_left += u32::from(ball.vx < 0.0);
    }
    assert!((400..600).contains(&to_the_left), "{to_the_left} of 1000");
}

#[test]
fn a_wall_stops_the_ball_and_turns_it_inward() {
    let mut scene = Scene::balls(&[Ball::new(960.0, 20.0, 300.0, -1440.0)]);
    scene.run(1);
    assert_eq!((scene.ball().y, scene.ball().vy), (15.0, 1440.0));
    assert_eq!(scene.ball().vx, 300.0);

    let mut scene = Scene::balls(&[Ball::new(960.0, 1060.0, 300.0, 1440.0)]);
    scene.run(1);
    assert_eq!((scene.ball().y, scene.ball().vy), (1065.0, -1440.0));
}

#[test]
fn a_paddle_is_as_fast_as_the_fastest_ball_allows() {
    for (speed, expected) in [(600.0, 400.0), (1000.0, 600.0), (1500.0, 900.0)] {
        let mut scene = Scene::balls(&[Ball::new(960.0, 300.0, 500.0, 0.0), Ball::new(960.0, 900.0, 0.0, -speed)]);
        scene.hold(Side::Left, Dir::Up).hold(Side::Right, Dir::Down).run(1);
        assert_close(scene.world.paddle_speed(), expected);
        let [left, right] = scene.world.paddles();
        assert_close(left.y, 540.0 - expected / 240.0);
        assert_close(right.y, 540.0 + expected / 240.0);
    }
}

#[test]
fn a_direction_is_held_until_the_next_input() {
    let mut scene = Scene::balls(&[IDLE]);
    scene.hold(Side::Right, Dir::Up).run(12);
    assert_close(scene.world.paddles()[1].y, 520.0);
    scene.hold(Side::Right, Dir::Stay).run(12);
    assert_close(scene.world.paddles()[1].y, 520.0);
}

#[test]
fn a_lost_player_s_paddle_stops_at_once() {
    let mut scene = Scene::balls(&[IDLE]);
    scene.hold(Side::Left, Dir::Up).run(12);
    scene.world.halt(Side::Left);
    scene.run(12);
    assert_close(scene.world.paddles()[0].y, 520.0);
}

#[test]
fn a_paddle_stays_between_the_walls() {
    let mut scene = Scene::balls(&[Ball::new(960.0, 540.0, 0.0, 600.0)]);
    scene.hold(Side::Left, Dir::Up).hold(Side::Right, Dir::Down).run(600);
    assert_eq!(scene.world.paddles().map(|paddle| paddle.y), [50.0, 1030.0]);
}

#[test]
fn touching_counts_as_a_hit_and_leaves_a_gap() {
    // After one sub-step the ball's edge is at x = 45, exactly on the paddle.
    let mut scene = Scene::balls(&[Ball::new(62.5, 540.0, -600.0, 0.0)]);
    scene.run(1);
    assert_eq!(scene.log, [(0, Event::Hit { side: Side::Left, speed: 630.0, smash: false })]);
    assert_close(scene.ball().x, 60.01);
    assert_close(scene.ball().vx, 630.0);

    let mut scene = Scene::balls(&[Ball::new(62.500001, 540.0, -600.0, 0.0)]);
    scene.run(1);
    assert_eq!(scene.log, []);
}

#[test]
fn the_place_of_the_hit_decides_the_direction() {
    for (offset, degrees) in [(0.0, 0.0), (25.0, 22.5), (-25.0, -22.5), (50.0, 45.0), (-50.0, -45.0)] {
        for side in Side::ALL {
            let [left, right] = side.paddle_x();
            let front = if side == Side::Left { right + 16.0 } else { left - 16.0 };
            let mut scene = Scene::balls(&[Ball::new(front, 540.0 + offset, -side.forward() * 1000.0, 0.0)]);
            scene.run(1);
            let (sin, cos) = libm::sincos(f64::to_radians(degrees));
            assert_close(scene.ball().vx, side.forward() * 1050.0 * cos);
            assert_close(scene.ball().vy, 1050.0 * sin);
        }
    }
}

#[test]
fn a_corner_moves_the_ball_out_along_the_contact_normal() {
    // The nearest point is the corner (45, 590); the ball stands 3-4-5 off it, 10 u away, and moves too little to matter.
    let mut scene = Scene::balls(&[Ball::new(51.0, 598.0, -1e-6, 0.0)]);
    scene.run(1);
    let ball = scene.ball();
    assert!((ball.x - (45.0 + 0.6 * 15.01)).abs() < 1e-6, "{ball:?}");
    assert!((ball.y - (590.0 + 0.8 * 15.01)).abs() < 1e-6, "{ball:?}");
    assert!(ball.vx > 0.0 && ball.vy > 0.0, "it flies away from the paddle, 45 degrees down: {ball:?}");
}

#[test]
fn each_hit_makes_the_ball_faster_up_to_1500() {
    let mut scene = Scene::balls(&[IDLE]);
    let mut expected = 600.0;
    for _ in 0..25 {
        scene.until(|event| matches!(event, Event::Hit { .. }));
        expected = f64::min(expected * 1.05, 1500.0);
        assert_close(scene.ball().speed(), expected);
    }
    assert_close(expected, 1500.0);
}

#[test]
fn a_paddle_does_not_hit_twice_until_the_ball_is_2_u_clear() {
    // Hit by the lower corner, a slow ball is moved to below the paddle, which comes after it: they overlap for long.
    let mut scene = Scene::balls(&[Ball::new(51.0, 598.0, -100.0, 0.0)]);
    scene.hold(Side::Left, Dir::Down);
    let mut overlaps = 0;
    for _ in 0..20 {
        scene.run(1);
        let (ball, paddle) = (scene.ball(), scene.world.paddles()[0]);
        let (dx, dy) = (ball.x - ball.x.clamp(30.0, 45.0), ball.y - ball.y.clamp(paddle.y - 50.0, paddle.y + 50.0));
        overlaps += u32::from(libm::hypot(dx, dy) <= 15.0);
    }
    assert!(overlaps > 3, "there was time to hit again: {overlaps}");
    assert_eq!(scene.times(|event| matches!(event, Event::Hit { .. })), [0]);
    assert_close(scene.ball().speed(), 105.0);
}

#[test]
fn a_ball_between_a_paddle_and_the_wall_stays_on_the_field() {
    // The paddle comes up and has no room to move the ball out.
    let mut scene = Scene::balls(&[Ball::new(37.0, 15.0, 0.0, 0.0)]);
    scene.hold(Side::Left, Dir::Up);
    scene.until(|event| matches!(event, Event::Hit { .. }));
    assert_eq!(scene.ball().y, 15.0);
    scene.run(100);
    assert_eq!(scene.ball().y, 15.0);
}

#[test]
fn a_ball_that_was_clear_can_be_hit_by_the_same_paddle_again() {
    // A second ball throws the first back, straight after its hit.
    let mut scene = Scene::balls(&[Ball::new(62.0, 540.0, -600.0, 0.0), Ball::new(140.0, 540.0, -600.0, 0.0)]);
    scene.run(60);
    let hits = scene.times(|event| matches!(event, Event::Hit { side: Side::Left, .. }));
    assert_eq!(hits.len(), 2, "{:?}", scene.log);
}

#[test]
fn two_balls_that_meet_exchange_their_speeds_along_the_normal() {
    // Head on, they swap; what is along the tangent (y) stays with each.
    let mut scene = Scene::balls(&[Ball::new(944.0, 540.0, 600.0, 120.0), Ball::new(974.0, 540.0, -480.0, 120.0)]);
    scene.run(1);
    let [a, b] = scene.world.balls() else { panic!("two balls") };
    assert_eq!((a.vx, a.vy), (-480.0, 120.0));
    assert_eq!((b.vx, b.vy), (600.0, 120.0));
    // Centres were 25.5 u apart after their flight: overlap 4.5, so each is moved out by 2.25 + 0.5.
    assert_close(a.x, 946.5 - 2.75);
    assert_close(b.x, 972.0 + 2.75);
    assert_close(a.y, 540.5);
}

#[test]
fn an_oblique_exchange_keeps_momentum_and_energy() {
    let (a, b) = (Ball::new(900.0, 500.0, 700.0, 300.0), Ball::new(918.0, 520.0, -650.0, -100.0));
    let mut scene = Scene::balls(&[a, b]);
    scene.run(1);
    let [c, d] = scene.world.balls() else { panic!("two balls") };
    assert_ne!((c.vx, c.vy), (a.vx, a.vy));
    assert_close(c.vx + d.vx, a.vx + b.vx);
    assert_close(c.vy + d.vy, a.vy + b.vy);
    let energy = |balls: [&Ball; 2]| balls.map(|ball| ball.speed() * ball.speed()).iter().sum::<f64>();
    assert!((energy([&a, &b]) - energy([c, d])).abs() < 1e-6);
}

#[test]
fn an_exchange_makes_no_ball_faster_than_1500() {
    // The first would take over all of the second's speed and keep its own along the tangent: 2121 in all.
    let mut scene = Scene::balls(&[Ball::new(900.0, 500.0, 0.0, 1500.0), Ball::new(920.0, 506.25, -1500.0, 0.0)]);
    scene.run(1);
    assert!(scene.world.balls()[0].speed() > 1499.0, "{:?}", scene.world.balls());
    assert!(scene.world.balls().iter().all(|ball| ball.speed() <= field::BALL_SPEED_MAX + 1e-9));
}

#[test]
fn balls_that_part_already_do_not_exchange() {
    let mut scene = Scene::balls(&[Ball::new(950.0, 540.0, -600.0, 0.0), Ball::new(970.0, 540.0, 600.0, 0.0)]);
    scene.run(1);
    let [a, b] = scene.world.balls() else { panic!("two balls") };
    assert_eq!((a.vx, b.vx), (-600.0, 600.0));
    assert!(b.x - a.x >= 31.0, "they are still moved apart");
}

#[test]
fn balls_that_meet_at_a_wall_stay_on_the_field() {
    for (wall, other) in [(15.0, 30.0), (1065.0, 1050.0)] {
        let mut scene = Scene::balls(&[Ball::new(960.0, wall, 0.0, 0.0), Ball::new(960.0, other, 0.0, 0.0)]);
        scene.run(1);
        assert_eq!(scene.world.balls()[0].y, wall);
    }
}
