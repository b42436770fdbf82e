//! Smash and dash, row by row of the rules.

use rally_sim::{Ball, Dir, Event, Events, Rules, Side, Skill, World};

use crate::scene::{IDLE, Scene, assert_close};

fn used(event: &Event) -> bool {
    matches!(event, Event::SkillUsed { .. })
}

fn smash_hit(event: &Event) -> bool {
    matches!(event, Event::SmashHit { .. })
}

/// A ball that touches the left paddle in the sub-step of this index.
fn due_in(sub_step: u32) -> Ball {
    Ball::new(60.0 + 2.5 * f64::from(sub_step + 1), 540.0, -600.0, 0.0)
}

#[test]
fn smash_is_what_a_player_has_who_chose_nothing() {
    assert_eq!(Rules::default().skills, [Skill::Smash; 2]);
}

#[test]
fn a_smash_makes_a_hit_1_2_times_as_fast() {
    let mut scene = Scene::skill(Skill::Smash, &[due_in(10)]);
    scene.press(Side::Left).run(11);
    let hit = Event::Hit { side: Side::Left, speed: scene.ball().speed(), smash: true };
    assert_eq!(scene.log[1..], [(10, hit), (10, Event::SmashHit { side: Side::Left })]);
    assert_close(scene.ball().speed(), 600.0 * 1.05 * 1.2);
}

#[test]
fn a_smash_makes_no_ball_faster_than_1500() {
    let mut scene = Scene::skill(Skill::Smash, &[Ball::new(65.0, 540.0, -1400.0, 0.0)]);
    scene.press(Side::Left).run(1);
    assert_close(scene.ball().speed(), 1500.0);
}

#[test]
fn the_window_of_a_smash_is_48_sub_steps() {
    for (sub_step, smashed) in [(0, true), (47, true), (48, false)] {
        let mut scene = Scene::skill(Skill::Smash, &[due_in(sub_step)]);
        scene.press(Side::Left).run(sub_step + 1);
        assert_eq!(scene.times(|event| matches!(event, Event::Hit { .. })), [sub_step]);
        assert_eq!(scene.times(smash_hit).len(), usize::from(smashed), "hit in sub-step {sub_step}");
    }
}

#[test]
fn a_smash_speeds_every_ball_of_its_window_and_succeeds_once() {
    let lower = Ball { y: 580.0, ..due_in(20) };
    let mut scene = Scene::skill(Skill::Smash, &[Ball { y: 500.0, ..due_in(10) }, lower]);
    scene.press(Side::Left).run(30);
    let smashes = scene.times(|event| matches!(event, Event::Hit { smash: true, .. }));
    assert_eq!(smashes, [10, 20]);
    assert_eq!(scene.times(smash_hit), [10]);
}

#[test]
fn a_smash_that_met_no_ball_is_used_but_not_successful() {
    let mut scene = Scene::skill(Skill::Smash, &[IDLE]);
    scene.press(Side::Left).run(100);
    assert_eq!(scene.log, [(0, Event::SkillUsed { side: Side::Left, skill: Skill::Smash })]);
}

#[test]
fn a_smash_is_its_own_player_s() {
    let mut scene = Scene::skill(Skill::Smash, &[due_in(10)]);
    scene.press(Side::Right).run(11);
    assert!(scene.times(smash_hit).is_empty());
    assert_close(scene.ball().speed(), 630.0);
}

#[test]
fn a_press_during_the_cooldown_does_nothing_and_is_not_counted() {
    for (skill, cooldown) in [(Skill::Smash, 720), (Skill::Dash, 1200)] {
        let mut scene = Scene::skill(skill, &[Ball::new(960.0, 540.0, 0.0, 600.0)]);
        scene.press(Side::Right).run(1);
        assert_eq!(scene.world.skills()[1].cooldown_sub_steps, cooldown);
        for _ in 1..cooldown {
            scene.press(Side::Right).run(1);
        }
        assert_eq!(scene.times(used), [0], "presses in the cooldown");
        scene.run(1);
        assert_eq!(scene.times(used), [0], "and none of them waits for its end");
        scene.press(Side::Right).run(1);
        assert_eq!(scene.times(used), [0, u32::from(cooldown) + 1]);
    }
}

#[test]
fn the_first_press_after_the_cooldown_counts() {
    for (skill, cooldown) in [(Skill::Smash, 720), (Skill::Dash, 1200)] {
        let mut scene = Scene::skill(skill, &[Ball::new(960.0, 540.0, 0.0, 600.0)]);
        scene.press(Side::Left).run(cooldown);
        assert_eq!(scene.world.skills()[0].cooldown_sub_steps, 1);
        scene.press(Side::Left).run(1);
        assert_eq!(scene.times(used), [0, cooldown]);
    }
}

#[test]
fn a_press_is_one_press() {
    let mut scene = Scene::skill(Skill::Smash, &[Ball::new(960.0, 540.0, 0.0, 600.0)]);
    // Told twice before the same sub-step, and then held as keys are: only the direction goes on.
    scene.press(Side::Left).press(Side::Left).hold(Side::Left, Dir::Up).run(2_000);
    assert_eq!(scene.times(used), [0]);
}

#[test]
fn a_dash_moves_the_paddle_at_2000_for_72_sub_steps() {
    let mut scene = Scene::skill(Skill::Dash, &[Ball::new(960.0, 540.0, 0.0, 600.0)]);
    scene.hold(Side::Left, Dir::Down).run(1); // Ordinary speed is 400.
    let start = scene.world.paddles()[0].y;
    scene.hold(Side::Left, Dir::Up).press(Side::Left).run(36);
    assert_close(scene.world.paddles()[0].y, start - 36.0 * 2000.0 / 240.0);
    scene.hold(Side::Left, Dir::Down).run(36);
    assert_close(scene.world.paddles()[0].y, start);
    scene.run(1);
    assert_close(scene.world.paddles()[0].y, start + 400.0 / 240.0);
}

#[test]
fn a_dash_with_no_direction_held_stays() {
    let mut scene = Scene::skill(Skill::Dash, &[IDLE]);
    scene.press(Side::Left).run(72);
    assert_eq!(scene.world.paddles()[0].y, 540.0);
    assert_eq!(scene.times(used), [0]);
}

#[test]
fn a_dash_makes_no_ball_faster() {
    let mut scene = Scene::skill(Skill::Dash, &[due_in(10)]);
    scene.press(Side::Left).run(11);
    assert_close(scene.ball().speed(), 630.0);
    assert!(scene.times(smash_hit).is_empty());
}

#[test]
fn classic_mode_has_no_skills() {
    let mut world = World::with_ball(1, Rules { classic: true, ..Rules::default() }, IDLE);
    let mut events = Events::new();
    world.apply(Side::Left, rally_sim::Input { dir: Dir::Stay, press: true });
    world.sub_step(&mut events);
    assert!(events.is_empty());
    assert_eq!(world.skills()[0].cooldown_sub_steps, 0);
}
