//! The whole cluster as processes: the executable itself, real servers, and clients as players and third parties have
//! them.
//!
//! Most tests share one `rally dev`, started by the first. Those that end nodes, or need other settings, start their
//! own. All wait for conditions, so that a busy machine makes them slower and nothing else.

#![allow(clippy::unwrap_used)]

mod admin;
mod alerting;
mod backups;
mod bad_input;
mod cli;
mod degraded;
mod dev;
mod draining;
mod duels;
mod forged;
mod keys;
mod limits;
mod loads;
mod manifests;
mod matches;
mod operator;
mod outliving;
mod reconnecting;
mod replaying;
mod secrets;
mod support;
mod tls;
mod traces;
mod users;
mod watching;
