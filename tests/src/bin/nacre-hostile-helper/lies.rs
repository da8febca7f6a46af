//! Answers of the right form that are not true.

use nacre_wire::{ErrorCode, HelloRequest, Kind, ListEntry, Locator, Name, Range, Reply, Request};

use crate::attacks::ESCAPES;
use crate::wire::Frame;

/// What is made of the real answer.
#[derive(Clone, Copy)]
pub enum Lie {
    /// One bit of an object is another.
    Flipped,
    /// An object is zeros.
    Zeros,
    /// Half an object, then an error.
    LateError,
    /// The object is not there.
    Absent,
    /// It is empty, a byte short, or larger than anything.
    Empty,
    Smaller,
    Gigantic,
    /// A listing without anything, without its last object, with each object twice, with objects that are not there, or with other sizes.
    NothingListed,
    LastUnlisted,
    TwiceListed,
    Invented,
    OtherSizes,
    /// It had been there before the put.
    Existed,
    /// It was done, but an error, or nothing, comes in the place of the answer.
    Denied,
    Unanswered,
    /// The disk has no room, or more than there can be.
    NoRoom,
    MuchRoom,
    /// Punching works, or not: the other way round.
    OtherPunch,
}

impl Lie {
    /// The lie of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "flipped" => Self::Flipped,
            "zeros" => Self::Zeros,
            "late-error" => Self::LateError,
            "absent" => Self::Absent,
            "empty" => Self::Empty,
            "smaller" => Self::Smaller,
            "gigantic" => Self::Gigantic,
            "nothing-listed" => Self::NothingListed,
            "last-unlisted" => Self::LastUnlisted,
            "twice-listed" => Self::TwiceListed,
            "invented" => Self::Invented,
            "other-sizes" => Self::OtherSizes,
            "existed" => Self::Existed,
            "denied" => Self::Denied,
            "unanswered" => Self::Unanswered,
            "no-room" => Self::NoRoom,
            "much-room" => Self::MuchRoom,
            "other-punch" => Self::OtherPunch,
            _ => return None,
        })
    }
}

/// What is said in the place of an answer.
pub fn told(lie: Lie, mut frame: Frame) -> Vec<Frame> {
    let id = frame.id;
    if frame.kind == Kind::GetData {
        match lie {
            Lie::Flipped => flip(&mut frame.body),
            Lie::Zeros => frame.body.fill(0),
            Lie::LateError => {
                let half = frame.body.len() / 2;
                frame.body.truncate(half.max(1));
                return vec![frame, framed(id, &refusal(ErrorCode::Io))];
            }
            _ => {}
        }
        return vec![frame];
    }
    let Ok(answer) = Reply::decode(frame.kind, &frame.body) else {
        return vec![frame];
    };
    let said = match (lie, answer) {
        // Its bytes and the error have come already.
        (Lie::LateError, Reply::Done) => return Vec::new(),
        (Lie::Unanswered, answer) if is_last(&answer) => std::process::exit(0),
        (Lie::Denied, answer) if is_last(&answer) => refusal(ErrorCode::Io),
        (lie, Reply::StatIs(size)) => Reply::StatIs(other_size(lie, size)),
        (lie, Reply::ListPart(entries)) => Reply::ListPart(other_listing(lie, entries)),
        (Lie::Existed, Reply::PutDone(_)) => Reply::PutDone(false),
        (Lie::NoRoom, Reply::FreeSpaceIs(_)) => Reply::FreeSpaceIs(0),
        (Lie::MuchRoom, Reply::FreeSpaceIs(_)) => Reply::FreeSpaceIs(u64::MAX),
        (Lie::OtherPunch, Reply::PunchIs(works)) => Reply::PunchIs(!works),
        (_, answer) => answer,
    };
    vec![framed(id, &said)]
}

fn framed(id: u32, reply: &Reply) -> Frame {
    Frame {
        kind: reply.kind(),
        id,
        body: reply.encode_body(),
    }
}

fn refusal(code: ErrorCode) -> Reply {
    Reply::Error(code, ESCAPES.as_bytes().to_vec())
}

fn is_last(answer: &Reply) -> bool {
    !matches!(answer, Reply::Credit(_) | Reply::ListPart(_))
}

fn other_size(lie: Lie, size: Option<u64>) -> Option<u64> {
    match lie {
        Lie::Absent => None,
        Lie::Empty => Some(0),
        Lie::Smaller => size.map(|size| size.saturating_sub(1)),
        Lie::Gigantic => Some(u64::MAX),
        _ => size,
    }
}

fn other_listing(lie: Lie, mut entries: Vec<ListEntry>) -> Vec<ListEntry> {
    match lie {
        Lie::NothingListed => entries.clear(),
        Lie::LastUnlisted => {
            entries.sort_by(|one, other| one.name.as_str().cmp(other.name.as_str()));
            entries.pop();
        }
        Lie::TwiceListed => entries.extend(entries.clone()),
        Lie::Invented => {
            let invented: Vec<_> = entries.iter().filter_map(invent).collect();
            entries.extend(invented);
        }
        Lie::OtherSizes => entries.iter_mut().for_each(|entry| entry.size = u64::MAX),
        _ => {}
    }
    entries
}

/// An object that is not there, of the same class: its number begins with another digit.
fn invent(entry: &ListEntry) -> Option<ListEntry> {
    let mut name = entry.name.as_str().as_bytes().to_vec();
    let (folder, digit) = match entry.name.class() {
        nacre_wire::Class::Header => (7, b'7'),
        nacre_wire::Class::Head => (5, b'7'),
        // The first two stand twice.
        nacre_wire::Class::Pack => (10, b'a'),
    };
    let place = name.get_mut(folder)?;
    *place = if *place == digit { b'b' } else { digit };
    Some(ListEntry {
        name: Name::parse(&name)?,
        size: entry.size,
    })
}

/// Another bit in the middle.
pub fn flip(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 0x10;
    }
}

/// The same object, but another place of it.
pub fn ask_elsewhere(frame: &mut Frame) {
    if let Ok(Some(Request::Get(name, mut ranges))) = Request::decode(frame.kind, &frame.body) {
        let shift = |range: &mut Range| {
            range.offset = if range.offset == 0 {
                64
            } else {
                range.offset / 2
            };
        };
        ranges.iter_mut().for_each(shift);
        frame.body = Request::Get(name, ranges).encode_body();
    }
}

/// Another object of the same class.
pub fn ask_for_another(frame: &mut Frame, seen: &[Name]) {
    if let Ok(Some(Request::Get(name, ranges))) = Request::decode(frame.kind, &frame.body) {
        let other = seen
            .iter()
            .rfind(|other| **other != name && other.class() == name.class());
        if let Some(other) = other {
            frame.body = Request::Get(*other, ranges).encode_body();
        }
    }
}

/// Another archive, in the folder beside it with this behind its name.
pub fn open_another(frame: &mut Frame, suffix: &str) {
    let Ok(mut hello) = HelloRequest::decode(&frame.body) else {
        return;
    };
    if let Locator::Directory { path } = &mut hello.locator {
        path.extend_from_slice(suffix.as_bytes());
        frame.body = hello.encode().unwrap_or_default();
    }
}
