//! One scripted player: what it says when, and what it measures. Without a socket and without a clock.
//!
//! The engine tells it what came and when; it answers with wishes. A player queues (or waits for its private match),
//! joins, is ready, moves towards the ball, and plays again when the match is over. Whatever goes wrong is counted by
//! its code and tried again: a load generator that gives up measures nothing.

use std::collections::VecDeque;

use rally_protocol::client::v1::{
    ClientMessage, EndReason, ErrorCode, ErrorMessage, EventKind, Forfeit, Hello, InputMessage, JoinAs, MatchEvent,
    MatchJoin, MatchJoined, Mode, Phase, Ping, Place, QueueJoin, QueueLeave, Ready, Resume, ServerMessage, Side, Token,
    Welcome, close,
};
use rally_units::{MatchId, SessionId};

use crate::{
    aim::aim,
    seen::Seen,
    stats::{INTERVAL_NS, Stats, record},
};

const MS: u64 = 1_000_000;
/// An answer that takes longer is an error: then the connection is made anew.
const ANSWER_NS_MAX: u64 = 10_000 * MS;
/// Without any frame for this long in a match the link is dead (PROTOCOL.md); when idle, 60 s.
const SILENCE_NS_MAX: [u64; 2] = [2_000 * MS, 60_000 * MS];
/// Between attempts at what was refused.
const RETRY_MS: u64 = 1_000;
/// Inputs whose acknowledgement is awaited. With more, the oldest count as unanswered.
const AWAITED_MAX: usize = 128;
/// A skill is tried with every so manieth input.
const PRESS_EVERY: u32 = 37;

/// What players do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// Meet through the queue of this mode.
    Queue(Mode),
    /// Meet their partner in a private match.
    Private,
    /// Stay connected and do nothing.
    Idle,
}

/// What a player asks of its engine.
#[derive(Debug, PartialEq)]
pub(crate) enum Wish {
    /// Send this.
    Send(ClientMessage),
    /// Close the connection, if there is one, and open another after this time. Over the next edge.
    Reconnect { after_ms: u64 },
    /// Call [`Player::retry`] after this time.
    Retry { after_ms: u64 },
    /// A private match with the partner.
    PrivateMatch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Away,
    Greeting,
    Idle,
    /// Asked for a place in the queue, or has one.
    Queueing,
    /// Waits for the id of a private match.
    Waiting,
    Joining,
    Joined,
    /// Told to stay away.
    Banned,
}

#[derive(Debug)]
pub(crate) struct Player {
    script: Script,
    state: State,
    since_ns: u64,
    heard_ns: u64,
    session: Option<SessionId>,
    match_id: Option<MatchId>,
    place: Place,
    seq: u32,
    awaited: VecDeque<(u32, u64)>,
    seen: Option<Seen>,
    seen_ns: u64,
    /// The `n` of the last event of this match.
    last_event: Option<u32>,
    /// The longest time without a fresh snapshot in the window, beyond the normal interval; none if none was due.
    gap_ns: Option<u64>,
    /// Whether in the window its match moved, or its connection was lost.
    is_concerned: bool,
    /// For the jitter of reconnects.
    random: u32,
    /// Since when snapshots are due; none before the match is joined and after it is over.
    due_since_ns: Option<u64>,
    failures: u32,
    come_back_after_ms: Option<u64>,
    stopping: bool,
}

impl Player {
    /// `number` tells it from all others.
    pub(crate) fn new(script: Script, number: usize) -> Self {
        Self {
            last_event: None,
            gap_ns: None,
            is_concerned: false,
            random: (number as u32).wrapping_mul(2_654_435_761) | 1,
            script,
            state: State::Away,
            since_ns: 0,
            heard_ns: 0,
            session: None,
            match_id: None,
            place: Place::Spectator,
            seq: 0,
            awaited: VecDeque::new(),
            seen: None,
            seen_ns: 0,
            due_since_ns: None,
            failures: 0,
            come_back_after_ms: None,
            stopping: false,
        }
    }

    pub(crate) fn connected(&self) -> bool {
        !matches!(self.state, State::Away | State::Greeting | State::Banned)
    }

    /// The match that it plays in now.
    pub(crate) fn playing(&self) -> Option<MatchId> {
        self.match_id.filter(|_| self.state == State::Joined)
    }

    pub(crate) fn waits_for_private_match(&self) -> bool {
        self.state == State::Waiting && !self.stopping
    }

    fn enter(&mut self, state: State, now_ns: u64) {
        self.state = state;
        self.since_ns = now_ns;
    }

    /// There is a connection.
    pub(crate) fn opened(&mut self, token: &Token, now_ns: u64, wishes: &mut Vec<Wish>) {
        self.enter(State::Greeting, now_ns);
        self.heard_ns = now_ns;
        let resume = self.session.map(|session| Resume { session, channels: Default::default() });
        wishes.push(Wish::Send(Hello { token: token.clone(), resume }.into()));
    }

    /// The connection is gone, or could not be opened.
    pub(crate) fn closed(&mut self, code: Option<u16>, now_ns: u64, stats: &mut Stats, wishes: &mut Vec<Wish>) {
        if self.stopping || self.state == State::Banned {
            return;
        }
        if self.state != State::Away {
            match code {
                Some(close::RESTART) if self.come_back_after_ms.is_some() => {}
                Some(code) => stats.error(format!("close_{code}")),
                None => stats.error("connection_lost"),
            }
            stats.reconnects += 1;
        }
        self.gone(code, now_ns, stats, wishes);
    }

    fn gone(&mut self, code: Option<u16>, now_ns: u64, stats: &mut Stats, wishes: &mut Vec<Wish>) {
        if matches!(code, Some(close::UNAUTHENTICATED | close::SEAT_TAKEN)) {
            stats.continuity.seats_lost += 1;
            self.over(now_ns, stats);
            return self.enter(State::Banned, now_ns);
        }
        self.enter(State::Away, now_ns);
        self.is_concerned = true;
        self.awaited.clear();
        let span_ms = 100 << self.failures;
        self.failures = (self.failures + 1).min(6);
        // As an honest client waits: half of a span that doubles, and up to as much again.
        let after_ms = match self.come_back_after_ms.take() {
            Some(after_ms) => after_ms,
            None => span_ms / 2 + u64::from(self.random()) % (span_ms / 2),
        };
        wishes.push(Wish::Reconnect { after_ms });
    }

    /// The next of a player's own numbers (xorshift).
    fn random(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random
    }

    /// Nothing fresh came for this long, while snapshots were due.
    fn silence(&mut self, silence_ns: u64) {
        let gap_ns = silence_ns.saturating_sub(INTERVAL_NS);
        self.gap_ns = Some(self.gap_ns.unwrap_or(0).max(gap_ns));
    }

    /// What was refused may be tried again.
    pub(crate) fn retry(&mut self, now_ns: u64, wishes: &mut Vec<Wish>) {
        match self.state {
            State::Queueing | State::Waiting => self.start(now_ns, wishes),
            State::Joining => self.join(now_ns, wishes),
            State::Away | State::Greeting | State::Idle | State::Joined | State::Banned => {}
        }
    }

    /// Looks for a match.
    fn start(&mut self, now_ns: u64, wishes: &mut Vec<Wish>) {
        if self.stopping {
            return;
        }
        match self.script {
            Script::Idle => self.enter(State::Idle, now_ns),
            Script::Queue(mode) => {
                self.enter(State::Queueing, now_ns);
                wishes.push(Wish::Send(QueueJoin { mode, skill: None }.into()));
            }
            Script::Private => {
                self.enter(State::Waiting, now_ns);
                wishes.push(Wish::PrivateMatch);
            }
        }
    }

    /// The match to play in is known.
    pub(crate) fn found(&mut self, match_id: MatchId, now_ns: u64, wishes: &mut Vec<Wish>) {
        self.match_id = Some(match_id);
        self.join(now_ns, wishes);
    }

    fn join(&mut self, now_ns: u64, wishes: &mut Vec<Wish>) {
        let Some(match_id) = self.match_id else { return self.start(now_ns, wishes) };
        self.enter(State::Joining, now_ns);
        wishes.push(Wish::Send(MatchJoin { match_id, join_as: JoinAs::Player, skill: None }.into()));
    }

    /// A message other than a snapshot came.
    pub(crate) fn received(&mut self, message: ServerMessage, now_ns: u64, stats: &mut Stats, wishes: &mut Vec<Wish>) {
        self.heard_ns = now_ns;
        match message {
            ServerMessage::Welcome(welcome) => self.welcomed(&welcome, now_ns, wishes),
            ServerMessage::MatchFound(found) => self.found(found.match_id, now_ns, wishes),
            ServerMessage::MatchJoined(joined) => self.joined(&joined, now_ns, stats, wishes),
            ServerMessage::Snapshot(snapshot) => self.saw(&Seen::from(&snapshot), now_ns, stats),
            ServerMessage::MatchEvent(event) => {
                stats.events += 1;
                self.event(&event, stats);
                if event.event == EventKind::ResultPending && Some(event.match_id) == self.match_id {
                    self.snapshots_end(now_ns, stats);
                }
            }
            ServerMessage::GameOver(over) if Some(over.match_id) == self.match_id => {
                stats.continuity.abandoned += u64::from(over.reason == EndReason::Abandoned);
                self.play_again(now_ns, stats, wishes);
            }
            ServerMessage::ErrorMessage(error) => self.refused(&error, now_ns, stats, wishes),
            ServerMessage::Reconnect(reconnect) => self.come_back_after_ms = Some(reconnect.after_ms.into()),
            _ => {}
        }
    }

    fn event(&mut self, event: &MatchEvent, stats: &mut Stats) {
        if Some(event.match_id) != self.match_id {
            return;
        }
        let continuity = &mut stats.continuity;
        match event.event {
            EventKind::Moved => {
                continuity.moved += 1;
                self.is_concerned = true;
            }
            EventKind::Paused => continuity.paused += 1,
            EventKind::Away => continuity.away += 1,
            _ => {}
        }
        if let Some(last) = self.last_event {
            continuity.events_repeated += u64::from(event.n <= last);
            // A new owner that goes on from a checkpoint leaves the numbers out that the last may have used since, and
            // begins with this event.
            if event.event != EventKind::Moved {
                continuity.events_missed += u64::from(event.n.saturating_sub(last + 1));
            }
        }
        self.last_event = self.last_event.max(Some(event.n));
    }

    fn welcomed(&mut self, welcome: &Welcome, now_ns: u64, wishes: &mut Vec<Wish>) {
        self.failures = 0;
        self.session = Some(welcome.session);
        // Where one is when one comes back, the edge knows best.
        if let Some(match_id) = welcome.match_id.or(self.match_id) {
            self.found(match_id, now_ns, wishes);
        } else if welcome.queue.is_some() {
            self.enter(State::Queueing, now_ns);
        } else {
            self.start(now_ns, wishes);
        }
    }

    fn joined(&mut self, joined: &MatchJoined, now_ns: u64, stats: &mut Stats, wishes: &mut Vec<Wish>) {
        if Some(joined.match_id) != self.match_id {
            return;
        }
        if let Some(over) = &joined.over {
            stats.continuity.abandoned += u64::from(over.reason == EndReason::Abandoned);
            return self.play_again(now_ns, stats, wishes);
        }
        self.enter(State::Joined, now_ns);
        self.place = joined.side;
        self.seq = 0;
        self.awaited.clear();
        // The picture holds everything up to this event: those before it need not come.
        self.last_event = self.last_event.max(Some(joined.last_event));
        if joined.phase == Phase::Finished {
            // The whole picture of a match whose result is being recorded: nothing more comes but that.
            return self.snapshots_end(now_ns, stats);
        }
        if self.due_since_ns.is_none() {
            self.due_since_ns = Some(now_ns);
            self.gap_ns = self.gap_ns.or(Some(0));
            self.seen = None;
            self.seen_ns = now_ns;
        }
        wishes.push(Wish::Send(Ready { match_id: joined.match_id }.into()));
    }

    /// A snapshot came.
    pub(crate) fn saw(&mut self, seen: &Seen, now_ns: u64, stats: &mut Stats) {
        self.heard_ns = now_ns;
        if self.match_id.is_none_or(|match_id| *match_id.as_bytes() != seen.match_id) || self.due_since_ns.is_none() {
            return;
        }
        match self.seen {
            Some(before) if (seen.epoch, seen.tick) <= (before.epoch, before.tick) => {
                stats.repeated += 1;
                let continuity = &mut stats.continuity;
                continuity.epochs_fell += u64::from(seen.epoch < before.epoch);
                continuity.ticks_fell += u64::from(seen.epoch == before.epoch && seen.tick < before.tick);
                return;
            }
            Some(before) => {
                let continuity = &mut stats.continuity;
                let fell = seen.score.iter().zip(before.score).any(|(now, before)| *now < before);
                continuity.scores_fell += u64::from(fell);
                // A new owner may begin a little behind what the former one has shown.
                let rewound = u64::from(before.tick.saturating_sub(seen.tick));
                continuity.rewound_ticks_max = continuity.rewound_ticks_max.max(rewound);
                let interval_ns = now_ns.saturating_sub(self.seen_ns);
                stats.interval(interval_ns, u64::from(seen.tick.saturating_sub(before.tick + 1)));
                self.silence(interval_ns);
            }
            None => {}
        }
        stats.snapshots += 1;
        if let Some(side) = self.side() {
            while let Some((seq, sent_ns)) = self.awaited.front() {
                if !seen.acknowledges(side, *seq) {
                    break;
                }
                record(&mut stats.input_us, now_ns.saturating_sub(*sent_ns));
                self.awaited.pop_front();
            }
        }
        self.seen_ns = now_ns;
        self.seen = Some(*seen);
        if seen.phase == Phase::Finished {
            self.snapshots_end(now_ns, stats);
        }
    }

    fn side(&self) -> Option<Side> {
        match self.place {
            Place::Left | Place::Both => Some(Side::Left),
            Place::Right => Some(Side::Right),
            Place::Spectator => None,
        }
    }

    fn snapshots_end(&mut self, now_ns: u64, stats: &mut Stats) {
        if let Some(since_ns) = self.due_since_ns.take() {
            stats.joined(since_ns, now_ns);
            self.silence(now_ns.saturating_sub(self.seen_ns));
        }
        // The last inputs of a match have no snapshot to show them.
        self.awaited.clear();
    }

    fn over(&mut self, now_ns: u64, stats: &mut Stats) {
        self.snapshots_end(now_ns, stats);
        self.match_id = None;
        self.seen = None;
        self.last_event = None;
    }

    fn play_again(&mut self, now_ns: u64, stats: &mut Stats, wishes: &mut Vec<Wish>) {
        stats.matches_finished += 1;
        self.over(now_ns, stats);
        self.enter(State::Waiting, now_ns);
        self.start(now_ns, wishes);
    }

    fn refused(&mut self, error: &ErrorMessage, now_ns: u64, stats: &mut Stats, wishes: &mut Vec<Wish>) {
        let of = error.of.as_deref().unwrap_or("-");
        stats.error_that_said(format!("{} ({of})", error.code.as_str()), &error.detail);
        match (of, error.code) {
            ("queue_join", ErrorCode::AlreadyInQueue) => self.enter(State::Queueing, now_ns),
            ("queue_join", ErrorCode::AlreadyInMatch) if error.match_id.is_some() => {
                self.match_id = error.match_id;
                self.join(now_ns, wishes);
            }
            // Also unasked, when its owner has gone and nobody else has it.
            ("match_join", ErrorCode::NotFound | ErrorCode::Forbidden)
                if matches!(self.state, State::Joining | State::Joined) =>
            {
                // Never seen, it may be one that another has closed.
                stats.continuity.vanished += u64::from(self.seen.is_some());
                self.over(now_ns, stats);
                self.enter(State::Waiting, now_ns);
                wishes.push(Wish::Retry { after_ms: RETRY_MS });
            }
            ("queue_join" | "match_join", _) => wishes.push(Wish::Retry { after_ms: RETRY_MS }),
            _ => {}
        }
    }

    /// A private match could not be had.
    pub(crate) fn not_found(&mut self, wishes: &mut Vec<Wish>) {
        wishes.push(Wish::Retry { after_ms: RETRY_MS });
    }

    /// The next input, if the match is in play. To be called every `hold_ns`.
    pub(crate) fn input(&mut self, hold_ns: u64, now_ns: u64, stats: &mut Stats) -> Option<InputMessage> {
        if self.state != State::Joined || self.stopping {
            return None;
        }
        let (match_id, side, seen) = (self.match_id?, self.side()?, self.seen.as_ref()?);
        if seen.phase != Phase::Playing || self.due_since_ns.is_none() {
            return None;
        }
        let dir = aim(seen, side, hold_ns as f32 / 1e9);
        self.seq += 1;
        if self.awaited.len() == AWAITED_MAX {
            self.awaited.pop_front();
            stats.inputs_unanswered += 1;
        }
        self.awaited.push_back((self.seq, now_ns));
        stats.inputs_sent += 1;
        Some(InputMessage { match_id, seq: self.seq, dir, press: self.seq.is_multiple_of(PRESS_EVERY), side: None })
    }

    /// To be called each second: pings, and what takes too long. `n` counts the calls; this one is `late_ns` late.
    pub(crate) fn second(&mut self, n: u64, late_ns: u64, now_ns: u64, stats: &mut Stats, wishes: &mut Vec<Wish>) {
        if matches!(self.state, State::Away | State::Banned) {
            return;
        }
        let in_match = matches!(self.state, State::Joining | State::Joined);
        // While our own loop stood still, frames came and were not read: that is not the edge's silence.
        let silent = now_ns.saturating_sub(self.heard_ns + late_ns) > SILENCE_NS_MAX[usize::from(!in_match)];
        let late = match self.state {
            State::Greeting => Some("no_welcome"),
            State::Joining => Some("no_match_joined"),
            _ => None,
        };
        let late = late.filter(|_| now_ns.saturating_sub(self.since_ns) > ANSWER_NS_MAX);
        if silent || late.is_some() {
            stats.error(late.unwrap_or("silent_link"));
            stats.reconnects += 1;
            // As if it had been lost: it is of no use.
            return self.gone(None, now_ns, stats, wishes);
        }
        if in_match || n.is_multiple_of(30) {
            wishes.push(Wish::Send(Ping { t: now_ns / 1_000 }.into()));
        }
    }

    /// The window opens: what was sent before belongs to no figure.
    pub(crate) fn window_opens(&mut self) {
        self.awaited.clear();
        self.gap_ns = self.due_since_ns.map(|_| 0);
        self.is_concerned = false;
    }

    /// The window closes: what is open is counted.
    pub(crate) fn window_closes(&mut self, now_ns: u64, stats: &mut Stats) {
        if let Some(since_ns) = self.due_since_ns {
            stats.joined(since_ns, now_ns);
            let silence_ns = now_ns.saturating_sub(self.seen_ns.max(stats.window_began_ns));
            stats.silence(silence_ns);
            self.silence(silence_ns);
        }
        if let Some(gap_ns) = self.gap_ns {
            record(&mut stats.player_gap_us, gap_ns);
            let gaps = if self.is_concerned { &mut stats.concerned_gap_us } else { &mut stats.unconcerned_gap_us };
            record(gaps, gap_ns);
        }
        // One that was sent just now may still come.
        let lost = self.awaited.iter().filter(|(_, sent_ns)| now_ns.saturating_sub(*sent_ns) > ANSWER_NS_MAX / 10);
        stats.inputs_unanswered += lost.count() as u64;
    }

    /// The run is over: says what leaves nothing behind. Of two in a match the left one gives up.
    pub(crate) fn stop(&mut self, wishes: &mut Vec<Wish>) {
        self.stopping = true;
        match (self.state, self.match_id) {
            (State::Queueing, _) => wishes.push(Wish::Send(QueueLeave {}.into())),
            (State::Joined, Some(match_id)) if self.place == Place::Left => {
                wishes.push(Wish::Send(Forfeit { match_id }.into()));
            }
            _ => {}
        }
    }

    /// Whether nothing more needs to be said after [`Player::stop`].
    pub(crate) fn stopped(&self) -> bool {
        self.state != State::Joined
    }
}

#[cfg(test)]
mod tests {
    use rally_units::{Epoch, Tick};

    use super::*;
    use crate::stats::Continuity;

    const MATCH: MatchId = MatchId::from_bytes([7; 16]);
    const TICK_NS: u64 = INTERVAL_NS;

    fn snapshot(epoch: u32, tick: u32, score: [u8; 2]) -> rally_protocol::client::v1::Snapshot {
        rally_protocol::client::v1::Snapshot {
            match_id: MATCH,
            tick: Tick(tick),
            clock: rally_units::SubStep(0),
            epoch: Epoch(epoch),
            phase: Phase::Playing,
            ack: [0; 2],
            paddles: [(8_640, rally_protocol::client::v1::Dir::Stay); 2],
            balls: Default::default(),
            score,
            skills: [(0, 0); 2],
            power_ups: Default::default(),
            effects: Default::default(),
        }
    }

    /// A player in a match at epoch 1, tick 0, and no score, at time 0.
    fn playing() -> (Player, Stats) {
        let (mut player, mut stats) = (Player::new(Script::Private, 1), Stats::default());
        player.found(MATCH, 0, &mut Vec::new());
        let joined = MatchJoined {
            match_id: MATCH,
            side: Place::Left,
            players: [None, None],
            mode: Mode::Casual,
            phase: Phase::Playing,
            snapshot: snapshot(1, 0, [0; 2]),
            classic: false,
            score_to_win: 11,
            private: true,
            last_event: 4,
            over: None,
        };
        player.received(joined.into(), 0, &mut stats, &mut Vec::new());
        stats.begin(0);
        player.window_opens();
        (player, stats)
    }

    fn see(player: &mut Player, stats: &mut Stats, at: u64, epoch: u32, tick: u32, score: [u8; 2]) {
        player.saw(&Seen::from(&snapshot(epoch, tick, score)), at * TICK_NS, stats);
    }

    fn event(player: &mut Player, stats: &mut Stats, n: u32, event: EventKind) {
        let event = MatchEvent {
            match_id: MATCH,
            tick: Tick(0),
            n,
            event,
            side: None,
            value: None,
            y: None,
            score: None,
            skill: None,
            power_up: None,
        };
        player.received(event.into(), 0, stats, &mut Vec::new());
    }

    #[test]
    fn the_gap_is_what_is_beyond_the_interval_and_lasts_over_a_reconnect() {
        let (mut player, mut stats) = playing();
        see(&mut player, &mut stats, 1, 1, 1, [0; 2]);
        see(&mut player, &mut stats, 2, 1, 2, [0; 2]);
        player.closed(None, 5 * TICK_NS, &mut stats, &mut Vec::new());
        player.found(MATCH, 20 * TICK_NS, &mut Vec::new());
        see(&mut player, &mut stats, 62, 1, 40, [0; 2]);
        player.window_closes(63 * TICK_NS, &mut stats);
        assert_eq!(stats.player_gap_us.len(), 1);
        let gap_ms = stats.player_gap_us.max() / 1_000;
        assert!((980..=990).contains(&gap_ms), "59 ticks too late: {gap_ms} ms");
    }

    #[test]
    fn a_gap_that_never_ended_counts_up_to_the_windows_end() {
        let (mut player, mut stats) = playing();
        see(&mut player, &mut stats, 1, 1, 1, [0; 2]);
        player.window_closes(121 * TICK_NS, &mut stats);
        assert!(stats.player_gap_us.max() > 1_950_000, "{}", stats.player_gap_us.max());
    }

    #[test]
    fn a_repeated_snapshot_is_not_fresh() {
        let (mut player, mut stats) = playing();
        see(&mut player, &mut stats, 1, 1, 1, [0; 2]);
        for at in 2..32 {
            see(&mut player, &mut stats, at, 1, 1, [0; 2]);
        }
        see(&mut player, &mut stats, 32, 1, 2, [0; 2]);
        player.window_closes(32 * TICK_NS, &mut stats);
        assert!(stats.player_gap_us.max() > 490_000);
        assert_eq!((stats.repeated, stats.continuity.broken()), (30, 0));
    }

    #[test]
    fn what_falls_is_seen() {
        let (mut player, mut stats) = playing();
        see(&mut player, &mut stats, 1, 1, 100, [1, 2]);
        // The next owner begins four ticks behind: it may. The score stays.
        see(&mut player, &mut stats, 2, 2, 96, [1, 2]);
        assert_eq!((stats.continuity.rewound_ticks_max, stats.continuity.broken()), (4, 0));
        see(&mut player, &mut stats, 3, 2, 97, [1, 1]);
        see(&mut player, &mut stats, 4, 1, 200, [1, 1]);
        see(&mut player, &mut stats, 5, 2, 90, [1, 1]);
        let Continuity { scores_fell, epochs_fell, ticks_fell, .. } = stats.continuity;
        assert_eq!((scores_fell, epochs_fell, ticks_fell), (1, 1, 1));
    }

    #[test]
    fn events_are_counted_and_come_once_each() {
        let (mut player, mut stats) = playing();
        let events = [(1_005, EventKind::Moved), (1_005, EventKind::Moved), (1_008, EventKind::Paused)];
        for (n, kind) in events.into_iter().chain([(1_009, EventKind::Away)]) {
            event(&mut player, &mut stats, n, kind);
        }
        let Continuity { moved, paused, away, events_missed, events_repeated, .. } = stats.continuity;
        assert_eq!((moved, paused, away, events_missed, events_repeated), (2, 1, 1, 2, 1));
    }

    #[test]
    fn a_void_match_and_a_lost_seat_are_counted() {
        let (mut player, mut stats) = playing();
        let over = rally_protocol::client::v1::GameOver {
            match_id: MATCH,
            winner: None,
            score: [0; 2],
            reason: EndReason::Abandoned,
            ratings: None,
        };
        player.received(over.into(), TICK_NS, &mut stats, &mut Vec::new());
        assert_eq!(stats.continuity.abandoned, 1);
        let (mut player, mut stats) = playing();
        player.closed(Some(close::SEAT_TAKEN), TICK_NS, &mut stats, &mut Vec::new());
        assert_eq!(stats.continuity.seats_lost, 1);
    }

    #[test]
    fn reconnects_wait_longer_each_time_and_not_all_alike() {
        let waits = |number| {
            let (mut player, mut stats) = (Player::new(Script::Private, number), Stats::default());
            let mut wishes = Vec::new();
            for _ in 0..8 {
                player.closed(None, 0, &mut stats, &mut wishes);
            }
            let waits: Vec<u64> = wishes
                .iter()
                .map(|wish| match wish {
                    Wish::Reconnect { after_ms } => *after_ms,
                    other => panic!("{other:?}"),
                })
                .collect();
            waits
        };
        for (n, wait_ms) in waits(3).into_iter().enumerate() {
            let span_ms = 100 << n.min(6);
            assert!((span_ms / 2..span_ms).contains(&wait_ms), "{wait_ms} of {span_ms}");
        }
        assert_ne!(waits(3), waits(4));
    }
}
