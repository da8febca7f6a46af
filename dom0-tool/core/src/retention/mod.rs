//! Which sessions of a volume may be forgotten: a pure function from sessions and policy to what stays and goes, and why.
//!
//! Everything goes by the local time in the sessions' names, so that a plan depends on nothing but its arguments. Two kinds of rules can be
//! used together: *keep* rules (`--keep-daily=7` …), under which everything goes that none of them wants, and *thinning* (`--autoprune` with
//! `--apdays`), under which everything stays that it does not thin out. Together, only what both give up goes.

mod calendar;
mod keep;
mod thinning;

use std::collections::BTreeSet;

use crate::ids::SessionSeq;
use crate::session::Session;
use crate::session_name::SessionName;

pub use keep::{KeepRule, KeepRules};
pub use thinning::{Thinning, ThinningError};

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// `--keep-last` and the like.
    pub keep: KeepRules,
    /// `--apdays`, when `--autoprune` is on.
    pub thinning: Option<Thinning>,
    /// `--keep=^tag`: sessions with one of these stay.
    pub keep_tags: BTreeSet<String>,
    /// `--keep=YYYYMMDD-HHMMSS`: these stay.
    pub keep_sessions: BTreeSet<SessionName>,
}

/// A session of the volume that is planned for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its number.
    pub session: SessionSeq,
    /// Its name.
    pub name: SessionName,
    /// Ids of its tags.
    pub tags: Vec<String>,
    /// Never forgotten by a rule.
    pub protected: bool,
    /// Made by a run that has not come to its end.
    pub unfinished: bool,
}

impl Candidate {
    /// A session of the archive as a candidate.
    pub fn new(number: SessionSeq, session: &Session) -> Self {
        Self {
            session: number,
            name: session.name,
            tags: session.tags.iter().map(|tag| tag.id.clone()).collect(),
            protected: session.protected,
            unfinished: session.unfinished,
        }
    }
}

/// Why a session stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is the volume's last finished session.
    Last,
    /// The run that makes it has not come to its end; the next finished session replaces it.
    Unfinished,
    /// It is protected.
    Protected,
    /// It has this tag.
    Tag(String),
    /// It was named.
    Named,
    /// This rule wants it.
    Rule(KeepRule),
    /// Too young to be thinned out.
    Young,
    /// Among the newest of its window.
    InWindow,
    /// No rule gives anything up.
    NoPolicy,
}

/// Why a session goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Forgotten {
    /// Older than the oldest that is wanted.
    TooOld,
    /// Its window has newer ones.
    ThinnedOut,
    /// No rule wants it.
    Unwanted,
}

/// What becomes of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays.
    Keep(Kept),
    /// It goes.
    Forget(Forgotten),
}

/// What becomes of each session of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Oldest first.
    pub verdicts: Vec<(SessionSeq, Verdict)>,
}

impl Plan {
    /// What goes, in the order in which it should if not all of it has to: first what is too old, then what is thinned out or
    /// unwanted, each oldest first.
    pub fn to_forget(&self) -> Vec<SessionSeq> {
        let mut going: Vec<_> = self
            .verdicts
            .iter()
            .filter_map(|(session, verdict)| match verdict {
                Verdict::Forget(why) => Some((*why, *session)),
                Verdict::Keep(_) => None,
            })
            .collect();
        going.sort_unstable();
        going.into_iter().map(|(_, session)| session).collect()
    }
}

/// Plans for one volume; `sessions` are all those that have it, in any order. `now` is local time.
pub fn plan(sessions: &[Candidate], policy: &Policy, now: SessionName) -> Plan {
    let mut sessions: Vec<&Candidate> = sessions.iter().collect();
    sessions.sort_by_key(|candidate| candidate.session);
    let finished: Vec<SessionName> = sessions
        .iter()
        .filter(|candidate| !candidate.unfinished)
        .map(|candidate| candidate.name)
        .rev()
        .collect();
    let wanted = policy.keep.wanted(&finished, now);
    let thinned = policy
        .thinning
        .map(|thinning| thinning.thinned(&finished, now));
    let last = finished.first().copied();
    let verdict = |candidate: &Candidate| {
        if let Some(kept) = untouchable(candidate, last, policy) {
            return Verdict::Keep(kept);
        }
        if let Some(rule) = wanted.get(&candidate.name) {
            return Verdict::Keep(Kept::Rule(*rule));
        }
        match &thinned {
            Some(thinned) => match thinned.get(&candidate.name) {
                Some(verdict) => verdict.clone(),
                None => Verdict::Keep(Kept::Young),
            },
            None if policy.keep.is_empty() => Verdict::Keep(Kept::NoPolicy),
            None => Verdict::Forget(Forgotten::Unwanted),
        }
    };
    let verdicts = sessions
        .iter()
        .map(|candidate| (candidate.session, verdict(candidate)));
    Plan {
        verdicts: verdicts.collect(),
    }
}

/// What no rule can give up.
fn untouchable(candidate: &Candidate, last: Option<SessionName>, policy: &Policy) -> Option<Kept> {
    if candidate.unfinished {
        return Some(Kept::Unfinished);
    }
    if Some(candidate.name) == last {
        return Some(Kept::Last);
    }
    if candidate.protected {
        return Some(Kept::Protected);
    }
    if policy.keep_sessions.contains(&candidate.name) {
        return Some(Kept::Named);
    }
    let tag = candidate
        .tags
        .iter()
        .find(|tag| policy.keep_tags.contains(*tag));
    tag.cloned().map(Kept::Tag)
}

#[cfg(test)]
mod tests;
