//! Frames of RFC 6455 as a server sends them: unmasked and whole, so a frame is the same bytes for every reader.

use bytes::Bytes;
use rally_protocol::client::{
    codec::{Encoding, Messages},
    v1::ServerMessage,
};

/// The longest header: two bytes and a length of eight.
const HEADER_BYTES_MAX: usize = 10;

/// A close frame's reason, in bytes: 125 of payload less its code.
const REASON_BYTES_MAX: usize = 123;

/// A ping without a payload.
pub(crate) const PING: &[u8] = &[FINAL | 0x9, 0];

const FINAL: u8 = 0x80;
const CLOSE: u8 = 0x8;

/// What messages in this encoding travel in.
const fn opcode(encoding: Encoding) -> u8 {
    match encoding {
        Encoding::Json => 0x1,
        Encoding::Msgpack => 0x2,
    }
}

fn header(opcode: u8, payload_bytes: usize, out: &mut [u8; HEADER_BYTES_MAX]) -> usize {
    out[0] = FINAL | opcode;
    match payload_bytes {
        0..126 => {
            out[1] = payload_bytes as u8;
            2
        }
        126..=0xffff => {
            out[1] = 126;
            out[2..4].copy_from_slice(&(payload_bytes as u16).to_be_bytes());
            4
        }
        _ => {
            out[1] = 127;
            out[2..10].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
            10
        }
    }
}

/// Appends the frame of an encoded message to `out`.
pub(crate) fn append(encoding: Encoding, payload: &[u8], out: &mut Vec<u8>) {
    let mut head = [0; HEADER_BYTES_MAX];
    let head_bytes = header(opcode(encoding), payload.len(), &mut head);
    out.reserve(head_bytes + payload.len());
    out.extend_from_slice(&head[..head_bytes]);
    out.extend_from_slice(payload);
}

/// The frame of a message; `None` if it cannot be encoded, which is a bug of ours.
pub(crate) fn message(encoding: Encoding, message: &ServerMessage) -> Option<Bytes> {
    // The header's length follows from the payload's: leave room for the longest, and cut what is too much.
    let mut out = Vec::with_capacity(HEADER_BYTES_MAX + 256);
    out.resize(HEADER_BYTES_MAX, 0);
    if let Err(error) = message.encode_into(encoding, &mut out) {
        tracing::error!(%error, message = message.shape().name, "cannot encode");
        return None;
    }
    let mut head = [0; HEADER_BYTES_MAX];
    let head_bytes = header(opcode(encoding), out.len() - HEADER_BYTES_MAX, &mut head);
    let start = HEADER_BYTES_MAX - head_bytes;
    out[start..HEADER_BYTES_MAX].copy_from_slice(&head[..head_bytes]);
    Some(Bytes::from(out).slice(start..))
}

/// A close frame.
pub(crate) fn close(code: u16, reason: &str) -> Bytes {
    let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
    let mut out = Vec::with_capacity(4 + reason.len());
    out.extend_from_slice(&[FINAL | CLOSE, 2 + reason.len() as u8]);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
    out.into()
}

#[cfg(test)]
mod tests {
    use rally_protocol::client::v1::Pong;
    use tungstenite::{Message, protocol::Role, protocol::WebSocketContext};

    use super::*;

    /// What a client's library makes of these bytes.
    fn read(bytes: &[u8]) -> Message {
        let mut stream = std::io::Cursor::new(bytes.to_vec());
        WebSocketContext::new(Role::Client, None).read(&mut stream).expect("a frame")
    }

    #[test]
    fn every_length_of_length_is_read_by_a_client() {
        for payload_bytes in [0, 1, 125, 126, 127, 0xffff, 0x1_0000, 200_000] {
            let payload = vec![b'x'; payload_bytes];
            let mut out = Vec::new();
            append(Encoding::Msgpack, &payload, &mut out);
            assert_eq!(read(&out), Message::Binary(payload.clone().into()));
            out.clear();
            append(Encoding::Json, &payload, &mut out);
            assert_eq!(read(&out), Message::Text(String::from_utf8(payload).expect("ascii").into()));
        }
    }

    #[test]
    fn a_message_is_framed_like_its_bytes() {
        let pong = ServerMessage::from(Pong { t: 7, server_time_ms: 1_700_000_000_000 });
        for encoding in [Encoding::Json, Encoding::Msgpack] {
            let mut expected = Vec::new();
            append(encoding, &pong.encode(encoding).expect("encodes"), &mut expected);
            assert_eq!(message(encoding, &pong).expect("encodes"), expected);
        }
    }

    #[test]
    fn a_close_carries_its_code_and_a_reason_cut_to_fit() {
        let Message::Close(Some(frame)) = read(&close(4409, &"ä".repeat(100))) else { panic!("not a close") };
        assert_eq!(u16::from(frame.code), 4409);
        assert_eq!(frame.reason.as_str(), "ä".repeat(61));
        let Message::Close(Some(frame)) = read(&close(1012, "restart")) else { panic!("not a close") };
        assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1012, "restart"));
    }

    #[test]
    fn a_ping_is_a_ping() {
        assert_eq!(read(PING), Message::Ping(Bytes::new()));
    }
}
