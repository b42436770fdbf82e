//! Scenarios and properties of the connection, the relay and the backlog, in virtual time.

#![allow(clippy::unwrap_used)]

mod backlog;
mod classes;
mod connection;
mod inputs;
mod relay;
