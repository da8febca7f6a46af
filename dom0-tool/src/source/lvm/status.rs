//! How a thin pool is: what `dmsetup status` says of it (Linux: Documentation/admin-guide/device-mapper/thin-provisioning.rst).

use crate::joints::{SourceError, SourceErrorKind};

/// Above this part of the data space in use, in per cent, no snapshot is made: each makes every later write take new space.
const DATA_LIMIT: u64 = 95;
/// The same for metadata. A pool without room for metadata stops and has to be repaired.
const METADATA_LIMIT: u64 = 90;

/// A pool at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    /// Blocks of metadata in use, and all.
    metadata: (u64, u64),
    /// Blocks of data in use, and all.
    data: (u64, u64),
    /// The block that a reserved metadata snapshot begins with.
    pub held_root: Option<u64>,
    mode: Mode,
    needs_check: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Writable,
    ReadOnly,
    OutOfData,
    Failed,
}

impl PoolStatus {
    /// Takes the line apart: `0 8192 thin-pool 4 14/1024 8/64 - rw discard_passdown queue_if_no_space - 256`.
    pub fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "thin-pool")?;
        let rest = words.get(at + 1..)?;
        let failed = Self {
            metadata: (0, 0),
            data: (0, 0),
            held_root: None,
            mode: Mode::Failed,
            needs_check: false,
        };
        if matches!(rest.first(), Some(&("Fail" | "Error"))) {
            return Some(failed);
        }
        let pair = |word: &str| {
            let (used, all) = word.split_once('/')?;
            Some((used.parse().ok()?, all.parse().ok()?))
        };
        let held = *rest.get(3)?;
        let mode = match *rest.get(4)? {
            "rw" => Mode::Writable,
            "ro" => Mode::ReadOnly,
            "out_of_data_space" => Mode::OutOfData,
            _ => return None,
        };
        Some(Self {
            metadata: pair(rest.get(1)?)?,
            data: pair(rest.get(2)?)?,
            held_root: if held == "-" {
                None
            } else {
                Some(held.parse().ok()?)
            },
            mode,
            needs_check: rest.contains(&"needs_check"),
        })
    }

    /// Whether the pool can be used at all: neither failed nor in need of a check.
    pub fn check_health(&self, pool: &str) -> Result<(), SourceError> {
        let detail = match self.mode {
            Mode::Failed => {
                "the thin pool has failed; look at the kernel's log and repair it with lvconvert --repair"
            }
            _ if self.needs_check => {
                "the thin pool needs a check of its metadata; deactivate it and run lvconvert --repair"
            }
            Mode::ReadOnly => {
                "the thin pool is read-only, as after an error of its metadata; repair it with lvconvert --repair"
            }
            Mode::OutOfData => {
                let detail = format!(
                    "the thin pool has no data space left; extend it with lvextend -L +SIZE {pool}, or remove volumes"
                );
                return Err(SourceError::new(SourceErrorKind::NoSpace, pool, detail));
            }
            Mode::Writable => return Ok(()),
        };
        Err(SourceError::new(SourceErrorKind::Io, pool, detail))
    }

    /// Whether snapshots or volumes may be made.
    pub fn check_room(&self, pool: &str) -> Result<(), SourceError> {
        self.check_health(pool)?;
        let full = |what: &str, part: (u64, u64), limit: u64, remedy: String| {
            let (used, all) = part;
            if used.saturating_mul(100) <= all.saturating_mul(limit) {
                return Ok(());
            }
            let percent = used.saturating_mul(100).checked_div(all).unwrap_or(100);
            let detail = format!(
                "{percent} % of its {what} space is in use, and above {limit} % nothing is made there that takes more; {remedy}"
            );
            Err(SourceError::new(SourceErrorKind::NoSpace, pool, detail))
        };
        let more = format!("extend it with lvextend --poolmetadatasize +64M {pool}");
        full("metadata", self.metadata, METADATA_LIMIT, more)?;
        let more = format!("extend it with lvextend -L +SIZE {pool}, or remove volumes");
        full("data", self.data, DATA_LIMIT, more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_taken_apart() {
        let line = "0 8192 thin-pool 4 14/1024 8/64 - rw discard_passdown queue_if_no_space - 256";
        let status = PoolStatus::parse(line).unwrap();
        assert_eq!(
            (status.metadata, status.data, status.held_root),
            ((14, 1024), (8, 64), None)
        );
        status.check_room("vg/pool").unwrap();
        let held = PoolStatus::parse("0 8192 thin-pool 4 14/1024 8/64 77 rw x").unwrap();
        assert_eq!(held.held_root, Some(77));
        for bad in [
            "",
            "0 8 thin 3",
            "0 8 thin-pool",
            "0 8 thin-pool 1 2/3 4 - rw",
            "0 8 thin-pool 1 2/3 4/5 x rw",
            "0 8 thin-pool 1 2/3 4/5 - rx",
        ] {
            assert_eq!(PoolStatus::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn full_and_sick_pools_are_refused_with_a_remedy() {
        let refusal = |line: &str| {
            let status = PoolStatus::parse(&format!("0 8192 thin-pool {line}")).unwrap();
            status.check_room("vg/pool").unwrap_err().to_string()
        };
        assert!(refusal("4 922/1024 8/64 - rw x - 256").contains("lvextend --poolmetadatasize"));
        assert!(refusal("4 14/1024 61/64 - rw x - 256").contains("lvextend -L"));
        assert!(refusal("4 14/1024 64/64 - out_of_data_space x - 256").contains("no data space"));
        assert!(refusal("4 14/1024 8/64 - ro x needs_check 256").contains("needs a check"));
        assert!(refusal("4 14/1024 8/64 - rw x needs_check 256").contains("needs a check"));
        assert!(refusal("4 14/1024 8/64 - ro x - 256").contains("read-only"));
        assert!(refusal("Fail").contains("failed"));
        let fine = PoolStatus::parse("0 8 thin-pool 4 921/1024 60/64 - rw x - 256").unwrap();
        fine.check_room("vg/pool").unwrap();
    }
}
