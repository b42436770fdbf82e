//! Logins that have ended, while access tokens of theirs are still good by themselves: such tokens are refused, and
//! sockets that were opened with them are closed.
//!
//! Whoever ends a login tells Redis. Each edge asks once a second whether there is anything new, which is one small
//! command that cannot be missed, as a message could. With Redis away the edge that ended the login refuses it at once,
//! the others when Redis is back.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use rally_fabric::Fabric;
use rally_protocol::client::v1::close;
use rally_units::LoginId;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{ACCESS_FOR, LEEWAY},
    socket::{Peer, SharedPeer},
};

/// Between two looks at Redis: with the way there and back, every edge knows within 2 s.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Until no access token of an ended login is good any more.
const KEPT_FOR: Duration = ACCESS_FOR.saturating_add(LEEWAY);
/// Ended logins that are remembered here; beyond that none is added, and `rally_edge_revoked_dropped_total` counts.
const REMEMBERED_MAX: usize = 2 * rally_fabric::REVOKED_MAX;

/// What an edge knows of ended logins.
pub struct Revoked {
    fabric: Fabric,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Up to where Redis has been read.
    number: u64,
    until: HashMap<LoginId, Instant>,
    /// Sockets by the login that opened them.
    sockets: HashMap<LoginId, Vec<Weak<Peer>>>,
}

impl Revoked {
    /// Looks until it is told to stop. To be called within a tokio runtime.
    pub fn start(fabric: Fabric, stop: CancellationToken) -> Arc<Self> {
        let revoked = Arc::new(Self { fabric, known: Mutex::default() });
        tokio::spawn(watch(revoked.clone(), stop));
        revoked
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Nothing below panics half-way through a change.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this login has ended.
    pub fn is_revoked(&self, login: LoginId) -> bool {
        self.lock().until.get(&login).is_some_and(|until| *until > Instant::now())
    }

    /// These have ended: here at once, at other edges as soon as they look.
    pub async fn revoke(&self, logins: &[LoginId]) {
        self.learn(logins.iter().map(|login| (*login, KEPT_FOR)));
        if let Err(error) = self.fabric.revocations().add(logins, KEPT_FOR).await {
            // Their refresh tokens are gone for good; this leaves a quarter of an hour.
            tracing::warn!(%error, "other edges do not know of ended logins");
        }
    }

    /// Notes a socket of this login; `false`: the login has ended.
    pub(crate) fn opened(&self, login: LoginId, peer: &SharedPeer) -> bool {
        let mut known = self.lock();
        if known.until.get(&login).is_some_and(|until| *until > Instant::now()) {
            return false;
        }
        let sockets = known.sockets.entry(login).or_default();
        sockets.retain(|socket| socket.strong_count() > 0);
        sockets.push(Arc::downgrade(peer));
        true
    }

    fn learn(&self, logins: impl Iterator<Item = (LoginId, Duration)>) {
        let now = Instant::now();
        let mut close = Vec::new();
        {
            let mut known = self.lock();
            for (login, kept_for) in logins {
                if known.until.len() >= REMEMBERED_MAX && !known.until.contains_key(&login) {
                    metrics::counter!("rally_edge_revoked_dropped_total").increment(1);
                } else {
                    known.until.insert(login, now + kept_for);
                }
                close.extend(known.sockets.remove(&login).into_iter().flatten());
            }
        }
        // Without the lock: closing writes.
        for peer in close.iter().filter_map(Weak::upgrade) {
            peer.close(close::UNAUTHENTICATED, "signed out", "signed_out");
        }
    }

    /// Asks Redis what is new.
    async fn look(&self) {
        let number = self.lock().number;
        match self.fabric.revocations().since(number).await {
            Ok(read) => {
                if read.number != number {
                    self.learn(read.logins.into_iter());
                    self.lock().number = read.number;
                }
            }
            Err(error) => tracing::debug!(%error, "ended logins cannot be looked up"),
        }
    }

    fn forget(&self) {
        let now = Instant::now();
        let mut known = self.lock();
        known.until.retain(|_, until| *until > now);
        known.sockets.retain(|_, sockets| {
            sockets.retain(|socket| socket.strong_count() > 0);
            !sockets.is_empty()
        });
        metrics::gauge!("rally_edge_revoked_logins").set(known.until.len() as f64);
    }
}

async fn watch(revoked: Arc<Revoked>, stop: CancellationToken) {
    let mut looks = 0_u32;
    loop {
        revoked.look().await;
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(60) {
            revoked.forget();
        }
        if timeout(LOOK_EVERY, stop.cancelled()).await.is_ok() {
            return;
        }
    }
}
