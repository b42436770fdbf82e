//! What clients and edges say over `/ws`.

pub mod codec;
pub mod v1;

pub use codec::{DecodeError, EncodeError, Encoding};
