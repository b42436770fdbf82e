//! Topics: messages to all edges that have somebody in a channel or a lobby.
//!
//! A subscription is confirmed by a message to oneself before it counts, because Redis' answer to SUBSCRIBE and what
//! the client library makes of it do not prove that messages arrive. Topics are lossy; a [`TopicEvent::Gap`] says
//! that something may be missing, and that the reader should look up what it holds.

use bytes::Bytes;

use crate::{Fabric, RedisError};

/// What comes out of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicEvent {
    /// A message.
    Message(Bytes),
    /// Messages may have been lost here: the reader was too slow, or the link was down.
    Gap,
}

/// A subscription of one reader. Dropping it ends it; Redis is told a second after the last reader of a topic.
#[derive(Debug)]
pub struct TopicStream {
    _private: (),
}

impl TopicStream {
    /// The next event, `None` once the fabric has shut down.
    pub async fn next(&mut self) -> Option<TopicEvent> {
        todo!()
    }
}

/// Subscribes and publishes.
#[derive(Clone, Debug)]
pub struct Topics {
    fabric: Fabric,
}

impl Fabric {
    /// Topics.
    pub fn topics(&self) -> Topics {
        Topics { fabric: self.clone() }
    }
}

impl Topics {
    /// Subscribes. What is published after this returns arrives, as long as the link holds.
    pub async fn subscribe(&self, name: &str) -> Result<TopicStream, RedisError> {
        let _ = (name, &self.fabric);
        todo!()
    }

    /// Publishes to all readers on all nodes, this one included.
    pub async fn publish(&self, name: &str, message: &[u8]) -> Result<(), RedisError> {
        let _ = (name, message);
        todo!()
    }
}
