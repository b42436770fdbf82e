//! Lost leases, silent links, and nodes that are gone.

use rally_protocol::{
    client::v1::{EventKind, Phase, ServerMessage},
    cluster::v1::{Command, Control},
};
use rally_units::Epoch;

use super::scene::*;
use crate::effect::{Answer, Effect};

fn ticks(scene: &Scene) -> Vec<u32> {
    scene.edges[0].heard.snapshots.iter().map(|(head, _)| head.tick.0).collect()
}

#[test]
fn matches_stand_still_while_the_link_is_silent_and_go_on_with_a_countdown() {
    let mut scene = Scene::playing();
    scene.edges[0].heard.snapshots.clear();
    scene.run(10);
    scene.link_is_up = false;
    scene.run(5 * 60);
    assert_eq!(scene.shard.host().edges(), 2, "while nobody can be heard, nobody is silent");
    scene.link_is_up = true;
    scene.run(10);
    assert_eq!(scene.phase(0), Phase::Countdown);
    let ticks = ticks(&scene);
    assert!(ticks.is_sorted_by(|a, b| a + 1 == *b), "no time has passed: {ticks:?}");
    scene.run(60);
    assert_eq!(scene.phase(0), Phase::Playing);
    assert!(!scene.events(1).contains(&EventKind::Away));
}

#[test]
fn an_edge_that_does_not_come_back_after_the_silence_is_silent() {
    let mut scene = Scene::playing();
    scene.link_is_up = false;
    scene.run(5 * 60);
    (scene.link_is_up, scene.silent) = (true, Some(0));
    scene.run(30);
    assert_eq!(scene.shard.host().edges(), 2);
    scene.run(2 * 60);
    assert_eq!(scene.shard.host().edges(), 1);
}

#[test]
fn nothing_is_said_without_a_lease_nor_before_postgres_has_confirmed_what_is_still_ours() {
    let mut scene = Scene::playing();
    scene.effects();
    scene.lease_holds = false;
    scene.run(1);
    let sent = scene.bundles_sent;
    // What would be answered at once.
    scene.command(0, 99, Command::Ready);
    scene.answer(Answer::Tell { edge: scene.edges[0].id, match_id: match_id(1), control: Box::new(Control::Gone) });
    scene.run(120);
    assert_eq!(scene.bundles_sent, sent, "neither snapshots nor messages nor controls");

    scene.lease_holds = true;
    scene.run(60);
    assert_eq!(scene.bundles_sent, sent, "it may have been taken meanwhile");
    let effects = scene.effects();
    let [Effect::Confirm { lapse, matches }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(matches[..], [(match_id(1), Epoch::FIRST)]);

    scene.edges[0].heard.snapshots.clear();
    scene.answer(Answer::Confirmed { lapse: *lapse, lost: Vec::new() });
    scene.run(2);
    assert!(!ticks(&scene).is_empty());
    assert!(
        scene.controls(0).iter().any(|control| matches!(control, Control::CommandRefused { .. })),
        "late, not lost"
    );
}

#[test]
fn a_match_that_was_lost_in_a_lapse_is_not_said_any_more() {
    let mut scene = Scene::playing();
    scene.effects();
    scene.lease_holds = false;
    scene.run(1);
    scene.lease_holds = true;
    scene.run(1);
    let effects = scene.effects();
    let [Effect::Confirm { lapse, .. }] = &effects[..] else { panic!("{effects:?}") };
    scene.edges[0].heard.snapshots.clear();
    scene.answer(Answer::Confirmed { lapse: *lapse, lost: vec![(match_id(1), Epoch::FIRST)] });
    scene.run(10);
    assert!(ticks(&scene).is_empty());
    assert!(scene.controls(0).contains(&Control::NotHere));
}

#[test]
fn a_match_whose_result_is_being_recorded_is_not_asked_for() {
    let mut scene = Scene::playing();
    scene.command(0, 1, Command::Forfeit);
    scene.run(1);
    scene.effects();
    scene.lease_holds = false;
    scene.run(1);
    scene.lease_holds = true;
    scene.run(1);
    assert!(scene.effects().is_empty());
    scene.answer(Answer::Finished { match_id: match_id(1), ratings: None });
    scene.run(2);
    assert!(matches!(scene.edges[0].heard.messages.last(), Some(ServerMessage::GameOver(_))));
}

#[test]
fn what_waits_for_an_edge_that_is_gone_is_not_repeated_for_ever() {
    let mut scene = Scene::with_match();
    scene.silent = Some(1);
    scene.answer(Answer::Tell { edge: scene.edges[1].id, match_id: match_id(1), control: Box::new(Control::Gone) });
    scene.ask(0, match_id(1), Control::Leave { session: session(1) });
    scene.run(20 * 60);
    let repeated = |scene: &mut Scene| {
        let before = scene.bundles_sent;
        scene.run(5 * 60);
        scene.bundles_sent - before
    };
    assert!(repeated(&mut scene) >= 4, "its lease lives: it may come back");
    scene.is_registered[1] = false;
    scene.run(60);
    assert_eq!(repeated(&mut scene), 0);
}
