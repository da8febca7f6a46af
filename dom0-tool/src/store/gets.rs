//! Reading ranges of several objects: requests go out ahead of the answers, from one thread.

use std::collections::VecDeque;

use nacre_core::object_name::ObjectName;
use nacre_wire::Request;
use nacre_wire::limits::MAX_RANGES;

use super::client::{Link, wrong_answer};
use super::connection::{Answer, Expect, Gathering};
use super::convert::{ranges_to_wire, to_wire};
use crate::joints::{ByteRange, GetAnswer, StoreError};

/// Requests of one caller that are under way at the same time.
const AT_ONCE: usize = 8;

/// A request that was sent, and for which of the objects.
struct Asked {
    at: usize,
    id: u32,
}

/// Asks for all of it and collects the answers, one for each object. A thread for each object would do as well, but the threads and
/// their wake-ups were measured to cost more than the reading where an object gives only a few small pieces.
pub(super) fn get_many(link: &Link, wanted: &[(ObjectName, Vec<ByteRange>)]) -> Vec<GetAnswer> {
    let room = |(_, ranges): &(_, Vec<_>)| Ok(Vec::with_capacity(ranges.len()));
    let mut answers: Vec<GetAnswer> = wanted.iter().map(room).collect();
    let mut under_way = VecDeque::new();
    for (at, (name, ranges)) in wanted.iter().enumerate() {
        for some in ranges.chunks(MAX_RANGES) {
            match begin(link, *name, some, &mut under_way, &mut answers) {
                Ok(id) => under_way.push_back(Asked { at, id }),
                Err(error) => add(&mut answers, at, Err(error)),
            }
        }
    }
    while collect(link, &mut under_way, &mut answers) {}
    answers
}

/// Sends one request. While there is no room for it answers are collected first: who waited for room and kept some itself could wait for
/// ever for others who do the same.
fn begin(
    link: &Link,
    name: ObjectName,
    ranges: &[ByteRange],
    under_way: &mut VecDeque<Asked>,
    answers: &mut [GetAnswer],
) -> Result<u32, StoreError> {
    let request = Request::Get(to_wire(name)?, ranges_to_wire(name, ranges)?);
    if under_way.len() >= AT_ONCE {
        collect(link, under_way, answers);
    }
    // Zeroed memory of the kernel's: it becomes real only as bytes arrive.
    let buffer = |range: &ByteRange| vec![0; range.length as usize];
    let mut expect = Expect::Get(Gathering {
        buffers: ranges.iter().map(buffer).collect(),
        at: (0, 0),
    });
    let id = loop {
        if under_way.is_empty() {
            break link.connection.enter(Some(name), expect)?;
        }
        match link.connection.try_enter(Some(name), expect)? {
            Ok(id) => break id,
            Err(refused) => expect = refused,
        }
        collect(link, under_way, answers);
    };
    if let Err(error) = link.request(id, &request) {
        link.connection.abandon(id);
        return Err(error);
    }
    Ok(id)
}

/// Waits for the answer to the oldest request. `false`: there is none.
fn collect(link: &Link, under_way: &mut VecDeque<Asked>, answers: &mut [GetAnswer]) -> bool {
    let Some(Asked { at, id }) = under_way.pop_front() else {
        return false;
    };
    let answer = match link.connection.answer(id) {
        Ok(Answer::Got(buffers)) => Ok(buffers),
        Ok(_) => Err(wrong_answer()),
        Err(error) => Err(error),
    };
    add(answers, at, answer);
    true
}

/// Adds what came of a part of an object's ranges; an error stands for all of them.
fn add(answers: &mut [GetAnswer], at: usize, part: GetAnswer) {
    match (answers.get_mut(at), part) {
        (Some(Ok(all)), Ok(some)) => all.extend(some),
        (Some(answer @ Ok(_)), Err(error)) => *answer = Err(error),
        _ => {}
    }
}
