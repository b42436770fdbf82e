//! Topics: messages to all edges that have somebody in a channel or a lobby.
//!
//! A subscription is confirmed by a message to oneself before it counts, because Redis' answer to SUBSCRIBE and what
//! the client library makes of it do not prove that messages arrive. Topics are lossy; a [`TopicEvent::Gap`] says
//! that something may be missing, and that the reader should look up what it holds.
//!
//! On a channel, the first byte says what a message is: 0 a message, 1 a marker (whose: incarnation, 8 bytes).

mod hub;

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use fred::interfaces::PubsubInterface as _;
use rally_protocol::names;
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::timeout,
};

use crate::{Fabric, RedisCause, RedisError};
pub(crate) use hub::TopicHub;

const MESSAGE: u8 = 0;
const MARKER: u8 = 1;
/// How long a subscription may take to be confirmed.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(3);

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
    events: broadcast::Receiver<TopicEvent>,
}

impl TopicStream {
    /// The next event, `None` once the fabric has shut down.
    pub async fn next(&mut self) -> Option<TopicEvent> {
        match self.events.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(n)) => {
                metrics::counter!("rally_fabric_topic_dropped_total").increment(n);
                Some(TopicEvent::Gap)
            }
            Err(RecvError::Closed) => None,
        }
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
        const OPERATION: &str = "subscribe_topic";
        let confirmed = timeout(CONFIRM_TIMEOUT, self.fabric.topic_hub().subscribe(name.to_owned())).await;
        match confirmed {
            Ok(Ok(events)) => Ok(TopicStream { events }),
            Ok(Err(cause)) => Err(RedisError::new(OPERATION, cause)),
            Err(_) => Err(RedisError::new(OPERATION, RedisCause::Timeout)),
        }
    }

    /// Publishes to all readers on all nodes, this one included.
    pub async fn publish(&self, name: &str, message: &[u8]) -> Result<(), RedisError> {
        let mut bytes = BytesMut::with_capacity(1 + message.len());
        bytes.put_u8(MESSAGE);
        bytes.put_slice(message);
        let (channel, bytes) = (names::topic(name), bytes.freeze());
        self.fabric.commands().run("publish_topic", async |client| client.publish(channel, bytes).await).await
    }
}
