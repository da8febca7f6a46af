//! Which block device holds the archive.

use std::fmt;
use std::str::FromStr;

use super::Trouble;
use crate::joints::qubes::BlockDevice;

/// A block device by its qube and its name there: `sys-usb:sda1`, as the tools of Qubes write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The qube that has it.
    pub backend: String,
    /// Its name there.
    pub port: String,
}

impl Port {
    /// Of a device.
    pub fn of(device: &BlockDevice) -> Self {
        Self {
            backend: device.backend.clone(),
            port: device.port.clone(),
        }
    }

    pub(super) fn is(&self, device: &BlockDevice) -> bool {
        self.backend == device.backend && self.port == device.port
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.backend, self.port)
    }
}

impl FromStr for Port {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (backend, port) = text.split_once(':').ok_or(())?;
        let plain = |text: &str, most| {
            (1..=most).contains(&text.len())
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
        };
        (plain(backend, 31) && plain(port, 60))
            .then(|| Self {
                backend: backend.to_owned(),
                port: port.to_owned(),
            })
            .ok_or(())
    }
}

/// What is known of the device.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// What the user said.
    pub told: Option<&'a Port>,
    /// What told it from others when it was attached last.
    pub identity: Option<&'a str>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Nothing: the qube has it.
    There,
    /// To attach this one.
    Attach(BlockDevice),
    /// The qube has a disk that may be it, which only the helper can tell. If it is not, this one is to be attached.
    LookFirst(Result<BlockDevice, Trouble>),
}

/// A device that a running qube offers, and the qube that has it now.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub device: BlockDevice,
    pub user: Option<String>,
}

/// Decides. `has_disks`: something that may be the disk is in the qube already.
pub(super) fn choose(
    qube: &str,
    offers: &[Offer],
    has_disks: bool,
    wanted: Wanted<'_>,
) -> Result<Choice, Trouble> {
    if let Some(port) = wanted.told {
        let offer = offers.iter().find(|offer| port.is(&offer.device));
        let offer = offer.ok_or_else(|| not_offered(port, offers))?;
        return take(qube, offer);
    }
    let known = wanted.identity.filter(|identity| !identity.is_empty());
    let found = match known {
        Some(identity) => {
            let same = offers
                .iter()
                .filter(|offer| offer.device.identity == identity);
            let same: Vec<&Offer> = same.collect();
            match same.as_slice() {
                [one] => return take(qube, one),
                [] => Err(Trouble::told(
                    format!(
                        "the disk that was used here last is not plugged in{}",
                        listed(offers)
                    ),
                    "Plug it in; if it is one of these nevertheless, say so with --usb-device=QUBE:DEVICE.",
                )),
                many => Err(ambiguous(many)),
            }
        }
        None => only_one(offers),
    };
    if has_disks {
        return Ok(Choice::LookFirst(found));
    }
    found.map(Choice::Attach)
}

/// This one, if nobody else has it.
fn take(qube: &str, offer: &Offer) -> Result<Choice, Trouble> {
    let port = Port::of(&offer.device);
    match &offer.user {
        Some(user) if user == qube => Ok(Choice::There),
        Some(user) => Err(Trouble::told(
            format!("the disk {port} is attached to qube {user}"),
            format!(
                "When nothing there uses it, type `qvm-block detach {user} {port}` and try again."
            ),
        )),
        None => Ok(Choice::Attach(offer.device.clone())),
    }
}

/// Where nothing is known, a disk is attached only if there is no other: what is on it may be none of the backup qube's business.
fn only_one(offers: &[Offer]) -> Result<BlockDevice, Trouble> {
    let free = offers.iter().filter(|offer| offer.user.is_none());
    let ports: Vec<Port> = offers.iter().map(|offer| Port::of(&offer.device)).collect();
    let free = free.filter(|offer| may_be(&offer.device, &ports));
    let free: Vec<&Offer> = free.collect();
    match free.as_slice() {
        [one] => Ok(one.device.clone()),
        [] => Err(Trouble::told(
            "the backup qube does not have the disk, and no qube offers one that could be it",
            "Plug it in; a USB qube must run to see it.",
        )),
        many => Err(ambiguous(many)),
    }
}

/// A disk or a partition; not a disk whose partitions are offered, and not what a qube made of a file.
fn may_be(device: &BlockDevice, all: &[Port]) -> bool {
    let disk = ["sd", "mmcblk", "nvme", "vd"]
        .iter()
        .any(|kind| device.port.starts_with(kind));
    let is_partition = |other: &Port| {
        let behind = other.port.strip_prefix(&device.port);
        let number = behind.map(|rest| rest.strip_prefix('p').unwrap_or(rest));
        other.backend == device.backend
            && number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    disk && !all.iter().any(is_partition)
}

fn ambiguous(offers: &[&Offer]) -> Trouble {
    let names: Vec<String> = offers.iter().map(|offer| named(&offer.device)).collect();
    Trouble::told(
        format!(
            "it is not known which of these disks holds the archive: {}",
            names.join(", ")
        ),
        "Say it once with --usb-device=QUBE:DEVICE; from then on it is known again wherever it is plugged in.",
    )
}

fn not_offered(port: &Port, offers: &[Offer]) -> Trouble {
    Trouble::told(
        format!(
            "no running qube offers a block device {port}{}",
            listed(offers)
        ),
        "Plug the disk in, and see `qvm-block`.",
    )
}

/// `; these are: …`, or nothing.
fn listed(offers: &[Offer]) -> String {
    let names: Vec<String> = offers.iter().map(|offer| named(&offer.device)).collect();
    match names.as_slice() {
        [] => String::new(),
        names => format!("; there are {}", names.join(", ")),
    }
}

/// For a person.
pub(super) fn named(device: &BlockDevice) -> String {
    let port = Port::of(device);
    match device.description.as_str() {
        "" => port.to_string(),
        said => format!("{port} ({said})"),
    }
}
