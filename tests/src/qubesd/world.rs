//! The world behind the double.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Which release answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// No uuids, no notes, device calls of their own.
    R42,
    /// The newer one.
    R43,
}

/// A property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// `str`, `int`, `bool`, `vm`, `label`.
    pub kind: &'static str,
    /// What it is when nobody sets it.
    pub default: String,
    /// What somebody set.
    pub set: Option<String>,
    /// Whether it can be set.
    pub settable: bool,
}

impl Value {
    /// A property that nobody set.
    pub fn new(kind: &'static str, default: &str) -> Self {
        Self {
            kind,
            default: default.to_owned(),
            set: None,
            settable: true,
        }
    }

    /// One that is computed.
    pub fn computed(kind: &'static str, value: &str) -> Self {
        Self {
            settable: false,
            ..Self::new(kind, value)
        }
    }

    /// What it is.
    pub fn value(&self) -> &str {
        self.set.as_ref().unwrap_or(&self.default)
    }
}

/// A volume of a qube.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its pool.
    pub pool: String,
    /// What the pool calls it.
    pub vid: String,
    /// Bytes.
    pub size: u64,
    /// Kept when the qube stops.
    pub save_on_stop: bool,
    /// Made anew at each start.
    pub snap_on_start: bool,
    /// Writable for the qube.
    pub rw: bool,
    /// Former states kept.
    pub revisions_to_keep: i64,
    /// Where its content is, if the test has one.
    pub file: Option<PathBuf>,
    /// Former contents, newest last.
    pub revisions: Vec<PathBuf>,
    /// The content being imported.
    pub importing: Option<PathBuf>,
}

impl Volume {
    /// A volume that is kept.
    pub fn kept(pool: &str, vid: &str, size: u64) -> Self {
        Self {
            pool: pool.to_owned(),
            vid: vid.to_owned(),
            size,
            save_on_stop: true,
            snap_on_start: false,
            rw: true,
            revisions_to_keep: 1,
            file: None,
            revisions: Vec::new(),
            importing: None,
        }
    }

    /// A volume that comes from a template at each start.
    pub fn snapshot(pool: &str, vid: &str, size: u64) -> Self {
        Self {
            save_on_stop: false,
            snap_on_start: true,
            ..Self::kept(pool, vid, size)
        }
    }
}

/// A device assigned to a qube.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// `pci`, `usb`, `block`.
    pub class: String,
    /// Who has it.
    pub backend: String,
    /// Where.
    pub port: String,
    /// Which.
    pub id: String,
    /// `required`, `auto-attach`, `ask-to-attach`, `manual` (attached, not assigned).
    pub mode: String,
    /// Options.
    pub options: BTreeMap<String, String>,
}

/// A qube.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Qube {
    /// `AppVM`, ….
    pub class: String,
    /// Whether it runs.
    pub running: bool,
    /// What it is beside running and halted, as qubesd calls it (`Paused`, `Transient`), and after how many questions it becomes what
    /// `running` says.
    pub passing: Option<(String, u32)>,
    /// How often it was started: its `start_time`.
    pub starts: u32,
    /// Properties.
    pub properties: BTreeMap<String, Value>,
    /// Features.
    pub features: BTreeMap<String, String>,
    /// Tags.
    pub tags: BTreeSet<String>,
    /// The firewall's rules.
    pub firewall: String,
    /// Notes.
    pub notes: String,
    /// Volumes.
    pub volumes: BTreeMap<String, Volume>,
    /// Devices it is to have, or has.
    pub devices: Vec<Device>,
    /// Block devices that it offers: port, description.
    pub offers: BTreeMap<String, String>,
}

/// A pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolState {
    /// Its driver.
    pub driver: String,
    /// What else is told.
    pub values: BTreeMap<String, String>,
}

/// Everything.
#[derive(Clone, Debug)]
pub struct World {
    /// The release.
    pub release: Release,
    /// Qubes, without dom0.
    pub qubes: BTreeMap<String, Qube>,
    /// Properties of the system.
    pub globals: BTreeMap<String, Value>,
    /// Labels and their colours.
    pub labels: BTreeMap<String, String>,
    /// Pools.
    pub pools: BTreeMap<String, PoolState>,
    /// Methods that are refused, as if the release did not know them.
    pub refused: BTreeSet<String>,
    /// Every call so far: method and target.
    pub calls: Vec<String>,
    /// Calls that fail: method, with its argument behind a `+` or with any, and target; class and message of the exception.
    pub failing: BTreeMap<String, (&'static str, String)>,
    /// Programs that run to their end before a call is answered: method and target. Each runs once.
    pub meanwhile: BTreeMap<String, PathBuf>,
    /// Folders of qubes as the stand-in for `qrexec-client` has them: those of halted ones get a file `halted`.
    pub machines: Option<PathBuf>,
    /// What is on block devices that qubes offer (`sys-usb+sda1`): an attached one becomes a loop device of this machine.
    pub images: BTreeMap<String, PathBuf>,
    /// The loop devices of those that are attached.
    pub loops: BTreeMap<String, String>,
    /// Devices that were detached while somebody had them mounted.
    pub torn_off: Vec<String>,
    /// Where the content of new volumes goes.
    pub volumes_at: Option<PathBuf>,
    /// Whether thin pools are those of this machine, into which volumes are imported.
    pub real_pools: bool,
}

impl World {
    /// A system without qubes: the eight labels, a thin pool and a reflink pool.
    pub fn new(release: Release) -> Self {
        let pool = |driver: &str, values: &[(&str, &str)]| PoolState {
            driver: driver.to_owned(),
            values: owned(values),
        };
        let labels = [
            ("red", "0xcc0000"),
            ("orange", "0xf57900"),
            ("yellow", "0xedd400"),
            ("green", "0x73d216"),
            ("gray", "0x555753"),
            ("blue", "0x3465a4"),
            ("purple", "0x75507b"),
            ("black", "0x000000"),
        ];
        let thin = [("volume_group", "qubes_dom0"), ("thin_pool", "vm-pool")];
        let reflink = [("dir_path", "/var/lib/qubes")];
        Self {
            release,
            qubes: BTreeMap::new(),
            globals: globals(),
            labels: owned(&labels),
            pools: [
                ("vm-pool".to_owned(), pool("lvm_thin", &thin)),
                ("varlibqubes".to_owned(), pool("file-reflink", &reflink)),
                ("linux-kernel".to_owned(), pool("linux-kernel", &[])),
            ]
            .into(),
            refused: BTreeSet::new(),
            calls: Vec::new(),
            failing: BTreeMap::new(),
            meanwhile: BTreeMap::new(),
            machines: None,
            images: BTreeMap::new(),
            loops: BTreeMap::new(),
            torn_off: Vec::new(),
            volumes_at: None,
            real_pools: false,
        }
    }

    /// Adds a qube with what every qube of its class has.
    pub fn add(
        &mut self,
        name: &str,
        class: &str,
        template: Option<&str>,
        label: &str,
    ) -> &mut Qube {
        let volumes = volumes(name, class);
        let qube = Qube {
            class: class.to_owned(),
            properties: properties(self.release, name, class, template, label),
            tags: ["created-by-dom0".to_owned()].into(),
            firewall: "action=accept\n".to_owned(),
            volumes,
            ..Qube::default()
        };
        self.qubes.entry(name.to_owned()).or_insert(qube)
    }
}

fn owned(values: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    values.iter().map(pair).collect()
}

fn globals() -> BTreeMap<String, Value> {
    [
        ("default_template", "vm", "fedora-42"),
        ("default_netvm", "vm", "sys-firewall"),
        ("default_dispvm", "vm", "default-dvm"),
        ("default_pool", "str", "vm-pool"),
        ("default_kernel", "str", "6.12.40-1.fc41"),
        ("clockvm", "vm", "sys-net"),
    ]
    .into_iter()
    .map(|(name, kind, value)| (name.to_owned(), Value::new(kind, value)))
    .collect()
}

/// Properties as the classes have them, in part; the ones of R4.3 are missing on R4.2.
fn properties(
    release: Release,
    name: &str,
    class: &str,
    template: Option<&str>,
    label: &str,
) -> BTreeMap<String, Value> {
    let mut all: Vec<(&str, Value)> = vec![
        ("autostart", Value::new("bool", "False")),
        ("backup_timestamp", Value::new("int", "")),
        ("debug", Value::new("bool", "False")),
        ("default_dispvm", Value::new("vm", "default-dvm")),
        ("default_user", Value::new("str", "user")),
        ("icon", Value::computed("str", "appvm-red")),
        ("include_in_backups", Value::new("bool", "True")),
        ("installed_by_rpm", Value::new("bool", "False")),
        ("ip", Value::new("str", "10.137.0.11")),
        ("kernel", Value::new("str", "6.12.40-1.fc41")),
        ("kernelopts", Value::new("str", "")),
        ("klass", Value::computed("str", class)),
        ("label", Value::new("label", label)),
        ("maxmem", Value::new("int", "4000")),
        ("memory", Value::new("int", "400")),
        ("name", Value::computed("str", name)),
        ("netvm", Value::new("vm", "sys-firewall")),
        ("provides_network", Value::new("bool", "False")),
        ("qid", Value::computed("int", "11")),
        ("qrexec_timeout", Value::new("int", "60")),
        ("updateable", Value::computed("bool", "False")),
        ("vcpus", Value::new("int", "2")),
        ("virt_mode", Value::new("str", "pvh")),
    ];
    if let Some(template) = template {
        all.push(("template", Value::new("vm", template)));
    }
    if class == "AppVM" {
        all.push(("template_for_dispvms", Value::new("bool", "False")));
    }
    if release == Release::R43 {
        all.push(("uuid", Value::computed("str", &uuid(name))));
        all.push(("bootmode", Value::new("str", "default")));
    }
    let mut all: BTreeMap<String, Value> = all
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    if let Some(value) = all.get_mut("label") {
        value.set = Some(label.to_owned());
    }
    if let (Some(value), Some(template)) = (all.get_mut("template"), template) {
        value.set = Some(template.to_owned());
    }
    all
}

/// Any, but always the same for a name.
pub fn uuid(name: &str) -> String {
    let hash = blake3::hash(name.as_bytes()).to_hex();
    let part = |from: usize, to: usize| hash.get(from..to).unwrap_or_default();
    format!(
        "{}-{}-4{}-8{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 15),
        part(15, 18),
        part(18, 30)
    )
}

fn volumes(name: &str, class: &str) -> BTreeMap<String, Volume> {
    let vid = |volume: &str| format!("qubes_dom0/vm-{name}-{volume}");
    let gib = 1 << 30;
    let own_root = matches!(class, "TemplateVM" | "StandaloneVM");
    let root = if own_root {
        Volume::kept("vm-pool", &vid("root"), 20 * gib)
    } else {
        Volume::snapshot("vm-pool", &vid("root"), 20 * gib)
    };
    let private = if class == "DispVM" {
        Volume::snapshot("vm-pool", &vid("private"), 2 * gib)
    } else {
        Volume::kept("vm-pool", &vid("private"), 2 * gib)
    };
    let volatile = Volume {
        save_on_stop: false,
        ..Volume::kept("vm-pool", &vid("volatile"), 10 * gib)
    };
    let kernel = Volume {
        rw: false,
        save_on_stop: false,
        ..Volume::kept("linux-kernel", "6.12.40-1.fc41", 0)
    };
    [
        ("root", root),
        ("private", private),
        ("volatile", volatile),
        ("kernel", kernel),
    ]
    .into_iter()
    .map(|(name, volume)| (name.to_owned(), volume))
    .collect()
}
