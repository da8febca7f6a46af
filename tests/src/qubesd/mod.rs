//! A double of qubesd: the real socket protocol, with the answers of R4.2 or R4.3 over a small world of qubes kept in memory.
//!
//! What it answers follows qubes-core-admin 4.2 and 4.3: exceptions with their names and messages, an empty answer for what is not known
//! or not allowed, one request on a connection, nothing for more than 64 KiB.

mod answer;
mod change;
mod import;
mod machine;
mod read;
mod thin;
mod world;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tempfile::TempDir;

pub use answer::{Answer, Exception};
pub use world::{Device, PoolState, Qube, Release, Value, Volume, World};

/// Largest request that is answered.
const LARGEST: u64 = 65_536;

/// A running double. Dropped, its sockets go; a connection that is being served is served to its end.
pub struct Qubesd {
    folder: TempDir,
    world: Arc<Mutex<World>>,
}

/// A request, taken apart.
struct Request<'a> {
    method: &'a str,
    argument: &'a str,
    target: &'a str,
    payload: &'a [u8],
}

impl Qubesd {
    /// Starts it over a world.
    ///
    /// # Panics
    /// If the sockets cannot be made: no test can go on without.
    #[allow(clippy::expect_used, reason = "a test cannot go on without its double")]
    pub fn start(world: World) -> Self {
        let folder = TempDir::new().expect("a folder for the sockets");
        let mut world = world;
        machine::follow(&mut world);
        let world = Arc::new(Mutex::new(world));
        for (name, internal) in [("qubesd.sock", false), ("qubesd.internal.sock", true)] {
            let listener = UnixListener::bind(folder.path().join(name)).expect("a socket");
            let world = Arc::clone(&world);
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    // A caller that is gone needs no answer.
                    let _ = serve(stream, &world, internal);
                }
            });
        }
        Self { folder, world }
    }

    /// Where the Admin API is.
    pub fn external(&self) -> PathBuf {
        self.folder.path().join("qubesd.sock")
    }

    /// Where dom0's own calls go.
    pub fn internal(&self) -> PathBuf {
        self.folder.path().join("qubesd.internal.sock")
    }

    /// A folder for the content of volumes.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The world, to look at it and to change it behind the API's back.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(mut stream: UnixStream, world: &Mutex<World>, internal: bool) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    Read::by_ref(&mut stream)
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)?;
    let answer = match parse(&bytes) {
        Some(request) if bytes.len() as u64 <= LARGEST => {
            let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
            dispatch(&mut world, &request, internal)
        }
        _ => Answer::Refused,
    };
    stream.write_all(&answer.encode())
}

/// `METHOD+ARG SRC name DEST\0PAYLOAD`
fn parse(bytes: &[u8]) -> Option<Request<'_>> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let header = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let mut words = header.split(' ');
    let (call, source) = (words.next()?, words.next()?);
    let (form, target) = (words.next()?, words.next()?);
    let (method, argument) = call.split_once('+')?;
    let target = match (form, target) {
        ("name", name) => name,
        ("keyword", "adminvm") => "dom0",
        _ => return None,
    };
    (source == "dom0" && words.next().is_none()).then_some(Request {
        method,
        argument,
        target,
        payload: bytes.get(end + 1..)?,
    })
}

fn dispatch(world: &mut World, request: &Request<'_>, internal: bool) -> Answer {
    world
        .calls
        .push(format!("{} {}", request.method, request.target));
    if world.refused.contains(request.method) {
        return Answer::Refused;
    }
    let Request {
        method,
        argument,
        target,
        ..
    } = request;
    let calls = [
        format!("{method} {target}"),
        format!("{method}+{argument} {target}"),
    ];
    if let Some(program) = world.meanwhile.remove(&calls[0]) {
        // How it ends is for the test to see.
        let _ = std::process::Command::new(program).status();
    }
    let mut failing = calls.iter().filter_map(|call| world.failing.get(call));
    if let Some((name, message)) = failing.next() {
        return Exception::new(name, message.clone()).into();
    }
    if request.target != "dom0" && !world.qubes.contains_key(request.target) {
        return Exception::no_qube(request.target).into();
    }
    let answer = if internal {
        import::answer(world, request)
    } else {
        world.pass(request);
        read::answer(world, request).or_else(|| change::answer(world, request))
    };
    answer.unwrap_or(Answer::Refused)
}
