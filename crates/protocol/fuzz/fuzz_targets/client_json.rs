//! What an edge reads from a client, as JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rally_protocol::client::{Encoding, codec::Messages as _, v1::ClientMessage};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = ClientMessage::decode(Encoding::Json, bytes) {
        // What can be read can be written, in both encodings, and comes back.
        for encoding in [Encoding::Json, Encoding::Msgpack] {
            let written = message.encode(encoding).expect("a message that was read");
            assert_eq!(ClientMessage::decode(encoding, &written).expect("a message that was written"), message);
        }
    }
});
