//! What every process needs: configuration, admin port, drain, telemetry.
//!
//! A role reads its configuration ([`mod@env`]), starts [`telemetry`], binds its ports ([`mod@listen`], [`admin`]), serves until
//! a [`signal`] asks it to end, then drains ([`drain`]). What it does for a match or a request is told by [`traces`].
//! [`clock`] and [`entropy`] are the only places where time and randomness come from; [`local`] starts the private
//! servers of a development cluster.

pub mod admin;
pub mod backoff;
pub mod clock;
pub mod drain;
pub mod entropy;
pub mod env;
pub mod listen;
pub mod local;
pub mod readiness;
pub mod signal;
pub mod telemetry;
pub mod tls;
pub mod traces;
