//! A match's life from waiting to result, as a state machine without IO.
//!
//! [`Room`] is one match. It is told what happens (joins, leaves, commands, inputs) and is ticked 60 times a second;
//! these ticks are its only time. It answers with finished messages: events in [`Outputs`], the snapshot on demand, and
//! once, when it is over, everything that the match leaves behind ([`FinishedMatch`]).
//!
//! ```text
//! Room       sessions, seats, generations, messages          room.rs seats.rs inbox.rs
//! convert    the only place where wire types meet the rules'  convert.rs
//! Referee    phases, pauses, absences; owns the World         referee.rs
//! Bot        one more player                                  bot.rs
//! Record     statistics, events, replay log                   record.rs log.rs
//! save       all of it as bytes and back, for the next owner  save.rs
//! Showing    a finished match played again to its watcher     showing.rs
//! ```
//!
//! The referee changes only by an [`Action`](log::Action) or a tick. The log of actions is therefore a full replay:
//! [`replay::verify`] plays it again and compares every hash.

mod bot;
mod convert;
mod finished;
mod inbox;
pub mod limits;
pub mod log;
mod outputs;
mod record;
mod referee;
mod refusal;
pub mod replay;
mod room;
mod save;
mod seats;
mod showing;

pub use finished::{FinishedMatch, FinishedPlayer, PlayerStats, RecordedEvent, RecordedKind, Who};
pub use outputs::{Counters, OutEvent, Outputs};
pub use refusal::{InputRefusal, JoinError, Refusal};
pub use room::{Joined, Replaced, Room, RoomSettings};
pub use save::{JournalMark, RestoreError};
pub use showing::{Programme, Showing, Shown};
