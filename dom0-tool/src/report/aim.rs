//! Which target is worked with, where there are several.

use std::sync::{Arc, Mutex};

use super::board::unpoisoned;
use crate::joints::sanitise::sanitise;

/// The target that is told of, if there is more than one.
#[derive(Clone, Debug, Default)]
pub struct Aim(Arc<Mutex<Option<String>>>);

impl Aim {
    /// From here on, that one; none if it has no name.
    pub fn at(&self, target: &str) {
        *unpoisoned(&self.0) = (!target.is_empty()).then(|| target.to_owned());
    }

    /// Its name.
    pub fn target(&self) -> Option<String> {
        unpoisoned(&self.0).clone()
    }

    /// A message with the target it is about.
    pub fn say(&self, text: &str) -> String {
        match self.target() {
            Some(target) => format!("{target}: {text}"),
            None => text.to_owned(),
        }
    }

    /// What stands above a summary.
    pub fn head(&self) -> String {
        match self.target() {
            Some(target) => format!("{}:\n", sanitise(target.as_bytes(), 300)),
            None => String::new(),
        }
    }
}
