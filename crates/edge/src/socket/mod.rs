//! WebSocket connections: one small task each, which reads; the writing side is shared with the hub.
//!
//! A connection costs a task, a read buffer of 1 KiB and an entry in the hub. It has no timer of its own (the hub
//! looks at the clock for all), and owns no write buffer unless its reader is slow.

mod outgoing;
mod peer;
mod services;
mod task;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rally_fabric::Fabric;
use rally_protocol::client::v1::UserInfo;
use rally_store::Store;
use rally_units::{Incarnation, LoginId};
use tokio_util::task::TaskTracker;

pub(crate) use outgoing::Snapshot;
pub(crate) use peer::{ConnId, Peer, SharedPeer};
pub(crate) use services::KeptSession;
use services::Services;
pub(crate) use task::serve;

use crate::{hub, limits::Limits, metrics::Metrics, revoked::Revoked, social};

/// Who a token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user: UserInfo,
    /// Where the user is signed in, if the token says so.
    pub login: Option<LoginId>,
    /// For how long the token is good.
    pub expires_in: Duration,
}

/// Why a token is refused; the text is for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// Expired.
    #[error("the token has expired")]
    Expired,
    /// Not ours, or changed.
    #[error("the token is not valid")]
    Invalid,
    /// Its user has signed out.
    #[error("the login has ended")]
    SignedOut,
}

/// Verifies access tokens. Called once per `hello` and `auth`; must not block.
pub trait VerifyToken: Send + Sync + 'static {
    /// Who the token speaks for, if it is good now.
    fn verify(&self, token: &str) -> Result<Identity, TokenRefused>;
}

/// What all sockets of an edge share.
pub struct Sockets {
    pub(crate) hub: hub::Handle,
    pub(crate) social: social::Handle,
    pub(crate) verify: Arc<dyn VerifyToken>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) revoked: Arc<Revoked>,
    services: Services,
    pub(crate) metrics: Metrics,
    pub(crate) tasks: TaskTracker,
    next_id: AtomicU64,
}

/// What sockets need of their surroundings.
pub struct SocketsConfig {
    /// This edge's name, as `welcome` says it.
    pub edge: String,
    /// This start of it.
    pub incarnation: Incarnation,
    /// Who reads tokens.
    pub verify: Arc<dyn VerifyToken>,
    /// How many of them a user may have.
    pub limits: Arc<Limits>,
    /// Logins that have ended.
    pub revoked: Arc<Revoked>,
    /// Redis.
    pub fabric: Fabric,
    /// Postgres.
    pub store: Store,
}

impl Sockets {
    /// Sockets that talk to this hub. To be made within a tokio runtime.
    pub fn new(config: SocketsConfig, hub: hub::Handle) -> Arc<Self> {
        let SocketsConfig { edge, incarnation, verify, limits, revoked, fabric, store } = config;
        let social = social::Handle::start(fabric.clone(), store.clone(), hub.clone());
        let services = Services::new(edge, incarnation, fabric, store);
        Arc::new(Self {
            hub,
            social,
            verify,
            limits,
            revoked,
            services,
            metrics: Metrics::new(),
            tasks: TaskTracker::new(),
            next_id: AtomicU64::new(0),
        })
    }

    pub(crate) fn next_id(&self) -> ConnId {
        ConnId(self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Resolves once no socket is open any more. Sockets can still be opened meanwhile: refuse upgrades first.
    pub async fn closed(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Sockets open now.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}
