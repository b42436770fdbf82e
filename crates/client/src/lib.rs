//! Rust SDK: connect, reconnect, typed events.
