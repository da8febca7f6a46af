//! Starting the qube, and shutting it down again.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Around, BackupQube, LOOKING, Trouble};
use crate::joints::qubes::{QubeState, RegistryErrorKind};

impl BackupQube {
    /// Sees to it that the qube runs. One that is between two states is waited for: it may be the run before this one that is just
    /// shutting it down.
    pub fn bring_up(&self, around: Around<'_>) -> Result<(), Trouble> {
        let deadline = Instant::now() + self.settling;
        let name = &self.name;
        loop {
            if around.stop.load(Ordering::Relaxed) {
                return Err(Trouble::Interrupted);
            }
            match self.state()? {
                QubeState::Running => return Ok(()),
                QubeState::Halted => return self.start(around),
                QubeState::Paused => {
                    return Err(Trouble::told(
                        format!("qube {name} is paused"),
                        format!("Let it go on with `qvm-unpause {name}`."),
                    ));
                }
                QubeState::Unknown => {
                    return Err(Trouble::told(
                        format!("qube {name} neither runs nor is it halted"),
                        format!("See `qvm-ls {name}`; `qvm-kill {name}` ends it."),
                    ));
                }
                QubeState::Starting | QubeState::Stopping if Instant::now() < deadline => {}
                QubeState::Starting => {
                    return Err(Trouble::told(
                        format!("qube {name} has been starting for long and takes no calls yet"),
                        format!("Try again later, or see `qvm-console-dispvm {name}`."),
                    ));
                }
                QubeState::Stopping => {
                    return Err(Trouble::told(
                        format!("qube {name} has been shutting down for long"),
                        format!("Try again later; `qvm-kill {name}` ends it."),
                    ));
                }
            }
            std::thread::sleep(LOOKING);
        }
    }

    /// Whether it runs already.
    pub fn runs(&self) -> bool {
        matches!(self.registry.state(&self.name), Ok(QubeState::Running))
    }

    fn state(&self) -> Result<QubeState, Trouble> {
        self.registry.state(&self.name).map_err(|error| {
            if error.kind == RegistryErrorKind::NoQube {
                let sentence = format!("there is no qube {}", self.name);
                return Trouble::told(sentence, "`qvm-ls` lists those that there are.");
            }
            error.into()
        })
    }

    fn start(&self, around: Around<'_>) -> Result<(), Trouble> {
        let name = &self.name;
        around.monitor.note(&format!(
            "starting qube {name}; it is shut down again at the end"
        ));
        self.registry.start(name).map_err(|error| {
            Trouble::told(
                format!("qube {name} cannot be started: {error}"),
                format!("`qvm-start {name}` may tell more."),
            )
        })?;
        self.change_record(|record| record.started = true)
    }

    /// Shuts it down. That it is in use (a net qube of others, a disk of its own lent to them) qubesd says itself.
    pub(super) fn shut_down(&self, around: Around<'_>) {
        let name = &self.name;
        // Who paused it, or is just ending it, knows better.
        if !matches!(self.registry.state(name), Ok(QubeState::Running)) {
            return;
        }
        match self.registry.shutdown(name) {
            Ok(()) => {
                let text = format!("shutting down qube {name}, which was started for this");
                around.monitor.note(&text);
            }
            Err(error) if error.kind == RegistryErrorKind::InUse => {
                let text = format!("qube {name} stays on: {}", error.detail);
                around.monitor.note(&text);
            }
            Err(error) => around.monitor.warning(&format!(
                "qube {name} was started for this and could not be shut down: {error}. Type `qvm-shutdown {name}`."
            )),
        }
    }
}
