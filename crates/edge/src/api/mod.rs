//! The HTTP API: `/api/v1`.
//!
//! [`types`] has what travels, `body` reads it and names every fault, the other modules answer. A handler holds no
//! state of its own: Postgres says who is who and who plays where, Redis who waits, a worker takes each match.

mod auth;
mod body;
mod caller;
mod matches;
pub mod types;
mod users;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};
use rally_fabric::Fabric;
use rally_protocol::client::v1::ErrorCode;
use rally_store::Store;

use crate::{auth::Tokens, error::Problem, hub, limits::Limits};

/// What handlers need.
#[derive(Clone)]
pub struct Api {
    /// Signs and verifies.
    pub tokens: Arc<Tokens>,
    /// Postgres.
    pub store: Store,
    /// Redis.
    pub fabric: Fabric,
    /// The way to the workers.
    pub hub: hub::Handle,
    /// Counts requests of users.
    pub limits: Arc<Limits>,
}

/// The routes below `/api`.
pub(crate) fn router(api: Api) -> Router {
    let v1 = Router::new()
        .route("/auth/guest", post(auth::guest))
        .route("/auth/refresh", post(auth::refresh))
        .route("/users/me", get(users::me))
        .route("/matches", post(matches::create));
    Router::new()
        .nest("/v1", v1)
        .fallback(async || Problem::new(ErrorCode::NotFound, "there is no such resource"))
        .with_state(api)
}
