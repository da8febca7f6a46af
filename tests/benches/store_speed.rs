//! Puts and gets through the helper, in turn with `dd` on the same file system, as ratios.
//!
//! `cargo build --profile helper -p nacre-helper && cargo bench -p nacre-tests --bench store_speed`
//! NACRE_BENCH_DIR: where to write (default: the target folder). NACRE_BENCH_HELPER: another helper.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss)] // A bench that cannot run shall stop.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use nacre::joints::{ByteRange, PutOutcome, Store};
use nacre_core::ids::PackName;
use nacre_core::object_name::ObjectName;

const OBJECT: usize = 32 << 20;
const PIECE: usize = 128 << 10;
const OBJECTS: u8 = 12;
const ROUNDS: usize = 5;

fn main() {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let chosen = |name: &str, default: &str| {
        std::env::var_os(name).map_or_else(|| target.join(default), PathBuf::from)
    };
    let helper = chosen("NACRE_BENCH_HELPER", "helper/nacre-helper");
    let place = tempfile::tempdir_in(chosen("NACRE_BENCH_DIR", "")).unwrap();
    let bytes: Vec<u8> = (0..OBJECT as u64)
        .map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect();
    let source = place.path().join("source");
    std::fs::write(&source, &bytes).unwrap();
    let mut table = [const { Vec::new() }; 6];
    for round in 0..ROUNDS {
        let folder = place.path().join(format!("round-{round}"));
        std::fs::create_dir(&folder).unwrap();
        let store = nacre::store::open_local(Some(&helper), &folder.join("archive"), true).unwrap();
        let store = store.as_ref();
        table[0].push(measure(|| dd_puts(&source, &folder)));
        table[1].push(measure(|| puts(store, &bytes)));
        table[2].push(measure(|| overlapping_puts(store, &bytes)));
        // Both read what is in the page cache.
        dd_gets(&folder);
        gets(store, PIECE);
        table[3].push(measure(|| dd_gets(&folder)));
        table[4].push(measure(|| gets(store, PIECE)));
        table[5].push(measure(|| gets(store, OBJECT)));
        println!("peak memory of the helper: {}", peak_memory());
        std::fs::remove_dir_all(&folder).unwrap();
    }
    let names = [
        "dd conv=fsync",
        "puts, one by one",
        "puts, two at once",
        "dd | cat",
        "gets of 128 KiB",
        "gets of 32 MiB",
    ];
    let medians = table.each_ref().map(|runs| median(runs));
    for (at, (name, run)) in names.iter().zip(&medians).enumerate() {
        let reference = medians[if at < 3 { 0 } else { 3 }].rate;
        let rates: Vec<_> = table[at]
            .iter()
            .map(|one| format!("{:.0}", one.rate))
            .collect();
        println!(
            "{name:18} median {:7.0} MiB/s, {:4.0} % of dd, cpu {:4.0} ms/GiB; all {}",
            run.rate,
            100.0 * run.rate / reference,
            run.cpu_ms_per_gib,
            rates.join(" ")
        );
    }
}

#[derive(Clone, Copy)]
struct Run {
    rate: f64,
    cpu_ms_per_gib: f64,
}

fn median(runs: &[Run]) -> Run {
    let mut runs = runs.to_vec();
    runs.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    runs[runs.len() / 2]
}

/// Runs it; counts the CPU time of this process, the programs it waited for, and the helper.
fn measure(work: impl FnOnce()) -> Run {
    let mib = OBJECT as f64 * f64::from(OBJECTS) / f64::from(1 << 20);
    let (start, cpu) = (Instant::now(), cpu_ms());
    work();
    let (elapsed, cpu) = (start.elapsed(), cpu_ms() - cpu);
    Run {
        rate: mib / elapsed.as_secs_f64(),
        cpu_ms_per_gib: cpu / (mib / 1024.0),
    }
}

/// Milliseconds, in steps of a hundredth of a second.
fn cpu_ms() -> f64 {
    let ticks = |process: &str| -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let numbers = after_name.split_whitespace().skip(11).take(4);
        numbers.map(|number| number.parse().unwrap_or(0)).sum()
    };
    (ticks("self") + helper().map_or(0, |helper| ticks(&helper))) as f64 * 10.0
}

fn name(number: u8) -> ObjectName {
    ObjectName::Pack(PackName([number; 16]))
}

fn dd_puts(source: &Path, folder: &Path) {
    for number in 0..OBJECTS {
        run(&format!(
            "dd if={} of={}/dd-{number} bs=1M conv=fsync status=none",
            source.display(),
            folder.display()
        ));
    }
}

fn dd_gets(folder: &Path) {
    for number in 0..OBJECTS {
        run(&format!(
            "dd if={}/dd-{number} bs=1M status=none | cat >/dev/null",
            folder.display()
        ));
    }
}

fn run(line: &str) {
    assert!(
        Command::new("sh")
            .args(["-c", line])
            .status()
            .unwrap()
            .success()
    );
}

fn puts(store: &dyn Store, bytes: &[u8]) {
    for number in 0..OBJECTS {
        let outcome = store.put_whole(name(number), bytes).unwrap();
        assert_eq!(outcome, PutOutcome::Created);
    }
    store.barrier().unwrap();
}

fn overlapping_puts(store: &dyn Store, bytes: &[u8]) {
    let mut last = None;
    for number in 0..OBJECTS {
        let mut put = store.put_new(name(100 + number)).unwrap();
        put.write(bytes).unwrap();
        let before = last.replace(put.finish().unwrap());
        if let Some(put) = before {
            assert_eq!(put.wait().unwrap(), PutOutcome::Created);
        }
    }
    last.unwrap().wait().unwrap();
    store.barrier().unwrap();
}

/// One request for each object, in ranges of so many bytes. In one piece an object costs as many page faults as it has
/// pages, since the C library takes such memory fresh from the kernel; a restore asks for items.
fn gets(store: &dyn Store, piece: usize) {
    let length = u32::try_from(piece).unwrap();
    let ranges: Vec<_> = (0..OBJECT as u64)
        .step_by(piece)
        .map(|offset| ByteRange { offset, length })
        .collect();
    for number in 0..OBJECTS {
        let got = store.get(name(number), &ranges).unwrap();
        assert_eq!(got.iter().map(Vec::len).sum::<usize>(), OBJECT);
    }
}

/// The process number of our only child.
fn helper() -> Option<String> {
    let own = std::process::id();
    let children = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).ok()?;
    Some(children.split_whitespace().next()?.to_owned())
}

fn peak_memory() -> String {
    let status =
        helper().and_then(|helper| std::fs::read_to_string(format!("/proc/{helper}/status")).ok());
    let status = status.unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.unwrap_or("unknown").to_owned()
}
