//! Results, matches without one, and what is left of both.

use rally_protocol::{
    client::v1::{EndReason, ErrorCode, EventKind, JoinAs, ServerMessage, Side},
    cluster::v1::{Command, Control},
};
use rally_units::Epoch;

use super::scene::*;
use crate::{
    effect::{Answer, Effect},
    pacing::PHASES,
};

#[test]
fn a_match_ends_is_recorded_and_then_told() {
    let mut scene = Scene::playing();
    scene.command(0, 1, Command::Forfeit);
    scene.run(2);
    let effects = scene.effects();
    let Some(Effect::Finish { result, epoch, .. }) = effects.last() else { panic!("{effects:?}") };
    assert_eq!((result.winner, result.reason, *epoch), (Some(Side::Right), EndReason::Forfeit, Epoch::FIRST));
    assert!(matches!(effects[0], Effect::Started { .. }));
    assert_eq!(scene.events(1).last(), Some(&EventKind::ResultPending));
    let told = |scene: &Scene| scene.edges[1].heard.messages.iter().any(|m| matches!(m, ServerMessage::GameOver(_)));
    assert!(!told(&scene), "not before it is recorded");

    scene.answer(Answer::Finished { match_id: match_id(1), ratings: None });
    scene.run(2);
    assert!(told(&scene));
    assert_eq!(scene.shard.host().load(), 0);

    let joined = scene.join(0, 3, 1, JoinAs::Player);
    let Some(Control::Joined { picture, .. }) = joined.last() else { panic!("{joined:?}") };
    assert_eq!(picture.over.as_ref().unwrap().reason, EndReason::Forfeit, "who comes late sees the result");
    scene.run(61 * 60);
    let gone = scene.join(0, 4, 1, JoinAs::Player);
    assert!(gone.iter().any(|c| matches!(c, Control::Refused { code: ErrorCode::NotFound, .. })), "{gone:?}");
}

#[test]
fn who_waited_in_vain_is_queued_again() {
    let mut scene = Scene::new();
    scene.create(casual(1));
    scene.join(0, 1, 1, JoinAs::Player);
    scene.run(11 * 60);
    let effects = scene.effects();
    let [Effect::Finish { result, .. }] = &effects[..] else {
        panic!("the seat is not free before the result is recorded: {effects:?}")
    };
    assert_eq!(result.winner, None);
    scene.answer(Answer::Finished { match_id: match_id(1), ratings: None });
    scene.run(1);
    let effects = scene.effects();
    let [Effect::Requeue(ticket)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((ticket.user, ticket.session, ticket.edge), (user(1), session(1), scene.edges[0].id));
}

#[test]
fn who_waited_in_vain_and_left_is_not_queued_again() {
    let mut scene = Scene::new();
    scene.create(casual(1));
    scene.join(0, 1, 1, JoinAs::Player);
    scene.run(11 * 60);
    scene.effects();
    scene.ask(0, match_id(1), Control::Leave { session: session(1) });
    scene.run(1);
    scene.answer(Answer::Finished { match_id: match_id(1), ratings: None });
    scene.run(1);
    assert!(scene.effects().is_empty());
}

#[test]
fn a_fenced_match_is_said_no_more() {
    let mut scene = Scene::playing();
    scene.answer(Answer::Fenced { match_id: match_id(1), epoch: Epoch::FIRST });
    scene.run(1);
    scene.edges[0].heard.snapshots.clear();
    scene.run(10);
    assert!(scene.edges[0].heard.snapshots.is_empty());
    assert!(scene.edges[0].heard.controls.contains(&Control::NotHere));
    assert_eq!(scene.shard.host().load(), 0);
}

#[test]
fn what_still_plays_at_the_deadline_is_void_once_that_is_recorded() {
    let mut scene = Scene::playing();
    scene.effects();
    scene.answer(Answer::GiveUp);
    scene.run(1);
    let effects = scene.effects();
    assert!(matches!(effects[..], [Effect::Void { .. }]), "{effects:?}");
    scene.answer(Answer::Voided { match_id: match_id(1) });
    scene.run(2);
    let over = scene.edges[0].heard.messages.last();
    assert!(matches!(over, Some(ServerMessage::GameOver(over)) if over.reason == EndReason::Abandoned), "{over:?}");
    assert_eq!(scene.shard.host().load(), 0);
}

#[test]
fn a_result_that_is_recorded_at_once_is_still_announced_first() {
    let mut scene = Scene::playing();
    scene.effects();
    scene.command(0, 1, Command::Forfeit);
    while scene.effects().is_empty() {
        scene.step();
    }
    scene.answer(Answer::Finished { match_id: match_id(1), ratings: None });
    scene.run(2);
    let messages = &scene.edges[1].heard.messages;
    let [.., ServerMessage::MatchEvent(event), ServerMessage::GameOver(_)] = &messages[..] else {
        panic!("{:?}", messages.last())
    };
    assert_eq!(event.event, EventKind::ResultPending);
}

#[test]
fn what_was_given_up_does_not_end_in_a_second_way() {
    let mut scene = Scene::playing();
    scene.effects();
    scene.command(0, 1, Command::Pause);
    scene.answer(Answer::GiveUp);
    scene.command(0, 1, Command::Forfeit);
    scene.run(10);
    let effects = scene.effects();
    assert!(matches!(effects[..], [Effect::Void { .. }]), "and no result: {effects:?}");
    scene.answer(Answer::Voided { match_id: match_id(1) });
    scene.answer(Answer::Voided { match_id: match_id(1) });
    scene.run(2);
    let told = scene.edges[0].heard.messages.iter().filter(|m| matches!(m, ServerMessage::GameOver(_))).count();
    assert_eq!(told, 1);
}

#[test]
fn a_match_created_after_the_deadline_is_given_up_too() {
    let mut scene = Scene::new();
    let spec = scene.ask_to_create(1, casual(1));
    scene.answer(Answer::GiveUp);
    scene.answer(Answer::Created { spec, grant: HERE });
    scene.run(1);
    let effects = scene.effects();
    assert!(matches!(effects[..], [Effect::Void { .. }]), "{effects:?}");
    scene.answer(Answer::Voided { match_id: match_id(1) });
    assert_eq!(scene.shard.host().load(), 0);
}

#[test]
fn a_recorded_match_is_not_taken_away_any_more() {
    let mut scene = Scene::playing();
    scene.command(0, 1, Command::Forfeit);
    scene.run(1);
    scene.answer(Answer::Finished { match_id: match_id(1), ratings: None });
    scene.answer(Answer::Fenced { match_id: match_id(1), epoch: Epoch::FIRST });
    let joined = scene.join(0, 3, 1, JoinAs::Player);
    assert!(matches!(joined.last(), Some(Control::Joined { .. })), "{joined:?}");
}

#[test]
fn finished_matches_stay_for_a_while_and_are_no_more_than_may_be_hosted() {
    let mut scene = Scene::new();
    for n in 1..=5 {
        scene.create(casual(n));
        scene.answer(Answer::GiveUp);
        scene.answer(Answer::Voided { match_id: match_id(n) });
        scene.run(1);
        scene.effects();
    }
    scene.run(PHASES * 60);
    assert_eq!((scene.shard.host().load(), scene.shard.host().afterlives()), (0, 2), "matches_max is 2");
    scene.run(61 * 60);
    assert_eq!(scene.shard.host().afterlives(), 0);
}
