//! A power cut at every point of every command that changes an archive, with everything lost, torn or reordered that no barrier had made durable, in
//! the store and in dom0's own files: what is found afterwards is a committed state, not older than the last one that was acknowledged, in which
//! everything reads back and is counted right; and the command can be given again.
//!
//! The same where only one end loses power: the store dies, and dom0 lives on with everything that it wrote, then and after it heard of it; or dom0 dies, and the
//! store has everything that it was given.
//!
//! `NACRE_ROUNDS=n` tries n times as many random losses where many changes were open; `NACRE_ONLY=word` runs the scripts with the word in their name.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test, a panic is how a surprise is reported"
)]

mod checks;
mod machine;
mod pool;
mod scripts;
mod seen;
mod start;

use std::time::Instant;

use checks::{OneEnd, Trial, record};
use scripts::SCRIPTS;

/// Fewer points than this would be news.
const AT_LEAST: usize = 20_000;

#[test]
fn a_power_cut_at_any_point_of_any_command_loses_nothing() {
    let rounds = std::env::var("NACRE_ROUNDS").ok();
    let rounds: u64 = rounds.and_then(|text| text.parse().ok()).unwrap_or(1);
    let only = std::env::var("NACRE_ONLY").unwrap_or_default();
    let (mut all, mut one_end, begun) = ([0; 4], [OneEnd::default(); 2], Instant::now());
    for script in SCRIPTS.iter().filter(|s| s.name.contains(&only)) {
        let since = Instant::now();
        let mut trial: Trial = record(script, 24 * rounds);
        let twice = trial.check_all(6);
        let ends = trial.check_one_end(24 * rounds);
        let counts = [
            usize::try_from(trial.cuts.points).unwrap(),
            trial.cuts.states.len(),
            trial.repetitions(),
            twice,
        ];
        let [points, states, repeated, twice] = counts;
        println!(
            "{:22} {:3} steps, {points:5} crash points, {states:4} states checked, repeated from {repeated:4}, \
             cut again {twice:4} times; the store alone: {}; dom0 alone: {}; {:5.1} s",
            script.name,
            trial.steps,
            ends[0],
            ends[1],
            since.elapsed().as_secs_f32(),
        );
        all.iter_mut()
            .zip(counts)
            .for_each(|(sum, count)| *sum += count);
        one_end
            .iter_mut()
            .zip(ends)
            .for_each(|(sum, end)| sum.add(end));
    }
    let [points, states, repeated, twice] = all;
    println!(
        "crash points: {} (states checked: {states}, repeated from: {repeated}, and cut again: {twice}; {:.0} s)",
        points + twice,
        begun.elapsed().as_secs_f32(),
    );
    println!(
        "beside these, one end alone: the store: {}; dom0: {}",
        one_end[0], one_end[1]
    );
    assert!(points + twice >= AT_LEAST || !only.is_empty(), "{points}");
}
