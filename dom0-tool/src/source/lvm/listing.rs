//! What `lvs` reports of a volume group.

use std::path::Path;

use serde::Deserialize;

use super::command::lvm_report;
use super::names::{OurName, Part, is_lvm_name};
use crate::joints::{SourceError, SourceErrorKind};

/// A logical volume.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Volume {
    #[serde(rename = "lv_name")]
    pub name: String,
    #[serde(rename = "lv_uuid")]
    pub uuid: String,
    #[serde(rename = "lv_size")]
    size_text: String,
    /// Its volume group.
    #[serde(rename = "vg_name", default)]
    group: String,
    /// The thin pool it lies in; empty for others.
    pub pool_lv: String,
    /// What it is a snapshot of, if that is still there.
    pub origin: String,
    #[serde(rename = "thin_id")]
    thin_id_text: String,
    /// Letters by place: lvs(8).
    #[serde(rename = "lv_attr")]
    pub attributes: String,
    #[serde(rename = "lv_tags", default)]
    tags: String,
    /// Bytes of a data block, for pools.
    #[serde(rename = "chunk_size", default)]
    data_block_text: String,
    #[serde(rename = "vg_extent_size", default)]
    extent_text: String,
}

impl Volume {
    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size_text.parse().unwrap_or(0)
    }

    /// Whether it bears a tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.split(',').any(|one| one == tag)
    }

    /// Its id in the pool.
    pub fn thin_id(&self) -> Option<u32> {
        self.thin_id_text.parse().ok()
    }

    fn attribute(&self, at: usize) -> u8 {
        self.attributes.as_bytes().get(at).copied().unwrap_or(b'-')
    }

    /// Whether it is active: there is a device.
    pub fn is_active(&self) -> bool {
        self.attribute(4) == b'a'
    }

    /// Whether somebody has its device open.
    pub fn is_open(&self) -> bool {
        self.attribute(5) == b'o'
    }

    /// Whether the pool zeroes a data block before a part of it is written.
    pub fn zeroes(&self) -> bool {
        self.attribute(7) == b'z'
    }

    /// Whether it is a thin pool.
    pub fn is_pool(&self) -> bool {
        self.attribute(0) == b't'
    }
}

/// All volumes of a group at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    volumes: Vec<Volume>,
    pool: String,
}

#[derive(Deserialize)]
struct Document {
    report: Vec<Section>,
}

#[derive(Deserialize)]
struct Section {
    #[serde(default)]
    lv: Vec<Volume>,
}

impl Listing {
    /// Asks LVM for the volumes of a group; `pool` is the one that matters here.
    pub fn read(group: &str, pool: &str) -> Result<Self, SourceError> {
        let place = format!("{group}/{pool}");
        Self::take_apart(&report(&place, group)?, pool, &place)
    }

    /// The same for the pool of the thin volume whose device that is; `None` if it is no thin volume of LVM's.
    pub fn around(device: &Path) -> Result<Option<Self>, SourceError> {
        let place = device.display().to_string();
        // An error is what LVM says of a device that is none of its volumes.
        let Ok(bytes) = report(&place, &place) else {
            return Ok(None);
        };
        let of_one = Self::take_apart(&bytes, "", &place)?;
        let names = of_one.volumes.first();
        let names = names.map(|volume| (&volume.group, &volume.pool_lv));
        let names = names.filter(|(group, pool)| is_lvm_name(group) && is_lvm_name(pool));
        names
            .map(|(group, pool)| Self::read(group, pool))
            .transpose()
    }

    fn take_apart(bytes: &[u8], pool: &str, place: &str) -> Result<Self, SourceError> {
        Self::parse(bytes, pool)
            .map_err(|why| SourceError::new(SourceErrorKind::Io, place, format!("lvs: {why}")))
    }

    /// Takes a report apart. Volumes with names that LVM does not allow are an error: they would reach command lines.
    pub fn parse(bytes: &[u8], pool: &str) -> Result<Self, String> {
        let document: Document =
            serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let sections = document.report.into_iter();
        let volumes: Vec<Volume> = sections.flat_map(|section| section.lv).collect();
        if let Some(odd) = volumes.iter().find(|volume| !is_lvm_name(&volume.name)) {
            return Err(format!("a volume is called {:?}", odd.name));
        }
        let pool = pool.to_owned();
        Ok(Self { volumes, pool })
    }

    /// A volume of the pool.
    pub fn volume(&self, name: &str) -> Option<&Volume> {
        self.in_pool().find(|volume| volume.name == name)
    }

    /// All volumes of the pool.
    pub fn in_pool(&self) -> impl Iterator<Item = &Volume> {
        let inside = |volume: &&Volume| volume.pool_lv == self.pool;
        self.volumes.iter().filter(inside)
    }

    /// The pool itself.
    pub fn pool(&self) -> Option<&Volume> {
        let mut all = self.volumes.iter();
        all.find(|volume| volume.name == self.pool && volume.is_pool())
    }

    /// Bytes of the smallest piece that the pool maps. Not to know it is an error: what is discarded in other pieces keeps its content.
    pub fn data_block(&self) -> Result<u64, SourceError> {
        let block = self.pool().map(|pool| pool.data_block_text.parse());
        let block = block.and_then(Result::ok).filter(|block| *block > 0);
        block.ok_or_else(|| {
            let detail = "lvs does not say how large its data blocks are";
            SourceError::new(SourceErrorKind::Io, &self.pool, detail)
        })
    }

    /// Sizes of volumes are multiples of this many bytes.
    pub fn extent(&self) -> u64 {
        let first = self
            .volumes
            .first()
            .map(|volume| volume.extent_text.parse());
        first.and_then(Result::ok).unwrap_or(1).max(1)
    }

    /// Whether what the volume does not map comes from a volume outside of the pool (lvmthin(7), external origin).
    pub fn has_outside_origin(&self, volume: &Volume) -> bool {
        let mut at = volume;
        // A chain is not longer than there are volumes.
        for _ in &self.volumes {
            if at.origin.is_empty() {
                return false;
            }
            match self.volume(&at.origin) {
                Some(origin) => at = origin,
                None => return true,
            }
        }
        true
    }

    /// Snapshots of an archive, of one volume or of all: number and volume, old ones first.
    pub fn snapshots<'a>(
        &'a self,
        archive: &'a str,
        of: Option<&'a str>,
    ) -> Vec<(u64, OurName<'a>, &'a Volume)> {
        let ours = |volume: &'a Volume| {
            let name = OurName::parse(&volume.name)?;
            let Part::Snapshot(number) = name.part else {
                return None;
            };
            let wanted = name.archive == archive && of.is_none_or(|of| of == name.volume);
            wanted.then_some((number, name, volume))
        };
        let mut found: Vec<_> = self.in_pool().filter_map(ours).collect();
        found.sort_by_key(|(number, ..)| *number);
        found
    }
}

/// Asks LVM for the volumes of a group, or for the one whose device is given.
fn report(place: &str, of: &str) -> Result<Vec<u8>, SourceError> {
    let fields = "vg_name,lv_name,lv_uuid,lv_size,pool_lv,origin,thin_id,lv_attr,lv_tags,chunk_size,vg_extent_size";
    let report = [
        "lvs",
        "--reportformat",
        "json",
        "--units",
        "b",
        "--nosuffix",
        "--options",
        fields,
        of,
    ];
    lvm_report(place, &report)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(volumes: &[(&str, &str, &str)]) -> Listing {
        let one = |(name, pool, origin): &(&str, &str, &str)| {
            format!(
                r#"{{"lv_name":"{name}","lv_uuid":"u","lv_size":"4194304","pool_lv":"{pool}","origin":"{origin}","thin_id":"3","lv_attr":"Vri---tz-k"}}"#
            )
        };
        let all: Vec<String> = volumes.iter().map(one).collect();
        let text = format!(r#"{{"report":[{{"lv":[{}]}}]}}"#, all.join(","));
        Listing::parse(text.as_bytes(), "pool").unwrap()
    }

    #[test]
    fn snapshots_are_found_by_archive_and_volume_in_order() {
        let listing = listing(&[
            ("vm-a.nacre_00112233_10", "pool", ""),
            ("vm-a.nacre_00112233_9", "pool", ""),
            ("vm-b.nacre_00112233_1", "pool", ""),
            ("vm-a.nacre_ffffffff_11", "pool", ""),
            ("vm-a.nacre_00112233_12", "other", ""),
            ("vm-a.nacre_00112233_new", "pool", ""),
            ("vm-a", "pool", ""),
        ]);
        let numbers = |of| -> Vec<u64> {
            let found = listing.snapshots("00112233", of);
            found.iter().map(|(number, ..)| *number).collect()
        };
        assert_eq!(numbers(Some("vm-a")), [9, 10]);
        assert_eq!(numbers(None), [1, 9, 10]);
        assert_eq!(listing.volume("vm-a").unwrap().size(), 4 << 20);
        assert_eq!(listing.volume("vm-a").unwrap().thin_id(), Some(3));
    }

    #[test]
    fn an_origin_outside_of_the_pool_is_seen_through_snapshots() {
        let listing = listing(&[
            ("iso", "", ""),
            ("vm-a", "pool", "iso"),
            ("snap", "pool", "vm-a"),
            ("vm-b", "pool", ""),
            ("round", "pool", "round"),
        ]);
        let outside = |name| listing.has_outside_origin(listing.volume(name).unwrap());
        assert_eq!(
            ["vm-a", "snap", "vm-b", "round"].map(outside),
            [true, true, false, true]
        );
    }

    #[test]
    fn a_pool_without_the_size_of_its_data_blocks_is_an_error() {
        let block = |of: &str| {
            let text = format!(
                r#"{{"report":[{{"lv":[{{"lv_name":"pool","lv_uuid":"u","lv_size":"4194304","pool_lv":"","origin":"","thin_id":"","lv_attr":"twi-aotz--","chunk_size":"{of}"}}]}}]}}"#
            );
            let listing = Listing::parse(text.as_bytes(), "pool").unwrap();
            listing.data_block().map_err(|error| error.to_string())
        };
        assert_eq!(block("65536"), Ok(65536));
        for odd in ["", "0", "64k"] {
            assert!(block(odd).unwrap_err().contains("data blocks"), "{odd}");
        }
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for bad in ["", "{}", r#"{"report":3}"#, r#"{"report":[{"lv":[{}]}]}"#] {
            assert!(Listing::parse(bad.as_bytes(), "pool").is_err(), "{bad}");
        }
        assert_eq!(
            Listing::parse(br#"{"report":[]}"#, "pool")
                .unwrap()
                .in_pool()
                .count(),
            0
        );
        let name = r#"{"report":[{"lv":[{"lv_name":"a; b","lv_uuid":"","lv_size":"","pool_lv":"","origin":"","thin_id":"","lv_attr":""}]}]}"#;
        assert!(Listing::parse(name.as_bytes(), "pool").is_err());
    }
}
