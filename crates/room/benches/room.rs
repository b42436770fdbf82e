//! What a tick of a match costs, its snapshot included: a core must carry 5,000 matches at 60 Hz, so 3.3 us are to be
//! had for each.

use divan::{Bencher, counter::ItemsCount};
use rally_protocol::{
    client::v1::{Level, Mode},
    cluster::v1::{MatchSpec, SeatSpec, SnapshotHead},
};
use rally_room::{Outputs, Room, RoomSettings};
use rally_units::{Epoch, MatchId};

/// Shows that a usual tick allocates nothing: events do, and they are rare.
#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

const ROOMS: usize = 1_000;

fn room(seed: u64, classic: bool) -> Room {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&seed.to_le_bytes());
    let seats = [Level::Hard, Level::Normal].map(|level| SeatSpec::Bot { level });
    let spec = MatchSpec { id: MatchId::from_bytes(id), mode: Mode::Practice, classic, private: false, seats };
    Room::new(spec, seed, Epoch::FIRST, RoomSettings::default())
}

/// Matches at different moments of their lives, as on a worker that has been up for a while.
fn rooms(classic: bool) -> Vec<Room> {
    let mut out = Outputs::new();
    (0..ROOMS as u64)
        .map(|seed| {
            let mut room = room(seed, classic);
            for _ in 0..200 + seed {
                room.tick(&mut out);
            }
            room
        })
        .collect()
}

/// One tick of 1,000 matches that bots play, with everything that a worker sends each of them: head, snapshot, events.
#[divan::bench(args = [true, false], sample_count = 200)]
fn tick_and_encode_1000(bencher: Bencher, classic: bool) {
    let mut rooms = rooms(classic);
    let mut out = Outputs::new();
    let mut bytes = Vec::with_capacity(256 * ROOMS);
    let mut next_seed = ROOMS as u64;
    bencher.counter(ItemsCount::new(ROOMS)).bench_local(|| {
        bytes.clear();
        for room in &mut rooms {
            room.tick(&mut out);
            bytes.extend_from_slice(&SnapshotHead::to_bytes(room.snapshot_head()));
            room.snapshot_into(&mut bytes);
            if room.is_over() {
                next_seed += 1;
                *room = self::room(next_seed, classic);
            }
        }
        divan::black_box(&bytes);
    });
}

/// The snapshots alone.
#[divan::bench(args = [true, false])]
fn encode_1000(bencher: Bencher, classic: bool) {
    let rooms = rooms(classic);
    let mut bytes = Vec::with_capacity(256 * ROOMS);
    bencher.counter(ItemsCount::new(ROOMS)).bench_local(|| {
        bytes.clear();
        for room in &rooms {
            room.snapshot_into(&mut bytes);
        }
        divan::black_box(&bytes);
    });
}
