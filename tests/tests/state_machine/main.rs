//! Anything that can happen to an archive, in any order: commands of two machines, each of them cut short, outrun or failing anywhere; power cuts;
//! lost memories and caches; a store that is rolled back, copied and written to on both sides; objects that rot, are met and repaired. A plain model says
//! what must be there; after every single thing everything is read back and counted.
//!
//! `NACRE_ROUNDS=n` runs n times as many sequences; `NACRE_SEED=n` runs the sequence of that seed alone. A sequence that fails is made as short as it
//! can be before it is told.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test, a panic is how a surprise is reported"
)]

mod act;
mod damage;
mod found;
mod gate;
mod judge;
mod machine;
mod model;
mod needs;
mod often;
mod ops;
mod read;
mod run;
mod spoil;
mod world;

use std::time::Instant;

/// Sequences in one round.
const SEQUENCES: u64 = 300;

#[test]
fn whatever_happens_the_archive_shows_what_the_model_says() {
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let (seed, rounds) = (number("NACRE_SEED"), number("NACRE_ROUNDS").unwrap_or(1));
    let seeds = seed.map_or(0..SEQUENCES * rounds, |seed| seed..seed + 1);
    let begun = Instant::now();
    let (counts, failed) = run::all(seeds.clone());
    for (what, count) in &counts {
        println!("{count:7} {what}");
    }
    println!("seeds {seeds:?} in {:.0} s", begun.elapsed().as_secs_f32());
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    if seed.is_none() {
        let rare = often::missing(&counts, rounds);
        assert!(rare.is_empty(), "too rare: {}", rare.join(", "));
    }
}
