//! Devices that a qube is to have: which of them may be assigned here.

use nacre_core::settings::Device;

use super::check;
use super::decide::{View, shown};
use super::steps::device_name;
use super::what::LeftOut;
use crate::joints::qubes::Assignment;

/// The assignment, or what is told instead.
pub fn assignment(view: &View<'_>, saved: &Device) -> Result<Assignment, LeftOut> {
    let device = Assignment {
        class: saved.class.clone(),
        backend: view.here(&saved.backend).to_owned(),
        port: saved.port.clone(),
        device: saved.id.clone(),
        mode: saved.mode.clone(),
        options: saved.options.clone(),
    };
    let name = shown(&device_name(&device));
    let cannot = |why: &str| Err(LeftOut::cannot(name.clone(), why.to_owned()));
    if !is_well_formed(&device) {
        return cannot("this is not how a device is written");
    }
    if view.wish.paranoid {
        return Err(LeftOut::asked(name, "--paranoid assigns no devices"));
    }
    let here = view.present.has(&device.backend);
    let comes = view.names.values().any(|name| *name == device.backend);
    if !here && !comes {
        return cannot("the qube that has it is not here");
    }
    let is_named = !matches!(device.device.as_str(), "" | "*");
    if device.class == "pci" && !is_named {
        return cannot(
            "only a place is known, at which another machine may have another device; assign it with qvm-device once you have looked",
        );
    }
    if view.present.is_older_release() && device.mode != "required" {
        return cannot(&format!(
            "this release knows no assignment of the kind {}",
            device.mode
        ));
    }
    Ok(device)
}

fn is_well_formed(device: &Assignment) -> bool {
    let words = [&device.class, &device.backend, &device.port, &device.mode];
    let mut options = device.options.iter();
    words.iter().all(|word| check::is_device_word(word))
        && (device.device.is_empty() || check::is_device_word(&device.device))
        && options.all(|(key, value)| check::is_device_word(key) && check::is_device_value(value))
}
