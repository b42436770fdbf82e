//! The log is the match: played again it is the same, changed it is not, and no bytes break its reader.

use proptest::prelude::*;
use rally_protocol::{
    client::v1::{Dir, JoinAs, Level, Mode, Phase, Skill},
    cluster::v1::Command,
};
use rally_room::{
    log::{Action, LogError, ReplayLog},
    replay::{Mismatch, verify},
};

use crate::kit::{Left, Right, S, Scene, a_match, session, user};

/// A match with something of everything in it.
pub(crate) fn eventful() -> Scene {
    let mut scene = a_match(Mode::Duel).private().score_to_win(2).seed(3).made();
    scene.attach(Left);
    scene.run(100);
    scene.room.claim(Right, user(2), "friend", Skill::Dash).unwrap();
    scene.attach(Right);
    scene.command(Left, Command::Ready);
    scene.command(Right, Command::Ready);
    scene.run(4 * S);
    scene.hold(Left, Dir::Up);
    scene.press(Right);
    scene.run(10);
    scene.command(Right, Command::Pause);
    scene.run(30);
    scene.command(Left, Command::Resume);
    scene.run(4 * S);
    scene.lose(Right);
    scene.run(3 * S);
    scene.attach(Right);
    // In play: in a countdown it would be the same match if this came a tick later.
    scene.run_to(Phase::Playing);
    scene.hold(Right, Dir::Down);
    scene.run_until(100 * S, |scene| scene.room.is_over());
    scene
}

pub(crate) fn log_of(mut scene: Scene) -> ReplayLog {
    scene.finished.take().expect("over").replay
}

#[test]
fn plays_again_to_the_same_hashes_after_being_stored() {
    let scene = eventful();
    let ended = scene.result().ended;
    let log = log_of(scene);
    let stored = ReplayLog::decode(&log.encode()).unwrap();
    assert_eq!(stored, log);
    assert_eq!(verify(&stored), Ok(()));
    let ticks: Vec<_> = stored.hashes().map(|(tick, _)| tick.0).collect();
    assert_eq!(ticks.len() as u32, (ended.0 - 1) / 60 + 1);
    assert!(ticks[..ticks.len() - 1].iter().zip(1..).all(|(tick, i)| *tick == i * 60));
    assert_eq!(ticks.last(), Some(&ended.0));
    assert_eq!(stored.cut(), None);
}

#[test]
fn says_what_was_done_and_when() {
    let log = log_of(eventful());
    let sides = [rally_sim::Side::Left, rally_sim::Side::Right];
    let actions: Vec<_> = log.actions().collect();
    let kinds = [
        Action::Attach(sides[0]),
        Action::Claim(sides[1], rally_sim::Skill::Dash),
        Action::Attach(sides[1]),
        Action::Ready(sides[0]),
        Action::Ready(sides[1]),
        Action::Input { side: sides[0], dir: rally_sim::Dir::Up, press: false },
        Action::Input { side: sides[1], dir: rally_sim::Dir::Stay, press: true },
        Action::Pause(sides[1]),
        Action::Resume(sides[0]),
        Action::Detach(sides[1]),
        Action::Attach(sides[1]),
        Action::Input { side: sides[1], dir: rally_sim::Dir::Down, press: false },
    ];
    assert_eq!(actions.iter().map(|(_, action)| *action).collect::<Vec<_>>(), kinds);
    assert_eq!(actions.iter().map(|(tick, _)| tick.0).take(6).collect::<Vec<_>>(), [0, 100, 100, 100, 100, 340]);
}

#[test]
fn a_changed_input_is_detected() {
    let mut scene = a_match(Mode::Classic).score_to_win(1).made().begun();
    scene.hold(Left, Dir::Up);
    scene.hold(Right, Dir::Up);
    scene.run_until(100 * S, |scene| scene.room.is_over());
    let log = log_of(scene);
    let bytes = log.encode();
    let (tick, action) = log.actions().nth(4).unwrap();
    assert!(matches!(action, Action::Input { .. }), "{action:?}");
    // The head is 19 bytes and a length of 1; each action is 2 bytes but for a long wait.
    let at = (0..bytes.len())
        .find(|i| {
            let mut changed = bytes.clone();
            changed[*i] ^= 2 << 5;
            let Ok(changed) = ReplayLog::decode(&changed) else { return false };
            let others: Vec<_> = changed.actions().collect();
            others.len() == 6
                && others[4].0 == tick
                && matches!(others[4].1, Action::Input { dir: rally_sim::Dir::Down, .. })
        })
        .unwrap();
    let mut changed = bytes;
    changed[at] ^= 2 << 5;
    let mismatch = verify(&ReplayLog::decode(&changed).unwrap()).unwrap_err();
    assert!(matches!(mismatch, Mismatch::Hash { .. }), "{mismatch}");
}

#[test]
fn every_changed_byte_is_detected_or_unreadable() {
    let log = log_of(eventful());
    let bytes = log.encode();
    let hashes = log.hashes().count() - 1;
    for i in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[i] ^= 1;
        let Ok(changed) = ReplayLog::decode(&changed) else { continue };
        // A match of two people ends the same whether or not a no-show would have been won.
        if changed.encode()[14] != bytes[14] {
            continue;
        }
        assert!(verify(&changed).is_err(), "byte {i} of {} with {hashes} hashes", bytes.len());
    }
}

#[test]
fn other_rules_are_refused() {
    let mut bytes = log_of(eventful()).encode();
    bytes[1] = 200;
    assert_eq!(verify(&ReplayLog::decode(&bytes).unwrap()), Err(Mismatch::Rules(200)));
    bytes[0] = 9;
    assert_eq!(ReplayLog::decode(&bytes), Err(LogError::Version(9)));
}

/// Of a match that is given up after 6,000 ticks, with more inputs than a log takes.
pub(crate) fn cut_log() -> ReplayLog {
    let mut scene = a_match(Mode::Classic).score_to_win(255).made().begun();
    let mut dirs = [Dir::Up, Dir::Down].into_iter().cycle();
    // As many inputs as a seat takes.
    while !scene.room.is_over() {
        for side in [Left, Right] {
            for _ in 0..30 {
                let _ = scene.input(side, dirs.next().unwrap(), false);
            }
        }
        scene.tick();
        if scene.room.tick_count().0 == 6_000 {
            scene.command(Left, Command::Forfeit);
        }
    }
    scene.tick();
    log_of(scene)
}

#[test]
fn a_full_log_is_cut_and_true_up_to_there() {
    let log = cut_log();
    let cut = log.cut().expect("cut").0;
    assert!((4_000..6_000).contains(&cut), "{cut}");
    assert!(log.encode().len() <= rally_room::limits::LOG_BYTES_MAX + 2_000);
    let log = ReplayLog::decode(&log.encode()).unwrap();
    assert_eq!(verify(&log), Ok(()));
    let last_before_end = log.hashes().map(|(tick, _)| tick.0).filter(|tick| *tick < 6_000).last();
    assert_eq!(last_before_end, Some(cut / 60 * 60));
}

#[test]
fn bots_are_in_it_as_players_are() {
    let mut scene =
        a_match(Mode::Practice).bot(Left, Level::Normal).bot(Right, Level::Easy).score_to_win(2).seed(5).made();
    scene.run_until(600 * S, |scene| scene.room.is_over());
    let log = log_of(scene);
    let inputs = log.actions().filter(|(_, action)| matches!(action, Action::Input { .. })).count();
    assert!(inputs > 20, "{inputs}");
    assert_eq!(verify(&ReplayLog::decode(&log.encode()).unwrap()), Ok(()));
}

#[test]
fn watching_leaves_no_trace() {
    let mut scene = a_match(Mode::Classic).made();
    for n in 10..60 {
        scene.join(n, n, JoinAs::Spectator).unwrap();
        scene.run(1);
        scene.room.leave(session(n));
    }
    scene.run(10 * S);
    assert_eq!(log_of(scene).actions().count(), 0);
}

proptest! {
    #[test]
    fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(log) = ReplayLog::decode(&bytes) {
            prop_assert_eq!(log.encode().len(), bytes.len());
        }
    }

    #[test]
    fn no_changed_log_breaks_reader_or_player(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        static LOG: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| log_of(eventful()).encode());
        let mut bytes = LOG.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            // The version of the rules stays, or nothing would be played.
            if !(1..5).contains(&at) {
                bytes[at] = byte;
            }
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(log) = ReplayLog::decode(&bytes) {
            let _ = verify(&log);
        }
    }
}
