//! Carries a plan out: stage by stage for all qubes, so that each finds those that it names.
//!
//! A setting that is refused is named and the rest goes on; without the qube itself or its content the qube failed, keeps its mark, and
//! cannot be started until it is restored again.

use std::collections::BTreeMap;

use super::plan::{Plan, QubePlan};
use super::read_back::read_back;
use super::settle::NOTHING_PASSES;
use super::steps::Step;
use super::what::{Content, How, LeftOut};
use crate::joints::qubes::{ImportPlace, QubeRegistry, RegistryError, RegistryErrorKind};

/// Brings content from the archive.
pub trait Contents {
    /// Writes a volume's content, whole or not at all; why not is told in a sentence without its full stop.
    fn write(
        &mut self,
        qube: &str,
        volume: &str,
        content: &Content,
        place: &ImportPlace,
    ) -> Result<(), String>;

    /// The same by way of the program that `qvm-volume import` uses, where qubesd refuses to be asked directly. Puts it into place itself.
    fn import(&mut self, qube: &str, volume: &str, content: &Content) -> Result<(), String>;

    /// Whether the user wants to stop.
    fn stopped(&self) -> bool;
}

/// How it ended for one qube.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is as the archive has it, but for what is named.
    Done,
    /// It is not; why.
    Failed(String),
    /// The user stopped before it was done.
    Stopped,
}

/// A qube after the restore.
#[derive(Clone, Debug)]
pub struct QubeEnd {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub ended: Ended,
    /// What is not as in the archive.
    pub left_out: Vec<LeftOut>,
    /// Whether it is marked, so that it cannot be started.
    pub marked: bool,
    /// Whether it was made now.
    pub created: bool,
}

impl QubeEnd {
    /// Whether it is as the archive has it, but for what is named.
    pub fn is_done(&self) -> bool {
        self.ended == Ended::Done
    }
}

struct Running<'a> {
    plan: &'a QubePlan,
    ended: Option<Ended>,
    /// qubesd does not answer any more: nothing else is asked of it.
    silent: bool,
    left_out: Vec<LeftOut>,
    marked: bool,
    done: Vec<&'a Step>,
}

/// Does it. The outcome has every qube of the plan, in its order.
pub fn carry_out(
    registry: &dyn QubeRegistry,
    plan: &Plan,
    contents: &mut dyn Contents,
) -> Vec<QubeEnd> {
    let mut labels = BTreeMap::new();
    for (name, colour) in &plan.labels {
        if let Err(error) = registry.create_label(name, colour) {
            labels.insert(name.as_str(), error.to_string());
        }
    }
    let mut all: Vec<Running<'_>> = plan.qubes.iter().map(|qube| begin(qube, &labels)).collect();
    let mut silent = false;
    for stage in [Stage::Begin, Stage::Links, Stage::Contents, Stage::End] {
        for qube in all.iter_mut().filter(|qube| qube.ended.is_none()) {
            if contents.stopped() {
                qube.ended = Some(Ended::Stopped);
                continue;
            }
            if silent {
                // It would be waited for anew with each qube.
                let why = "qubesd does not answer any more".to_owned();
                qube.ended = Some(Ended::Failed(why));
                continue;
            }
            match stage {
                Stage::Begin => qube.steps(registry, &qube.plan.steps.begin),
                Stage::Links => qube.steps(registry, &qube.plan.steps.links),
                Stage::Contents => qube.contents(registry, contents),
                Stage::End => qube.steps(registry, &qube.plan.steps.end),
            }
            silent |= qube.silent;
        }
    }
    let end = |qube: Running<'_>| qube.end(registry, silent);
    all.into_iter().map(end).collect()
}

#[derive(Clone, Copy)]
enum Stage {
    Begin,
    Links,
    Contents,
    End,
}

fn begin<'a>(plan: &'a QubePlan, labels: &BTreeMap<&str, String>) -> Running<'a> {
    let mut left_out = plan.left_out.clone();
    let label = plan.steps.begin.iter().find_map(|step| match step {
        Step::Create(new) => Some(new.label.as_str()),
        _ => None,
    });
    if let Some(why) = label.and_then(|label| labels.get(label)) {
        left_out.push(LeftOut::cannot("property label", why.clone()));
    }
    Running {
        plan,
        ended: None,
        silent: false,
        left_out,
        marked: plan.how == How::GoOn,
        done: Vec::new(),
    }
}

impl<'a> Running<'a> {
    fn steps(&mut self, registry: &dyn QubeRegistry, steps: &'a [Step]) {
        for step in steps {
            match step.carry_out(registry, &self.plan.name) {
                Ok(()) => self.took(step),
                Err(error) if is_needed(step) || is_gone(step, &error) => {
                    self.silent = is_silent(&error);
                    self.ended = Some(Ended::Failed(error.to_string()));
                    return;
                }
                Err(error) => {
                    if let Err(error) = self.refused(registry, step, &error) {
                        self.silent = is_silent(&error);
                        self.ended = Some(Ended::Failed(error.to_string()));
                        return;
                    }
                }
            }
        }
    }

    fn took(&mut self, step: &'a Step) {
        match step {
            // The second of the two, without which the next run does not know it for ours.
            Step::AddTag(tag) if tag == super::OURS => self.marked = true,
            Step::RemoveTag(tag) if tag == super::MARK => self.marked = false,
            _ => {}
        }
        self.done.push(step);
    }

    /// Names it. An error is one without whose remedy the qube must not be had.
    fn refused(
        &mut self,
        registry: &dyn QubeRegistry,
        step: &Step,
        error: &RegistryError,
    ) -> Result<(), RegistryError> {
        let gone = matches!(step, Step::RemoveTag(_) | Step::RemoveFeature(_));
        if gone && error.kind == RegistryErrorKind::NoSuchThing {
            return Ok(());
        }
        let mut why = if error.kind == RegistryErrorKind::NoSuchThing {
            "this release of Qubes has no such setting".to_owned()
        } else {
            error.to_string()
        };
        if let Step::SetFirewall(rules) = step
            && self.plan.how != How::Overwrite
            && !lets_all_through(rules)
        {
            // Without its rules a new qube reaches everything.
            let name = &self.plan.name;
            if registry.set_firewall(name, NOTHING_PASSES).is_err() {
                registry.set_property(name, "netvm", "")?;
                why.push_str("; so it has no network until you give it both");
            } else {
                why.push_str("; so nothing passes until you give it some");
            }
        }
        if let Step::SetProperty(property, _) = step
            && property == "netvm"
        {
            // The system's, or the one that it has here, may lead where what it had did not.
            registry.set_property(&self.plan.name, property, "")?;
            why.push_str("; so it has no network until you give it one");
        }
        self.left_out.push(LeftOut::cannot(step.what(), why));
        Ok(())
    }

    /// Writes all volumes before the first is put in place: what fails until then leaves each of them and its revisions as they were, so
    /// that going on does not take what was restored for what was here.
    fn contents(&mut self, registry: &dyn QubeRegistry, contents: &mut dyn Contents) {
        let plan = self.plan;
        let name = plan.name.as_str();
        let mut begun = Vec::new();
        let mut result = plan.contents.iter().try_for_each(|(volume, content)| {
            self.content(registry, contents, volume, content, &mut begun)
                .map_err(|why| format!("volume {volume}: {why}"))
        });
        for volume in begun {
            if self.silent {
                break;
            }
            let failure = result.as_ref().err().map(String::as_str);
            let ended = registry.import_end(name, volume, failure);
            self.silent = ended.as_ref().is_err_and(is_silent);
            result =
                result.and_then(|()| ended.map_err(|error| format!("volume {volume}: {error}")));
        }
        if let Err(why) = result {
            self.ended = Some(if contents.stopped() {
                Ended::Stopped
            } else {
                Ended::Failed(why)
            });
        }
    }

    /// Writes one. `begun` gets those that are to be put in place or given up.
    fn content(
        &mut self,
        registry: &dyn QubeRegistry,
        contents: &mut dyn Contents,
        volume: &'a str,
        content: &Content,
        begun: &mut Vec<&'a str>,
    ) -> Result<(), String> {
        let name = self.plan.name.as_str();
        let place = match self.begin_import(registry, volume, content.size) {
            Ok(place) => place,
            Err(error) if error.kind == RegistryErrorKind::Refused => {
                return contents.import(name, volume, content);
            }
            Err(error) => {
                self.silent = is_silent(&error);
                return Err(error.to_string());
            }
        };
        begun.push(volume);
        contents.write(name, volume, content, &place)
    }

    /// What a restore that was killed had begun is given up first: a thin pool takes one import at a time.
    fn begin_import(
        &self,
        registry: &dyn QubeRegistry,
        volume: &str,
        size: u64,
    ) -> Result<ImportPlace, RegistryError> {
        let name = self.plan.name.as_str();
        match registry.import_begin(name, volume, size) {
            Err(error) if error.kind == RegistryErrorKind::Other && self.plan.how == How::GoOn => {
                registry.import_end(name, volume, Some("the restore was cut short"))?;
                registry.import_begin(name, volume, size)
            }
            answer => answer,
        }
    }

    /// `silent`: qubesd does not answer any more.
    fn end(mut self, registry: &dyn QubeRegistry, silent: bool) -> QubeEnd {
        let ended = self.ended.take().unwrap_or(Ended::Done);
        if ended == Ended::Done && silent {
            let why = "they cannot be read back: qubesd does not answer any more";
            self.left_out.push(LeftOut::cannot("settings", why));
        } else if ended == Ended::Done {
            let differing = read_back(registry, self.plan, &self.done);
            self.left_out.extend(differing);
        }
        QubeEnd {
            name: self.plan.name.clone(),
            ended,
            left_out: self.left_out,
            marked: self.marked,
            created: self.done.iter().any(|step| matches!(step, Step::Create(_))),
        }
    }
}

/// Without these there is no qube, or none that is kept from starting before it is whole.
fn is_needed(step: &Step) -> bool {
    match step {
        Step::Create(_) => true,
        Step::AddTag(tag) | Step::RemoveTag(tag) => super::check::is_mark(tag),
        _ => false,
    }
}

/// qubesd itself does not answer any more.
fn is_silent(error: &RegistryError) -> bool {
    matches!(
        error.kind,
        RegistryErrorKind::TimedOut | RegistryErrorKind::Unreachable
    )
}

/// Rules that a new qube has by itself.
fn lets_all_through(rules: &str) -> bool {
    rules.trim_end() == "action=accept"
}

/// qubesd itself does not answer any more, or the qube is gone. Of a step that names another qube, that one may be meant.
fn is_gone(step: &Step, error: &RegistryError) -> bool {
    let is_link = matches!(step, Step::Assign(_) | Step::SetProperty(..));
    is_silent(error) || error.kind == RegistryErrorKind::NoQube && !is_link
}
