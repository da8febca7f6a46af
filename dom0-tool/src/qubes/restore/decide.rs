//! How one qube comes to be: made, overwritten or gone on with; from which template, with which label, in which pool.

use std::collections::{BTreeMap, BTreeSet};

use super::check;
use super::what::{How, LeftOut, MARK, OURS, Present, Saved, SavedQube, What, Wish};
use crate::joints::qubes::{NewQube, QubeClass};
use crate::qubes::inventory::Inventory;

/// Everything that is looked at for one qube.
pub struct View<'a> {
    /// What the archive has.
    pub saved: &'a Saved,
    /// What is here.
    pub present: &'a Present,
    /// What is wanted.
    pub wish: &'a Wish,
    /// Names here of the qubes that are restored, by their names there.
    pub names: &'a BTreeMap<String, String>,
}

impl View<'_> {
    /// What a qube of the archive is called here.
    pub fn here<'b>(&'b self, there: &'b str) -> &'b str {
        self.names.get(there).map_or(there, String::as_str)
    }
}

/// What was decided.
#[derive(Clone, Debug)]
pub struct Decision {
    /// How it comes to be.
    pub how: How,
    /// Its class.
    pub class: QubeClass,
    /// Another template than it has here.
    pub template: Option<String>,
    /// Another label than it has here.
    pub label: Option<String>,
    /// A label that must be made first, and its colour.
    pub new_label: Option<(String, String)>,
    /// What the user should know.
    pub remarks: Vec<String>,
    /// What is not as it was.
    pub left_out: Vec<LeftOut>,
}

/// Decides, or says why the qube cannot be restored. `made`: qubes that are made before it.
pub fn decide(
    view: &View<'_>,
    there: &str,
    saved: &SavedQube,
    made: &BTreeSet<String>,
) -> Result<Decision, String> {
    let name = view.here(there);
    if !check::is_qube_name(name) {
        return Err("this is no name that a qube may have".to_owned());
    }
    let class = QubeClass::of(&saved.settings.class);
    if !matches!(
        class,
        QubeClass::App | QubeClass::Template | QubeClass::Standalone | QubeClass::Disposable
    ) {
        let word = class.word();
        return Err(format!(
            "it is of the class {word}, which this release of nacre does not know"
        ));
    }
    let here = view.present.system.qubes.get(name);
    let mut decision = Decision {
        how: how(view, there, here, &class)?,
        class,
        template: None,
        label: None,
        new_label: None,
        remarks: Vec::new(),
        left_out: Vec::new(),
    };
    if view.wish.what == What::Data {
        return Ok(decision);
    }
    decision.template(view, saved, here, made)?;
    decision.label(view, saved);
    decision.create(view, name, saved)?;
    Ok(decision)
}

/// Also whether what is here may be touched at all.
fn how(
    view: &View<'_>,
    there: &str,
    here: Option<&Inventory>,
    class: &QubeClass,
) -> Result<How, String> {
    let Some(here) = here else {
        if view.wish.what == What::Data {
            return Err(
                "there is no such qube here whose volumes could be replaced; leave --data-only out"
                    .to_owned(),
            );
        }
        // Filled in when template, label and pools are known.
        return Ok(How::Create(NewQube {
            name: String::new(),
            class: class.clone(),
            template: None,
            label: String::new(),
            pools: BTreeMap::new(),
        }));
    };
    if here.row.class != *class {
        return Err(format!(
            "the qube of this name here is of the class {}, in the archive it is of the class {}; give it another name with --as",
            here.row.class.word(),
            class.word()
        ));
    }
    if !here.row.halted {
        return Err(format!(
            "it is running; stop it with `qvm-shutdown --wait {}`, or restore beside it with --as",
            here.row.name
        ));
    }
    let tags = &here.settings.tags;
    let noted = view.present.begun.get(&here.row.name);
    let is_begun = noted.is_some_and(|noted| noted.unmarked) && is_untouched(here);
    if !(tags.contains(MARK) && tags.contains(OURS) || is_begun) {
        return Ok(How::Overwrite);
    }
    // Of what nobody wrote down, all may be missing.
    let begun = noted.map_or(What::Both, |noted| noted.what);
    if view.wish.what == begun || view.wish.what == What::Both {
        return Ok(How::GoOn);
    }
    let option = match begun {
        What::Both => "",
        What::Settings => " --settings-only",
        What::Data => " --data-only",
    };
    let rename = view.wish.rename.as_ref();
    let rename = rename.map_or_else(String::new, |name| format!(" --as={name}"));
    Err(format!(
        "an earlier restore left it unfinished; finish that one first: nacre restore {there}{rename}{option}"
    ))
}

/// Whether a qube is as one is that was just made: nothing was ever written to its volumes, and nobody gave it a tag. There is nothing to
/// lose, whoever made it.
pub(super) fn is_untouched(here: &Inventory) -> bool {
    let is_of_qubesd = |tag: &String| check::is_tag_of_qubesd(tag) || check::is_mark(tag);
    let unread = &here.settings.unread;
    let mut own = here.volumes.iter().filter(|it| it.kept && it.writable);
    own.all(|volume| volume.used == Some(0))
        && here.settings.tags.iter().all(is_of_qubesd)
        && !unread.contains("volumes")
        && !unread.contains("tags")
}

impl Decision {
    fn is_new(&self) -> bool {
        matches!(self.how, How::Create(_))
    }

    fn template(
        &mut self,
        view: &View<'_>,
        saved: &SavedQube,
        here: Option<&Inventory>,
        made: &BTreeSet<String>,
    ) -> Result<(), String> {
        if !matches!(self.class, QubeClass::App | QubeClass::Disposable) {
            return Ok(());
        }
        let wanted = match view.wish.prefs.get("template") {
            Some(Some(given)) => Some(given.clone()),
            Some(None) => None,
            None => {
                let there = saved.settings.properties.get("template");
                there.map(|there| view.here(there).to_owned())
            }
        };
        let is_there = |name: &str| made.contains(name) || view.present.has(name);
        if let Some(wanted) = &wanted
            && is_there(wanted)
        {
            self.template = Some(wanted.clone());
            return Ok(());
        }
        let missing = wanted.map_or_else(
            || "its template is not known".to_owned(),
            |name| format!("its template {} is not here", shown(&name)),
        );
        let kept = here.and_then(|here| here.settings.properties.get("template"));
        let default = view.present.globals.get("default_template");
        let default = default.filter(|name| self.class == QubeClass::App && is_there(name));
        match (kept, default) {
            (Some(kept), _) => self.left_out.push(LeftOut::cannot(
                "property template",
                format!("{missing}; it keeps {kept}"),
            )),
            (None, Some(default)) => {
                self.left_out.push(LeftOut::cannot(
                    "property template",
                    format!(
                        "{missing}; it gets {default}, the default. Restore the template too, or give --pref template=NAME"
                    ),
                ));
                self.template = Some(default.clone());
            }
            (None, None) => {
                return Err(format!(
                    "{missing}; restore the template too, or give --pref template=NAME"
                ));
            }
        }
        Ok(())
    }

    fn label(&mut self, view: &View<'_>, saved: &SavedQube) {
        let given = view.wish.prefs.get("label").cloned();
        let there = saved.settings.properties.get("label").cloned();
        let wanted = given.unwrap_or(there);
        let labels = &view.present.system.settings.labels;
        let Some(wanted) = wanted else {
            self.label = self.is_new().then(|| fallback(view));
            return;
        };
        let colour = view.saved.system.labels.get(&wanted);
        if labels.contains_key(&wanted) {
            self.label = Some(wanted);
        } else if let Some(colour) = colour.filter(|it| check::is_colour(it))
            && check::is_label(&wanted)
        {
            self.new_label = Some((wanted.clone(), colour.clone()));
            self.label = Some(wanted);
        } else {
            let instead = fallback(view);
            self.left_out.push(LeftOut::cannot(
                "property label",
                format!(
                    "there is no label {}, and its colour is not known; it gets {instead}",
                    shown(&wanted)
                ),
            ));
            self.label = Some(instead);
        }
    }

    /// What a new qube is made with.
    fn create(&mut self, view: &View<'_>, name: &str, saved: &SavedQube) -> Result<(), String> {
        if !self.is_new() {
            if view.wish.pool.is_some() {
                self.remarks.push(
                    "it stays in the pool in which it is; --pool is for new qubes".to_owned(),
                );
            }
            return Ok(());
        }
        if self.class == QubeClass::Template
            && view.wish.what == What::Both
            && !saved.contents.contains_key("root")
        {
            return Err(match saved.why_unknown("root") {
                Some(why) => format!("its root volume: {why}"),
                None => "the archive has its settings only, not its root volume".to_owned(),
            });
        }
        let new = NewQube {
            name: name.to_owned(),
            class: self.class.clone(),
            template: self.template.take(),
            label: self.label.take().unwrap_or_else(|| fallback(view)),
            pools: self.pools(view, saved),
        };
        self.how = How::Create(new);
        Ok(())
    }

    /// Where volumes go that shall not be in the default pool.
    fn pools(&mut self, view: &View<'_>, saved: &SavedQube) -> BTreeMap<String, String> {
        let own: &[&str] = match self.class {
            QubeClass::Template | QubeClass::Standalone => &["private", "root"],
            QubeClass::App => &["private"],
            _ => &[],
        };
        let mut pools = BTreeMap::new();
        for volume in own {
            let default = [format!("default_pool_{volume}"), "default_pool".to_owned()];
            let globals = &view.present.globals;
            let mut default = default.iter().filter_map(|name| globals.get(name));
            let default = default.find(|pool| !pool.is_empty());
            let there = saved.settings.volumes.get(*volume).map(|it| &it.pool);
            let wanted = view.wish.pool.as_ref().or(there);
            let Some(wanted) = wanted.filter(|pool| Some(*pool) != default) else {
                continue;
            };
            if view.present.system.pools.contains_key(wanted) {
                pools.insert((*volume).to_owned(), wanted.clone());
            } else {
                let default = default.map_or("the default", String::as_str);
                self.remarks.push(format!(
                    "its pool {} is not here, so its {volume} volume goes to {default}",
                    shown(wanted)
                ));
            }
        }
        pools
    }
}

/// The label for what has none: red, as Qubes itself does.
fn fallback(view: &View<'_>) -> String {
    let labels = &view.present.system.settings.labels;
    let first = labels.keys().next().map_or("red", String::as_str);
    let red = if labels.contains_key("red") {
        "red"
    } else {
        first
    };
    red.to_owned()
}

/// A text of the archive in a sentence.
pub fn shown(text: &str) -> String {
    crate::joints::sanitise::sanitise(text.as_bytes(), 100)
}
