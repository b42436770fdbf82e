//! One message of a match to all who are in it here: encoded once for each encoding that somebody reads.

use bytes::Bytes;
use rally_protocol::client::{
    codec::{Encoding, Messages},
    v1::ServerMessage,
};
use rally_units::MatchId;

use crate::{
    frame,
    metrics::Metrics,
    socket::{SharedPeer, Snapshot},
};

/// Fans snapshots out. Keeps its buffer, so that a snapshot costs no allocation unless a reader is slow.
#[derive(Default)]
pub(crate) struct Fanout {
    json: Vec<u8>,
}

impl Fanout {
    /// Writes a snapshot's frame (`frame`, whose payload begins at `payload_at`) to these readers. Calls `later` for
    /// each that is still to be flushed.
    pub(crate) fn snapshot<'a>(
        &mut self,
        match_id: MatchId,
        frame: &[u8],
        payload_at: usize,
        readers: impl Iterator<Item = &'a SharedPeer>,
        metrics: &Metrics,
        mut later: impl FnMut(&SharedPeer),
    ) {
        self.json.clear();
        let mut kept: [Option<Bytes>; 2] = [None, None];
        let (mut sent, mut conflated) = (0, 0);
        for reader in readers {
            let (bytes, kept) = match reader.encoding {
                Encoding::Msgpack => (frame, &mut kept[0]),
                Encoding::Json => {
                    if self.json.is_empty() && !transcode(&frame[payload_at..], &mut self.json) {
                        // Nobody here who reads JSON can be told; the next snapshot comes in 16 ms.
                        continue;
                    }
                    (&*self.json, &mut kept[1])
                }
            };
            let shared = || kept.get_or_insert_with(|| Bytes::copy_from_slice(bytes)).clone();
            match reader.snapshot(match_id, bytes, shared) {
                Snapshot::Sent => sent += 1,
                Snapshot::Waits => {
                    sent += 1;
                    later(reader);
                }
                Snapshot::Conflated => {
                    conflated += 1;
                    later(reader);
                }
                Snapshot::Dropped => {}
            }
        }
        metrics.snapshots_sent.increment(sent);
        if conflated > 0 {
            metrics.conflated.increment(conflated);
        }
    }
}

/// Appends the JSON frame of a msgpack message; false if it cannot be read.
fn transcode(payload: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(message) = ServerMessage::decode(Encoding::Msgpack, payload) else { return false };
    let Some(framed) = frame::message(Encoding::Json, &message) else { return false };
    out.extend_from_slice(&framed);
    true
}

/// The frames of one message, each made when it is first wanted, then shared.
pub(crate) struct Frames<'a> {
    message: &'a ServerMessage,
    made: [Option<Bytes>; 2],
}

impl<'a> Frames<'a> {
    /// Of a message whose msgpack is known already.
    pub(crate) fn new(message: &'a ServerMessage, msgpack: &[u8]) -> Self {
        let mut framed = Vec::with_capacity(msgpack.len() + 4);
        frame::append(Encoding::Msgpack, msgpack, &mut framed);
        Self { message, made: [Some(framed.into()), None] }
    }

    /// In this encoding; `None` if it cannot be encoded.
    pub(crate) fn get(&mut self, encoding: Encoding) -> Option<Bytes> {
        let made = &mut self.made[match encoding {
            Encoding::Msgpack => 0,
            Encoding::Json => 1,
        }];
        if made.is_none() {
            *made = frame::message(encoding, self.message);
        }
        made.clone()
    }
}
