//! What every process needs: configuration, admin port, drain, telemetry.
