//! Page-aligned buffers, and a pool that bounds how many there are.

use std::sync::{Condvar, Mutex, PoisonError};

/// Bytes in one buffer: what is written to the disk at once.
pub const BUFFER_LEN: usize = 1 << 20;
/// Alignment of buffers and of direct reads and writes; a multiple of every logical block size in use.
pub const ALIGNMENT: usize = 4096;

/// `BUFFER_LEN` bytes that begin on a page, filled from the front.
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    filled: usize,
}

impl Buffer {
    /// An empty buffer.
    pub fn new() -> Self {
        let bytes = vec![0; BUFFER_LEN + ALIGNMENT];
        let start = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self {
            bytes,
            start,
            filled: 0,
        }
    }

    /// What has been filled.
    pub fn filled(&self) -> &[u8] {
        self.bytes
            .get(self.start..self.start + self.filled)
            .unwrap_or(&[])
    }

    /// What can still be filled. Empty when the buffer is full.
    pub fn room(&mut self) -> &mut [u8] {
        self.bytes
            .get_mut(self.start + self.filled..self.start + BUFFER_LEN)
            .unwrap_or(&mut [])
    }

    /// Counts the first `length` bytes of the room as filled.
    pub fn advance(&mut self, length: usize) {
        self.filled = (self.filled + length).min(BUFFER_LEN);
    }

    /// Nothing more fits.
    pub fn is_full(&self) -> bool {
        self.filled == BUFFER_LEN
    }

    /// Makes the buffer empty again.
    pub fn clear(&mut self) {
        self.filled = 0;
    }
}

/// Hands out at most so many buffers at once, made when first needed.
pub struct Pool {
    state: Mutex<State>,
    returned: Condvar,
}

struct State {
    spare: Vec<Buffer>,
    unmade: usize,
}

impl Pool {
    /// A pool of at most `limit` buffers.
    pub fn new(limit: usize) -> Self {
        Self {
            state: Mutex::new(State {
                spare: Vec::new(),
                unmade: limit,
            }),
            returned: Condvar::new(),
        }
    }

    /// An empty buffer; waits while all are in use.
    pub fn take(&self) -> Buffer {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(buffer) = state.spare.pop() {
                return buffer;
            }
            if state.unmade > 0 {
                state.unmade -= 1;
                return Buffer::new();
            }
            state = self
                .returned
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives a buffer back.
    pub fn give(&self, mut buffer: Buffer) {
        buffer.clear();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.spare.push(buffer);
        self.returned.notify_one();
    }
}
