//! Rust SDK for Rally: sign in, connect to any edge, stay connected, get typed events.
//!
//! ```no_run
//! # use rally_client::{Api, Client, Config, EdgeUrl, protocol::{JoinAs, MatchJoin, Mode, QueueJoin, ServerMessage}};
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let edge: EdgeUrl = "http://localhost:8080".parse()?;
//! let identity = Api::new(edge.clone()).sign_in_as_guest("alice").await?;
//! let mut client = Client::start(Config::new([edge]), identity);
//! client.connected().await;
//! client.send(QueueJoin { mode: Mode::Casual, skill: None })?;
//! while let Some(event) = client.next().await { println!("{event:?}"); }
//! # Ok(()) }
//! ```
//!
//! What it does by itself:
//! - **One socket at a time.** A client never holds two; the next is opened when the one before is closed.
//! - **Reconnects** to any edge that it knows (those configured and those that `welcome` named), with exponential
//!   backoff and jitter, and goes on with its session (`resume`). It obeys `reconnect` and `Retry-After`. After the
//!   close codes 4401 (token refused) and 4409 (seat taken by a newer connection) it stays away.
//! - **Comes back to its place**: matches that it had joined are joined again, channels are read on from the last
//!   offset.
//! - **Numbers inputs**: [`Client::input`] counts from 1 after each `match_joined`.
//! - **Watches the link**: a ping each second in a match and every 30 s otherwise; 2 s, or else 60 s, without any
//!   frame is a dead link.
//! - **Keeps its token fresh** and announces the new one with `auth` before the old expires.
//!
//! Bounds: [`Config::commands_max`] messages wait to be sent, [`Config::events_max`] events wait to be read. A reader
//! that falls behind gets the newest snapshot only, never loses another event, and in the end stops the socket (then
//! the edge closes it).
//!
//! Only `http://` edges for now.

mod api;
mod backoff;
mod client;
mod driver;
mod edge_url;
mod edges;
mod http1;
mod inbox;
mod place;
mod socket;

pub use api::{Api, ApiError, Identity, NewMatch, Problem, Tokens};
pub use client::{Client, CloseReason, Config, Event, SendError, Sender};
pub use edge_url::{EdgeUrl, EdgeUrlError};
pub use http1::{ConnectError, connect_upgraded};
pub use rally_protocol::client::codec::Encoding;
/// Every message and the types of their fields.
pub use rally_protocol::client::v1 as protocol;
