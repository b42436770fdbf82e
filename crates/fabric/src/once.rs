//! Small values that are kept for a while and taken once: what a browser comes back with from elsewhere.

use std::time::Duration;

use bytes::Bytes;
use rally_protocol::names;

use crate::{
    Fabric, RedisError,
    commands::{Call, GET, PUT, Script},
};

/// Of two that come at the same time one gets it.
static TAKE: Script = Script::fixed("return redis.call('GETDEL', KEYS[1])");

/// Keeps values that are taken once.
#[derive(Clone, Debug)]
pub struct Once {
    fabric: Fabric,
}

impl Fabric {
    /// Values that are taken once.
    pub fn once(&self) -> Once {
        Once { fabric: self.clone() }
    }
}

impl Once {
    /// Keeps a value under a name that nobody guesses, for so long.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn put(&self, name: &str, value: Bytes, keep_for: Duration) -> Result<(), RedisError> {
        let call = Call::keys([names::once(name)]).arg(keep_for.as_millis().max(1)).bytes(value);
        self.fabric.commands().eval("once_put", &PUT, call).await.map(drop)
    }

    /// The value of this name, which stays.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn look(&self, name: &str) -> Result<Option<Bytes>, RedisError> {
        Ok(self.fabric.commands().eval("once_look", &GET, Call::keys([names::once(name)])).await?.into_bytes())
    }

    /// Takes the value of this name: the next one who asks finds nothing.
    ///
    /// # Errors
    /// Redis is away. The value may be gone all the same.
    pub async fn take(&self, name: &str) -> Result<Option<Bytes>, RedisError> {
        Ok(self.fabric.commands().eval("once_take", &TAKE, Call::keys([names::once(name)])).await?.into_bytes())
    }
}
