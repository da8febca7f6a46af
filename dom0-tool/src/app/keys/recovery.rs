//! `key recovery`: a code on paper, for the day when everything else is gone.

use std::io::IsTerminal;

use nacre_core::header::{ChangeError, Credential, NewSecret, NewSlot, Unlocked};
use nacre_core::keys::Secret as KeySecret;
use zeroize::Zeroizing;

use super::super::opening::unanswered;
use super::super::reaching::place;
use super::super::restorer;
use super::super::world::{World, entropy};
use super::sheet::{Restorer, Sheet};
use super::{list, note, now, open, put, refused};
use crate::archive::{Error, Result};
use crate::cli::{Exit, KeyName};
use crate::entry;
use crate::joints::KeyPrompt;

/// How often a person may mistype the code.
const TRIES: usize = 5;

/// Draws a code, prints its sheet, has it typed back in, and only then makes it a key: a sheet that was not printed well, or not read
/// well, is found out while the other keys are still at hand.
pub fn run(world: &World<'_>, label: Option<&KeyName>, untested: bool) -> Result<()> {
    let (mut archive, _lock) = open(world)?;
    let header = archive.header();
    let label = label.map_or("recovery", KeyName::as_str);
    let number = header.slots().len() + 1;
    let said = format!("key {number} (recovery code {label:?})");
    if header.slots().len() >= nacre_core::header::MAX_SLOTS {
        return Err(refused(ChangeError::TooManySlots));
    }
    if world.common.dry_run {
        note(world, &format!("add {said} and print its sheet"), "");
        return Ok(());
    }
    if !untested && !world.prompt.has_person() {
        return Err(Error::refused(
            "there is nobody to type the recovery code back in",
            "Add --untested, and type it in later with `nacre list --recovery`.",
        ));
    }
    let mut entropy = entropy()();
    let secret = KeySecret::draw(entropy.as_mut());
    let new = NewSlot {
        label,
        created: now(world),
        secret: NewSecret::RecoveryCode(&secret),
    };
    let next = header.with_slot(&new, entropy.as_mut()).map_err(refused)?;
    let code = secret.to_recovery_code();
    let sheet = Sheet {
        archive: archive.id().to_string(),
        target: place(world)?,
        day: list::day(world, now(world)),
        label,
        code: &code,
        restorer: Restorer {
            installed: restorer::INSTALLED,
            // An archive of an older version has none yet, or an older one, which the sheet's digest would call a wrong one.
            copy: restorer::leave(world, archive.store().as_ref()).then(restorer::file_name),
            digest: restorer::digest(),
        },
    };
    let shown = if world.common.json {
        entry::show(&sheet.json())
    } else {
        entry::show(&sheet.text(std::io::stdout().is_terminal()))
    };
    if shown != Exit::Done {
        return Err(unchanged());
    }
    if untested {
        world.monitor().warning(
            "the code was not typed back in: try the sheet soon with `nacre list --recovery`",
        );
    } else {
        type_back(&world.prompt, &next)?;
    }
    put(world, &mut archive, &next)?;
    note(
        world,
        "",
        &format!("added {said}: its sheet opens the archive from now on"),
    );
    Ok(())
}

/// Has the code typed until it opens the new header.
fn type_back(prompt: &dyn KeyPrompt, next: &Unlocked) -> Result<()> {
    for _ in 0..TRIES {
        let line = prompt.line("Type the code from the sheet (an empty line gives up):");
        let Some(line) = line.map_err(unanswered)?.map(Zeroizing::new) else {
            return Err(unchanged());
        };
        match KeySecret::from_recovery_code(&line) {
            Err(slip) => prompt.notice(&format!("{slip}.")),
            Ok(typed) => {
                let header = next.header().clone();
                if header.unlock(&Credential::Recovery(&typed)).is_ok() {
                    return Ok(());
                }
                prompt.notice("That is another code than the one on this sheet.");
            }
        }
    }
    Err(unchanged())
}

fn unchanged() -> Error {
    Error::refused(
        "the code was not typed back in, so no key was added and the sheet opens nothing",
        "Throw it away and run the command again.",
    )
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::Mutex;

    use nacre_core::entropy::Entropy;
    use nacre_core::hash::HashType;
    use nacre_core::header::NewHeader;
    use nacre_core::ids::{ArchiveId, OriginId};
    use nacre_core::node::ChunkFormat;

    use super::*;
    use crate::joints::{PromptError, Purpose, Secret};

    struct Counting(u8);

    impl Entropy for Counting {
        fn fill(&mut self, buffer: &mut [u8]) {
            for byte in buffer {
                *byte = self.0;
                self.0 = self.0.wrapping_add(7);
            }
        }
    }

    /// Types prepared lines.
    struct Typist(Mutex<RefCell<Vec<Option<String>>>>);

    impl Typist {
        fn new(lines: &[Option<&str>]) -> Self {
            let lines = lines.iter().rev().map(|line| line.map(str::to_owned));
            Self(Mutex::new(RefCell::new(lines.collect())))
        }
    }

    impl KeyPrompt for Typist {
        fn ask(&self, _: Purpose<'_>) -> std::result::Result<Secret, PromptError> {
            Err(PromptError::Abandoned)
        }
        fn may_retry(&self) -> bool {
            true
        }
        fn confirm(&self, _: &str) -> std::result::Result<bool, PromptError> {
            Ok(false)
        }
        fn line(&self, _: &str) -> std::result::Result<Option<String>, PromptError> {
            let lines = self.0.lock().unwrap();
            let next = lines.borrow_mut().pop();
            next.ok_or(PromptError::Abandoned)
        }
        fn notice(&self, _: &str) {}
    }

    #[test]
    fn a_sheet_becomes_a_key_only_when_its_code_was_typed_back() {
        let new = NewHeader {
            archive: ArchiveId([1; 16]),
            origin: OriginId([2; 16]),
            hash: HashType::Blake3,
            format: ChunkFormat::new(17).unwrap(),
            encrypted: true,
        };
        let secret = KeySecret::draw(&mut Counting(9));
        let slot = NewSlot {
            label: "sheet",
            created: 0,
            secret: NewSecret::RecoveryCode(&secret),
        };
        let next = Unlocked::create(&new, &[slot], &mut Counting(1)).unwrap();
        let code = secret.to_recovery_code();
        let other = KeySecret::draw(&mut Counting(77)).to_recovery_code();
        let tries = |lines: &[Option<&str>]| type_back(&Typist::new(lines), &next).is_ok();
        assert!(tries(&[Some(&code)]));
        assert!(tries(&[
            Some("slip"),
            Some(&other),
            Some(&code.to_lowercase())
        ]));
        assert!(!tries(&[Some("slip"), None]));
        assert!(!tries(&[Some(other.as_str()); 5]));
        assert!(!tries(&[]));
    }
}
