//! The program killed in the middle: at a random moment, or before a random one of the calls by which it changes something.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nacre_tests::desk::{Ended, ended};
use nacre_tests::lab_image::Random;

/// Calls after each of which storage, store or dom0's own files may be in another state.
const STEPS: &str = "unlink,unlinkat,rename,renameat,renameat2,link,linkat,mkdir,mkdirat,rmdir,fsync,fdatasync,\
    ioctl,ftruncate,fallocate,pwrite64,write,sendto,fchmod,fchown,flock,execve";

/// Kills programs. What it learns is how late it still meets them alive.
pub struct Killer {
    has_strace: bool,
    /// Per kind of command.
    reach: Vec<(&'static str, Reach)>,
}

#[derive(Clone, Copy)]
struct Reach {
    moment: Duration,
    step: u64,
}

impl Killer {
    pub fn new() -> Self {
        let mut probe = Command::new("strace");
        probe.args(["-f", "-bexecve", "-qq", "-o/dev/null", "true"]);
        probe
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let has_strace = probe.status().is_ok_and(|status| status.success());
        Self {
            has_strace,
            reach: Vec::new(),
        }
    }

    /// Starts the command, of a kind that lasts about as long each time, and kills it. How it ended; `None` if it was killed. Whatever it
    /// had started has ended too.
    pub fn run(
        &mut self,
        kind: &'static str,
        command: &Command,
        random: &mut Random,
    ) -> Option<Ended> {
        let folder = command.get_current_dir().unwrap().to_owned();
        let at = self.reach.iter().position(|(known, _)| *known == kind);
        let at = at.unwrap_or_else(|| {
            let first = Reach {
                moment: Duration::from_secs(1),
                step: 100,
            };
            self.reach.push((kind, first));
            self.reach.len() - 1
        });
        let reach = &mut self.reach[at].1;
        let found = if self.has_strace && random.below(2) == 0 {
            let step = 1 + random.below(reach.step);
            println!("  … killed at step {step}");
            let ended = at_step(command, step);
            reach.step = match ended {
                Some(_) => (step * 9 / 10).max(20),
                None => reach.step.max(step + step / 5),
            };
            ended
        } else {
            let micros = u64::try_from(reach.moment.as_micros()).unwrap();
            let moment = Duration::from_micros(random.below(micros));
            println!("  … killed after {moment:?}");
            let begun = Instant::now();
            let ended = at_moment(command, moment);
            reach.moment = match ended {
                Some(_) => begun
                    .elapsed()
                    .min(moment.mul_f32(0.9))
                    .max(Duration::from_millis(20)),
                None => reach.moment.max(moment.mul_f32(1.2)),
            };
            ended
        };
        wait_for_the_rest(&folder);
        println!(
            "  … {}",
            if found.is_some() {
                "it was over by then"
            } else {
                "killed"
            }
        );
        found
    }
}

/// The same command again, by way of another program if one is named.
fn again(through: Option<&Command>, command: &Command) -> Command {
    let mut again = match through {
        Some(through) => {
            let mut again = Command::new(through.get_program());
            again.args(through.get_args()).arg(command.get_program());
            again
        }
        None => Command::new(command.get_program()),
    };
    again.args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => again.env(name, value),
            None => again.env_remove(name),
        };
    }
    again.current_dir(command.get_current_dir().unwrap());
    again
}

fn at_step(command: &Command, step: u64) -> Option<Ended> {
    let mut strace = Command::new("strace");
    // With threads but without children: a tool of LVM that is killed can leave a device suspended for good, whoever started it.
    strace.args(["-f", "-bexecve", "-qq", "-o/dev/null"]);
    strace.arg(format!("-etrace={STEPS}"));
    strace.arg(format!("-einject={STEPS}:signal=KILL:when={step}"));
    let output = again(Some(&strace), command).output().unwrap();
    Some(ended(&output)).filter(|ended| ended.code != 128 + 9)
}

fn at_moment(command: &Command, moment: Duration) -> Option<Ended> {
    // Children that outlive it would hold a pipe.
    let out = tempfile::tempfile().unwrap();
    let err = tempfile::tempfile().unwrap();
    let mut command = again(None, command);
    command.stdout(out.try_clone().unwrap());
    command.stderr(err.try_clone().unwrap());
    let mut child = command.spawn().unwrap();
    std::thread::sleep(moment);
    let _ = child.kill();
    let status = child.wait().unwrap();
    let read = |mut file: fs::File| {
        use std::io::{Read, Seek};
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    };
    let output = std::process::Output {
        status,
        stdout: read(out),
        stderr: read(err),
    };
    Some(ended(&output)).filter(|ended| ended.code != 128 + 9)
}

/// Waits until nothing runs in the folder any more: helpers, and tools of LVM that were at work.
fn wait_for_the_rest(folder: &Path) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Some(process) = anything_in(folder) {
        assert!(Instant::now() < deadline, "{process} does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn anything_in(folder: &Path) -> Option<String> {
    let own = std::process::id().to_string();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut names = processes.filter_map(|entry| entry.file_name().into_string().ok());
    // Of those that ended but were not waited for there is no folder any more.
    names.find(|name| {
        *name != own && fs::read_link(format!("/proc/{name}/cwd")).is_ok_and(|cwd| cwd == folder)
    })
}
