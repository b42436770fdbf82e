//! What every process needs: configuration, admin port, drain, telemetry.

pub mod entropy;
pub mod local;
