//! The desktop's menus, which belong to the person at the desktop and not to root.

use std::process::{Command, Stdio};

use super::super::world::World;
use crate::joints::qubes::QubeClass;
use crate::qubes::restore::{Ended, Plan, QubeEnd};

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
    if let Err(why) = as_user("qvm-appmenus", &arguments) {
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

/// Runs a program of the desktop as its user, without input and output.
pub fn as_user(program: &str, arguments: &[&str]) -> Result<(), String> {
    let user = user().ok_or("nobody is in the group qubes")?;
    let status = Command::new("runuser")
        .args(["-u", &user, "--", program])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|error| format!("runuser: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{program} ended with {status}"))
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
