//! Names of logical volumes: whose snapshot is it, and what device-mapper calls it.

use std::fmt::Write;

use nacre_core::ids::ArchiveId;

/// What stands between a volume's name and ours.
const MARK: &str = ".nacre_";
/// Hex digits of the archive's id in a name.
const DIGITS: usize = 8;

/// What a name with [`MARK`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A snapshot, numbered: the higher the newer.
    Snapshot(u64),
    /// What a restore writes to, until it is whole.
    New,
    /// What was there before a restore, for the moment between two renames.
    Old,
}

/// A name that nacre gave: `vm-work-private.nacre_0123abcd_7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OurName<'a> {
    /// The volume it belongs to.
    pub volume: &'a str,
    /// The archive, as in [`short`].
    pub archive: &'a str,
    /// What it is.
    pub part: Part,
}

impl<'a> OurName<'a> {
    /// Takes a name apart; `None` if nacre does not give such names. The end decides, since qubes' names may hold dots.
    pub fn parse(name: &'a str) -> Option<Self> {
        let (volume, rest) = name.rsplit_once(MARK)?;
        let (archive, part) = rest.split_at_checked(DIGITS)?;
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if volume.is_empty() || !archive.bytes().all(is_hex) {
            return None;
        }
        let part = match part.strip_prefix('_')? {
            "new" => Part::New,
            "old" => Part::Old,
            // As we write it: no sign, no leading zero.
            number => Part::Snapshot(
                number
                    .parse()
                    .ok()
                    .filter(|n: &u64| n.to_string() == number)?,
            ),
        };
        Some(Self {
            volume,
            archive,
            part,
        })
    }
}

/// The name of something of ours that belongs to a volume.
pub fn our_name(volume: &str, archive: &str, part: Part) -> String {
    let part = match part {
        Part::Snapshot(number) => number.to_string(),
        Part::New => "new".to_owned(),
        Part::Old => "old".to_owned(),
    };
    format!("{volume}{MARK}{archive}_{part}")
}

/// The name of the lock on an archive's snapshots of a volume.
pub fn lock_name(group: &str, volume: &str, archive: &str) -> String {
    format!("{group}-{volume}{MARK}{archive}.snapshots")
}

/// The first digits of an archive's id.
pub fn short(archive: &ArchiveId) -> String {
    let mut text = String::new();
    for byte in archive.0.iter().take(DIGITS / 2) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Whether LVM takes this for the name of a group or volume; such a name is safe on a command line (lvm(8), valid names).
pub fn is_lvm_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"+_.-".contains(&b);
    let shape = !name.is_empty() && name.len() <= 127 && name.bytes().all(allowed);
    shape && !name.starts_with('-') && name != "." && name != ".."
}

/// Whether Wyng gave the name: `vm-work-private.tick`, `.tock`.
pub fn is_wyngs(name: &str) -> bool {
    matches!(name.rsplit_once('.'), Some((_, "tick" | "tock")))
}

/// What device-mapper calls a logical volume: `vg-vm--work--private`, in /dev/mapper.
pub fn mapper_name(group: &str, volume: &str) -> String {
    format!("{}-{}", group.replace('-', "--"), volume.replace('-', "--"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_names_are_told_from_all_others() {
        let name = our_name("vm-a.b-private", "0123abcd", Part::Snapshot(12));
        assert_eq!(name, "vm-a.b-private.nacre_0123abcd_12");
        let found = OurName::parse(&name).unwrap();
        assert_eq!(
            (found.volume, found.archive, found.part),
            ("vm-a.b-private", "0123abcd", Part::Snapshot(12))
        );
        for part in [Part::New, Part::Old] {
            let name = our_name("vm-x", "00000000", part);
            assert_eq!(OurName::parse(&name).unwrap().part, part);
        }
        for other in [
            "vm-work-private",
            "vm-work-private.tick",
            "vm-work-private-snap",
            ".nacre_0123abcd_1",
            "vm.nacre_0123abcg_1",
            "vm.nacre_0123abcd_",
            "vm.nacre_0123abcd_01",
            "vm.nacre_0123abcd_+1",
            "vm.nacre_0123abcd1",
            "vm.nacre_0123ABCD_1",
        ] {
            assert_eq!(OurName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn dashes_are_doubled_for_device_mapper() {
        assert_eq!(mapper_name("qubes_dom0", "vm-pool"), "qubes_dom0-vm--pool");
        assert!(is_lvm_name("vm-work-private"));
        for bad in ["", "-x", "a b", "a/b", "..", "a;b", "ä"] {
            assert!(!is_lvm_name(bad), "{bad}");
        }
    }
}
