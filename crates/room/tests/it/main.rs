//! Matches, told as scenarios, and what holds in all of them.
#![allow(clippy::unwrap_used)]

mod bots;
mod kit;
mod life;
mod owners;
mod players;
mod properties;
mod replays;
mod showings;
mod snapshots;
