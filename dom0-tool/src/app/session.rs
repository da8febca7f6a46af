//! `session`: protect, unprotect, tag and untag sessions that are there.

use std::collections::BTreeSet;

use nacre_core::ids::SessionSeq;
use nacre_core::session::{Session, Tag};

use super::opening::{changing, committed};
use super::selection::wish;
use super::world::World;
use crate::archive::{Archive, Error, Result, Sessions, Wish};
use crate::cli::{Exit, SessionAction, SessionChange, SessionPoint, SessionSelector};

/// Changes what sessions say of themselves; their content is not touched.
pub fn run(world: &World<'_>, wanted: &SessionChange) -> Result<Exit> {
    changing(world, "session", |archive| once(world, archive, wanted))
}

fn once(world: &World<'_>, archive: &mut Archive, wanted: &SessionChange) -> Result<Exit> {
    let sessions = archive.sessions()?;
    let mut chosen = BTreeSet::new();
    for selector in &wanted.sessions {
        chosen.extend(select(&sessions, selector)?);
    }
    let changed: Vec<(SessionSeq, Session)> = chosen
        .iter()
        .filter_map(|seq| sessions.get(*seq).map(|session| (*seq, session)))
        .filter_map(|(seq, session)| Some((seq, change(session, &wanted.action)?)))
        .collect();
    for (_, session) in &changed {
        let text = if world.common.dry_run {
            format!("would {} session {}", would(&wanted.action), session.name)
        } else {
            format!("{} session {}", done(&wanted.action), session.name)
        };
        world.monitor().note(&text);
    }
    if changed.is_empty() {
        world
            .monitor()
            .note("nothing to change: they are so already");
    } else if !world.common.dry_run {
        committed(world, archive, |archive| {
            archive.set_sessions(changed.clone(), world.clock())
        })?;
    }
    Ok(Exit::Done)
}

/// The sessions meant: with a tag, all that have it; in a range, from the first that has it to the last.
fn select(sessions: &Sessions, selector: &SessionSelector) -> Result<Vec<SessionSeq>> {
    let found: Vec<SessionSeq> = match selector {
        SessionSelector::One(SessionPoint::Tagged(tag)) => {
            let tagged = sessions.iter().filter(|(_, s)| s.has_tag(tag.as_str()));
            tagged.map(|(seq, _)| seq).collect()
        }
        SessionSelector::One(point) => {
            let wish = wish(point)?;
            let found = sessions.iter().rfind(|(_, s)| is(s, &wish));
            found.map(|(seq, _)| seq).into_iter().collect()
        }
        SessionSelector::Range(first, last) => {
            let (first, last) = (wish(first)?, wish(last)?);
            // A date need not be that of a session: the range is from there on, up to there.
            let begins = sessions.iter().find(|(_, s)| match &first {
                Wish::Named(name) => s.name >= *name,
                tagged => is(s, tagged),
            });
            let ends = sessions.iter().rfind(|(_, s)| match &last {
                Wish::Named(name) => s.name <= *name,
                tagged => is(s, tagged),
            });
            match (begins, ends) {
                (Some((begin, _)), Some((end, _))) => {
                    let all = sessions.iter().map(|(seq, _)| seq);
                    all.filter(|seq| (begin..=end).contains(seq)).collect()
                }
                _ => Vec::new(),
            }
        }
    };
    if found.is_empty() {
        return Err(Error::refused(
            "the archive has no such session",
            "See `nacre list VOLUME` for the sessions of a volume.",
        ));
    }
    Ok(found)
}

fn is(session: &Session, wish: &Wish) -> bool {
    match wish {
        Wish::Newest => true,
        Wish::Named(name) => session.name == *name,
        Wish::Tagged(tag) => session.has_tag(tag),
    }
}

/// The session as it is to be; `None` if it is so already.
fn change(session: &Session, action: &SessionAction) -> Option<Session> {
    let mut changed = session.clone();
    match action {
        SessionAction::Protect => changed.protected = true,
        SessionAction::Unprotect => changed.protected = false,
        SessionAction::Tag(tag) => {
            changed.tags.retain(|known| known.id != tag.id.as_str());
            changed
                .tags
                .extend(Tag::new(tag.id.as_str(), &tag.description));
            changed.tags.sort();
        }
        SessionAction::Untag(id) => changed.tags.retain(|known| known.id != id.as_str()),
    }
    (changed != *session).then_some(changed)
}

fn would(action: &SessionAction) -> &'static str {
    match action {
        SessionAction::Protect => "protect",
        SessionAction::Unprotect => "unprotect",
        SessionAction::Tag(_) => "tag",
        SessionAction::Untag(_) => "untag",
    }
}

fn done(action: &SessionAction) -> &'static str {
    match action {
        SessionAction::Protect => "protected",
        SessionAction::Unprotect => "unprotected",
        SessionAction::Tag(_) => "tagged",
        SessionAction::Untag(_) => "untagged",
    }
}
