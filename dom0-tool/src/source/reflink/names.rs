//! Names of volumes below a folder, and of their snapshots.

use std::path::{Component, Path, PathBuf};

use crate::joints::{SourceError, SourceErrorKind};

/// The folder in which snapshots lie, in the folder of the volumes.
pub const SHELF: &str = ".nacre-snapshots";

/// Folders within folders, at most.
const DEPTH: usize = 16;

/// Bytes of a snapshot's file name, at most: what file systems allow, less a number.
const LONGEST: usize = 230;

/// What Qubes makes beside its images while a qube runs or is restored; `private.img` stands for all of them.
const IN_PASSING: [&str; 3] = ["-dirty.img", "-precache.img", "-import.img"];

/// Where a volume lies. Names do not lead out of the folder.
pub fn path_of(root: &Path, local: &str) -> Result<PathBuf, SourceError> {
    let relative = Path::new(local);
    let inside = relative
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let first = relative.components().next();
    let ours = first.is_none_or(|part| part.as_os_str() == SHELF);
    if !inside || ours || local.ends_with('/') || local.contains('\0') {
        let detail = format!("it is no name of a volume below {}", root.display());
        return Err(SourceError::new(SourceErrorKind::NotFound, local, detail));
    }
    Ok(root.join(relative))
}

/// The volume's name as part of a file name: `/` and `%` as in URLs.
pub fn escape(local: &str) -> Result<String, SourceError> {
    let escaped = local.replace('%', "%25").replace('/', "%2f");
    if escaped.len() > LONGEST {
        let detail = "its name is too long for that of a snapshot".to_owned();
        return Err(SourceError::new(
            SourceErrorKind::NoSnapshots,
            local,
            detail,
        ));
    }
    Ok(escaped)
}

/// Volume and number of a snapshot's file name; `None` for other files.
pub fn parse_snapshot(file: &str) -> Option<(String, u64)> {
    let (escaped, number) = file.rsplit_once('.')?;
    let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number = number.parse().ok().filter(|_| plain)?;
    let local = escaped.replace("%2f", "/").replace("%25", "%");
    let same = escape(&local).is_ok_and(|again| again == escaped);
    (same && !local.is_empty()).then_some((local, number))
}

/// The image files below a folder, sorted: regular files `*.img`, hidden folders and what Qubes makes in passing left out.
pub fn images(root: &Path) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    walk(root, "", 0, &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(folder: &Path, above: &str, depth: usize, found: &mut Vec<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // Volumes have names that can be typed and printed.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if name.starts_with('.') {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() && depth < DEPTH {
            let below = format!("{above}{name}/");
            match walk(&entry.path(), &below, depth + 1, found) {
                // Removed meanwhile, with its qube.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                done => done?,
            }
        } else if kind.is_file() && is_image(&name) {
            found.push(format!("{above}{name}"));
        }
    }
    Ok(())
}

fn is_image(name: &str) -> bool {
    extension(name) == Some("img") && !IN_PASSING.iter().any(|end| name.ends_with(end))
}

/// Whether Wyng gives its snapshots such a name.
pub fn is_of_wyng(name: &str) -> bool {
    let numbered = |rest: &str| {
        let end = rest.split_once(".wyng");
        end.is_some_and(|(_, end)| end.chars().count() == 1)
    };
    matches!(extension(name), Some("tick" | "tock"))
        || name.strip_prefix("sn").is_some_and(numbered)
}

fn extension(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(_, extension)| extension)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_snapshot_is_named_after_its_volume(local in "[a-z%/.25f]{1,20}", number: u64) {
            let file = format!("{}.{number}", escape(&local).unwrap());
            prop_assert!(!file.contains('/'));
            prop_assert_eq!(parse_snapshot(&file), Some((local, number)));
        }

        #[test]
        fn other_files_are_no_snapshots(file in "[a-z%/.25f]{0,12}") {
            if let Some((local, number)) = parse_snapshot(&file) {
                let again = format!("{}.{number}", escape(&local).unwrap());
                prop_assert_eq!(again.trim_end_matches(char::is_numeric), file.trim_end_matches(char::is_numeric));
            }
        }
    }

    #[test]
    fn names_do_not_lead_out_of_the_folder() {
        let root = Path::new("/pool");
        for bad in [
            "",
            "/etc/passwd",
            "..",
            "a/../../b",
            "a/",
            ".nacre-snapshots/x",
            "a\0b",
        ] {
            assert!(path_of(root, bad).is_err(), "{bad:?}");
        }
        let good = path_of(root, "appvms/mail/private.img").unwrap();
        assert_eq!(good, Path::new("/pool/appvms/mail/private.img"));
        assert!(escape(&"a/".repeat(100)).is_err());
    }

    #[test]
    fn images_are_found_in_sub_folders() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let files = [
            "appvms/mail/private.img",
            "appvms/mail/private-dirty.img",
            "appvms/mail/icon.png",
            ".nacre-snapshots/00/a.img.1",
            ".hidden/b.img",
            "vm-templates/t/root.img",
            "c.img",
        ];
        for file in files {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let wanted = [
            "appvms/mail/private.img",
            "c.img",
            "vm-templates/t/root.img",
        ];
        assert_eq!(images(root).unwrap(), wanted);
    }

    #[test]
    fn snapshots_of_wyng_are_known_by_name() {
        assert!(is_of_wyng("vm-x-private.tick") && is_of_wyng("sn12ab.wyng1"));
        assert!(!is_of_wyng("sn.img") && !is_of_wyng("private.img"));
    }
}
