//! The desktop's menus, which belong to the person at the desktop and not to root.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::super::world::World;
use crate::joints::qubes::QubeClass;
use crate::qubes::restore::{Ended, Plan, QubeEnd};

/// How often it is looked whether a program has ended.
const LOOK: Duration = Duration::from_millis(50);
/// How long the menus may take: nobody wants to wait for them when the qubes are there.
const MENUS: Duration = Duration::from_secs(30);
/// And for each qube.
const MENUS_OF_A_QUBE: Duration = Duration::from_secs(5);

/// Makes the menu entries of restored qubes. That it cannot be done is worth a word with the command, not a failure.
pub fn update(world: &World<'_>, plan: &Plan, ends: &[QubeEnd]) {
    let pairs = plan.qubes.iter().zip(ends);
    let done = pairs.filter(|(qube, end)| {
        end.ended == Ended::Done && qube.class != QubeClass::Disposable && has_settings(qube)
    });
    let names: Vec<&str> = done.map(|(qube, _)| qube.name.as_str()).collect();
    if names.is_empty() {
        return;
    }
    let arguments = [&["--init", "--update"], names.as_slice()].concat();
    let longest = MENUS + MENUS_OF_A_QUBE * u32::try_from(names.len()).unwrap_or(u32::MAX);
    let updated = AsUser::start("qvm-appmenus", &arguments);
    if let Err(why) = updated.and_then(|running| running.wait(longest)) {
        world.monitor().note(&format!(
            "the menus are not updated ({why}); as the user of the desktop: qvm-appmenus {}",
            arguments.join(" ")
        ));
    }
}

/// With `--data-only` nothing that menus show has changed.
fn has_settings(qube: &crate::qubes::restore::QubePlan) -> bool {
    !qube.steps.links.is_empty()
}

/// A program of the desktop that runs as its user, without input and output. Dropped, it is ended, with all that it started.
pub struct AsUser {
    program: String,
    child: Child,
    ended: bool,
}

impl AsUser {
    /// Starts it.
    pub fn start(program: &str, arguments: &[&str]) -> Result<Self, String> {
        let user = user().ok_or("nobody is in the group qubes")?;
        let mut command = Command::new("runuser");
        command.args(["-u", &user, "--", program]).args(arguments);
        Self::spawn(program, command)
    }

    fn spawn(program: &str, mut command: Command) -> Result<Self, String> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|error| format!("runuser: {error}"))?;
        Ok(Self {
            program: program.to_owned(),
            child,
            ended: false,
        })
    }

    /// Whether it is over, and well; nothing while it runs.
    pub fn ended(&mut self) -> Option<Result<(), String>> {
        let program = &self.program;
        let ended = match self.child.try_wait() {
            Ok(None) => return None,
            Ok(Some(status)) if status.success() => Ok(()),
            Ok(Some(status)) => Err(format!("{program} ended with {status}")),
            Err(error) => Err(format!("{program}: {error}")),
        };
        self.ended = true;
        Some(ended)
    }

    /// Waits for it, so long at most.
    fn wait(mut self, longest: Duration) -> Result<(), String> {
        let mut waited = Duration::ZERO;
        loop {
            if let Some(ended) = self.ended() {
                return ended;
            }
            if waited >= longest {
                let seconds = longest.as_secs();
                return Err(format!("{} takes longer than {seconds} s", self.program));
            }
            thread::sleep(LOOK);
            waited += LOOK;
        }
    }
}

impl Drop for AsUser {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // Its group, which is its own: what it started belongs to it.
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Who sits at the desktop: whoever called sudo, else the first of the group `qubes`.
fn user() -> Option<String> {
    let caller = std::env::var("SUDO_USER").ok();
    let caller = caller.filter(|name| !name.is_empty() && name != "root");
    caller.or_else(|| first_of_group(&std::fs::read_to_string("/etc/group").ok()?))
}

/// `qubes:x:1000:user,other`
fn first_of_group(groups: &str) -> Option<String> {
    let line = groups
        .lines()
        .find_map(|line| line.strip_prefix("qubes:"))?;
    let members = line.rsplit(':').next()?;
    let first = members.split(',').next()?;
    (!first.is_empty()).then(|| first.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let said = folder.path().join("pid");
        let mut command = Command::new("sh");
        let script = format!("sleep 600 & echo $! > '{}'; wait", said.display());
        command.args(["-c", &script]);
        let running = AsUser::spawn("qvm-appmenus", command).unwrap();
        let mut pid = String::new();
        while !pid.ends_with('\n') {
            pid = std::fs::read_to_string(&said).unwrap_or_default();
            thread::sleep(LOOK);
        }
        let ended = running.wait(Duration::from_millis(100));
        assert_eq!(ended, Err("qvm-appmenus takes longer than 0 s".to_owned()));
        // Whoever reaps it may take its time: it is dead, or gone.
        let status = || std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        while status().is_ok_and(|status| !status.contains(") Z ")) {
            thread::sleep(LOOK);
        }
    }

    #[test]
    fn the_first_member_of_the_group_is_at_the_desktop() {
        let group = |text: &str| first_of_group(text);
        assert_eq!(
            group("root:x:0:\nqubes:x:98:user,two\n"),
            Some("user".to_owned())
        );
        assert_eq!(group("qubes:x:98:\n"), None);
        assert_eq!(group("qubes2:x:98:user\n"), None);
    }
}
