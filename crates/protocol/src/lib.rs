//! Wire types: what clients and nodes say, in bytes, and the names of Redis keys and channels.
//!
//! - [`client`]: the messages of the WebSocket, in JSON and msgpack.
//! - [`cluster`]: bundles, which are what nodes send each other through Redis.
//! - [`names`]: every Redis key and channel.
//! - [`limits`]: the bounds on all of these, related to one another at compile time.
//!
//! Decoders take hostile bytes: they return an error, never panic, and allocate no more than the input's size
//! allows. Shapes are frozen by version: a new shape is a new module beside `v1`, fields are only ever appended.

pub mod client;
pub mod cluster;
pub mod limits;
pub mod names;
mod wire;

pub use wire::{Bounded, Text};
