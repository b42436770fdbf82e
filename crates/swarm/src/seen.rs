//! What a scripted player looks at in a snapshot.
//!
//! Of msgpack only that much is read, without building the message. JSON is decoded in full: its readers are few, and
//! a check of all fields is worth having in one of the two.

use rally_protocol::client::v1::{Phase, Side, Snapshot};
use rmp::decode::{read_array_len, read_bin_len, read_int};

/// The balls that are looked at; with more on the field, those that came first.
const BALLS_SEEN: usize = 10;

/// The interesting part of a snapshot. Lengths in 1/16 u, velocities in u/s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) match_id: [u8; 16],
    pub(crate) tick: u32,
    pub(crate) epoch: u32,
    pub(crate) score: [u8; 2],
    pub(crate) phase: Phase,
    pub(crate) ack: [u32; 2],
    pub(crate) paddles: [(i16, i8); 2],
    balls: [[i16; 4]; BALLS_SEEN],
    balls_len: usize,
}

impl Seen {
    /// x, y, vx, vy of each ball.
    pub(crate) fn balls(&self) -> &[[i16; 4]] {
        &self.balls[..self.balls_len]
    }

    /// Whether the `seq`th input of `side` is in.
    pub(crate) fn acknowledges(&self, side: Side, seq: u32) -> bool {
        self.ack[side.index()] >= seq
    }
}

impl From<&Snapshot> for Seen {
    fn from(snapshot: &Snapshot) -> Self {
        let mut balls = [[0; 4]; BALLS_SEEN];
        let balls_len = snapshot.balls.len().min(BALLS_SEEN);
        for (seen, (x, y, vx, vy)) in balls.iter_mut().zip(snapshot.balls.iter()) {
            *seen = [*x, *y, *vx, *vy];
        }
        Self {
            match_id: *snapshot.match_id.as_bytes(),
            tick: snapshot.tick.0,
            epoch: snapshot.epoch.0,
            score: snapshot.score,
            phase: snapshot.phase,
            ack: snapshot.ack,
            paddles: snapshot.paddles.map(|(y, dir)| (y, dir.into())),
            balls,
            balls_len,
        }
    }
}

/// The first bytes of a msgpack snapshot: a short array whose first element is 72.
pub(crate) fn is_snapshot(bytes: &[u8]) -> bool {
    matches!(bytes, [head, 72, ..] if head & 0xf0 == 0x90)
}

/// Skims the msgpack of a snapshot; `None` if it is none.
pub(crate) fn skim(bytes: &[u8]) -> Option<Seen> {
    let mut rest = bytes;
    let rest = &mut rest;
    if read_array_len(rest).ok()? < 9 || read_int::<u8, _>(rest).ok()? != 72 || read_bin_len(rest).ok()? != 16 {
        return None;
    }
    let (match_id, behind) = rest.split_first_chunk::<16>()?;
    *rest = behind;
    let tick = read_int(rest).ok()?;
    let _clock: u32 = read_int(rest).ok()?;
    let epoch = read_int(rest).ok()?;
    let phase = Phase::from_number(read_int(rest).ok()?)?;
    list(rest, 2)?;
    let ack = [read_int(rest).ok()?, read_int(rest).ok()?];
    list(rest, 2)?;
    let mut paddles = [(0, 0); 2];
    for paddle in &mut paddles {
        list(rest, 2)?;
        *paddle = (read_int(rest).ok()?, read_int(rest).ok()?);
    }
    let balls_sent = read_array_len(rest).ok()? as usize;
    let mut balls = [[0; 4]; BALLS_SEEN];
    for ball in 0..balls_sent {
        list(rest, 4)?;
        let mut numbers = [0; 4];
        for number in &mut numbers {
            *number = read_int(rest).ok()?;
        }
        if let Some(seen) = balls.get_mut(ball) {
            *seen = numbers;
        }
    }
    let balls_len = balls_sent.min(BALLS_SEEN);
    list(rest, 2)?;
    let score = [read_int(rest).ok()?, read_int(rest).ok()?];
    Some(Seen { match_id: *match_id, tick, epoch, score, phase, ack, paddles, balls, balls_len })
}

/// A list of exactly this length begins here.
fn list(rest: &mut &[u8], len: u32) -> Option<()> {
    (read_array_len(rest).ok()? == len).then_some(())
}

#[cfg(test)]
mod tests {
    use rally_protocol::client::{
        codec::{Encoding, Messages},
        v1::{Dir, PowerUp, ServerMessage},
    };
    use rally_units::{Epoch, MatchId, SubStep, Tick};

    use super::*;

    fn snapshot() -> Snapshot {
        Snapshot {
            match_id: MatchId::from_bytes([3; 16]),
            tick: Tick(70_000),
            clock: SubStep(280_000),
            epoch: Epoch(2),
            phase: Phase::Playing,
            ack: [300, 70_001],
            paddles: [(8_640, Dir::Up), (800, Dir::Down)],
            balls: vec![(-200, 16_000, -1_500, 3), (30_720, 240, 600, -600)].try_into().expect("two balls"),
            score: [1, 2],
            skills: [(0, 1), (2, 3)],
            power_ups: vec![(1, PowerUp::Split, 1, 2, 3)].try_into().expect("one"),
            effects: Default::default(),
        }
    }

    #[test]
    fn skimming_sees_what_decoding_does() {
        let bytes = ServerMessage::from(snapshot()).encode(Encoding::Msgpack).expect("encodes");
        assert!(is_snapshot(&bytes));
        assert_eq!(skim(&bytes), Some(Seen::from(&snapshot())));
        let ServerMessage::Snapshot(decoded) = ServerMessage::decode(Encoding::Msgpack, &bytes).expect("decodes")
        else {
            panic!("no snapshot");
        };
        assert_eq!(skim(&bytes), Some(Seen::from(&decoded)));
    }

    #[test]
    fn broken_bytes_are_not_seen() {
        let bytes = ServerMessage::from(snapshot()).encode(Encoding::Msgpack).expect("encodes");
        // What is read ends with the score; skills, the power-up and effects follow it.
        let needed = bytes.len() - 30;
        for cut in 0..needed {
            assert_eq!(skim(&bytes[..cut]), None, "cut at {cut}");
        }
    }
}
