//! How strong the bots are: each level beats the one below, and none is a wall.

use rally_protocol::client::v1::{Dir, EventKind, Level, Mode, Side, Snapshot};

use crate::kit::{Left, Right, S, Scene, a_match};

/// Plays a match between two levels; returns the score.
fn between(left: Level, right: Level, seed: u64) -> [u8; 2] {
    let mut scene = a_match(Mode::Practice).seed(seed).bot(Left, left).bot(Right, right).score_to_win(5).made();
    scene.run_until(3_600 * S, |scene| scene.room.is_over());
    scene.room.score()
}

/// Matches won by the stronger of the two, sides taken in turn.
fn wins(stronger: Level, weaker: Level, matches: u64) -> u64 {
    let won = |seed: &u64| {
        let is_left = seed.is_multiple_of(2);
        let score = if is_left { between(stronger, weaker, *seed) } else { between(weaker, stronger, *seed) };
        if is_left { score[0] > score[1] } else { score[1] > score[0] }
    };
    (0..matches).filter(won).count() as u64
}

#[test]
fn hard_beats_easy_clearly() {
    let wins = wins(Level::Hard, Level::Easy, 24);
    assert!(wins >= 22, "{wins} of 24");
}

#[test]
fn hard_beats_normal_and_normal_beats_easy() {
    for (stronger, weaker) in [(Level::Hard, Level::Normal), (Level::Normal, Level::Easy)] {
        let wins = wins(stronger, weaker, 24);
        assert!(wins >= 16, "{stronger} against {weaker}: {wins} of 24");
    }
}

/// A player who sees every snapshot and never errs, and returns balls with the end of the paddle.
fn track(scene: &mut Scene, snapshot: &Snapshot) {
    let coming = snapshot.balls.iter().filter(|(_, _, vx, _)| *vx < 0);
    let flight_s = |(x, _, vx, _): &(i16, i16, i16, i16)| (f64::from(*x) / 16.0 - 60.0) / -f64::from(*vx);
    let first = coming.min_by(|a, b| flight_s(a).total_cmp(&flight_s(b)));
    let own = f64::from(snapshot.paddles[0].0) / 16.0;
    let target = first.map_or(540.0, |ball| {
        let y = f64::from(ball.1) / 16.0 + f64::from(ball.3) * flight_s(ball).max(0.0);
        let along = (y - 15.0).rem_euclid(2_100.0);
        let y = 15.0 + along.min(2_100.0 - along);
        // Away from the opponent: its paddle low, the ball high.
        let aim = if snapshot.paddles[1].0 > 540 * 16 { 38.0 } else { -38.0 };
        y + aim
    });
    let dir = if target > own + 8.0 {
        Dir::Down
    } else if target < own - 8.0 {
        Dir::Up
    } else {
        Dir::Stay
    };
    if dir != snapshot.paddles[0].1 {
        scene.hold(Left, dir);
    }
}

#[test]
fn every_level_can_be_beaten_by_a_perfect_player() {
    for level in Level::ALL {
        for seed in 0..6 {
            let mut scene = a_match(Mode::Practice).seed(seed).bot(Right, *level).score_to_win(5).made().begun();
            while !scene.room.is_over() {
                let snapshot = scene.snapshot();
                track(&mut scene, &snapshot);
                scene.tick();
            }
            let score = scene.room.score();
            assert!(score[0] > score[1], "{level}, seed {seed}: {score:?}");
        }
    }
}

#[test]
fn every_level_returns_most_balls() {
    for level in Level::ALL {
        let mut hits = 0;
        let mut goals = 0;
        for seed in 0..10 {
            let mut scene = a_match(Mode::Practice).seed(seed).bot(Left, *level).bot(Right, *level).made();
            scene.run(60 * S);
            hits += scene.kinds().iter().filter(|kind| **kind == EventKind::Hit).count();
            goals += scene.kinds().iter().filter(|kind| **kind == EventKind::Goal).count();
        }
        assert!(hits > 2 * goals, "{level}: {hits} hits, {goals} goals");
    }
}

#[test]
fn only_hard_uses_its_skill() {
    for level in Level::ALL {
        let mut scene = a_match(Mode::Practice).seed(4).bot(Left, *level).bot(Right, *level).made();
        scene.run(60 * S);
        let used = scene.kinds().contains(&EventKind::Skill);
        assert_eq!(used, *level == Level::Hard, "{level}");
    }
}

#[test]
fn inputs_come_as_rarely_as_a_player_gives_them() {
    let mut scene = a_match(Mode::Practice).seed(4).bot(Right, Level::Hard).score_to_win(1).made().begun();
    scene.run(20 * S);
    let before = scene.snapshot();
    scene.run_until(60 * S, |scene| scene.room.is_over());
    let result = scene.result();
    let inputs = result.replay.actions().filter(|(_, action)| is_input(*action, Right)).count();
    let seconds = f64::from(result.duration.0) / 240.0;
    assert!((inputs as f64) < 8.0 * seconds, "{inputs} in {seconds} s; {before:?}");
}

fn is_input(action: rally_room::log::Action, side: Side) -> bool {
    let wanted = match side {
        Left => rally_sim::Side::Left,
        Right => rally_sim::Side::Right,
    };
    matches!(action, rally_room::log::Action::Input { side, .. } if side == wanted)
}
