//! What the database knows of a live match: enough to go on with it when all else is lost.

use std::collections::HashMap;

use rally_units::{Epoch, MatchId, UserId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{BotLevel, Mode, Score, Seat, Store, StoreError, UserKind, error::Fault, pool::query, types::read_epoch};

/// A live match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchState {
    /// Of its owner.
    pub epoch: Epoch,
    /// Kind of match.
    pub mode: Mode,
    /// Without skills and power-ups.
    pub classic: bool,
    /// Nobody else may watch.
    pub private: bool,
    /// Goals that win.
    pub score_to_win: u16,
    /// Seed of its first random stream.
    pub seed: u64,
    /// Who plays left and right.
    pub seats: [SeatState; 2],
    /// Goals noted so far.
    pub score: Score,
    /// Whether play has begun.
    pub has_started: bool,
}

/// Who plays a side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeatState {
    /// A person.
    Player {
        /// The id.
        id: UserId,
        /// The name, as it is now.
        name: String,
        /// Whether it is a guest.
        guest: bool,
    },
    /// The bot.
    Bot(BotLevel),
    /// Nobody yet.
    Open,
    /// The second person on the other side's connection.
    Shared,
}

impl Store {
    /// What is known of these matches; those that have ended, or never were, are missing.
    ///
    /// # Errors
    /// The store failed.
    pub async fn live_states(&self, matches: &[MatchId]) -> Result<HashMap<MatchId, MatchState>, StoreError> {
        const SQL: &str =
            "SELECT m.id, m.epoch, m.mode, m.classic, m.private, m.score_to_win, m.seed, m.score_left, m.score_right,
                m.started_at IS NOT NULL AS has_started, m.left_seat, m.left_user, m.right_seat, m.right_user,
                l.name AS left_name, l.kind AS left_kind, r.name AS right_name, r.kind AS right_kind
            FROM matches m LEFT JOIN users l ON l.id = m.left_user LEFT JOIN users r ON r.id = m.right_user
            WHERE m.id = ANY($1) AND m.ended_at IS NULL";
        let ids: Vec<Uuid> = matches.iter().map(|id| id.as_uuid()).collect();
        self.run("live_states", async |client| query(client, SQL, &[&ids]).await?.iter().map(read).collect()).await
    }
}

fn read(row: &Row) -> Result<(MatchId, MatchState), Fault> {
    let seat = |seat, user, name, kind| -> Result<SeatState, Fault> {
        Ok(match Seat::read(row.try_get(seat)?, row.try_get(user)?)? {
            Seat::Player(id) => SeatState::Player {
                id,
                name: row.try_get(name)?,
                guest: UserKind::read(row.try_get(kind)?)? == UserKind::Guest,
            },
            Seat::Bot(level) => SeatState::Bot(level),
            Seat::Open => SeatState::Open,
            Seat::Shared => SeatState::Shared,
        })
    };
    let state = MatchState {
        epoch: read_epoch(row)?,
        mode: Mode::read(row.try_get("mode")?)?,
        classic: row.try_get("classic")?,
        private: row.try_get("private")?,
        score_to_win: u16::try_from(row.try_get::<_, i32>("score_to_win")?)
            .map_err(|_| Fault::Malformed("score_to_win"))?,
        seed: row.try_get::<_, i64>("seed")?.cast_unsigned(),
        seats: [
            seat("left_seat", "left_user", "left_name", "left_kind")?,
            seat("right_seat", "right_user", "right_name", "right_kind")?,
        ],
        score: Score::read(row)?,
        has_started: row.try_get("has_started")?,
    };
    Ok((MatchId::from_uuid(row.try_get("id")?), state))
}
