//! Joining, playing, watching, and what reaches whom.

use rally_fabric::ReceiveError;
use rally_protocol::{
    client::v1::{Dir, ErrorCode, EventKind, JoinAs, Phase, ServerMessage, Side},
    cluster::v1::{Command, Control, InputRecord},
};
use rally_units::Epoch;

use super::scene::*;

#[test]
fn two_edges_get_every_snapshot_and_event_of_their_match() {
    let mut scene = Scene::playing();
    assert_eq!(scene.phase(0), Phase::Playing);
    for edge in &mut scene.edges {
        edge.heard.snapshots.clear();
    }
    scene.run(60);
    for edge in &scene.edges {
        let ticks: Vec<_> = edge.heard.snapshots.iter().map(|(head, _)| head.tick.0).collect();
        assert_eq!(ticks.len(), 60, "60 a second");
        assert!(ticks.is_sorted_by(|a, b| a + 1 == *b), "{ticks:?}");
    }
    let ns = |edge: usize| -> Vec<u32> {
        let n = |message: &ServerMessage| match message {
            ServerMessage::MatchEvent(event) => Some(event.n),
            _ => None,
        };
        scene.edges[edge].heard.messages.iter().filter_map(n).collect()
    };
    assert!(ns(1).is_sorted_by(|a, b| a + 1 == *b), "{:?}", ns(1));
    assert!(scene.events(1).contains(&EventKind::Go));
}

#[test]
fn an_input_moves_the_paddle_and_is_acknowledged() {
    let mut scene = Scene::playing();
    let input = |n, dir| InputRecord { side: Side::Left, generation: 1, n, seq: n, dir, press: false };
    let to = worker();
    scene.edges[0].pairs.inputs(to, match_id(1), Epoch::FIRST, &[input(1, Dir::Up), input(2, Dir::Up)]);
    scene.run(30);
    let (head, ServerMessage::Snapshot(snapshot)) = scene.edges[1].heard.snapshots.last().unwrap() else { panic!() };
    assert_eq!((head.applied[0], snapshot.ack), (2, [2, 0]));
    assert!(snapshot.paddles[0].0 < 540 * 16 - 100 * 16, "{:?}", snapshot.paddles);
}

#[test]
fn inputs_that_do_not_fit_are_refused_and_hurt_nobody() {
    let mut scene = Scene::playing();
    let to = worker();
    let pairs = &mut scene.edges[0].pairs;
    let old = InputRecord { side: Side::Left, generation: 0, n: 1, seq: 1, dir: Dir::Up, press: false };
    pairs.inputs(to, match_id(1), Epoch::FIRST, &[old]);
    pairs.inputs(to, match_id(9), Epoch::FIRST, &[old]);
    scene.run(30);
    let (head, ServerMessage::Snapshot(snapshot)) = scene.edges[0].heard.snapshots.last().unwrap() else { panic!() };
    assert_eq!((head.applied, snapshot.paddles[0].0), ([0, 0], 540 * 16));
}

#[test]
fn a_newer_connection_takes_the_seat_over() {
    let mut scene = Scene::with_match();
    let joined = scene.join(1, 9, 1, JoinAs::Player);
    assert!(matches!(joined[..], [Control::Joined { generation: 2, .. }]), "{joined:?}");
    let older = scene.controls(0);
    assert_eq!(older, [Control::SeatTaken { session: session(1), side: Side::Left }]);
    // The older connection's end changes nothing for the newer one.
    scene.ask(0, match_id(1), Control::Leave { session: session(1) });
    scene.command(1, 9, Command::Ready);
    scene.command(1, 2, Command::Ready);
    scene.run(3 * 60 + 4);
    assert_eq!(scene.phase(1), Phase::Playing);
}

#[test]
fn the_edge_that_a_session_has_left_cannot_make_it_leave() {
    let mut scene = Scene::playing();
    // The same session, resumed through the other edge; the first one notices later.
    let joined = scene.join(1, 1, 1, JoinAs::Player);
    assert!(matches!(joined[..], [Control::Joined { generation: 2, .. }]), "{joined:?}");
    scene.ask(0, match_id(1), Control::Leave { session: session(1) });
    scene.run(3 * 60);
    assert!(!scene.events(1).contains(&EventKind::Away), "{:?}", scene.events(1));
    assert_eq!(scene.phase(1), Phase::Playing);
}

#[test]
fn a_spectator_watches_and_commands_nothing() {
    let mut scene = Scene::with_match();
    let joined = scene.join(1, 9, 9, JoinAs::Spectator);
    assert!(matches!(joined[..], [Control::Joined { generation: 0, .. }]), "{joined:?}");
    scene.command(1, 9, Command::Forfeit);
    let refused = scene.controls(1);
    assert!(matches!(refused[..], [Control::CommandRefused { code: ErrorCode::Forbidden, .. }]), "{refused:?}");
}

#[test]
fn players_of_a_silent_edge_are_away() {
    let mut scene = Scene::playing();
    scene.silent = Some(0);
    scene.run(2 * 60);
    assert_eq!(scene.shard.host().edges(), 1);
    assert!(scene.events(1).contains(&EventKind::Away));
}

#[test]
fn players_of_an_edge_that_restarted_are_away() {
    let mut scene = Scene::playing();
    scene.edges[0] = TestEdge::new("edge-1", 99);
    scene.run(30);
    assert_eq!(scene.shard.host().edges(), 1);
    assert!(scene.events(1).contains(&EventKind::Away));
}

#[test]
fn bad_bundles_are_refused_and_nobody_else_notices() {
    let mut scene = Scene::playing();
    let mut bundles = Vec::new();
    let worker = worker();
    let forfeit = Control::Command { session: session(1), command: Command::Forfeit };
    scene.edges[0].pairs.control(worker, match_id(1), Epoch::FIRST, &forfeit).unwrap();
    scene.edges[0].pairs.flush(scene.now, |_, bundle| bundles.push(bundle));
    let good = bundles[0].clone();
    let mut forged = good.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    for bad in [&forged[..], &good[..good.len() - 1], &good[..3], b""] {
        assert!(scene.shard.receive(scene.now, bad).is_err());
    }
    scene.run(2);
    assert_eq!(scene.phase(1), Phase::Playing, "the forged forfeit did not count");
    scene.shard.receive(scene.now, &good).unwrap();
    assert_eq!(scene.shard.receive(scene.now, &good), Err(ReceiveError::Repeated));
}

#[test]
fn inputs_for_another_owner_are_refused() {
    let mut scene = Scene::playing();
    let input = InputRecord { side: Side::Left, generation: 1, n: 1, seq: 1, dir: Dir::Up, press: false };
    let to = worker();
    scene.edges[0].pairs.inputs(to, match_id(1), Epoch::FIRST.next(), &[input]);
    scene.edges[0].pairs.inputs(to, match_id(1), Epoch(0), &[input]);
    scene.run(10);
    assert_eq!(scene.edges[0].heard.snapshots.last().unwrap().0.applied, [0, 0]);
}
