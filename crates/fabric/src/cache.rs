//! Answers that many ask for, kept for a moment.

use std::time::Duration;

use bytes::Bytes;
use rally_protocol::names;

use crate::{
    Fabric, RedisError,
    commands::{Call, GET, PUT},
};

/// Keeps answers. All nodes share them.
#[derive(Clone, Debug)]
pub struct Cache {
    fabric: Fabric,
}

impl Fabric {
    /// Answers that are kept for a moment.
    pub fn cache(&self) -> Cache {
        Cache { fabric: self.clone() }
    }
}

impl Cache {
    /// What is kept under this name.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn get(&self, name: &str) -> Result<Option<Bytes>, RedisError> {
        Ok(self.fabric.commands().eval("cache_get", &GET, Call::keys([names::cached(name)])).await?.into_bytes())
    }

    /// Keeps an answer for so long.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn put(&self, name: &str, answer: Bytes, keep_for: Duration) -> Result<(), RedisError> {
        let call = Call::keys([names::cached(name)]).arg(keep_for.as_millis().max(1)).bytes(answer);
        self.fabric.commands().eval("cache_put", &PUT, call).await.map(drop)
    }
}
