//! Writes man pages and shell completions, made from the program's own command line: `nacre-manual FOLDER`.
//!
//! `FOLDER/man` gets `nacre.1` and a page for each command, with the sections of `doc/man/nacre.1.more` behind the options, and the pages
//! of `doc/man` that are written by hand; `FOLDER/completions` gets one file for each shell, under the name that the shell looks for.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: nacre-manual FOLDER");
        return ExitCode::from(2);
    };
    match write(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

/// Writes everything below `folder`.
pub fn write(folder: &Path) -> io::Result<()> {
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    pages(&man)?;
    by_hand(&man)?;
    for (shell, name) in [
        (Shell::Bash, "nacre"),
        (Shell::Zsh, "_nacre"),
        (Shell::Fish, "nacre.fish"),
    ] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut nacre::cli::definition(), "nacre", &mut script);
        fs::write(completions.join(name), script)?;
    }
    Ok(())
}

/// Where the parts written by hand are.
fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../doc/man")
}

fn pages(folder: &Path) -> io::Result<()> {
    let mut definition = nacre::cli::definition().disable_help_subcommand(true);
    definition.build();
    let more = fs::read(source().join("nacre.1.more"))?;
    fs::write(
        folder.join("nacre.1"),
        page(&definition, "nacre", Some(&more))?,
    )?;
    for command in definition.get_subcommands() {
        let name = command.get_name();
        if name != "help" {
            let title = format!("nacre-{name}");
            let path = folder.join(format!("{title}.1"));
            fs::write(path, page(command, &title, None)?)?;
        }
    }
    Ok(())
}

fn page(command: &Command, title: &str, more: Option<&[u8]>) -> io::Result<Vec<u8>> {
    // clap wants a name that lives as long as the program.
    let name: &'static str = Box::leak(title.to_owned().into_boxed_str());
    let man = Man::new(command.clone().name(name))
        .title(title.to_uppercase())
        .source(format!("nacre {}", env!("CARGO_PKG_VERSION")))
        .manual("Nacre");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    if command.get_arguments().next().is_some() {
        man.render_options_section(&mut text)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    match more {
        Some(more) => text.extend_from_slice(more),
        None => text.write_all(b".SH \"SEE ALSO\"\n.BR nacre (1),\n.BR nacre.ini (5)\n")?,
    }
    Ok(text)
}

fn by_hand(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(source())? {
        let name: OsString = entry?.file_name();
        let path = Path::new(&name);
        if path.extension().is_some_and(|end| end != "more") {
            fs::copy(source().join(&name), folder.join(&name))?;
        }
    }
    Ok(())
}
