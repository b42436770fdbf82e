//! What a client reads from an edge, and an edge from a worker, as msgpack.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rally_protocol::client::{Encoding, codec::Messages as _, v1::ServerMessage};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = ServerMessage::decode(Encoding::Msgpack, bytes) {
        // What can be read can be written, in both encodings, and comes back.
        for encoding in [Encoding::Json, Encoding::Msgpack] {
            let written = message.encode(encoding).expect("a message that was read");
            assert_eq!(ServerMessage::decode(encoding, &written).expect("a message that was written"), message);
        }
    }
});
