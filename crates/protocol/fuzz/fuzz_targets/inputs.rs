//! What a worker reads from an inputs entry, and an edge from a snapshot's head.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rally_protocol::cluster::v1::{InputRecord, SnapshotHead};

fuzz_target!(|bytes: &[u8]| {
    if let Some(records) = InputRecord::read_all(bytes) {
        let written: Vec<u8> = records.flat_map(InputRecord::to_bytes).collect();
        assert_eq!(written, bytes);
    }
    if let Some((head, message)) = SnapshotHead::split(bytes) {
        assert_eq!([&head.to_bytes()[..], message].concat(), bytes);
    }
});
