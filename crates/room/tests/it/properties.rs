//! Whatever people and networks do: what `Scene::tick` checks holds, every match ends, and its replay is true.

use crate::kit::{Left, Right, S, a_match, session, user};
use proptest::prelude::*;
use rally_protocol::{
    client::v1::{Dir, EndReason, JoinAs, Level, Mode, Side, Skill},
    cluster::v1::{Command, InputRecord},
};

#[derive(Clone, Debug)]
enum Step {
    Join(u8, u8, JoinAs),
    Leave(u8),
    Command(u8, Command),
    Claim(Side, u8),
    Input(InputRecord),
    Run(u32),
    Interrupted,
    Pending,
    Recorded,
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Left), Just(Right)]
}

fn dir() -> impl Strategy<Value = Dir> {
    prop_oneof![Just(Dir::Up), Just(Dir::Stay), Just(Dir::Down)]
}

fn step() -> impl Strategy<Value = Step> {
    let command = prop_oneof![
        4 => Just(Command::Ready),
        2 => Just(Command::Pause),
        2 => Just(Command::Resume),
        1 => Just(Command::Replay { tick: None, speed_percent: None }),
    ];
    let input = (side(), 0_u16..5, 0_u32..20, any::<u32>(), dir(), any::<bool>())
        .prop_map(|(side, generation, n, seq, dir, press)| InputRecord { side, generation, n, seq, dir, press });
    // Sessions 1 and 4 are of user 1, and so on: people come by two connections.
    let join_as = prop_oneof![4 => Just(JoinAs::Player), 1 => Just(JoinAs::Spectator)];
    prop_oneof![
        6 => (1_u8..7, join_as).prop_map(|(n, join_as)| Step::Join(n, (n - 1) % 3 + 1, join_as)),
        3 => (1_u8..7).prop_map(Step::Leave),
        6 => (1_u8..7, command).prop_map(|(n, command)| Step::Command(n, command)),
        1 => (1_u8..7).prop_map(|n| Step::Command(n, Command::Forfeit)),
        1 => (side(), 1_u8..4).prop_map(|(side, n)| Step::Claim(side, n)),
        8 => input.prop_map(Step::Input),
        6 => (1_u32..5 * S).prop_map(Step::Run),
        1 => Just(Step::Interrupted),
        1 => Just(Step::Pending),
        1 => Just(Step::Recorded),
    ]
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Of(Mode),
    Private,
    Practice(Level),
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        prop::sample::select(&[Mode::Casual, Mode::Classic, Mode::Tournament, Mode::Local][..]).prop_map(Kind::Of),
        Just(Kind::Private),
        prop::sample::select(Level::ALL).prop_map(Kind::Practice),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_match_ends_once_and_its_replay_is_true(
        kind in kind(),
        seed: u64,
        eager: bool,
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let builder = match kind {
            Kind::Of(mode) => a_match(mode),
            Kind::Private => a_match(Mode::Duel).private(),
            Kind::Practice(level) => a_match(Mode::Practice).bot(Right, level),
        };
        let mut scene = builder.seed(seed).score_to_win(3).made();
        if eager {
            for n in [1, 2] {
                let _ = scene.join(n, n, JoinAs::Player);
                let _ = scene.room.command(session(n), Command::Ready);
            }
        }
        for step in steps {
            match step {
                Step::Join(n, user, join_as) => drop(scene.join(n, user, join_as)),
                Step::Leave(n) => drop(scene.room.leave(session(n))),
                Step::Command(n, command) => drop(scene.room.command(session(n), command)),
                Step::Claim(side, n) => drop(scene.room.claim(side, user(n), "claimer", Skill::Dash)),
                Step::Input(input) => drop(scene.room.input(input)),
                Step::Run(ticks) => drop(scene.run(ticks)),
                Step::Interrupted => scene.room.interrupted(),
                Step::Pending => scene.room.result_pending(),
                Step::Recorded => {
                    let was_handed_out = scene.finished.is_some();
                    prop_assert_eq!(scene.room.recorded(None).is_some(), was_handed_out);
                }
            }
        }
        // Then everyone is gone for good.
        for n in 1..7 {
            scene.room.leave(session(n));
        }
        scene.run_until(700 * S, |scene| scene.finished.is_some());
        let result = scene.result();
        let [left, right] = result.score;
        match (result.reason, result.winner) {
            (EndReason::Score, Some(winner)) => prop_assert_eq!(result.score[winner.index()], 3),
            (EndReason::Timeout | EndReason::Forfeit, Some(_)) | (EndReason::Abandoned, None) => {}
            (EndReason::NoShow, _) => prop_assert_eq!((left, right), (0, 0)),
            other => prop_assert!(false, "{:?}", other),
        }
        prop_assert!(result.started.is_some() || result.duration.0 == 0);
        prop_assert!(result.started.is_none_or(|started| started <= result.ended));
        scene.run(3);
    }
}
