//! Which of the headers in a store is in force (doc/FORMAT.md, section 4).

use thiserror::Error;

use super::{Credential, Header, UnlockError, Unlocked};
use crate::error::FormatError;
use crate::ids::{Generation, HeaderHash};
use crate::keys::Keys;
use crate::node::ChunkFormat;

/// How many generations are looked at, from the newest down: an interrupted change leaves two, several in a row one more each; a hostile store
/// may show any number, each of which would cost a second and a gigabyte.
const GENERATIONS: usize = 8;

/// Why there is no header to go on with.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// Not one object.
    #[error("there is no header: this is no archive of nacre, or it was destroyed")]
    Missing,
    /// None of the copies is well-formed; the error of the newest.
    #[error("no copy of the header can be used: {0}")]
    NoneUsable(FormatError),
    /// All are older than what this machine has seen.
    #[error(
        "the store shows header {found}, but this machine has seen {pinned}: keys that were removed would open it again"
    )]
    Older {
        /// Newest generation in the store.
        found: Generation,
        /// Generation this machine remembers.
        pinned: Generation,
    },
    /// The head says another header.
    #[error("the header in the store (generation {0}) is not the one that the newest head names")]
    NotTheHeads(Generation),
    /// None opens that may be in force, but an older one does.
    #[error("this key opens nothing but a header that is older than this machine has seen")]
    OnlyOlder(TooOld),
    /// None opens.
    #[error(transparent)]
    Unlock(#[from] UnlockError),
}

/// A header below the generation that this machine has pinned, which a key opens: never in force. It serves to look at what the newest head says, so
/// that a store that was put back can be told from a key that was removed.
#[derive(Clone, Debug)]
pub struct TooOld(Box<Unlocked>);

impl TooOld {
    /// What would open the archive, were it as old as this header.
    pub fn keys(&self) -> Keys {
        self.0.keys()
    }

    /// How large chunks are.
    pub fn format(&self) -> ChunkFormat {
        self.0.description().format
    }
}

impl PartialEq for TooOld {
    fn eq(&self, other: &Self) -> bool {
        self.0.bytes() == other.0.bytes()
    }
}

impl Eq for TooOld {}

/// The well-formed headers of a store, newest first.
#[derive(Clone, Debug)]
pub struct Candidates {
    headers: Vec<Header>,
    /// Below the generation that this machine has pinned.
    too_old: Vec<Header>,
}

impl Candidates {
    /// Takes the objects as they were listed and read: the generation of each name and its bytes, in any order; both copies of a header,
    /// as far as there are any. Refuses everything below the generation that this machine has pinned.
    pub fn choose<'a>(
        objects: impl IntoIterator<Item = (Generation, &'a [u8])>,
        pinned: Option<Generation>,
    ) -> Result<Self, HeaderError> {
        let mut objects: Vec<_> = objects.into_iter().collect();
        objects.sort_by_key(|(generation, _)| std::cmp::Reverse(*generation));
        let mut headers: Vec<Header> = Vec::new();
        let (mut first_error, mut seen) = (None, Vec::new());
        for (generation, bytes) in objects {
            if !seen.contains(&generation) {
                seen.push(generation);
            }
            if seen.len() > GENERATIONS {
                break;
            }
            if headers.iter().any(|known| known.bytes() == bytes) {
                continue;
            }
            match Header::parse(bytes) {
                Ok(header) if header.description().generation == generation => {
                    headers.push(header);
                }
                Ok(_) => first_error = first_error.or(Some(FormatError::Mismatch(super::WHAT))),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        let newest = match (headers.first(), first_error) {
            (Some(header), _) => header.description().generation,
            (None, Some(error)) => return Err(HeaderError::NoneUsable(error)),
            (None, None) => return Err(HeaderError::Missing),
        };
        let is_allowed =
            |header: &Header| pinned.is_none_or(|pinned| header.description().generation >= pinned);
        let (headers, too_old): (Vec<Header>, _) = headers.into_iter().partition(is_allowed);
        if let Some(pinned) = pinned.filter(|_| headers.is_empty()) {
            let found = newest;
            return Err(HeaderError::Older { found, pinned });
        }
        Ok(Self { headers, too_old })
    }

    /// The newest well-formed header, not proven: for what can be shown before a key is asked for.
    pub fn newest(&self) -> Option<&Header> {
        self.headers.first()
    }

    /// All of them, newest first, not proven.
    pub fn headers(&self) -> impl Iterator<Item = &Header> {
        self.headers.iter()
    }

    /// The header that the newest head names, opened with the masters of the one that a secret opened: that may be a newer one, of a
    /// change of keys that was cut short before its head, and what such a change was to bring is not in force.
    pub fn named(
        &self,
        generation: Generation,
        hash: HeaderHash,
        opened: &Unlocked,
    ) -> Option<Unlocked> {
        let is_named = |header: &&Header| {
            header.description().generation == generation && header.hash() == hash
        };
        let header = self.headers.iter().find(is_named)?;
        if header.bytes() == opened.bytes() {
            return Some(opened.clone());
        }
        let mut credentials: Vec<Credential<'_>> = Vec::new();
        if header.description().encrypted {
            credentials.extend(opened.keyring().masters().map(Credential::Master));
        } else {
            credentials.push(Credential::Published);
        }
        credentials
            .iter()
            .rev()
            .find_map(|credential| header.clone().unlock(credential).ok())
    }

    /// How many headers there are to try.
    pub fn count(&self) -> usize {
        self.headers.len()
    }

    /// Whether all say that the archive is encrypted. Anybody can write one that says otherwise; dom0's pin decides.
    pub fn encrypted(&self) -> bool {
        self.headers
            .iter()
            .all(|header| header.description().encrypted)
    }

    /// Most memory, in bytes, that trying a passphrase takes. To be held against the free memory first.
    pub fn passphrase_memory(&self) -> u64 {
        let needed = self.headers.iter().map(Header::passphrase_memory);
        needed.max().unwrap_or(0)
    }

    /// Unlocks the newest header that opens and whose MAC fits. What it gives must still be held against the newest head, with
    /// [`Unlocked::check_named`]: a credential that was removed opens only older ones.
    ///
    /// If none does, those below the pinned generation are tried, to tell why. Not with a remembered key: that it is an old one says nothing.
    pub fn unlock(self, credential: &Credential<'_>) -> Result<Unlocked, HeaderError> {
        let memory = self.passphrase_memory();
        let mut first_error = None;
        for header in self.headers {
            match header.unlock(credential) {
                Ok(unlocked) => return Ok(unlocked),
                // To try on would not bring the memory.
                Err(error @ UnlockError::Kdf(_)) => return Err(error.into()),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        if !matches!(credential, Credential::Master(_)) {
            // That takes no more memory than was looked for.
            let affordable = |header: &Header| header.passphrase_memory() <= memory;
            let mut too_old = self.too_old.into_iter().filter(affordable);
            if let Some(older) = too_old.find_map(|header| header.unlock(credential).ok()) {
                return Err(HeaderError::OnlyOlder(TooOld(Box::new(older))));
            }
        }
        Err(first_error.map_or(HeaderError::Missing, HeaderError::Unlock))
    }
}

impl Unlocked {
    /// For when the header that the newest head names is not there ([`Candidates::named`]): never an older header, never another one of the same
    /// generation. A newer one is a change of keys that was cut short before its head.
    pub fn check_named(&self, generation: Generation, hash: HeaderHash) -> Result<(), HeaderError> {
        let own = self.description().generation;
        if own > generation || own == generation && self.hash() == hash {
            Ok(())
        } else {
            Err(HeaderError::NotTheHeads(own))
        }
    }
}
