//! The completions, loaded by the shells that they are for.

use std::fs;

use nacre_tests::skip;
use tempfile::TempDir;

use crate::{command, done, is_there, manual};

/// The folder of completions, as the packages have it.
fn completions() -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    manual::write(folder.path()).unwrap();
    let path = folder.path().join("completions").display().to_string();
    (folder, path)
}

/// What a shell offers, by a script of the shell's own.
fn offered(shell: &str, options: &[&str], script: &str) -> String {
    let home = TempDir::new().unwrap();
    let mut shell = command(shell);
    // Without what the machine's user has set up.
    shell
        .args(options)
        .args(["-c", script])
        .env("HOME", home.path());
    done(shell.env("XDG_CONFIG_HOME", home.path()))
}

fn has_arch_commands(offered: &str) {
    for word in ["arch-init", "arch-check", "arch-deduplicate"] {
        assert!(offered.contains(word), "{word}: {offered}");
    }
    assert!(!offered.contains("restore"), "{offered}");
}

#[test]
fn bash_completes_commands_and_options() {
    let (_folder, path) = completions();
    let ask = |words: &str, current: &str, before: &str| {
        let script = format!(
            "source '{path}/nacre' && COMP_WORDS=({words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)) && \
             _nacre nacre '{current}' '{before}' && printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        offered("bash", &["--norc", "--noprofile"], &script)
    };
    has_arch_commands(&ask("nacre arch-", "arch-", "nacre"));
    let options = ask("nacre arch-init --enc", "--enc", "arch-init");
    assert_eq!(options.trim(), "--encrypt");
}

#[test]
fn fish_completes_commands_and_options() {
    const NAME: &str = "fish_completes_commands_and_options";
    if !is_there("fish") {
        skip!(NAME, "there is no fish");
    }
    let (_folder, path) = completions();
    let ask = |line: &str| {
        let script = format!("source '{path}/nacre.fish'; and complete --do-complete '{line}'");
        offered("fish", &[], &script)
    };
    has_arch_commands(&ask("nacre arch-"));
    assert!(ask("nacre arch-init --enc").starts_with("--encrypt"));
}

#[test]
fn zsh_finds_the_function_by_the_commands_name_and_reads_it() {
    const NAME: &str = "zsh_finds_the_function_by_the_commands_name_and_reads_it";
    if !is_there("zsh") {
        skip!(NAME, "there is no zsh");
    }
    let (_folder, path) = completions();
    let script = |path: &str| {
        format!(
            "fpath=('{path}' $fpath); autoload -Uz compinit && compinit -u -D && \
             print -r -- \"$_comps[nacre]\" && autoload +X _nacre && functions _nacre"
        )
    };
    let said = offered("zsh", &["-f"], &script(&path));
    assert!(said.starts_with("_nacre\n"), "{said}");
    has_all(&said, &["arch-init", "--encrypt", "--dest"]);
    // A file that is none is noticed.
    let broken = TempDir::new().unwrap();
    fs::write(broken.path().join("_nacre"), "#compdef nacre\nif [[ x\n").unwrap();
    let mut zsh = command("zsh");
    let script = script(&broken.path().display().to_string());
    let ended = zsh.args(["-f", "-c", &script]).output().unwrap();
    assert!(!ended.status.success(), "{ended:?}");
}

fn has_all(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word}");
    }
}
