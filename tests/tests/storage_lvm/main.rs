//! LVM thin pools, in a real kernel: two boots side by side for all.
#![allow(clippy::unwrap_used, clippy::panic)] // Failing loudly is what these are for.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::large_stack_arrays
)] // Small numbers, known here.

mod bench;
mod contended;
mod delta;
mod full;
mod goals;
mod history;
mod lab;
mod leftovers;
mod metadata;
mod qubes;
mod snapshots;

use nacre_tests::LabKernel;

/// What takes about as long as all the others.
const LONG: &[&str] = &["delta::", "bench::"];

fn kernel() -> LabKernel {
    LabKernel::new()
        .disk("5G")
        .disk("40G")
        .disk("128M")
        .needs("lvm")
        .needs("thin_delta")
        .seconds(900)
}

#[test]
fn thin_pools_in_a_real_kernel() {
    kernel()
        .other_tests(LONG)
        .run_ignored_tests("thin_pools_in_a_real_kernel");
}

#[test]
fn changes_of_thin_pools_in_a_real_kernel() {
    kernel()
        .tests(LONG)
        .run_ignored_tests("changes_of_thin_pools_in_a_real_kernel");
}
