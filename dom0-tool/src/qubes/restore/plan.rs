//! The plan: what is done to which qube, and what is not.

use std::collections::{BTreeMap, BTreeSet};

use super::closure::choose;
use super::decide::{Decision, View, decide, shown};
use super::settle::{Settled, Steps, marks, own_volumes, settle, unmarks};
use super::what::{Content, How, LeftOut, Present, Saved, SavedQube, What, Why, Wish};
use crate::joints::qubes::QubeClass;
use crate::restore::cut_short;

/// One qube of the plan.
#[derive(Clone, Debug)]
pub struct QubePlan {
    /// What it is called here.
    pub name: String,
    /// What it is called in the archive.
    pub there: String,
    /// Its class.
    pub class: QubeClass,
    /// Why it is in the plan.
    pub why: Why,
    /// How it comes to be.
    pub how: How,
    /// The session of its settings.
    pub session: String,
    /// Changes of its settings.
    pub steps: Steps,
    /// What is written to its volumes, by their names.
    pub contents: BTreeMap<String, Content>,
    /// What is not restored.
    pub left_out: Vec<LeftOut>,
    /// What the user should know.
    pub remarks: Vec<String>,
    /// Tags that qubesd is expected to give.
    pub tags_of_qubesd: BTreeSet<String>,
}

impl QubePlan {
    /// Bytes of all its volumes.
    pub fn size(&self) -> u64 {
        let sizes = self.contents.values().map(|content| content.size);
        sizes.fold(0, u64::saturating_add)
    }

    /// Whether something is here that is overwritten, for which a yes is needed.
    pub fn overwrites(&self) -> bool {
        self.how == How::Overwrite
    }
}

/// A qube that is not restored, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its name.
    pub qube: String,
    /// Why.
    pub why: String,
}

/// What will be done.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Labels that are made first, with their colours.
    pub labels: BTreeMap<String, String>,
    /// Qubes, in the order in which they are made.
    pub qubes: Vec<QubePlan>,
    /// Qubes that were asked for and are not restored.
    pub refused: Vec<Refused>,
    /// With `all`: qubes that the archive has by their settings only.
    pub without_content: Vec<String>,
    /// Settings of the system itself that differ: property, value there, value here. They are not changed.
    pub system: Vec<(String, String, String)>,
}

/// Plans. Looks at nothing but its arguments.
pub fn plan(saved: &Saved, present: &Present, wish: &Wish) -> Plan {
    let chosen = choose(saved, present, wish);
    let names: BTreeMap<String, String> = chosen
        .order
        .iter()
        .map(|(there, _)| {
            let here = wish.rename.as_ref().unwrap_or(there);
            (there.clone(), here.clone())
        })
        .collect();
    let mut plan = Plan {
        without_content: chosen.without_content,
        ..Plan::default()
    };
    for name in chosen.unknown {
        plan.refuse(&name, "the archive has no settings of a qube of this name");
    }
    for name in chosen.circle {
        plan.refuse(&name, "it is made from itself, by way of its template");
    }
    let view = View {
        saved,
        present,
        wish,
        names: &names,
    };
    let mut made = BTreeSet::new();
    let mut decided = Vec::new();
    for (there, why) in chosen.order {
        let Some(qube) = saved.qubes.get(&there) else {
            continue;
        };
        match decide(&view, &there, qube, &made) {
            Ok(decision) => {
                made.insert(view.here(&there).to_owned());
                decided.push((there, why, qube, decision));
            }
            Err(why) => plan.refuse(&there, &why),
        }
    }
    // Those that cannot be made must not be named by the others.
    let names = names.iter().filter(|(_, here)| made.contains(*here));
    let names = names
        .map(|(there, here)| (there.clone(), here.clone()))
        .collect();
    let view = View {
        names: &names,
        ..view
    };
    for (there, why, qube, decision) in decided {
        plan.labels.extend(decision.new_label.clone());
        let one = one(&view, there, why, qube, decision);
        plan.qubes.push(one);
    }
    if wish.all && wish.what != What::Data {
        plan.system = differences(saved, present);
    }
    plan
}

impl Plan {
    /// Takes qubes out of it, for a reason.
    pub fn leave_out(&mut self, names: &[String], why: &str) {
        self.qubes.retain(|qube| !names.contains(&qube.name));
        for name in names {
            self.refuse(name, why);
        }
    }

    fn refuse(&mut self, qube: &str, why: &str) {
        self.refused.push(Refused {
            qube: shown(qube),
            why: why.to_owned(),
        });
    }
}

fn one(
    view: &View<'_>,
    there: String,
    why: Why,
    saved: &SavedQube,
    decision: Decision,
) -> QubePlan {
    let settled = match view.wish.what {
        What::Data => only_marks(),
        What::Both | What::Settings => settle(view, &there, saved, &decision),
    };
    let mut qube = QubePlan {
        name: view.here(&there).to_owned(),
        class: decision.class,
        why,
        how: decision.how,
        session: saved.session.clone(),
        steps: settled.steps,
        contents: BTreeMap::new(),
        left_out: [decision.left_out, settled.left_out].concat(),
        remarks: [decision.remarks, settled.remarks].concat(),
        tags_of_qubesd: settled.tags_of_qubesd,
        there,
    };
    if view.wish.what != What::Settings {
        qube.take_contents(saved);
        qube.tell_fate(view);
    }
    qube.steps.end.extend(unmarks());
    qube
}

fn only_marks() -> Settled {
    Settled {
        steps: Steps {
            begin: marks().into(),
            ..Steps::default()
        },
        left_out: Vec::new(),
        remarks: Vec::new(),
        tags_of_qubesd: BTreeSet::new(),
    }
}

impl QubePlan {
    /// Of volumes that are replaced: whether what they hold now can be had back.
    fn tell_fate(&mut self, view: &View<'_>) {
        let Some(here) = view.present.system.qubes.get(&self.name) else {
            return;
        };
        let replaced = here.volumes.iter();
        for volume in replaced.filter(|volume| self.contents.contains_key(&volume.name)) {
            self.remarks.push(if volume.revisions > 0 {
                format!(
                    "what its {0} volume holds now stays as a revision (qvm-volume revert {1}:{0})",
                    volume.name, self.name
                )
            } else {
                format!(
                    "its {} volume keeps no revisions (revisions_to_keep {}), so what it holds now is gone when the new content is in place",
                    volume.name, volume.revisions
                )
            });
        }
    }

    fn take_contents(&mut self, saved: &SavedQube) {
        let own = own_volumes(&self.class);
        let together = |content: &Content| {
            let mut all = saved.contents.values();
            saved.contents.len() > 1 && all.all(|it| it.session == content.session)
        };
        for (volume, content) in &saved.contents {
            if own.contains(&volume.as_str()) {
                if content.session != self.session && !content.unfinished {
                    let which = if together(content) {
                        "all its volumes"
                    } else {
                        "it"
                    };
                    self.remarks.push(format!(
                        "its {volume} volume is of session {}, the last finished one up to then that has {which}",
                        content.session
                    ));
                }
                if content.unfinished {
                    let what = format!("volume {volume}");
                    let why = cut_short(&content.session);
                    self.left_out.push(LeftOut::cannot(what, why));
                }
                self.contents.insert(volume.clone(), content.clone());
            } else {
                let what = format!("volume {}", shown(volume));
                let why = format!(
                    "a qube of the class {} has no such volume",
                    self.class.word()
                );
                self.left_out.push(LeftOut::cannot(what, why));
            }
        }
        for volume in own
            .iter()
            .filter(|name| !saved.contents.contains_key(**name))
        {
            let why = saved.why_unknown(volume).unwrap_or_else(|| {
                let fate = match &self.how {
                    How::Create(_) => "begins empty",
                    How::Overwrite | How::GoOn => "stays as it is",
                };
                format!("the archive does not have its content; it {fate}")
            });
            let out = LeftOut::cannot(format!("volume {volume}"), why);
            self.left_out.push(out);
        }
    }
}

/// Settings of the system that somebody set there and that are other here.
fn differences(saved: &Saved, present: &Present) -> Vec<(String, String, String)> {
    let there = saved.system.properties.iter();
    let pair = there.filter_map(|(name, there)| {
        let here = present.globals.get(name).map_or("", String::as_str);
        (here != there).then(|| (shown(name), shown(there), shown(here)))
    });
    pair.collect()
}
