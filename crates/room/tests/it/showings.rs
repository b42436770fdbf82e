//! What is shown again is what was played, from wherever and however fast; ticks and events only rise.

use rally_protocol::{
    client::{
        codec::{Encoding, Messages},
        v1::{ErrorCode, EventKind, Level, MatchEvent, Mode, Phase, Place, ServerMessage, Snapshot},
    },
    cluster::v1::Command,
};
use rally_room::{Outputs, Programme, Showing, Shown, limits::REPLAY_SPEED_PERCENT_MAX, log::ReplayLog};
use rally_units::{MatchId, Tick, UserId};

use crate::{
    kit::{Left, Right, S, a_match},
    replays::{cut_log, eventful, log_of},
};

const ALL: u32 = u32::MAX;

/// A replay and its watcher, who notes what is told.
struct Hall {
    showing: Showing,
    outputs: Outputs,
    events: Vec<MatchEvent>,
    /// Positions told.
    told: Vec<u32>,
}

fn shown(logs: Vec<ReplayLog>, from: Option<u32>) -> Hall {
    let player = |n| Shown { user: Some(UserId::from_bytes([n; 16])), name: format!("player{n}"), bot: None };
    let programme = Programme {
        id: MatchId::from_bytes([8; 16]),
        of: MatchId::from_bytes([7; 16]),
        mode: Mode::Duel,
        players: [Some(player(1)), Some(player(2))],
    };
    let mut showing = Showing::new(programme, logs, from.map(Tick)).unwrap();
    assert!(showing.prepare(ALL));
    Hall { showing, outputs: Outputs::new(), events: Vec::new(), told: Vec::new() }
}

impl Hall {
    fn tick(&mut self, mut steps: u32) -> &mut Self {
        let before = self.showing.tick_count();
        self.showing.tick(&mut steps, &mut self.outputs);
        assert_eq!(self.showing.tick_count(), before.next());
        for event in self.outputs.events.drain(..) {
            let ServerMessage::MatchEvent(told) = ServerMessage::decode(Encoding::Msgpack, &event.message).unwrap()
            else {
                panic!("no event: {event:?}")
            };
            assert_eq!((told.n, told.tick), (self.events.last().map_or(0, |last| last.n) + 1, before.next()));
            self.events.push(told);
        }
        self.told.extend(self.showing.take_state().map(|state| state.tick.0));
        self
    }

    fn run(&mut self, ticks: u32) -> &mut Self {
        (0..ticks).for_each(|_| _ = self.tick(ALL));
        self
    }

    fn seek(&mut self, to: u32) -> &mut Self {
        self.showing.seek(Tick(to));
        self.tick(ALL)
    }

    fn position(&self) -> u32 {
        self.showing.state().tick.0
    }

    fn ticks(&self) -> u32 {
        self.showing.state().ticks.0
    }

    /// What is seen, but for the showing's own numbers.
    fn seen(&mut self) -> Snapshot {
        let written = &mut Vec::new();
        self.showing.snapshot_into(written);
        let ServerMessage::Snapshot(written) = ServerMessage::decode(Encoding::Msgpack, written).unwrap() else {
            panic!()
        };
        assert_eq!(written, self.showing.watched().snapshot);
        comparable(written)
    }
}

fn comparable(snapshot: Snapshot) -> Snapshot {
    Snapshot { match_id: MatchId::from_bytes([0; 16]), tick: Tick(0), ack: [0; 2], ..snapshot }
}

#[test]
fn shows_what_was_seen_live() {
    let mut scene = a_match(Mode::Practice).bot(Right, Level::Hard).score_to_win(2).made();
    scene.attach(Left);
    scene.run(20);
    scene.command(Left, Command::Ready);
    let mut live = vec![];
    while !scene.room.is_over() {
        scene.run(1);
        live.push(comparable(scene.snapshot()));
    }
    let (goals, score) = (scene.told(), scene.room.score());
    let mut hall = shown(vec![log_of(scene)], Some(20));
    assert_eq!(hall.position(), 20);
    for (at, live) in live.iter().enumerate() {
        hall.tick(ALL);
        let seen = hall.seen();
        // Of the goal that ends it, watchers of the live match are told by the result alone.
        if live.phase != Phase::Finished {
            assert_eq!(seen, *live, "{at} ticks after the beginning");
        }
    }
    assert_eq!((hall.position(), hall.seen().score), (hall.ticks(), score));
    let is_goal = |(kind, _): &&(EventKind, Option<_>)| *kind == EventKind::Goal;
    let told: Vec<_> = hall.events.iter().map(|event| (event.event, event.side)).collect();
    assert_eq!(told.iter().filter(is_goal).collect::<Vec<_>>(), goals.iter().filter(is_goal).collect::<Vec<_>>());
}

#[test]
fn begins_where_both_were_there_and_ends_as_it_did() {
    let scene = eventful();
    let score = scene.result().score;
    let mut hall = shown(vec![log_of(scene)], None);
    // Both were ready after 100 ticks, and the tick that says so is the next one.
    assert_eq!((hall.position(), hall.seen().phase), (101, Phase::Countdown));
    let picture = hall.showing.watched();
    assert_eq!((picture.side, picture.over), (Place::Spectator, None));
    assert_eq!(picture.players.map(|player| player.unwrap().name), ["player1", "player2"]);
    hall.run(hall.ticks());
    assert_eq!((hall.position(), hall.seen().score, hall.seen().phase), (hall.ticks(), score, Phase::Finished));
    let kinds: Vec<_> = hall.events.iter().map(|event| event.event).collect();
    for kind in [EventKind::Paused, EventKind::Resumed, EventKind::Away, EventKind::Back, EventKind::Goal] {
        assert!(kinds.contains(&kind), "{kind:?} is not in {kinds:?}");
    }
    let (events, told) = (hall.events.len(), hall.told.len());
    hall.run(5 * S);
    assert_eq!((hall.events.len(), hall.told.len(), hall.told.last()), (events, told + 1, Some(&hall.ticks())));
}

#[test]
fn whatever_one_has_seen_before_each_moment_looks_the_same() {
    let log = log_of(eventful());
    let mut straight = shown(vec![log.clone()], Some(0));
    let mut seen = vec![straight.seen()];
    while straight.position() < straight.ticks() {
        straight.tick(ALL);
        seen.push(straight.seen());
    }
    let ticks = straight.ticks();
    let mut jumping = shown(vec![log], None);
    jumping.showing.set_speed(0).unwrap();
    for to in [ticks - 1, 5, 700, 699, 1_100, 601, 600, 599, 0, ticks / 2] {
        let events = jumping.events.len();
        jumping.seek(to);
        // Play that stands still is paused.
        let expected = &seen[to as usize];
        let phase = if expected.phase == Phase::Playing { Phase::Paused } else { expected.phase };
        assert_eq!(jumping.seen(), Snapshot { phase, ..expected.clone() }, "at {to}");
        assert_eq!((jumping.position(), jumping.told.last()), (to, Some(&to)));
        assert_eq!(jumping.events.len(), events, "what is passed over is not told");
    }
    jumping.seek(u32::MAX);
    assert_eq!(jumping.position(), ticks);
}

#[test]
fn goes_at_its_watchers_pace() {
    let mut hall = shown(vec![log_of(eventful())], Some(300));
    for (speed_percent, ticks, expected) in [(100, 10, 10), (25, 40, 10), (800, 10, 80), (150, 11, 16), (0, 100, 0)] {
        hall.seek(300).showing.set_speed(speed_percent).unwrap();
        let told = hall.told.len();
        assert_eq!(hall.run(ticks).position(), 300 + expected, "{speed_percent} percent");
        assert!(hall.told.len() > told, "a change of speed is told");
        assert_eq!(hall.showing.is_still(), speed_percent == 0);
    }
    let refused = hall.showing.set_speed(REPLAY_SPEED_PERCENT_MAX + 1).unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidInput);
    assert_eq!(hall.showing.state().speed_percent, 0);
}

#[test]
fn a_seek_takes_as_long_as_it_is_granted_steps_for() {
    let mut hall = shown(vec![log_of(eventful())], Some(0));
    hall.showing.set_speed(0).unwrap();
    hall.tick(ALL);
    hall.showing.seek(Tick(950));
    let told = hall.told.len();
    for reached in [400, 800] {
        // Whatever happens meanwhile, only where one wants to be is told.
        hall.showing.set_speed(0).unwrap();
        hall.tick(400);
        assert_eq!((hall.position(), hall.told.len()), (reached, told));
        assert!(!hall.showing.is_still());
    }
    hall.tick(400);
    assert_eq!((hall.position(), hall.told.last()), (950, Some(&950)));
    // Back to what was passed on the way.
    hall.showing.seek(Tick(650));
    assert_eq!(hall.tick(50).position(), 650);
}

#[test]
fn segments_are_shown_one_after_another() {
    let logs = vec![log_of(eventful()), log_of(eventful())];
    let mut hall = shown(logs, Some(0));
    let one = shown(vec![log_of(eventful())], Some(0)).ticks();
    assert_eq!(hall.ticks(), 2 * one);
    for at in [10, one - 1, one + 10, 2 * one - 1] {
        hall.seek(at);
        let seen = hall.seen();
        let mut alone = shown(vec![log_of(eventful())], Some(at % one));
        assert_eq!(seen, alone.seen(), "at {at}");
    }
    assert_eq!(hall.run(2).position(), 2 * one);
}

#[test]
fn a_log_that_was_cut_is_shown_up_to_there() {
    let log = cut_log();
    let cut = log.cut().unwrap().0;
    let mut hall = shown(vec![log], Some(cut - 60));
    assert_eq!(hall.ticks(), cut);
    hall.run(2 * S);
    assert_eq!(hall.position(), cut);
    assert!(hall.showing.is_still());
    assert_ne!(hall.seen().phase, Phase::Playing, "nobody may let the balls fly on");
}

#[test]
fn a_match_that_somebody_gave_up_ends_so() {
    let mut scene = a_match(Mode::Casual).made().begun();
    scene.run(S);
    scene.command(Left, Command::Forfeit);
    scene.run(2);
    let mut hall = shown(vec![log_of(scene)], Some(0));
    hall.run(hall.ticks());
    assert_eq!((hall.position(), hall.seen().phase), (hall.ticks(), Phase::Finished));
    hall.seek(hall.ticks() - 1);
    assert_eq!(hall.seen().phase, Phase::Playing);
    assert_eq!(hall.tick(ALL).seen().phase, Phase::Finished);
}

#[test]
fn nothing_to_show_is_refused() {
    let programme = Programme {
        id: MatchId::from_bytes([8; 16]),
        of: MatchId::from_bytes([7; 16]),
        mode: Mode::Duel,
        players: [None, None],
    };
    assert!(Showing::new(programme, Vec::new(), None).is_err());
}
