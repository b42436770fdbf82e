//! The world from outside: every row of the rules as a scenario, recordings of the old game, properties, golden runs,
//! and what a tick allocates.
#![allow(clippy::unwrap_used)]

mod allocation;
mod field;
mod goals;
mod golden;
mod oracle;
mod players;
mod power_ups;
mod properties;
mod scene;
mod skills;
