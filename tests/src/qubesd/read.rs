//! Questions.

use super::Request;
use super::answer::{Answer, Exception};
use super::world::{Device, Qube, Release, Value, World, uuid};

/// The answer, or `None` for a method that is not a question.
pub(super) fn answer(world: &World, request: &Request<'_>) -> Option<Answer> {
    let argument = request.argument;
    if request.target == "dom0" {
        return of_system(world, request.method, argument);
    }
    let qube = world.qubes.get(request.target)?;
    if let Some(call) = request.method.strip_prefix("admin.vm.device.") {
        return devices(world, qube, call);
    }
    Some(match request.method {
        "admin.vm.CurrentState" => Answer::text(format!(
            "mem=409600 mem_static_max=4096000 cputime=1 power_state={}",
            power(qube)
        )),
        "admin.vm.property.GetAll" => properties(qube),
        "admin.vm.feature.List" => Answer::lines(qube.features.keys()),
        "admin.vm.feature.Get" => match qube.features.get(argument) {
            Some(value) => Answer::text(value),
            None => Exception::new(
                "QubesFeatureNotFoundError",
                format!("Feature not set for domain {}: {argument}", request.target),
            )
            .into(),
        },
        "admin.vm.tag.List" => Answer::lines(&qube.tags),
        "admin.vm.firewall.Get" => Answer::text(&qube.firewall),
        "admin.vm.notes.Get" if world.release == Release::R43 => Answer::text(&qube.notes),
        "admin.vm.volume.List" => Answer::lines(qube.volumes.keys()),
        "admin.vm.volume.Info" => volume(qube, argument)?,
        _ => return None,
    })
}

fn of_system(world: &World, method: &str, argument: &str) -> Option<Answer> {
    Some(match method {
        "admin.vm.List" => list(world),
        "admin.property.GetAll" => Answer::lines(property_lines(&world.globals)),
        "admin.label.List" => Answer::lines(world.labels.keys()),
        "admin.label.Get" => Answer::text(world.labels.get(argument)?),
        "admin.pool.List" => Answer::lines(world.pools.keys()),
        "admin.pool.Info" => {
            let pool = world.pools.get(argument)?;
            let values = pool.values.iter();
            let values = values.map(|(key, value)| format!("{key}={value}"));
            Answer::lines(
                [format!("driver={}", pool.driver)]
                    .into_iter()
                    .chain(values),
            )
        }
        "admin.deviceclass.List" => Answer::lines(["block", "mic", "pci", "usb"]),
        "admin.vm.device.block.Assigned" if world.release == Release::R43 => Answer::done(),
        "admin.vm.device.block.List" if world.release == Release::R42 => Answer::done(),
        _ => return None,
    })
}

fn list(world: &World) -> Answer {
    let row = |name: &str, class: &str, state: &str| {
        let uuid = match world.release {
            Release::R42 => String::new(),
            Release::R43 => format!(" uuid={}", uuid(name)),
        };
        format!("{name} class={class} state={state}{uuid}")
    };
    let qubes = world.qubes.iter();
    let qubes = qubes.map(|(name, qube)| row(name, &qube.class, power(qube)));
    Answer::lines([row("dom0", "AdminVM", "Running")].into_iter().chain(qubes))
}

fn power(qube: &Qube) -> &str {
    match (&qube.passing, qube.running) {
        (Some((state, _)), _) => state,
        (None, true) => "Running",
        (None, false) => "Halted",
    }
}

/// When it was started is told beside what is set.
fn properties(qube: &Qube) -> Answer {
    let started = if qube.running {
        format!("{}.25", 1_790_000_000 + u64::from(qube.starts))
    } else {
        String::new()
    };
    let started = format!("start_time default=True type=str {started}");
    Answer::lines(property_lines(&qube.properties).chain([started]))
}

fn property_lines(
    properties: &std::collections::BTreeMap<String, Value>,
) -> impl Iterator<Item = String> {
    properties.iter().map(|(name, property)| {
        let is_default = if property.set.is_none() {
            "True"
        } else {
            "False"
        };
        let value = property.value().replace('\\', "\\\\").replace('\n', "\\n");
        format!("{name} default={is_default} type={} {value}", property.kind)
    })
}

fn volume(qube: &Qube, name: &str) -> Option<Answer> {
    let volume = qube.volumes.get(name)?;
    let word = |yes: bool| if yes { "True" } else { "False" };
    Some(Answer::lines([
        format!("pool={}", volume.pool),
        format!("vid={}", volume.vid),
        format!("size={}", volume.size),
        format!("usage={}", used(volume.file.as_deref())),
        format!("rw={}", word(volume.rw)),
        "source=".to_owned(),
        "path=".to_owned(),
        format!("save_on_stop={}", word(volume.save_on_stop)),
        format!("snap_on_start={}", word(volume.snap_on_start)),
        format!("revisions_to_keep={}", volume.revisions_to_keep),
        "ephemeral=False".to_owned(),
        "is_outdated=False".to_owned(),
    ]))
}

/// `CLASS.CALL`, in the words of the release.
fn devices(world: &World, qube: &Qube, call: &str) -> Option<Answer> {
    let (class, call) = call.split_once('.')?;
    let of_class = qube.devices.iter().filter(|device| device.class == class);
    Some(match (world.release, call) {
        (Release::R43, "Assigned") => {
            Answer::lines(of_class.filter(|device| device.mode != "manual").map(newer))
        }
        (Release::R43, "Attached") => {
            Answer::lines(of_class.filter(|device| device.mode == "manual").map(newer))
        }
        (Release::R42, "List") => Answer::lines(of_class.map(older)),
        (_, "Available") if class == "block" => {
            let offers = qube.offers.iter();
            Answer::lines(offers.map(|(port, description)| format!("{port} {description}")))
        }
        (_, "Available") => Answer::done(),
        _ => return None,
    })
}

fn newer(device: &Device) -> String {
    let options = device.options.iter();
    let options: Vec<String> = options
        .map(|(key, value)| format!(" _{key}='{value}'"))
        .collect();
    let options = options.concat();
    let Device {
        class,
        backend,
        port,
        id,
        mode,
        ..
    } = device;
    format!(
        "{backend}+{port}:{id} device_id='{id}' port_id='{port}' devclass='{class}' backend_domain='{backend}' mode='{mode}'{options}"
    )
}

fn older(device: &Device) -> String {
    let options = device.options.iter();
    let options: Vec<String> = options
        .map(|(key, value)| format!(" {key}={value}"))
        .collect();
    let options = options.concat();
    let lasting = if device.mode == "manual" { "no" } else { "yes" };
    format!(
        "{}+{} persistent={lasting}{options}",
        device.backend, device.port
    )
}

/// What a volume's content takes on the disk.
fn used(content: Option<&std::path::Path>) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let found = content.and_then(|path| std::fs::metadata(path).ok());
    found.map_or(0, |found| found.blocks() * 512)
}
