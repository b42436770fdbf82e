//! Connections: seats and who takes them over, spectators, inputs exactly once.

use rally_protocol::{
    client::v1::{Dir, ErrorCode, EventKind, JoinAs, Mode, Phase, Place, Skill},
    cluster::v1::Command,
};
use rally_room::{InputRefusal, JoinError, Replaced};

use crate::kit::{ANOTHER_SPEED, Left, Right, S, a_match, session, user};

#[test]
fn a_newer_connection_takes_the_seat_over() {
    let mut scene = a_match(Mode::Casual).made().begun();
    scene.hold(Right, Dir::Down);
    scene.run(1);
    let old = scene.record(Right, 2, Dir::Up, false);

    let joined = scene.attach_as(Right, 20);
    assert_eq!(joined.replaced, Some(Replaced { session: session(2), side: Right }));
    assert_eq!(joined.generation, 2);
    scene.run(1);
    assert_eq!(scene.snapshot().paddles[1].1, Dir::Stay, "the new one holds no key yet");
    assert!(!scene.kinds().contains(&EventKind::Away), "the player was never gone");

    assert_eq!(scene.room.input(old), Err(InputRefusal::OldGeneration));
    assert_eq!(scene.try_command(Right, Command::Pause), Err(ErrorCode::Forbidden), "the old connection has no say");
    assert_eq!(scene.room.leave(session(2)), None, "its end means nothing");
    scene.run(5 * S);
    assert_eq!(scene.room.phase(), Phase::Playing);
}

#[test]
fn numbers_begin_anew_with_a_generation() {
    let mut scene = a_match(Mode::Casual).made().begun();
    for _ in 0..5 {
        scene.hold(Left, Dir::Up);
    }
    scene.run(1);
    assert_eq!(scene.snapshot().ack, [5, 0]);
    assert_eq!(scene.room.snapshot_head().applied, [5, 0]);
    scene.attach_as(Left, 20);
    assert_eq!(scene.snapshot().ack, [0, 0]);
    let head = scene.room.snapshot_head();
    assert_eq!((head.generation, head.applied), ([2, 1], [0, 0]));
    scene.hold(Left, Dir::Up);
    scene.run(1);
    assert_eq!(scene.snapshot().ack, [1, 0]);
}

#[test]
fn the_same_session_may_join_again() {
    let mut scene = a_match(Mode::Casual).made();
    assert_eq!(scene.attach(Left).generation, 1);
    let again = scene.attach(Left);
    assert_eq!((again.generation, again.replaced), (2, None));
    scene.run(1);
    assert_eq!(scene.events, []);
}

#[test]
fn inputs_count_once_and_in_order_however_they_come() {
    let mut scene = a_match(Mode::Casual).made().begun();
    let inputs: Vec<_> = (1..=6).map(|n| scene.record(Left, n, Dir::Down, false)).collect();
    for i in [1, 0, 0, 3, 4, 1] {
        let _ = scene.room.input(inputs[i]);
    }
    scene.run(1);
    assert_eq!(scene.room.snapshot_head().applied, [2, 0], "the third is missing");
    assert_eq!(scene.room.input(inputs[3]), Err(InputRefusal::Duplicate));
    assert_eq!(scene.room.input(inputs[2]), Ok(()));
    assert_eq!(scene.room.input(inputs[5]), Ok(()));
    scene.run(1);
    assert_eq!(scene.room.snapshot_head().applied, [6, 0]);
    assert_eq!(scene.counters.inputs_applied, 6);
    for input in inputs {
        assert_eq!(scene.room.input(input), Err(InputRefusal::Duplicate));
    }
}

#[test]
fn the_last_of_a_tick_is_held_and_no_press_is_lost() {
    let mut scene = a_match(Mode::Casual).made().begun();
    scene.input(Left, Dir::Up, true).unwrap();
    scene.hold(Left, Dir::Down);
    scene.run(1);
    assert_eq!(scene.snapshot().paddles[0].1, Dir::Down);
    assert_eq!(scene.last(EventKind::Skill).side, Some(Left));
}

#[test]
fn inputs_are_refused_for_a_reason() {
    let mut scene = a_match(Mode::Practice).bot(Right, rally_protocol::client::v1::Level::Easy).made();
    assert_eq!(scene.room.input(scene.record(Right, 1, Dir::Up, false)), Err(InputRefusal::NoPlayer));
    assert_eq!(scene.input(Left, Dir::Up, false), Err(InputRefusal::Away), "of generation 0, before any attach");
    scene.attach(Left);
    let mut unknown = scene.record(Left, 1, Dir::Up, false);
    unknown.generation = 2;
    assert_eq!(scene.room.input(unknown), Err(InputRefusal::UnknownGeneration));
    assert_eq!(scene.room.input(scene.record(Left, 65, Dir::Up, false)), Err(InputRefusal::TooFarAhead));
    assert_eq!(scene.room.input(scene.record(Left, 0, Dir::Up, false)), Err(InputRefusal::Duplicate));
    scene.lose(Left);
    assert_eq!(scene.input(Left, Dir::Up, false), Err(InputRefusal::Away));
    let mut open = a_match(Mode::Duel).private().made();
    assert_eq!(open.room.input(open.record(Right, 1, Dir::Up, false)), Err(InputRefusal::NoPlayer));
    open.attach(Left);
    open.command(Left, Command::Forfeit);
    assert_eq!(open.input(Left, Dir::Up, false), Err(InputRefusal::Over));
}

#[test]
fn what_waited_when_its_player_left_is_dropped_and_counted() {
    let mut scene = a_match(Mode::Casual).made().begun();
    scene.room.input(scene.record(Left, 2, Dir::Up, false)).unwrap();
    scene.lose(Left);
    scene.run(1);
    assert_eq!(scene.counters.inputs_dropped, 1);
    assert_eq!(scene.snapshot().paddles[0].1, Dir::Stay);
}

#[test]
fn a_spectator_sees_all_and_may_do_nothing() {
    let mut scene = a_match(Mode::Casual).made().begun();
    scene.run(30);
    let joined = scene.join(9, 9, JoinAs::Spectator).unwrap();
    assert_eq!((joined.place, joined.generation, joined.replaced), (Place::Spectator, 0, None));
    assert_eq!(joined.picture.snapshot, scene.snapshot());
    assert_eq!(joined.picture.phase, Phase::Playing);
    assert_eq!(joined.picture.last_event, scene.events.last().unwrap().n);
    assert_eq!(scene.room.viewers(), 1);
    for command in [Command::Ready, Command::Pause, Command::Resume, Command::Forfeit, ANOTHER_SPEED] {
        assert_eq!(scene.room.command(session(9), command).unwrap_err().code, ErrorCode::Forbidden);
    }
    assert_eq!(scene.room.leave(session(9)), Some(Place::Spectator));
    assert_eq!((scene.room.viewers(), scene.room.leave(session(9))), (0, None));
    scene.run(5 * S);
    assert_eq!(scene.room.phase(), Phase::Playing);
}

#[test]
fn who_has_no_seat_cannot_play() {
    let mut scene = a_match(Mode::Casual).made();
    let refused = scene.join(9, 9, JoinAs::Player).unwrap_err();
    assert!(matches!(refused, JoinError::Refused(refusal) if refusal.code == ErrorCode::Forbidden));
    assert!(scene.room.claim(Right, user(9), "nine", Skill::Smash).is_err());
}

#[test]
fn a_player_may_watch_by_another_connection_or_become_a_spectator() {
    let mut scene = a_match(Mode::Casual).made().begun();
    scene.join(9, 1, JoinAs::Spectator).unwrap();
    scene.run(5 * S);
    assert_eq!(scene.room.phase(), Phase::Playing);
    scene.join(1, 1, JoinAs::Spectator).unwrap();
    scene.run(1);
    assert_eq!(scene.last(EventKind::Away).side, Some(Left), "the seat is empty");
    scene.attach(Left);
    assert_eq!(scene.room.viewers(), 1);
}

#[test]
fn a_picture_and_the_events_after_it_have_no_hole_between() {
    let mut scene = a_match(Mode::Casual).made().begun();
    scene.lose(Right);
    // Away and back wait for the next tick; the picture is from before it.
    let joined = scene.attach(Right);
    scene.tick();
    let first = scene.events.iter().find(|event| event.event == EventKind::Away).unwrap();
    assert_eq!(joined.picture.last_event + 1, first.n);
}

#[test]
fn who_returns_before_play_is_still_ready() {
    let mut scene = a_match(Mode::Casual).made();
    scene.attach(Left);
    scene.command(Left, Command::Ready);
    scene.lose(Left);
    scene.run(5);
    assert!(scene.attach(Left).picture.players[0].as_ref().unwrap().ready);
    scene.attach(Right);
    scene.command(Right, Command::Ready);
    scene.run(1);
    assert_eq!(scene.room.phase(), Phase::Countdown);
}

#[test]
fn a_seat_is_joined_65_535_times_at_most() {
    let mut scene = a_match(Mode::Casual).made();
    for _ in 0..u16::MAX {
        scene.attach(Left);
    }
    let refused = scene.join(1, 1, JoinAs::Player).unwrap_err();
    assert!(matches!(refused, JoinError::Refused(refusal) if refusal.code == ErrorCode::RateLimited));
    assert_eq!(scene.room.snapshot_head().generation, [u16::MAX, 0]);
}
