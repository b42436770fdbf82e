//! This node's mailbox, and the bundles that it sends to others'.
//!
//! The subscriber's connection is used for the subscription only. Whether it works is not asked of the library
//! or of the socket: every 50 ms the node sends itself a message through its own mailbox, and after 250 ms without
//! one, both the subscriber and the publisher of that bus are replaced. The first such message after a (re)connection
//! also is what confirms the subscription.

use std::{collections::HashMap, pin::pin, sync::Arc, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use fred::{bytes_utils::Str, clients::Client, interfaces::PubsubInterface as _, types::Message};
use futures_util::{FutureExt as _, StreamExt as _, future::Fuse, stream::FuturesUnordered};
use rally_protocol::names;
use rally_units::{Incarnation, Instant, NodeId, placement};
use tokio::{
    sync::{broadcast::error::RecvError, mpsc, watch},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{
    LinkState,
    link::{Live, Patience, Plan, Replaceable},
};

/// The first byte of a message to oneself; bundles begin with their version.
const PROBE: u8 = 0xF1;
const PROBE_BYTES: usize = 17;
const PROBE_EVERY: Duration = Duration::from_millis(50);
/// Without a probe for this long, the link is silent.
pub(crate) const SILENT_AFTER: Duration = Duration::from_millis(250);
/// Bundles handed to the library in one go; the last is waited for.
const BATCH_MAX: usize = 64;
/// Mailboxes whose names are kept.
const CHANNELS_MAX: usize = 4_096;

/// On which bus a node's mailbox is: all nodes that know the same list agree.
pub(crate) fn bus_of(node: NodeId, buses: usize) -> usize {
    let indexes = (0..buses as u64).map(NodeId::from_bits);
    placement::rendezvous(&node.to_bits().to_le_bytes(), indexes).map_or(0, |index| index.to_bits() as usize)
}

/// The publishers of all buses.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    queues: Arc<[mpsc::Sender<(NodeId, Bytes)>]>,
}

impl Outbox {
    pub(crate) fn new(queues: Vec<mpsc::Sender<(NodeId, Bytes)>>) -> Self {
        // Alerts look at a rise, and from nothing to one is none.
        metrics::counter!("rally_fabric_publish_dropped_total", "reason" => "queue_full").increment(0);
        metrics::counter!("rally_fabric_inbox_dropped_total").increment(0);
        metrics::counter!("rally_fabric_link_silences_total").increment(0);
        Self { queues: queues.into() }
    }

    pub(crate) fn send(&self, to: NodeId, bundle: Bytes) -> bool {
        let sent = self.queues[bus_of(to, self.queues.len())].try_send((to, bundle)).is_ok();
        if !sent {
            metrics::counter!("rally_fabric_publish_dropped_total", "reason" => "queue_full").increment(1);
        }
        sent
    }
}

/// Publishes what is in a bus' queue. At `shutdown` what waits there already still goes out: nodes say goodbye.
pub(crate) async fn publish(
    mut queue: mpsc::Receiver<(NodeId, Bytes)>,
    link: Arc<Replaceable>,
    in_flight_max: usize,
    shutdown: CancellationToken,
) {
    let published = metrics::counter!("rally_fabric_published_total");
    let disconnected = metrics::counter!("rally_fabric_publish_dropped_total", "reason" => "disconnected");
    let batches_max = in_flight_max.div_ceil(BATCH_MAX);
    let mut channels = Channels::default();
    let mut in_flight = FuturesUnordered::new();
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut patience = Patience::new(SILENT_AFTER * 4);
    let mut failing_since: Option<tokio::time::Instant> = None;
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled(), if !queue.is_closed() => queue.close(),
            Some(result) = in_flight.next(), if !in_flight.is_empty() => match result {
                Ok(()) => {
                    failing_since = None;
                    patience.regained();
                }
                Err(error) => {
                    metrics::counter!("rally_fabric_publish_errors_total").increment(1);
                    tracing::debug!(%error, "publishing failed");
                    // This bus' own probe, if it has one, is quicker than this.
                    let since = *failing_since.get_or_insert_with(tokio::time::Instant::now);
                    if since.elapsed() >= patience.now() {
                        link.replace();
                        patience.lost();
                        failing_since = None;
                    }
                }
            },
            n = queue.recv_many(&mut batch, BATCH_MAX), if in_flight.len() < batches_max => {
                if n == 0 {
                    break;
                }
                let Some(client) = link.connected() else {
                    // What waits for a connection is stale when that comes.
                    disconnected.increment(n as u64);
                    batch.clear();
                    continue;
                };
                published.increment(n as u64);
                let last = batch.pop();
                for (to, bundle) in batch.drain(..) {
                    // The first poll hands the command over; an answer that nobody waits for costs nothing. The last one
                    // of the batch is answered after all others, and bounds how many are on their way.
                    let _answer = pin!(publish_one(client.clone(), channels.of(to), bundle)).now_or_never();
                }
                if let Some((to, bundle)) = last {
                    let mut last = Box::pin(publish_one(client, channels.of(to), bundle));
                    if let Some(result) = (&mut last).now_or_never() {
                        in_flight.push(futures_util::future::Either::Left(std::future::ready(result)));
                    } else {
                        in_flight.push(futures_util::future::Either::Right(last));
                    }
                }
            }
        }
    }
    // Each ends by the commands' timeout.
    while in_flight.next().await.is_some() {}
}

async fn publish_one(client: Client, channel: Str, bundle: Bytes) -> Result<(), fred::error::Error> {
    client.publish(channel, bundle).await
}

/// Names of mailboxes, made once.
#[derive(Default)]
struct Channels(HashMap<NodeId, Str>);

impl Channels {
    fn of(&mut self, node: NodeId) -> Str {
        if self.0.len() >= CHANNELS_MAX {
            self.0.clear();
        }
        self.0.entry(node).or_insert_with(|| names::mailbox(node).into()).clone()
    }
}

/// The task that receives.
pub(crate) struct Mailbox {
    pub(crate) node: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) clock: fn() -> Instant,
    pub(crate) plan: Plan,
    /// Of the bus on which this mailbox is.
    pub(crate) publisher: Arc<Replaceable>,
    pub(crate) outbox: Outbox,
    pub(crate) inbox: mpsc::Sender<Bytes>,
    pub(crate) state: watch::Sender<LinkState>,
    pub(crate) shutdown: CancellationToken,
}

/// Where the probes stand.
struct Probes {
    sent: u64,
    sent_at: Instant,
    heard: u64,
    heard_at: Instant,
}

impl Mailbox {
    /// Receives until `shutdown`.
    pub(crate) async fn run(self) {
        let now = (self.clock)();
        let mut probes = Probes { sent: 0, sent_at: now, heard: 0, heard_at: now };
        let mut patience = Patience::new(SILENT_AFTER);
        loop {
            let live = self.plan.start();
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                () = self.serve(live, &mut probes, &mut patience) => {}
            }
            let silent = (self.clock)().since(probes.heard_at);
            tracing::warn!(silent_ms = silent.as_millis() as u64, "no message to ourselves came: connecting anew");
            metrics::counter!("rally_fabric_link_replaced_total").increment(1);
            self.publisher.replace();
            patience.lost();
        }
    }

    /// Receives by this client until it is silent for too long.
    async fn serve(&self, mut live: Live, probes: &mut Probes, patience: &mut Patience) {
        let started = (self.clock)();
        let channel = names::mailbox(self.node);
        let received = metrics::counter!("rally_fabric_received_total");
        let mut ticks = interval(PROBE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut subscribing = pin!(Fuse::terminated());
        loop {
            tokio::select! {
                connected = live.connects.recv() => {
                    if let Err(RecvError::Closed) = connected {
                        return;
                    }
                    // Every connection starts without subscriptions.
                    let (client, channel) = (live.client.clone(), channel.clone());
                    subscribing.set(async move { client.subscribe(channel).await }.fuse());
                }
                result = &mut subscribing => {
                    // An answer proves nothing, and an error will show by silence: the probe decides.
                    if let Err(error) = result {
                        tracing::debug!(%error, "subscribing the mailbox failed");
                    }
                }
                message = live.messages.recv() => {
                    let mut next = Some(message);
                    let mut count = 0;
                    while let Some(message) = next {
                        match message {
                            Ok(message) => {
                                count += 1;
                                self.take(message, probes, patience);
                            }
                            // A counted gap, not the end.
                            Err(RecvError::Lagged(n)) => {
                                metrics::counter!("rally_fabric_lagged_total").increment(n);
                            }
                            Err(RecvError::Closed) => return,
                        }
                        next = live.messages.try_recv().ok().map(Ok);
                    }
                    received.increment(count);
                }
                _ = ticks.tick() => {
                    let now = (self.clock)();
                    self.probe(now, probes);
                    let silent = now.since(probes.heard_at);
                    if silent >= SILENT_AFTER {
                        self.silent(probes.heard_at);
                    }
                    // A new client gets its time to connect.
                    if silent >= patience.now() && now.since(started) >= patience.now() {
                        return;
                    }
                }
            }
        }
    }

    fn take(&self, message: Message, probes: &mut Probes, patience: &mut Patience) {
        let Some(bytes) = message.value.into_bytes() else { return };
        if bytes.first() == Some(&PROBE) {
            self.hear_probe(&bytes, probes, patience);
        } else if self.inbox.try_send(bytes).is_err() {
            metrics::counter!("rally_fabric_inbox_dropped_total").increment(1);
        }
    }

    fn probe(&self, now: Instant, probes: &mut Probes) {
        probes.sent += 1;
        probes.sent_at = now;
        let mut bytes = BytesMut::with_capacity(PROBE_BYTES);
        bytes.put_u8(PROBE);
        bytes.put_u64(self.incarnation.to_bits());
        bytes.put_u64(probes.sent);
        self.outbox.send(self.node, bytes.freeze());
    }

    fn hear_probe(&self, bytes: &[u8], probes: &mut Probes, patience: &mut Patience) {
        let u64_at = |i: usize| bytes.get(i..i + 8).and_then(|b| b.try_into().ok()).map(u64::from_be_bytes);
        let (Some(incarnation), Some(number)) = (u64_at(1), u64_at(9)) else { return };
        // Of another life, or one that we have not sent or have heard.
        if incarnation != self.incarnation.to_bits() || number <= probes.heard || number > probes.sent {
            return;
        }
        let now = (self.clock)();
        if number == probes.sent {
            metrics::histogram!("rally_fabric_probe_seconds").record(now.since(probes.sent_at).as_secs_f64());
        }
        (probes.heard, probes.heard_at) = (number, now);
        patience.regained();
        self.state.send_if_modified(|state| {
            let was_silent = matches!(state, LinkState::Silent { .. });
            if was_silent {
                *state = LinkState::Up { since: now };
            }
            was_silent
        });
    }

    fn silent(&self, since: Instant) {
        self.state.send_if_modified(|state| {
            let was_up = matches!(state, LinkState::Up { .. });
            if was_up {
                *state = LinkState::Silent { since };
                metrics::counter!("rally_fabric_link_silences_total").increment(1);
            }
            was_up
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes_spread_over_the_buses_and_stay_when_one_is_added() {
        let nodes: Vec<NodeId> = (0..1_000).map(|i| NodeId::of_name(&format!("node-{i}"))).collect();
        assert!(nodes.iter().all(|node| bus_of(*node, 1) == 0));
        let on_first = nodes.iter().filter(|node| bus_of(**node, 2) == 0).count();
        assert!((400..600).contains(&on_first), "{on_first}");
        for node in nodes {
            let (two, three) = (bus_of(node, 2), bus_of(node, 3));
            assert!(two == three || three == 2, "moves only to the new one");
        }
    }
}
