//! WebSocket frames straight from a read buffer and straight into a write buffer.
//!
//! The comfortable way costs a task wake-up, a buffer and two copies per frame. At tens of thousands of frames a
//! second on the cores of the servers under test, that would be measured too.

use std::io::Cursor;

use rally_protocol::limits::SERVER_MESSAGE_BYTES_MAX;
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

/// One frame from a server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// A whole message, text or binary.
    Message(&'a [u8]),
    /// To be answered by a pong.
    Ping(&'a [u8]),
    /// Nothing to do.
    Pong,
    /// The end, with its code if there is one.
    Close(Option<u16>),
}

/// Bytes that no server of ours sends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadFrame(pub(crate) &'static str);

/// The frame at the head of `bytes` and its length; `None` while it is incomplete.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, BadFrame> {
    let mut cursor = Cursor::new(bytes);
    let Some((header, len)) = FrameHeader::parse(&mut cursor).map_err(|_| BadFrame("bad_frame"))? else {
        return Ok(None);
    };
    if len > SERVER_MESSAGE_BYTES_MAX as u64 {
        return Err(BadFrame("frame_too_large"));
    }
    if header.mask.is_some() || !header.is_final || header.rsv1 || header.rsv2 || header.rsv3 {
        return Err(BadFrame("bad_frame"));
    }
    let start = cursor.position() as usize;
    let end = start + len as usize;
    let Some(payload) = bytes.get(start..end) else { return Ok(None) };
    let frame = match header.opcode {
        OpCode::Data(Data::Text | Data::Binary) => Frame::Message(payload),
        OpCode::Control(Control::Ping) => Frame::Ping(payload),
        OpCode::Control(Control::Pong) => Frame::Pong,
        OpCode::Control(Control::Close) => {
            Frame::Close(payload.first_chunk().map(|code: &[u8; 2]| u16::from_be_bytes(*code)))
        }
        OpCode::Data(_) | OpCode::Control(_) => return Err(BadFrame("bad_frame")),
    };
    Ok(Some((frame, end)))
}

/// What a client masks with. Any mask obeys the letter of RFC 6455; that it should be random protects proxies from
/// hostile pages, and there are none here. Not zero, so that the server has to unmask.
const MASK: [u8; 4] = [0x5a, 0xc3, 0x17, 0x88];

/// Appends a masked frame to `out`.
pub(crate) fn write(opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) {
    let header = FrameHeader { opcode, mask: Some(MASK), ..FrameHeader::default() };
    // Writing to a Vec cannot fail.
    let _ = header.format(payload.len() as u64, out);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            len @ 0..126 => bytes.push(len as u8),
            len => {
                bytes.push(126);
                bytes.extend((len as u16).to_be_bytes());
            }
        }
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn reads_what_servers_send() {
        for len in [0, 1, 125, 126, 4_000] {
            let payload = vec![7; len];
            let mut bytes = frame(0x82, &payload);
            let end = bytes.len();
            bytes.extend(b"more");
            assert_eq!(parse(&bytes), Ok(Some((Frame::Message(&payload), end))));
            for cut in 0..end {
                assert_eq!(parse(&bytes[..cut]), Ok(None), "cut at {cut}");
            }
        }
        assert_eq!(parse(&frame(0x88, &[0x03, 0xf4])), Ok(Some((Frame::Close(Some(1012)), 4))));
        assert_eq!(parse(&frame(0x88, &[])), Ok(Some((Frame::Close(None), 2))));
        assert_eq!(parse(&frame(0x89, b"x")), Ok(Some((Frame::Ping(b"x"), 3))));
    }

    #[test]
    fn refuses_what_they_do_not() {
        assert_eq!(parse(&[0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0]), Err(BadFrame("frame_too_large")));
        assert_eq!(parse(&[0x82, 0x81, 0, 0, 0, 0, 7]), Err(BadFrame("bad_frame")));
        assert_eq!(parse(&frame(0x02, b"x")), Err(BadFrame("bad_frame")));
        assert_eq!(parse(&frame(0xc2, b"x")), Err(BadFrame("bad_frame")));
    }

    #[test]
    fn writes_masked_frames() {
        let mut out = Vec::new();
        write(OpCode::Data(Data::Binary), b"hello", &mut out);
        assert_eq!(&out[..2], [0x82, 0x85]);
        let plain: Vec<_> = out[6..].iter().zip(out[2..6].iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        assert_eq!(plain, b"hello");
    }
}
