//! Matches on their way through Postgres, and seats that are claimed there.

use rally_protocol::{
    client::v1::{ErrorCode, JoinAs, Mode, Side},
    cluster::v1::{Control, MatchSpec, SeatSpec},
};
use rally_units::Epoch;

use super::scene::*;
use crate::effect::{Answer, Effect, Grant, Refused};

#[test]
fn a_full_or_draining_worker_takes_no_more() {
    let mut scene = Scene::new();
    scene.create(casual(1));
    scene.create(MatchSpec { id: match_id(2), ..casual(2) });
    let refused = |scene: &mut Scene, n| {
        scene.ask(0, match_id(n), Control::Create { request: 5, spec: Box::new(casual(n)) });
        scene.run(2);
        let told = scene.controls(0);
        assert!(matches!(told[..], [Control::Refused { request: 5, code: ErrorCode::AtCapacity, .. }]), "{told:?}");
    };
    refused(&mut scene, 3);
    let mut scene = Scene::new();
    scene.answer(Answer::Drain);
    refused(&mut scene, 1);
}

#[test]
fn creating_twice_is_creating_once() {
    let mut scene = Scene::new();
    for request in [1, 2] {
        scene.ask(0, match_id(1), Control::Create { request, spec: Box::new(casual(1)) });
    }
    scene.run(1);
    let effects = scene.effects();
    assert_eq!(effects.len(), 1);
    let Some(Effect::Create(spec)) = effects.into_iter().next() else { panic!() };
    scene.answer(Answer::Created { spec, grant: HERE });
    scene.ask(1, match_id(1), Control::Create { request: 3, spec: Box::new(casual(1)) });
    scene.run(2);
    let told = scene.controls(0);
    assert_eq!(told, [Control::Created { request: 1 }, Control::Created { request: 2 }]);
    assert_eq!(scene.controls(1), [Control::Created { request: 3 }]);
    assert_eq!(scene.shard.host().load(), 1);
}

#[test]
fn an_open_seat_is_claimed_in_postgres_first() {
    let mut scene = Scene::new();
    let seats = [seat(1), SeatSpec::Open];
    scene.create(MatchSpec { mode: Mode::Duel, private: true, seats, ..casual(1) });
    assert!(scene.join(1, 2, 2, JoinAs::Player).is_empty(), "not before the claim");
    let mut effects = scene.effects();
    let Some(Effect::Claim { side: Side::Right, join, .. }) = effects.pop() else { panic!() };
    let refused = Refused::new(ErrorCode::AlreadyInMatch, "elsewhere");
    let side = Side::Right;
    scene.answer(Answer::Claimed { match_id: match_id(1), side, join: join.clone(), granted: Err(refused) });
    scene.run(2);
    let told = scene.controls(1);
    assert!(matches!(told[..], [Control::Refused { code: ErrorCode::AlreadyInMatch, .. }]), "{told:?}");

    scene.join(1, 2, 2, JoinAs::Player);
    let mut effects = scene.effects();
    let Some(Effect::Claim { join, .. }) = effects.pop() else { panic!() };
    scene.answer(Answer::Claimed { match_id: match_id(1), side, join, granted: Ok(()) });
    scene.run(2);
    let told = scene.controls(1);
    assert!(matches!(told[..], [Control::Joined { generation: 1, .. }]), "{told:?}");
}

#[test]
fn who_leaves_before_the_seat_is_granted_is_absent() {
    let mut scene = Scene::new();
    let seats = [seat(1), SeatSpec::Open];
    scene.create(MatchSpec { mode: Mode::Duel, private: true, seats, ..casual(1) });
    scene.join(1, 2, 2, JoinAs::Player);
    let mut effects = scene.effects();
    let Some(Effect::Claim { side, join, .. }) = effects.pop() else { panic!() };
    scene.ask(1, match_id(1), Control::Leave { session: session(2) });
    scene.run(2);
    scene.answer(Answer::Claimed { match_id: match_id(1), side, join, granted: Ok(()) });
    scene.run(2);
    assert_eq!(scene.controls(1), [], "nobody is there to be told");
    // The seat is that user's all the same.
    let told = scene.join(1, 3, 2, JoinAs::Player);
    assert!(matches!(told[..], [Control::Joined { generation: 1, .. }]), "{told:?}");
}

#[test]
fn who_joins_before_the_match_is_known_here_waits_for_it() {
    let mut scene = Scene::new();
    let spec = scene.ask_to_create(1, casual(1));
    assert!(scene.join(1, 2, 2, JoinAs::Player).is_empty());
    scene.join(1, 9, 9, JoinAs::Spectator);
    scene.ask(1, match_id(1), Control::Leave { session: session(9) });
    scene.run(1);
    scene.answer(Answer::Created { spec, grant: HERE });
    scene.run(1);
    let told = scene.controls(1);
    assert!(matches!(told[..], [Control::Joined { generation: 1, .. }]), "{told:?}");
}

#[test]
fn who_joins_a_match_that_comes_to_nothing_is_told() {
    let mut scene = Scene::new();
    let spec = scene.ask_to_create(1, casual(1));
    scene.join(1, 2, 2, JoinAs::Player);
    let refused = Refused::new(ErrorCode::AlreadyInMatch, "elsewhere");
    scene.answer(Answer::Created { spec, grant: Grant::Refused(refused) });
    scene.run(1);
    assert!(matches!(scene.controls(1)[..], [Control::Refused { code: ErrorCode::NotFound, .. }]));
    assert!(matches!(scene.controls(0)[..], [Control::Refused { code: ErrorCode::AlreadyInMatch, .. }]));
}

/// Postgres did not say whether it has created match 1.
fn in_doubt() -> (Scene, Box<MatchSpec>) {
    let mut scene = Scene::new();
    let spec = scene.ask_to_create(1, casual(1));
    let unknown = Grant::Unknown(Refused::new(ErrorCode::Unavailable, "no answer"));
    scene.answer(Answer::Created { spec: spec.clone(), grant: unknown });
    scene.run(1);
    assert!(matches!(scene.controls(0)[..], [Control::Refused { code: ErrorCode::Unavailable, .. }]));
    (scene, spec)
}

#[test]
fn a_match_that_may_have_been_created_is_ended_so_that_its_players_are_free() {
    let (mut scene, spec) = in_doubt();
    scene.run(9 * 60);
    assert!(scene.effects().is_empty(), "it may be asked for again");
    scene.run(2 * 60);
    let effects = scene.effects();
    assert!(matches!(effects[..], [Effect::Void { epoch: Epoch::FIRST, .. }]), "{effects:?}");
    scene.ask(0, match_id(1), Control::Create { request: 2, spec: spec.clone() });
    scene.run(1);
    let told = scene.controls(0);
    assert!(matches!(told[..], [Control::Refused { code: ErrorCode::Unavailable, .. }]), "not now: {told:?}");
    scene.answer(Answer::Voided { match_id: match_id(1) });
    assert_eq!(scene.shard.host().load(), 0);
}

#[test]
fn a_match_that_may_have_been_created_and_is_asked_for_again_is_hosted() {
    let (mut scene, spec) = in_doubt();
    let spec = scene.ask_to_create(2, *spec);
    scene.answer(Answer::Created { spec, grant: HERE });
    scene.run(11 * 60);
    assert!(!scene.effects().iter().any(|effect| matches!(effect, Effect::Void { .. })));
    assert_eq!(scene.controls(0), [Control::Created { request: 2 }]);
}

#[test]
fn one_user_may_claim_a_seat_through_two_connections() {
    let mut scene = Scene::new();
    scene.create(MatchSpec { mode: Mode::Duel, private: true, seats: [seat(1), SeatSpec::Open], ..casual(1) });
    scene.join(1, 2, 2, JoinAs::Player);
    scene.join(1, 3, 2, JoinAs::Player);
    for effect in scene.effects() {
        let Effect::Claim { match_id, side, join, .. } = effect else { panic!("{effect:?}") };
        scene.answer(Answer::Claimed { match_id, side, join, granted: Ok(()) });
    }
    scene.run(2);
    let told = scene.controls(1);
    let [Control::Joined { generation: 1, .. }, Control::SeatTaken { .. }, Control::Joined { generation: 2, .. }] =
        &told[..]
    else {
        panic!("{told:?}")
    };
}
