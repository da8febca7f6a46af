//! Where a qube's volume lies in local storage, and what it is called in the archive.
//!
//! Names of volumes are those that people who come from Wyng have in their archives: an LV's name in a thin pool, a path below the pool's
//! folder on a reflink file system.

use super::dom0_files;
use crate::joints::qubes::{PoolInfo, QubeClass, QubeVolume};

/// Local storage as `--local` names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Storage {
    /// `vg/pool`
    Thin(String),
    /// A folder on a reflink file system.
    Folder(String),
}

impl Storage {
    /// As `--local` takes it.
    pub fn as_local(&self) -> &str {
        match self {
            Self::Thin(place) | Self::Folder(place) => place,
        }
    }
}

/// A volume's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its storage.
    pub storage: Storage,
    /// Its name in the archive, which is its local name as of its last stop.
    pub name: String,
    /// Its local name with the state of the running qube, where it runs and has one.
    pub live: String,
}

/// Why a volume cannot be saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble(pub String);

/// Finds a volume in its pool.
pub fn place(volume: &QubeVolume, pool: Option<&PoolInfo>) -> Result<Place, Trouble> {
    let Some(pool) = pool else {
        return Err(Trouble(format!("its pool {} is not there", volume.pool)));
    };
    let value = |key: &str| {
        let value = pool.values.get(key).filter(|value| !value.is_empty());
        value.ok_or_else(|| Trouble(format!("its pool {} has no {key}", pool.name)))
    };
    match pool.driver.as_str() {
        "lvm_thin" => {
            let group = value("volume_group")?;
            let lv = volume.vid.strip_prefix(group.as_str());
            let lv = lv.and_then(|rest| rest.strip_prefix('/'));
            let lv = lv.filter(|lv| !lv.is_empty() && !lv.contains('/'));
            let lv = lv.ok_or_else(|| strange(volume))?;
            // With -1 there is no copy for the running qube: it writes to the volume itself.
            let live = if volume.revisions < 0 {
                lv.to_owned()
            } else {
                format!("{lv}-snap")
            };
            Ok(Place {
                storage: Storage::Thin(format!("{group}/{}", value("thin_pool")?)),
                name: lv.to_owned(),
                live,
            })
        }
        "file-reflink" => {
            let folder = value("dir_path")?;
            let well = |part: &str| !part.is_empty() && part != "." && part != "..";
            if !folder.starts_with('/') || !volume.vid.split('/').all(well) {
                return Err(strange(volume));
            }
            let live = if volume.revisions < 0 {
                format!("{}.img", volume.vid)
            } else {
                format!("{}-dirty.img", volume.vid)
            };
            Ok(Place {
                storage: Storage::Folder(folder.clone()),
                name: format!("{}.img", volume.vid),
                live,
            })
        }
        driver @ ("zfs" | "file" | "callback") => Err(Trouble(format!(
            "its pool {} is of the kind {driver}, of which nacre makes no snapshots; move the qube to a thin pool or a reflink pool, \
             or save it with qvm-backup",
            pool.name
        ))),
        driver => Err(Trouble(format!(
            "its pool {} is of the kind {driver}, which this release of nacre does not know",
            pool.name
        ))),
    }
}

fn strange(volume: &QubeVolume) -> Trouble {
    Trouble(format!(
        "the pool {} calls it {}, which is no name of such a pool",
        volume.pool, volume.vid
    ))
}

/// The names under which a qube's volume may be in an archive: the one of each storage, since a qube may have moved.
pub fn candidates(qube: &str, class: &QubeClass, volume: &str) -> [String; 2] {
    let folder = match class {
        QubeClass::Template => "vm-templates",
        _ => "appvms",
    };
    [
        format!("vm-{qube}-{volume}"),
        format!("{folder}/{qube}/{volume}.img"),
    ]
}

/// The qube and the volume of it that a volume of an archive is, by its name: what [`candidates`] makes.
///
/// dom0's own files go by the name of dom0, though it is no qube.
pub fn qube_of(name: &str) -> Option<(&str, &str)> {
    if name == dom0_files::VOLUME {
        return Some(("dom0", "files"));
    }
    let folder = ["appvms/", "vm-templates/"];
    let (qube, volume) = match folder.iter().find_map(|folder| name.strip_prefix(folder)) {
        Some(rest) => {
            let (qube, file) = rest.split_once('/')?;
            (qube, file.strip_suffix(".img")?)
        }
        None => name.strip_prefix("vm-")?.rsplit_once('-')?,
    };
    let is_one = !qube.is_empty() && !qube.contains('/') && matches!(volume, "private" | "root");
    is_one.then_some((qube, volume))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(vid: &str, revisions: i64) -> QubeVolume {
        QubeVolume {
            name: "private".to_owned(),
            pool: "p".to_owned(),
            vid: vid.to_owned(),
            size: 1,
            used: None,
            kept: true,
            writable: true,
            revisions,
        }
    }

    fn pool(driver: &str, values: &[(&str, &str)]) -> PoolInfo {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        PoolInfo {
            name: "p".to_owned(),
            driver: driver.to_owned(),
            values: values.iter().map(pair).collect(),
        }
    }

    fn thin() -> PoolInfo {
        pool(
            "lvm_thin",
            &[("volume_group", "qubes_dom0"), ("thin_pool", "vm-pool")],
        )
    }

    #[test]
    fn volumes_are_found_under_the_names_that_archives_have() {
        let found = place(&volume("qubes_dom0/vm-work-private", 1), Some(&thin())).unwrap();
        assert_eq!(found.storage.as_local(), "qubes_dom0/vm-pool");
        assert_eq!(found.name, "vm-work-private");
        assert_eq!(found.live, "vm-work-private-snap");
        let reflink = pool("file-reflink", &[("dir_path", "/var/lib/qubes")]);
        let found = place(&volume("appvms/mail/private", 1), Some(&reflink)).unwrap();
        assert_eq!(found.storage.as_local(), "/var/lib/qubes");
        assert_eq!(found.name, "appvms/mail/private.img");
        assert_eq!(found.live, "appvms/mail/private-dirty.img");
        let both = candidates("mail", &QubeClass::App, "private");
        assert_eq!(both, ["vm-mail-private", "appvms/mail/private.img"]);
    }

    #[test]
    fn a_volumes_name_tells_whose_it_is() {
        for class in [QubeClass::App, QubeClass::Template] {
            for qube in ["mail", "my-vpn", "debian-13.1"] {
                for volume in ["private", "root"] {
                    for name in candidates(qube, &class, volume) {
                        assert_eq!(qube_of(&name), Some((qube, volume)), "{name}");
                    }
                }
            }
        }
        assert_eq!(qube_of("qubes:dom0"), Some(("dom0", "files")));
        for other in [
            "qubes:settings",
            "vm-private",
            "vm--private",
            "vm-a-1-back",
            "vm-a/b-root",
            "appvms/root.img",
            "appvms/a/b/root.img",
            "photos",
        ] {
            assert_eq!(qube_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_volume_that_is_written_in_place_is_its_own_live_state() {
        let found = place(&volume("qubes_dom0/vm-work-private", -1), Some(&thin())).unwrap();
        assert_eq!(found.live, found.name);
    }

    #[test]
    fn what_cannot_be_found_or_read_is_refused_with_a_reason() {
        let refused =
            |vid: &str, pool: Option<&PoolInfo>| place(&volume(vid, 1), pool).unwrap_err().0;
        assert!(refused("x/y", Some(&thin())).contains("no name of such a pool"));
        assert!(refused("qubes_dom0/a/b", Some(&thin())).contains("no name of such a pool"));
        let reflink = pool("file-reflink", &[("dir_path", "/var/lib/qubes")]);
        assert!(refused("../../etc/shadow", Some(&reflink)).contains("no name"));
        assert!(refused("x", None).contains("is not there"));
        for driver in ["zfs", "file", "callback"] {
            assert!(
                refused("x", Some(&pool(driver, &[]))).contains("qvm-backup"),
                "{driver}"
            );
        }
        assert!(refused("x", Some(&pool("new", &[]))).contains("does not know"));
        assert!(refused("x", Some(&pool("lvm_thin", &[]))).contains("has no volume_group"));
    }
}
