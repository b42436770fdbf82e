//! From owner to owner: what is saved is all there is, goals are told once they are safe, and events are told once.

use proptest::prelude::*;
use rally_protocol::{
    client::{
        codec::{Encoding, Messages},
        v1::{Dir, EventKind, JoinAs, Level, Mode, Phase, Place, ServerMessage, Side, Skill},
    },
    cluster::v1::{Command, InputRecord},
};
use rally_room::{JournalMark, Outputs, Room, RoomSettings, replay};
use rally_units::Epoch;

use crate::kit::{Left, Right, S, Scene, a_match, session, user};

/// A copy, as whoever keeps one does: the state whole, the journal in chunks.
#[derive(Default)]
struct Copy {
    mark: JournalMark,
    journal: Vec<u8>,
    state: Vec<u8>,
}

impl Copy {
    fn take(&mut self, room: &Room) {
        self.mark = room.journal_since(self.mark, &mut self.journal);
        self.state.clear();
        room.save(&mut self.state);
    }

    fn restore(&self, epoch: u32) -> Room {
        Room::restore(&self.state, &self.journal, Epoch(epoch)).expect("what was saved restores")
    }
}

/// Events by number and kind, as they are told.
type Told = Vec<(u32, EventKind, Vec<u8>)>;

/// All that a room tells and shows at its next tick.
fn next_tick(room: &mut Room) -> (Told, Vec<u8>, Option<rally_room::FinishedMatch>) {
    let mut out = Outputs::new();
    room.tick(&mut out);
    let mut snapshot = Vec::new();
    room.snapshot_into(&mut snapshot);
    let events = out.events.iter().map(|event| (event.n, event.kind, event.message.to_vec())).collect();
    (events, snapshot, out.finished.map(|finished| *finished))
}

fn playing(mode: Mode) -> Scene {
    a_match(mode).score_to_win(3).made().begun()
}

fn run_until_a_goal(room: &mut Room, ticks_max: u32) -> Vec<(u32, EventKind)> {
    let mut out = Outputs::new();
    let mut told = Vec::new();
    for _ in 0..ticks_max {
        room.tick(&mut out);
        told.extend(out.events.iter().map(|event| (event.n, event.kind)));
        if room.score() != [0; 2] {
            return told;
        }
    }
    panic!("no goal within {ticks_max} ticks");
}

#[test]
fn a_goal_is_told_and_shown_once_a_copy_has_it() {
    let mut scene = playing(Mode::Casual);
    scene.room.hold_goals();
    scene.hold(Left, Dir::Up);
    scene.hold(Right, Dir::Up);
    let told = run_until_a_goal(&mut scene.room, 20 * S);
    assert!(!told.iter().any(|(_, kind)| *kind == EventKind::Goal));
    assert!(scene.room.holds_a_goal());
    assert_eq!(scene.snapshot().score, [0; 2], "nor is it seen");
    let late = scene.room.join(session(9), user(9), JoinAs::Spectator).expect("anybody may watch").picture;
    assert_eq!(late.snapshot.score, [0; 2]);

    let head = scene.room.snapshot_head();
    let (events, ..) = next_tick(&mut scene.room);
    assert!(events.is_empty());
    scene.room.copied(&head);
    let (events, snapshot, _) = next_tick(&mut scene.room);
    assert_eq!(events[0].1, EventKind::Goal);
    assert_eq!(events[0].0, late.last_event + 1, "whoever came in between hears it");
    let Ok(ServerMessage::Snapshot(snapshot)) = ServerMessage::decode(Encoding::Msgpack, &snapshot) else { panic!() };
    assert_eq!(snapshot.score, scene.room.score());
    assert!(!scene.room.holds_a_goal());
}

#[test]
fn a_goal_of_which_no_copy_can_be_made_is_told_all_the_same() {
    let mut scene = playing(Mode::Casual);
    scene.room.hold_goals();
    scene.hold(Left, Dir::Up);
    scene.hold(Right, Dir::Up);
    run_until_a_goal(&mut scene.room, 20 * S);
    scene.room.release_goals();
    let (events, ..) = next_tick(&mut scene.room);
    assert_eq!(events[0].1, EventKind::Goal);
}

#[test]
fn inputs_are_durable_when_a_copy_has_them() {
    let mut scene = playing(Mode::Casual);
    scene.hold(Left, Dir::Up);
    scene.run(1);
    let head = scene.room.snapshot_head();
    assert_eq!((head.applied, head.durable), ([1, 0], [0, 0]));
    scene.hold(Left, Dir::Down);
    scene.run(1);
    scene.room.copied(&head);
    assert_eq!(scene.room.snapshot_head().durable, [1, 0], "the second came after the copy");
    // Of an older attachment: its numbers mean nothing now.
    scene.attach(Left);
    scene.room.copied(&head);
    assert_eq!(scene.room.snapshot_head().durable, [0, 0]);
}

#[test]
fn after_a_recovery_events_go_on_beyond_all_that_may_have_been_told() {
    let mut scene = playing(Mode::Casual);
    scene.room.hold_goals();
    scene.hold(Left, Dir::Up);
    scene.hold(Right, Dir::Up);
    run_until_a_goal(&mut scene.room, 20 * S);
    let mut copy = Copy::default();
    copy.take(&scene.room);
    let (score, before) = (scene.room.score(), scene.room.last_told());

    let mut room = copy.restore(2);
    room.recovered();
    assert_eq!(room.phase(), Phase::Countdown);
    assert_eq!(room.score(), score, "the copy has the goal");
    let (events, ..) = next_tick(&mut room);
    let kinds: Vec<_> = events.iter().map(|(_, kind, _)| *kind).collect();
    assert_eq!(kinds, [EventKind::Moved, EventKind::Countdown]);
    assert!(events[0].0 > before + 100);
    // Whoever had not heard of the goal does so by asking; whoever had hears the rest.
    let heard = |n| room.told_since(n).expect("remembered").map(|event| event.kind).collect::<Vec<_>>();
    assert_eq!(heard(before), [EventKind::Goal, EventKind::Moved, EventKind::Countdown]);
    assert_eq!(heard(before + 1), [EventKind::Moved, EventKind::Countdown]);
    // The countdown is one second.
    let mut out = Outputs::new();
    (0..S).for_each(|_| room.tick(&mut out));
    assert_eq!(room.phase(), Phase::Playing);
}

#[test]
fn a_player_keeps_the_place_over_a_change_of_owner() {
    let mut scene = playing(Mode::Casual);
    scene.hold(Left, Dir::Up);
    let mut copy = Copy::default();
    copy.take(&scene.room);
    let mut room = copy.restore(2);
    assert!(room.has_place(session(1), user(1), Place::Left, 1));
    assert!(!room.has_place(session(1), user(1), Place::Left, 2), "another attachment");
    assert!(!room.has_place(session(1), user(2), Place::Left, 1), "another user");
    assert!(!room.has_place(session(9), user(1), Place::Left, 1), "another connection");
    assert!(!room.has_place(session(9), user(9), Place::Spectator, 0));
    // The input that waited is applied, and its repetition refused.
    let again = scene.record(Left, 1, Dir::Up, false);
    assert!(room.input(again).is_err());
    next_tick(&mut room);
    assert_eq!(room.snapshot_head().applied, [1, 0]);
}

#[test]
fn a_result_that_was_not_recorded_is_handed_out_again() {
    let mut scene = playing(Mode::Casual);
    scene.command(Left, Command::Forfeit);
    scene.run(1);
    scene.room.result_pending();
    let mut copy = Copy::default();
    copy.take(&scene.room);
    let mut room = copy.restore(2);
    room.recovered();
    let (.., again) = next_tick(&mut room);
    let again = again.expect("handed out again");
    assert_eq!(rally_room::FinishedMatch { epoch: Epoch(1), ..again.clone() }, *scene.result());
    replay::verify(&again.replay).expect("true");
}

#[test]
fn without_a_copy_play_goes_on_at_the_score() {
    let spec = a_match(Mode::Ranked).spec;
    let mut room = Room::resumed(spec, 5, Epoch(3), RoomSettings { score_to_win: 3 }, [2, 1]);
    room.hold_goals();
    room.moved();
    assert_eq!(room.phase(), Phase::Paused);
    let joined = [(1, 1), (2, 2)].map(|(s, u)| room.join(session(s), user(u), JoinAs::Player).expect("a seat"));
    assert_eq!(joined[1].picture.snapshot.score, [2, 1]);
    let (events, ..) = next_tick(&mut room);
    let kinds: Vec<_> = events.iter().map(|(_, kind, _)| *kind).collect();
    assert_eq!(kinds, [EventKind::Moved, EventKind::Back, EventKind::Back, EventKind::Resumed, EventKind::Countdown]);
    assert!(events[0].0 > 1_000_000);
    let mut out = Outputs::new();
    (0..3 * S).for_each(|_| room.tick(&mut out));
    assert_eq!(room.phase(), Phase::Playing);
    // It is played to its end, and the replay of this part is true, also as stored.
    for side in [Left, Right] {
        let up = InputRecord { side, generation: 1, n: 1, seq: 1, dir: Dir::Up, press: false };
        room.input(up).expect("there");
    }
    let finished = loop {
        let (.., finished) = next_tick(&mut room);
        if let Some(finished) = finished {
            break finished;
        }
    };
    assert_eq!(finished.score.iter().max(), Some(&3));
    replay::verify(&finished.replay).expect("true");
    let stored = rally_room::log::ReplayLog::decode(&finished.replay.encode()).expect("reads");
    assert_eq!(stored, finished.replay);
    replay::verify(&stored).expect("true");
}

#[test]
fn a_match_whose_last_goal_was_noted_is_over() {
    let spec = a_match(Mode::Ranked).spec;
    let mut room = Room::resumed(spec, 5, Epoch(2), RoomSettings { score_to_win: 3 }, [3, 1]);
    let (.., finished) = next_tick(&mut room);
    let finished = finished.expect("over");
    assert_eq!((finished.winner, finished.score), (Some(Side::Left), [3, 1]));
    replay::verify(&finished.replay).expect("true");
}

#[derive(Clone, Debug)]
enum Step {
    Join(u8, JoinAs),
    Leave(u8),
    Command(u8, Command),
    Input(Side, u16, u32, Dir, bool),
    Run(u32),
    Copy,
}

fn step() -> impl Strategy<Value = Step> {
    let side = || prop_oneof![Just(Left), Just(Right)];
    let dir = prop_oneof![Just(Dir::Up), Just(Dir::Stay), Just(Dir::Down)];
    let command = prop_oneof![4 => Just(Command::Ready), 1 => Just(Command::Pause), 2 => Just(Command::Resume)];
    prop_oneof![
        3 => (1_u8..4, prop_oneof![9 => Just(JoinAs::Player), 1 => Just(JoinAs::Spectator)])
            .prop_map(|(n, join_as)| Step::Join(n, join_as)),
        1 => (1_u8..4).prop_map(Step::Leave),
        5 => (1_u8..4, command).prop_map(|(n, command)| Step::Command(n, command)),
        10 => (side(), 0_u16..4, 1_u32..40, dir, any::<bool>())
            .prop_map(|(side, generation, n, dir, press)| Step::Input(side, generation, n, dir, press)),
        8 => (1_u32..90).prop_map(Step::Run),
        3 => Just(Step::Copy),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A match restored from a copy, at whatever moment it was made, and however often, lives the same life.
    #[test]
    fn a_restored_match_goes_on_as_the_saved_one(
        mode in prop::sample::select(&[Mode::Casual, Mode::Classic, Mode::Practice, Mode::Local, Mode::Duel][..]),
        seed: u64,
        steps in prop::collection::vec(step(), 1..120),
        changes in prop::collection::vec(0_usize..120, 1..4),
    ) {
        let builder = match mode {
            Mode::Practice => a_match(mode).bot(Right, Level::Hard),
            Mode::Duel => a_match(mode).private(),
            _ => a_match(mode),
        };
        let mut one = builder.seed(seed).score_to_win(3).made().room;
        for n in [1, 2] {
            let _ = one.join(session(n), user(n), JoinAs::Player);
            if mode == Mode::Duel {
                let _ = one.claim(Right, user(2), "second", Skill::Dash);
                let _ = one.join(session(2), user(2), JoinAs::Player);
            }
            let _ = one.command(session(n), Command::Ready);
        }
        let mut copy = Copy::default();
        copy.take(&one);
        let mut other = copy.restore(1);
        for (i, step) in steps.into_iter().enumerate() {
            if changes.contains(&i) {
                // The other is restored anew, from a copy of itself.
                copy.take(&other);
                other = copy.restore(1);
            }
            match step {
                Step::Join(n, join_as) => {
                    let joined = [&mut one, &mut other].map(|room| room.join(session(n), user(n), join_as));
                    prop_assert_eq!(&joined[0], &joined[1]);
                }
                Step::Leave(n) => {
                    // Spectators are not saved.
                    let left = [&mut one, &mut other].map(|room| room.leave(session(n)));
                    prop_assert!(left[0] == left[1] || left[0] == Some(Place::Spectator));
                }
                Step::Command(n, command) => {
                    let taken = [&mut one, &mut other].map(|room| room.command(session(n), command));
                    prop_assert_eq!(taken[0], taken[1]);
                }
                Step::Input(side, generation, n, dir, press) => {
                    let input = InputRecord { side, generation, n, seq: n, dir, press };
                    let taken = [&mut one, &mut other].map(|room| room.input(input));
                    prop_assert_eq!(taken[0], taken[1]);
                }
                Step::Run(ticks) => {
                    for _ in 0..ticks {
                        let (a, b) = (next_tick(&mut one), next_tick(&mut other));
                        prop_assert_eq!(&a.0, &b.0);
                        prop_assert_eq!(&a.1, &b.1);
                        // What was handed out and not recorded is handed out again after a change.
                        if let Some(finished) = a.2 {
                            prop_assert_eq!(Some(finished), b.2);
                        }
                    }
                }
                Step::Copy => copy.take(&other),
            }
            prop_assert_eq!(one.snapshot_head(), other.snapshot_head());
        }
        let states = [&one, &other].map(|room| {
            let mut bytes = Vec::new();
            room.save(&mut bytes);
            let mut journal = Vec::new();
            room.journal_since(JournalMark::default(), &mut journal);
            (bytes, journal)
        });
        prop_assert_eq!(&states[0], &states[1]);
        prop_assert!(states[0].0.len() < 8 * 1024, "{} bytes", states[0].0.len());
    }

    #[test]
    fn whatever_the_bytes_restoring_never_panics_and_what_it_gives_plays_on(
        at in 0_usize..2_000,
        bits in 1_u8..,
        cut in prop::option::of(0_usize..2_000),
    ) {
        let mut scene = playing(Mode::Casual);
        scene.run(200);
        let mut copy = Copy::default();
        copy.take(&scene.room);
        let at = at % copy.state.len();
        copy.state[at] ^= bits;
        if let Some(cut) = cut {
            copy.state.truncate(cut % copy.state.len());
        }
        if let Ok(mut room) = Room::restore(&copy.state, &copy.journal, Epoch(2)) {
            for _ in 0..100 {
                next_tick(&mut room);
            }
        }
        let at = at % copy.journal.len();
        copy.journal[at] ^= bits;
        let _ = Room::restore(&copy.state, &copy.journal, Epoch(2));
    }
}
