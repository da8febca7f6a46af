//! Killing: a running command, or whatever it has started.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nacre_tests::desk::{Ended, ended};
use nacre_tests::lab_image::Random;
use rustix::process::{Pid, Signal};

/// How long commands take, by their names: a kill shall fall anywhere in them.
#[derive(Default)]
pub struct Habits(BTreeMap<String, Duration>);

impl Habits {
    /// How long one took that nobody interrupted.
    pub fn learn(&mut self, verb: &str, took: Duration) {
        let usual = self.0.entry(verb.to_owned()).or_insert(took);
        *usual = (*usual + took) / 2;
    }

    fn usual(&self, verb: &str) -> Duration {
        let guess = Duration::from_millis(300);
        self.0.get(verb).copied().unwrap_or(guess)
    }
}

/// How a command ended that was to be killed.
pub enum Cut {
    /// Before the kill.
    Done,
    /// The command itself was killed.
    Killed,
    /// Something that it had started was killed.
    Bereaved(Ended),
}

/// Runs a command and kills it, or one of its descendants or those of `others`, at a random instant.
pub fn kill_at_random(
    random: &mut Random,
    habits: &mut Habits,
    verb: &str,
    command: &mut Command,
    others: Option<u32>,
) -> Cut {
    let limit = u64::try_from(habits.usual(verb).as_micros()).unwrap() * 11 / 10;
    let instant = Duration::from_micros(random.below(limit));
    let begun = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(instant);
    let own = child.id();
    // A child that nobody waited for is still to be found, and a zombie cannot be killed: then it had ended before.
    let running = !is_zombie(own);
    let mut victims = descendants(own);
    if let Some(other) = others {
        victims.extend(descendants(other));
    }
    let victim = if victims.is_empty() || random.below(2) == 0 {
        own
    } else {
        random.pick(&victims)
    };
    if running {
        kill(victim);
    }
    let end = ended(&child.wait_with_output().unwrap());
    if end.code == 128 + 9 {
        return Cut::Killed;
    }
    if end.code == 0 {
        habits.learn(verb, begun.elapsed());
        return Cut::Done;
    }
    assert!(running, "it was not touched: {end:?}");
    Cut::Bereaved(end)
}

/// SIGKILL.
pub fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

/// Children, children's children and so on.
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace() {
            let child = child.parse().unwrap();
            found.push(child);
            found.extend(descendants(child));
        }
    }
    found
}

fn is_zombie(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.trim_start().starts_with('Z')
}
