//! The store against a real Postgres. Each test has a database of its own.

#![allow(clippy::unwrap_used)]

mod accounts;
mod boards;
mod groups;
mod history;
mod matches;
mod migrations;
mod outages;
mod ownership;
mod results;
mod retention;
mod roles;
mod searching;
mod social;
mod support;
mod telling;
mod tls;
mod users;
