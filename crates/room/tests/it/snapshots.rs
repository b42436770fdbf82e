//! What goes out at each tick.

use proptest::prelude::*;
use rally_protocol::{
    client::{
        codec::{Encoding, encode_into},
        v1::{Dir, JoinAs, Level, Mode, Phase, PowerUp},
    },
    cluster::v1::SnapshotHead,
};

use crate::kit::{Left, Right, S, Scene, a_match};

fn bytes(scene: &Scene) -> Vec<u8> {
    let mut bytes = Vec::new();
    scene.room.snapshot_into(&mut bytes);
    bytes
}

/// Every byte is what the generic encoder makes of the message, and the picture for a newcomer is the same.
fn check(scene: &mut Scene) {
    let bytes = bytes(scene);
    let mut generic = Vec::new();
    encode_into(&scene.snapshot(), Encoding::Msgpack, &mut generic).unwrap();
    assert_eq!(bytes, generic);
    let picture = scene.join(99, 99, JoinAs::Spectator).unwrap().picture;
    assert_eq!(picture.snapshot, scene.snapshot());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn are_the_bytes_of_the_generic_encoder(seed: u64, classic: bool) {
        let builder = a_match(Mode::Practice).seed(seed).bot(Left, Level::Easy).bot(Right, Level::Hard);
        let mut scene = if classic { builder.classic() } else { builder }.made();
        for _ in 0..90 {
            check(&mut scene);
            scene.run(37);
        }
    }
}

#[test]
fn are_appended_to_what_is_there() {
    let scene = a_match(Mode::Casual).made();
    let mut out = vec![1, 2, 3];
    scene.room.snapshot_into(&mut out);
    assert_eq!((&out[..3], &out[3..]), (&[1, 2, 3][..], &bytes(&scene)[..]));
}

/// A match with one ball, both skills cooling down, for as long as ticks and clock fit 16 bits (18 minutes) and with
/// inputs beyond 255.
#[test]
fn of_one_ball_have_at_most_80_bytes() {
    let mut scene = a_match(Mode::Casual).made().begun();
    let mut largest = 0;
    let mut seen = 0;
    for tick in 0..4 * 60 * S {
        if scene.room.is_over() {
            break;
        }
        let dir = [Dir::Up, Dir::Down][(tick / 20 % 2) as usize];
        if tick.is_multiple_of(6) {
            for side in [Left, Right] {
                scene.input(side, dir, true).unwrap();
            }
        }
        scene.tick();
        let snapshot = scene.snapshot();
        if snapshot.balls.len() == 1 && snapshot.power_ups.is_empty() && snapshot.effects.is_empty() {
            seen += 1;
            largest = largest.max(bytes(&scene).len());
        }
    }
    assert!(seen > 300, "{seen}");
    assert!(largest <= 80, "{largest}");
}

#[test]
fn show_power_ups_and_effects_with_their_sides_and_times() {
    // Bots play until everything has been on the field.
    let mut seen = [false; 3];
    let mut ids: Vec<u16> = Vec::new();
    for seed in 0..20 {
        let mut scene =
            a_match(Mode::Practice).seed(seed).bot(Left, Level::Hard).bot(Right, Level::Hard).score_to_win(200).made();
        let mut before: Vec<(u16, u16)> = Vec::new();
        for _ in 0..120 * S {
            scene.tick();
            let snapshot = scene.snapshot();
            for (kind, side, left) in snapshot.effects.iter().copied() {
                seen[usize::from(kind.number())] = true;
                assert!(left > 0);
                assert_eq!(side.is_none(), kind == PowerUp::Blackhole);
                if kind == PowerUp::Split {
                    let collected = scene.events.iter().rev().find(|event| event.power_up == Some(kind)).unwrap();
                    assert_eq!(side, collected.side);
                }
            }
            let now: Vec<_> = snapshot.power_ups.iter().map(|(id, .., left)| (*id, *left)).collect();
            for (id, left) in &now {
                match before.iter().find(|(old, _)| old == id) {
                    Some((_, old_left)) => assert!(left < old_left || scene.room.phase() != Phase::Playing),
                    None => {
                        assert!((538..=540).contains(left), "a new one stays for 9 s: {left}");
                        ids.push(*id);
                    }
                }
            }
            before = now;
        }
    }
    assert_eq!(seen, [true; 3]);
    assert!(ids.len() > 50);
}

#[test]
fn heads_name_tick_generations_and_what_was_applied() {
    let mut scene = a_match(Mode::Casual).made();
    scene.attach(Right);
    scene.run(3);
    for _ in 0..4 {
        scene.hold(Right, Dir::Up);
    }
    scene.run(1);
    let head = scene.room.snapshot_head();
    assert_eq!(
        head,
        SnapshotHead { tick: scene.snapshot().tick, generation: [0, 1], applied: [0, 4], durable: [0; 2] }
    );
    assert_eq!(head.tick.0, 4);
}

#[test]
fn nothing_is_allocated_for_them_once_the_buffer_has_grown() {
    let mut scene = a_match(Mode::Practice).bot(Left, Level::Hard).bot(Right, Level::Hard).made();
    let mut buffer = Vec::with_capacity(1024);
    let before = buffer.as_ptr();
    for _ in 0..10 * S {
        scene.tick();
        buffer.clear();
        scene.room.snapshot_into(&mut buffer);
    }
    assert_eq!((buffer.as_ptr(), buffer.capacity()), (before, 1024));
}
