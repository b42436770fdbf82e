//! What a slow reader gets: every message once and in order, of snapshots the newest.

use std::io::IoSlice;

use bytes::Bytes;
use proptest::prelude::*;
use rally_link::{
    Backlog, Overflow,
    limits::{BACKLOG_BYTES_MAX, BACKLOG_MESSAGES_MAX},
};
use rally_units::MatchId;

fn id(n: u8) -> MatchId {
    MatchId::from_bytes([n; 16])
}

/// Takes up to `budget` bytes out, as a socket would.
fn take(backlog: &mut Backlog, budget: usize) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 4];
    let filled = backlog.slices(&mut slices);
    let mut taken: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect();
    taken.truncate(budget);
    backlog.advance(taken.len());
    taken
}

#[test]
fn a_newer_snapshot_takes_the_place_of_the_older() {
    let mut backlog = Backlog::default();
    assert!(!backlog.push_snapshot(id(1), Bytes::from_static(b"a1")));
    assert!(!backlog.push_snapshot(id(2), Bytes::from_static(b"b1")));
    assert!(backlog.push_snapshot(id(1), Bytes::from_static(b"a2")));
    backlog.push_message(Bytes::from_static(b"goal ")).unwrap();
    assert_eq!(take(&mut backlog, 100), b"goal a2b1");
    assert!(backlog.is_empty());
}

#[test]
fn a_frame_begun_is_finished_first() {
    let mut backlog = Backlog::default();
    backlog.push_snapshot(id(1), Bytes::from_static(b"old-old"));
    assert_eq!(take(&mut backlog, 3), b"old");
    // The snapshot that is half out can no longer be replaced; the one behind it can.
    assert!(!backlog.push_snapshot(id(1), Bytes::from_static(b"new1")));
    assert!(backlog.push_snapshot(id(1), Bytes::from_static(b"new2")));
    backlog.push_message(Bytes::from_static(b"!")).unwrap();
    assert_eq!(take(&mut backlog, 100), b"-old!new2");
}

#[test]
fn the_count_of_messages_is_bounded() {
    let mut backlog = Backlog::default();
    for _ in 0..BACKLOG_MESSAGES_MAX {
        backlog.push_message(Bytes::from_static(b"x")).unwrap();
    }
    assert_eq!(backlog.push_message(Bytes::from_static(b"x")), Err(Overflow));
    take(&mut backlog, 1);
    backlog.push_message(Bytes::from_static(b"x")).unwrap();
    backlog.drop_waiting();
    assert!(backlog.is_empty());
}

#[test]
fn the_bytes_of_messages_are_bounded() {
    let mut backlog = Backlog::default();
    backlog.push_message(vec![0; BACKLOG_BYTES_MAX - 1].into()).unwrap();
    assert_eq!(backlog.push_message(Bytes::from_static(b"xy")), Err(Overflow));
    backlog.push_message(Bytes::from_static(b"x")).unwrap();
}

proptest! {
    /// The reader's bytes are whole frames: all messages once and in order, and for each match snapshots that only
    /// get newer and end with the newest.
    #[test]
    fn a_slow_reader_loses_only_old_snapshots(
        steps in prop::collection::vec((0..3u8, 0..2u8, 0..9usize), 1..120)
    ) {
        let mut backlog = Backlog::default();
        let mut read = Vec::new();
        let (mut messages, mut newest) = (0u8, [0u8; 2]);
        for (what, which, budget) in steps {
            match what {
                0 if messages < 250 => {
                    messages += 1;
                    backlog.push_message(Bytes::from(vec![b'm', 0, messages])).unwrap();
                }
                1 => {
                    newest[usize::from(which)] += 1;
                    let frame = vec![b's', which, newest[usize::from(which)]];
                    backlog.push_snapshot(id(which), frame.into());
                }
                _ => read.extend(take(&mut backlog, budget)),
            }
        }
        while !backlog.is_empty() {
            read.extend(take(&mut backlog, 5));
        }
        let (frames, rest) = read.as_chunks::<3>();
        prop_assert!(rest.is_empty());
        let said: Vec<u8> = frames.iter().filter(|f| f[0] == b'm').map(|f| f[2]).collect();
        prop_assert_eq!(said, (1..=messages).collect::<Vec<_>>());
        for which in 0..2u8 {
            let seen: Vec<u8> = frames.iter().filter(|f| f[0] == b's' && f[1] == which).map(|f| f[2]).collect();
            prop_assert!(seen.is_sorted_by(|a, b| a < b));
            prop_assert_eq!(seen.last().copied().unwrap_or(0), newest[usize::from(which)]);
        }
    }
}
