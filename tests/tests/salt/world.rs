//! A machine for salt: the real `salt-call --local` in a mount namespace of its own, in which all that the formula writes to is a copy.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nacre_tests::desk::end;
use nacre_tests::{helper_program, nacre_program};
use serde_json::Value;
use tempfile::TempDir;

/// The project.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ lies in the root").to_owned()
}

/// Where `tests/run` puts salt: in the build's own folder.
fn salt_call() -> PathBuf {
    let test = std::env::current_exe().expect("this test");
    let target = test.ancestors().nth(3).expect("the build's folder");
    target.join("salt/bin/salt-call")
}

/// Why salt cannot be run here, if it cannot.
pub fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root can make a machine of its own for salt".to_owned());
    }
    if !salt_call().is_file() {
        return Some("salt is not installed".to_owned());
    }
    let overlays = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    (!overlays.contains("overlay")).then(|| "the kernel has no overlays".to_owned())
}

/// Folders of the machine of which the run gets a copy.
const COPIED: &[&str] = &["etc", "usr", "srv", "home", "var/lib"];

/// What lives on from run to run.
pub struct Machine {
    folder: TempDir,
    id: String,
}

/// How one state ended.
#[derive(Debug)]
#[allow(dead_code, reason = "what is not looked at is shown when a test fails")]
pub struct State {
    /// `salt`'s name of it: `function_|-id_|-name_|-function`.
    pub key: String,
    /// True, false, or nothing for what a test run would change.
    pub result: Option<bool>,
    /// Whether it changed something.
    pub changed: bool,
    /// What it says.
    pub comment: String,
}

impl Machine {
    /// A machine with the formula and a pillar; `id` is what salt calls it.
    pub fn new(id: &str, pillar: &str) -> Self {
        let machine = Self {
            folder: TempDir::new().unwrap(),
            id: id.to_owned(),
        };
        for copied in COPIED {
            for part in ["upper", "work"] {
                fs::create_dir_all(machine.path(part).join(copied)).unwrap();
            }
        }
        machine.file("upper/srv/pillar/base/nacre/init.sls", pillar, 0o644);
        for (folder, to) in [
            ("salt/nacre", "salt/nacre"),
            ("salt/pillar", "pillar/base/nacre"),
        ] {
            for entry in fs::read_dir(root().join(folder)).unwrap().flatten() {
                let goal = machine.path("upper/srv").join(to).join(entry.file_name());
                fs::create_dir_all(goal.parent().unwrap()).unwrap();
                if !goal.exists() {
                    fs::copy(entry.path(), goal).unwrap();
                }
            }
        }
        let top = machine.path("upper/srv/pillar/base");
        fs::copy(top.join("nacre/init.top"), top.join("top.sls")).unwrap();
        let files = machine.path("upper/srv/salt/nacre/files");
        fs::create_dir_all(&files).unwrap();
        fs::write(files.join("nacre-helper"), "the helper\n").unwrap();
        fs::copy(
            root().join("qubes-rpc/nacre.Store"),
            files.join("nacre.Store"),
        )
        .unwrap();
        fs::copy(
            root().join("qubes-rpc/rpc-config/nacre.Store+usb"),
            files.join("nacre.Store+usb"),
        )
        .unwrap();
        machine.programs();
        machine.configuration();
        machine
    }

    fn programs(&self) {
        let log = self.path("calls");
        let logged = |name: &str| format!("#!/bin/sh\necho \"{name} $*\" >> '{}'\n", log.display());
        self.file("upper/usr/bin/systemctl", &logged("systemctl"), 0o755);
        // Knows the size that it was last told.
        let size = self.path("size");
        let volume = format!(
            "{}case $1 in info) cat '{size}' 2>/dev/null || echo 2147483648;; resize) numfmt --from=auto \"$(echo \"$3\" | sed s/iB/i/)\" > '{size}';; esac\n",
            logged("qvm-volume"),
            size = size.display()
        );
        self.file("upper/usr/bin/qvm-volume", &volume, 0o755);
        fs::create_dir_all(self.path("upper/usr/lib/qubes")).unwrap();
        fs::copy(nacre_program(), self.path("upper/usr/bin/nacre")).unwrap();
        if self.id == "dom0" {
            fs::copy(
                helper_program(),
                self.path("upper/usr/lib/qubes/nacre-helper"),
            )
            .unwrap();
        }
        let mut users = fs::read_to_string("/etc/passwd").unwrap();
        let mut groups = fs::read_to_string("/etc/group").unwrap();
        if !users.lines().any(|line| line.starts_with("user:")) {
            users.push_str("user:x:1999:1999::/home/user:/bin/sh\n");
            groups.push_str("user:x:1999:\n");
        }
        self.file("upper/etc/passwd", &users, 0o644);
        self.file("upper/etc/group", &groups, 0o644);
    }

    fn configuration(&self) {
        let doubles = root().join("tests/tests/salt/doubles");
        let text = format!(
            "id: {}\nfile_client: local\nfile_roots:\n  base: [/srv/salt, {}]\npillar_roots:\n  base: [/srv/pillar/base]\n\
             nodegroups:\n  dom0: dom0\ncachedir: {cache}\nextension_modules: {cache}/extmods\npki_dir: {cache}/pki\nlog_file: {cache}/log\nsock_dir: {cache}/sock\n\
             user: root\nlog_level: error\nstate_output: full\n",
            self.id,
            doubles.display(),
            cache = self.path("cache").display()
        );
        self.file("etc/minion", &text, 0o644);
    }

    /// Something of the machine's own folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, text: &str, mode: u32) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A file as the machine has it, if the formula or this test put it there.
    pub fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path("upper").join(path.trim_start_matches('/'))).ok()
    }

    /// Mode of such a file.
    pub fn mode(&self, path: &str) -> u32 {
        let path = self.path("upper").join(path.trim_start_matches('/'));
        fs::metadata(&path).unwrap().permissions().mode() & 0o7777
    }

    /// Runs a function of salt and yields what it answers.
    pub fn call(&self, arguments: &[&str]) -> Value {
        let mounts: String = COPIED
            .iter()
            .map(|copied| {
                let (upper, work) = (self.path("upper").join(copied), self.path("work").join(copied));
                format!(
                    "mount -t overlay overlay -o 'lowerdir=/{copied},upperdir={},workdir={}' /{copied} && ",
                    upper.display(),
                    work.display()
                )
            })
            .collect();
        let mut salt = Command::new("unshare");
        salt.args(["--mount", "--propagation", "private", "sh", "-c"])
            .arg(format!("{mounts}exec \"$@\""))
            .arg("sh")
            .arg(salt_call())
            .args(["--local", "--out=json", "--retcode-passthrough", "-c"])
            .arg(self.path("etc"))
            .args(arguments)
            .env("NACRE_TEST_QUBES", self.path("qubes.json"))
            .env("NACRE_TEST_SERVICES", self.path("services.json"))
            .env("LC_ALL", "C.UTF-8")
            .current_dir("/");
        let ended = end(&mut salt);
        let start = ended.out.find('{').unwrap_or(0);
        let answer: Value = serde_json::from_str(&ended.out[start..])
            .unwrap_or_else(|error| panic!("{error}: {ended:?}"));
        answer["local"].clone()
    }

    /// Applies states; all that came of it, in salt's order.
    pub fn apply(&self, states: &str, more: &[&str]) -> Vec<State> {
        let answer = self.call(&[&["state.apply", states], more].concat());
        let Value::Object(all) = &answer else {
            panic!("{states} {more:?} in {}: {answer:#}", self.id);
        };
        let mut found: Vec<(u64, State)> = all
            .iter()
            .map(|(key, state)| {
                (
                    state["__run_num__"].as_u64().unwrap_or(0),
                    State {
                        key: key.clone(),
                        result: state["result"].as_bool(),
                        changed: state["changes"]
                            .as_object()
                            .is_some_and(|changes| !changes.is_empty()),
                        comment: state["comment"].to_string(),
                    },
                )
            })
            .collect();
        found.sort_by_key(|(number, _)| *number);
        found.into_iter().map(|(_, state)| state).collect()
    }

    /// Everything that the formula and salt wrote below a folder.
    pub fn written(&self, below: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut todo = vec![self.path("upper").join(below)];
        while let Some(folder) = todo.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    todo.push(path);
                } else {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }
}

/// Fails unless all went well.
pub fn all_well(states: &[State]) {
    assert!(!states.is_empty());
    let failed: Vec<&State> = states
        .iter()
        .filter(|state| state.result == Some(false))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Fails unless all went well and nothing was changed, nor would be.
pub fn nothing_to_do(states: &[State]) {
    all_well(states);
    let busy: Vec<&State> = states
        .iter()
        .filter(|state| state.changed || state.result.is_none())
        .collect();
    assert!(busy.is_empty(), "{busy:#?}");
}
