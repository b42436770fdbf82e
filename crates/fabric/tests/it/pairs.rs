//! Two nodes and what they owe each other, one rule at a time.

use bytes::Bytes;
use rally_fabric::{Pairs, ReceiveError, Received, SendError};
use rally_protocol::{
    cluster::{
        BundleError, BundleKeys, BundleReader, EntryKind,
        v1::{Control, InputRecord},
    },
    limits::{BUNDLE_BYTES_MAX, ENTRY_PAYLOAD_BYTES_MAX, UNACKED_ENTRIES_MAX},
};
use rally_units::{Epoch, Incarnation, Instant, MatchId, NodeId};

const EPOCH: Epoch = Epoch(7);
const MATCH: MatchId = MatchId::from_bytes([9; 16]);

pub(crate) fn keys() -> BundleKeys {
    BundleKeys::derive([b"a secret of at least thirty-two bytes".as_slice()]).expect("long enough")
}

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

/// A node, its sent bundles, and what it was handed.
struct Node {
    id: NodeId,
    pairs: Pairs,
    got: Vec<String>,
}

fn node(name: &str, life: u64) -> Node {
    let id = NodeId::of_name(name);
    Node { id, pairs: Pairs::new(id, Incarnation::from_bits(life), keys()), got: Vec::new() }
}

impl Node {
    fn say(&mut self, to: &Node, text: &str) -> Result<(), SendError> {
        self.pairs.message(to.id, MATCH, EPOCH, Bytes::copy_from_slice(text.as_bytes()))
    }

    fn flush(&mut self, ms: u64) -> Vec<Bytes> {
        let mut out = Vec::new();
        self.pairs.flush(at(ms), |_, bundle| out.push(bundle));
        out
    }

    fn receive(&mut self, ms: u64, bundle: &[u8]) -> Result<(), ReceiveError> {
        let got = &mut self.got;
        self.pairs.receive(at(ms), bundle, |event| match event {
            Received::Entry { entry, .. } => {
                assert_eq!((entry.match_id, entry.epoch), (MATCH, EPOCH));
                got.push(String::from_utf8_lossy(entry.payload).into_owned());
            }
            Received::PeerRestarted { incarnation, .. } => got.push(format!("restarted as {incarnation}")),
        })
    }

    fn receive_all(&mut self, ms: u64, bundles: &[Bytes]) {
        for bundle in bundles {
            self.receive(ms, bundle).expect("accepted");
        }
    }
}

/// Two nodes that know each other, nothing in flight.
fn acquainted() -> (Node, Node) {
    let (mut a, mut b) = (node("a", 1), node("b", 2));
    a.pairs.meet(b.id, Incarnation::from_bits(2));
    b.receive_all(0, &a.flush(0));
    a.receive_all(0, &b.flush(0));
    b.receive_all(0, &a.flush(0));
    a.say(&b, "hello").expect("room");
    b.receive_all(0, &a.flush(0));
    b.say(&a, "hello").expect("room");
    a.receive_all(0, &b.flush(0));
    b.receive_all(20, &a.flush(20));
    assert!(a.flush(20).is_empty() && b.flush(20).is_empty());
    assert_eq!((a.pairs.next_deadline(), b.pairs.next_deadline()), (None, None));
    a.got.clear();
    b.got.clear();
    a.pairs.take_stats();
    b.pairs.take_stats();
    (a, b)
}

#[test]
fn entries_of_a_flush_share_one_bundle() {
    let (mut a, mut b) = acquainted();
    for i in 0..100 {
        a.pairs.snapshot(b.id, MATCH, EPOCH, |buf| buf.extend_from_slice(format!("snapshot {i}").as_bytes()));
    }
    a.say(&b, "event").expect("room");
    assert!(a.pairs.has_entries());
    let sent = a.flush(100);
    assert_eq!(sent.len(), 1);
    assert!(!a.pairs.has_entries() && a.flush(100).is_empty());
    b.receive_all(100, &sent);
    assert_eq!(b.got.len(), 101);
    assert_eq!((b.got[99].as_str(), b.got[100].as_str()), ("snapshot 99", "event"));
}

#[test]
fn controls_and_inputs_keep_their_kind() {
    let (mut a, mut b) = acquainted();
    let input = InputRecord::from_bytes(&[0b0100, 1, 0, 2, 0, 0, 0, 3, 0, 0, 0]).expect("valid");
    a.pairs.inputs(b.id, MATCH, EPOCH, &[input, input]);
    a.pairs.inputs(b.id, MATCH, EPOCH, &[]);
    a.pairs.control(b.id, MATCH, EPOCH, &Control::NotHere).expect("room");
    let sent = a.flush(100);
    let mut seen = Vec::new();
    b.pairs
        .receive(at(100), &sent[0], |event| {
            let Received::Entry { entry, from, from_incarnation } = event else { panic!("{event:?}") };
            assert_eq!((from, from_incarnation), (a.id, Incarnation::from_bits(1)));
            match entry.kind {
                EntryKind::Inputs => {
                    let records: Vec<_> = InputRecord::read_all(entry.payload).expect("valid").collect();
                    assert_eq!(records, [input, input]);
                }
                EntryKind::Control => assert_eq!(Control::from_bytes(entry.payload).expect("valid"), Control::NotHere),
                _ => panic!("{entry:?}"),
            }
            seen.push(entry.kind);
        })
        .expect("accepted");
    assert_eq!(seen, [EntryKind::Inputs, EntryKind::Control]);
}

#[test]
fn an_acknowledgement_goes_out_after_20_ms() {
    let (mut a, mut b) = acquainted();
    a.say(&b, "x").expect("room");
    b.receive_all(100, &a.flush(100));
    assert_eq!(b.pairs.next_deadline(), Some(at(120)));
    assert!(b.flush(119).is_empty());
    let ack = b.flush(120);
    assert_eq!(ack.len(), 1);
    assert_eq!(a.pairs.next_deadline(), Some(at(200)), "a waits to repeat");
    a.receive_all(121, &ack);
    assert_eq!(a.pairs.next_deadline(), None, "nothing is left to repeat");
    assert!(b.flush(500).is_empty(), "an acknowledgement is not acknowledged");
}

#[test]
fn a_lost_entry_is_repeated_after_100_ms_and_comes_once() {
    let (mut a, mut b) = acquainted();
    a.say(&b, "one").expect("room");
    let _lost = a.flush(100);
    a.say(&b, "two").expect("room");
    b.receive_all(150, &a.flush(150));
    assert!(b.got.is_empty(), "not before its turn");
    assert!(a.flush(199).is_empty());
    let repeat = a.flush(200);
    b.receive_all(200, &repeat);
    assert_eq!(b.got, ["one", "two"]);
    let stats = b.pairs.take_stats();
    assert_eq!((stats.numbered_gaps, stats.numbered_repeated), (1, 0));
    // The acknowledgement is lost: a repeats, b hands out nothing new and acknowledges again.
    let _lost = b.flush(220);
    let again = a.flush(400);
    b.receive_all(400, &again);
    assert_eq!(b.got.len(), 2);
    a.receive_all(420, &b.flush(420));
    assert_eq!(a.pairs.next_deadline(), None);
}

#[test]
fn keep_alives_go_to_active_peers_only() {
    let (mut a, mut b) = acquainted();
    assert!(a.flush(10_000).is_empty());
    a.pairs.set_active(b.id, true);
    assert_eq!(a.flush(10_000).len(), 1);
    assert!(a.flush(10_249).is_empty());
    assert_eq!(a.pairs.next_deadline(), Some(at(10_250)));
    b.receive_all(10_250, &a.flush(10_250));
    assert_eq!(b.pairs.last_heard(a.id), Some(at(10_250)));
    a.pairs.set_active(b.id, false);
    assert_eq!(a.pairs.next_deadline(), None);
}

#[test]
fn strangers_are_introduced_before_anything_counts() {
    let (mut a, mut b) = (node("a", 1), node("b", 2));
    a.say(&b, "hello").expect("room");
    a.pairs.snapshot(b.id, MATCH, EPOCH, |buf| buf.push(0));
    let question = a.flush(0);
    assert_eq!(question.len(), 1);
    assert_eq!(b.receive(0, &question[0]), Err(ReceiveError::OtherLife));
    assert_eq!(a.pairs.take_stats().lossy_dropped, 1, "nobody could have taken it");
    let answer = b.flush(1);
    a.receive_all(1, &answer);
    assert_eq!(a.pairs.incarnation(b.id), Some(Incarnation::from_bits(2)));
    b.receive_all(2, &a.flush(2));
    assert_eq!(b.got, ["hello"]);
}

#[test]
fn the_registry_spares_the_wait() {
    let (mut a, mut b) = (node("a", 1), node("b", 2));
    a.pairs.meet(b.id, Incarnation::from_bits(2));
    assert_eq!(a.pairs.next_deadline(), Some(Instant::default()), "at once");
    b.receive_all(0, &a.flush(0));
    a.receive_all(0, &b.flush(0));
    a.say(&b, "hello").expect("room");
    b.receive_all(1, &a.flush(1));
    assert_eq!(b.got, ["hello"]);
    // The pair is silent once both know.
    b.say(&a, "hello").expect("room");
    a.receive_all(21, &b.flush(21));
    b.receive_all(41, &a.flush(41));
    a.receive_all(61, &b.flush(61));
    assert!(a.flush(1_000).is_empty() && b.flush(1_000).is_empty());
}

#[test]
fn an_unanswered_question_is_asked_again() {
    let (mut a, b) = (node("a", 1), node("b", 2));
    a.say(&b, "hello").expect("room");
    assert_eq!(a.flush(0).len(), 1);
    assert!(!a.pairs.has_entries() && a.flush(99).is_empty());
    assert_eq!(a.pairs.next_deadline(), Some(at(100)));
    assert_eq!(a.flush(100).len(), 1);
}

#[test]
fn a_restart_of_the_receiver_is_told_and_starts_over() {
    let (mut a, mut b) = acquainted();
    a.say(&b, "for the old life").expect("room");
    let to_old = a.flush(100);
    let mut b2 = node("b", 3);
    assert_eq!(b2.receive(100, &to_old[0]), Err(ReceiveError::OtherLife));
    assert_eq!(a.receive(101, &b2.flush(101)[0]), Err(ReceiveError::UnprovenLife), "it may be late words");
    assert_eq!(a.say(&b, "still for the old life"), Ok(()));
    for bundle in a.flush(102) {
        let _ = b2.receive(102, &bundle);
    }
    a.receive_all(121, &b2.flush(121));
    assert_eq!(a.got, [format!("restarted as {}", Incarnation::from_bits(3))]);
    assert_eq!(a.pairs.take_stats().numbered_dropped, 2);
    a.say(&b, "for the new life").expect("room");
    b2.receive_all(123, &a.flush(123));
    assert_eq!(b2.got, ["for the new life"]);
    // What the old life had still on its way is refused.
    b.say(&a, "from the grave").expect("room");
    let late = b.flush(103);
    assert_eq!(a.receive(103, &late[0]), Err(ReceiveError::EndedLife));
    assert_eq!(a.pairs.take_stats().refused.of(ReceiveError::EndedLife), 1);
}

#[test]
fn what_is_pushed_after_a_hint_of_a_new_life_is_kept_for_it() {
    let (mut a, b) = acquainted();
    a.say(&b, "for the old life").expect("room");
    a.flush(100);
    a.pairs.meet(b.id, Incarnation::from_bits(3));
    a.say(&b, "for the new life").expect("room");
    let mut b2 = node("b", 3);
    for bundle in a.flush(101) {
        let _ = b2.receive(101, &bundle);
    }
    a.receive_all(102, &b2.flush(102));
    b2.receive_all(103, &a.flush(103));
    assert_eq!(b2.got, ["for the new life"]);
}

#[test]
fn a_stale_hint_changes_nothing() {
    let (mut a, mut b) = acquainted();
    a.pairs.meet(b.id, Incarnation::from_bits(1_000));
    a.say(&b, "x").expect("room");
    for bundle in a.flush(100) {
        let _ = b.receive(100, &bundle);
    }
    assert_eq!(b.got, ["x"]);
    assert_eq!(a.pairs.incarnation(b.id), Some(Incarnation::from_bits(2)));
}

#[test]
fn forged_truncated_repeated_and_misdirected_bundles_are_refused_and_counted() {
    let (mut a, mut b) = acquainted();
    let mut c = node("c", 5);
    a.say(&b, "x").expect("room");
    let bundle = a.flush(100).remove(0);

    for length in 0..bundle.len() {
        let refused = b.receive(100, &bundle[..length]).expect_err("cut short");
        assert!(matches!(refused, ReceiveError::Bundle(BundleError::Truncated | BundleError::Mac)), "{refused}");
    }
    for i in 0..bundle.len() {
        let mut forged = bundle.to_vec();
        forged[i] ^= 1;
        let refused = b.receive(100, &forged).expect_err("one bit is wrong");
        assert!(matches!(refused, ReceiveError::Bundle(BundleError::Version | BundleError::Mac)), "{refused}");
    }
    assert_eq!(c.receive(100, &bundle), Err(ReceiveError::OtherNode));
    assert!(b.got.is_empty());

    b.receive(100, &bundle).expect("whole");
    assert_eq!(b.receive(100, &bundle), Err(ReceiveError::Repeated));
    assert_eq!(b.got, ["x"]);
    let stats = b.pairs.take_stats();
    assert_eq!(stats.refused.of(ReceiveError::Bundle(BundleError::Mac)) as usize, 2 * bundle.len() - 72);
    assert_eq!(stats.refused.of(ReceiveError::Bundle(BundleError::Truncated)), 71);
    assert_eq!(stats.refused.of(ReceiveError::Bundle(BundleError::Version)), 1);
    assert_eq!(stats.refused.of(ReceiveError::Repeated), 1);
}

#[test]
fn an_overtaken_bundle_is_refused_and_its_numbered_entries_come_again() {
    let (mut a, mut b) = acquainted();
    a.say(&b, "one").expect("room");
    let first = a.flush(100);
    a.say(&b, "two").expect("room");
    let second = a.flush(101);
    b.receive_all(102, &second);
    assert_eq!(b.receive(102, &first[0]), Err(ReceiveError::Repeated));
    b.receive_all(200, &a.flush(200));
    assert_eq!(b.got, ["one", "two"]);
}

#[test]
fn a_bundle_of_another_key_is_refused_until_it_is_rolled_in() {
    let old = b"the key before the present one, 32+".as_slice();
    let new = b"the present key, thirty-two bytes +".as_slice();
    let life = Incarnation::from_bits(1);
    let (a, b) = (NodeId::of_name("a"), NodeId::of_name("b"));
    let derive = |secrets: &[&'static [u8]]| BundleKeys::derive(secrets.iter().copied()).expect("long enough");
    let mut sender = Pairs::new(a, life, derive(&[old]));
    sender.set_active(b, true);
    let mut bundle = Bytes::new();
    sender.flush(at(0), |_, sealed| bundle = sealed);
    let judge = |keys| Pairs::new(b, life, keys).receive(at(0), &bundle, |_| ());
    assert_eq!(judge(derive(&[new])), Err(ReceiveError::Bundle(BundleError::Mac)));
    assert_eq!(judge(derive(&[new, old])), Err(ReceiveError::OtherLife), "past its seal");
}

#[test]
fn the_window_is_bounded_and_opens_again() {
    let (mut a, mut b) = acquainted();
    for i in 0..UNACKED_ENTRIES_MAX {
        a.say(&b, &i.to_string()).expect("room");
    }
    assert_eq!(a.say(&b, "one too many"), Err(SendError::WindowFull));
    assert_eq!(a.pairs.take_stats().numbered_refused, 1);
    b.receive_all(100, &a.flush(100));
    assert_eq!(b.got.len(), UNACKED_ENTRIES_MAX);
    a.receive_all(120, &b.flush(120));
    a.say(&b, "room again").expect("room");
}

#[test]
fn what_does_not_fit_one_bundle_goes_into_more() {
    let (mut a, mut b) = acquainted();
    for i in 0..40u8 {
        let payload = Bytes::from(vec![b'a' + i % 26; 40_000]);
        a.pairs.message(b.id, MATCH, EPOCH, payload).expect("room");
    }
    let sent = a.flush(100);
    assert!(sent.len() > 1 && sent.iter().all(|bundle| bundle.len() <= BUNDLE_BYTES_MAX));
    b.receive_all(100, &sent);
    assert_eq!(b.got.len(), 40);
    assert!(b.got.iter().zip(0u8..).all(|(text, i)| text.as_bytes()[0] == b'a' + i % 26));
}

#[test]
fn lossy_entries_beyond_eight_bundles_are_dropped_and_counted() {
    let (mut a, b) = acquainted();
    let mut pushed = 0;
    while a.pairs.take_stats().lossy_dropped == 0 {
        a.pairs.snapshot(b.id, MATCH, EPOCH, |buf| buf.resize(buf.len() + 40_000, 1));
        pushed += 1;
        assert!(pushed < 1_000);
    }
    assert_eq!(a.flush(100).len(), 8);
    a.pairs.snapshot(b.id, MATCH, EPOCH, |buf| buf.resize(buf.len() + ENTRY_PAYLOAD_BYTES_MAX + 1, 1));
    assert_eq!(a.pairs.take_stats().lossy_dropped, 1, "larger than an entry may be");
    a.pairs.snapshot(b.id, MATCH, EPOCH, |buf| buf.push(1));
    assert_eq!(a.flush(116).len(), 1, "and the next flush is as always");
}

#[test]
fn a_forgotten_peer_costs_nothing_and_may_come_back() {
    let (mut a, mut b) = acquainted();
    a.pairs.set_active(b.id, true);
    a.say(&b, "one").expect("room");
    a.say(&b, "two").expect("room");
    let _lost = a.flush(100);
    a.pairs.forget(b.id);
    assert_eq!(a.pairs.take_stats().numbered_dropped, 2);
    assert_eq!((a.pairs.next_deadline(), a.pairs.has_entries()), (None, false));
    assert!(a.flush(60_000).is_empty());
    // It had only been cut off: the pair goes on, without the two and without a hole.
    b.say(&a, "still here").expect("room");
    a.receive_all(60_000, &b.flush(60_000));
    a.say(&b, "three").expect("room");
    b.receive_all(60_001, &a.flush(60_001));
    assert_eq!(b.got, ["three"]);
}

#[test]
fn peers_are_bounded_and_the_forgotten_make_room() {
    let mut a = node("a", 1);
    let peer = |i: u64| NodeId::from_bits(i + 1);
    for i in 0..1_024 {
        a.pairs.message(peer(i), MATCH, EPOCH, Bytes::from_static(b"x")).expect("room");
    }
    let one_more = |a: &mut Node| a.pairs.message(peer(1_024), MATCH, EPOCH, Bytes::from_static(b"x"));
    assert_eq!(one_more(&mut a), Err(SendError::TooManyPeers));
    a.pairs.forget(peer(3));
    assert_eq!(one_more(&mut a), Ok(()));
}

#[test]
fn late_words_of_a_middle_life_do_not_unseat_the_living() {
    let (mut a, b) = acquainted();
    // A life of b that a never hears of in time; it knows a's life, though.
    let mut middle = node("b", 3);
    middle.pairs.meet(a.id, Incarnation::from_bits(1));
    let late = middle.flush(100);
    let mut b = Node { pairs: node("b", 4).pairs, ..b };
    b.pairs.meet(a.id, Incarnation::from_bits(1));
    for ms in [101, 122, 143] {
        for bundle in b.flush(ms) {
            let _ = a.receive(ms, &bundle);
        }
        for bundle in a.flush(ms) {
            let _ = b.receive(ms, &bundle);
        }
    }
    assert_eq!(a.pairs.incarnation(b.id), Some(Incarnation::from_bits(4)));
    assert_eq!(a.receive(200, &late[0]), Err(ReceiveError::UnprovenLife));
    b.say(&a, "alive").expect("room");
    a.receive_all(201, &b.flush(201));
    assert_eq!(a.got.last().map(String::as_str), Some("alive"));
}

#[test]
fn introductions_are_rated() {
    let (mut a, mut b) = acquainted();
    // Somebody replays what a's earlier life sealed for nobody in particular.
    let mut a_before = node("a", 77);
    a_before.say(&b, "x").expect("room");
    let old = a_before.flush(0).remove(0);
    let mut answers = 0;
    for ms in 1_000..1_100 {
        assert_eq!(b.receive(ms, &old), Err(ReceiveError::OtherLife));
        answers += b.flush(ms).len();
    }
    assert!((1..=5).contains(&answers), "{answers} answers in 100 ms");
    // And the pair of the living is not disturbed.
    a.say(&b, "alive").expect("room");
    b.receive_all(1_100, &a.flush(1_100));
    assert_eq!(b.got, ["alive"]);
}

#[test]
fn a_sealed_bundle_says_what_its_reader_needs() {
    let (mut a, b) = acquainted();
    a.say(&b, "x").expect("room");
    let bundle = a.flush(100).remove(0);
    let header = BundleReader::open(&bundle, &keys()).expect("ours").header;
    assert_eq!((header.sender, header.receiver), (a.id, b.id));
    assert_eq!(header.receiver_incarnation, Some(Incarnation::from_bits(2)));
    assert_eq!(header.ack, 1, "the hello of the other");
}

#[test]
fn who_has_lost_our_introduction_is_introduced_again() {
    let (mut a, _) = acquainted();
    let mut b = node("b", 3);
    b.pairs.meet(a.id, Incarnation::from_bits(1));
    b.say(&a, "hello").expect("room");
    for bundle in b.flush(100) {
        assert_eq!(a.receive(100, &bundle), Err(ReceiveError::UnprovenLife));
    }
    let _lost = a.flush(120);
    // What is meant for its life before proves that it lives now.
    a.pairs.snapshot(b.id, MATCH, EPOCH, |buf| buf.push(b'?'));
    for bundle in a.flush(140) {
        assert_eq!(b.receive(140, &bundle), Err(ReceiveError::OtherLife));
    }
    a.receive_all(160, &b.flush(160));
    assert_eq!(a.got.pop().as_deref(), Some("restarted as 0000000000000003"));
    let _lost = a.flush(180);
    let mut ms = 300;
    while !a.got.iter().any(|got| got == "hello") {
        assert!(ms < 1_000, "they never meet: {:?}", a.got);
        for bundle in b.flush(ms) {
            let _ = a.receive(ms, &bundle);
        }
        for bundle in a.flush(ms) {
            let _ = b.receive(ms, &bundle);
        }
        ms += 20;
    }
}
