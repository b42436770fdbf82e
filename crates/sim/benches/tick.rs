//! What a tick costs, and what it costs to save, hash and restore a world. A worker plays thousands of matches on a
//! core, so a tick of an ordinary match is to take at most a microsecond.

use divan::{AllocProfiler, Bencher, black_box, counter::ItemsCount};
use rally_sim::{Ball, Dir, Events, Input, PowerUp, PowerUpKind, Rules, SAVE_BYTES_MAX, Side, World};

/// Shows that the columns for allocations stay empty.
#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn one_ball() -> World {
    World::new(1, Rules { score_to_win: u8::MAX, ..Rules::default() })
}

/// Ten balls that meet all the time, five power-ups in their way, a blackhole from the first one taken.
fn ten_balls() -> World {
    let balls = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(|i| {
        let (sin, cos) = libm::sincos(f64::from(i) * 0.7);
        Ball::new(600.0 + 80.0 * f64::from(i), 100.0 + 95.0 * f64::from(i), 900.0 * cos, 900.0 * sin)
    });
    let power_ups = [600.0, 800.0, 1000.0, 1200.0, 1400.0].map(|x| PowerUp {
        kind: PowerUpKind::Blackhole,
        x,
        y: 540.0,
        remaining_sub_steps: 2160,
    });
    World::staged(1, Rules { score_to_win: u8::MAX, ..Rules::default() }, &balls, &power_ups)
}

fn play(world: &mut World, events: &mut Events, ticks: u32) {
    for tick in 0..ticks {
        if tick % 6 == 0 {
            // Ten inputs a second of each player, who follow the first ball.
            for side in Side::ALL {
                let off = world.balls()[0].y - world.paddles()[side.index()].y;
                let dir = if off < 0.0 { Dir::Up } else { Dir::Down };
                world.apply(side, Input { dir, press: tick % 60 == 0 });
            }
        }
        world.tick(events);
    }
}

fn ticks(bencher: Bencher<'_, '_>, world: World, ticks: u32) {
    let mut events = Events::new();
    bencher.counter(ItemsCount::new(ticks)).with_inputs(|| world.clone()).bench_local_refs(|world| {
        play(world, &mut events, ticks);
        black_box(world.clock());
    });
}

/// Ten seconds: long enough for hits, goals and serves, so that no branch is always taken.
#[divan::bench]
fn six_hundred_ticks_with_one_ball(bencher: Bencher<'_, '_>) {
    ticks(bencher, one_ball(), 600);
}

/// Half a second: short enough for the balls to stay.
#[divan::bench]
fn thirty_ticks_with_ten_balls(bencher: Bencher<'_, '_>) {
    ticks(bencher, ten_balls(), 30);
}

#[divan::bench(args = [false, true])]
fn hash(bencher: Bencher<'_, '_>, full: bool) {
    let world = if full { ten_balls() } else { one_ball() };
    bencher.bench_local(|| black_box(&world).hash());
}

#[divan::bench(args = [false, true])]
fn save(bencher: Bencher<'_, '_>, full: bool) {
    let world = if full { ten_balls() } else { one_ball() };
    let mut out = Vec::with_capacity(SAVE_BYTES_MAX);
    bencher.bench_local(|| {
        out.clear();
        black_box(&world).save(&mut out);
    });
}

#[divan::bench(args = [false, true])]
fn restore(bencher: Bencher<'_, '_>, full: bool) {
    let world = if full { ten_balls() } else { one_ball() };
    let mut bytes = Vec::new();
    world.save(&mut bytes);
    bencher.bench_local(|| World::restore(black_box(&bytes)));
}
