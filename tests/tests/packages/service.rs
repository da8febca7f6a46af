//! The units of systemd, the notification, and the settings that are shipped.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nacre::entry::understand;
use nacre_tests::desk::end;
use nacre_tests::{nacre_program, skip};
use tempfile::TempDir;

use crate::{command, done, is_there, root};

#[test]
fn systemd_understands_every_line_of_the_units() {
    const NAME: &str = "systemd_understands_every_line_of_the_units";
    if !is_there("systemd-analyze") {
        skip!(NAME, "there is no systemd-analyze");
    }
    // systemd looks whether the programs are there.
    let folder = TempDir::new().unwrap();
    let units = folder.path().join("usr/lib/systemd/system");
    done(command("mkdir").arg("-p").arg(&units));
    for program in [
        "usr/bin/nacre",
        "usr/bin/systemd-inhibit",
        "usr/bin/sleep",
        "usr/libexec/nacre/notify",
    ] {
        double(&folder.path().join(program), "");
    }
    let mut names = Vec::new();
    for unit in fs::read_dir(root().join("rpm/systemd")).unwrap().flatten() {
        let name = unit.file_name().into_string().unwrap();
        if name.contains('.') {
            fs::copy(unit.path(), units.join(&name)).unwrap();
            names.push(name.replace("@.", "@x."));
        }
    }
    // Units of the system's own that ours lean on.
    for target in [
        "basic",
        "shutdown",
        "sysinit",
        "timers",
        "time-set",
        "time-sync",
    ] {
        let file = units.join(format!("{target}.target"));
        fs::write(file, "[Unit]\nDescription=x\n").unwrap();
    }
    assert_eq!(names.len(), 4, "{names:?}");
    let mut verify = command("systemd-analyze");
    verify
        .args(["verify", "--man=no", "--recursive-errors=no", "--root"])
        .arg(folder.path())
        .args(&names);
    let ended = end(&mut verify);
    assert_eq!(
        (ended.code, ended.err.as_str(), ended.out.as_str()),
        (0, "", ""),
        "{names:?}"
    );

    // A word that systemd does not know is only a warning there.
    fs::write(
        units.join("nacre-awake.service"),
        "[Service]\nExecStart=/usr/bin/sleep 1\nProtectEverything=yes\n",
    )
    .unwrap();
    let mut verify = command("systemd-analyze");
    verify
        .args(["verify", "--man=no", "--root"])
        .arg(folder.path())
        .arg("nacre-awake.service");
    assert!(end(&mut verify).err.contains("ProtectEverything"));
}

#[test]
fn the_service_runs_commands_that_the_program_understands() {
    let unit = fs::read_to_string(root().join("rpm/systemd/nacre-backup.service")).unwrap();
    let folder = TempDir::new().unwrap();
    let ini = folder.path().join("nacre.ini");
    fs::write(&ini, "[var-global-default]\ndest = file:/x\n").unwrap();
    let mut seen = 0;
    for line in unit.lines().filter(|line| line.starts_with("Exec")) {
        let (_, command) = line.split_once("/usr/bin/nacre ").unwrap();
        let command = command
            .replace("$NACRE_BACKUP_OPTIONS", "")
            .replace("${NACRE_PROMETHEUS}", "/var/lib/nacre/nacre.prom");
        let words = ["nacre"].into_iter().chain(command.split_whitespace());
        let words = words
            .map(OsString::from)
            .chain([OsString::from(format!("--config={}", ini.display()))]);
        match understand(words.collect()) {
            Ok(_) => seen += 1,
            Err(error) => panic!("{line}: {error:?}"),
        }
    }
    assert_eq!(seen, 2, "{unit}");
}

#[test]
fn the_service_may_little() {
    const NAME: &str = "the_service_may_little";
    if !is_there("systemd-analyze") {
        skip!(NAME, "there is no systemd-analyze");
    }
    let unit = root().join("rpm/systemd/nacre-backup.service");
    let mut security = command("systemd-analyze");
    security
        .args(["security", "--offline=true", "--threshold=45", "--no-pager"])
        .arg(&unit);
    let ended = end(&mut security);
    if ended.err.contains("unrecognized option") {
        skip!(NAME, "this systemd-analyze judges no files");
    }
    assert_eq!(ended.code, 0, "{}", ended.out);
}

/// A script in the place of a program.
fn double(path: &Path, script: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What the notification says when a unit ended with a code, and whom it tells.
fn notified(code: &str, sessions: &str) -> (i32, String) {
    let folder = TempDir::new().unwrap();
    let told = folder.path().join("told");
    let log = |who: &str| format!("echo \"{who} $*\" >> '{}'", told.display());
    let program = |name: &str| folder.path().join(name);
    double(&program("systemctl"), &format!("echo {code}"));
    double(&program("logger"), &log("logger"));
    double(&program("notify-send"), &log("notify-send"));
    double(
        &program("runuser"),
        &format!("{}; shift 3; exec \"$@\"", log("runuser")),
    );
    let of = "case \"$2\" in\n\
        1) echo User=1000; echo Name=alice; echo Type=x11; echo Class=user;;\n\
        2) echo User=0; echo Name=root; echo Type=tty; echo Class=user;;\n\
        3) echo User=42; echo Name=gdm; echo Type=wayland; echo Class=greeter;;\n\
        4) echo User=1001; echo Name=bob; echo Type=wayland; echo Class=user;;\n\
        esac";
    double(
        &program("loginctl"),
        &format!("if [ \"$1\" = list-sessions ]; then printf '{sessions}'; else {of}; fi"),
    );
    let mut notify = std::process::Command::new(root().join("rpm/systemd/notify"));
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let ended = end(notify.arg("nacre-backup").env("PATH", path));
    (ended.code, fs::read_to_string(&told).unwrap_or_default())
}

#[test]
fn a_failed_backup_is_told_in_the_journal_and_in_every_graphical_session() {
    let (code, told) = notified(
        "3",
        "1 1000 alice seat0\\n2 0 root tty1\\n3 42 gdm\\n4 1001 bob\\n",
    );
    assert_eq!(code, 0);
    let count = |start: &str| told.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!((count("logger "), count("notify-send ")), (1, 2), "{told}");
    assert!(
        told.contains("runuser -u alice -- env XDG_RUNTIME_DIR=/run/user/1000 "),
        "{told}"
    );
    assert!(told.contains("runuser -u bob -- "), "{told}");
    assert!(
        told.contains("Part of the backup was not made. Why: journalctl -u nacre-backup"),
        "{told}"
    );
}

#[test]
fn where_nobody_sits_the_journal_is_told() {
    let (code, told) = notified("5", "2 0 root tty1\\n");
    assert_eq!(code, 0);
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(
        told.contains("logger ")
            && told.contains("(exit code 5)")
            && told.contains("an older state"),
        "{told}"
    );
}

#[test]
fn the_notification_takes_no_name_that_is_none() {
    for name in ["", "a b", "$(x)", "../x"] {
        let mut notify = std::process::Command::new(root().join("rpm/systemd/notify"));
        assert_eq!(
            end(notify.arg(name).env("PATH", "/nowhere")).code,
            2,
            "{name}"
        );
    }
}

/// What nacre makes of an ini: exit code and errors of a command that needs nothing else.
fn judged(ini: &str) -> (i32, String) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("nacre.ini");
    fs::write(&path, ini).unwrap();
    let mut list = std::process::Command::new(nacre_program());
    list.args(["list", "--unattended", "--meta-dir"])
        .arg(folder.path().join("state"));
    let ended = end(list.arg("--config").arg(&path));
    (ended.code, ended.err)
}

#[test]
fn the_shipped_settings_are_settings_also_where_somebody_takes_the_signs_away() {
    let shipped = fs::read_to_string(root().join("rpm/nacre.ini")).unwrap();
    let (code, why) = judged(&shipped);
    assert!(
        code == 2 && why.contains("it is not said where the archive is"),
        "{why}"
    );
    let examples: Vec<&str> = shipped
        .lines()
        .filter_map(|line| line.strip_prefix("#dest = "))
        .collect();
    assert_eq!(examples.len(), 5, "{shipped}");
    for dest in examples {
        assert!(dest.parse::<nacre::cli::Target>().is_ok(), "{dest}");
    }
    // All but one of the examples of `dest`, which can stand there once.
    let mut dests = 0;
    let all: String = shipped
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with("dest = ") => {
                dests += 1;
                if dests == 1 {
                    format!("{rest}\n")
                } else {
                    String::new()
                }
            }
            Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let (code, why) = judged(&all);
    // It goes as far as looking for the archive.
    assert!(
        code == 1 && why.contains("/run/media/user/backup/laptop"),
        "{code} {why}"
    );
}
