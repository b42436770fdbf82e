//! A finished match watched again: on whichever edge, back and forth, at another speed, and by nobody else.

use rally_client::{
    Api, ApiError, Encoding,
    protocol::{
        ErrorCode, Forfeit, JoinAs, MatchJoin, Mode, Phase, Place, ReplayControl, ReplayState, ServerMessage, Snapshot,
    },
};
use rally_units::{MatchId, Tick};

use crate::support::{Player, pair_ready, shared};

impl Player {
    async fn state(&mut self, is_it: impl Fn(&ReplayState) -> bool) -> ReplayState {
        self.message(|message| match message {
            ServerMessage::ReplayState(state) => is_it(state).then(|| state.clone()),
            _ => None,
        })
        .await
    }

    async fn seen(&mut self, is_it: impl Fn(&Snapshot) -> bool) -> Snapshot {
        self.message(|message| match message {
            ServerMessage::Snapshot(snapshot) => is_it(snapshot).then(|| snapshot.clone()),
            _ => None,
        })
        .await
    }

    fn direct(&self, match_id: MatchId, tick: Option<u32>, speed_percent: Option<u16>) {
        self.send(ReplayControl { match_id, tick: tick.map(Tick), speed_percent });
    }
}

#[tokio::test]
async fn a_finished_match_is_watched_again() {
    let cluster = shared().await;
    let [one, other] = &cluster.edges;
    let (mut ada, mut bob) =
        tokio::join!(Player::at(one.url(), Encoding::Msgpack), Player::at(other.url(), Encoding::Json));
    let (of, _) = pair_ready(Mode::Casual, &mut ada, &mut bob).await;
    let played = ada.seen(|snapshot| snapshot.clock.0 > 180).await;
    ada.seen(|snapshot| snapshot.tick > played.tick.next()).await;
    bob.send(Forfeit { match_id: of });
    tokio::join!(ada.over(), bob.over());

    // Asked for at one edge, watched at another.
    let token = &ada.identity.tokens.access.clone();
    let showing = Api::new(other.url()).show_replay(token, of, None).await.unwrap();
    let joined = ada.join(showing, JoinAs::Spectator).await;
    assert_eq!((joined.match_id, joined.side, joined.mode), (showing, Place::Spectator, Mode::Casual));
    assert_eq!(joined.phase, Phase::Countdown);
    let names = joined.players.map(|player| player.unwrap().name);
    for player in [&ada, &bob] {
        assert!(names.contains(&player.identity.user.name), "{names:?}");
    }
    let state = ada.state(|_| true).await;
    assert_eq!((state.match_id, state.of, state.speed_percent), (showing, of, 100));
    ada.direct(showing, None, Some(800));
    let end = ada.state(|state| state.tick == state.ticks).await;
    ada.seen(|snapshot| snapshot.phase == Phase::Finished).await;

    // Back, and nothing moves.
    ada.direct(showing, Some(played.tick.0), Some(0));
    ada.state(|state| state.tick == played.tick && state.speed_percent == 0).await;
    let again = ada.seen(|snapshot| snapshot.clock == played.clock).await;
    assert_eq!((again.phase, again.paddles, again.balls), (Phase::Paused, played.paddles, played.balls));
    ada.direct(showing, None, Some(801));
    let refused = ada.error().await;
    assert_eq!((refused.code, refused.of.as_deref()), (ErrorCode::InvalidInput, Some("replay_control")));

    // The same person elsewhere goes on with it; anybody else has it shown to himself.
    let mut elsewhere = Player::again(other.url(), Encoding::Json, ada.identity.clone()).await;
    elsewhere.join(showing, JoinAs::Spectator).await;
    elsewhere.state(|state| state.tick == played.tick).await;
    elsewhere.direct(showing, Some(end.ticks.0 - 30), Some(100));
    ada.state(|state| state.tick == state.ticks).await;
    bob.send(MatchJoin { match_id: showing, join_as: JoinAs::Spectator, skill: None });
    assert_eq!(bob.error().await.code, ErrorCode::Forbidden);
    let token = &bob.identity.tokens.access.clone();
    let his = Api::new(one.url()).show_replay(token, of, Some(played.tick)).await.unwrap();
    bob.join(his, JoinAs::Spectator).await;
    bob.seen(|snapshot| snapshot.clock >= played.clock).await;
    bob.direct(of, None, Some(0));
    let refused = bob.error().await;
    assert_eq!((refused.code, refused.match_id), (ErrorCode::InvalidInput, Some(of)), "that one is no replay");

    let nothing = Api::new(one.url()).show_replay(token, MatchId::from_bytes([1; 16]), None).await;
    assert!(matches!(&nothing, Err(ApiError::Refused(problem)) if problem.code == "not_found"), "{nothing:?}");
}
