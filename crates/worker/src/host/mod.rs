//! The matches hosted here, who is attached to them, and what is being asked about them.
//!
//! What the host wants said goes into a list of [`Word`]s (snapshots, which are many, go to the pairs directly); what
//! it wants done goes into a list of [`Effect`]s. This file has what other nodes say (`attaching`: edges whose people are
//! there already); `answers` has what Postgres, Redis and directors say, `time` what the clock brings about. `copies` and
//! `recovery` are about matches that outlive their worker.

mod answers;
mod attaching;
mod balance;
mod copies;
mod hosted;
mod live;
mod moves;
mod recovery;
mod showings;
mod time;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use rally_fabric::Received;
use rally_protocol::{
    client::v1::{ErrorCode, JoinAs, Mode, Side},
    cluster::{
        Entry, EntryKind,
        v1::{Command, Control, InputRecord, MatchSpec},
    },
};
use rally_room::{JoinError, Outputs, RoomSettings};
use rally_units::{Epoch, Incarnation, Instant, MatchId, NodeId, SessionId};
use tokio::sync::oneshot;

use self::{
    balance::{Balance, Shed},
    hosted::{Attached, Hosted, Standing},
    moves::Moves,
    recovery::Recovery,
    showings::{Showings, Wanted},
};
pub(crate) use self::{
    copies::{Copied, Copy},
    moves::Why,
    recovery::Peer,
};
use crate::{
    effect::{Effect, Joining, Refused},
    metrics::{Metrics, entry_refused},
    pacing::PHASES,
};

/// People who watch one match. Its edges bound how many there can be in all; this bounds what one match costs.
const VIEWERS_MAX: usize = 4_096;
/// Joins that wait until their match is created: its players', who may hear of it before this thread does.
const EARLY_JOINS_MAX: usize = 8;

/// Identity and bounds of a host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostConfig {
    pub(crate) me: NodeId,
    pub(crate) incarnation: Incarnation,
    /// Matches hosted at most; more are refused with `at_capacity`. As many may be in their afterlife.
    pub(crate) matches_max: usize,
    pub(crate) room: RoomSettings,
}

/// Something to be said to a peer, numbered.
pub(crate) struct Word {
    pub(crate) to: NodeId,
    pub(crate) match_id: MatchId,
    pub(crate) epoch: Epoch,
    pub(crate) say: Say,
}

pub(crate) enum Say {
    Control(Box<Control>),
    Message(Bytes),
    /// Not numbered: repeated by whoever says it.
    Inputs(Vec<InputRecord>),
    /// The same.
    State(Bytes),
}

/// A match on its way through Postgres.
#[derive(Default)]
struct Creating {
    askers: Vec<Asker>,
    joins: Vec<Joining>,
}

/// Who wants a match created.
enum Asker {
    Edge { edge: NodeId, request: u64 },
    Director(oneshot::Sender<Result<(), Refused>>),
}

/// A question of a director to another worker.
struct Question {
    reply: oneshot::Sender<Result<(), Refused>>,
    asked: Instant,
}

/// A match of which Postgres did not say whether it was created.
#[derive(Clone, Copy)]
struct Doubt {
    since: Instant,
    /// It is being voided, should it exist.
    is_ending: bool,
}

pub(crate) struct Host {
    config: HostConfig,
    /// By phase. A match's phase is drawn from its id, so that nothing needs to remember it.
    phases: [BTreeMap<MatchId, Hosted>; PHASES],
    creating: BTreeMap<MatchId, Creating>,
    /// Who has asked for a seat that Postgres is being asked for, and has not left since: the edge and its request. As
    /// many as there are such effects, which are bounded.
    claiming: BTreeMap<(MatchId, SessionId), (NodeId, u64)>,
    doubts: BTreeMap<MatchId, Doubt>,
    /// Matches in their afterlife, in the order of their ends.
    afterlife: VecDeque<(Instant, MatchId)>,
    questions: BTreeMap<u64, Question>,
    next_question: u64,
    words: Vec<Word>,
    effects: Vec<Effect>,
    outputs: Outputs,
    /// A snapshot on its way into the bundles of all edges attached.
    snapshot: Vec<u8>,
    /// Edges attached to at least one match, when that was last looked at.
    edges: Vec<NodeId>,
    /// Since when others could be heard: nobody has been silent for longer than that.
    hears_since: Instant,
    last_reassert: Instant,
    recovery: Recovery,
    moves: Moves,
    balance: Balance,
    showings: Showings,
    draining: bool,
    /// The drain's deadline has come: what is created now is given up at once.
    gives_up: bool,
    metrics: Metrics,
}

fn phase_of(match_id: MatchId) -> usize {
    // The last byte of a UUID of version 7 is random.
    usize::from(match_id.as_bytes()[15]) % PHASES
}

impl Host {
    pub(crate) fn new(config: HostConfig, metrics: Metrics) -> Self {
        Self {
            config,
            phases: Default::default(),
            creating: BTreeMap::new(),
            claiming: BTreeMap::new(),
            doubts: BTreeMap::new(),
            afterlife: VecDeque::new(),
            questions: BTreeMap::new(),
            next_question: 1,
            words: Vec::new(),
            effects: Vec::new(),
            outputs: Outputs::new(),
            snapshot: Vec::with_capacity(1024),
            edges: Vec::new(),
            hears_since: Instant::default(),
            last_reassert: Instant::default(),
            recovery: Recovery::default(),
            moves: Moves::default(),
            balance: Balance::default(),
            showings: Showings::default(),
            draining: false,
            gives_up: false,
            metrics,
        }
    }

    /// Matches hosted, about to be or perhaps to be ended, those in their afterlife apart: what placement compares.
    pub(crate) fn load(&self) -> usize {
        let hosted: usize = self.phases.iter().map(BTreeMap::len).sum();
        self.creating.len() + self.doubts.len() + self.moves.coming_len() + hosted - self.afterlife.len()
    }

    /// The epoch at which it hosts this match, finished or not.
    #[cfg(test)]
    pub(crate) fn epoch_of(&self, match_id: MatchId) -> Option<Epoch> {
        Some(self.phases[phase_of(match_id)].get(&match_id)?.epoch)
    }

    /// Whether something has yet to be done or said for a match.
    pub(crate) fn is_busy(&self, now: Instant) -> bool {
        self.load() > 0 || self.moves.are_pending(now)
    }

    /// Whether it takes no more matches.
    fn is_full(&self) -> bool {
        self.draining || self.balance.shed >= Shed::Matches || self.load() >= self.config.matches_max
    }

    /// People with a seat in a match that is not over, in the order of [`Mode::ALL`].
    pub(crate) fn players(&self) -> Vec<usize> {
        let mut players = vec![0; Mode::ALL.len()];
        let live = self.phases.iter().flat_map(BTreeMap::values).filter(|hosted| hosted.standing == Standing::Live);
        for room in live.map(|hosted| &hosted.room) {
            let [left, right] = [Side::Left, Side::Right].map(|side| room.user(side));
            // Both paddles of one keyboard are one person's.
            let people = usize::from(left.is_some()) + usize::from(right.is_some() && right != left);
            if let Some(at) = Mode::ALL.iter().position(|mode| *mode == room.mode()) {
                players[at] += people;
            }
        }
        players
    }

    /// Finished matches that can still be joined.
    pub(crate) fn afterlives(&self) -> usize {
        self.afterlife.len()
    }

    /// Edges attached to at least one match, at the last housekeeping.
    pub(crate) fn edges(&self) -> usize {
        self.edges.len()
    }

    /// Whether it takes no new matches.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining
    }

    /// What is to be said, since the last call.
    pub(crate) fn words(&mut self) -> std::vec::Drain<'_, Word> {
        self.words.drain(..)
    }

    /// What is to be done outside, since the last call.
    pub(crate) fn effects(&mut self) -> std::vec::Drain<'_, Effect> {
        self.effects.drain(..)
    }

    fn find(&mut self, match_id: MatchId) -> Option<&mut Hosted> {
        self.phases[phase_of(match_id)].get_mut(&match_id)
    }

    fn tell(&mut self, to: NodeId, match_id: MatchId, epoch: Epoch, control: Control) {
        self.words.push(Word { to, match_id, epoch, say: Say::Control(Box::new(control)) });
    }

    fn refuse(&mut self, to: NodeId, match_id: MatchId, request: u64, refused: Refused) {
        let Refused { code, detail } = refused;
        self.tell(to, match_id, Epoch::default(), Control::Refused { request, code, detail });
    }
}

/// What other nodes say.
impl Host {
    /// An entry came, or a peer has begun a new life.
    pub(crate) fn received(&mut self, now: Instant, received: Received<'_>) {
        match received {
            Received::Entry { from, from_incarnation, entry } => match entry.kind {
                EntryKind::Inputs => self.inputs(entry),
                EntryKind::Control => match Control::from_bytes(entry.payload) {
                    Ok(control) => {
                        self.heard(now, (from, from_incarnation), entry.match_id, entry.epoch, control);
                    }
                    Err(error) => {
                        entry_refused("control");
                        tracing::warn!(%from, %error, "refused an entry");
                    }
                },
                // Only workers send these, and only to edges.
                EntryKind::State => self.state_came(now, from, &entry),
                EntryKind::Snapshot | EntryKind::Message => entry_refused("kind"),
            },
            Received::PeerRestarted { node, incarnation } => {
                _ = self.detach(node, |attached| attached.incarnation != incarnation);
                _ = self.showings.detach(node, Some(incarnation));
            }
        }
    }

    fn inputs(&mut self, entry: Entry<'_>) {
        let Some(mut records) = InputRecord::read_all(entry.payload) else {
            return entry_refused("inputs");
        };
        if self.forward_inputs(entry.match_id, &mut records) {
            return;
        }
        let Some(hosted) = self.phases[phase_of(entry.match_id)].get_mut(&entry.match_id) else {
            return entry_refused("no_match");
        };
        if entry.epoch != hosted.epoch {
            // Meant for another owner, whose seats have generations of their own.
            return self.metrics.inputs_other_epoch.increment(records.count() as u64);
        }
        for record in records {
            if let Err(refusal) = hosted.room.input(record) {
                self.metrics.input_refused(refusal);
            }
        }
    }

    /// A control came. What is about a match that has moved on, or is moving, goes there.
    fn heard(&mut self, now: Instant, from: (NodeId, Incarnation), match_id: MatchId, epoch: Epoch, control: Control) {
        if self.showings.has(match_id) {
            return self.showing_control(from, match_id, control);
        }
        let control = match control {
            Control::Join { .. } | Control::Leave { .. } | Control::Command { .. } | Control::Attach { .. } => {
                match self.forward(from, match_id, control) {
                    Some(control) => control,
                    None => return,
                }
            }
            control => control,
        };
        match control {
            Control::Offer => self.offered(now, from, match_id, epoch),
            Control::Journal { bytes } => self.journal_came(from.0, match_id, &bytes),
            Control::Took => self.took(now, from.0, match_id, epoch),
            Control::Declined => self.declined(now, from.0, match_id, epoch),
            Control::Landed => self.landed(now, from.0, match_id, epoch),
            Control::Forwarded { edge, incarnation, control } => {
                self.forwarded((edge, incarnation), match_id, *control);
            }
            control => self.control(from.0, from.1, match_id, control),
        }
    }

    fn control(&mut self, from: NodeId, incarnation: Incarnation, match_id: MatchId, control: Control) {
        match control {
            Control::Create { request, spec } => self.create(*spec, Asker::Edge { edge: from, request }),
            Control::Show { request, of, user, from: begin } => {
                self.show(match_id, Asker::Edge { edge: from, request }, Wanted { of, user, from: begin });
            }
            Control::Created { request } => self.answered(request, Ok(())),
            Control::Refused { request, code, detail } => self.answered(request, Err(Refused { code, detail })),
            Control::Join { request, session, user, name, join_as, skill } => {
                let join = Joining { edge: from, incarnation, request, session, user, name, join_as, skill };
                self.join(match_id, join);
            }
            Control::Leave { session } => self.leave(from, match_id, session),
            Control::Command { session, command } => self.command(from, match_id, session, command),
            Control::Attach { request, last_event, present } => {
                self.attach((from, incarnation), match_id, request, last_event, &present);
            }
            // What workers say to edges.
            Control::Joined { .. }
            | Control::CommandRefused { .. }
            | Control::SeatTaken { .. }
            | Control::NotHere
            | Control::Gone
            | Control::Found { .. }
            | Control::Requeued { .. }
            | Control::Attached { .. }
            | Control::Here => entry_refused("direction"),
            // What is heard before.
            Control::Offer
            | Control::Journal { .. }
            | Control::Took
            | Control::Declined
            | Control::Landed
            | Control::Forwarded { .. } => entry_refused("direction"),
        }
    }

    fn create(&mut self, spec: MatchSpec, asker: Asker) {
        let match_id = spec.id;
        if self.find(match_id).is_some() {
            return self.created(match_id, asker, Ok(()));
        }
        if let Some(creating) = self.creating.get_mut(&match_id) {
            return creating.askers.push(asker);
        }
        let refused = if self.doubts.get(&match_id).is_some_and(|doubt| doubt.is_ending) {
            Some(Refused::new(ErrorCode::Unavailable, "the match is being called off"))
        } else if self.is_full() {
            self.metrics.matches_refused.increment(1);
            Some(Refused::new(ErrorCode::AtCapacity, "this worker takes no more"))
        } else {
            None
        };
        if let Some(refused) = refused {
            return self.created(match_id, asker, Err(refused));
        }
        // Asked again: the answer to this decides.
        self.doubts.remove(&match_id);
        self.creating.insert(match_id, Creating { askers: vec![asker], joins: Vec::new() });
        self.effects.push(Effect::Create(Box::new(spec)));
    }

    fn created(&mut self, match_id: MatchId, asker: Asker, result: Result<(), Refused>) {
        match (asker, result) {
            (Asker::Edge { edge, request }, Ok(())) => {
                self.tell(edge, match_id, Epoch::default(), Control::Created { request });
            }
            (Asker::Edge { edge, request }, Err(refused)) => self.refuse(edge, match_id, request, refused),
            // A director that has stopped waiting finds the match by its pending pair.
            (Asker::Director(reply), result) => drop(reply.send(result)),
        }
    }

    fn answered(&mut self, request: u64, result: Result<(), Refused>) {
        match self.questions.remove(&request) {
            Some(question) => drop(question.reply.send(result)),
            None => self.metrics.answers_late.increment(1),
        }
    }

    fn join(&mut self, match_id: MatchId, join: Joining) {
        let (edge, request) = (join.edge, join.request);
        let Some(hosted) = self.phases[phase_of(match_id)].get_mut(&match_id) else {
            if let Some(creating) = self.creating.get_mut(&match_id)
                && creating.joins.len() < EARLY_JOINS_MAX
            {
                return creating.joins.push(join);
            }
            return self.refuse(edge, match_id, request, Refused::new(ErrorCode::NotFound, "not played here"));
        };
        if join.join_as == JoinAs::Spectator && hosted.room.viewers() >= VIEWERS_MAX {
            self.metrics.viewers_refused.increment(1);
            let refused = Refused::new(ErrorCode::AtCapacity, "too many watch this match");
            return self.refuse(edge, match_id, request, refused);
        }
        if hosted.is_outdated(&join) {
            return entry_refused("outdated");
        }
        let epoch = hosted.epoch;
        match hosted.room.join(join.session, join.user, join.join_as) {
            Ok(joined) => {
                hosted.attach(&join);
                if let Some(replaced) = joined.replaced
                    && replaced.session != join.session
                    && let Some(older_edge) = hosted.detach_session(replaced.session)
                {
                    let taken = Control::SeatTaken { session: replaced.session, side: replaced.side };
                    self.tell(older_edge, match_id, epoch, taken);
                }
                let picture = Box::new(joined.picture);
                self.tell(edge, match_id, epoch, Control::Joined { request, generation: joined.generation, picture });
            }
            Err(JoinError::NeedsClaim { side }) => {
                self.claiming.insert((match_id, join.session), (edge, request));
                self.effects.push(Effect::Claim { match_id, epoch, side, join: Box::new(join) });
            }
            Err(JoinError::Refused(refusal)) => {
                self.refuse(edge, match_id, request, Refused::new(refusal.code, refusal.detail));
            }
        }
    }

    /// Counts only from the edge through which the session is here: it may have come back through another before the
    /// one that it left notices.
    fn leave(&mut self, edge: NodeId, match_id: MatchId, session: SessionId) {
        if self.claiming.get(&(match_id, session)).is_some_and(|(asker, _)| *asker == edge) {
            self.claiming.remove(&(match_id, session));
        }
        if let Some(hosted) = self.find(match_id) {
            if hosted.edge_of(session).is_none_or(|present| present == edge) {
                hosted.detach_session(session);
                hosted.room.leave(session);
            }
        } else if let Some(creating) = self.creating.get_mut(&match_id) {
            creating.joins.retain(|join| join.session != session || join.edge != edge);
        }
    }

    fn command(&mut self, from: NodeId, match_id: MatchId, session: SessionId, command: Command) {
        let Some(hosted) = self.find(match_id) else {
            return self.tell(from, match_id, Epoch::default(), Control::NotHere);
        };
        let epoch = hosted.epoch;
        if let Err(refusal) = hosted.room.command(session, command) {
            let detail = refusal.detail.to_owned();
            self.tell(from, match_id, epoch, Control::CommandRefused { session, command, code: refusal.code, detail });
        }
    }

    /// Detaches an edge where `ended` holds: its people have lost their connections. Returns from how many matches.
    fn detach(&mut self, edge: NodeId, ended: impl Fn(&Attached) -> bool) -> usize {
        let mut detached = 0;
        for hosted in self.phases.iter_mut().flat_map(BTreeMap::values_mut) {
            let is_gone = |attached: &mut Attached| attached.edge == edge && ended(attached);
            for attached in hosted.attached.extract_if(.., is_gone) {
                detached += 1;
                for session in attached.sessions {
                    hosted.room.leave(session.id);
                }
            }
        }
        detached
    }
}
