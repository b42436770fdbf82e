//! An edge with one player in each match, as far as workers notice: the real relay and the real pairs, and the hub's rules
//! for attaching. It checks what its players are told.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use rally_fabric::{Pairs, Received};
use rally_link::{Asked, Relay};
use rally_protocol::{
    client::{
        Encoding,
        codec::Messages as _,
        v1::{Dir, ErrorCode, EventKind, JoinAs, Phase, Place, ServerMessage, Side, Skill},
    },
    cluster::{
        EntryKind,
        v1::{Command, Control, InputRecord, Present, SnapshotHead},
    },
};
use rally_units::{Epoch, Incarnation, Instant, MatchId, NodeId, SessionId, UserId};

/// One player's match.
pub(super) struct Seat {
    pub(super) relay: Relay,
    side: Side,
    session: SessionId,
    user: UserId,
    /// Came in, by `match_joined`.
    pub(super) is_member: bool,
    attaching: Option<Asked>,
    asked: Option<Asked>,
    joins_anew: bool,
    pub(super) wants_owner: bool,
    skip_cache: bool,
    attempts: u32,
    held: Option<NodeId>,
    seq: u32,
    pub(super) phase: Phase,
    pub(super) over: Option<[u8; 2]>,
    // What has been told, for the checks.
    last_event: u32,
    pub(super) score: [u8; 2],
    /// Goals by their events.
    goals: [u8; 2],
    durable: u32,
    generation: u16,
    pub(super) last_snapshot: Instant,
    pub(super) longest_gap_ms: u128,
    pub(super) ack: u32,
}

pub(super) struct Edge {
    pub(super) id: NodeId,
    pub(super) incarnation: Incarnation,
    pub(super) pairs: Pairs,
    pub(super) seats: BTreeMap<MatchId, Seat>,
    requests: u64,
    /// Whether its own link is cut.
    pub(super) is_cut: bool,
    /// Redis has forgotten what it was told last, so that what was durable need not be.
    pub(super) redis_fell_back: bool,
}

/// What an edge has accepted, for the checks over all edges.
pub(super) type Authorities = HashMap<(MatchId, Epoch), NodeId>;

impl Edge {
    pub(super) fn new(id: NodeId, incarnation: Incarnation, pairs: Pairs) -> Self {
        Self { id, incarnation, pairs, seats: BTreeMap::new(), requests: 0, is_cut: false, redis_fell_back: false }
    }

    /// Its process is another one: its people come in anew, with what they remember.
    pub(super) fn restart(&mut self, now: Instant, life: Incarnation, pairs: Pairs) {
        (self.incarnation, self.pairs) = (life, pairs);
        for seat in self.seats.values_mut() {
            seat.relay = Relay::new(now);
            (seat.is_member, seat.joins_anew, seat.wants_owner) = (false, false, true);
            (seat.attaching, seat.asked, seat.held, seat.attempts) = (None, None, None, 0);
        }
    }

    pub(super) fn sit(&mut self, now: Instant, match_id: MatchId, side: Side, session: SessionId, user: UserId) {
        let seat = Seat {
            relay: Relay::new(now),
            side,
            session,
            user,
            is_member: false,
            attaching: None,
            asked: None,
            joins_anew: false,
            wants_owner: true,
            skip_cache: false,
            attempts: 0,
            held: None,
            seq: 0,
            phase: Phase::Waiting,
            over: None,
            last_event: 0,
            score: [0; 2],
            goals: [0; 2],
            durable: 0,
            generation: 0,
            last_snapshot: now,
            longest_gap_ms: 0,
            ack: 0,
        };
        self.seats.insert(match_id, seat);
    }

    /// A player moves.
    pub(super) fn play(&mut self, match_id: MatchId, dir: Dir, press: bool) {
        let Some(seat) = self.seats.get_mut(&match_id).filter(|seat| seat.is_member && seat.over.is_none()) else {
            return;
        };
        seat.seq += 1;
        let (side, seq) = (seat.side, seat.seq);
        seat.relay.input(side, seq, dir, press);
    }

    pub(super) fn command(&mut self, match_id: MatchId, command: Command) {
        let Some(seat) = self.seats.get_mut(&match_id) else { return };
        if let Some(owner) = seat.relay.owner() {
            let control = Control::Command { session: seat.session, command };
            let _ = self.pairs.control(owner, match_id, seat.relay.epoch(), &control);
        }
    }

    /// Looks at the clock. `locate` says who owns a match, by Redis or (true) by Postgres.
    pub(super) fn look(&mut self, now: Instant, mut locate: impl FnMut(MatchId, bool) -> Option<NodeId>) {
        let mut found = Vec::new();
        for (match_id, seat) in &mut self.seats {
            if seat.over.is_some() {
                continue;
            }
            if !self.is_cut && seat.relay.timeout(now).is_some() {
                seat.attempts += 1;
                seat.wants_owner = true;
                if let Some(held) = seat.held.filter(|_| seat.attempts == 1 && seat.is_member) {
                    seat.wants_owner = false;
                    found.push((*match_id, held));
                }
            }
            if std::mem::take(&mut seat.wants_owner)
                && let Some(owner) = locate(*match_id, std::mem::take(&mut seat.skip_cache))
            {
                found.push((*match_id, owner));
            }
        }
        for (match_id, owner) in found {
            self.ask(now, match_id, owner);
        }
    }

    /// A worker that has left the registry: what waits for it is dropped.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.pairs.forget(node);
        for seat in self.seats.values_mut() {
            seat.attaching = seat.attaching.filter(|asked| asked.node != node);
            seat.asked = seat.asked.filter(|asked| asked.node != node);
            seat.held = seat.held.filter(|held| *held != node);
        }
    }

    fn ask(&mut self, now: Instant, match_id: MatchId, owner: NodeId) {
        let Some(seat) = self.seats.get_mut(&match_id) else { return };
        self.requests += 1;
        let request = self.requests;
        if seat.is_member && !seat.joins_anew {
            if seat.attaching.is_some_and(|asked| asked.awaits(owner, now)) {
                return;
            }
            let place: Place = seat.side.into();
            let generation = seat.relay.generation(seat.side).unwrap_or_default();
            let present = vec![Present { session: seat.session, user: seat.user, place, generation }];
            let control = Control::Attach { request, last_event: seat.relay.last_event(), present };
            if self.pairs.control(owner, match_id, seat.relay.epoch(), &control).is_ok() {
                seat.attaching = Some(Asked::new(request, owner, now));
            }
            return;
        }
        if seat.asked.is_some_and(|asked| asked.awaits(owner, now)) {
            return;
        }
        let control = Control::Join {
            request,
            session: seat.session,
            user: seat.user,
            name: "player".into(),
            join_as: JoinAs::Player,
            skill: Skill::Smash,
        };
        if self.pairs.control(owner, match_id, seat.relay.epoch(), &control).is_ok() {
            seat.asked = Some(Asked::new(request, owner, now));
        }
    }

    /// A bundle came.
    pub(super) fn receive(&mut self, now: Instant, bytes: &Bytes, authorities: &mut Authorities) {
        let mut entries = Vec::new();
        let mut restarted = Vec::new();
        let _ = self.pairs.receive(now, bytes, |received| match received {
            Received::Entry { from, entry, .. } => {
                entries.push((from, entry.kind, entry.match_id, entry.epoch, entry.payload.to_vec()));
            }
            Received::PeerRestarted { node, .. } => restarted.push(node),
        });
        for node in restarted {
            for seat in self.seats.values_mut() {
                seat.attaching = seat.attaching.filter(|asked| asked.node != node);
                seat.asked = seat.asked.filter(|asked| asked.node != node);
                if seat.relay.owner() == Some(node) {
                    seat.relay.detach(now);
                    seat.wants_owner = true;
                }
            }
        }
        // Snapshots last, as the hub does.
        entries.sort_by_key(|(_, kind, ..)| *kind == EntryKind::Snapshot);
        for (from, kind, match_id, epoch, payload) in entries {
            match kind {
                EntryKind::Snapshot => self.snapshot(now, from, match_id, epoch, &payload, authorities),
                EntryKind::Message => self.message(now, from, match_id, epoch, &payload),
                EntryKind::Control => {
                    let control = Control::from_bytes(&payload).expect("workers write what reads");
                    self.control(now, from, match_id, epoch, control);
                }
                EntryKind::Inputs | EntryKind::State => panic!("for workers"),
            }
        }
    }

    fn snapshot(
        &mut self,
        now: Instant,
        from: NodeId,
        match_id: MatchId,
        epoch: Epoch,
        payload: &[u8],
        authorities: &mut Authorities,
    ) {
        let Some(seat) = self.seats.get_mut(&match_id) else { return };
        let (head, message) = SnapshotHead::split(payload).expect("a head");
        let moves = epoch > seat.relay.epoch();
        if seat.relay.snapshot(now, from, epoch, &head).is_err() {
            return;
        }
        let before = authorities.insert((match_id, epoch), from);
        assert!(before.is_none_or(|before| before == from), "two authorities for {match_id} at {epoch}");
        let Ok(ServerMessage::Snapshot(snapshot)) = ServerMessage::decode(Encoding::Msgpack, message) else {
            panic!("not a snapshot")
        };
        seat.longest_gap_ms = seat.longest_gap_ms.max(now.since(seat.last_snapshot).as_millis());
        seat.last_snapshot = now;
        seat.phase = snapshot.phase;
        let i = seat.side.index();
        assert!((0..2).all(|i| snapshot.score[i] >= seat.score[i]), "{match_id}: a goal that was seen is gone");
        seat.score = snapshot.score;
        if head.generation[i] == seat.generation {
            let is_kept = self.redis_fell_back || head.applied[i] >= seat.durable;
            assert!(is_kept, "{match_id}: an input that was said to be durable is lost");
            assert!(head.durable[i] <= head.applied[i]);
            seat.durable = seat.durable.max(head.durable[i]);
            seat.ack = snapshot.ack[i];
        }
        self.hold(match_id);
        if moves {
            self.ask(now, match_id, from);
        }
    }

    fn message(&mut self, now: Instant, from: NodeId, match_id: MatchId, epoch: Epoch, payload: &[u8]) {
        let message = ServerMessage::decode(Encoding::Msgpack, payload).expect("workers write what reads");
        let Some(seat) = self.seats.get_mut(&match_id) else { return };
        match message {
            ServerMessage::MatchEvent(event) => match seat.relay.event(now, from, epoch, event.n) {
                Ok(()) => {
                    if event.n == seat.last_event + 1 {
                        seat.told(match_id, event.n, event.event, event.score);
                    }
                    if event.event == EventKind::ResultPending {
                        seat.relay.finished();
                    }
                    self.hold(match_id);
                }
                Err(rally_link::Refusal::Gap) => seat.wants_owner = true,
                Err(_) => {}
            },
            ServerMessage::GameOver(over) => {
                if seat.relay.message(now, from, epoch).is_ok() {
                    seat.relay.over();
                    seat.over = Some(over.score);
                }
            }
            other => panic!("{other:?}"),
        }
    }

    fn control(&mut self, now: Instant, from: NodeId, match_id: MatchId, epoch: Epoch, control: Control) {
        let Some(seat) = self.seats.get_mut(&match_id) else { return };
        match control {
            Control::Joined { request, generation, picture } => {
                if seat.asked.is_none_or(|asked| asked.request != request) {
                    return;
                }
                seat.asked = None;
                let finished = picture.phase == Phase::Finished;
                let over = picture.over.as_ref().map(|over| over.score);
                if seat.relay.attached(now, from, epoch, picture.last_event, finished, over.is_some()).is_err() {
                    return;
                }
                assert!((0..2).all(|i| picture.snapshot.score[i] >= seat.score[i]), "{match_id}: a goal is gone");
                seat.over = over;
                (seat.is_member, seat.joins_anew, seat.attempts) = (true, false, 0);
                (seat.seq, seat.durable, seat.generation, seat.ack) = (0, 0, generation, 0);
                seat.relay.seat(seat.side, generation);
                seat.last_event = picture.last_event;
                seat.goals = picture.snapshot.score;
                self.hold(match_id);
            }
            Control::Attached { request, last_event, missed } => {
                if seat.attaching.is_none_or(|asked| asked.request != request) {
                    return;
                }
                seat.attaching = None;
                if seat.relay.attached(now, from, epoch, last_event, false, false).is_err() {
                    return;
                }
                seat.attempts = 0;
                for bytes in missed {
                    let message = ServerMessage::decode(Encoding::Msgpack, &bytes).expect("an event");
                    let ServerMessage::MatchEvent(event) = message else { panic!("{message:?}") };
                    if event.n > seat.last_event {
                        seat.told(match_id, event.n, event.event, event.score);
                        if event.event == EventKind::ResultPending {
                            seat.relay.finished();
                        }
                    }
                }
                seat.last_event = seat.last_event.max(last_event);
                self.hold(match_id);
            }
            Control::Refused { request, code, .. } => {
                if seat.attaching.is_some_and(|asked| asked.request == request) {
                    seat.attaching = None;
                    if code == ErrorCode::NotFound {
                        seat.relay.detach(now);
                        (seat.wants_owner, seat.skip_cache) = (true, true);
                    } else {
                        seat.joins_anew = true;
                        self.ask(now, match_id, from);
                    }
                } else if seat.asked.is_some_and(|asked| asked.request == request) {
                    seat.asked = None;
                    seat.relay.detach(now);
                    seat.skip_cache = true;
                }
            }
            Control::Here => {
                if epoch > seat.relay.epoch() && seat.is_member {
                    seat.relay.detach(now);
                    self.ask(now, match_id, from);
                }
            }
            Control::NotHere => {
                if seat.relay.owner() == Some(from) || seat.attaching.is_some_and(|asked| asked.node == from) {
                    seat.attaching = seat.attaching.filter(|asked| asked.node != from);
                    seat.relay.detach(now);
                    (seat.wants_owner, seat.skip_cache) = (true, true);
                }
            }
            Control::Gone | Control::CommandRefused { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    fn hold(&mut self, match_id: MatchId) {
        let Some(seat) = self.seats.get_mut(&match_id) else { return };
        let owner = seat.relay.owner();
        if owner.is_none() || owner == seat.held {
            return;
        }
        let before = std::mem::replace(&mut seat.held, owner);
        let still_held = |node: NodeId| self.seats.values().any(|seat| seat.held == Some(node));
        if let Some(before) = before.filter(|before| !still_held(*before)) {
            self.pairs.set_active(before, false);
        }
        if let Some(owner) = owner {
            self.pairs.set_active(owner, true);
        }
    }

    /// Inputs and all else, to the owners.
    pub(super) fn flush(&mut self, now: Instant, send: impl FnMut(NodeId, Bytes)) {
        let mut records: Vec<InputRecord> = Vec::new();
        for (match_id, seat) in &mut self.seats {
            let Some(owner) = seat.relay.owner() else { continue };
            records.clear();
            seat.relay.send(&mut records);
            if !records.is_empty() {
                self.pairs.inputs(owner, *match_id, seat.relay.epoch(), &records);
            }
        }
        self.pairs.flush(now, send);
    }
}

impl Seat {
    fn told(&mut self, match_id: MatchId, n: u32, kind: EventKind, score: Option<[u8; 2]>) {
        assert!(n > self.last_event, "{match_id}: an event is told twice");
        self.last_event = n;
        if kind == EventKind::Goal {
            let score = score.expect("a goal has a score");
            let risen = (0..2).filter(|i| score[*i] == self.goals[*i] + 1).count() == 1
                && (0..2).all(|i| score[i] >= self.goals[i]);
            assert!(risen, "{match_id}: from {:?} to {score:?}", self.goals);
            self.goals = score;
        }
    }

    /// What the player has done last.
    pub(super) fn seq(&self) -> u32 {
        self.seq
    }
}
