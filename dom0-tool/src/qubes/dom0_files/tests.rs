//! Archives that nacre did not write: whoever has the key can make one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rustix::fs::{Mode, OFlags};

use super::header::{fill, headers};
use super::walk::{Kind, Saved};
use super::{Laid, Reader, Trouble, Unpack};

/// A folder to fill, in which links of the archive may lead to what is beside it and must not be touched.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.inside()).unwrap();
        fs::create_dir(place.outside()).unwrap();
        fs::write(place.outside().join("file"), "as it was").unwrap();
        place
    }

    fn inside(&self) -> PathBuf {
        self.0.path().join("inside")
    }

    fn outside(&self) -> PathBuf {
        self.0.path().join("outside")
    }

    fn unpack(&self, tar: &[u8], piece: usize) -> Result<(Laid, Vec<String>), Trouble> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let root = rustix::fs::open(self.inside(), flags, Mode::empty()).unwrap();
        let mut unpack = Unpack::new(root);
        let mut reader = Reader::default();
        for piece in tar.chunks(piece) {
            reader.feed(piece, &mut unpack)?;
        }
        reader.finish()?;
        unpack.finish().map_err(Trouble::Stopped)
    }

    /// Everything outside, with what a careless tar would change.
    fn around(&self) -> BTreeMap<PathBuf, (u32, i64, u64, Vec<u8>)> {
        let mut all = BTreeMap::new();
        let mut open = vec![self.0.path().to_owned()];
        while let Some(path) = open.pop() {
            let at = fs::symlink_metadata(&path).unwrap();
            let content = fs::read(&path).unwrap_or_default();
            if at.is_dir() && path != self.inside() {
                open.extend(fs::read_dir(&path).unwrap().map(|it| it.unwrap().path()));
            }
            if path != self.inside() {
                all.insert(path, (at.mode(), at.mtime(), at.nlink(), content));
            }
        }
        all
    }
}

fn saved(path: &[u8], kind: Kind) -> Saved {
    Saved {
        path: PathBuf::from(OsString::from_vec(path.to_vec())),
        kind,
        mode: 0o777,
        owner: (
            rustix::process::getuid().as_raw(),
            rustix::process::getgid().as_raw(),
        ),
        modified: 1,
        attributes: Vec::new(),
        identity: (0, 0, 1),
    }
}

fn folder(path: &str) -> Vec<u8> {
    headers(&saved(path.as_bytes(), Kind::Folder), None)
}

fn link(path: &str, to: &Path) -> Vec<u8> {
    headers(&saved(path.as_bytes(), Kind::Link(to.into())), None)
}

fn file(path: &[u8], content: &[u8]) -> Vec<u8> {
    let mut tar = headers(&saved(path, Kind::File(content.len() as u64)), None);
    tar.extend(content);
    fill(&mut tar);
    tar
}

fn name(path: &str, first: &str) -> Vec<u8> {
    headers(
        &saved(path.as_bytes(), Kind::File(0)),
        Some(first.as_bytes()),
    )
}

fn tar(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut tar = parts.concat();
    tar.extend([0; 1024]);
    tar
}

#[test]
fn no_name_leads_out_of_the_folder() {
    let place = Place::new();
    let before = place.around();
    let names: &[&[u8]] = &[
        b"../outside/file",
        b"/etc/nacre-was-here",
        b"home/../../outside/file",
        b"home/./x",
        b"home//x",
        b"..",
        b".",
        b"",
        b"home/x\0y",
        b"home/..",
    ];
    let parts: Vec<Vec<u8>> = names.iter().map(|name| file(name, b"bad")).collect();
    // A field ends at its first NUL: only a record can carry one, or nothing.
    let told = parts.len();
    let (laid, problems) = place.unpack(&tar(&parts), 4096).unwrap();
    assert_eq!(laid.files + problems.len(), told, "{problems:?}");
    assert!(laid.files <= 1, "{laid:?}");
    assert_eq!(place.around(), before);
    assert!(!Path::new("/etc/nacre-was-here").exists());
    let long = vec![b'x'; 5000];
    let (laid, problems) = place.unpack(&tar(&[file(&long, b"bad")]), 4096).unwrap();
    assert_eq!((laid.files, problems.len()), (0, 1), "{problems:?}");
}

#[test]
fn no_link_is_followed() {
    let place = Place::new();
    let before = place.around();
    let outside = place.outside();
    let parts = [
        folder("home"),
        link("home/l", &outside),
        file(b"home/l/new", b"bad"),
        file(b"home/l/file", b"bad"),
        folder("home/l/folder"),
        // The link itself under the name of a folder, which would get permissions, an owner, a time.
        folder("home/l"),
        link("home/f", &outside.join("file")),
        file(b"home/f", b"bad"),
        name("home/again", "home/f"),
        name("home/l/again", "home/fine"),
        name("home/again", "home/l/file"),
        name("home/again", "../outside/file"),
        name("home/again", "home/nothing"),
        file(b"home/fine", b"good"),
        name("home/fine too", "home/fine"),
        link("home", &outside),
        file(b"home/after", b"good"),
    ];
    let (laid, problems) = place.unpack(&tar(&parts), 100).unwrap();
    assert_eq!(place.around(), before, "{problems:?}");
    assert_eq!(problems.len(), 11, "{problems:#?}");
    assert_eq!(
        (laid.files, laid.folders, laid.others),
        (2, 1, 3),
        "{laid:?}"
    );
    let home = place.inside().join("home");
    assert_eq!(fs::read(home.join("fine too")).unwrap(), b"good");
    assert_eq!(fs::read(home.join("after")).unwrap(), b"good");
    assert_eq!(
        fs::metadata(&home).unwrap().permissions().mode() & 0o7777,
        0o777
    );
}

#[test]
fn what_is_there_already_is_never_opened() {
    let place = Place::new();
    let parts = [
        file(b"a", b"first"),
        file(b"a", b"second"),
        folder("a"),
        file(b"a/b", b"third"),
    ];
    let (laid, problems) = place.unpack(&tar(&parts), 7).unwrap();
    assert_eq!((laid.files, problems.len()), (1, 3), "{problems:?}");
    assert_eq!(fs::read(place.inside().join("a")).unwrap(), b"first");
    // Also what somebody put there meanwhile.
    symlink(place.outside().join("file"), place.inside().join("c")).unwrap();
    let (laid, _) = place.unpack(&tar(&[file(b"c", b"bad")]), 7).unwrap();
    assert_eq!(laid.files, 0);
    assert_eq!(
        fs::read(place.outside().join("file")).unwrap(),
        b"as it was"
    );
}

#[test]
fn an_archive_that_ends_early_or_has_a_hole_is_not_taken_for_whole() {
    let whole = tar(&[
        folder("home"),
        file(b"home/x", &[7; 700]),
        file(b"home/y", b"y"),
    ]);
    let place = Place::new();
    place.unpack(&whole, 512).unwrap();
    for end in 0..whole.len() {
        let place = Place::new();
        let result = place.unpack(&whole[..end], 512);
        assert!(
            matches!(result, Err(Trouble::Wrong(..))),
            "{end}: {result:?}"
        );
    }
    // Zeros where the last file was: an unfinished session.
    let mut hole = whole.clone();
    let from = whole.len() - 1024 - 1024;
    hole[from..].fill(0);
    let result = Place::new().unpack(&hole, 512);
    assert_eq!(
        result,
        Err(Trouble::Wrong(from as u64, "it ends before its end"))
    );
}

#[test]
fn it_does_not_matter_in_which_pieces_it_comes() {
    let path = format!("home/{}", "ä".repeat(120));
    let mut long = saved(path.as_bytes(), Kind::File(3));
    long.modified = -1;
    let mut long = headers(&long, None);
    long.extend(b"abc");
    fill(&mut long);
    let whole = tar(&[folder("home"), long, file(b"home/zeros", &[0; 9000])]);
    for piece in [1, 3, 511, 512, 513, 100_000] {
        let place = Place::new();
        let (laid, problems) = place.unpack(&whole, piece).unwrap();
        assert_eq!((laid.files, laid.bytes), (2, 9003), "{piece}: {problems:?}");
        let zeros = place.inside().join("home/zeros");
        assert_eq!(fs::read(&zeros).unwrap(), [0; 9000]);
        assert_eq!(fs::metadata(&zeros).unwrap().blocks(), 0);
        let long = place.inside().join(&path);
        assert_eq!(fs::read(&long).unwrap(), b"abc");
        assert_eq!(fs::metadata(&long).unwrap().mtime(), -1);
    }
}

/// A header whose sum is right whatever its fields are.
fn summed(mut block: Vec<u8>) -> Vec<u8> {
    block.resize(512, 0);
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn whatever_it_says_nothing_outside_changes(
        changes in proptest::collection::vec((0_usize..4096, any::<u8>()), 0..6),
        piece in 1_usize..2000,
    ) {
        let place = Place::new();
        let before = place.around();
        let parts = [
            folder("home"),
            link("home/l", &place.outside()),
            file("home/ä".as_bytes(), b"content"),
            name("home/b", "home/ä"),
        ];
        let mut whole = tar(&parts);
        for (at, byte) in changes {
            let at = at % whole.len();
            whole[at] = byte;
            let start = at / 512 * 512;
            let is_header = whole[start + 257..start + 262] == *b"ustar";
            if is_header {
                let block = summed(whole[start..start + 512].to_vec());
                whole[start..start + 512].copy_from_slice(&block);
            }
        }
        let _ = place.unpack(&whole, piece);
        prop_assert_eq!(place.around(), before);
    }
}
