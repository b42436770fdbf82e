//! Reads finished matches that are to be shown again.

use rally_protocol::client::v1::ErrorCode;
use rally_room::{Programme, Showing, Shown, log::ReplayLog};
use rally_store::{ListedSide, Seat};
use rally_units::{Epoch, MatchId, Tick};

use super::{Persister, unavailable};
use crate::{
    convert,
    effect::{Answer, Refused},
};

/// Ticks played again before others have their turn: below 0.3 ms.
const STEPS_AT_ONCE: u32 = 1_000;

impl Persister {
    pub(super) async fn find_replay(&self, showing: MatchId, of: MatchId, from: Option<Tick>) {
        let found = {
            let _one = self.at_once.acquire().await;
            self.read_replay(showing, of, from).await
        };
        if found.is_ok() {
            // Before anybody hears of it: Postgres does not know who shows it.
            self.own(vec![(showing, Epoch::FIRST)]).await;
        }
        self.answer(Answer::Replay { showing, found }).await;
    }

    async fn read_replay(&self, showing: MatchId, of: MatchId, from: Option<Tick>) -> Result<Box<Showing>, Refused> {
        let detail = self.store.match_detail(of).await.map_err(|error| unavailable(&error))?;
        let segments = self.store.replay(of).await.map_err(|error| unavailable(&error))?;
        let Some(detail) = detail.filter(|_| !segments.is_empty()) else {
            return Err(Refused::new(ErrorCode::NotFound, "there is no replay of such a match"));
        };
        let logs: Result<Vec<_>, _> = segments.iter().map(|segment| ReplayLog::decode(&segment.input_log)).collect();
        let logs = logs.map_err(|error| {
            tracing::error!(match_id = %of, %error, "a stored replay does not read");
            Refused::new(ErrorCode::Internal, "the replay does not read")
        })?;
        let is_shared = detail.listed.sides[1].seat == Seat::Shared;
        let [left, right] = detail.listed.sides.map(shown);
        // The second person at one keyboard has no name of its own.
        let right = if is_shared { left.clone() } else { right };
        let programme =
            Programme { id: showing, of, mode: convert::mode_to_wire(detail.listed.mode), players: [left, right] };
        let mut showing = Showing::new(programme, logs, from).map(Box::new).map_err(|mismatch| {
            Refused::new(ErrorCode::NotFound, format!("the replay cannot be shown any more: it was {mismatch}"))
        })?;
        // In slices: this thread has the matches' bundles to carry.
        while !showing.prepare(STEPS_AT_ONCE) {
            tokio::task::yield_now().await;
        }
        Ok(showing)
    }
}

/// `None` for a seat that was somebody else's, or nobody's.
fn shown(side: ListedSide) -> Option<Shown> {
    match side.seat {
        Seat::Player(user) => {
            Some(Shown { user: Some(user), name: side.name.unwrap_or_else(|| "somebody".to_owned()), bot: None })
        }
        Seat::Bot(level) => {
            let level = convert::level_to_wire(level);
            Some(Shown { user: None, name: format!("Bot ({level})"), bot: Some(level) })
        }
        Seat::Open | Seat::Shared => None,
    }
}
