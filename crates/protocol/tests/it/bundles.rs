//! Bundles: what is sealed opens, and nothing else does.

use proptest::prelude::*;
use rally_protocol::{
    client::v1::{Dir, ErrorCode, JoinAs, Level, Mode, Place, Side, Skill},
    cluster::{
        BundleError, BundleHeader, BundleKeys, BundleReader, BundleWriter, Entry, EntryKind, KeyError,
        v1::{Command, Control, InputRecord, MatchSpec, Present, SeatSpec, SnapshotHead},
    },
    limits::{BUNDLE_BYTES_MAX, ENTRY_PAYLOAD_BYTES_MAX},
};
use rally_units::{Epoch, Incarnation, NodeId, Tick};

use crate::{golden::compare, samples};

fn keys(secrets: &[u8]) -> BundleKeys {
    let secrets: Vec<_> = secrets.iter().map(|byte| [*byte; 32]).collect();
    BundleKeys::derive(secrets.iter().map(<[u8; 32]>::as_slice)).unwrap()
}

fn header() -> BundleHeader {
    BundleHeader {
        sender: NodeId::of_name("worker-1"),
        incarnation: Incarnation::from_bits(7),
        receiver: NodeId::of_name("edge-1"),
        receiver_incarnation: Some(Incarnation::from_bits(9)),
        sequence: 42,
        ack: 3,
        seen: 41,
    }
}

fn entry(kind: EntryKind, number: u32, payload: &[u8]) -> Entry<'_> {
    Entry { kind, match_id: samples::match_id(), epoch: Epoch(2), number, payload }
}

fn sealed() -> Vec<u8> {
    let mut writer = BundleWriter::default();
    assert!(writer.push(entry(EntryKind::Snapshot, 0, b"newest wins")));
    assert!(writer.push(entry(EntryKind::Message, 5, b"never lost")));
    writer.seal(header(), &keys(&[1]))
}

#[test]
fn what_is_sealed_opens() {
    let bytes = sealed();
    let reader = BundleReader::open(&bytes, &keys(&[1])).unwrap();
    assert_eq!(reader.header, header());
    let entries: Vec<_> = reader.entries().collect();
    assert_eq!(entries, [entry(EntryKind::Snapshot, 0, b"newest wins"), entry(EntryKind::Message, 5, b"never lost")]);
}

#[test]
fn an_empty_bundle_is_an_acknowledgement() {
    let mut writer = BundleWriter::default();
    let unknown = BundleHeader { receiver_incarnation: None, ..header() };
    let bytes = writer.seal(unknown, &keys(&[1]));
    let reader = BundleReader::open(&bytes, &keys(&[1])).unwrap();
    assert_eq!((reader.header, reader.entries().count()), (unknown, 0));
}

#[test]
fn the_first_key_signs_and_all_verify() {
    let bytes = sealed();
    assert!(BundleReader::open(&bytes, &keys(&[2, 1])).is_ok(), "an older key still verifies");
    assert_eq!(BundleReader::open(&bytes, &keys(&[2, 3])).unwrap_err(), BundleError::Mac);
    let mut writer = BundleWriter::default();
    let rolled = writer.seal(header(), &keys(&[2, 1]));
    assert!(BundleReader::open(&rolled, &keys(&[2])).is_ok(), "the first one signs");
    assert!(BundleReader::open(&rolled, &keys(&[1])).is_err());
}

#[test]
fn keys_are_long_and_there_is_one() {
    assert_eq!(BundleKeys::derive([&[1u8; 31][..]]).unwrap_err(), KeyError::Short(31));
    assert_eq!(BundleKeys::derive([]).unwrap_err(), KeyError::None);
}

#[test]
fn truncated_bundles_are_refused() {
    let bytes = sealed();
    for len in 0..bytes.len() {
        assert!(BundleReader::open(&bytes[..len], &keys(&[1])).is_err(), "{len} bytes");
    }
    assert_eq!(BundleReader::open(&bytes[..10], &keys(&[1])).unwrap_err(), BundleError::Truncated);
}

#[test]
fn another_version_is_refused_before_its_seal_is_judged() {
    let mut bytes = sealed();
    bytes[0] = 2;
    assert_eq!(BundleReader::open(&bytes, &keys(&[1])).unwrap_err(), BundleError::Version);
}

/// Sealed by a node of ours with a bug, or of a later version.
#[test]
fn well_sealed_nonsense_is_malformed() {
    for bad in [entry(EntryKind::Snapshot, 1, b"numbered"), entry(EntryKind::Control, 0, b"not numbered")] {
        let mut writer = BundleWriter::default();
        assert!(writer.push(bad));
        let bytes = writer.seal(header(), &keys(&[1]));
        assert_eq!(BundleReader::open(&bytes, &keys(&[1])).unwrap_err(), BundleError::Malformed);
    }
}

#[test]
fn bounds_hold() {
    let mut writer = BundleWriter::default();
    assert!(!writer.push(entry(EntryKind::Snapshot, 0, &vec![0; ENTRY_PAYLOAD_BYTES_MAX + 1])));
    assert!(writer.is_empty());
    let payload = vec![0; ENTRY_PAYLOAD_BYTES_MAX];
    while writer.has_room(payload.len()) {
        assert!(writer.push(entry(EntryKind::Snapshot, 0, &payload)));
    }
    assert!(!writer.push(entry(EntryKind::Snapshot, 0, &payload)), "has_room and push agree");
    let bytes = writer.seal(header(), &keys(&[1]));
    assert!(bytes.len() <= BUNDLE_BYTES_MAX);
    assert!(BundleReader::open(&bytes, &keys(&[1])).is_ok());
    assert!(writer.is_empty(), "it starts over");
    let larger = vec![1; BUNDLE_BYTES_MAX + 1];
    assert_eq!(BundleReader::open(&larger, &keys(&[1])).unwrap_err(), BundleError::TooLarge);
}

#[test]
fn bytes_stay_as_they_were_released() {
    let hex: String = sealed().iter().map(|byte| format!("{byte:02x}")).collect();
    compare("tests/golden/bundle_v1.hex", &format!("{hex}\n"));
}

fn controls() -> Vec<Control> {
    let session = samples::session();
    let user = SeatSpec::User { id: samples::user_id(), name: "ada".into(), guest: true, skill: Skill::Dash };
    let mut spec = MatchSpec {
        id: samples::match_id(),
        mode: Mode::Practice,
        classic: false,
        private: true,
        seats: [user, SeatSpec::Bot { level: Level::Hard }],
    };
    let with_bot = spec.clone();
    spec.seats[1] = SeatSpec::Open;
    let mut joined = None;
    let mut found = None;
    for message in samples::from_server() {
        match message {
            rally_protocol::client::v1::ServerMessage::MatchJoined(message) => joined = Some(message),
            rally_protocol::client::v1::ServerMessage::MatchFound(message) => found = Some(message),
            _ => {}
        }
    }
    let (code, detail) = (ErrorCode::AtCapacity, "full".to_owned());
    vec![
        Control::Create { request: 1, spec: Box::new(spec) },
        Control::Create { request: 2, spec: Box::new(with_bot) },
        Control::Created { request: 1 },
        Control::Refused { request: 1, code, detail: detail.clone() },
        Control::Join {
            request: 1,
            session,
            user: samples::user_id(),
            name: "ada".into(),
            join_as: JoinAs::Player,
            skill: Skill::Smash,
        },
        Control::Joined { request: 1, generation: 4, picture: Box::new(joined.unwrap()) },
        Control::Leave { session },
        Control::Command { session, command: Command::Pause },
        Control::CommandRefused { session, command: Command::Pause, code, detail },
        Control::SeatTaken { session, side: Side::Right },
        Control::Show { request: 1, of: samples::match_id(), user: samples::user_id(), from: Some(Tick(60)) },
        Control::Command { session, command: Command::Replay { tick: Some(Tick(60)), speed_percent: Some(200) } },
        Control::NotHere,
        Control::Gone,
        Control::Found { session, message: Box::new(found.unwrap()) },
        Control::Requeued { session, mode: Mode::Casual },
        Control::Attach {
            request: 1,
            last_event: 7,
            present: vec![Present { session, user: samples::user_id(), place: Place::Left, generation: 2 }],
        },
        Control::Attached { request: 1, last_event: 9, missed: vec![vec![1, 2, 255], vec![]] },
        Control::Here,
        Control::Offer,
        Control::Journal { bytes: vec![0, 255] },
        Control::Took,
        Control::Declined,
        Control::Landed,
        Control::Forwarded {
            edge: NodeId::of_name("edge"),
            incarnation: Incarnation::from_bits(u64::MAX),
            control: Box::new(Control::Leave { session }),
        },
    ]
}

#[test]
fn every_control_comes_back() {
    for control in controls() {
        let bytes = control.to_bytes();
        assert!(!bytes.is_empty(), "{control:?}");
        assert_eq!(Control::from_bytes(&bytes).unwrap(), control);
    }
}

#[test]
fn heads_and_inputs_come_back() {
    let head = SnapshotHead { tick: Tick(70_000), generation: [1, 65_535], applied: [2, u32::MAX], durable: [1, 7] };
    let mut payload = head.to_bytes().to_vec();
    payload.extend_from_slice(b"message");
    assert_eq!(SnapshotHead::split(&payload).unwrap(), (head, &b"message"[..]));
    assert_eq!(SnapshotHead::split(&payload[..23]), None);

    let records: Vec<_> = [Dir::Up, Dir::Stay, Dir::Down]
        .into_iter()
        .zip(1..)
        .map(|(dir, n)| InputRecord { side: Side::Right, generation: 3, n, seq: n + 9, dir, press: n == 2 })
        .collect();
    let mut payload: Vec<u8> = records.iter().flat_map(|record| record.to_bytes()).collect();
    assert_eq!(InputRecord::read_all(&payload).unwrap().collect::<Vec<_>>(), records);
    payload[0] |= 0x10;
    assert!(InputRecord::read_all(&payload).is_none(), "a bit without meaning");
    payload[0] = 0x0c;
    assert!(InputRecord::read_all(&payload).is_none(), "a direction that is none");
    payload.pop();
    assert!(InputRecord::read_all(&payload).is_none(), "half a record");
}

proptest! {
    #[test]
    fn a_changed_bit_is_noticed(at in 0..200usize, bit in 0..8u8) {
        let mut bytes = sealed();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        prop_assert!(BundleReader::open(&bytes, &keys(&[1])).is_err());
    }
}
