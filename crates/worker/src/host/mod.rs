//! The matches hosted here, who is attached to them, and what is being asked about them.
//!
//! What the host wants said goes into a list of [`Word`]s (snapshots, which are many, go to the pairs directly); what
//! it wants done goes into a list of [`Effect`]s.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use rally_fabric::{Pairs, Received, Ticket};
use rally_protocol::{
    client::{
        Encoding,
        codec::Messages,
        v1::{EndReason, ErrorCode, EventKind, GameOver, Mode, Phase, ServerMessage, Side},
    },
    cluster::{
        Entry, EntryKind,
        v1::{Command, Control, InputRecord, MatchSpec, SeatSpec},
    },
};
use rally_room::{FinishedMatch, JoinError, Outputs, Room, RoomSettings, Who};
use rally_units::{Epoch, Incarnation, Instant, MatchId, NodeId, SessionId, UserId};
use tokio::sync::oneshot;

use crate::{
    effect::{Answer, Effect, Grant, Joining, Refused},
    pacing::PHASES,
};

/// An edge that has not been heard for this long is no longer attached: its players are away.
const ATTACHMENT_SILENCE_MAX: Duration = Duration::from_secs(1);
/// How long a finished match can still be joined, so that whoever was away sees the result.
const AFTERLIFE: Duration = Duration::from_secs(60);
/// How often owners are told to the cluster's cache, which forgets after 10 s.
const REASSERT_EVERY: Duration = Duration::from_secs(3);
/// How long another worker may take to answer a director's question.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);

/// Identity and bounds of a host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostConfig {
    pub(crate) me: NodeId,
    /// Matches hosted at most; more are refused with `at_capacity`.
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
}

/// One match.
struct Hosted {
    room: Room,
    spec: MatchSpec,
    epoch: Epoch,
    attached: Vec<Attached>,
    /// When its result was recorded: the beginning of its afterlife.
    over_since: Option<Instant>,
    /// Whether play has begun.
    started: bool,
}

/// An edge that gets a match's snapshots and messages, and its people there. Never without people.
struct Attached {
    edge: NodeId,
    incarnation: Incarnation,
    sessions: Vec<(SessionId, UserId)>,
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

pub(crate) struct Host {
    config: HostConfig,
    /// By phase. A match's phase is drawn from its id, so that nothing needs to remember it.
    phases: [HashMap<MatchId, Hosted>; PHASES],
    /// Matches on their way through Postgres.
    creating: HashMap<MatchId, Vec<Asker>>,
    questions: HashMap<u64, Question>,
    next_question: u64,
    words: Vec<Word>,
    effects: Vec<Effect>,
    outputs: Outputs,
    /// A snapshot on its way into the bundles of all edges attached.
    snapshot: Vec<u8>,
    last_reassert: Instant,
    draining: bool,
}

fn phase_of(match_id: MatchId) -> usize {
    // The last byte of a UUID of version 7 is random.
    usize::from(match_id.as_bytes()[15]) % PHASES
}

impl Host {
    pub(crate) fn new(config: HostConfig) -> Self {
        Self {
            config,
            phases: Default::default(),
            creating: HashMap::new(),
            questions: HashMap::new(),
            next_question: 1,
            words: Vec::new(),
            effects: Vec::new(),
            outputs: Outputs::new(),
            snapshot: Vec::with_capacity(1024),
            last_reassert: Instant::default(),
            draining: false,
        }
    }

    /// Matches hosted or about to be, finished ones apart: what placement compares.
    pub(crate) fn load(&self) -> usize {
        self.creating.len() + self.hosted().filter(|hosted| hosted.over_since.is_none()).count()
    }

    /// Edges attached to at least one match.
    pub(crate) fn edges(&self) -> usize {
        let mut edges: Vec<NodeId> =
            self.hosted().flat_map(|hosted| hosted.attached.iter().map(|attached| attached.edge)).collect();
        edges.sort_unstable();
        edges.dedup();
        edges.len()
    }

    /// What is to be said, since the last call.
    pub(crate) fn words(&mut self) -> std::vec::Drain<'_, Word> {
        self.words.drain(..)
    }

    /// What is to be done outside, since the last call.
    pub(crate) fn effects(&mut self) -> std::vec::Drain<'_, Effect> {
        self.effects.drain(..)
    }

    fn hosted(&self) -> impl Iterator<Item = &Hosted> {
        self.phases.iter().flat_map(HashMap::values)
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
    pub(crate) fn received(&mut self, received: Received<'_>) {
        match received {
            Received::Entry { from, from_incarnation, entry } => match entry.kind {
                EntryKind::Inputs => self.inputs(entry),
                EntryKind::Control => match Control::from_bytes(entry.payload) {
                    Ok(control) => self.control(from, from_incarnation, entry.match_id, control),
                    Err(error) => {
                        refused_entry("control");
                        tracing::warn!(%from, %error, "refused an entry");
                    }
                },
                // Only workers send these, and only to edges.
                EntryKind::Snapshot | EntryKind::Message => refused_entry("kind"),
            },
            Received::PeerRestarted { node, incarnation } => self.detach(node, |old| old != incarnation),
        }
    }

    fn inputs(&mut self, entry: Entry<'_>) {
        let Some(records) = InputRecord::read_all(entry.payload) else {
            return refused_entry("inputs");
        };
        let Some(hosted) = self.find(entry.match_id) else {
            return refused_entry("no_match");
        };
        for record in records {
            if let Err(refusal) = hosted.room.input(record) {
                metrics::counter!("rally_worker_inputs_refused_total", "reason" => refusal.label()).increment(1);
            }
        }
    }

    fn control(&mut self, from: NodeId, incarnation: Incarnation, match_id: MatchId, control: Control) {
        match control {
            Control::Create { request, spec } => self.create(*spec, Asker::Edge { edge: from, request }),
            Control::Created { request } => self.answered(request, Ok(())),
            Control::Refused { request, code, detail } => self.answered(request, Err(Refused { code, detail })),
            Control::Join { request, session, user, name, join_as, skill } => {
                let join = Joining { edge: from, incarnation, request, session, user, name, join_as, skill };
                self.join(match_id, join);
            }
            Control::Leave { session } => self.leave(match_id, session),
            Control::Command { session, command } => self.command(from, match_id, session, command),
            // What workers say to edges.
            Control::Joined { .. }
            | Control::CommandRefused { .. }
            | Control::SeatTaken { .. }
            | Control::NotHere
            | Control::Gone
            | Control::Found { .. }
            | Control::Requeued { .. } => refused_entry("direction"),
        }
    }

    fn create(&mut self, spec: MatchSpec, asker: Asker) {
        let match_id = spec.id;
        if self.find(match_id).is_some() {
            return self.created(match_id, asker, Ok(()));
        }
        if let Some(askers) = self.creating.get_mut(&match_id) {
            return askers.push(asker);
        }
        if self.draining || self.load() >= self.config.matches_max {
            metrics::counter!("rally_worker_matches_refused_total").increment(1);
            return self.created(
                match_id,
                asker,
                Err(Refused::new(ErrorCode::AtCapacity, "this worker takes no more")),
            );
        }
        self.creating.insert(match_id, vec![asker]);
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
        // Late answers have no question any more.
        if let Some(question) = self.questions.remove(&request) {
            drop(question.reply.send(result));
        }
    }

    fn join(&mut self, match_id: MatchId, join: Joining) {
        let (edge, request) = (join.edge, join.request);
        let Some(hosted) = self.phases[phase_of(match_id)].get_mut(&match_id) else {
            return self.refuse(edge, match_id, request, Refused::new(ErrorCode::NotFound, "not played here"));
        };
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
                self.effects.push(Effect::Claim { match_id, epoch, side, join: Box::new(join) });
            }
            Err(JoinError::Refused(refusal)) => {
                self.refuse(edge, match_id, request, Refused::new(refusal.code, refusal.detail));
            }
        }
    }

    fn leave(&mut self, match_id: MatchId, session: SessionId) {
        if let Some(hosted) = self.find(match_id) {
            hosted.detach_session(session);
            hosted.room.leave(session);
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

    /// Detaches an edge in those of its lives for which `ended` holds: its people have lost their connections.
    fn detach(&mut self, edge: NodeId, ended: impl Fn(Incarnation) -> bool) {
        for hosted in self.phases.iter_mut().flat_map(HashMap::values_mut) {
            let is_gone = |attached: &mut Attached| attached.edge == edge && ended(attached.incarnation);
            for attached in hosted.attached.extract_if(.., is_gone) {
                for (session, _) in attached.sessions {
                    hosted.room.leave(session);
                }
            }
        }
    }
}

/// What Postgres, Redis and directors say.
impl Host {
    pub(crate) fn answer(&mut self, now: Instant, answer: Answer) {
        match answer {
            Answer::Created { spec, granted } => self.granted(*spec, granted),
            Answer::Claimed { match_id, side, join, granted } => self.claimed(match_id, side, *join, granted),
            Answer::Finished { match_id, ratings } => self.recorded(now, match_id, ratings),
            Answer::Fenced { match_id } => self.fenced(match_id),
            Answer::Voided { match_id } => self.voided(now, match_id),
            Answer::Place { worker, spec, reply } => self.place(now, worker, *spec, reply),
            Answer::Tell { edge, match_id, control } => self.tell(edge, match_id, Epoch::default(), *control),
            Answer::Drain => self.draining = true,
            Answer::GiveUp => {
                let live = self.phases.iter().flatten().filter(|(_, hosted)| !hosted.room.is_over());
                let void = live.map(|(match_id, hosted)| Effect::Void { match_id: *match_id, epoch: hosted.epoch });
                self.effects.extend(void);
            }
        }
    }

    fn granted(&mut self, spec: MatchSpec, granted: Result<Grant, Refused>) {
        let match_id = spec.id;
        let askers = self.creating.remove(&match_id).unwrap_or_default();
        let result = granted.map(|grant| {
            if let Grant::Here { epoch, seed } = grant {
                let room = Room::new(spec.clone(), seed, epoch, self.config.room);
                let hosted = Hosted { room, spec, epoch, attached: Vec::new(), over_since: None, started: false };
                self.phases[phase_of(match_id)].insert(match_id, hosted);
                self.effects.push(Effect::Own(vec![(match_id, epoch)]));
                metrics::counter!("rally_matches_created_total").increment(1);
            }
        });
        for asker in askers {
            self.created(match_id, asker, result.clone());
        }
    }

    fn claimed(&mut self, match_id: MatchId, side: Side, join: Joining, granted: Result<(), Refused>) {
        let claimed = granted.and_then(|()| match self.find(match_id) {
            Some(hosted) => hosted
                .room
                .claim(side, join.user, &join.name, join.skill)
                .map_err(|refusal| Refused::new(refusal.code, refusal.detail)),
            None => Err(Refused::new(ErrorCode::NotFound, "the match has ended")),
        });
        match claimed {
            Ok(()) => self.join(match_id, join),
            Err(refused) => self.refuse(join.edge, match_id, join.request, refused),
        }
    }

    fn recorded(&mut self, now: Instant, match_id: MatchId, ratings: Option<[(i32, i32); 2]>) {
        let Some(hosted) = self.phases[phase_of(match_id)].get_mut(&match_id) else { return };
        hosted.over_since = Some(now);
        if let Some(over) = hosted.room.recorded(ratings) {
            hosted.say_over(&mut self.words, over);
        }
        let epoch = hosted.epoch;
        self.effects.push(Effect::Disown(match_id, epoch));
    }

    fn voided(&mut self, now: Instant, match_id: MatchId) {
        let Some(hosted) = self.phases[phase_of(match_id)].get_mut(&match_id) else { return };
        hosted.over_since = Some(now);
        let over = GameOver {
            match_id,
            winner: None,
            score: hosted.room.score(),
            reason: EndReason::Abandoned,
            ratings: None,
        };
        hosted.say_over(&mut self.words, over);
        let epoch = hosted.epoch;
        self.effects.push(Effect::Disown(match_id, epoch));
    }

    /// Another owner has the last word about this match: ours does not count, and is not said any more.
    fn fenced(&mut self, match_id: MatchId) {
        if let Some(hosted) = self.phases[phase_of(match_id)].remove(&match_id) {
            metrics::counter!("rally_worker_fenced_total").increment(1);
            tracing::warn!(%match_id, epoch = %hosted.epoch, "another owner has taken this match");
            for attached in hosted.attached {
                self.tell(attached.edge, match_id, hosted.epoch, Control::NotHere);
            }
        }
    }

    fn place(&mut self, now: Instant, worker: NodeId, spec: MatchSpec, reply: oneshot::Sender<Result<(), Refused>>) {
        if worker == self.config.me {
            return self.create(spec, Asker::Director(reply));
        }
        let request = self.next_question;
        self.next_question += 1;
        self.questions.insert(request, Question { reply, asked: now });
        self.tell(worker, spec.id, Epoch::default(), Control::Create { request, spec: Box::new(spec) });
    }
}

/// Time.
impl Host {
    /// The matches have stood still, and go on from here: with a countdown where they were in play.
    pub(crate) fn thaw(&mut self) {
        self.phases.iter_mut().flat_map(HashMap::values_mut).for_each(|hosted| hosted.room.interrupted());
    }

    /// Ticks the matches of a phase. Each snapshot is encoded once, whatever the number of edges that get it.
    pub(crate) fn tick_phase(&mut self, phase: usize, pairs: &mut Pairs) {
        for (match_id, hosted) in &mut self.phases[phase] {
            if hosted.over_since.is_some() {
                continue;
            }
            hosted.room.tick(&mut self.outputs);
            let counters = self.outputs.counters;
            if counters != Default::default() {
                metrics::counter!("rally_worker_inputs_applied_total").increment(counters.inputs_applied.into());
                metrics::counter!("rally_worker_inputs_dropped_total").increment(counters.inputs_dropped.into());
                metrics::counter!("rally_worker_replays_cut_total").increment(counters.replays_cut.into());
                metrics::counter!("rally_worker_events_unrecorded_total").increment(counters.events_unrecorded.into());
            }
            for event in self.outputs.events.drain(..) {
                match event.kind {
                    EventKind::Goal => {
                        let score = hosted.room.score();
                        self.effects.push(Effect::Goal { match_id: *match_id, epoch: hosted.epoch, score });
                    }
                    EventKind::Go if !hosted.started => {
                        hosted.started = true;
                        self.effects.push(Effect::Started { match_id: *match_id, epoch: hosted.epoch });
                    }
                    _ => {}
                }
                hosted.tell_all(&mut self.words, event.message);
            }
            if let Some(finished) = self.outputs.finished.take() {
                hosted.room.result_pending();
                hosted.requeue_the_present(&finished, &mut self.effects);
                self.effects.push(Effect::Finish { match_id: *match_id, epoch: hosted.epoch, result: finished });
            }
            if hosted.attached.is_empty() || hosted.room.phase() == Phase::Finished {
                continue;
            }
            self.snapshot.clear();
            self.snapshot.extend_from_slice(&hosted.room.snapshot_head().to_bytes());
            hosted.room.snapshot_into(&mut self.snapshot);
            for attached in &hosted.attached {
                pairs.snapshot(attached.edge, *match_id, hosted.epoch, |out| out.extend_from_slice(&self.snapshot));
            }
        }
    }

    /// What is due now and then.
    pub(crate) fn housekeep(&mut self, now: Instant, pairs: &mut Pairs) {
        let mut edges: Vec<NodeId> =
            self.hosted().flat_map(|hosted| hosted.attached.iter().map(|attached| attached.edge)).collect();
        edges.sort_unstable();
        edges.dedup();
        for edge in edges {
            if pairs.last_heard(edge).is_none_or(|heard| now.since(heard) > ATTACHMENT_SILENCE_MAX) {
                tracing::info!(%edge, "edge is silent; its players are away");
                metrics::counter!("rally_worker_silent_edges_total").increment(1);
                self.detach(edge, |_| true);
            }
        }

        for phase in 0..PHASES {
            let ended =
                |_: &MatchId, hosted: &mut Hosted| hosted.over_since.is_some_and(|since| now.since(since) > AFTERLIFE);
            let gone: Vec<_> = self.phases[phase].extract_if(ended).collect();
            for (match_id, hosted) in gone {
                for attached in &hosted.attached {
                    self.tell(attached.edge, match_id, hosted.epoch, Control::Gone);
                }
            }
        }

        self.questions.retain(|_, question| now.since(question.asked) < QUESTION_TIMEOUT);

        if now.since(self.last_reassert) >= REASSERT_EVERY {
            self.last_reassert = now;
            let owned: Vec<_> = self
                .phases
                .iter()
                .flatten()
                .filter(|(_, hosted)| hosted.over_since.is_none())
                .map(|(match_id, hosted)| (*match_id, hosted.epoch))
                .collect();
            if !owned.is_empty() {
                self.effects.push(Effect::Own(owned));
            }
        }
    }
}

impl Hosted {
    fn attach(&mut self, join: &Joining) {
        self.detach_session(join.session);
        let person = (join.session, join.user);
        match self.attached.iter_mut().find(|attached| attached.edge == join.edge) {
            Some(attached) => {
                attached.incarnation = join.incarnation;
                attached.sessions.push(person);
            }
            None => {
                self.attached.push(Attached { edge: join.edge, incarnation: join.incarnation, sessions: vec![person] })
            }
        }
    }

    /// Forgets a session, and its edge with its last one. Returns the edge.
    fn detach_session(&mut self, session: SessionId) -> Option<NodeId> {
        let at = self.attached.iter().position(|attached| attached.sessions.iter().any(|(s, _)| *s == session))?;
        let attached = &mut self.attached[at];
        let edge = attached.edge;
        attached.sessions.retain(|(s, _)| *s != session);
        if attached.sessions.is_empty() {
            self.attached.swap_remove(at);
        }
        Some(edge)
    }

    fn tell_all(&self, words: &mut Vec<Word>, message: Bytes) {
        let match_id = self.room.id();
        words.extend(self.attached.iter().map(|attached| Word {
            to: attached.edge,
            match_id,
            epoch: self.epoch,
            say: Say::Message(message.clone()),
        }));
    }

    fn say_over(&self, words: &mut Vec<Word>, over: GameOver) {
        match ServerMessage::from(over).encode(Encoding::Msgpack) {
            Ok(message) => self.tell_all(words, message.into()),
            Err(error) => tracing::error!(match_id = %self.room.id(), %error, "cannot write game_over"),
        }
    }

    /// A match of the queue to which one player never came is void; whoever was there waits again, first in line.
    fn requeue_the_present(&self, finished: &FinishedMatch, effects: &mut Vec<Effect>) {
        let from_queue = matches!(self.spec.mode, Mode::Ranked | Mode::Casual | Mode::Classic);
        if finished.reason != EndReason::NoShow || !from_queue {
            return;
        }
        for (player, seat) in finished.players.iter().zip(&self.spec.seats) {
            let (true, Who::User(user), SeatSpec::User { name, guest, skill, .. }) = (player.present, player.who, seat)
            else {
                continue;
            };
            let here = self.attached.iter().find_map(|attached| {
                let (session, _) = attached.sessions.iter().find(|(_, u)| *u == user)?;
                Some((*session, attached))
            });
            if let Some((session, attached)) = here {
                effects.push(Effect::Requeue(Box::new(Ticket {
                    session,
                    user,
                    name: name.clone(),
                    guest: *guest,
                    mode: self.spec.mode,
                    skill: *skill,
                    edge: attached.edge,
                    edge_incarnation: attached.incarnation,
                })));
            }
        }
    }
}

fn refused_entry(reason: &'static str) {
    metrics::counter!("rally_worker_entries_refused_total", "reason" => reason).increment(1);
}
