//! A seat's inputs over a link that loses bundles: each is applied once and in order.

use std::time::Duration;

use proptest::prelude::*;
use rally_link::{Kept, SeatInputs};
use rally_protocol::{
    client::v1::{Dir, Side},
    cluster::v1::InputRecord,
    limits::KEPT_INPUTS_MAX,
};
use rally_units::Instant;

/// The owner's rule: in order of `n`, without holes, each once.
#[derive(Default)]
struct Owner {
    applied: u32,
    seqs: Vec<u32>,
    presses: usize,
}

impl Owner {
    fn receive(&mut self, records: &[InputRecord]) {
        for record in records {
            if record.n == self.applied + 1 {
                self.applied = record.n;
                self.seqs.push(record.seq);
                self.presses += usize::from(record.press);
            }
        }
    }
}

fn seat() -> SeatInputs {
    SeatInputs::new(Side::Left, 3)
}

fn sent(seat: &mut SeatInputs) -> Vec<u32> {
    let mut out = Vec::new();
    seat.send(&mut out);
    out.iter().map(|record| record.n).collect()
}

#[test]
fn they_are_sent_once_and_dropped_when_applied() {
    let mut seat = seat();
    seat.push(1, Dir::Up, false);
    seat.push(2, Dir::Stay, true);
    assert_eq!(sent(&mut seat), [1, 2]);
    assert!(sent(&mut seat).is_empty());
    seat.progress(3, 1, 1);
    assert_eq!(seat.len(), 1);
    seat.progress(3, 2, 2);
    assert!(seat.is_empty());
}

#[test]
fn an_owner_that_lacks_what_was_let_go_gets_it_as_the_last_of_it() {
    let mut seat = seat();
    for seq in 1..=40 {
        seat.push(seq, if seq < 30 { Dir::Up } else { Dir::Down }, true);
    }
    sent(&mut seat);
    seat.progress(3, 40, 30);
    // Redis has failed over to a replica that was late, and the owner is lost: the next one begins long before.
    let mut owner = Owner { applied: 12, ..Owner::default() };
    seat.change_owner();
    for _ in 0..20 {
        seat.progress(3, owner.applied, 12);
        let mut out = Vec::new();
        seat.send(&mut out);
        owner.receive(&out);
    }
    assert_eq!(owner.applied, 40);
    assert_eq!((owner.seqs[0], owner.seqs[17], owner.seqs[18]), (30, 30, 31));
    assert_eq!(owner.presses, 10, "what was pressed before is not pressed again");
}

#[test]
fn one_input_at_a_time_is_timed_until_it_is_applied() {
    let at = |ms| Instant::default() + Duration::from_millis(ms);
    let mut seat = seat();
    for n in 1..=3 {
        seat.push(n, Dir::Up, false);
        seat.time(at(n.into()));
    }
    assert_eq!(seat.take_answered(), None);
    // Of another generation: not these.
    seat.progress(2, 3, 3);
    assert_eq!(seat.take_answered(), None);
    seat.progress(3, 2, 0);
    assert_eq!((seat.take_answered(), seat.take_answered()), (Some(at(1)), None));
    // Those that were read meanwhile are not timed; the next one is.
    seat.progress(3, 3, 0);
    assert_eq!(seat.take_answered(), None);
    seat.push(4, Dir::Stay, false);
    seat.time(at(9));
    seat.progress(3, 4, 4);
    assert_eq!(seat.take_answered(), Some(at(9)));
}

#[test]
fn without_progress_they_are_sent_again_after_three_snapshots() {
    let mut seat = seat();
    seat.push(1, Dir::Up, false);
    sent(&mut seat);
    seat.progress(3, 0, 0);
    seat.progress(3, 0, 0);
    // One more is sent meanwhile, which does not put it off.
    seat.push(2, Dir::Up, false);
    assert_eq!(sent(&mut seat), [2]);
    seat.progress(3, 0, 0);
    assert_eq!(sent(&mut seat), [1, 2]);
    // Progress begins the count anew.
    seat.progress(3, 0, 0);
    seat.progress(3, 0, 0);
    seat.progress(3, 1, 1);
    seat.progress(3, 1, 1);
    seat.progress(3, 1, 1);
    assert!(!seat.has_unsent());
    seat.progress(3, 1, 1);
    assert_eq!(sent(&mut seat), [2]);
}

#[test]
fn what_was_never_sent_is_not_waited_for() {
    let mut seat = seat();
    seat.push(1, Dir::Up, false);
    for _ in 0..10 {
        seat.progress(3, 0, 0);
    }
    assert_eq!(sent(&mut seat), [1]);
    seat.progress(3, 0, 0);
    assert!(!seat.has_unsent());
}

#[test]
fn another_generation_says_nothing_of_these() {
    let mut seat = seat();
    seat.push(1, Dir::Up, false);
    sent(&mut seat);
    for _ in 0..10 {
        seat.progress(2, 40, 40);
    }
    assert_eq!((seat.len(), seat.has_unsent()), (1, false));
}

#[test]
fn at_the_bound_the_newest_that_was_not_sent_takes_the_new_one_in() {
    let mut seat = seat();
    for seq in 1..=KEPT_INPUTS_MAX as u32 {
        assert_eq!(seat.push(seq, Dir::Up, false), Kept::New);
    }
    assert_eq!(seat.push(65, Dir::Down, true), Kept::Merged);
    assert_eq!(seat.push(66, Dir::Stay, false), Kept::Merged);
    let mut out = Vec::new();
    seat.send(&mut out);
    let last = out.last().unwrap();
    assert_eq!((out.len(), last.n, last.seq, last.dir, last.press), (KEPT_INPUTS_MAX, 64, 66, Dir::Stay, true));
    // What has been sent may have been applied: its meaning is fixed, even when it is to be sent again.
    assert_eq!(seat.push(67, Dir::Up, false), Kept::Dropped);
    seat.change_owner();
    assert_eq!(seat.push(67, Dir::Up, false), Kept::Dropped);
}

proptest! {
    /// Whatever the link loses, once it holds, everything taken has been applied once and in order.
    #[test]
    fn each_input_is_applied_once(steps in prop::collection::vec((0..4u8, any::<bool>()), 0..400)) {
        let (mut seat, mut owner) = (seat(), Owner::default());
        let (mut seq, mut taken, mut presses) = (0, Vec::new(), 0);
        let mut out = Vec::new();
        for (what, lucky) in steps {
            match what {
                0 | 1 => {
                    seq += 1;
                    match seat.push(seq, Dir::Up, lucky) {
                        Kept::New => taken.push(seq),
                        Kept::Merged => *taken.last_mut().unwrap() = seq,
                        Kept::Dropped => continue,
                    }
                    presses += usize::from(lucky);
                }
                2 => {
                    out.clear();
                    seat.send(&mut out);
                    if lucky {
                        owner.receive(&out);
                    }
                }
                // A snapshot, which may be lost as well.
                _ => if lucky { seat.progress(3, owner.applied, owner.applied) },
            }
            prop_assert!(seat.len() <= KEPT_INPUTS_MAX);
        }
        for _ in 0..8 {
            out.clear();
            seat.send(&mut out);
            owner.receive(&out);
            seat.progress(3, owner.applied, owner.applied);
        }
        prop_assert!(seat.is_empty());
        prop_assert_eq!(&owner.seqs, &taken);
        // Two presses that were merged are one.
        prop_assert!(owner.presses <= presses);
    }
}
