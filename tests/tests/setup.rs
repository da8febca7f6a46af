//! `nacre setup` as a person and as a script see it: the plan first, then exactly that.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nacre_tests::desk::{Desk, Ended, end};
use nacre_tests::qubes_world::write_script;
use nacre_tests::skip;
use nacre_tests::terminal::{CODE, missing, typed};

/// A machine on which nothing is set up: no ini, and a `systemctl` that writes down what it is asked.
struct Machine {
    desk: Desk,
}

impl Machine {
    fn new(systemctl: &str) -> Self {
        let machine = Self { desk: Desk::new() };
        let tools = machine.path("tools");
        fs::create_dir(&tools).unwrap();
        let script = format!(
            "#!/bin/sh\necho \"$*\" >> '{}'\n{systemctl}\n",
            machine.path("asked").display()
        );
        write_script(&tools.join("systemctl"), &script).unwrap();
        fs::write(machine.path("nacre.ini"), "# nothing yet\n").unwrap();
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.desk.path(name)
    }

    /// The words of `nacre setup` that keep it on this machine.
    fn words(&self, more: &[&str]) -> Vec<String> {
        let mut words = vec![self.path("nacre").display().to_string(), "setup".to_owned()];
        words.extend(more.iter().map(|word| (*word).to_owned()));
        for (option, name) in [
            ("meta-dir", "state"),
            ("config", "nacre.ini"),
            ("new-key-file", "night.key"),
        ] {
            words.push(format!("--{option}={}", self.path(name).display()));
        }
        words
    }

    fn command(&self, words: &[String]) -> Command {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(self.path(""));
        command.env(
            "PATH",
            format!("{}:/usr/bin:/bin", self.path("tools").display()),
        );
        command.stdin(Stdio::null());
        command
    }

    fn setup(&self, more: &[&str]) -> Ended {
        let dest = format!("--dest=file:{}", self.path("store/laptop").display());
        let more = [more, &[dest.as_str(), "--unattended"]].concat();
        end(&mut self.command(&self.words(&more)))
    }

    /// Whether it ended well, and what was on the screen.
    fn typed(&self, words: &[String], answers: &[(&str, &str)]) -> (bool, String) {
        let ended = typed(&self.command(words), answers);
        (ended.code == 0, ended.out)
    }

    fn ini(&self) -> String {
        fs::read_to_string(self.path("nacre.ini")).unwrap()
    }

    /// The words of a command that finds everything else in the ini.
    fn by_the_ini(&self, command: &[&str]) -> Vec<String> {
        let mut words = vec![self.path("nacre").display().to_string()];
        words.extend(command.iter().map(|word| (*word).to_owned()));
        for (option, name) in [("config", "nacre.ini"), ("meta-dir", "state")] {
            words.push(format!("--{option}={}", self.path(name).display()));
        }
        words.push("--unattended".to_owned());
        words
    }

    /// Lists with nothing but the ini.
    fn list(&self, more: &[&str]) -> Ended {
        end(&mut self.command(&self.by_the_ini(&[&["list"], more].concat())))
    }
}

#[test]
fn a_dry_run_shows_the_plan_and_does_nothing_of_it() {
    let machine = Machine::new("");
    let ended = machine.setup(&["--timer", "--dry-run"]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    let home = machine.path("").display().to_string();
    let plan = ended.out.replace(home.trim_end_matches('/'), "HOME");
    let wanted = "\
This will be done, in this order, and nothing else:

1. make the archive and its key file, and put the script that restores without
   nacre beside it
     nacre arch-init --key-file=HOME/night.key --dest=file:HOME/store/laptop --meta-dir=HOME/state --config=HOME/nacre.ini --unattended

2. write the settings
     HOME/nacre.ini:
       # Written by `nacre setup`; nacre.ini(5) says what else can stand here.

       [var-global-default]
       dest = backup
       dedup = 1

       [target backup]
       dest = file:HOME/store/laptop
       key-file = HOME/night.key

3. back up daily from now on
     systemctl enable --now nacre-backup.timer

Note: no recovery sheet is printed, because nobody is there to take it: do it
      soon, by `nacre key recovery --dest=backup`.

Then the first backup: nacre backup --includes --dest=backup
";
    assert_eq!(plan, wanted);
    assert_eq!(machine.ini(), "# nothing yet\n");
    assert!(
        !machine.path("store/laptop").exists()
            && !machine.path("night.key").exists()
            && !machine.path("asked").exists()
    );
}

#[test]
fn without_a_person_nothing_is_done_that_nobody_said_yes_to() {
    let machine = Machine::new("");
    let ended = machine.setup(&["--timer"]);
    assert_eq!(ended.code, 1);
    assert!(
        ended.err.contains("add --force if it is really meant"),
        "{}",
        ended.err
    );
    assert!(!machine.path("store/laptop").exists() && !machine.path("asked").exists());
}

#[test]
fn a_script_sets_up_what_the_plan_said_and_a_second_time_nothing_new() {
    let machine = Machine::new("");
    let ended = machine.setup(&["--timer", "--force"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(
        fs::read_to_string(machine.path("asked")).unwrap(),
        "enable --now nacre-backup.timer\n"
    );
    assert_eq!(machine.list(&[]).code, 0, "the ini alone opens the archive");
    let (ini, key) = (machine.ini(), fs::read(machine.path("night.key")).unwrap());

    let again = machine.setup(&["--timer", "--force"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(
        !again.out.contains("arch-init") && !again.out.contains("key add"),
        "{}",
        again.out
    );
    assert!(
        again.out.contains("knows an archive there")
            && again.out.contains("names the target backup already")
            && again.out.contains("because this target was set up before"),
        "{}",
        again.out
    );
    assert_eq!(
        (machine.ini(), fs::read(machine.path("night.key")).unwrap()),
        (ini, key)
    );
}

#[test]
fn names_of_files_beside_the_shell_are_written_down_in_full() {
    let machine = Machine::new("");
    let words = [
        "setup",
        "--dest=file:store/laptop",
        "--config=nacre.ini",
        "--meta-dir=state",
        "--new-key-file=night.key",
        "--unattended",
        "--force",
    ];
    let run = || {
        let program = machine.path("nacre").display().to_string();
        let words = std::iter::once(program).chain(words.map(str::to_owned));
        end(&mut machine.command(&words.collect::<Vec<_>>()))
    };
    let ended = run();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended
            .out
            .lines()
            .all(|line| line.len() <= 80 || line.starts_with("     nacre ")),
        "only what is to be copied is wider than a terminal: {}",
        ended.out
    );
    let ini = machine.ini();
    for (name, path) in [
        ("dest = file:", "store/laptop"),
        ("key-file = ", "night.key"),
    ] {
        let wanted = format!("\n{name}{}\n", machine.path(path).display());
        assert!(ini.contains(&wanted), "{wanted}: {ini}");
    }
    let again = run();
    assert_eq!(again.code, 0, "{again:?}");
    assert!(
        again.out.starts_with("There is nothing left to do.\n"),
        "{again:?}"
    );
}

#[test]
fn settings_that_are_there_stay_and_a_second_target_comes_behind_them() {
    let machine = Machine::new("");
    let mine = "[var-global-default]\n# mine\ndedup = 1\n";
    fs::write(machine.path("nacre.ini"), mine).unwrap();
    let ended = machine.setup(&["--name=usb", "--force"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let ini = machine.ini();
    assert!(
        ini.starts_with(mine) && ini.contains("\n[target usb]\n"),
        "{ini}"
    );
}

#[test]
fn a_target_that_the_ini_names_gets_a_key_file_only_where_it_has_none() {
    let machine = Machine::new("");
    let place = machine.path("store/laptop").display().to_string();
    let named = format!("[target nas]\n# mine\ndest = file:{place}\n");
    fs::write(machine.path("nacre.ini"), &named).unwrap();
    let setup = |more: &[&str]| {
        let words = machine.words(&[&["--dest=nas", "--timer", "--unattended"], more].concat());
        end(&mut machine.command(&words))
    };
    let ended = setup(&["--force"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let line = format!(
        "[target nas]\nkey-file = {}\n",
        machine.path("night.key").display()
    );
    assert_eq!(machine.ini(), named.replace("[target nas]\n", &line));
    let again = setup(&["--force"]);
    assert!(
        !again.out.contains("key add") && again.out.contains("stays as it is"),
        "{again:?}"
    );
    let listed = machine.list(&["--dest=nas"]);
    assert_eq!(listed.code, 0, "the ini alone opens it: {listed:?}");

    // Without a word of where, the key file is the one that the ini names.
    let words = machine.by_the_ini(&["setup", "--dest=nas", "--timer", "--dry-run"]);
    let plan = end(&mut machine.command(&words));
    assert!(
        plan.code == 0 && !plan.out.contains("/etc/nacre/") && !plan.out.contains("key add"),
        "{plan:?}"
    );
    // And a command that prints the passphrase does for nobody being there.
    fs::write(
        machine.path("nacre.ini"),
        format!("{named}passcmd = pass nas\n"),
    )
    .unwrap();
    let plan = end(&mut machine.command(&words));
    assert!(
        plan.code == 0 && !plan.out.contains(".key") && plan.out.contains("stays as it is"),
        "{plan:?}"
    );
}

#[test]
fn a_step_that_fails_ends_it_and_what_is_left_is_said() {
    let machine = Machine::new("exit 1");
    let ended = machine.setup(&["--timer", "--force"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(
        ended.err.contains("step 3 failed: systemctl ended with"),
        "{}",
        ended.err
    );

    let nowhere = Machine::new("");
    fs::remove_dir(nowhere.path("store")).unwrap();
    let before = nowhere.ini();
    let ended = nowhere.setup(&["--timer", "--force"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended.err.contains("step 1 failed") && ended.err.contains("Not done: step 1, 2, 3."),
        "{}",
        ended.err
    );
    assert_eq!(nowhere.ini(), before);
    assert!(!nowhere.path("asked").exists());
}

#[test]
fn a_person_is_led_from_the_question_where_to_the_last_step() {
    const NAME: &str = "a_person_is_led_from_the_question_where_to_the_last_step";
    if let Some(why) = missing() {
        skip!(NAME, "{why}");
    }
    let machine = Machine::new("");
    let words = machine.words(&["--timer", "--name=disk"]);
    let place = format!("file:{}", machine.path("store/laptop").display());
    let answers = [
        ("qubes-ssh://QUBE:HOST/PATH)", place.as_str()),
        ("Shall it be done? [y/N]", "y"),
        ("(at least 10 bytes):", "correct horse battery"),
        ("The same again:", "correct horse battery"),
        ("laptop:", "correct horse battery"),
        ("(an empty line gives up):", CODE),
    ];
    let (well, seen) = machine.typed(&words, &answers);
    assert!(well, "{seen}");
    let at = |text: &str| seen.find(text).unwrap_or_else(|| panic!("{text}: {seen}"));
    // The plan before the first step, the sheet before the key file.
    assert!(
        at("Shall it be done?") < at("step 1 of 5: make the archive, whose passphrase you choose")
    );
    assert!(at("RECOVERY SHEET") < at("step 3 of 5: make a key file for runs that nobody attends"));
    assert!(
        seen.contains("done; the first backup: nacre backup --includes --dest=disk"),
        "{seen}"
    );
    assert_eq!(machine.list(&[]).code, 0, "the ini alone opens the archive");
    assert_eq!(
        fs::read_to_string(machine.path("asked")).unwrap(),
        "enable --now nacre-backup.timer\n"
    );

    // Whoever runs it again has the sheet already.
    let answers = [
        ("qubes-ssh://QUBE:HOST/PATH)", place.as_str()),
        ("Shall it be done? [y/N]", "y"),
    ];
    let (well, seen) = machine.typed(&words, &answers);
    assert!(
        well && !seen.contains("RECOVERY SHEET") && seen.contains("nacre key recovery --dest=disk"),
        "{seen}"
    );
}

#[test]
fn who_says_no_has_changed_nothing() {
    const NAME: &str = "who_says_no_has_changed_nothing";
    if let Some(why) = missing() {
        skip!(NAME, "{why}");
    }
    let machine = Machine::new("");
    let words = machine.words(&[&format!(
        "--dest=file:{}",
        machine.path("store/laptop").display()
    )]);
    let (well, seen) = machine.typed(&words, &[("Shall it be done? [y/N]", "n")]);
    assert!(!well && seen.contains("nothing was done"), "{seen}");
    assert!(!machine.path("store/laptop").exists());
    assert_eq!(machine.ini(), "# nothing yet\n");
}
