//! Devices, which the two releases tell in two ways.
//!
//! R4.3: `sys-usb+sda1:ID device_id='ID' port_id='sda1' devclass='block' backend_domain='sys-usb' mode='required' _read-only='no'`.
//! R4.2: `sys-usb+sda1 persistent=yes read-only=no`.

use std::collections::BTreeMap;

use super::parse::{Nonsense, is_qube_name, lines};
use crate::joints::qubes::{Assignment, BlockDevice};
use crate::joints::sanitise::sanitise;

/// A line: which device, and its values. Options (`_name` in R4.3) keep their underscore.
struct Line<'a> {
    backend: &'a str,
    port: &'a str,
    device: &'a str,
    values: BTreeMap<String, String>,
    rest: &'a str,
}

fn line(text: &str) -> Option<Line<'_>> {
    let (which, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (backend, ident) = which.split_once('+')?;
    let (port, device) = ident.split_once(':').unwrap_or((ident, ""));
    let well = is_qube_name(backend) && !port.is_empty();
    well.then_some(Line {
        backend,
        port,
        device,
        values: values(rest)?,
        rest,
    })
}

/// `a='x y' b="it's" c=plain`, with `\\` before a quote or a backslash.
fn values(text: &str) -> Option<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, behind) = rest.split_once('=')?;
        let (value, behind) = value(behind)?;
        values.insert(key.to_owned(), value);
        rest = behind.trim_start();
    }
    Some(values)
}

fn value(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'));
    let Some(quote) = quote else {
        let end = text.find(' ').unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end)?;
        return Some((value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.push(characters.next()?.1),
            end if end == quote => return Some((value, text.get(at.checked_add(1)?..)?)),
            other => value.push(other),
        }
    }
    None
}

fn each(bytes: &[u8]) -> Result<Vec<Line<'_>>, Nonsense> {
    let read = |text| line(text).ok_or_else(|| String::from(text));
    lines(bytes)?.into_iter().map(read).collect()
}

/// What R4.3 answers to `Assigned`.
pub fn assigned(class: &str, bytes: &[u8]) -> Result<Vec<Assignment>, Nonsense> {
    let assignment = |line: Line<'_>| Assignment {
        class: class.to_owned(),
        backend: line.backend.to_owned(),
        port: line.port.to_owned(),
        device: line.device.to_owned(),
        mode: line.values.get("mode").cloned().unwrap_or_default(),
        options: line
            .values
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix('_')?.to_owned(), value.clone())))
            .collect(),
    };
    Ok(each(bytes)?.into_iter().map(assignment).collect())
}

/// What R4.2 answers to `List`: only what is there for good.
pub fn persistent(class: &str, bytes: &[u8]) -> Result<Vec<Assignment>, Nonsense> {
    let assignment = |mut line: Line<'_>| {
        let lasting = line.values.remove("persistent").as_deref() == Some("yes");
        lasting.then(|| Assignment {
            class: class.to_owned(),
            backend: line.backend.to_owned(),
            port: line.port.to_owned(),
            device: line.device.to_owned(),
            mode: "required".to_owned(),
            options: line.values,
        })
    };
    Ok(each(bytes)?.into_iter().filter_map(assignment).collect())
}

/// Block devices of qubes, whichever release tells them. `backend` is who was asked, where lines of R4.2 leave it out.
pub fn blocks(backend: &str, bytes: &[u8]) -> Result<Vec<BlockDevice>, Nonsense> {
    let block = |text: &str| {
        if let Some(line) = line(text) {
            return Ok(BlockDevice {
                backend: line.backend.to_owned(),
                port: line.port.to_owned(),
                identity: identity(line.port, line.device, line.rest),
                description: description(line.rest),
            });
        }
        let (which, rest) = text.split_once(' ').unwrap_or((text, ""));
        let (port, device) = which.split_once(':').unwrap_or((which, ""));
        if port.is_empty() || port.contains('+') {
            return Err(text.to_owned());
        }
        Ok(BlockDevice {
            backend: backend.to_owned(),
            port: port.to_owned(),
            identity: identity(port, device, rest),
            description: description(rest),
        })
    };
    lines(bytes)?.into_iter().map(block).collect()
}

/// R4.3 has ids of devices; some of them are no more than "unknown". R4.2 tells what the device says of itself, with its size, and what else
/// it tells (`device_node`) changes with the port. A partition's number does not change.
fn identity(port: &str, device: &str, rest: &str) -> String {
    let partition = port.trim_start_matches(|c: char| !c.is_ascii_digit());
    let id = if matches!(device, "" | "*") || device.contains('?') {
        let Some((values, said)) = rest.split_once("description=") else {
            return String::new();
        };
        let mut values = values.split(' ');
        let size = values.find(|word| word.starts_with("size="));
        format!("{} {said}", size.unwrap_or_default())
    } else {
        device.to_owned()
    };
    sanitise(format!("{id} #{partition}").as_bytes(), 300)
}

/// What a person knows a device by: what it says of itself, and its size.
fn description(rest: &str) -> String {
    let (before, said) = rest.split_once("description=").unwrap_or((rest, ""));
    let values = values(before).unwrap_or_default();
    let value = |key: &str| values.get(key).map(String::as_str).unwrap_or_default();
    let size = Some(value("size"))
        .filter(|size| !size.is_empty())
        .unwrap_or(value("_size"));
    let size = match size.parse::<u64>() {
        Ok(bytes) => format!("{} MiB", bytes >> 20),
        Err(_) => String::new(),
    };
    let words = [
        said,
        value("manufacturer"),
        value("vendor"),
        value("product"),
        value("name"),
        &size,
    ];
    let words = words.iter().map(|word| word.trim());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    sanitise(words.join(" ").as_bytes(), 120)
}

/// What R4.3 wants to hear with `Assign` and `Attach`.
pub fn payload(device: &Assignment) -> String {
    let id = if device.device.is_empty() {
        "*"
    } else {
        &device.device
    };
    let mut words = vec![
        format!("device_id={}", quoted(id)),
        format!("port_id={}", quoted(&device.port)),
        format!("devclass={}", quoted(&device.class)),
        format!("backend_domain={}", quoted(&device.backend)),
        format!("mode={}", quoted(&device.mode)),
    ];
    let options = device.options.iter();
    words.extend(options.map(|(key, value)| format!("_{key}={}", quoted(value))));
    words.join(" ")
}

/// What R4.2 wants to hear with `Attach`.
pub fn old_payload(device: &Assignment, lasting: bool) -> String {
    let lasting = if lasting { "yes" } else { "no" };
    let mut words = vec![format!("persistent={lasting}")];
    let options = device.options.iter();
    words.extend(options.map(|(key, value)| format!("{key}={value}")));
    words.join(" ")
}

fn quoted(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('\'', "\\'");
    format!("'{escaped}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_of_the_newer_release_are_read_with_their_options() {
        let read = assigned(
            "block",
            b"sys-usb+sda1:0951:1666 device_id='0951:1666' port_id='sda1' devclass='block' backend_domain='sys-usb' \
              mode='required' _read-only='no' _note='it\\'s mine'\n",
        )
        .unwrap();
        assert_eq!(read[0].backend, "sys-usb");
        assert_eq!(read[0].device, "0951:1666");
        assert_eq!(read[0].mode, "required");
        assert_eq!(read[0].options["note"], "it's mine");
        assert_eq!(read[0].options.len(), 2);
        let again = format!("sys-usb+sda1:0951:1666 {}\n", payload(&read[0]));
        assert_eq!(assigned("block", again.as_bytes()).unwrap(), read);
    }

    #[test]
    fn of_the_older_release_only_lasting_ones_count() {
        let read = persistent(
            "pci",
            b"dom0+00_1a.0 persistent=yes no-strict-reset=True\nsys-usb+sda persistent=no\n",
        )
        .unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].port, "00_1a.0");
        assert_eq!(read[0].options["no-strict-reset"], "True");
        assert_eq!(
            old_payload(&read[0], true),
            "persistent=yes no-strict-reset=True"
        );
    }

    #[test]
    fn what_is_not_a_device_is_refused() {
        for bad in [
            "sys-usb",
            "sys-usb+ x=y",
            "a/b+sda",
            "s+sda x",
            "s+sda x='y",
            "s+sda x='y\\",
        ] {
            assert!(assigned("block", bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn blocks_are_read_from_both_forms() {
        let read = blocks(
            "sys-usb",
            b"sda1:x size=5\nsys-usb+sdb device_id='*'\nsdc\n",
        )
        .unwrap();
        let ports: Vec<&str> = read.iter().map(|block| block.port.as_str()).collect();
        assert_eq!(ports, ["sda1", "sdb", "sdc"]);
        assert!(read.iter().all(|block| block.backend == "sys-usb"));
    }

    #[test]
    fn a_disk_is_known_again_at_another_port_and_another_partition_is_not() {
        let one = |line: &str| blocks("sys-usb", line.as_bytes()).unwrap().remove(0);
        let newer = |port: &str| {
            one(&format!(
                "{port}:0951:1666:1 device_id='0951:1666:1' port_id='{port}' devclass='block' _size='31457280' product='Stick'"
            ))
        };
        let older = |port: &str| {
            one(&format!(
                "{port} device_node=/dev/{port} mode=w size=31457280 description=Stick (backup)"
            ))
        };
        for block in [&newer as &dyn Fn(&str) -> BlockDevice, &older] {
            assert_eq!(block("sda1").identity, block("sdb1").identity);
            assert_ne!(block("sda1").identity, block("sda2").identity);
            assert!(!block("sda1").identity.is_empty());
        }
        assert_eq!(newer("sda1").description, "Stick 30 MiB");
        assert_eq!(older("sda1").description, "Stick (backup) 30 MiB");
        // Nothing that could tell it from another.
        for unknown in ["sda1", "sda1:*", "sda1:0000:0000::?****** size=1"] {
            assert_eq!(one(unknown).identity, "", "{unknown}");
        }
    }
}
