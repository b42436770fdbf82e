//! Sessions that can be resumed at any edge, for 120 s after they were last touched.

use std::time::Duration;

use bytes::Bytes;
use rally_units::SessionId;

use crate::{Fabric, RedisError};

/// How long a session is kept.
pub(crate) const SESSION_TTL: Duration = Duration::from_secs(120);

/// Keeps sessions. What they hold is the edge's affair.
#[derive(Clone, Debug)]
pub struct Sessions {
    fabric: Fabric,
}

impl Fabric {
    /// Sessions that can be resumed.
    pub fn sessions(&self) -> Sessions {
        Sessions { fabric: self.clone() }
    }
}

impl Sessions {
    /// Keeps a session for 120 s, in place of what was there.
    pub async fn put(&self, session: SessionId, value: Bytes) -> Result<(), RedisError> {
        let _ = (session, value, &self.fabric, SESSION_TTL);
        todo!()
    }

    /// Reads a session and keeps it for another 120 s.
    pub async fn get(&self, session: SessionId) -> Result<Option<Bytes>, RedisError> {
        let _ = session;
        todo!()
    }

    /// Keeps these for another 120 s, in one pipeline. Returns which of them Redis does not have (any more).
    pub async fn touch(&self, sessions: &[SessionId]) -> Result<Vec<SessionId>, RedisError> {
        let _ = sessions;
        todo!()
    }

    /// Forgets a session.
    pub async fn remove(&self, session: SessionId) -> Result<(), RedisError> {
        let _ = session;
        todo!()
    }
}
