//! Matches on their way to another worker while they are played: out of here, and into here.
//!
//! ```text
//! owner, at E                          target
//! Offer, Journal.. ──────────────────▶ takes E+1 in Postgres       (the owner plays on)
//!                  ◀────────────────── Took, or Declined
//! stands still after tick T
//! State, each 20 ms ─────────────────▶ runs T+1, tells the edges
//!                  ◀────────────────── Landed
//! late words of edges ───────────────▶ (Forwarded, inputs)
//! ```
//!
//! Once the state is sent the owner never goes on at E. If nobody answers, it takes the next epoch itself, and goes on
//! from the newest checkpoint, which may by then be the target's. A target that was granted the epoch and gets no state
//! does the same. Of two that try, Postgres lets one.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use rally_protocol::cluster::{
    Entry,
    v1::{Control, InputRecord},
};
use rally_store::Owner;
use rally_units::{
    Epoch, Incarnation, Instant, MatchId, NodeId, Rng,
    placement::{Candidate, two_choices},
};

use super::{
    Host, Say, Word,
    copies::{Copies, Saved, Written},
    hosted::{Hosted, Standing},
    phase_of,
};
use crate::{
    effect::{Effect, Fetch, TakeFor},
    metrics::entry_refused,
};

/// Matches on their way out at once. Each stands still for some milliseconds, and costs the target a write to Postgres.
const OUT_AT_ONCE_MAX: usize = 16;
/// Matches on their way in at once; more are declined.
const IN_AT_ONCE_MAX: usize = 64;
/// How long an order to move a match waits for a target.
const ORDER_WAITS: Duration = Duration::from_secs(10);
/// The journal goes ahead in parts of this size.
const PART_BYTES: usize = 32 * 1024;
/// A journal on its way in. Longer than any match has.
const JOURNAL_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The state is sent again after this long without an answer.
const STATE_EVERY: Duration = Duration::from_millis(20);
/// How long the state is sent before the owner takes the match back.
const LAND_WITHIN: Duration = Duration::from_millis(250);
/// How long the target may take to be granted the epoch before the owner takes the match back.
const TAKE_WITHIN: Duration = Duration::from_secs(2);
/// How long a target waits for the state, if its sender lives.
const STATE_WITHIN: Duration = Duration::from_secs(3);
/// How long a match that was declined is not offered again.
const OFFER_AGAIN: Duration = Duration::from_millis(500);
/// How long late words are passed on. Edges know the new owner by then.
const FORWARD_FOR: Duration = Duration::from_secs(2);
/// Late words that wait for the state which they are about.
const EARLY_WORDS_MAX: usize = 64;
/// Late words and moves remembered, in matches.
const GONE_MAX: usize = 8_192;

/// Why a match moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// This worker ends.
    Drain,
    /// This worker is busier than others.
    Balance,
    /// An operator said so.
    Order,
}

impl Why {
    /// In the order of their numbers.
    pub(crate) const ALL: [Self; 3] = [Self::Drain, Self::Balance, Self::Order];

    /// A fixed label for counters.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Balance => "balance",
            Self::Order => "order",
        }
    }
}

/// A match on its way out.
#[derive(Debug)]
struct Outgoing {
    to: NodeId,
    why: Why,
    step: Step,
    /// What the target has of the journal.
    ahead: Written,
}

#[derive(Debug)]
enum Step {
    /// The target has yet to take the epoch. The match is played.
    Offered { since: Instant },
    /// The state is on its way. The match stands still.
    Sent { since: Instant, again: Instant, state: Bytes },
    /// It is being taken back. `stands`: the match stands still meanwhile.
    TakingBack { stands: bool },
}

/// A match on its way in.
#[derive(Debug)]
struct Incoming {
    from: NodeId,
    incarnation: Incarnation,
    since: Instant,
    granted: Option<Epoch>,
    journal: Vec<u8>,
    early: Vec<(NodeId, Incarnation, Control)>,
}

/// A match that shall go.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    match_id: MatchId,
    /// Anywhere, if it is not said.
    to: Option<NodeId>,
    why: Why,
    /// Until when an order waits for its target to be known, once it has been tried: a worker that has just started knows
    /// nobody.
    until: Option<Instant>,
}

/// A match that has moved away.
#[derive(Clone, Copy, Debug)]
struct Gone {
    to: NodeId,
    epoch: Epoch,
    at: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Moves {
    out: BTreeMap<MatchId, Outgoing>,
    into: BTreeMap<MatchId, Incoming>,
    gone: BTreeMap<MatchId, Gone>,
    declined: BTreeMap<MatchId, Instant>,
    wanted: Vec<Wanted>,
    dice: Rng,
}

impl Moves {
    /// Whether something is still to be said about a match that was here.
    pub(super) fn are_pending(&self, now: Instant) -> bool {
        !self.out.is_empty() || self.gone.values().any(|gone| now.since(gone.at) < FORWARD_FOR / 4)
    }

    /// Matches on their way out.
    pub(super) fn going_len(&self) -> usize {
        self.out.len() + self.wanted.len()
    }

    /// Matches on their way in.
    pub(super) fn coming_len(&self) -> usize {
        self.into.len()
    }
}

/// Out of here.
impl Host {
    /// This match shall move: to this worker, or to any.
    pub(crate) fn want_move(&mut self, match_id: MatchId, to: Option<NodeId>, why: Why) {
        if !self.moves.wanted.iter().any(|wanted| wanted.match_id == match_id) {
            self.moves.wanted.push(Wanted { match_id, to, why, until: None });
        }
    }

    /// Time has passed: offers what shall go, repeats what is not answered, takes back what nobody answers for.
    pub(crate) fn advance_moves(&mut self, now: Instant) {
        if self.draining && !self.gives_up {
            let live = self.phases.iter().flatten().filter(|(_, hosted)| hosted.standing == Standing::Live);
            let wants = |(match_id, _): (&MatchId, &Hosted)| Wanted {
                match_id: *match_id,
                to: None,
                why: Why::Drain,
                until: None,
            };
            self.moves.wanted = live.map(wants).collect();
        }
        for wanted in std::mem::take(&mut self.moves.wanted) {
            if let Some(later) = self.begin(now, wanted) {
                self.moves.wanted.push(later);
            }
        }
        self.repeat_states(now);
        self.take_back(now);
        self.give_up_waiting(now);
        self.moves.declined.retain(|_, at| now.since(*at) < OFFER_AGAIN);
        self.moves.gone.retain(|_, gone| now.since(gone.at) < FORWARD_FOR);
    }

    /// Offers a match. `Some`: it is to be tried again. What a drain wants is looked up anew each time.
    fn begin(&mut self, now: Instant, mut wanted: Wanted) -> Option<Wanted> {
        let Wanted { match_id, to, why, .. } = wanted;
        if self.moves.out.len() >= OUT_AT_ONCE_MAX {
            return (why != Why::Drain).then_some(wanted);
        }
        self.offer(now, match_id, to, why);
        if why != Why::Order || self.moves.out.contains_key(&match_id) {
            return None;
        }
        let until = *wanted.until.get_or_insert(now + ORDER_WAITS);
        if now >= until {
            tracing::warn!(%match_id, "an order to move a match comes to nothing: no such worker takes it");
        }
        (now < until).then_some(wanted)
    }

    fn offer(&mut self, now: Instant, match_id: MatchId, to: Option<NodeId>, why: Why) {
        if self.moves.out.contains_key(&match_id) || self.moves.declined.contains_key(&match_id) {
            return;
        }
        let me = self.config.me;
        let others = self.recovery.peers.iter().filter(|peer| !peer.draining && peer.node != me);
        let others = others.filter(|peer| to.is_none_or(|to| peer.node == to));
        let candidates: Vec<_> = others.map(|peer| Candidate { node: peer.node, matches: peer.matches }).collect();
        let random = self.moves.dice.next_u64();
        let Some(to) = two_choices(&candidates, random) else { return };
        let Some(hosted) = self.phases[phase_of(match_id)].get(&match_id) else { return };
        if hosted.standing != Standing::Live {
            return;
        }
        let epoch = hosted.epoch;
        let (ahead, chunk) = Written::default().next_chunk(&hosted.room);
        self.tell(to, match_id, epoch, Control::Offer);
        for part in chunk.chunks(PART_BYTES) {
            self.tell(to, match_id, epoch, Control::Journal { bytes: part.to_vec() });
        }
        self.metrics.moves_begun.increment(1);
        self.moves.out.insert(match_id, Outgoing { to, why, step: Step::Offered { since: now }, ahead });
    }

    /// The target holds the next epoch: the match stands still from here on.
    pub(super) fn took(&mut self, now: Instant, from: NodeId, match_id: MatchId, epoch: Epoch) {
        let Some(outgoing) = self.moves.out.get_mut(&match_id) else { return };
        let Some(hosted) = self.phases[phase_of(match_id)].get_mut(&match_id) else { return };
        if outgoing.to != from || epoch != hosted.epoch.next() || !matches!(outgoing.step, Step::Offered { .. }) {
            return;
        }
        let (written, mut chunk) = outgoing.ahead.next_chunk(&hosted.room);
        let mut parts = Vec::new();
        if chunk.len() > PART_BYTES {
            parts.extend(chunk.chunks(PART_BYTES).map(<[u8]>::to_vec));
            chunk.clear();
        }
        outgoing.ahead = written;
        let mut state = (chunk.len() as u32).to_le_bytes().to_vec();
        state.extend_from_slice(&chunk);
        state.extend_from_slice(&hosted.save(written));
        outgoing.step = Step::Sent { since: now, again: now, state: state.into() };
        hosted.standing = Standing::Handed;
        // Should both of us be lost now, nothing else is.
        let copy = hosted.copy_now();
        let at = hosted.epoch;
        self.effects.extend(copy.map(|copy| Effect::Copy(vec![copy])));
        for bytes in parts {
            self.tell(from, match_id, at, Control::Journal { bytes });
        }
        self.repeat_states(now);
    }

    fn repeat_states(&mut self, now: Instant) {
        for (match_id, outgoing) in &mut self.moves.out {
            let Step::Sent { again, state, .. } = &mut outgoing.step else { continue };
            let Some(hosted) = self.phases[phase_of(*match_id)].get(match_id) else { continue };
            if now < *again {
                continue;
            }
            *again = now + STATE_EVERY;
            // Since the deadline of T: how much later T+1 is than it would have been.
            let age_us = u32::try_from(now.since(hosted.ticked).as_micros()).unwrap_or(u32::MAX);
            let payload = [&age_us.to_le_bytes()[..], state].concat();
            let say = Say::State(payload.into());
            self.words.push(Word { to: outgoing.to, match_id: *match_id, epoch: hosted.epoch.next(), say });
        }
    }
}

/// Taking back, and letting go.
impl Host {
    fn take_back(&mut self, now: Instant) {
        let peers = &self.recovery.peers;
        for (match_id, outgoing) in &mut self.moves.out {
            let lives = peers.iter().any(|peer| peer.node == outgoing.to);
            let stands = match &outgoing.step {
                Step::Offered { since } if !lives || now.since(*since) >= TAKE_WITHIN => false,
                Step::Sent { since, .. } if now.since(*since) >= LAND_WITHIN => true,
                _ => continue,
            };
            let Some(hosted) = self.phases[phase_of(*match_id)].get(match_id) else { continue };
            tracing::warn!(%match_id, epoch = %hosted.epoch, to = %outgoing.to, stands, "a move is not answered; taking the match back");
            self.metrics.moves_taken_back.increment(1);
            outgoing.step = Step::TakingBack { stands };
            self.effects.push(Effect::TakeBack { match_id: *match_id, epoch: hosted.epoch });
        }
    }

    /// The match is ours again, at this epoch; `None` if another has it.
    ///
    /// Whatever has become of the move meanwhile (the target's word that it hosts the match may have come late): what
    /// Postgres has granted is ours to host.
    pub(super) fn taken_back(&mut self, match_id: MatchId, before: Epoch, epoch: Option<Epoch>) {
        let outgoing = self.moves.out.remove(&match_id);
        let stands = outgoing.is_none_or(|outgoing| !matches!(outgoing.step, Step::TakingBack { stands: false }));
        let hosted = self.phases[phase_of(match_id)].get_mut(&match_id).filter(|hosted| hosted.epoch == before);
        match (epoch, hosted) {
            (None, Some(_)) => self.fenced(match_id),
            (None, None) => {}
            // Nobody had it in between: play goes on as if nothing were.
            (Some(epoch), Some(hosted)) if epoch == before.next() && !stands => {
                hosted.go_on_at(epoch);
                self.effects.push(Effect::Own(vec![(match_id, epoch)]));
            }
            // The target may have played, and told edges that inputs are safe: the newest checkpoint has them.
            (Some(epoch), hosted) => {
                if let Some(hosted) = hosted {
                    hosted.granted = Some(epoch);
                }
                self.effects.push(Effect::Fetch { matches: vec![(match_id, epoch)], from: Fetch::Checkpoint });
            }
        }
    }

    /// The target hosts it.
    pub(super) fn landed(&mut self, now: Instant, from: NodeId, match_id: MatchId, epoch: Epoch) {
        if self.moves.out.get(&match_id).is_none_or(|outgoing| outgoing.to != from) {
            return;
        }
        let Some(outgoing) = self.moves.out.remove(&match_id) else { return };
        if self.find(match_id).is_none_or(|hosted| hosted.epoch >= epoch) {
            return;
        }
        self.phases[phase_of(match_id)].remove(&match_id);
        if self.moves.gone.len() < GONE_MAX {
            self.moves.gone.insert(match_id, Gone { to: from, epoch, at: now });
        }
        let stood_ms = match outgoing.step {
            Step::Sent { since, .. } => now.since(since).as_millis() as u64,
            Step::Offered { .. } | Step::TakingBack { .. } => 0,
        };
        self.metrics.moved_out(outgoing.why);
        tracing::info!(%match_id, %epoch, to = %from, why = outgoing.why.label(), stood_ms, "a match has moved");
    }

    pub(super) fn declined(&mut self, now: Instant, from: NodeId, match_id: MatchId, epoch: Epoch) {
        let is_ours = |outgoing: &Outgoing| outgoing.to == from && matches!(outgoing.step, Step::Offered { .. });
        // An earlier offer to the same worker may have been answered late.
        let is_present = self.find(match_id).is_some_and(|hosted| hosted.epoch == epoch);
        if is_present && self.moves.out.get(&match_id).is_some_and(is_ours) {
            self.moves.out.remove(&match_id);
            self.moves.declined.insert(match_id, now);
            self.metrics.moves_declined.increment(1);
        }
    }

    /// A write for this match was refused. If it is on its way out, the target has taken the epoch and its word for that is
    /// under way: then it is not lost but handed over.
    pub(super) fn is_handing_over(&mut self, now: Instant, match_id: MatchId) -> bool {
        let Some(outgoing) = self.moves.out.get(&match_id) else { return false };
        let (to, is_offered) = (outgoing.to, matches!(outgoing.step, Step::Offered { .. }));
        if is_offered && let Some(epoch) = self.find(match_id).map(|hosted| hosted.epoch.next()) {
            self.took(now, to, match_id, epoch);
        }
        true
    }

    /// Where late words about a match go: it is on its way, or has gone.
    fn forwarding(&self, match_id: MatchId) -> Option<(NodeId, Epoch)> {
        let Some(hosted) = self.phases[phase_of(match_id)].get(&match_id) else {
            let Gone { to, epoch, .. } = self.moves.gone.get(&match_id)?;
            return Some((*to, *epoch));
        };
        let outgoing = self.moves.out.get(&match_id)?;
        (hosted.standing == Standing::Handed).then_some((outgoing.to, hosted.epoch.next()))
    }

    /// Passes inputs on that came too late. `false` if they are for this worker.
    pub(super) fn forward_inputs(&mut self, match_id: MatchId, records: &mut dyn Iterator<Item = InputRecord>) -> bool {
        let Some((to, epoch)) = self.forwarding(match_id) else { return false };
        let records: Vec<_> = records.collect();
        self.metrics.inputs_forwarded.increment(records.len() as u64);
        self.words.push(Word { to, match_id, epoch, say: Say::Inputs(records) });
        true
    }

    /// Passes on what an edge said too late. `Some` is handed back: it is for this worker.
    pub(super) fn forward(
        &mut self,
        (edge, incarnation): (NodeId, Incarnation),
        match_id: MatchId,
        control: Control,
    ) -> Option<Control> {
        let Some((to, epoch)) = self.forwarding(match_id) else { return Some(control) };
        self.tell(to, match_id, epoch, Control::Forwarded { edge, incarnation, control: Box::new(control) });
        None
    }
}

/// Into here.
impl Host {
    pub(super) fn offered(&mut self, now: Instant, from: (NodeId, Incarnation), match_id: MatchId, epoch: Epoch) {
        let has_room = !self.is_full() && self.moves.into.len() < IN_AT_ONCE_MAX;
        if !has_room || self.moves.into.contains_key(&match_id) || self.find(match_id).is_some_and(|h| h.epoch >= epoch)
        {
            return self.tell(from.0, match_id, epoch, Control::Declined);
        }
        let incoming = Incoming {
            from: from.0,
            incarnation: from.1,
            since: now,
            granted: None,
            journal: Vec::new(),
            early: Vec::new(),
        };
        self.moves.into.insert(match_id, incoming);
        self.effects.push(Effect::Take { why: TakeFor::Move, expected: vec![(match_id, epoch)] });
    }

    pub(super) fn journal_came(&mut self, from: NodeId, match_id: MatchId, bytes: &[u8]) {
        let Some(incoming) = self.moves.into.get_mut(&match_id).filter(|incoming| incoming.from == from) else {
            return;
        };
        if incoming.journal.len() + bytes.len() <= JOURNAL_BYTES_MAX {
            incoming.journal.extend_from_slice(bytes);
        }
    }

    /// Postgres has granted the epoch of a match that was offered, or has not.
    pub(super) fn offer_taken(&mut self, now: Instant, expected: &[(MatchId, Epoch)], taken: &[(MatchId, Epoch)]) {
        for (match_id, before) in expected {
            let granted = taken.iter().find(|(taken, _)| taken == match_id).map(|(_, epoch)| *epoch);
            let Some(incoming) = self.moves.into.get_mut(match_id) else { continue };
            (incoming.granted, incoming.since) = (granted, now);
            let from = incoming.from;
            match granted {
                Some(epoch) => self.tell(from, *match_id, epoch, Control::Took),
                None => {
                    self.moves.into.remove(match_id);
                    self.tell(from, *match_id, *before, Control::Declined);
                }
            }
        }
    }

    /// The state of a match that moves here; perhaps once more.
    pub(super) fn state_came(&mut self, now: Instant, from: NodeId, entry: &Entry<'_>) {
        let Entry { match_id, epoch, payload, .. } = *entry;
        if self.find(match_id).is_some_and(|hosted| hosted.epoch == epoch) {
            return self.tell(from, match_id, epoch, Control::Landed);
        }
        let is_awaited = |incoming: &Incoming| incoming.from == from && incoming.granted == Some(epoch);
        let Some(incoming) = self.moves.into.get(&match_id).filter(|incoming| is_awaited(incoming)) else {
            return entry_refused("no_move");
        };
        let Some((age, chunk, state)) = split(payload) else { return entry_refused("state") };
        let journal = [&incoming.journal[..], chunk].concat();
        let (saved, mut room) = match Saved::restore(state, &journal, epoch) {
            Ok((saved, room, _)) => (saved, room),
            // The rest of the journal may be under way.
            Err(error) => return tracing::debug!(%match_id, %error, "the state of a match is not complete yet"),
        };
        room.moved();
        // Redis may have another part of the journal than we know of: it is written anew.
        let mut hosted = Hosted::restored(saved, room, Copies::default(), now);
        hosted.ticked = now.before(age);
        hosted.owes_ticks = true;
        tracing::info!(%match_id, %epoch, %from, tick = %hosted.room.tick_count(), "a match has come");
        self.metrics.moved_in.increment(1);
        self.effects.push(Effect::Own(vec![(match_id, epoch)]));
        // A goal of the last moments was the former owner's to write, who had lost the right.
        hosted.note(&mut self.effects);
        self.phases[phase_of(match_id)].insert(match_id, hosted);
        self.tell(from, match_id, epoch, Control::Landed);
        let early = self.moves.into.remove(&match_id).map(|incoming| incoming.early);
        for (edge, incarnation, control) in early.into_iter().flatten() {
            self.control(edge, incarnation, match_id, control);
        }
    }

    /// What an edge said to the former owner.
    pub(super) fn forwarded(&mut self, edge: (NodeId, Incarnation), match_id: MatchId, control: Control) {
        // Only these are passed on. Anything else would let one node speak for another.
        if !matches!(
            control,
            Control::Join { .. } | Control::Leave { .. } | Control::Command { .. } | Control::Attach { .. }
        ) {
            return entry_refused("direction");
        }
        match self.moves.into.get_mut(&match_id) {
            Some(incoming) if incoming.early.len() < EARLY_WORDS_MAX => incoming.early.push((edge.0, edge.1, control)),
            Some(_) => entry_refused("too_many_early"),
            None => self.control(edge.0, edge.1, match_id, control),
        }
    }

    /// States that do not come: their match goes on from its checkpoint.
    fn give_up_waiting(&mut self, now: Instant) {
        let recovery = &self.recovery;
        let mut given_up = Vec::new();
        self.moves.into.retain(|match_id, incoming| {
            let owner = Owner { node: incoming.from, incarnation: incoming.incarnation };
            let gives_up = recovery.misses(owner) || now.since(incoming.since) >= STATE_WITHIN;
            let Some(epoch) = incoming.granted.filter(|_| gives_up) else { return true };
            given_up.push((*match_id, epoch));
            false
        });
        if !given_up.is_empty() {
            tracing::warn!(matches = given_up.len(), "matches did not come; they go on from their checkpoints");
            self.effects.push(Effect::Fetch { matches: given_up, from: Fetch::Checkpoint });
        }
    }
}

/// Age, chunk of the journal, state.
fn split(payload: &[u8]) -> Option<(Duration, &[u8], &[u8])> {
    let (age_us, rest) = payload.split_first_chunk::<4>()?;
    let (chunk_bytes, rest) = rest.split_first_chunk::<4>()?;
    let (chunk, state) = rest.split_at_checked(u32::from_le_bytes(*chunk_bytes) as usize)?;
    Some((Duration::from_micros(u32::from_le_bytes(*age_us).into()), chunk, state))
}
