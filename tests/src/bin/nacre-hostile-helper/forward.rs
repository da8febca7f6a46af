//! Between nacre and the real helper: everything is handed on, both ways, until the moment to strike.
//!
//! The file `strike` beside the program says when and how, a line for each: the attack; the kinds of requests that count (`Get,Stat`, or `*`); how many of
//! them come until the one that is struck; the real helper. What came is written to the file `requests`, what was struck to `struck`. An attack behind
//! `once-` is left out where something was struck already.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nacre_wire::{Kind, Name, Reply, Request};

use crate::attacks::answer;
use crate::lies::{self, Lie};
use crate::wire::{Frame, read_frame, reply, send_raw, sleep_for_ever};

/// When to strike, and how.
struct Plan {
    attack: String,
    kinds: String,
    left: u64,
    helper: String,
}

/// What both directions know.
#[derive(Default)]
struct Shared {
    /// Whoever writes to dom0 holds it; who never gives it back silences both.
    gate: Mutex<()>,
    /// Answers that will be other than the real ones.
    lies: Mutex<HashMap<u32, Lie>>,
    /// A lie about an object that is told again whenever it is asked for.
    stubborn: Mutex<Option<(Lie, Name)>>,
}

/// The way up.
struct Forwarder {
    plan: Plan,
    shared: Arc<Shared>,
    to_helper: ChildStdin,
    requests: File,
    /// Requests of which the real helper knows nothing; `true`: they get the credit of a put and a success.
    swallowed: HashMap<u32, bool>,
    /// Puts whose bytes are altered.
    altered: HashSet<u32>,
    /// The objects that were asked for so far.
    seen: Vec<Name>,
    /// It hears, and says nothing any more.
    mute: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does it, to the end.
#[allow(
    clippy::unwrap_used,
    reason = "a stand-in without a plan is a mistake of the test"
)]
pub fn run() {
    let own = std::env::current_exe().unwrap();
    let plan = plan(&own.with_file_name("strike"));
    let mut child = Command::new(&plan.helper)
        .args(std::env::args_os().skip(1))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let shared = Arc::new(Shared::default());
    let mut forwarder = Forwarder {
        plan,
        shared: Arc::clone(&shared),
        to_helper: child.stdin.take().unwrap(),
        requests: File::create(own.with_file_name("requests")).unwrap(),
        swallowed: HashMap::new(),
        altered: HashSet::new(),
        seen: Vec::new(),
        mute: false,
    };
    std::thread::spawn(move || carry_down(&mut child, &shared));
    let mut input = std::io::stdin().lock();
    while let Some(frame) = read_frame(&mut input) {
        forwarder.carry_up(frame, &own);
    }
    if forwarder.mute {
        return;
    }
    drop(forwarder);
    // The real helper ends now, and with it the other direction, which ends the program.
    sleep_for_ever();
}

#[allow(clippy::unwrap_used, reason = "as above")]
fn plan(path: &Path) -> Plan {
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let [attack, kinds, left, helper] = lines[..] else {
        panic!("no plan: {text}")
    };
    let once = attack.strip_prefix("once-");
    let is_over = once.is_some() && path.with_file_name("struck").exists();
    Plan {
        attack: once.unwrap_or(attack).to_owned(),
        kinds: kinds.to_owned(),
        left: if is_over { 0 } else { left.parse().unwrap() },
        helper: helper.to_owned(),
    }
}

fn carry_down(child: &mut Child, shared: &Shared) {
    let mut output = child.stdout.take();
    while let Some(frame) = output.as_mut().and_then(read_frame) {
        let lie = lock(&shared.lies).get(&frame.id).copied();
        let said = match lie {
            Some(lie) => lies::told(lie, frame),
            None => vec![frame],
        };
        let _gate = lock(&shared.gate);
        for frame in said {
            send_raw(&frame.encode());
        }
    }
    let code = child.wait().ok().and_then(|status| status.code());
    let _gate = lock(&shared.gate);
    std::process::exit(code.unwrap_or(1));
}

impl Plan {
    /// Whether this is the request.
    fn comes(&mut self, kind: Kind) -> bool {
        let begins = !matches!(kind, Kind::PutData | Kind::PutAbort);
        let name = format!("{kind:?}");
        let counts = self.kinds == "*" && begins || self.kinds.split(',').any(|one| one == name);
        if !counts || self.left == 0 {
            return false;
        }
        self.left -= 1;
        self.left == 0
    }
}

impl Forwarder {
    fn carry_up(&mut self, mut frame: Frame, own: &Path) {
        let object = object(&frame);
        let line = match object {
            Some(object) => format!("{:?} {object}\n", frame.kind),
            None => format!("{:?}\n", frame.kind),
        };
        if !matches!(frame.kind, Kind::PutData) {
            let _ = self.requests.write_all(line.as_bytes());
        }
        if let (Some((lie, name)), Some(object)) = (*lock(&self.shared.stubborn), object)
            && name == object
        {
            lock(&self.shared.lies).insert(frame.id, lie);
        }
        if self.plan.comes(frame.kind) {
            let _ = std::fs::write(own.with_file_name("struck"), line);
            self.strike(&mut frame);
        }
        self.seen.extend(object);
        if self.mute {
            return;
        }
        if let Some(pretended) = self.swallowed.get(&frame.id) {
            if *pretended {
                self.pretend(&frame);
            }
            return;
        }
        if frame.kind == Kind::PutData && self.altered.remove(&frame.id) {
            lies::flip(&mut frame.body);
        }
        // The real helper may have ended: then the other direction says so.
        let _ = self.to_helper.write_all(&frame.encode());
    }

    fn strike(&mut self, frame: &mut Frame) {
        let attack = self.plan.attack.as_str();
        let (attack, always) = match attack.strip_suffix("-always") {
            Some(attack) => (attack, true),
            None => (attack, false),
        };
        if let Some(lie) = Lie::parse(attack) {
            lock(&self.shared.lies).insert(frame.id, lie);
            if let Some(object) = object(frame).filter(|_| always) {
                *lock(&self.shared.stubborn) = Some((lie, object));
            }
            return;
        }
        match attack {
            "other-place" => lies::ask_elsewhere(frame),
            "other-object" => lies::ask_for_another(frame, &self.seen),
            "older-state" => lies::open_another(frame, "-older"),
            "another-archive" => lies::open_another(frame, "-foreign"),
            "put-altered" => drop(self.altered.insert(frame.id)),
            "not-done" => drop(self.swallowed.insert(frame.id, true)),
            "mute" => {
                std::mem::forget(lock(&self.shared.gate));
                self.mute = true;
            }
            attack => {
                self.swallowed.insert(frame.id, false);
                let _gate = lock(&self.shared.gate);
                answer(attack, frame);
            }
        }
    }

    /// Says that all was done.
    fn pretend(&self, frame: &Frame) {
        let _gate = lock(&self.shared.gate);
        match frame.kind {
            Kind::PutBegin | Kind::PutAbort => {}
            Kind::PutData | Kind::PutCopy => {
                let length = u32::try_from(frame.body.len()).unwrap_or(0);
                reply(frame.id, &Reply::Credit(length));
            }
            Kind::PutFinish => reply(frame.id, &Reply::PutDone(true)),
            _ => reply(frame.id, &Reply::Done),
        }
    }
}

/// What the request is about.
fn object(frame: &Frame) -> Option<Name> {
    match Request::decode(frame.kind, &frame.body).ok()?? {
        Request::PutBegin(name)
        | Request::PutCopy(name, _)
        | Request::Get(name, _)
        | Request::Stat(name)
        | Request::Punch(name, _) => Some(name),
        _ => None,
    }
}
