//! Whole workers, with a real Redis and a real Postgres.
#![allow(clippy::unwrap_used)]

mod directors;
mod outages;
mod playing;
mod retention;
mod support;
