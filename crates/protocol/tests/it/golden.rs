//! Golden bytes: what has been released does not change. Regenerate with `RALLY_GOLDEN=write`, and only to append.

use std::fmt::Write as _;

use rally_protocol::client::{Encoding, codec::Messages, v1::ServerMessage};
use serde_json::{Value, json};

use crate::samples;

/// Compares with a file below the repository, or writes it.
pub fn compare(path: &str, actual: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var("RALLY_GOLDEN").is_ok_and(|mode| mode == "write") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        return std::fs::write(path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == actual, "{} differs from the code; RALLY_GOLDEN=write writes it anew", path.display());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

fn vectors<M: Messages>(messages: &[M]) -> Vec<Value> {
    let vector = |message: &M| {
        let json: Value = serde_json::from_slice(&message.encode(Encoding::Json).unwrap()).unwrap();
        json!({ "json": json, "msgpack": hex(&message.encode(Encoding::Msgpack).unwrap()) })
    };
    messages.iter().map(vector).collect()
}

#[test]
fn bytes_stay_as_they_were_released() {
    let vectors = json!({
        "client": vectors(&samples::from_client()),
        "server": vectors(&samples::from_server()),
    });
    compare("tests/golden/client_v1.json", &format!("{vectors:#}\n"));
}

fn comes_back<M: Messages + PartialEq + std::fmt::Debug>(messages: &[M]) {
    for message in messages {
        for encoding in [Encoding::Json, Encoding::Msgpack] {
            let bytes = message.encode(encoding).unwrap();
            assert_eq!(&M::decode(encoding, &bytes).unwrap(), message, "{encoding:?}");
        }
    }
}

#[test]
fn every_message_comes_back_from_both_encodings() {
    comes_back(&samples::from_client());
    comes_back(&samples::from_server());
}

#[test]
fn there_is_a_sample_of_every_message() {
    fn names<M: Messages>(messages: &[M]) -> Vec<&'static str> {
        let mut names: Vec<_> = messages.iter().map(|message| message.shape().name).collect();
        names.dedup();
        names
    }
    fn table<M: Messages>() -> Vec<&'static str> {
        M::TABLE.iter().map(|shape| shape.name).collect()
    }
    assert_eq!(names(&samples::from_client()), table::<rally_protocol::client::v1::ClientMessage>());
    assert_eq!(names(&samples::from_server()), table::<ServerMessage>());
}

#[test]
fn a_one_ball_snapshot_fits_80_bytes() {
    let bytes = ServerMessage::from(samples::snapshot()).encode(Encoding::Msgpack).unwrap();
    assert!(bytes.len() <= 80, "{} bytes", bytes.len());
}

#[test]
fn numbers_of_types_are_unique() {
    let shapes = rally_protocol::client::v1::ClientMessage::TABLE.iter().chain(ServerMessage::TABLE);
    let mut numbers: Vec<_> = shapes.map(|shape| shape.number).collect();
    let count = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), count);
}
