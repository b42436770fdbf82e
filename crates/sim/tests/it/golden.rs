//! The same seed and inputs give the same hashes, on every machine and in every version of the same rules.
//!
//! `golden.txt` holds a line for every 60 ticks of some scripted matches. Where rules change on purpose, raise
//! `RULES_VERSION` and make it anew: `RALLY_GOLDEN=write cargo test -p rally-sim golden`.

use std::fmt::Write;

use rally_sim::RULES_VERSION;

use crate::players::Match;

const TICKS_MAX: u32 = 60 * 120;

fn hashes() -> String {
    let mut text = format!("rules {RULES_VERSION}\n");
    for seed in 0..8 {
        let mut game = Match::new(seed);
        for tick in 1..=TICKS_MAX {
            game.tick();
            if tick % 60 == 0 || game.world.winner().is_some() {
                let [left, right] = game.world.score();
                writeln!(text, "seed {seed} tick {tick} score {left}:{right} hash {:016x}", game.world.hash()).unwrap();
            }
            if game.world.winner().is_some() {
                break;
            }
        }
    }
    text
}

#[test]
fn scripted_matches_have_the_hashes_on_file() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/golden.txt");
    let hashes = hashes();
    if std::env::var_os("RALLY_GOLDEN").is_some_and(|word| word == "write") {
        std::fs::write(path, &hashes).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap();
    for (number, (actual, golden)) in hashes.lines().zip(golden.lines()).enumerate() {
        assert_eq!(actual, golden, "line {}", number + 1);
    }
    assert_eq!(hashes.lines().count(), golden.lines().count());
}
