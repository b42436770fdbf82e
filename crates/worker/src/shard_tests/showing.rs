//! Finished matches shown again.

use rally_protocol::{
    client::v1::{ErrorCode, JoinAs, Level, Mode, Phase, ReplayState, ServerMessage},
    cluster::v1::{Command, Control, MatchSpec, SeatSpec},
};
use rally_room::{Outputs, Programme, Room, RoomSettings, Showing, Shown, log::ReplayLog};
use rally_units::{Epoch, MatchId, Tick};

use super::scene::{Scene, match_id, session, user};
use crate::{
    effect::{Answer, Effect, Refused},
    pacing::PHASES,
};

const OF: u8 = 50;

/// Of a match between two bots.
fn a_log() -> ReplayLog {
    let bot = || SeatSpec::Bot { level: Level::Easy };
    let spec =
        MatchSpec { id: match_id(OF), mode: Mode::Practice, classic: true, private: false, seats: [bot(), bot()] };
    let mut room = Room::new(spec, 7, Epoch::FIRST, RoomSettings { score_to_win: 1 });
    let mut outputs = Outputs::new();
    loop {
        room.tick(&mut outputs);
        if let Some(finished) = outputs.finished.take() {
            return finished.replay;
        }
    }
}

fn replay(showing: MatchId) -> Box<Showing> {
    let bot = || Some(Shown { user: None, name: "Bot (easy)".into(), bot: Some(Level::Easy) });
    let programme = Programme { id: showing, of: match_id(OF), mode: Mode::Practice, players: [bot(), bot()] };
    let mut showing = Box::new(Showing::new(programme, vec![a_log()], None).unwrap());
    assert!(showing.prepare(u32::MAX));
    showing
}

/// Has it shown to user 1, who is on edge 0.
fn shown(scene: &mut Scene, n: u8) -> Vec<Control> {
    scene.ask(0, match_id(n), Control::Show { request: 5, of: match_id(OF), user: user(1), from: None });
    scene.run(1);
    for effect in scene.effects() {
        let Effect::FindReplay { showing, of, from: None } = effect else { panic!("{effect:?}") };
        assert_eq!((showing, of), (match_id(n), match_id(OF)));
        scene.answer(Answer::Replay { showing, found: Ok(replay(showing)) });
    }
    scene.run(1);
    scene.controls(0)
}

fn states(scene: &Scene, edge: usize) -> Vec<ReplayState> {
    let state = |message: &ServerMessage| match message {
        ServerMessage::ReplayState(state) => Some(state.clone()),
        _ => None,
    };
    scene.edges[edge].heard.messages.iter().filter_map(state).collect()
}

fn direct(scene: &mut Scene, tick: Option<u32>, speed_percent: Option<u16>) {
    scene.command(0, 1, Command::Replay { tick: tick.map(Tick), speed_percent });
    scene.run(2);
}

#[test]
fn a_replay_is_watched_as_a_match_is() {
    let mut scene = Scene::new();
    assert_eq!(shown(&mut scene, 1), [Control::Created { request: 5 }]);
    assert_eq!(scene.shard.host().load(), 0, "it is no match");
    scene.run(30);
    assert!(scene.edges[0].heard.snapshots.is_empty(), "nobody watches yet");

    let joined = scene.join(0, 1, 1, JoinAs::Spectator);
    let [Control::Joined { generation: 0, picture, .. }] = &joined[..] else { panic!("{joined:?}") };
    assert_eq!((picture.match_id, picture.phase), (match_id(1), Phase::Countdown));
    scene.run(60);
    let snapshots = &scene.edges[0].heard.snapshots;
    assert!((59..=63).contains(&snapshots.len()), "{} snapshots in a second", snapshots.len());
    assert!(snapshots.windows(2).all(|pair| pair[0].0.tick < pair[1].0.tick));
    let told = states(&scene, 0);
    assert!((2..=4).contains(&told.len()), "{told:?}");
    assert_eq!((told[0].match_id, told[0].of, told[0].speed_percent), (match_id(1), match_id(OF), 100));

    // Back and forth, slower, and not at all.
    direct(&mut scene, Some(300), Some(0));
    let state = states(&scene, 0).pop().unwrap();
    assert_eq!((state.tick, state.speed_percent), (Tick(300), 0));
    let before = scene.edges[0].heard.snapshots.len();
    scene.run(60);
    assert_eq!(scene.edges[0].heard.snapshots.len() - before, 10, "what stands still is shown less often");
    direct(&mut scene, None, Some(801));
    let refused = scene.controls(0);
    assert!(matches!(refused[..], [Control::CommandRefused { code: ErrorCode::InvalidInput, .. }]), "{refused:?}");
    direct(&mut scene, Some(u32::MAX), Some(100));
    let state = states(&scene, 0).pop().unwrap();
    assert_eq!((state.tick, scene.phase(0)), (state.ticks, Phase::Finished));
    scene.command(0, 1, Command::Pause);
    scene.run(2);
    assert!(matches!(scene.controls(0)[..], [Control::CommandRefused { code: ErrorCode::Forbidden, .. }]));
}

#[test]
fn it_is_shown_to_one_alone_on_whichever_edge() {
    let mut scene = Scene::new();
    shown(&mut scene, 1);
    for (user_n, join_as, code) in
        [(2, JoinAs::Spectator, ErrorCode::Forbidden), (1, JoinAs::Player, ErrorCode::Forbidden)]
    {
        let refused = scene.join(1, 7, user_n, join_as);
        assert!(matches!(&refused[..], [Control::Refused { code: c, .. }] if *c == code), "{refused:?}");
    }
    scene.join(0, 1, 1, JoinAs::Spectator);
    assert!(matches!(scene.join(1, 2, 1, JoinAs::Spectator)[..], [Control::Joined { .. }]), "the other device");
    scene.run(10);
    assert!(scene.edges.iter().all(|edge| edge.heard.snapshots.len() >= 9));
    // A question that is only for those who are there.
    scene.ask(1, match_id(1), Control::Leave { session: session(2) });
    scene.run(2);
    scene.command(1, 2, Command::Replay { tick: None, speed_percent: Some(0) });
    scene.run(2);
    assert!(matches!(scene.controls(1)[..], [Control::CommandRefused { code: ErrorCode::Forbidden, .. }]));

    // Its edge falls silent: it stands still, and goes on where it was.
    scene.silent = Some(0);
    scene.run(2 * 60);
    scene.silent = None;
    let position = states(&scene, 0).last().unwrap().tick;
    scene.controls(0);
    scene.run(20 * 60);
    assert_eq!(scene.controls(0), [], "it waits");
    let again = scene.join(0, 1, 1, JoinAs::Spectator);
    assert!(matches!(again[..], [Control::Joined { .. }]), "{again:?}");
    scene.run(2);
    let since = states(&scene, 0).last().unwrap().tick.0 - position.0;
    assert!(since < 2 * 60, "it went on without anybody: {since} ticks");
}

#[test]
fn it_ends_when_its_watcher_stays_away_and_with_its_worker() {
    let mut scene = Scene::new();
    shown(&mut scene, 1);
    scene.run(32 * 60);
    let late = scene.join(0, 1, 1, JoinAs::Spectator);
    assert!(matches!(late[..], [Control::Refused { code: ErrorCode::NotFound, .. }]), "{late:?}");

    shown(&mut scene, 1);
    scene.join(0, 1, 1, JoinAs::Spectator);
    scene.answer(Answer::Drain);
    scene.run(2);
    assert_eq!(scene.controls(0), [Control::Gone]);
    let refused = shown(&mut scene, 1);
    assert!(matches!(refused[..], [Control::Refused { code: ErrorCode::AtCapacity, .. }]), "{refused:?}");
}

#[test]
fn one_person_has_a_few_at_a_time() {
    let mut scene = Scene::new();
    for n in 1..=5 {
        assert_eq!(shown(&mut scene, n), [Control::Created { request: 5 }]);
    }
    let oldest = scene.join(0, 1, 1, JoinAs::Spectator);
    assert!(matches!(oldest[..], [Control::Refused { code: ErrorCode::NotFound, .. }]), "{oldest:?}");
}

#[test]
fn what_one_watches_is_not_ended_for_another_of_ones_own() {
    let mut scene = Scene::new();
    shown(&mut scene, 1);
    scene.join(0, 1, 1, JoinAs::Spectator);
    for n in 2..=6 {
        assert_eq!(shown(&mut scene, n), [Control::Created { request: 5 }], "the oldest that nobody watches goes");
    }
    scene.command(0, 1, Command::Replay { tick: Some(Tick(300)), speed_percent: None });
    scene.run(2);
    assert_eq!(scene.controls(0), [], "the one that is watched is still there");

    // One at a time is read.
    for n in [7, 8] {
        scene.ask(0, match_id(n), Control::Show { request: n.into(), of: match_id(OF), user: user(1), from: None });
    }
    scene.run(1);
    assert_eq!(scene.effects().len(), 1);
    assert!(matches!(scene.controls(0)[..], [Control::Refused { request: 8, code: ErrorCode::RateLimited, .. }]));
}

#[test]
fn what_stands_still_for_long_ends() {
    let mut scene = Scene::new();
    shown(&mut scene, 1);
    scene.join(0, 1, 1, JoinAs::Spectator);
    direct(&mut scene, None, Some(0));
    scene.run(9 * 60 * 60);
    assert_eq!(scene.controls(0), []);
    scene.run(2 * 60 * 60);
    assert_eq!(scene.controls(0), [Control::Gone]);
}

#[test]
fn what_cannot_be_shown_is_refused() {
    let mut scene = Scene::new();
    scene.ask(0, match_id(1), Control::Show { request: 5, of: match_id(OF), user: user(1), from: None });
    scene.run(1);
    let found = Err(Refused::new(ErrorCode::NotFound, "there is no replay of such a match"));
    scene.answer(Answer::Replay { showing: match_id(1), found });
    scene.run(1);
    assert!(matches!(scene.controls(0)[..], [Control::Refused { request: 5, code: ErrorCode::NotFound, .. }]));
    // The answer to a question that nobody has put.
    scene.answer(Answer::Replay { showing: match_id(2), found: Ok(replay(match_id(2))) });
    scene.run(PHASES);
    assert_eq!(scene.controls(0), []);
}
