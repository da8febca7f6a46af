//! Makes realistic disk images for the demo and the benches, and changes them as a day of use does.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use nacre_tests::lab_image::{Day, ImageShape, make_image, spend_a_day};

/// Makes made-up but realistic raw disk images; prints what it did as one line of JSON.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes an image (sparse, without a file system) from files of this machine and made-up data.
    Make {
        /// Where to make it; an older one is replaced.
        image: PathBuf,
        /// Its size.
        #[arg(long, default_value_t = 1024)]
        size_mib: u64,
        /// How much of it is used.
        #[arg(long, default_value_t = 70, value_parser = clap::value_parser!(u64).range(1..=95))]
        fill_percent: u64,
        /// Same seed, same image.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Folders to take programs and texts from (default: /usr and the Rust toolchains).
        #[arg(long)]
        from: Vec<PathBuf>,
    },
    /// Changes an image in place: scattered writes, new files, longer logs, deleted files.
    Mutate {
        /// The image.
        image: PathBuf,
        /// Scattered 4 KiB writes, in hundredths of a percent of the size.
        #[arg(long, default_value_t = 100)]
        scattered: u64,
        /// Change only the first so many MiB.
        #[arg(long)]
        size_mib: Option<u64>,
        /// Same image and seed, same change.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Make {
            image,
            size_mib,
            fill_percent,
            seed,
            from,
        } => {
            let folders = if from.is_empty() {
                usual_folders()
            } else {
                from
            };
            let shape = ImageShape {
                size: size_mib << 20,
                fill: fill_percent,
                seed,
                folders,
            };
            File::create(&image)
                .and_then(|file| make_image(&file, &shape))
                .map(|report| report.json(&shape))
                .map_err(|error| (image, error))
        }
        Command::Mutate {
            image,
            scattered,
            size_mib,
            seed,
        } => {
            let day = Day {
                seed,
                scattered,
                limit: size_mib.map_or(u64::MAX, |mib| mib << 20),
            };
            let opened = OpenOptions::new().read(true).write(true).open(&image);
            opened
                .and_then(|file| spend_a_day(&file, &day))
                .map(|report| report.json(seed))
                .map_err(|error| (image, error))
        }
    };
    match result {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err((image, error)) => {
            eprintln!("{}: {error}", image.display());
            ExitCode::FAILURE
        }
    }
}

fn usual_folders() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let toolchains = home.map(|home| home.join(".rustup/toolchains"));
    [Some(PathBuf::from("/usr")), toolchains]
        .into_iter()
        .flatten()
        .collect()
}
