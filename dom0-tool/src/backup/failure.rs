//! The first error of a pipeline, kept while its threads wind down.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::archive::Error;

/// Why a thread of the pipeline stops.
#[derive(Debug)]
pub enum Failure {
    /// Another thread is gone and has said why.
    Gone,
    /// This is why.
    Error(Error),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// Keeps the first error; the later ones are its consequences.
#[derive(Debug, Default)]
pub struct Sticky {
    failed: AtomicBool,
    first: Mutex<Option<Error>>,
}

impl Sticky {
    /// Remembers a failure.
    pub fn set(&self, failure: Failure) {
        if let Failure::Error(error) = failure {
            let mut first = self.lock();
            if first.is_none() {
                *first = Some(error);
            }
        }
        self.failed.store(true, Ordering::Release);
    }

    /// Whether the pipeline has failed.
    pub fn is_set(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// The first error, if there was one; the same for everyone who asks.
    pub fn first(&self) -> Option<Error> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Error>> {
        self.first
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A full store was once told as "a thread ended unexpectedly": whoever asked second found nothing.
    #[test]
    fn whoever_asks_is_told_the_first_error() {
        let sticky = Sticky::default();
        sticky.set(Failure::Error(Error::Lost("first".to_owned())));
        sticky.set(Failure::Error(Error::Lost("second".to_owned())));
        sticky.set(Failure::Gone);
        assert!(sticky.is_set());
        for _ in 0..2 {
            assert_eq!(
                sticky.first().map(|error| error.to_string()),
                Some("first".to_owned())
            );
        }
    }
}
