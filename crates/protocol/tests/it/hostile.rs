//! Bytes from outside that are not what they should be.

use proptest::prelude::*;
use rally_protocol::{
    client::{
        DecodeError, Encoding,
        codec::Messages,
        v1::{ClientMessage, ServerMessage},
    },
    cluster::v1::{Control, InputRecord, SnapshotHead},
};

use crate::samples;

fn json(text: &str) -> Result<ClientMessage, DecodeError> {
    ClientMessage::decode(Encoding::Json, text.as_bytes())
}

const MATCH: &str = "10111213-1415-1617-1819-1a1b1c1d1e1f";

#[test]
fn an_unknown_type_says_so() {
    assert!(matches!(json(r#"{"type":"fly"}"#), Err(DecodeError::UnknownType)));
    assert!(matches!(ClientMessage::decode(Encoding::Msgpack, &[0x91, 0x7f]), Err(DecodeError::UnknownType)));
}

#[test]
fn what_is_no_message_is_malformed() {
    for text in ["", "null", "[]", "{}", "{\"type\":1}", "{\"type\":\"ping\",\"t\":1", "\u{0}"] {
        assert!(matches!(json(text), Err(DecodeError::Malformed(_))), "{text:?}: {:?}", json(text));
    }
    for bytes in [&[][..], &[0xc0], &[0x90], &[0x91, 0xa1, b'x'], &[0xdd, 0xff, 0xff, 0xff, 0xff]] {
        let decoded = ClientMessage::decode(Encoding::Msgpack, bytes);
        assert!(matches!(decoded, Err(DecodeError::Malformed(_))), "{bytes:?}: {decoded:?}");
    }
    let not_utf8 = b"{\"type\":\"ping\xff\"}";
    assert!(matches!(ClientMessage::decode(Encoding::Json, not_utf8), Err(DecodeError::Malformed(_))));
}

/// Each names the field, or what was expected in its place.
#[test]
fn a_wrong_field_says_which() {
    let cases = [
        (r#"{"type":"ping"}"#.to_owned(), "missing field `t`"),
        (r#"{"type":"ping","t":-1}"#.to_owned(), "expected u64"),
        (r#"{"type":"ping","t":"now"}"#.to_owned(), "expected u64"),
        (format!(r#"{{"type":"input","match":"{MATCH}","seq":1,"dir":2}}"#), "expected -1, 0 or 1"),
        (format!(r#"{{"type":"input","match":"{MATCH}","seq":4294967296,"dir":0}}"#), "expected u32"),
        (format!(r#"{{"type":"input","match":"{MATCH}","seq":1,"dir":0,"side":"top"}}"#), "expected `left` or `right`"),
        (r#"{"type":"input","match":"me","seq":1,"dir":0}"#.to_owned(), "UUID"),
        (r#"{"type":"queue_join","mode":"chess"}"#.to_owned(), "unknown variant `chess`"),
        (r#"{"type":"hello","token":""}"#.to_owned(), "expected 1 to 2048 characters, got 0"),
        (r#"{"type":"chat_send","channel":"global","text":"a\u0007b","nonce":"1"}"#.to_owned(), "control characters"),
        (format!(r#"{{"type":"chat_send","channel":"global","text":"{}","nonce":"1"}}"#, "x".repeat(501)), "1 to 500"),
    ];
    for (text, expected) in cases {
        let error = json(&text).expect_err(&text);
        assert!(matches!(error, DecodeError::Field(_)), "{text}: {error:?}");
        let said = error.to_string();
        let found = said.contains(expected) || expected == "UUID" && said.contains("invalid");
        assert!(found, "{text}: {said:?} does not say {expected:?}");
    }
}

#[test]
fn fields_of_the_future_are_skipped() {
    assert!(json(r#"{"type":"ping","t":1,"mood":{"deep":[1]}}"#).is_ok());
    // [3, 7, "new"]
    let longer = [0x93, 0x03, 0x07, 0xa3, b'n', b'e', b'w'];
    assert!(ClientMessage::decode(Encoding::Msgpack, &longer).is_ok());
}

#[test]
fn optional_fields_may_be_left_out_at_the_end() {
    // [4, casual]
    let shorter = [0x92, 0x04, 0x01];
    assert!(ClientMessage::decode(Encoding::Msgpack, &shorter).is_ok());
    assert!(json(r#"{"type":"queue_join","mode":"casual"}"#).is_ok());
}

proptest! {
    #[test]
    fn no_bytes_break_a_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for encoding in [Encoding::Json, Encoding::Msgpack] {
            let _ = ClientMessage::decode(encoding, &bytes);
            let _ = ServerMessage::decode(encoding, &bytes);
        }
        let _ = Control::from_bytes(&bytes);
        let _ = SnapshotHead::split(&bytes);
        let _ = InputRecord::read_all(&bytes).map(Iterator::count);
    }

    /// Changing one byte of a good message gives another message or an error, and what decodes can be encoded.
    #[test]
    fn no_changed_byte_breaks_a_decoder(which in 0..1_000usize, at in 0..1_000usize, byte in any::<u8>()) {
        for encoding in [Encoding::Json, Encoding::Msgpack] {
            let messages = samples::from_client();
            let mut bytes = messages[which % messages.len()].encode(encoding).unwrap();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(message) = ClientMessage::decode(encoding, &bytes) {
                prop_assert!(message.encode(encoding).is_ok());
            }
        }
    }
}
