//! What a node reads from its mailbox. The seal is made here, or nothing would come past it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rally_protocol::cluster::{BundleKeys, BundleReader};

fuzz_target!(|bytes: &[u8]| {
    let secret = [7; 32];
    let keys = BundleKeys::derive([&secret[..]]).expect("one key of 32 bytes");
    assert!(BundleReader::open(bytes, &keys).is_err(), "nobody guesses a seal");
    if let Ok(bundle) = BundleReader::open(&keys.seal_raw(bytes), &keys) {
        for entry in bundle.entries() {
            assert!(entry.payload.len() <= bytes.len());
        }
    }
});
