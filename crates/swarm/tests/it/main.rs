//! The load generator against a cluster of which everything is known: what it measures must be what that one does.
#![allow(clippy::unwrap_used)]

mod chatting;
mod fake;
mod measuring;
mod trouble;
