//! Sessions that can be resumed at any edge, for 120 s after they were last touched.

use std::time::Duration;

use bytes::Bytes;
use rally_protocol::names;
use rally_units::SessionId;

use crate::{
    Fabric, RedisError,
    commands::{Call, PUT, Script},
};

/// How long a session is kept.
const SESSION_TTL: Duration = Duration::from_secs(120);

static GET: Script = Script::fixed(
    r"
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return redis.call('GET', KEYS[1])
",
);
static TOUCH: Script = Script::fixed("return redis.call('PEXPIRE', KEYS[1], ARGV[1])");
static REMOVE: Script = Script::fixed("return redis.call('DEL', KEYS[1])");

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
    fn call(session: SessionId) -> Call {
        Call::keys([names::session(session)]).arg(SESSION_TTL.as_millis())
    }

    /// Keeps a session for 120 s, in place of what was there.
    pub async fn put(&self, session: SessionId, value: Bytes) -> Result<(), RedisError> {
        self.fabric.commands().eval("put_session", &PUT, Self::call(session).bytes(value)).await.map(|_| ())
    }

    /// Reads a session and keeps it for another 120 s.
    pub async fn get(&self, session: SessionId) -> Result<Option<Bytes>, RedisError> {
        Ok(self.fabric.commands().eval("get_session", &GET, Self::call(session)).await?.into_bytes())
    }

    /// Keeps these for another 120 s, in pipelines. Returns which of them Redis does not have (any more).
    pub async fn touch(&self, sessions: &[SessionId]) -> Result<Vec<SessionId>, RedisError> {
        let calls = sessions.iter().map(|session| Self::call(*session));
        let answers = self.fabric.commands().eval_many("touch_sessions", &TOUCH, calls.collect()).await?;
        let gone = sessions.iter().zip(&answers).filter(|(_, answer)| answer.as_i64() != Some(1));
        Ok(gone.map(|(session, _)| *session).collect())
    }

    /// Forgets a session.
    pub async fn remove(&self, session: SessionId) -> Result<(), RedisError> {
        let call = Call::keys([names::session(session)]);
        self.fabric.commands().eval("remove_session", &REMOVE, call).await.map(|_| ())
    }
}
