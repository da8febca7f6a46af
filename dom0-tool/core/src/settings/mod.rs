//! The settings of qubes as a volume of text (doc/FORMAT.md, section 11).
//!
//! Text, so that a person with nothing but the emergency restorer can read it; each qube on a block of its own, so that a change of
//! one costs one block. What is read here is data: whoever applies it decides what of it may be.

mod line;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{FormatError, Result};

/// The name of the volume that holds the settings. No local volume can have it: it is neither an LV's nor a path's name.
pub const VOLUME: &str = "qubes:settings";

const WHAT: &str = "the qubes' settings";
const MAGIC: &str = "nacre-settings";
const VERSION: &str = "1";
/// Each qube begins on a multiple of this: what a patch counts in.
const BLOCK: usize = 4096;
/// Most bytes of settings.
pub const LARGEST: usize = 64 << 20;
/// Most qubes.
const MOST_QUBES: usize = 10_000;

/// Settings of a system and of its qubes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What does not belong to one qube.
    pub system: System,
    /// Qubes by name.
    pub qubes: BTreeMap<String, Qube>,
}

/// What does not belong to one qube.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct System {
    /// The release, as the system tells it.
    pub release: String,
    /// Properties of the system that somebody set.
    pub properties: BTreeMap<String, String>,
    /// Labels and their colours.
    pub labels: BTreeMap<String, String>,
}

/// Settings of one qube.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Qube {
    /// Its class.
    pub class: String,
    /// What it keeps when it is renamed, where the release has such a thing.
    pub uuid: Option<String>,
    /// Properties that somebody set.
    pub properties: BTreeMap<String, String>,
    /// Features.
    pub features: BTreeMap<String, String>,
    /// Tags.
    pub tags: BTreeSet<String>,
    /// The firewall's rules, one a line.
    pub firewall: String,
    /// Notes.
    pub notes: String,
    /// Volumes by name.
    pub volumes: BTreeMap<String, Volume>,
    /// Devices assigned for good, in order.
    pub devices: Vec<Device>,
    /// What of all this could not be read when it was written down, and is therefore missing here: `firewall`, `tags`, ….
    pub unread: BTreeSet<String>,
}

/// A volume of a qube.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Its pool.
    pub pool: String,
    /// Bytes.
    pub size: u64,
    /// Former states kept; -1: none, written in place.
    pub revisions: i64,
    /// Its name in the archive; empty if its content is not there.
    pub stored_as: String,
}

/// A device assigned to a qube.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// `pci`, `usb`, `block`, ….
    pub class: String,
    /// The qube that has it.
    pub backend: String,
    /// Where it is there.
    pub port: String,
    /// Which one; empty where the release does not tell.
    pub id: String,
    /// `required`, `auto-attach`, `ask-to-attach`.
    pub mode: String,
    /// Options.
    pub options: BTreeMap<String, String>,
}

impl Settings {
    /// The volume's content.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = String::new();
        line::write(&[MAGIC, VERSION], &mut out);
        line::write(&["release", &self.system.release], &mut out);
        pairs("property", &self.system.properties, &mut out);
        pairs("label", &self.system.labels, &mut out);
        for (name, qube) in &self.qubes {
            pad(&mut out);
            line::write(&["qube", name, &qube.class], &mut out);
            qube.encode(&mut out);
        }
        line::write(&["end"], &mut out);
        pad(&mut out);
        out.into_bytes()
    }

    /// Reads the volume's content. Total: any bytes give settings or an error.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let wrong = FormatError::OutOfRange(WHAT);
        if bytes.len() > LARGEST {
            return Err(wrong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| wrong.clone())?;
        // Zeros behind the end are how a volume is filled up; blank lines put a qube on its block.
        let text = text.trim_end_matches('\0');
        let lines = text.split('\n').filter(|line| !line.is_empty());
        let mut lines = lines.map(|line| line::read(WHAT, line));
        check_magic(lines.next().ok_or(FormatError::Truncated(WHAT))??)?;
        let mut settings = Self::default();
        let mut current: Option<(String, Qube)> = None;
        loop {
            let words = lines.next().ok_or(FormatError::Truncated(WHAT))??;
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            match (words.as_slice(), current.as_mut()) {
                (["end"] | ["qube", ..], _) => {
                    settings.enter(current.take())?;
                    match words.as_slice() {
                        ["qube", name, class] => {
                            let class = (*class).to_owned();
                            let qube = Qube {
                                class,
                                ..Qube::default()
                            };
                            current = Some(((*name).to_owned(), qube));
                        }
                        ["end"] => break,
                        _ => return Err(wrong),
                    }
                }
                (words, Some((_, qube))) => qube.take(words).ok_or_else(|| wrong.clone())?,
                (words, None) => settings.system.take(words).ok_or_else(|| wrong.clone())?,
            }
        }
        if lines.next().is_some() {
            return Err(FormatError::TrailingBytes(WHAT));
        }
        Ok(settings)
    }

    fn enter(&mut self, read: Option<(String, Qube)>) -> Result<()> {
        let Some((name, qube)) = read else {
            return Ok(());
        };
        let in_order = self
            .qubes
            .last_key_value()
            .is_none_or(|(last, _)| *last < name);
        if !in_order || self.qubes.len() >= MOST_QUBES {
            return Err(FormatError::OutOfOrder(WHAT));
        }
        self.qubes.insert(name, qube);
        Ok(())
    }
}

fn check_magic(words: Vec<String>) -> Result<()> {
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [MAGIC, VERSION] => Ok(()),
        [MAGIC, other] => Err(FormatError::TooNew {
            what: WHAT,
            found: format!("version {other}"),
        }),
        _ => Err(FormatError::NotThis(WHAT)),
    }
}

fn pairs(word: &str, values: &BTreeMap<String, String>, out: &mut String) {
    for (key, value) in values {
        line::write(&[word, key, value], out);
    }
}

/// Fills up with blank lines to the next block.
fn pad(out: &mut String) {
    let end = out.len().next_multiple_of(BLOCK);
    while out.len() < end {
        out.push('\n');
    }
}

/// Enters a value that may be there once.
fn once(values: &mut BTreeMap<String, String>, key: &str, value: &str) -> Option<()> {
    let before = values.insert(key.to_owned(), value.to_owned());
    before.is_none().then_some(())
}

impl System {
    fn take(&mut self, words: &[&str]) -> Option<()> {
        match words {
            ["release", release] if self.release.is_empty() => {
                (*release).clone_into(&mut self.release);
                Some(())
            }
            ["property", key, value] => once(&mut self.properties, key, value),
            ["label", key, value] => once(&mut self.labels, key, value),
            _ => None,
        }
    }
}

impl Qube {
    fn encode(&self, out: &mut String) {
        if let Some(uuid) = &self.uuid {
            line::write(&["uuid", uuid], out);
        }
        pairs("property", &self.properties, out);
        pairs("feature", &self.features, out);
        for tag in &self.tags {
            line::write(&["tag", tag], out);
        }
        if !self.firewall.is_empty() {
            line::write(&["firewall", &self.firewall], out);
        }
        if !self.notes.is_empty() {
            line::write(&["notes", &self.notes], out);
        }
        for (name, volume) in &self.volumes {
            let (size, revisions) = (volume.size.to_string(), volume.revisions.to_string());
            let words = [
                "volume",
                name,
                &volume.pool,
                &size,
                &revisions,
                &volume.stored_as,
            ];
            line::write(&words, out);
        }
        for device in &self.devices {
            let Device {
                class,
                backend,
                port,
                id,
                mode,
                options,
            } = device;
            line::write(&["device", class, backend, port, id, mode], out);
            pairs("option", options, out);
        }
        for what in &self.unread {
            line::write(&["unread", what], out);
        }
    }

    fn take(&mut self, words: &[&str]) -> Option<()> {
        match words {
            ["uuid", uuid] if self.uuid.is_none() => self.uuid = Some((*uuid).to_owned()),
            ["property", key, value] => once(&mut self.properties, key, value)?,
            ["feature", key, value] => once(&mut self.features, key, value)?,
            ["tag", tag] => self.tags.insert((*tag).to_owned()).then_some(())?,
            ["firewall", rules] if self.firewall.is_empty() && !rules.is_empty() => {
                (*rules).clone_into(&mut self.firewall);
            }
            ["notes", notes] if self.notes.is_empty() && !notes.is_empty() => {
                (*notes).clone_into(&mut self.notes);
            }
            ["volume", name, pool, size, revisions, stored_as] => {
                let volume = Volume {
                    pool: (*pool).to_owned(),
                    size: number(size)?,
                    revisions: number(revisions)?,
                    stored_as: (*stored_as).to_owned(),
                };
                let before = self.volumes.insert((*name).to_owned(), volume);
                before.is_none().then_some(())?;
            }
            ["device", class, backend, port, id, mode] => self.devices.push(Device {
                class: (*class).to_owned(),
                backend: (*backend).to_owned(),
                port: (*port).to_owned(),
                id: (*id).to_owned(),
                mode: (*mode).to_owned(),
                options: BTreeMap::new(),
            }),
            ["unread", what] => self.unread.insert((*what).to_owned()).then_some(())?,
            ["option", key, value] => once(&mut self.devices.last_mut()?.options, key, value)?,
            _ => return None,
        }
        Some(())
    }
}

/// A number in its shortest form.
fn number<T: std::str::FromStr + ToString>(text: &str) -> Option<T> {
    let value: T = text.parse().ok()?;
    (value.to_string() == text).then_some(value)
}
