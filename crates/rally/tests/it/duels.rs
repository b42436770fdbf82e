//! A duel by invitation over two edges, watched from the list of live matches, and a rematch.

use rally_client::{
    Encoding,
    protocol::{
        DuelAnswer, DuelInvite, EndReason, EventKind, Forfeit, JoinAs, Mode, Place, Rematch, ServerMessage, Side, Skill,
    },
};
use rally_fabric::{Fabric, FabricConfig, Role};
use rally_testkit::eventually;
use rally_units::{Incarnation, MatchId};
use tokio_util::sync::CancellationToken;

use crate::support::{LONG, Player, shared};

async fn meet(left: &mut Player, right: &mut Player) -> MatchId {
    let (l, r) = tokio::join!(left.found(), right.found());
    assert_eq!((l.match_id, l.mode, l.side, r.side), (r.match_id, Mode::Duel, Side::Left, Side::Right));
    let (l, r) = tokio::join!(left.join(l.match_id, JoinAs::Player), right.join(r.match_id, JoinAs::Player));
    assert_eq!((l.side, r.side), (Place::Left, Place::Right));
    left.ready(l.match_id);
    right.ready(l.match_id);
    left.event(EventKind::Go).await;
    l.match_id
}

#[tokio::test]
async fn an_invitation_is_played_and_played_again() {
    let cluster = shared().await;
    let [one, other] = &cluster.edges;
    let (mut ada, mut bob, mut eve) = tokio::join!(
        Player::at(one.url(), Encoding::Msgpack),
        Player::at(other.url(), Encoding::Json),
        Player::at(one.url(), Encoding::Msgpack),
    );
    ada.send(DuelInvite { user: bob.identity.user.id, mode: Mode::Duel, skill: Some(Skill::Dash) });
    let invite = bob.message(|message| match message {
        ServerMessage::DuelInvited(invited) => Some((invited.invite, invited.from.id)),
        _ => None,
    });
    let (invite, from) = invite.await;
    assert_eq!(from, ada.identity.user.id);
    bob.send(DuelAnswer { invite, accept: true, skill: None });
    let first = meet(&mut ada, &mut bob).await;

    // It is among those that anybody may watch; whoever does is counted.
    eve.join(first, JoinAs::Spectator).await;
    let over = CancellationToken::new();
    let config = FabricConfig::new(
        cluster.redis.url(),
        "onlooker",
        Incarnation::from_bits(1),
        Role::Edge,
        rally_service::clock::now,
    );
    let fabric = Fabric::connect(config, over.clone()).unwrap();
    fabric.ready().await.unwrap();
    eventually(LONG, async || {
        let live = fabric.live().read().await.unwrap();
        live.iter().any(|live| live.id == first && live.viewers == 1)
    })
    .await;
    over.cancel();

    ada.send(Forfeit { match_id: first });
    let (over, same) = tokio::join!(ada.over(), bob.over());
    assert_eq!((&over, over.reason, over.winner), (&same, EndReason::Forfeit, Some(Side::Right)));
    bob.send(Rematch { match_id: first, skill: None });
    ada.message(|message| {
        matches!(message, ServerMessage::RematchWanted(wanted) if wanted.match_id == first).then_some(())
    })
    .await;
    ada.send(Rematch { match_id: first, skill: None });
    let second = meet(&mut bob, &mut ada).await;
    assert_ne!(first, second);
    ada.send(Forfeit { match_id: second });
    bob.over().await;
}
