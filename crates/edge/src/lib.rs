//! The shell of an edge: HTTP API, WebSocket gateway, web client.
//!
//! - [`ws`] takes a request to a WebSocket, [`socket`] serves it: one small task per connection.
//! - [`hub`] knows which connection is in which match, and talks to the workers: one task.
//!
//! An edge holds nothing that a reconnect cannot rebuild, and knows no rule of the game.

pub mod hub;
pub mod socket;
pub mod ws;

mod fanout;
mod frame;
mod metrics;
