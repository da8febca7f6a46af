//! What is done to a qube, one call of the Admin API each.

use crate::joints::qubes::{Assignment, NewQube, QubeRegistry, RegistryError};

/// One change of a qube.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is made.
    Create(NewQube),
    /// It gets a tag.
    AddTag(String),
    /// It loses a tag.
    RemoveTag(String),
    /// A property gets a value.
    SetProperty(String, String),
    /// A property goes back to what the system gives.
    ResetProperty(String),
    /// A feature gets a value.
    SetFeature(String, String),
    /// A feature goes.
    RemoveFeature(String),
    /// The firewall's rules.
    SetFirewall(String),
    /// The notes.
    SetNotes(String),
    /// How many former states of a volume are kept.
    SetRevisions(String, i64),
    /// A device is assigned for good.
    Assign(Assignment),
}

impl Step {
    /// Does it.
    pub fn carry_out(&self, registry: &dyn QubeRegistry, qube: &str) -> Result<(), RegistryError> {
        match self {
            Self::Create(new) => registry.create(new),
            Self::AddTag(tag) => registry.add_tag(qube, tag),
            Self::RemoveTag(tag) => registry.remove_tag(qube, tag),
            Self::SetProperty(name, value) => registry.set_property(qube, name, value),
            Self::ResetProperty(name) => registry.reset_property(qube, name),
            Self::SetFeature(name, value) => registry.set_feature(qube, name, value),
            Self::RemoveFeature(name) => registry.remove_feature(qube, name),
            Self::SetFirewall(rules) => registry.set_firewall(qube, rules),
            Self::SetNotes(notes) => registry.set_notes(qube, notes),
            Self::SetRevisions(volume, count) => registry.set_revisions(qube, volume, *count),
            Self::Assign(device) => registry.assign(qube, device),
        }
    }

    /// Which setting it is about.
    pub fn what(&self) -> String {
        match self {
            Self::Create(_) => "the qube itself".to_owned(),
            Self::AddTag(tag) | Self::RemoveTag(tag) => format!("tag {tag}"),
            Self::SetProperty(name, _) | Self::ResetProperty(name) => format!("property {name}"),
            Self::SetFeature(name, _) | Self::RemoveFeature(name) => format!("feature {name}"),
            Self::SetFirewall(_) => "the firewall's rules".to_owned(),
            Self::SetNotes(_) => "the notes".to_owned(),
            Self::SetRevisions(volume, _) => format!("revisions_to_keep of volume {volume}"),
            Self::Assign(device) => device_name(device),
        }
    }

    /// What a person would type for the same.
    pub fn command(&self, qube: &str) -> String {
        match self {
            Self::Create(new) => {
                let template = new.template.iter();
                let template = template.map(|template| format!("--template {template} "));
                let pools = new.pools.iter();
                let pools = pools.map(|(volume, pool)| format!("-P {volume}={} ", quoted(pool)));
                format!(
                    "qvm-create --class {} {}{}--label {} {}",
                    new.class.word(),
                    template.collect::<String>(),
                    pools.collect::<String>(),
                    new.label,
                    new.name
                )
            }
            Self::AddTag(tag) => format!("qvm-tags {qube} add {tag}"),
            Self::RemoveTag(tag) => format!("qvm-tags {qube} del {tag}"),
            Self::SetProperty(name, value) => format!("qvm-prefs {qube} {name} {}", quoted(value)),
            Self::ResetProperty(name) => format!("qvm-prefs --default {qube} {name}"),
            Self::SetFeature(name, value) => {
                format!("qvm-features {qube} {name} {}", quoted(value))
            }
            Self::RemoveFeature(name) => format!("qvm-features --unset {qube} {name}"),
            Self::SetFirewall(rules) => {
                let count = rules.lines().count();
                let rules = if count == 1 { "rule" } else { "rules" };
                format!("set the firewall of {qube}: {count} {rules}")
            }
            Self::SetNotes(notes) => format!("set the notes of {qube}, {} bytes", notes.len()),
            Self::SetRevisions(volume, count) => {
                format!("qvm-volume config {qube}:{volume} revisions_to_keep {count}")
            }
            Self::Assign(device) => format!(
                "qvm-device {} assign {qube} {}:{}",
                device.class, device.backend, device.port
            ),
        }
    }
}

/// A device, as it is told to people.
pub fn device_name(device: &Assignment) -> String {
    format!("device {} {}:{}", device.class, device.backend, device.port)
}

/// A word for a shell.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.:/+-=".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', "'\\''"))
    }
}
