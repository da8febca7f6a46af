//! The system's qubes: what there is, what is set, and how it is changed (DESIGN 3).

use std::collections::BTreeMap;
use std::fmt;

/// What kind of qube it is. Classes that a later release adds are `Other`, and are told, never guessed at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QubeClass {
    /// dom0.
    Admin,
    /// Root from a template, private of its own.
    App,
    /// A template.
    Template,
    /// Everything of its own.
    Standalone,
    /// A disposable, or a named one.
    Disposable,
    /// Any other; `RemoteVM` has no volumes here.
    Other(String),
}

impl QubeClass {
    /// The word of the Admin API.
    pub fn word(&self) -> &str {
        match self {
            Self::Admin => "AdminVM",
            Self::App => "AppVM",
            Self::Template => "TemplateVM",
            Self::Standalone => "StandaloneVM",
            Self::Disposable => "DispVM",
            Self::Other(word) => word,
        }
    }

    /// Reads the word.
    pub fn of(word: &str) -> Self {
        match word {
            "AdminVM" => Self::Admin,
            "AppVM" => Self::App,
            "TemplateVM" => Self::Template,
            "StandaloneVM" => Self::Standalone,
            "DispVM" => Self::Disposable,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// A qube in the system's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QubeRow {
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: QubeClass,
    /// Whether it is halted. Everything else counts as in use.
    pub halted: bool,
    /// What it keeps when it is renamed; R4.2 tells none.
    pub uuid: Option<String>,
}

/// Whether a qube runs, as qubesd tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QubeState {
    /// It does not run.
    Halted,
    /// It is starting, or its agent does not answer yet.
    Starting,
    /// It runs and takes calls.
    Running,
    /// It was paused, or sleeps with the machine.
    Paused,
    /// It is shutting down.
    Stopping,
    /// It crashed, or qubesd does not know.
    Unknown,
}

impl QubeState {
    /// Reads the word of the Admin API.
    pub fn of(word: &str) -> Self {
        match word {
            "Halted" => Self::Halted,
            "Transient" => Self::Starting,
            "Running" => Self::Running,
            "Paused" | "Suspended" => Self::Paused,
            "Halting" | "Dying" => Self::Stopping,
            _ => Self::Unknown,
        }
    }
}

/// A property of a qube or of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// Whether nobody set it.
    pub is_default: bool,
    /// `str`, `int`, `bool`, `vm` or `label`.
    pub kind: String,
    /// Its value; empty also stands for none.
    pub value: String,
}

/// Properties by name.
pub type Properties = BTreeMap<String, Property>;

/// A volume of a qube.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QubeVolume {
    /// `private`, `root`, …
    pub name: String,
    /// The pool it is in.
    pub pool: String,
    /// What the pool calls it: `qubes_dom0/vm-work-private`, `appvms/mail/private`.
    pub vid: String,
    /// Bytes.
    pub size: u64,
    /// Bytes that were ever written and not discarded since, as far as the pool tells.
    pub used: Option<u64>,
    /// Whether what the qube writes is kept when it stops.
    pub kept: bool,
    /// Whether the qube may write to it.
    pub writable: bool,
    /// How many former states are kept; -1: none, and the running qube writes to the volume itself.
    pub revisions: i64,
}

/// A pool of volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolInfo {
    /// Its name.
    pub name: String,
    /// `lvm_thin`, `file-reflink`, `zfs`, `file`, `callback`, …
    pub driver: String,
    /// What else the driver tells: `volume_group`, `thin_pool`, `dir_path`, ….
    pub values: BTreeMap<String, String>,
}

/// A device that a qube is to have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Assignment {
    /// `pci`, `usb`, `block`, `mic`, ….
    pub class: String,
    /// The qube that has the device.
    pub backend: String,
    /// Where at the backend: `00_1a.0`, `sda1`.
    pub port: String,
    /// Which device; empty where the release does not tell.
    pub device: String,
    /// `required`, `auto-attach`, `ask-to-attach`. R4.2 only knows `required`.
    pub mode: String,
    /// Options such as `read-only`.
    pub options: BTreeMap<String, String>,
}

/// A block device that a qube offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockDevice {
    /// The qube that has it.
    pub backend: String,
    /// Its name there: `sda1`. Another one the next time it is plugged in.
    pub port: String,
    /// What tells it from other devices wherever it is plugged in; empty where nothing does.
    pub identity: String,
    /// Everything else that is told, one line, sanitised.
    pub description: String,
}

/// A qube to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewQube {
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: QubeClass,
    /// The template, where the class has one.
    pub template: Option<String>,
    /// A label that exists.
    pub label: String,
    /// The pool of each volume that shall not be in the default one.
    pub pools: BTreeMap<String, String>,
}

/// Where the content of a volume being imported is written, until `import_end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportPlace {
    /// Bytes.
    pub size: u64,
    /// A file or device, which reads as zeros.
    pub path: String,
}

/// The qubes of this system.
///
/// Reading costs a fraction of a millisecond for each call. There is no lock between two calls: a qube may start meanwhile.
pub trait QubeRegistry: Send + Sync {
    /// All qubes, dom0 among them.
    fn list(&self) -> Result<Vec<QubeRow>, RegistryError>;
    /// Whether a qube runs.
    fn state(&self, qube: &str) -> Result<QubeState, RegistryError>;
    /// All properties of a qube.
    fn properties(&self, qube: &str) -> Result<Properties, RegistryError>;
    /// All properties of the system.
    fn global_properties(&self) -> Result<Properties, RegistryError>;
    /// All features with their values; a service is the feature `service.NAME`.
    fn features(&self, qube: &str) -> Result<BTreeMap<String, String>, RegistryError>;
    /// All tags.
    fn tags(&self, qube: &str) -> Result<Vec<String>, RegistryError>;
    /// The firewall's rules, one a line.
    fn firewall(&self, qube: &str) -> Result<String, RegistryError>;
    /// The notes; `None` where the release has none (R4.2).
    fn notes(&self, qube: &str) -> Result<Option<String>, RegistryError>;
    /// All volumes.
    fn volumes(&self, qube: &str) -> Result<Vec<QubeVolume>, RegistryError>;
    /// Devices assigned for good.
    fn assignments(&self, qube: &str) -> Result<Vec<Assignment>, RegistryError>;
    /// All labels with their colours (`0xRRGGBB`).
    fn labels(&self) -> Result<BTreeMap<String, String>, RegistryError>;
    /// A pool.
    fn pool(&self, name: &str) -> Result<PoolInfo, RegistryError>;
    /// The names of all pools.
    fn pools(&self) -> Result<Vec<String>, RegistryError>;
    /// Block devices that a running qube offers.
    fn block_devices(&self, backend: &str) -> Result<Vec<BlockDevice>, RegistryError>;
    /// Block devices that a running qube has from others.
    fn attached_blocks(&self, qube: &str) -> Result<Vec<BlockDevice>, RegistryError>;

    /// Makes a qube.
    fn create(&self, new: &NewQube) -> Result<(), RegistryError>;
    /// Makes a label.
    fn create_label(&self, name: &str, colour: &str) -> Result<(), RegistryError>;
    /// Removes a qube with its volumes.
    fn remove(&self, qube: &str) -> Result<(), RegistryError>;
    /// Sets a property.
    fn set_property(&self, qube: &str, name: &str, value: &str) -> Result<(), RegistryError>;
    /// Lets a property be what the system gives.
    fn reset_property(&self, qube: &str, name: &str) -> Result<(), RegistryError>;
    /// Sets a feature.
    fn set_feature(&self, qube: &str, name: &str, value: &str) -> Result<(), RegistryError>;
    /// Takes a feature away.
    fn remove_feature(&self, qube: &str, name: &str) -> Result<(), RegistryError>;
    /// Adds a tag.
    fn add_tag(&self, qube: &str, tag: &str) -> Result<(), RegistryError>;
    /// Takes a tag away.
    fn remove_tag(&self, qube: &str, tag: &str) -> Result<(), RegistryError>;
    /// Sets all rules of the firewall.
    fn set_firewall(&self, qube: &str, rules: &str) -> Result<(), RegistryError>;
    /// Sets the notes.
    fn set_notes(&self, qube: &str, notes: &str) -> Result<(), RegistryError>;
    /// Sets how many former states of a volume are kept.
    fn set_revisions(&self, qube: &str, volume: &str, count: i64) -> Result<(), RegistryError>;
    /// Assigns a device for good.
    fn assign(&self, qube: &str, device: &Assignment) -> Result<(), RegistryError>;
    /// Gives a running qube a block device, under a name that is free there, until the qube stops.
    fn attach_block(&self, qube: &str, device: &BlockDevice) -> Result<(), RegistryError>;
    /// Takes it away again.
    fn detach_block(&self, qube: &str, device: &BlockDevice) -> Result<(), RegistryError>;

    /// Starts a qube; one that runs is no error. Returns when it is up, which may take a minute.
    fn start(&self, qube: &str) -> Result<(), RegistryError>;
    /// Asks a qube to stop. Does not wait.
    fn shutdown(&self, qube: &str) -> Result<(), RegistryError>;

    /// Begins to replace a volume's content, with a new size. The qube must be halted. Until `import_end` the old content stays.
    fn import_begin(
        &self,
        qube: &str,
        volume: &str,
        size: u64,
    ) -> Result<ImportPlace, RegistryError>;
    /// Puts the new content in place, the old one becoming a revision, or drops it when there is a reason.
    fn import_end(
        &self,
        qube: &str,
        volume: &str,
        failure: Option<&str>,
    ) -> Result<(), RegistryError>;
}

/// What went wrong, so that callers can tell the cases apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryErrorKind {
    /// qubesd cannot be reached: not a Qubes system, or not root.
    Unreachable,
    /// No answer in time.
    TimedOut,
    /// An empty answer: the release does not know the call, or its arguments are not allowed.
    Refused,
    /// No such qube.
    NoQube,
    /// No such property, feature, tag or label.
    NoSuchThing,
    /// The value is not accepted.
    BadValue,
    /// The qube runs and must not.
    NotHalted,
    /// The qube does not run and should.
    NotRunning,
    /// Something still needs it.
    InUse,
    /// Another exception of the API.
    Other,
    /// The answer is not one.
    Protocol,
}

/// An error of the Admin API. `detail` is safe to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryError {
    /// The case.
    pub kind: RegistryErrorKind,
    /// What was asked, and of which qube: `admin.vm.Start of backupvm`.
    pub call: String,
    /// The API's own message, sanitised.
    pub detail: String,
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, call, detail } = self;
        match kind {
            RegistryErrorKind::Unreachable => {
                write!(
                    f,
                    "qubesd cannot be reached ({detail}); run this as root in dom0"
                )
            }
            RegistryErrorKind::TimedOut => write!(f, "{call}: no answer from qubesd in time"),
            RegistryErrorKind::Refused => write!(
                f,
                "{call}: qubesd refused without a reason; `journalctl -u qubesd` has it"
            ),
            RegistryErrorKind::Protocol => write!(f, "{call}: not an answer of qubesd ({detail})"),
            _ => write!(f, "{call}: {detail}"),
        }
    }
}

impl std::error::Error for RegistryError {}
