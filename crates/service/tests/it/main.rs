//! What a process does with its signals, ports and servers, seen from outside.

#![allow(clippy::unwrap_used)]

mod local;
mod process;
