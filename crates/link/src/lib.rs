//! A client's connection and an edge's view of its matches, as state machines without IO.
//!
//! - [`connection`]: one client's WebSocket, from `hello` to its close: what it may say, how often, and what follows.
//! - [`relay`]: one match as an edge sees it: which owner's word counts, and which inputs are still to be applied.
//! - [`asked`]: a question to a match's owner, and when it is put again.
//! - [`backlog`]: what waits for a slow reader, and when that is too much.
//!
//! Contract: time comes in as [`rally_units::Instant`], outputs come back as values, and each machine names the next
//! moment at which it wants to be called. Nothing here reads a clock, draws a random number, logs or waits.

pub mod asked;
pub mod backlog;
pub mod bucket;
pub mod classes;
pub mod connection;
pub mod inputs;
pub mod limits;
pub mod relay;
mod standing;

pub use asked::Asked;
pub use backlog::{Backlog, Overflow};
pub use classes::{CLASSES, MessageClass};
pub use connection::{Close, Connection, Frame, Output, Outputs, Request, Talk, Verified};
pub use inputs::{Kept, SeatInputs};
pub use relay::{Attach, Refusal, Relay};
