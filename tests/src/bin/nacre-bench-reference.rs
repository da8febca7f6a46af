//! The work that no backup of this kind can do without, and nothing else: the mark that the benches compare `nacre` with.
//!
//! For every 128 KiB of an image that hold anything but zeros (holes are not read): keyed BLAKE3, zstd -3 with one context for
//! all pieces, XChaCha20-Poly1305 (HChaCha20 and the same ChaCha20-Poly1305 as the program's). Nothing is stored. One thread.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::process::ExitCode;

use chacha20::{R20, hchacha};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rustix::fs::SeekFrom;
use zstd_safe::{CCtx, CParameter};

const PIECE: usize = 128 << 10;

/// What the pieces came to.
#[derive(Default)]
struct Totals {
    read: u64,
    pieces: u64,
    sealed: u64,
    /// Keeps the work from being optimised away.
    digest: u8,
}

struct Worker {
    compressor: CCtx<'static>,
    key: [u8; 32],
    sealed: Vec<u8>,
    totals: Totals,
}

impl Worker {
    fn new(level: i32) -> io::Result<Self> {
        let mut compressor = CCtx::create();
        compressor
            .set_parameter(CParameter::CompressionLevel(level))
            .map_err(|_| io::Error::other("zstd does not know this level"))?;
        Ok(Self {
            compressor,
            key: [7; 32],
            sealed: vec![0; zstd_safe::compress_bound(PIECE)],
            totals: Totals::default(),
        })
    }

    fn work(&mut self, piece: &[u8], number: u64) -> io::Result<()> {
        self.totals.read += piece.len() as u64;
        // As the program does it: quick to say no, and a memcmp where it says yes.
        if piece.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let id = blake3::keyed_hash(&self.key, piece);
        let compressed = self
            .compressor
            .compress2(self.sealed.as_mut_slice(), piece)
            .map_err(|_| io::Error::other("zstd failed"))?;
        let body = if compressed < piece.len() {
            &mut self.sealed[..compressed]
        } else {
            self.sealed[..piece.len()].copy_from_slice(piece);
            &mut self.sealed[..piece.len()]
        };
        let mut nonce = [0_u8; 24];
        nonce[..8].copy_from_slice(&number.to_le_bytes());
        let tag =
            seal(&self.key, &nonce, body).ok_or_else(|| io::Error::other("sealing failed"))?;
        self.totals.pieces += 1;
        self.totals.sealed += body.len() as u64 + 16;
        self.totals.digest ^= id.as_bytes()[0] ^ tag;
        Ok(())
    }
}

/// XChaCha20-Poly1305 in place; the first byte of the tag.
fn seal(key: &[u8; 32], nonce: &[u8; 24], body: &mut [u8]) -> Option<u8> {
    let (head, tail) = nonce.split_first_chunk::<16>()?;
    let subkey = hchacha::<R20>(key.into(), head.into());
    let mut short = [0; 12];
    short[4..].copy_from_slice(tail);
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &subkey).ok()?);
    let nonce = Nonce::assume_unique_for_key(short);
    let tag = key
        .seal_in_place_separate_tag(nonce, Aad::from(&[1_u8; 64]), body)
        .ok()?;
    tag.as_ref().first().copied()
}

fn run(path: &str, level: i32) -> io::Result<Totals> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut worker = Worker::new(level)?;
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < size {
        // No more data, or a device: then everything to the end is read.
        let Ok(start) = rustix::fs::seek(&file, SeekFrom::Data(at)) else {
            break;
        };
        let end = rustix::fs::seek(&file, SeekFrom::Hole(start)).unwrap_or(size);
        let mut offset = start / PIECE as u64 * PIECE as u64;
        while offset < end {
            let length = usize::try_from(size - offset).map_or(PIECE, |rest| rest.min(PIECE));
            file.read_exact_at(&mut piece[..length], offset)?;
            worker.work(&piece[..length], offset)?;
            offset += length as u64;
        }
        at = offset;
    }
    Ok(worker.totals)
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(path) = arguments.next() else {
        eprintln!("usage: nacre-bench-reference IMAGE [LEVEL]");
        return ExitCode::from(2);
    };
    let level = arguments
        .next()
        .and_then(|level| level.parse().ok())
        .unwrap_or(3);
    match run(&path, level) {
        Ok(totals) => {
            let Totals {
                read,
                pieces,
                sealed,
                digest,
            } = totals;
            println!(
                "{{\"read_bytes\": {read}, \"pieces\": {pieces}, \"sealed_bytes\": {sealed}, \"digest\": {digest}}}"
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{path}: {error}");
            ExitCode::FAILURE
        }
    }
}
