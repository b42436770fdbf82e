//! The task that holds the subscriptions of all topics.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use fred::{
    interfaces::PubsubInterface as _,
    types::{Message, Value},
};
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use rally_protocol::names;
use rally_units::Instant;
use tokio::{
    sync::{broadcast, broadcast::error::RecvError, mpsc, oneshot},
    time::{MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{MARKER, MESSAGE, TopicEvent};
use crate::{
    FabricConfig, RedisCause,
    commands::Commands,
    link::{Live, Patience, Plan},
};

const TICK: Duration = Duration::from_millis(25);
/// A topic that is not confirmed is asked again after this long.
const MARK_EVERY: Duration = Duration::from_millis(100);
/// Markers sent in one tick.
const MARKS_MAX: usize = 256;
/// Topics of one SUBSCRIBE or UNSUBSCRIBE.
const SUBSCRIBE_MAX: usize = 256;
/// A topic nobody reads is kept this long, for the next page that opens it.
const KEEP_UNUSED: Duration = Duration::from_secs(1);
const PROBE_EVERY: Duration = Duration::from_millis(250);
const SILENT_AFTER: Duration = Duration::from_secs(1);
/// Requests to the hub that wait.
const REQUESTS_MAX: usize = 1_024;

type Reply = oneshot::Sender<Result<broadcast::Receiver<TopicEvent>, RedisCause>>;

struct Request {
    name: String,
    reply: Reply,
}

/// The handle.
#[derive(Clone, Debug)]
pub(crate) struct TopicHub {
    requests: mpsc::Sender<Request>,
}

impl TopicHub {
    pub(crate) fn start(
        config: &Arc<FabricConfig>,
        plan: Plan,
        commands: Commands,
        tasks: &TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let task = Task {
            config: config.clone(),
            commands,
            requests,
            topics: HashMap::new(),
            doing: FuturesUnordered::new(),
            heard_at: (config.clock)(),
            probed_at: (config.clock)(),
        };
        tasks.spawn(async move { shutdown.run_until_cancelled(task.run(plan)).await });
        Self { requests: sender }
    }

    pub(crate) async fn subscribe(&self, name: String) -> Result<broadcast::Receiver<TopicEvent>, RedisCause> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request { name, reply }).await.map_err(|_| RedisCause::Disconnected)?;
        answer.await.map_err(|_| RedisCause::Disconnected)?
    }
}

struct Topic {
    name: String,
    events: broadcast::Sender<TopicEvent>,
    /// Who waits for the confirmation.
    waiting: Vec<Reply>,
    confirmed: bool,
    /// Was confirmed on an earlier connection: what came meanwhile is lost.
    had_gap: bool,
    marked_at: Option<Instant>,
    unused_since: Option<Instant>,
}

impl Topic {
    fn confirm(&mut self) {
        if !std::mem::replace(&mut self.confirmed, true) && std::mem::take(&mut self.had_gap) {
            let _nobody = self.events.send(TopicEvent::Gap);
        }
        for reply in self.waiting.drain(..) {
            let _given_up = reply.send(Ok(self.events.subscribe()));
        }
    }

    fn is_used(&self) -> bool {
        self.events.receiver_count() > 0 || self.waiting.iter().any(|reply| !reply.is_closed())
    }
}

struct Task {
    config: Arc<FabricConfig>,
    commands: Commands,
    requests: mpsc::Receiver<Request>,
    /// By channel.
    topics: HashMap<String, Topic>,
    /// Commands under way.
    doing: FuturesUnordered<BoxFuture<'static, ()>>,
    heard_at: Instant,
    probed_at: Instant,
}

impl Task {
    fn now(&self) -> Instant {
        (self.config.clock)()
    }

    async fn run(mut self, plan: Plan) {
        let mut patience = Patience::new(SILENT_AFTER);
        loop {
            let live = plan.start();
            self.serve(live, &mut patience).await;
            tracing::warn!("the topics' link was silent: connecting anew");
            metrics::counter!("rally_fabric_topic_link_replaced_total").increment(1);
            patience.lost();
        }
    }

    async fn serve(&mut self, mut live: Live, patience: &mut Patience) {
        let started = self.now();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut requests = Vec::new();
        self.doing.clear();
        self.unsubscribed();
        loop {
            tokio::select! {
                connected = live.connects.recv() => {
                    if let Err(RecvError::Closed) = connected {
                        return;
                    }
                    self.unsubscribed();
                    let probe = names::topic_probe(self.config.node());
                    let channels: Vec<String> = std::iter::once(probe).chain(self.topics.keys().cloned()).collect();
                    self.subscribe(&live, channels);
                }
                n = self.requests.recv_many(&mut requests, SUBSCRIBE_MAX) => {
                    if n == 0 {
                        return;
                    }
                    let new = requests.drain(..).filter_map(|request| self.request(request)).collect();
                    self.subscribe(&live, new);
                }
                message = live.messages.recv() => match message {
                    Ok(message) => self.take(message, patience),
                    Err(RecvError::Lagged(n)) => {
                        metrics::counter!("rally_fabric_lagged_total").increment(n);
                        for topic in self.topics.values() {
                            let _nobody = topic.events.send(TopicEvent::Gap);
                        }
                    }
                    Err(RecvError::Closed) => return,
                },
                Some(()) = self.doing.next(), if !self.doing.is_empty() => {}
                _ = ticks.tick() => {
                    let now = self.now();
                    self.mark(now);
                    self.sweep(now, &live);
                    let silent = now.since(self.heard_at);
                    if silent >= patience.now() && now.since(started) >= patience.now() {
                        return;
                    }
                }
            }
        }
    }

    /// A new connection: nothing is subscribed.
    fn unsubscribed(&mut self) {
        for topic in self.topics.values_mut() {
            topic.had_gap |= std::mem::take(&mut topic.confirmed);
            topic.marked_at = None;
        }
    }

    /// Takes a request; `Some` is a channel to subscribe.
    fn request(&mut self, request: Request) -> Option<String> {
        let channel = names::topic(&request.name);
        let is_new = !self.topics.contains_key(&channel);
        if is_new && self.topics.len() >= self.config.bounds.topics_max {
            metrics::counter!("rally_fabric_topics_refused_total").increment(1);
            let _given_up = request.reply.send(Err(RedisCause::Bound("the bound of topics")));
            return None;
        }
        let topic = self.topics.entry(channel.clone()).or_insert_with(|| Topic {
            name: request.name,
            events: broadcast::channel(self.config.bounds.topic_len_max).0,
            waiting: Vec::new(),
            confirmed: false,
            had_gap: false,
            marked_at: None,
            unused_since: None,
        });
        topic.waiting.push(request.reply);
        if topic.confirmed {
            topic.confirm();
        }
        is_new.then_some(channel)
    }

    /// Subscribes, then sends markers. Never an empty list: the library would send an empty command.
    fn subscribe(&mut self, live: &Live, channels: Vec<String>) {
        for some in channels.chunks(SUBSCRIBE_MAX) {
            let (client, some) = (live.client.clone(), some.to_vec());
            let subscribing = async move {
                if let Err(error) = client.subscribe(some).await {
                    // The marker will not come, and silence replaces the client.
                    tracing::debug!(%error, "subscribing topics failed");
                }
            };
            self.doing.push(subscribing.boxed());
        }
    }

    fn take(&mut self, message: Message, patience: &mut Patience) {
        let now = self.now();
        let channel = &*message.channel;
        let Some(bytes) = message.value.into_bytes() else { return };
        let is_own_marker =
            bytes.len() == 9 && bytes[0] == MARKER && bytes[1..] == self.config.incarnation.to_bits().to_be_bytes();
        if is_own_marker {
            self.heard_at = now;
            patience.regained();
        }
        let Some(topic) = self.topics.get_mut(channel) else { return };
        if is_own_marker {
            topic.confirm();
        } else if bytes.first() == Some(&MESSAGE) {
            metrics::counter!("rally_fabric_topic_received_total").increment(1);
            let _nobody = topic.events.send(TopicEvent::Message(bytes.slice(1..)));
        }
    }

    /// Sends markers to what is not confirmed, and to the probe's channel.
    fn mark(&mut self, now: Instant) {
        // While there is no connection, markers would only fill the queue of commands.
        if !self.commands.is_connected() {
            return;
        }
        let mut channels = Vec::new();
        for (channel, topic) in &mut self.topics {
            let is_due = !topic.confirmed && topic.marked_at.is_none_or(|at| now.since(at) >= MARK_EVERY);
            if is_due && channels.len() < MARKS_MAX {
                topic.marked_at = Some(now);
                channels.push(channel.clone());
            }
        }
        if now.since(self.probed_at) >= PROBE_EVERY {
            self.probed_at = now;
            channels.push(names::topic_probe(self.config.node()));
        }
        let mut marker = BytesMut::with_capacity(9);
        marker.put_u8(MARKER);
        marker.put_u64(self.config.incarnation.to_bits());
        let marker: Bytes = marker.freeze();
        for channel in channels {
            let (commands, marker) = (self.commands.clone(), marker.clone());
            let marking = async move {
                let publish =
                    async |client: fred::clients::Client| client.publish::<Value, _, _>(channel, marker).await;
                // If it does not come back, the next one may.
                let _lost = commands.run("mark_topic", publish).await;
            };
            self.doing.push(marking.boxed());
        }
    }

    /// Unsubscribes what nobody has read for a second.
    fn sweep(&mut self, now: Instant, live: &Live) {
        let mut unused = Vec::new();
        self.topics.retain(|channel, topic| {
            topic.unused_since = if topic.is_used() { None } else { topic.unused_since.or(Some(now)) };
            let keep = topic.unused_since.is_none_or(|since| now.since(since) < KEEP_UNUSED);
            if !keep {
                tracing::debug!(topic = %topic.name, "nobody reads this topic any more");
                unused.push(channel.clone());
            }
            keep
        });
        metrics::gauge!("rally_fabric_topics").set(self.topics.len() as f64);
        for some in unused.chunks(SUBSCRIBE_MAX) {
            let (client, some) = (live.client.clone(), some.to_vec());
            let unsubscribing = async move {
                let _lost = client.unsubscribe(some).await;
            };
            self.doing.push(unsubscribing.boxed());
        }
    }
}
