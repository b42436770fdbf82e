//! Goals, serves and the end of a match, row by row of the rules.

use rally_sim::{Ball, Event, PowerUpKind, Rules, Side, World};

use crate::scene::{Scene, assert_close};

/// A ball on its way out behind this side's line, past its paddle.
fn leaving(behind: Side) -> Ball {
    let x = if behind == Side::Left { -10.0 } else { 1930.0 };
    Ball::new(x, 200.0, -behind.forward() * 600.0, 0.0)
}

#[test]
fn a_goal_needs_the_ball_wholly_behind_the_line() {
    for behind in Side::ALL {
        let mut scene = Scene::balls(&[leaving(behind)]);
        scene.run(1);
        assert_eq!(scene.log, []);
        // From -10 in steps of 2.5: after two it is at -15, all of it behind the line.
        scene.run(1);
        assert_eq!(scene.log[0], (1, Event::Goal { scorer: behind.opponent(), y: 200.0 }));
        assert_eq!(scene.world.score()[behind.opponent().index()], 1);
    }
}

#[test]
fn a_new_serve_follows_the_last_ball_at_once() {
    let mut to_the_left = 0;
    for seed in 0..200 {
        let mut scene = Scene::of(World::with_ball(seed, Rules::default(), leaving(Side::Right)));
        scene.run(2);
        let ball = scene.ball();
        assert_eq!((ball.x, ball.y, ball.vx.abs(), ball.vy), (960.0, 540.0, 600.0, 0.0));
        assert_eq!(ball.last_hitter, None);
        let towards = if ball.vx < 0.0 { Side::Left } else { Side::Right };
        assert_eq!(scene.log[1], (1, Event::Served { towards }));
        to_the_left += u32::from(ball.vx < 0.0);
        scene.run(1);
        assert_close((scene.ball().x - 960.0).abs(), 2.5);
    }
    assert!((70..130).contains(&to_the_left), "{to_the_left} of 200");
}

#[test]
fn only_the_ball_that_is_out_leaves() {
    let mut scene = Scene::balls(&[Ball::new(960.0, 540.0, 0.0, 600.0), leaving(Side::Left)]);
    scene.run(2);
    assert_eq!(scene.world.score(), [0, 1]);
    assert_eq!(scene.ball().x, 960.0);
    assert!(scene.times(|event| matches!(event, Event::Served { .. })).is_empty());
}

#[test]
fn two_balls_out_in_one_sub_step_are_two_goals() {
    let mut scene = Scene::balls(&[leaving(Side::Left), leaving(Side::Right)]);
    scene.run(2);
    assert_eq!(scene.world.score(), [1, 1]);
    assert_eq!(scene.world.balls().len(), 1, "and one serve");
}

#[test]
fn a_split_ends_when_no_ball_is_left() {
    // Touching a power-up on its way out, the ball is split; both leave.
    let ball = Ball { x: -8.0, ..leaving(Side::Left) };
    let mut scene = Scene::power_ups(&[ball], &[(PowerUpKind::Split, 0.0, 200.0)]);
    scene.until(|event| matches!(event, Event::Served { .. }));
    assert_eq!(scene.world.score(), [0, 2]);
    assert_eq!(scene.times(|event| matches!(event, Event::SplitEnded)).len(), 1);
    assert_eq!(scene.world.effects().split_sub_steps, 0);
}

#[test]
fn other_effects_outlast_a_goal() {
    let ball = Ball { x: -8.0, ..leaving(Side::Left) };
    let mut scene = Scene::power_ups(&[ball], &[(PowerUpKind::Blackout, 0.0, 200.0)]);
    scene.until(|event| matches!(event, Event::Served { .. }));
    assert!(scene.world.effects().blackout_sub_steps[1] > 1_000);
}

#[test]
fn eleven_goals_win_without_a_two_point_lead() {
    assert_eq!(Rules::default().score_to_win, 11);
    let rules = Rules { score_to_win: 2, ..Rules::default() };
    let balls = [leaving(Side::Left), leaving(Side::Right), Ball { x: -7.5, y: 700.0, ..leaving(Side::Left) }];
    let mut scene = Scene::of(World::staged(1, rules, &balls, &[]));
    scene.run(2);
    assert_eq!((scene.world.score(), scene.world.winner()), ([1, 1], None));
    scene.run(1);
    assert_eq!((scene.world.score(), scene.world.winner()), ([1, 2], Some(Side::Right)));
}

#[test]
fn nothing_happens_after_the_winning_goal() {
    let rules = Rules { score_to_win: 1, ..Rules::default() };
    // The second ball would score as well, in the same sub-step.
    let mut scene = Scene::of(World::staged(1, rules, &[leaving(Side::Left), leaving(Side::Right)], &[]));
    scene.run(2);
    assert_eq!((scene.world.score(), scene.world.winner()), ([0, 1], Some(Side::Right)));
    let after = scene.world.clone();
    scene.run(240);
    assert_eq!(scene.world, after);
    assert_eq!(scene.log, [(1, Event::Goal { scorer: Side::Right, y: 200.0 })], "no serve either");
}
