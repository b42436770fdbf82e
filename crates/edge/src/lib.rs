//! The shell of an edge: HTTP API, WebSocket gateway, web client.
//!
//! - [`ws`] takes a request to a WebSocket, [`socket`] serves it: one small task per connection.
//! - [`serve`] accepts connections, [`router`] has the routes, [`api`] answers those of the API.
//! - `social` has channels, presence and friendships: one task.
//! - [`hub`] knows which connection is in which match, and talks to the workers: one task.
//!
//! - [`oauth`] signs people in by other sites, [`mail`] writes letters, [`revoked`] knows who has signed out.
//!
//! An edge holds nothing that a reconnect cannot rebuild, and knows no rule of the game.

pub mod address;
pub mod api;
pub mod auth;
pub mod background;
pub mod cookie;
pub mod error;
pub mod hub;
pub mod limits;
pub mod mail;
pub mod oauth;
pub mod passwords;
pub mod revoked;
pub mod router;
pub mod serve;
pub mod socket;
pub mod ws;

mod admission;
mod config;
mod fanout;
mod frame;
mod headers;
mod metrics;
mod run;
mod social;

pub use config::EdgeConfig;
pub use run::{EdgeError, Ports, run};
