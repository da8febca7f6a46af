//! The hard limits of the wire. Both ends refuse what exceeds them.

/// Bytes of a frame's header.
pub const HEADER_LEN: usize = 12;
/// Largest body of a frame that carries an object's bytes (`PutData`, `GetData`).
pub const MAX_DATA: u32 = 256 * 1024;
/// Largest body of every other frame.
pub const MAX_BODY: u32 = 64 * 1024;
/// Longest path in a locator, in bytes.
pub const MAX_PATH: usize = 4096;
/// Longest host name or file system UUID in a locator, in bytes.
pub const MAX_AUTHORITY: usize = 255;
/// Longest text of an error, in bytes.
pub const MAX_TEXT: usize = 1024;
/// Longest object name, in bytes: `pack/xx/` and 32 hex digits.
pub const MAX_NAME: usize = 40;
/// Largest object that a helper takes or reads, in bytes. Packs are 64 MiB; index packs and copies may be larger.
pub const MAX_OBJECT: u64 = 1 << 30;
/// Bytes of `PutData` and `PutCopy` bodies of one put that may be on their way before the helper grants more.
pub const PUT_WINDOW: u32 = 2 * 1024 * 1024;
/// Puts (from `PutBegin` to the answer) that may be open at once.
pub const MAX_PUTS: u32 = 6;
/// Requests other than puts that may be unanswered at once.
pub const MAX_REQUESTS: u32 = 64;
/// Seconds after which a busy helper says that it is alive.
pub const ALIVE_SECONDS: u64 = 10;
/// Longest script that a helper keeps beside an archive, in bytes: what fits into a request.
pub const MAX_RESTORER: usize = MAX_BODY as usize - 4;
/// Ranges in one request, so that the request stays below `MAX_BODY`.
pub const MAX_RANGES: usize = 4096;
/// Names in one `Delete`, so that the request stays below `MAX_BODY`.
pub const MAX_NAMES: usize = 1024;
