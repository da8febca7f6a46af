//! Runs sequences, and makes short those that fail.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use nacre_tests::lab_image::Random;
use nacre_tests::on_all_processors;

use super::ops::{Op, Trouble, draw};
use super::world::{Counts, World};

/// Operations in a sequence.
const LENGTH: usize = 30;
/// Attempts to make a failing sequence shorter.
const ATTEMPTS: usize = 300;

/// Runs the sequences of these seeds, on all processors. Returns what came up how often, and what failed.
pub fn all(seeds: Range<u64>) -> (Counts, Vec<String>) {
    let results = Mutex::new((Counts::new(), Vec::new()));
    let seeds: Vec<u64> = seeds.collect();
    on_all_processors(&seeds, |_, seed| {
        let mut counts = Counts::new();
        let ops = sequence(*seed);
        let failure = once(*seed, &ops, &mut counts);
        let failure = failure.map(|why| told(*seed, ops, &why));
        let mut results = results.lock().unwrap();
        for (what, count) in counts {
            *results.0.entry(what).or_default() += count;
        }
        results.1.extend(failure);
    });
    results.into_inner().unwrap()
}

fn sequence(seed: u64) -> Vec<Op> {
    let mut random = Random::new(seed, "sequence");
    (0..LENGTH).map(|_| draw(&mut random)).collect()
}

/// What goes wrong, if something does.
fn once(seed: u64, ops: &[Op], counts: &mut Counts) -> Option<String> {
    let run = AssertUnwindSafe(|| {
        let mut world = World::new(seed)?;
        for (at, op) in ops.iter().enumerate() {
            let verdict = world.step(*op);
            verdict.map_err(|why| format!("at {at}, {op:?}: {why}"))?;
        }
        counts.append(&mut world.counts);
        Ok::<(), String>(())
    });
    match catch_unwind(run) {
        Ok(verdict) => verdict.err(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some(format!("it panicked: {}", text.unwrap_or_default()))
        }
    }
}

/// Leaves out what is not needed to make it fail.
fn told(seed: u64, mut ops: Vec<Op>, why: &str) -> String {
    let mut why = why.to_owned();
    let mut left = ATTEMPTS;
    let mut try_with = |shorter: &[Op], why: &mut String| {
        left = left.saturating_sub(1);
        let failure = if left > 0 {
            once(seed, shorter, &mut Counts::new())
        } else {
            None
        };
        failure.map(|failure| *why = failure).is_some()
    };
    let mut size = ops.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < ops.len() {
            let mut shorter = ops.clone();
            shorter.drain(at..(at + size).min(ops.len()));
            if try_with(&shorter, &mut why) {
                ops = shorter;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    for at in 0..ops.len() {
        let mut simpler = ops.clone();
        if let Op::Command { trouble, .. } = &mut simpler[at]
            && *trouble != Trouble::Nothing
        {
            *trouble = Trouble::Nothing;
            if try_with(&simpler, &mut why) {
                ops = simpler;
            }
        }
    }
    let ops: Vec<String> = ops.iter().map(|op| format!("  {op:?}")).collect();
    format!("seed {seed} (NACRE_SEED={seed}): {why}\n{}", ops.join("\n"))
}
