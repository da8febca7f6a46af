//! Changes.

use std::collections::BTreeMap;

use super::Request;
use super::answer::{Answer, Exception};
use super::machine;
use super::world::{Device, Qube, Release, Value, World};

/// Properties that the API does not let anybody set.
const VM_TYPED: &str = "vm";

/// The answer, or `None` for a method that does not exist, or whose arguments are not allowed.
pub(super) fn answer(world: &mut World, request: &Request<'_>) -> Option<Answer> {
    let payload = std::str::from_utf8(request.payload).ok()?;
    if request.target == "dom0" {
        if let Some(class) = request.method.strip_prefix("admin.vm.Create.") {
            return create(world, class, request.argument, payload, false);
        }
        if let Some(class) = request.method.strip_prefix("admin.vm.CreateInPool.") {
            return create(world, class, request.argument, payload, true);
        }
        return (request.method == "admin.label.Create").then(|| {
            world
                .labels
                .insert(request.argument.to_owned(), payload.to_owned());
            Answer::done()
        });
    }
    match request.method {
        "admin.vm.Remove" => return Some(remove(world, request.target)),
        "admin.vm.property.Set" => {
            return set_property(world, request.target, request.argument, payload);
        }
        "admin.vm.notes.Set" if world.release == Release::R42 => return None,
        _ => {}
    }
    let release = world.release;
    let qube = world.qubes.get_mut(request.target)?;
    if let Some(call) = request.method.strip_prefix("admin.vm.device.") {
        let answer = device(release, qube, call, request.argument, payload);
        if matches!(answer, Some(Answer::Ok(_))) {
            machine::follow(world);
        }
        return answer;
    }
    let answer = of_qube(qube, request, payload);
    machine::follow(world);
    answer
}

fn of_qube(qube: &mut Qube, request: &Request<'_>, payload: &str) -> Option<Answer> {
    let argument = request.argument.to_owned();
    match request.method {
        "admin.vm.Start" => {
            if qube.tags.contains("backup-restore-in-progress") {
                let message = "Restore of this qube in progress";
                return Some(Exception::new("QubesException", message).into());
            }
            if !qube.running {
                qube.starts += 1;
            }
            qube.running = true;
        }
        "admin.vm.Shutdown" => {
            // What was attached, not assigned, goes with it.
            qube.devices.retain(|device| device.mode != "manual");
            qube.running = false;
        }
        "admin.vm.feature.Set" => {
            // Printable ASCII only; the rest is refused.
            if !payload.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
                return Some(Exception::value("Invalid feature value").into());
            }
            qube.features.insert(argument, payload.to_owned());
        }
        "admin.vm.feature.Remove" => {
            if qube.features.remove(&argument).is_none() {
                let message = format!("Feature not set for domain: {argument}");
                return Some(Exception::new("QubesFeatureNotFoundError", message).into());
            }
        }
        "admin.vm.property.Reset" => qube.properties.get_mut(&argument)?.set = None,
        "admin.vm.tag.Set" => {
            let well = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
            if argument.is_empty() || !argument.chars().all(well) {
                return None;
            }
            qube.tags.insert(argument);
        }
        "admin.vm.tag.Remove" => {
            if !qube.tags.remove(&argument) {
                let message = format!("Tag not set for domain: {argument}");
                return Some(Exception::new("QubesTagNotFoundError", message).into());
            }
        }
        "admin.vm.firewall.Set" => {
            if payload.lines().any(|line| !line.starts_with("action=")) {
                return None;
            }
            payload.clone_into(&mut qube.firewall);
        }
        "admin.vm.notes.Set" => payload.clone_into(&mut qube.notes),
        "admin.vm.volume.Set.revisions_to_keep" => {
            qube.volumes.get_mut(&argument)?.revisions_to_keep = payload.parse().ok()?;
        }
        _ => return None,
    }
    Some(Answer::done())
}

fn set_property(world: &mut World, qube: &str, name: &str, value: &str) -> Option<Answer> {
    let exists = value.is_empty() || world.qubes.contains_key(value);
    let label = world.labels.contains_key(value);
    let property = world.qubes.get_mut(qube)?.properties.get_mut(name);
    let Some(property) = property else {
        let message = format!("Invalid property '{name}' of {qube}");
        return Some(Exception::new("QubesNoSuchPropertyError", message).into());
    };
    if !property.settable {
        return None;
    }
    let wrong = match property.kind {
        VM_TYPED if !exists => Some(format!("Can't set {name} to non-existing qube {value}")),
        "int" if value.parse::<i64>().is_err() => Some(format!("Invalid value for {name}")),
        "bool" if !matches!(value, "True" | "False") => Some(format!("Invalid value for {name}")),
        "label" if !label => Some(format!("no such label: {value}")),
        _ => None,
    };
    if let Some(message) = wrong {
        return Some(Exception::new("QubesPropertyValueError", message).into());
    }
    property.set = Some(value.to_owned());
    Some(Answer::done())
}

fn create(
    world: &mut World,
    class: &str,
    template: &str,
    payload: &str,
    in_pool: bool,
) -> Option<Answer> {
    let pairs = payload.split(' ').map(|word| word.split_once('='));
    let values: BTreeMap<&str, &str> = pairs.collect::<Option<_>>()?;
    let (name, label) = (*values.get("name")?, *values.get("label")?);
    let has_template = matches!(class, "AppVM" | "DispVM");
    if has_template == template.is_empty() {
        return None;
    }
    if world.qubes.contains_key(name) {
        return Some(Exception::value(format!("VM {name} already exists")).into());
    }
    if has_template && !world.qubes.contains_key(template) {
        return Some(Exception::no_qube(template).into());
    }
    if !world.labels.contains_key(label) {
        let message = format!("no such label: {label}");
        return Some(Exception::new("QubesLabelNotFoundError", message).into());
    }
    let pools = values
        .iter()
        .filter_map(|(key, pool)| Some((key.strip_prefix("pool:")?.to_owned(), *pool)));
    let pools: Vec<(String, &str)> = pools.collect();
    if pools.is_empty() == in_pool {
        return None;
    }
    if pools
        .iter()
        .any(|(_, pool)| !world.pools.contains_key(*pool))
    {
        return Some(Exception::new("QubesPoolNotFoundError", "no such pool").into());
    }
    let qube = world.add(name, class, has_template.then_some(template), label);
    for (volume, pool) in pools {
        pool.clone_into(&mut qube.volumes.get_mut(&volume)?.pool);
    }
    Some(Answer::done())
}

fn remove(world: &mut World, name: &str) -> Answer {
    let needed = |value: &Value| value.kind == VM_TYPED && value.set.as_deref() == Some(name);
    let in_use = world
        .qubes
        .values()
        .any(|other| other.properties.values().any(needed));
    match world.qubes.get(name) {
        Some(qube) if qube.running => Exception::not_halted(name).into(),
        _ if in_use => {
            Exception::new("QubesVMInUseError", format!("Domain is in use: {name}")).into()
        }
        _ => {
            world.qubes.remove(name);
            Answer::done()
        }
    }
}

/// `CLASS.CALL` with `BACKEND+PORT` or `BACKEND+PORT:ID`.
fn device(
    release: Release,
    qube: &mut Qube,
    call: &str,
    argument: &str,
    payload: &str,
) -> Option<Answer> {
    let (class, call) = call.split_once('.')?;
    let (backend, ident) = argument.split_once('+')?;
    let (port, id) = ident.split_once(':').unwrap_or((ident, "*"));
    let words = payload
        .split(' ')
        .filter(|word| !word.is_empty())
        .map(|word| word.split_once('='));
    let values: BTreeMap<&str, &str> = words.collect::<Option<_>>()?;
    let plain = |value: &&str| value.trim_matches('\'').to_owned();
    let is_it = |device: &Device| device.backend == backend && device.port == port;
    let mode = match (release, call) {
        (Release::R43, "Assign") => plain(values.get("mode")?),
        (Release::R42, "Attach") if values.get("persistent") == Some(&"yes") => {
            "required".to_owned()
        }
        (_, "Attach") => "manual".to_owned(),
        (_, "Detach") => {
            qube.devices
                .retain(|device| device.mode != "manual" || !is_it(device));
            return Some(Answer::done());
        }
        _ => return None,
    };
    if mode == "manual" && !qube.running {
        return Some(Exception::new("QubesVMNotRunningError", "Domain is not running").into());
    }
    if qube.devices.iter().any(is_it) {
        return Some(Exception::new("DeviceAlreadyAttached", "device already attached").into());
    }
    let options = values.iter().filter_map(|(key, value)| {
        let key = match release {
            Release::R43 => key.strip_prefix('_')?,
            Release::R42 => Some(*key).filter(|key| *key != "persistent")?,
        };
        Some((key.to_owned(), plain(value)))
    });
    qube.devices.push(Device {
        class: class.to_owned(),
        backend: backend.to_owned(),
        port: port.to_owned(),
        id: id.to_owned(),
        mode,
        options: options.collect(),
    });
    Some(Answer::done())
}
