//! The hub's loop: whatever can wake it stands in `run`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use rally_fabric::{Fabric, LinkState, Pairs};
use rally_link::Kept;
use rally_protocol::{
    client::{
        codec::{Encoding, Messages},
        v1::{Dir, ServerMessage, Side, close},
    },
    cluster::v1::{Control, InputRecord, NodeLoad},
};
use rally_service::clock;
use rally_store::Store;
use rally_units::{Instant, MatchId, NodeId};
use smallvec::SmallVec;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Event, HubConfig, OpenedSession, Refusal,
    batch::{Batch, HeldSnapshot, Numbered, Origin},
    creating::Creating,
    drain::Drain,
    joining::{LOOK_UP_PLACES, LOOK_UPS_MAX},
    matches::LocalMatch,
    people::{People, Person},
};
use crate::{
    fanout::{Fanout, Frames},
    metrics::{self, Metrics},
    socket::{ConnId, SharedPeer},
};

/// Between two bundles to a worker: what comes meanwhile goes together.
const FLUSH_PERIOD: Duration = Duration::from_nanos(1_000_000_000 / 240);

/// Between two looks at all matches. Their silence is to be noticed within 250 ms.
const MATCHES_PERIOD: Duration = Duration::from_millis(50);
/// Between two looks at all connections. Their deadlines are seconds.
const CONNECTIONS_PERIOD: Duration = Duration::from_millis(250);
/// Between two reports of this edge's load, and looks at who has left the cluster.
const NODES_PERIOD: Duration = Duration::from_secs(1);
/// How long a node that has left the cluster may be silent before what waits for it is dropped.
const FORGET_AFTER: Duration = Duration::from_secs(10);
/// Between two refreshes of tickets, which live for 6 s.
const TICKETS_PERIOD: Duration = Duration::from_secs(2);
/// Between two touches of sessions, which live for 120 s.
const SESSIONS_PERIOD: Duration = Duration::from_secs(30);

/// Events and bundles handled before anything is written to Redis.
const EVENTS_PER_TURN: usize = 256;
const BUNDLES_PER_TURN: usize = 32;

/// See the module's documentation.
pub(super) struct Hub {
    pub(super) fabric: Fabric,
    pub(super) store: Store,
    pub(super) metrics: Metrics,
    /// For tasks that look something up.
    pub(super) events: mpsc::Sender<Event>,
    pub(super) pairs: Pairs,
    pub(super) people: People,
    pub(super) matches: HashMap<MatchId, LocalMatch>,
    /// Matches held at each worker.
    pub(super) owners: HashMap<NodeId, usize>,
    pub(super) last_request: u64,
    pub(super) refreshing: bool,
    pub(super) drain: Option<Drain>,
    /// For how many looks in a row this edge has had more than its share of connections.
    pub(super) crowded_looks: u32,
    /// Readers to whom something was queued in this turn.
    pub(super) unflushed: Vec<SharedPeer>,
    pub(super) scratch: Vec<MatchId>,
    /// Whether this edge's own link to the others holds.
    pub(super) link: watch::Receiver<LinkState>,
    pub(super) look_ups: Arc<Semaphore>,
    pub(super) look_up_places: Arc<Semaphore>,
    pub(super) creating: HashMap<u64, Creating>,
    batch: Batch,
    fanout: Fanout,
    /// Matches with inputs to send.
    pub(super) unsent: Vec<MatchId>,
    records: Vec<InputRecord>,
    /// When the inputs were read that the next flush sends.
    arrivals: Vec<Instant>,
    flushed_at: Instant,
    due: Due,
}

/// When to look at what next.
struct Due {
    matches: Instant,
    connections: Instant,
    nodes: Instant,
    tickets: Instant,
    sessions: Instant,
}

/// Whether `due` has come; then it is put a period further on.
fn comes_due(due: &mut Instant, now: Instant, period: Duration) -> bool {
    let comes = now >= *due;
    if comes {
        *due = now + period;
    }
    comes
}

pub(super) async fn run(
    config: HubConfig,
    metrics: Metrics,
    events: mpsc::Sender<Event>,
    mut inbox: mpsc::Receiver<Event>,
    shutdown: CancellationToken,
) {
    let Some(mut mailbox) = config.fabric.take_mailbox() else {
        panic!("the fabric's mailbox has been taken already");
    };
    let mut hub = Hub::new(config, metrics, events, clock::now());
    let mut bundles = Vec::with_capacity(BUNDLES_PER_TURN);
    let mut turn = Vec::with_capacity(EVENTS_PER_TURN);
    let sleep = tokio::time::sleep(Duration::ZERO);
    tokio::pin!(sleep);
    loop {
        let left = hub.deadline().since(clock::now());
        sleep.as_mut().reset(tokio::time::Instant::now() + left);
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            n = mailbox.recv_many(&mut bundles, BUNDLES_PER_TURN) => if n == 0 { break },
            n = inbox.recv_many(&mut turn, EVENTS_PER_TURN) => if n == 0 { break },
            () = &mut sleep => {}
        }
        // Whichever woke us, both have their turn: a mailbox that never empties must not starve players' inputs.
        take(&mut mailbox, &mut bundles, BUNDLES_PER_TURN);
        take(&mut inbox, &mut turn, EVENTS_PER_TURN);
        let now = clock::now();
        for bundle in bundles.drain(..) {
            hub.bundle(now, &bundle);
        }
        for event in turn.drain(..) {
            hub.event(now, event);
        }
        hub.look(now);
        hub.flush(now);
    }
    hub.end();
}

/// Takes what is there already.
fn take<T>(from: &mut mpsc::Receiver<T>, into: &mut Vec<T>, max: usize) {
    while into.len() < max
        && let Ok(item) = from.try_recv()
    {
        into.push(item);
    }
}

impl Hub {
    fn new(config: HubConfig, metrics: Metrics, events: mpsc::Sender<Event>, now: Instant) -> Self {
        let HubConfig { incarnation, keys, fabric, store } = config;
        Self {
            pairs: Pairs::new(fabric.node(), incarnation, keys),
            link: fabric.link(),
            look_ups: Arc::new(Semaphore::new(LOOK_UPS_MAX)),
            look_up_places: Arc::new(Semaphore::new(LOOK_UP_PLACES)),
            fabric,
            store,
            metrics,
            events,
            people: People::default(),
            matches: HashMap::new(),
            owners: HashMap::new(),
            last_request: 0,
            refreshing: false,
            drain: None,
            crowded_looks: 0,
            unflushed: Vec::new(),
            scratch: Vec::new(),
            creating: HashMap::new(),
            batch: Batch::default(),
            fanout: Fanout::default(),
            unsent: Vec::new(),
            records: Vec::new(),
            arrivals: Vec::new(),
            flushed_at: Instant::default(),
            due: Due { matches: now, connections: now, nodes: now, tickets: now, sessions: now },
        }
    }

    /// When the loop has to turn even if nothing comes.
    fn deadline(&self) -> Instant {
        let mut deadline = self.due.connections.min(self.due.nodes).min(self.due.tickets).min(self.due.sessions);
        if !self.matches.is_empty() || !self.creating.is_empty() {
            deadline = deadline.min(self.due.matches);
        }
        if self.has_entries() {
            deadline = deadline.min(self.flushed_at + FLUSH_PERIOD);
        }
        let others = [self.pairs.next_deadline(), self.drain.as_ref().and_then(Drain::next)];
        others.into_iter().flatten().fold(deadline, Instant::min)
    }

    fn has_entries(&self) -> bool {
        !self.unsent.is_empty() || self.pairs.has_entries()
    }

    fn bundle(&mut self, now: Instant, bytes: &Bytes) {
        let mut batch = std::mem::take(&mut self.batch);
        if let Err(error) = self.pairs.receive(now, bytes, |received| batch.take(received)) {
            // Peers that have just started, or a Redis that others can write to.
            tracing::debug!(%error, "a bundle is refused");
            metrics::bundle_refused(error.label());
        }
        for numbered in batch.numbered.drain(..) {
            self.numbered(now, numbered);
        }
        for snapshot in batch.snapshots.drain(..) {
            self.snapshot(now, &snapshot, &batch.frames);
        }
        batch.frames.clear();
        self.batch = batch;
        for peer in self.unflushed.drain(..) {
            peer.flush();
        }
        self.metrics.fanout_seconds.record(clock::now().since(now));
    }

    fn snapshot(&mut self, now: Instant, held: &HeldSnapshot, frames: &[u8]) {
        let HeldSnapshot { origin: Origin { from, match_id, epoch }, head, payload_at, .. } = *held;
        // Somebody left a moment ago.
        let Some(local) = self.matches.get_mut(&match_id) else { return metrics::entry_refused("not_here") };
        let moves = epoch > local.relay.epoch();
        let before = local.relay.newest_tick().filter(|_| !moves);
        if let Err(refusal) = local.relay.snapshot(now, from, epoch, &head) {
            return metrics::entry_refused(refusal.label());
        }
        self.metrics.snapshot(now, before, head.tick, local.relay.take_answered());
        if local.relay.has_unsent() && !local.is_unsent {
            local.is_unsent = true;
            self.unsent.push(match_id);
        }
        let readers = local.members.iter().map(|member| &member.peer);
        let unflushed = &mut self.unflushed;
        let later = |peer: &SharedPeer| unflushed.push(peer.clone());
        self.fanout.snapshot(match_id, &frames[held.frame.clone()], payload_at, readers, &self.metrics, later);
        if moves {
            self.hold(match_id);
            // So that the new owner knows all who are here, and tells what got lost on the way.
            self.ask_to_stay(now, match_id, from);
        }
    }

    fn numbered(&mut self, now: Instant, numbered: Numbered) {
        match numbered {
            Numbered::Restarted(node) => self.restarted(now, node),
            Numbered::Message(origin, payload) => match ServerMessage::decode(Encoding::Msgpack, &payload) {
                Ok(message) => {
                    let mut frames = Frames::new(&message, &payload);
                    self.match_message(now, origin, &message, &mut frames);
                }
                Err(error) => {
                    tracing::warn!(%error, ?origin, "a message cannot be read");
                    metrics::entry_refused("malformed");
                }
            },
            Numbered::Control(origin, control) => match control {
                Control::Joined { request, generation, picture } => {
                    self.joined(now, origin, request, generation, *picture);
                }
                Control::Created { request } => self.created(origin.from, request, Ok(())),
                Control::Refused { request, code, detail } => {
                    self.join_refused(now, origin, request, code, &detail);
                    self.created(origin.from, request, Err(Refusal { code, detail }));
                }
                Control::Found { session, message } => self.found(session, *message),
                Control::Requeued { session, mode } => self.requeued(session, mode),
                control => self.match_control(now, origin, control),
            },
        }
    }

    fn event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Input { conn, match_id, side, seq, dir, press, at } => {
                self.input(conn, match_id, side, (seq, dir, press), at);
            }
            Event::Connected(peer) => {
                if self.drain.is_some() {
                    peer.close(close::RESTART, "this edge restarts", "drain");
                }
                self.people.connect(peer);
                self.count_people();
            }
            Event::Opened { conn, session } => self.opened(conn, *session),
            Event::Closed(conn) => self.closed(conn),
            Event::Join { conn, match_id, join_as, skill } => self.join(now, conn, match_id, join_as, skill),
            Event::Leave { conn, match_id } => self.leave(conn, match_id),
            Event::Command { conn, match_id, command } => self.command(conn, match_id, command),
            Event::Queued { conn, ticket } => {
                if let Some(person) = self.people.person_mut(conn) {
                    person.ticket = ticket;
                    person.queued_at = ticket.map(|_| now);
                }
            }
            Event::Create { worker, what, reply } => self.create(now, worker, what, reply),
            Event::Located { match_id, owner } => self.located(now, match_id, owner),
            Event::Refreshed(states) => self.refreshed(states),
            Event::FoundLate { conn, message } => self.found_late(conn, *message),
            Event::Drain { within, done } => self.drain(now, within, done),
        }
    }

    fn input(&mut self, conn: ConnId, match_id: MatchId, side: Side, input: (u32, Dir, bool), at: Instant) {
        let Some(local) = self.matches.get_mut(&match_id) else { return metrics::refused("not_in_match") };
        if !local.is_seated(conn, side) {
            return metrics::refused("not_seated");
        }
        let (seq, dir, press) = input;
        match local.relay.input(side, seq, dir, press) {
            Some(Kept::New) => {
                self.metrics.inputs.increment(1);
                self.arrivals.push(at);
                local.relay.time_input(side, at);
            }
            Some(Kept::Merged) => self.metrics.inputs.increment(1),
            Some(Kept::Dropped) | None => self.metrics.inputs_dropped.increment(1),
        }
        if local.relay.has_unsent() && !local.is_unsent {
            local.is_unsent = true;
            self.unsent.push(match_id);
        }
    }

    fn opened(&mut self, conn: ConnId, opened: OpenedSession) {
        let OpenedSession { session, user, ticket } = opened;
        if let Some(older) = self.people.by_session(session).filter(|older| *older != conn) {
            // The same session on a new connection: the old one is half-dead, or a copied page. Its matches are left
            // before the new one joins, in this order at the owner too.
            if let Some(connected) = self.people.get(older) {
                connected.peer.close(close::SEAT_TAKEN, "the session goes on elsewhere", "session_taken");
            }
            self.disembark(older);
        }
        self.people.open(conn, Person { session, user, ticket, queued_at: None, matches: SmallVec::new() });
    }

    /// Takes the person off a connection and out of all matches; the connection itself may still be closing.
    pub(super) fn disembark(&mut self, conn: ConnId) {
        let matches = self.people.person(conn).map(|(_, person)| person.matches.clone());
        for match_id in matches.into_iter().flatten() {
            self.leave(conn, match_id);
        }
        self.people.take_person(conn);
    }

    fn closed(&mut self, conn: ConnId) {
        self.disembark(conn);
        self.people.disconnect(conn);
        self.count_people();
    }

    fn count_people(&self) {
        self.metrics.connections.set(self.people.len() as f64);
    }

    /// Whatever the clock brings about.
    fn look(&mut self, now: Instant) {
        if comes_due(&mut self.due.matches, now, MATCHES_PERIOD) {
            self.look_at_matches(now);
            self.look_at_creations(now);
        }
        if comes_due(&mut self.due.connections, now, CONNECTIONS_PERIOD) {
            let gone: Vec<ConnId> =
                self.people.iter().filter(|(_, connected)| !connected.peer.tick(now)).map(|(conn, _)| conn).collect();
            for conn in gone {
                self.closed(conn);
            }
        }
        if comes_due(&mut self.due.nodes, now, NODES_PERIOD) {
            self.metrics.matches.set(self.matches.len() as f64);
            self.pairs.take_stats().record();
            self.set_load();
            self.balance();
            self.forget_the_dead(now);
        }
        if comes_due(&mut self.due.tickets, now, TICKETS_PERIOD) {
            self.refresh_tickets();
        }
        if comes_due(&mut self.due.sessions, now, SESSIONS_PERIOD) {
            self.touch_sessions();
        }
        self.look_at_drain(now);
    }

    /// Tells the cluster how busy this edge is.
    pub(super) fn set_load(&self) {
        let items = u32::try_from(self.people.len()).unwrap_or(u32::MAX);
        self.fabric.set_load(NodeLoad { items, tick_lateness_us: 0, draining: self.drain.is_some() });
    }

    /// Drops what waits for workers that have left the cluster: it would wait for ever.
    fn forget_the_dead(&mut self, now: Instant) {
        let nodes = self.fabric.nodes();
        // An empty picture means that Redis is away, not that everybody has died.
        if nodes.iter().next().is_none() {
            return;
        }
        let asked = self.matches.values().flat_map(LocalMatch::asked);
        let gone = |node: &NodeId| nodes.get(*node).is_none();
        let mut dead: Vec<NodeId> = self.owners.keys().copied().chain(asked).filter(gone).collect();
        // What else was said to one, that somebody left, say, is dropped later: its lease may only have lapsed.
        let silent = |node: &NodeId| self.pairs.last_heard(*node).is_none_or(|heard| now.since(heard) > FORGET_AFTER);
        dead.extend(self.pairs.waiting().filter(gone).filter(silent));
        dead.sort_unstable();
        dead.dedup();
        for node in &dead {
            self.pairs.forget(*node);
        }
        if !dead.is_empty() {
            self.forgotten(&dead);
        }
    }

    /// Sends what is to be sent: at once when nothing was sent a moment ago, else a moment after that.
    fn flush(&mut self, now: Instant) {
        let paced = self.has_entries() && now.since(self.flushed_at) >= FLUSH_PERIOD;
        let due = self.pairs.next_deadline().is_some_and(|deadline| now >= deadline);
        if !paced && !due {
            return;
        }
        for match_id in self.unsent.drain(..) {
            let Some(local) = self.matches.get_mut(&match_id) else { continue };
            local.is_unsent = false;
            let Some(owner) = local.relay.owner() else { continue };
            self.records.clear();
            local.relay.send(&mut self.records);
            if !self.records.is_empty() {
                self.pairs.inputs(owner, match_id, local.relay.epoch(), &self.records);
            }
        }
        let fabric = &self.fabric;
        self.pairs.flush(now, |to, bundle| {
            // Counted by the fabric when it is dropped; what matters is repeated.
            fabric.send(to, bundle);
        });
        self.flushed_at = now;
        if !self.arrivals.is_empty() {
            let sent = clock::now();
            for at in self.arrivals.drain(..) {
                self.metrics.input_seconds.record(sent.since(at));
            }
        }
    }

    /// The edge ends: whoever is still here goes, and the owners are told.
    fn end(&mut self) {
        let everybody: Vec<ConnId> = self.people.iter().map(|(conn, _)| conn).collect();
        for conn in everybody {
            if let Some(connected) = self.people.get(conn) {
                connected.peer.close(close::RESTART, "this edge restarts", "shutdown");
            }
            self.disembark(conn);
        }
        let fabric = &self.fabric;
        self.pairs.flush(clock::now(), |to, bundle| {
            fabric.send(to, bundle);
        });
    }
}
