//! A worker that does what the test says.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use rally_fabric::{Fabric, Owned, Owner, Pairs, Received};
use rally_protocol::{
    client::{
        codec::{Encoding, Messages},
        v1::{ErrorCode, EventKind, MatchEvent, MatchJoined, Mode, PaddleState, Phase, Place, ServerMessage, Snapshot},
    },
    cluster::{
        BundleKeys, EntryKind,
        v1::{Control, InputRecord, SnapshotHead},
    },
};
use rally_service::clock;
use rally_units::{Epoch, Incarnation, MatchId, NodeId, SessionId, SubStep, Tick};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::DropGuard;

use super::LONG;

/// What an edge said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    Control(Control),
    Inputs(Vec<InputRecord>),
}

pub(crate) struct Worker {
    pub(crate) fabric: Fabric,
    pub(crate) incarnation: Incarnation,
    pub(crate) epoch: Epoch,
    /// Whether those who are in a match may stay when the edge attaches again. Else they have to join again.
    pub(crate) lets_stay: bool,
    pairs: Pairs,
    mailbox: mpsc::Receiver<Bytes>,
    said: VecDeque<(NodeId, MatchId, Said)>,
    _shutdown: DropGuard,
}

impl Worker {
    pub(crate) fn new(fabric: Fabric, incarnation: Incarnation, keys: BundleKeys, shutdown: DropGuard) -> Self {
        let pairs = Pairs::new(fabric.node(), incarnation, keys);
        let mailbox = fabric.take_mailbox().unwrap();
        Self {
            fabric,
            incarnation,
            epoch: Epoch(1),
            lets_stay: false,
            pairs,
            mailbox,
            said: VecDeque::new(),
            _shutdown: shutdown,
        }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.fabric.node()
    }

    /// Tells Redis that it owns a match.
    pub(crate) async fn own(&self, match_id: MatchId) {
        let owner = Owner { node: self.node(), incarnation: self.incarnation, epoch: self.epoch };
        self.fabric.set_owners(&[Owned { match_id, owner }]).await.unwrap();
    }

    /// What an edge says next.
    pub(crate) async fn next(&mut self) -> (NodeId, MatchId, Said) {
        timeout(LONG, async {
            loop {
                if let Some(said) = self.said.pop_front() {
                    return said;
                }
                self.turn(Duration::from_millis(10)).await;
            }
        })
        .await
        .expect("a word of an edge in time")
    }

    /// What the edges have said by the time that nothing comes for this long.
    pub(crate) async fn all_within(&mut self, quiet: Duration) -> Vec<Said> {
        self.turn(quiet).await;
        self.said.drain(..).map(|(_, _, said)| said).collect()
    }

    /// The next inputs. An edge that hears nothing of a match for a while asks again to come in, which is passed over.
    pub(crate) async fn inputs(&mut self) -> Vec<InputRecord> {
        loop {
            match self.next().await {
                (_, _, Said::Inputs(records)) => return records,
                (_, _, Said::Control(Control::Join { .. } | Control::Attach { .. })) => {}
                other => panic!("not inputs: {other:?}"),
            }
        }
    }

    pub(crate) async fn control(&mut self) -> (NodeId, Control) {
        match self.next().await {
            (from, _, Said::Control(control)) => (from, control),
            other => panic!("not a control: {other:?}"),
        }
    }

    /// The next join, let in at this place.
    pub(crate) async fn let_in(&mut self, match_id: MatchId, place: Place, generation: u16) -> (NodeId, SessionId) {
        let (edge, Control::Join { request, session, .. }) = self.control().await else { panic!("not a join") };
        self.answer(edge, match_id, request, place, generation, 0).await;
        (edge, session)
    }

    pub(crate) async fn answer(
        &mut self,
        edge: NodeId,
        match_id: MatchId,
        request: u64,
        place: Place,
        generation: u16,
        last_event: u32,
    ) {
        let picture = Box::new(picture(match_id, place, last_event));
        self.tell(edge, match_id, &Control::Joined { request, generation, picture });
        self.flush();
    }

    /// Whoever has asked to stay may, and hears of the events up to the last one, so many at most: an edge of a busy
    /// machine thinks at times that it has heard nothing for long. For those with [`Worker::lets_stay`].
    pub(crate) fn let_stay(&mut self, match_id: MatchId, last: u32, missed_max: u32) {
        for (edge, _, said) in std::mem::take(&mut self.said) {
            let Said::Control(Control::Attach { request, last_event, .. }) = said else { continue };
            let missed = (last_event + 1..=last).take(missed_max as usize);
            let missed = missed.map(|n| ServerMessage::from(event(match_id, n)).encode(Encoding::Msgpack).unwrap());
            let attached = Control::Attached { request, last_event: last, missed: missed.collect() };
            self.tell(edge, match_id, &attached);
        }
    }

    pub(crate) fn tell(&mut self, edge: NodeId, match_id: MatchId, control: &Control) {
        self.pairs.control(edge, match_id, self.epoch, control).unwrap();
    }

    pub(crate) fn event(&mut self, edge: NodeId, match_id: MatchId, n: u32) {
        self.message(edge, match_id, &event(match_id, n).into());
    }

    pub(crate) fn message(&mut self, edge: NodeId, match_id: MatchId, message: &ServerMessage) {
        let payload = message.encode(Encoding::Msgpack).unwrap();
        self.pairs.message(edge, match_id, self.epoch, payload.into()).unwrap();
    }

    pub(crate) fn snapshot(&mut self, edge: NodeId, match_id: MatchId, head: SnapshotHead) {
        let message = ServerMessage::from(snapshot(match_id, head.tick, self.epoch));
        self.pairs.snapshot(edge, match_id, self.epoch, |out| {
            out.extend_from_slice(&head.to_bytes());
            message.encode_into(Encoding::Msgpack, out).unwrap();
        });
    }

    /// A bundle with one snapshot, sealed but not sent.
    pub(crate) fn seal(&mut self, edge: NodeId, match_id: MatchId, head: SnapshotHead) -> Bytes {
        self.flush();
        self.snapshot(edge, match_id, head);
        let mut sealed = None;
        self.pairs.flush(clock::now(), |_, bundle| sealed = Some(bundle));
        sealed.unwrap()
    }

    pub(crate) fn last_heard(&self, edge: NodeId) -> Option<rally_units::Instant> {
        self.pairs.last_heard(edge)
    }

    /// Sends what was said.
    pub(crate) fn flush(&mut self) {
        let fabric = &self.fabric;
        self.pairs.flush(clock::now(), |to, bundle| assert!(fabric.send(to, bundle)));
    }

    /// Sends a snapshot each 16 ms, as a worker does, while `work` goes on.
    pub(crate) async fn tick_during<T>(
        &mut self,
        edge: NodeId,
        match_id: MatchId,
        first: u32,
        work: impl Future<Output = T>,
    ) -> T {
        tokio::pin!(work);
        let mut tick = first;
        loop {
            self.snapshot(edge, match_id, SnapshotHead { tick: Tick(tick), ..SnapshotHead::default() });
            self.flush();
            tick += 1;
            tokio::select! {
                done = &mut work => return done,
                () = self.turn(Duration::from_millis(16)) => {}
            }
        }
    }

    /// Listens for this long, and sends what the pairs owe meanwhile.
    pub(crate) async fn turn(&mut self, span: Duration) {
        let until = tokio::time::Instant::now() + span;
        loop {
            let now = clock::now();
            let fabric = &self.fabric;
            self.pairs.flush(now, |to, bundle| {
                fabric.send(to, bundle);
            });
            let owed = self.pairs.next_deadline().map(|at| tokio::time::Instant::now() + at.since(now));
            let wake = owed.map_or(until, |owed| owed.min(until));
            tokio::select! {
                bundle = self.mailbox.recv() => self.receive(&bundle.unwrap()),
                () = tokio::time::sleep_until(wake) => {}
            }
            if tokio::time::Instant::now() >= until {
                return;
            }
        }
    }

    fn receive(&mut self, bundle: &[u8]) {
        let (said, mut may_not_stay) = (&mut self.said, Vec::new());
        // Bundles of an edge that does not know this worker's life yet are refused, and repeated.
        let _ = self.pairs.receive(clock::now(), bundle, |received| {
            let Received::Entry { from, entry, .. } = received else { return };
            let word = match entry.kind {
                EntryKind::Control => match Control::from_bytes(entry.payload).unwrap() {
                    Control::Attach { request, .. } if !self.lets_stay => {
                        return may_not_stay.push((from, entry.match_id, request));
                    }
                    control => Said::Control(control),
                },
                EntryKind::Inputs => Said::Inputs(InputRecord::read_all(entry.payload).unwrap().collect()),
                EntryKind::Snapshot | EntryKind::Message | EntryKind::State => panic!("edges do not say such things"),
            };
            said.push_back((from, entry.match_id, word));
        });
        for (edge, match_id, request) in may_not_stay {
            let (code, detail) = (ErrorCode::InvalidInput, "join again".to_owned());
            self.tell(edge, match_id, &Control::Refused { request, code, detail });
        }
    }
}

pub(crate) fn snapshot(match_id: MatchId, tick: Tick, epoch: Epoch) -> Snapshot {
    const PADDLE: PaddleState = (540 * 16, rally_protocol::client::v1::Dir::Stay);
    Snapshot {
        match_id,
        tick,
        clock: SubStep(tick.0 * 4),
        epoch,
        phase: Phase::Playing,
        ack: [0, 0],
        paddles: [PADDLE; 2],
        balls: vec![(960 * 16, 540 * 16, 600, 0)].try_into().unwrap(),
        score: [0, 0],
        skills: [(0, 0); 2],
        power_ups: vec![].try_into().unwrap(),
        effects: vec![].try_into().unwrap(),
    }
}

pub(crate) fn event(match_id: MatchId, n: u32) -> MatchEvent {
    MatchEvent {
        match_id,
        tick: Tick(n),
        n,
        event: EventKind::Hit,
        side: None,
        value: None,
        y: None,
        score: None,
        skill: None,
        power_up: None,
    }
}

fn picture(match_id: MatchId, side: Place, last_event: u32) -> MatchJoined {
    MatchJoined {
        match_id,
        side,
        players: [None, None],
        mode: Mode::Casual,
        phase: Phase::Playing,
        snapshot: snapshot(match_id, Tick(0), Epoch(1)),
        classic: false,
        score_to_win: 11,
        private: false,
        last_event,
        over: None,
    }
}
