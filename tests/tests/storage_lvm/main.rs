//! LVM thin pools, in a real kernel.
#![allow(clippy::unwrap_used)] // Failing loudly is what these are for.

use nacre_tests::LabKernel;

#[test]
fn thin_pools_in_a_real_kernel() {
    LabKernel::new()
        .disk("4G")
        .needs("lvm")
        .needs("thin_delta")
        .seconds(600)
        .run_ignored_tests("thin_pools_in_a_real_kernel");
}

#[test]
#[ignore = "started by thin_pools_in_a_real_kernel"]
fn the_lab_kernel_has_thin_pools_and_the_disk() {
    let targets = std::process::Command::new("dmsetup")
        .arg("targets")
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&targets.stdout).contains("thin-pool"));
    assert!(std::path::Path::new("/dev/ubda").exists());
}
