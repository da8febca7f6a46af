//! A qube's settings as steps, each checked; and what of them is left out, with the reason.

use std::collections::{BTreeMap, BTreeSet};

use nacre_core::settings::Device;

use super::check;
use super::decide::{Decision, View, shown};
use super::devices::assignment;
use super::steps::{Step, device_name};
use super::what::{How, LeftOut, MARK, OURS, SavedQube};
use crate::joints::qubes::{Assignment, QubeClass};
use crate::qubes::inventory::Inventory;

/// What a qube is by itself, and has from the moment it is made.
const ITS_OWN: &[&str] = &["name", "qid", "uuid", "klass", "dispid"];
/// What is decided when the qube is made.
const DECIDED: &[&str] = &["template", "label"];
/// What the package manager says of its own templates: with it `qvm-remove` refuses.
const OF_PACKAGES: &str = "installed_by_rpm";
/// Other qubes need these before they can be made or set up.
const FIRST: &[&str] = &["provides_network", "template_for_dispvms"];
/// Values that are qubes.
const LINKS: &[&str] = &[
    "netvm",
    "default_dispvm",
    "management_dispvm",
    "audiovm",
    "guivm",
];
/// Two qubes must not share these.
const ADDRESSES: &[&str] = &["ip", "ip6", "mac"];
/// Properties that widen nothing.
const HARMLESS: &[&str] = &[
    "backup_timestamp",
    "default_user",
    "include_in_backups",
    "kernel",
    "maxmem",
    "memory",
    "qrexec_timeout",
    "shutdown_timeout",
    "template_for_dispvms",
    "vcpus",
    "virt_mode",
];
/// Features that only say what menus show.
const HARMLESS_FEATURES: &[&str] = &[
    "appmenus-dispvm",
    "default-menu-items",
    "menu-favorites",
    "menu-items",
];

/// How the inventory calls the firewall's rules.
const FIREWALL: &str = "firewall";
/// And how people are told of them.
const THE_RULES: &str = "the firewall's rules";
/// Rules that let nothing through.
pub const NOTHING_PASSES: &str = "action=drop\n";

/// The steps for one qube, in three stages: each stage is done for all qubes before the next one begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// It is made and marked, and gets what does not name other qubes.
    pub begin: Vec<Step>,
    /// What may name other qubes, and everything else.
    pub links: Vec<Step>,
    /// When its volumes are whole.
    pub end: Vec<Step>,
}

/// What comes of the settings.
pub struct Settled {
    /// What is done.
    pub steps: Steps,
    /// What is not.
    pub left_out: Vec<LeftOut>,
    /// What the user should know.
    pub remarks: Vec<String>,
    /// Tags that qubesd is expected to give.
    pub tags_of_qubesd: BTreeSet<String>,
}

/// Marks, so that the qube cannot be started and is known as ours.
pub fn marks() -> [Step; 2] {
    [MARK, OURS].map(|tag| Step::AddTag(tag.to_owned()))
}

/// Takes the marks away.
pub fn unmarks() -> [Step; 2] {
    [OURS, MARK].map(|tag| Step::RemoveTag(tag.to_owned()))
}

/// Settles everything for a qube.
pub fn settle(view: &View<'_>, there: &str, saved: &SavedQube, decision: &Decision) -> Settled {
    let name = view.here(there);
    let mut settling = Settling {
        name,
        view,
        saved,
        here: view.present.system.qubes.get(name),
        renamed: name != there && view.present.has(there),
        settled: Settled {
            steps: Steps::default(),
            left_out: Vec::new(),
            remarks: Vec::new(),
            tags_of_qubesd: BTreeSet::new(),
        },
    };
    settling.begin(decision);
    settling.properties(decision);
    settling.features();
    settling.tags();
    settling.firewall(decision);
    settling.notes();
    settling.revisions(&decision.class);
    settling.devices();
    settling.unread();
    settling.settled
}

struct Settling<'a> {
    /// Its name here.
    name: &'a str,
    view: &'a View<'a>,
    saved: &'a SavedQube,
    here: Option<&'a Inventory>,
    /// Under another name, beside the qube that it once was.
    renamed: bool,
    settled: Settled,
}

impl Settling<'_> {
    fn cannot(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.settled.left_out.push(LeftOut::cannot(what, why));
    }

    fn asked(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.settled.left_out.push(LeftOut::asked(what, why));
    }

    fn begin(&mut self, decision: &Decision) {
        let steps = &mut self.settled.steps.begin;
        if let How::Create(new) = &decision.how {
            steps.push(Step::Create(new.clone()));
        }
        steps.extend(marks());
        let of_existing = [("template", &decision.template), ("label", &decision.label)];
        for (name, value) in of_existing {
            steps.extend(value.iter().map(|value| set(name, value)));
        }
    }

    fn properties(&mut self, decision: &Decision) {
        let mut wanted: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, value) in &self.saved.settings.properties {
            wanted.insert(name, value);
        }
        let view = self.view;
        for (name, value) in &view.wish.prefs {
            match value {
                Some(value) => drop(wanted.insert(name, value)),
                None if wanted.remove(name.as_str()).is_some() => {
                    self.asked(format!("property {name}"), "--pref leaves it to the system");
                }
                None => {}
            }
        }
        if view.wish.paranoid && !view.wish.prefs.contains_key("netvm") {
            let before = wanted.insert("netvm", "");
            let why = match before {
                Some("") => None,
                Some(before) => Some(format!(
                    "--paranoid gives it no network; it had {}",
                    shown(before)
                )),
                None => Some("--paranoid gives it no network; it had the system's".to_owned()),
            };
            if let Some(why) = why {
                self.asked("property netvm", why);
            }
        }
        if self.is_unread("properties")
            && decision.how != How::Overwrite
            && !wanted.contains_key("netvm")
            && !view.wish.prefs.contains_key("netvm")
        {
            // Whatever network it had: the system's may be another.
            wanted.insert("netvm", "");
            let why = format!("the backup could not read it. {}", self.no_network());
            self.cannot("property netvm", why);
        }
        for first in FIRST {
            if let Some(value) = wanted.get(first).copied() {
                self.property(first, value);
            }
        }
        for (name, value) in &wanted {
            if !FIRST.contains(name) {
                self.property(name, value);
            }
        }
        self.reset(&wanted);
        self.network_of_the_system(&wanted);
    }

    fn property(&mut self, name: &str, value: &str) {
        if ITS_OWN.contains(&name) || DECIDED.contains(&name) {
            return;
        }
        let what = format!("property {}", shown(name));
        let given = self.view.wish.prefs.contains_key(name);
        let without = name == "netvm" && value.is_empty();
        if name == OF_PACKAGES {
            if value == "True" {
                self.cannot(what, "the package manager alone sets it");
            }
        } else if !check::is_property(name) || !check::is_value(value) {
            let mut why = "its name or value is none that a property may have".to_owned();
            if name == "netvm" {
                self.settled.steps.links.push(set(name, ""));
                why = format!("{why}. {}", self.no_network());
            }
            self.cannot(what, why);
        } else if self.view.wish.paranoid && !given && !without && !HARMLESS.contains(&name) {
            self.asked(what, "--paranoid leaves it to the system");
        } else if self.renamed && ADDRESSES.contains(&name) {
            self.cannot(what, "the qube that it comes from has it");
        } else if LINKS.contains(&name) {
            self.link(name, value, what);
        } else {
            self.settled.steps.begin.push(set(name, value));
        }
    }

    fn no_network(&self) -> String {
        format!(
            "It has no network until you give it one: qvm-prefs {} netvm NAME",
            self.name
        )
    }

    fn link(&mut self, name: &str, there: &str, what: String) {
        let value = self.view.here(there);
        let comes = self.view.names.values().any(|name| name == value);
        if value.is_empty() || comes || self.view.present.has(value) {
            self.settled.steps.links.push(set(name, value));
        } else if name == "netvm" {
            self.settled.steps.links.push(set(name, ""));
            let why = format!("{} is not here. {}", shown(value), self.no_network());
            self.cannot(what, why);
        } else {
            let why = format!("{} is not here; it is left to the system", shown(value));
            self.cannot(what, why);
        }
    }

    /// What somebody set here and the archive does not have goes back to what the system gives.
    fn reset(&mut self, wanted: &BTreeMap<&str, &str>) {
        let Some(here) = self.here.filter(|_| !self.is_unread("properties")) else {
            return;
        };
        for name in here.settings.properties.keys() {
            let fixed = [ITS_OWN, DECIDED, &[OF_PACKAGES]].concat();
            if !fixed.contains(&name.as_str()) && !wanted.contains_key(name.as_str()) {
                let step = Step::ResetProperty(name.clone());
                self.settled.steps.links.push(step);
            }
        }
    }

    /// A qube that had the network of the system there gets that of the system here, which may lead elsewhere.
    fn network_of_the_system(&mut self, wanted: &BTreeMap<&str, &str>) {
        let there = self.view.saved.system.properties.get("default_netvm");
        let here = self.view.present.globals.get("default_netvm");
        if let (Some(there), Some(here)) = (there, here)
            && !wanted.contains_key("netvm")
            && there != here
        {
            let or_none = |name: &str| {
                if name.is_empty() {
                    "none".to_owned()
                } else {
                    shown(name)
                }
            };
            self.settled.remarks.push(format!(
                "its network is the system's default: {} here, {} in the archive",
                or_none(here),
                or_none(there)
            ));
        }
    }

    fn features(&mut self) {
        let saved = self.saved;
        let mut kept = BTreeSet::new();
        for (name, value) in &saved.settings.features {
            let what = format!("feature {}", shown(name));
            if !check::is_feature(name) || !check::is_feature_value(value) {
                self.cannot(what, "its name or value is none that a feature may have");
            } else if self.view.wish.paranoid && !HARMLESS_FEATURES.contains(&name.as_str()) {
                self.asked(what, "--paranoid restores no features but those of menus");
            } else {
                kept.insert(name);
                let step = Step::SetFeature(name.clone(), value.clone());
                self.settled.steps.links.push(step);
            }
        }
        let here = self
            .here
            .filter(|_| !self.is_unread("features"))
            .into_iter();
        let surplus = here.flat_map(|here| here.settings.features.keys());
        let surplus = surplus.filter(|name| !kept.contains(name));
        let steps = surplus.map(|name| Step::RemoveFeature(name.clone()));
        self.settled.steps.links.extend(steps);
    }

    fn tags(&mut self) {
        let saved = self.saved;
        for tag in &saved.settings.tags {
            let what = format!("tag {}", shown(tag));
            if check::is_mark(tag) {
                // Says that a restore was under way when the backup was made; this one has marks of its own.
            } else if !check::is_tag(tag) {
                self.cannot(what, "this is no name that a tag may have");
            } else if check::is_tag_of_qubesd(tag) {
                self.settled.tags_of_qubesd.insert(tag.clone());
            } else if self.view.wish.paranoid {
                self.asked(
                    what,
                    "--paranoid restores no tags, which policies may go by",
                );
            } else {
                let step = Step::AddTag(tag.clone());
                self.settled.steps.links.push(step);
            }
        }
        let here = self.here.filter(|_| !self.is_unread("tags")).into_iter();
        let surplus = here
            .flat_map(|here| here.settings.tags.iter())
            .filter(|tag| {
                let known = saved.settings.tags.contains(*tag) && !self.view.wish.paranoid;
                !known && !check::is_tag_of_qubesd(tag) && !check::is_mark(tag)
            });
        let steps = surplus.map(|tag| Step::RemoveTag(tag.clone()));
        self.settled.steps.links.extend(steps);
    }

    /// A new qube would let everything through. One of which the rules are not known must not: nothing passes until somebody says what.
    fn firewall(&mut self, decision: &Decision) {
        let rules = &self.saved.settings.firewall;
        let why = if self.is_unread(FIREWALL) {
            "the backup could not read them"
        } else if check::is_firewall(rules) {
            // None at all is a setting too: nothing passes.
            let step = Step::SetFirewall(rules.clone());
            return self.settled.steps.links.push(step);
        } else {
            "they are no rules that qubesd takes"
        };
        let fate = if decision.how == How::Overwrite {
            "it keeps those it has".to_owned()
        } else {
            let step = Step::SetFirewall(NOTHING_PASSES.to_owned());
            self.settled.steps.links.push(step);
            format!(
                "nothing passes until you give it some (qvm-firewall {})",
                self.name
            )
        };
        self.cannot(THE_RULES, format!("{why}; {fate}"));
    }

    fn notes(&mut self) {
        let settings = &self.saved.settings;
        let here = self.here.filter(|_| !self.is_unread("notes"));
        let had_notes = here.is_some_and(|here| !here.settings.notes.is_empty());
        if settings.notes.is_empty() && !had_notes {
            return;
        }
        if self.view.present.is_older_release() {
            self.cannot("the notes", "this release has none");
        } else if !check::is_notes(&settings.notes) {
            self.cannot(
                "the notes",
                "they are too long for one call, or hold invisible characters",
            );
        } else {
            let step = Step::SetNotes(settings.notes.clone());
            self.settled.steps.links.push(step);
        }
    }

    fn revisions(&mut self, class: &QubeClass) {
        for (name, volume) in &self.saved.settings.volumes {
            if !own_volumes(class).contains(&name.as_str()) {
                continue;
            }
            if volume.revisions < 0 && self.view.present.is_older_release() {
                let what = format!("revisions_to_keep of volume {name}");
                self.cannot(what, "this release cannot write to volumes in place");
            } else {
                // Only when the new content is in place, or the old one would not be kept.
                let step = Step::SetRevisions(name.clone(), volume.revisions.clamp(-1, 1000));
                self.settled.steps.end.push(step);
            }
        }
    }

    fn devices(&mut self) {
        let saved = self.saved;
        let mut wanted: Vec<(String, String, String)> = Vec::new();
        let place = |it: &Assignment| (it.class.clone(), it.backend.clone(), it.port.clone());
        for device in &saved.settings.devices {
            match assignment(self.view, device) {
                Ok(device) => {
                    wanted.push(place(&device));
                    let there = self
                        .here
                        .into_iter()
                        .flat_map(|here| &here.settings.devices);
                    let mut there = there.filter(|it| {
                        (&it.class, &it.backend, &it.port)
                            == (&device.class, &device.backend, &device.port)
                    });
                    match there.next() {
                        None => self.settled.steps.end.push(Step::Assign(device)),
                        Some(there) if !is_same(there, &device) => {
                            let why = "it is assigned here in another way, and stays so";
                            self.cannot(shown(&device_name(&device)), why);
                        }
                        Some(_) => {}
                    }
                }
                Err(left_out) => self.settled.left_out.push(left_out),
            }
        }
        let here = self
            .here
            .into_iter()
            .flat_map(|here| &here.settings.devices);
        for device in here {
            let device = Assignment {
                class: device.class.clone(),
                backend: device.backend.clone(),
                port: device.port.clone(),
                device: device.id.clone(),
                mode: device.mode.clone(),
                options: device.options.clone(),
            };
            if !wanted.contains(&place(&device)) {
                self.settled.remarks.push(format!(
                    "it keeps {}, which it does not have in the archive",
                    device_name(&device)
                ));
            }
        }
    }

    /// Whether the backup could not read a part of the settings: that it is empty then says nothing.
    fn is_unread(&self, part: &str) -> bool {
        self.saved.settings.unread.contains(part)
    }

    fn unread(&mut self) {
        // What becomes of the firewall is told with why.
        let parts = self.saved.settings.unread.iter();
        for part in parts.filter(|part| *part != FIREWALL) {
            let left_out = LeftOut::cannot(shown(part), "the backup could not read them");
            self.settled.left_out.push(left_out);
        }
    }
}

/// The volumes that qubes of a class have for themselves.
pub fn own_volumes(class: &QubeClass) -> &'static [&'static str] {
    match class {
        QubeClass::Template | QubeClass::Standalone => &["private", "root"],
        QubeClass::App => &["private"],
        _ => &[],
    }
}

/// Of devices at one place: whether one assignment says what the other does. R4.2 knows no ids.
fn is_same(there: &Device, device: &Assignment) -> bool {
    let ids = [&there.id, &device.device];
    let same_id = ids[0] == ids[1] || ids.iter().any(|id| id.is_empty());
    same_id && there.mode == device.mode && there.options == device.options
}

fn set(name: &str, value: &str) -> Step {
    Step::SetProperty(name.to_owned(), value.to_owned())
}
