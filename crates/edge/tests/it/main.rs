//! An edge from outside: real sockets, a real Redis and Postgres, and a worker that does what the test says.

#![allow(clippy::unwrap_used)]

mod accounts;
mod api;
mod duels;
mod ending;
mod gates;
mod groups;
mod letters;
mod matches;
mod oauth;
mod people;
mod queue;
mod serving;
mod sessions;
mod signed_out;
mod slow_readers;
mod social;
mod sockets;
mod support;
mod telling;
