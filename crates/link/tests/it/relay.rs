//! Whose word counts.

use std::time::Duration;

use proptest::prelude::*;
use rally_link::{Attach, Kept, Refusal, Relay};
use rally_protocol::{
    client::v1::{Dir, Side},
    cluster::v1::SnapshotHead,
};
use rally_units::{Epoch, Instant, NodeId, Tick};

const OWNER: NodeId = NodeId::from_bits(1);
const NEXT: NodeId = NodeId::from_bits(2);

fn at(ms: u64) -> Instant {
    Instant::from_millis(100_000 + ms)
}

fn head(tick: u32) -> SnapshotHead {
    SnapshotHead { tick: Tick(tick), ..SnapshotHead::default() }
}

/// Attached to `OWNER` at epoch 3.
fn attached() -> Relay {
    let mut relay = Relay::new(at(0));
    relay.attached(at(0), OWNER, Epoch(3), 0, false, false).unwrap();
    relay
}

#[test]
fn nothing_counts_before_it_is_attached() {
    let mut relay = Relay::new(at(0));
    assert_eq!(relay.snapshot(at(1), OWNER, Epoch(3), &head(1)), Err(Refusal::Detached));
    assert_eq!(relay.event(at(1), OWNER, Epoch(3), 1), Err(Refusal::Detached));
    assert_eq!(relay.owner(), None);
}

#[test]
fn an_older_epoch_is_refused() {
    let mut relay = attached();
    assert_eq!(relay.snapshot(at(1), OWNER, Epoch(3), &head(1)), Ok(()));
    assert_eq!(relay.snapshot(at(2), NEXT, Epoch(2), &head(2)), Err(Refusal::OlderEpoch));
    assert_eq!(relay.event(at(2), NEXT, Epoch(2), 1), Err(Refusal::OlderEpoch));
    assert_eq!(relay.attached(at(2), NEXT, Epoch(2), 0, false, false), Err(Refusal::OlderEpoch));
    // The same epoch has one owner.
    assert_eq!(relay.snapshot(at(2), NEXT, Epoch(3), &head(2)), Err(Refusal::NotTheOwner));
    assert_eq!(relay.owner(), Some(OWNER));
}

#[test]
fn a_higher_epoch_is_the_new_owner_and_gets_the_inputs_again() {
    let mut relay = attached();
    relay.seat(Side::Left, 1);
    assert_eq!(relay.input(Side::Left, 1, Dir::Up, false), Some(Kept::New));
    let mut out = Vec::new();
    relay.send(&mut out);
    relay.snapshot(at(1), OWNER, Epoch(3), &head(50)).unwrap();
    // The new owner goes on from a checkpoint, so its ticks may begin earlier.
    assert_eq!(relay.snapshot(at(2), NEXT, Epoch(4), &head(45)), Ok(()));
    assert_eq!((relay.owner(), relay.epoch()), (Some(NEXT), Epoch(4)));
    assert!(relay.has_unsent());
    out.clear();
    relay.send(&mut out);
    assert_eq!(out.len(), 1);
    assert_eq!(relay.snapshot(at(3), OWNER, Epoch(3), &head(51)), Err(Refusal::OlderEpoch));
}

#[test]
fn only_newer_snapshots_count() {
    let mut relay = attached();
    relay.snapshot(at(1), OWNER, Epoch(3), &head(10)).unwrap();
    assert_eq!(relay.snapshot(at(2), OWNER, Epoch(3), &head(10)), Err(Refusal::OlderTick));
    assert_eq!(relay.snapshot(at(2), OWNER, Epoch(3), &head(9)), Err(Refusal::OlderTick));
    relay.snapshot(at(3), OWNER, Epoch(3), &head(13)).unwrap();
}

#[test]
fn after_a_quarter_of_a_second_of_silence_nothing_counts_until_it_is_attached_again() {
    let mut relay = attached();
    relay.snapshot(at(10), OWNER, Epoch(3), &head(1)).unwrap();
    assert_eq!(relay.timeout(at(259)), None);
    // Too late, whether or not the clock was looked at.
    assert_eq!(relay.snapshot(at(260), OWNER, Epoch(3), &head(2)), Err(Refusal::Detached));
    assert_eq!(relay.timeout(at(260)), Some(Attach));
    assert_eq!(relay.snapshot(at(261), OWNER, Epoch(3), &head(3)), Err(Refusal::Detached));
    // Asked again and again while nobody answers.
    assert_eq!(relay.timeout(at(509)), None);
    assert_eq!(relay.timeout(at(510)), Some(Attach));
    relay.attached(at(600), OWNER, Epoch(3), 0, false, false).unwrap();
    relay.snapshot(at(601), OWNER, Epoch(3), &head(4)).unwrap();
}

#[test]
fn a_higher_epoch_seen_in_silence_is_remembered() {
    let mut relay = attached();
    assert_eq!(relay.timeout(at(250)), Some(Attach));
    assert_eq!(relay.snapshot(at(300), NEXT, Epoch(4), &head(5)), Err(Refusal::Detached));
    assert_eq!(relay.attached(at(310), OWNER, Epoch(3), 0, false, false), Err(Refusal::OlderEpoch));
    relay.attached(at(320), NEXT, Epoch(4), 0, false, false).unwrap();
}

#[test]
fn events_are_passed_on_once_each_and_a_missing_one_attaches_again() {
    let mut relay = attached();
    relay.event(at(1), OWNER, Epoch(3), 1).unwrap();
    relay.event(at(2), OWNER, Epoch(3), 2).unwrap();
    assert_eq!(relay.event(at(3), OWNER, Epoch(3), 2), Err(Refusal::Repeated));
    assert_eq!(relay.event(at(4), OWNER, Epoch(3), 5), Err(Refusal::Gap));
    assert_eq!(relay.event(at(5), OWNER, Epoch(3), 3), Err(Refusal::Detached));
    // The picture holds what was missed.
    relay.attached(at(6), OWNER, Epoch(3), 5, false, false).unwrap();
    assert_eq!(relay.event(at(7), OWNER, Epoch(3), 5), Err(Refusal::Repeated));
    relay.event(at(8), OWNER, Epoch(3), 6).unwrap();
}

#[test]
fn a_finished_match_may_be_silent() {
    let mut relay = attached();
    relay.finished();
    assert_eq!(relay.timeout(at(4_999)), None);
    assert_eq!(relay.timeout(at(5_000)), Some(Attach));
    relay.attached(at(5_010), OWNER, Epoch(3), 0, true, false).unwrap();
    relay.message(at(5_020), OWNER, Epoch(3)).unwrap();
    relay.over();
    assert_eq!(relay.deadline(), None);
    assert_eq!(relay.timeout(at(1_000_000)), None);
}

#[test]
fn inputs_wait_while_there_is_nobody_to_send_to() {
    let mut relay = attached();
    relay.seat(Side::Right, 1);
    relay.timeout(at(250));
    assert_eq!(relay.input(Side::Right, 1, Dir::Down, false), Some(Kept::New));
    assert!(!relay.has_unsent());
    let mut out = Vec::new();
    relay.send(&mut out);
    assert!(out.is_empty());
    // The client is let in again and begins again: what waited is void.
    relay.attached(at(300), OWNER, Epoch(3), 0, false, false).unwrap();
    relay.seat(Side::Right, 2);
    assert!(!relay.has_unsent());
    assert_eq!(relay.input(Side::Left, 1, Dir::Down, false), None, "nobody here has that seat");
    relay.vacate(Side::Right);
    assert_eq!(relay.input(Side::Right, 2, Dir::Down, false), None);
}

proptest! {
    /// However entries of several owners are mixed, delayed and repeated: the epochs that count only rise, within
    /// one of them ticks only rise and one node speaks, and events are passed on once each without a hole.
    #[test]
    fn epochs_ticks_and_events_only_rise(
        steps in prop::collection::vec((0..4u8, 1..3u64, 1..5u32, 1..30u32, 0..120u64), 1..300)
    ) {
        let mut relay = Relay::new(at(0));
        let mut now = at(0);
        let (mut epoch, mut tick, mut owner, mut event) = (0, 0, None, 0);
        for (what, node, of, n, passed_ms) in steps {
            now += Duration::from_millis(passed_ms);
            let from = NodeId::from_bits(node);
            let accepted = match what {
                0 | 1 => relay.snapshot(now, from, Epoch(of), &head(n)).is_ok(),
                2 => relay.event(now, from, Epoch(of), event + n % 3).is_ok(),
                _ => relay.attached(now, from, Epoch(of), event, false, false).is_ok(),
            };
            if !accepted {
                continue;
            }
            prop_assert!(of >= epoch);
            if of > epoch {
                (epoch, tick, owner) = (of, 0, None);
            }
            match what {
                0 | 1 => {
                    prop_assert!(n > tick);
                    tick = n;
                }
                2 => {
                    prop_assert_eq!(n % 3, 1);
                    event += 1;
                }
                // Whoever answers a join after a silence is the owner then.
                _ => owner = Some(from),
            }
            prop_assert_eq!(*owner.get_or_insert(from), from);
            prop_assert_eq!(relay.owner(), Some(from));
        }
    }
}
