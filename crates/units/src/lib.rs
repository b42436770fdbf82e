//! Ids, ticks, instants, epochs, placement and random streams: the base that every other crate stands on.
//!
//! Everything here is a plain value. Nothing reads a clock, draws entropy or does IO, so that the
//! state machines above it can be driven from a test.

pub mod epoch;
pub mod ids;
pub mod instant;
pub mod placement;
pub mod rng;
pub mod tick;

pub use epoch::Epoch;
pub use ids::{GroupId, Incarnation, LoginId, MatchId, NodeId, SessionId, TicketId, UserId};
pub use instant::Instant;
pub use rng::Rng;
pub use tick::{SUB_STEPS_PER_TICK, SubStep, TICK_HZ, Tick, TickSchedule};
