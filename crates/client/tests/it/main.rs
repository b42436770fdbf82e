//! A client against a scripted edge on loopback: handshake, both encodings, reconnects, close codes, tokens.
#![allow(clippy::unwrap_used)]

mod connecting;
mod reconnecting;
mod server;
mod staying;
