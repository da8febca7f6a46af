//! Confinement: after `Hello` the process can reach the archive's folder and nothing else.
//!
//! Landlock governs files, seccomp everything else that a process can ask of the kernel. Each is worth having without the
//! other; where the kernel lacks one, `HelloOk` says so and the helper goes on.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags,
};
use nacre_wire::ErrorCode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use crate::failure::{Failure, While};

/// Open files: 260 folders, six objects with a source each, and some.
const MAX_FILES: u64 = 512;
/// Bytes of private memory. A multiple of what is ever used, so that a fault ends in an error and not in a full qube.
const MAX_DATA: u64 = 256 << 20;

/// Limits on memory, open files and core dumps.
pub fn confine_limits() -> Result<(), Failure> {
    for (resource, limit) in [
        (Resource::Core, 0),
        (Resource::Nofile, MAX_FILES),
        (Resource::Data, MAX_DATA),
    ] {
        let old = getrlimit(resource);
        let lower = |old: Option<u64>| Some(old.map_or(limit, |old| old.min(limit)));
        let new = Rlimit {
            current: lower(old.current),
            maximum: lower(old.maximum),
        };
        setrlimit(resource, new).doing("lower a limit")?;
    }
    Ok(())
}

/// What the backend does with files. Nothing of it executes, links elsewhere, or makes devices and sockets.
const ALLOWED: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | RemoveFile | MakeReg | MakeDir
});

/// Landlock: files below `root` and no others, no TCP, no signals and no abstract sockets, for this thread and those it
/// starts from now on. `false` where the kernel cannot keep it from files.
pub fn confine_files(root: BorrowedFd<'_>) -> Result<bool, Failure> {
    landlock(Some(root)).map_err(failed)
}

/// Landlock without any file: for a helper that only hands on.
pub fn confine_from_files() -> Result<bool, Failure> {
    landlock(None).map_err(failed)
}

fn failed(error: RulesetError) -> Failure {
    let text = format!("cannot confine myself with Landlock: {error}");
    Failure::new(ErrorCode::Io, text)
}

fn landlock(root: Option<BorrowedFd<'_>>) -> Result<bool, RulesetError> {
    let abi = ABI::V6;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?;
    if let Some(root) = root {
        ruleset = ruleset.add_rule(PathBeneath::new(root, ALLOWED))?;
    }
    let status = ruleset.restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// Seccomp: reading and writing files and little else, for all threads. `false` where the kernel cannot.
///
/// Other calls fail with EPERM instead of killing: a C library that tries a newer call first finds its way back.
pub fn confine_syscalls() -> bool {
    let program = filter();
    program.is_some_and(|program| seccompiler::apply_filter_all_threads(&program).is_ok())
}

fn filter() -> Option<BpfProgram> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED_CALLS
        .iter()
        .map(|number| (*number, Vec::new()))
        .collect();
    // Memory that can be executed is for starting programs, which is over.
    let no_exec = SeccompCondition::new(
        2,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(libc::PROT_EXEC.unsigned_abs().into()),
        0,
    );
    let no_exec = SeccompRule::new(vec![no_exec.ok()?]).ok()?;
    for number in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(number, vec![no_exec.clone()]);
    }
    let architecture = std::env::consts::ARCH.try_into().ok()?;
    SeccompFilter::new(
        rules,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        SeccompAction::Allow,
        architecture,
    )
    .ok()?
    .try_into()
    .ok()
}

/// Calls that are allowed whatever their arguments. No sockets, no processes, no threads (all run by now), no ioctl, no
/// changing of owners, modes, mounts or limits.
const ALLOWED_CALLS: &[i64] = &[
    // Bytes.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_copy_file_range,
    libc::SYS_splice,
    libc::SYS_lseek,
    libc::SYS_ppoll,
    // Waiting for ssh, which was started before.
    libc::SYS_wait4,
    libc::SYS_waitid,
    // Files.
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_getdents64,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_flock,
    libc::SYS_fcntl,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_syncfs,
    // Memory, threads, time, the end.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_tgkill,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_exit,
    libc::SYS_exit_group,
];
