//! What holds in every state of every match, whatever the players do.

use proptest::prelude::*;
use rally_sim::{
    BALLS_MAX, Ball, Dir, Events, Input, POWER_UPS_MAX, PowerUp, PowerUpKind, RestoreError, Rules, SAVE_BYTES_MAX,
    Side, Skill, World, field,
};

use crate::players::Match;

fn any_input() -> impl Strategy<Value = Input> {
    (-1_i8..=1, any::<bool>()).prop_map(|(dir, press)| Input { dir: Dir::try_from(dir).unwrap(), press })
}

fn any_skill() -> impl Strategy<Value = Skill> {
    prop_oneof![Just(Skill::Smash), Just(Skill::Dash)]
}

/// A world in the thick of it: several balls, power-ups in their way.
fn any_world() -> impl Strategy<Value = World> {
    let ball = (100.0..1820.0, 15.0..1065.0, 0.0..360.0_f64, 300.0..1500.0).prop_map(|(x, y, degrees, speed)| {
        let (sin, cos) = libm::sincos(degrees.to_radians());
        Ball::new(x, y, cos * speed, sin * speed)
    });
    let kind = prop::sample::select(PowerUpKind::ALL.to_vec());
    let power_up = (kind, 150.0..1770.0, 150.0..930.0, 1_u16..=2160)
        .prop_map(|(kind, x, y, remaining_sub_steps)| PowerUp { kind, x, y, remaining_sub_steps });
    let staged = (
        any::<u64>(),
        [any_skill(), any_skill()],
        prop::collection::vec(ball, 1..=BALLS_MAX),
        prop::collection::vec(power_up, 0..=POWER_UPS_MAX),
    )
        .prop_map(|(seed, skills, balls, power_ups)| {
            World::staged(seed, Rules { skills, ..Rules::default() }, &balls, &power_ups)
        });
    let fresh = (any::<u64>(), any::<bool>(), [any_skill(), any_skill()])
        .prop_map(|(seed, classic, skills)| World::new(seed, Rules { classic, skills, ..Rules::default() }));
    prop_oneof![staged, fresh]
}

/// Inputs of both players, each held for some ticks.
fn any_play() -> impl Strategy<Value = Vec<([Input; 2], u8)>> {
    prop::collection::vec(([any_input(), any_input()], 1_u8..30), 1..60)
}

fn play(world: &mut World, inputs: &[([Input; 2], u8)], mut after_tick: impl FnMut(&World, &Events)) {
    let mut events = Events::new();
    for (inputs, ticks) in inputs {
        for side in Side::ALL {
            world.apply(side, inputs[side.index()]);
        }
        for _ in 0..*ticks {
            world.tick(&mut events);
            after_tick(world, &events);
        }
    }
}

fn check(world: &World, before: &World) {
    for ball in world.balls() {
        assert!((field::BALL_Y[0]..=field::BALL_Y[1]).contains(&ball.y), "{ball:?} left the walls");
        assert!(ball.x > -15.0 - 30.0 && ball.x < 1935.0 + 30.0, "{ball:?} left the field and did not score");
        assert!(ball.speed() <= field::BALL_SPEED_MAX + 1e-6, "{ball:?} is too fast");
    }
    for paddle in world.paddles() {
        assert!((field::PADDLE_Y[0]..=field::PADDLE_Y[1]).contains(&paddle.y), "{paddle:?} left the walls");
    }
    assert!((400.0..=1600.0).contains(&world.paddle_speed()));
    assert!((1..=BALLS_MAX).contains(&world.balls().len()) || world.winner().is_some());
    assert!(world.power_ups().len() <= POWER_UPS_MAX);
    for side in [0, 1] {
        assert!(world.score()[side] >= before.score()[side], "a score fell");
        assert!(world.score()[side] <= world.rules().score_to_win);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_state_keeps_its_bounds(mut world in any_world(), inputs in any_play()) {
        let mut before = world.clone();
        play(&mut world, &inputs, |world, _| {
            check(world, &before);
            before = world.clone();
        });
    }

    #[test]
    fn one_ball_is_never_slower_than_its_serve(seed in any::<u64>(), inputs in any_play()) {
        let mut world = World::new(seed, Rules { classic: true, ..Rules::default() });
        play(&mut world, &inputs, |world, _| {
            assert!(world.balls().iter().all(|ball| ball.speed() >= field::SERVE_SPEED - 1e-6));
        });
    }

    #[test]
    fn a_restored_world_goes_on_as_the_saved_one(mut world in any_world(), first in any_play(), second in any_play()) {
        play(&mut world, &first, |_, _| {});
        let mut bytes = Vec::new();
        world.save(&mut bytes);
        prop_assert!(bytes.len() <= SAVE_BYTES_MAX);
        let mut restored = World::restore(&bytes).unwrap();
        prop_assert_eq!(&restored, &world);
        prop_assert_eq!(restored.hash(), world.hash());

        let mut hashes = Vec::new();
        play(&mut world, &second, |world, events| hashes.push((world.hash(), events.iter().count())));
        let mut again = Vec::new();
        play(&mut restored, &second, |world, events| again.push((world.hash(), events.iter().count())));
        prop_assert_eq!(hashes, again);
    }

    #[test]
    fn a_clone_is_the_same_match(mut world in any_world(), inputs in any_play()) {
        let mut clone = world.clone();
        play(&mut world, &inputs, |_, _| {});
        play(&mut clone, &inputs, |_, _| {});
        prop_assert_eq!(&world, &clone);
        prop_assert_eq!(world.hash(), clone.hash());
    }

    #[test]
    fn hostile_bytes_restore_to_an_error_or_to_a_world_that_plays(
        mut world in any_world(),
        first in any_play(),
        second in any_play(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        play(&mut world, &first, |_, _| {});
        let mut bytes = Vec::new();
        world.save(&mut bytes);
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(mut restored) = World::restore(&bytes) {
            let mut again = Vec::new();
            restored.save(&mut again);
            prop_assert_eq!(&again, &bytes, "bytes are canonical");
            let mut before = restored.clone();
            play(&mut restored, &second, |world, _| {
                check(world, &before);
                before = world.clone();
            });
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        let _ = World::restore(&bytes);
    }
}

#[test]
fn every_cut_of_saved_bytes_is_refused_and_so_is_every_addition() {
    let mut bytes = Vec::new();
    World::new(1, Rules::default()).save(&mut bytes);
    for end in 0..bytes.len() {
        assert!(World::restore(&bytes[..end]).is_err(), "cut to {end} bytes");
    }
    bytes.push(0);
    assert!(World::restore(&bytes).is_err());
}

#[test]
fn states_that_no_match_has_are_refused() {
    let refuse = |world: World| {
        let mut bytes = Vec::new();
        world.save(&mut bytes);
        World::restore(&bytes).unwrap_err()
    };
    let rules = Rules::default();
    let ball = Ball::new(960.0, 540.0, 600.0, 0.0);
    let power_up = PowerUp { kind: PowerUpKind::Split, x: 300.0, y: 300.0, remaining_sub_steps: 0 };
    assert_eq!(refuse(World::staged(1, rules, &[], &[])), RestoreError::OutOfRange("balls"));
    assert_eq!(refuse(World::staged(1, rules, &[ball], &[power_up])), RestoreError::OutOfRange("power-up"));
    for ball in [
        Ball { y: 14.0, ..ball },
        Ball { x: f64::NAN, ..ball },
        Ball { x: f64::INFINITY, ..ball },
        Ball { vx: 1501.0, ..ball },
        Ball { vx: 1200.0, vy: 1200.0, ..ball },
    ] {
        assert_eq!(refuse(World::with_ball(1, rules, ball)), RestoreError::OutOfRange("ball"), "{ball:?}");
    }

    let mut bytes = Vec::new();
    World::new(1, rules).save(&mut bytes);
    bytes[0] += 1;
    assert_eq!(World::restore(&bytes), Err(RestoreError::Layout(2)));
}

#[test]
fn the_hash_sees_every_part_of_the_state() {
    let world = World::new(1, Rules::default());
    let mut pressed = world.clone();
    pressed.apply(Side::Left, Input { dir: Dir::Stay, press: true });
    let mut moved = world.clone();
    moved.apply(Side::Right, Input { dir: Dir::Up, press: false });
    let mut played = world.clone();
    played.sub_step(&mut Events::new());
    let hashes = [&world, &pressed, &moved, &played, &World::new(2, Rules::default())].map(World::hash);
    for (index, hash) in hashes.iter().enumerate() {
        assert!(!hashes[..index].contains(hash));
    }
}

#[test]
fn matches_of_scripted_players_end_with_a_winner() {
    for seed in 0..10 {
        let mut game = Match::new(seed);
        let mut before = game.world.clone();
        for _ in 0..60 * 60 * 30 {
            game.tick();
            check(&game.world, &before);
            before = game.world.clone();
        }
        assert!(game.world.winner().is_some(), "seed {seed}: {:?}", game.world.score());
    }
}
