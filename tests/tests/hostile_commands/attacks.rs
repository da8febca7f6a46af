//! Every attack: what is struck by it, and how a command may end then.

/// What follows from an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing was harmed.
    Whole,
    /// What was acknowledged and never done, or done otherwise, is missing in the store. It is noticed by whoever looks, and nothing else is lost.
    Robbed,
}

/// An attack.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// What the helper calls it.
    pub name: &'static str,
    /// Which requests are struck; `*`: any, the hello too.
    pub kinds: &'static str,
    /// How the command ends, if not as if nothing had been.
    pub codes: &'static [i32],
    /// Whether it may also end as if nothing had been: what was struck was not needed, or is there twice. Then it has done its work, too.
    pub may_pass: bool,
    /// Whether it needs a deadline to be noticed.
    pub waits: bool,
    /// What follows.
    pub after: After,
}

/// The connection is no use any more.
const BROKEN: &[i32] = &[1, 3];
/// An object is not what it must be, or not there; or the archive is older than it must be.
const FALSE: &[i32] = &[4, 5];
/// What fails is said, be it a part or all; it may look like damage.
const REFUSED: &[i32] = &[1, 3, 4];

const fn broken(name: &'static str, kinds: &'static str) -> Attack {
    Attack {
        name,
        kinds,
        codes: BROKEN,
        may_pass: true,
        waits: false,
        after: After::Whole,
    }
}

const fn silent(name: &'static str, kinds: &'static str) -> Attack {
    Attack {
        waits: true,
        ..broken(name, kinds)
    }
}

const fn refused(name: &'static str, kinds: &'static str) -> Attack {
    Attack {
        codes: REFUSED,
        ..broken(name, kinds)
    }
}

const fn untrue(name: &'static str, kinds: &'static str) -> Attack {
    Attack {
        codes: FALSE,
        ..broken(name, kinds)
    }
}

const fn stale(name: &'static str) -> Attack {
    Attack {
        codes: &[5],
        may_pass: false,
        ..broken(name, "Hello")
    }
}

const fn robbing(name: &'static str, kinds: &'static str) -> Attack {
    Attack {
        codes: &[1, 3, 4, 5],
        after: After::Robbed,
        ..broken(name, kinds)
    }
}

/// All of them.
pub const ATTACKS: &[Attack] = &[
    // Silence, of several kinds.
    silent("mute", "*"),
    silent("deaf", "*"),
    silent("alive-for-ever", "*"),
    silent("drip", "Get"),
    silent("no-credit", "PutBegin"),
    silent("orphan", "*"),
    // The end.
    broken("close", "*"),
    broken("crash", "*"),
    broken("half-a-frame", "Get"),
    broken("fatal", "*"),
    // What is no answer.
    broken("garbage", "*"),
    broken("greeting", "Hello"),
    broken("gigantic-data", "Get"),
    broken("gigantic-listing", "List"),
    broken("reserved-bytes", "*"),
    broken("wrong-id", "*"),
    broken("wrong-kind", "*"),
    broken("request-as-reply", "*"),
    broken("unknown-kind", "*"),
    broken("second-hello", "Get,Stat,List,Barrier,PutFinish,Delete"),
    broken("short-data", "Get"),
    broken("long-data", "Get"),
    broken("no-data", "Get"),
    broken("empty-data", "Get"),
    broken("data-flood", "*"),
    broken("replay", "Stat"),
    broken("listing-flood", "List"),
    broken("listing-of-another-class", "List"),
    broken("listing-with-paths", "List"),
    broken("trailing-bytes", "Barrier,Delete,List,Punch,Bye"),
    // Of a small object it may come when everything was sent: then it is a lie like any other.
    robbing("early-success", "PutBegin"),
    broken("credit-flood", "PutBegin"),
    // Every error there is, with a text that would like to be a terminal's master.
    untrue("error-1", "Get,Stat,PutCopy"),
    untrue("error-2", "Get,PutCopy"),
    refused("error-3", "Get,PutBegin"),
    refused("error-4", "PutBegin,PutFinish,ProbePunch,Barrier"),
    refused("error-5", "PutBegin,PutFinish,Delete,Punch,Barrier"),
    refused("error-6", "*"),
    refused("error-7", "*"),
    refused("error-8", "*"),
    refused("error-9", "Hello"),
    refused("error-10", "*"),
    refused("error-11", "Hello"),
    refused("error-12", "Hello"),
    refused("error-13", "*"),
    refused("error-99", "*"),
    refused("late-error", "Get"),
    // Other objects, and other bytes.
    untrue("flipped", "Get"),
    untrue("zeros", "Get"),
    untrue("flipped-always", "Get"),
    untrue("zeros-always", "Get"),
    untrue("other-place", "Get"),
    untrue("other-object", "Get"),
    untrue("absent", "Stat"),
    untrue("absent-always", "Stat"),
    untrue("empty", "Stat"),
    untrue("smaller", "Stat"),
    refused("gigantic", "Stat"),
    untrue("nothing-listed", "List"),
    untrue("last-unlisted", "List"),
    untrue("twice-listed", "List"),
    untrue("invented", "List"),
    untrue("other-sizes", "List"),
    refused("no-room", "FreeSpace"),
    refused("much-room", "FreeSpace"),
    refused("other-punch", "ProbePunch"),
    // The archive as it was before its last session, and one that the same key opens.
    stale("older-state"),
    stale("another-archive"),
    // Done, and not said; said, and not done.
    refused("denied", "PutFinish,Delete,Punch,Barrier"),
    broken("unanswered", "PutFinish,Delete,Punch,Barrier"),
    refused("existed", "PutFinish"),
    robbing("not-done", "PutBegin,Delete,Punch,Barrier"),
    robbing("put-altered", "PutBegin"),
];
