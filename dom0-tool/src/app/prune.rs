//! `prune`: a plan of what goes and why, then one commit, then what only that needed is freed.

use std::collections::BTreeSet;

use nacre_core::head::Volume;
use nacre_core::ids::SessionSeq;
use nacre_core::retention::{
    Candidate, Forgotten as Why, KeepRule, KeepRules, Kept, Policy, Thinning, Verdict, plan,
};
use nacre_core::session::Session;
use nacre_core::session_name::SessionName;

use super::opening::{changing, committed, unanswered};
use super::room::Room;
use super::selection::volumes;
use super::settings::{Followed, follow};
use super::status::record::{self, Run};
use super::world::World;
use crate::archive::{Archive, Error, Forgotten, Result, Sessions};
use crate::cli::{
    ApDays, Exit, KeepSpec, Prune, PruneRules, RetentionWish, SessionPoint, SessionSelector, Which,
};
use crate::entry;
use crate::joints::KeyPrompt;
use crate::qubes::SETTINGS;
use crate::report::{Align, Table, text};

/// What becomes of a session of a volume.
struct Row {
    volume: String,
    session: String,
    goes: bool,
    why: String,
}

/// Forgets sessions, and remembers what the archive has now.
pub fn run(world: &World<'_>, wanted: &Prune) -> Result<Exit> {
    changing(world, "prune", |archive| {
        let exit = forget(world, archive, wanted)?;
        if !world.common.dry_run {
            record::seen(world, archive, &Run::default());
        }
        Ok(exit)
    })
}

fn forget(world: &World<'_>, archive: &mut Archive, wanted: &Prune) -> Result<Exit> {
    let sessions = archive.sessions()?;
    let (found, missing) = volumes(archive, &wanted.selection);
    for name in &missing {
        world.monitor().error(&format!(
            "The archive has no volume {name}. See `nacre list`."
        ));
    }
    let exit = match (missing.is_empty(), found.is_empty()) {
        (true, _) => Exit::Done,
        (false, false) => Exit::Part,
        (false, true) => return Ok(Exit::Nothing),
    };
    let clock = world.clock();
    let now = clock.civil(clock.now()).name;
    let mut rows = Vec::new();
    let mut forgotten = Forgotten::new();
    for volume in &found {
        let policy = policy(wanted, &volume.name)?;
        for (seq, session, verdict) in verdicts(&sessions, volume, wanted, &policy, &now)? {
            let named = !matches!(wanted.which, Which::Rules(_));
            let Some(row) = row(volume, session, &verdict, named) else {
                continue;
            };
            // Of the newest session the next send needs the tree, finished or not.
            if row.goes && volume.newest != Some(seq) {
                forgotten.entry(seq).or_default().insert(volume.id);
            }
            rows.push(row);
        }
    }
    let followed = follow(archive, &sessions, &mut forgotten);
    settings_follow(&sessions, &followed, &mut rows);
    if let Which::Named(SessionSelector::One(point)) = &wanted.which
        && rows.is_empty()
    {
        return Err(Error::refused(
            format!("none of these volumes has a session {point}"),
            "See `nacre list VOLUME` for those it has.",
        ));
    }
    show(world, &rows);
    let count = rows.iter().filter(|row| row.goes).count();
    let what = text::count(count, "session of a volume", "sessions of volumes");
    if forgotten.is_empty() {
        world.monitor().note("nothing is to be forgotten");
        return Ok(exit);
    }
    if world.common.dry_run {
        world.monitor().note(&format!("would forget {what}"));
        return Ok(exit);
    }
    if !wanted.force && !world.common.unattended {
        let question = format!("Forget {what}? They cannot be brought back.");
        if !world.prompt.confirm(&question).map_err(unanswered)? {
            return Err(Error::refused("nothing was forgotten", ""));
        }
    }
    committed(world, archive, |archive| {
        archive.prune(&forgotten, world.clock())
    })?;
    world.monitor().note(&format!("forgot {what}"));
    Room::default().made(world, archive)?;
    Ok(exit)
}

/// Shows what becomes of the settings.
fn settings_follow(sessions: &Sessions, followed: &Followed, rows: &mut Vec<Row>) {
    let name = |seq: &SessionSeq| Some(sessions.get(*seq)?.name.to_string());
    let stayed: BTreeSet<String> = followed.stayed.iter().filter_map(name).collect();
    let settings = rows.iter_mut().filter(|row| row.volume == SETTINGS);
    for row in settings.filter(|row| stayed.contains(&row.session)) {
        row.goes = false;
        "volumes of its session stay".clone_into(&mut row.why);
    }
    for session in followed.gone.iter().filter_map(name) {
        rows.retain(|row| row.volume != SETTINGS || row.session != session);
        rows.push(Row {
            volume: SETTINGS.to_owned(),
            session,
            goes: true,
            why: "no volume of its session is left".to_owned(),
        });
    }
}

/// What the wish means for a volume.
fn policy(wanted: &Prune, volume: &str) -> Result<Policy> {
    let mut policy = Policy::default();
    for keep in &wanted.keep {
        match keep {
            KeepSpec::At(time) => {
                policy.keep_sessions.insert(name_of(time.as_str())?);
            }
            KeepSpec::Tagged(tag) => {
                policy.keep_tags.insert(tag.as_str().to_owned());
            }
        }
    }
    if let Which::Rules(rules) = &wanted.which {
        let own = own_rules(&wanted.retention, volume);
        (policy.keep, policy.thinning) = rules_of(own.unwrap_or(rules))?;
    }
    Ok(policy)
}

/// The rules that a volume has of its own: those of the first pattern that it fits.
pub fn own_rules<'a>(wishes: &'a [RetentionWish], volume: &str) -> Option<&'a PruneRules> {
    wishes.iter().find_map(|wish| wish.rules_of(volume))
}

/// Rules as the archive's arithmetic knows them.
pub fn rules_of(rules: &PruneRules) -> Result<(KeepRules, Option<Thinning>)> {
    let [last, hourly, daily, weekly, monthly, yearly] = rules.counts;
    let keep = KeepRules {
        last,
        hourly,
        daily,
        weekly,
        monthly,
        yearly,
        within: rules.within.map(|span| span.0),
    };
    Ok((keep, rules.thinning.map(thinning).transpose()?))
}

/// What `--apdays` means.
fn thinning(days: ApDays) -> Result<Thinning> {
    let [all_after, after, window, stay] = days.0;
    let thinning = Thinning::new(all_after, after, window, stay);
    thinning.map_err(|error| Error::refused(error.to_string(), ""))
}

/// A session's name that was typed, or that the clock gives.
pub fn name_of(text: &str) -> Result<SessionName> {
    text.parse().map_err(Error::damaged("a session's name"))
}

/// A session of a volume and what becomes of it.
type Judged<'a> = (SessionSeq, &'a Session, Verdict);

fn verdicts<'a>(
    sessions: &'a Sessions,
    volume: &Volume,
    wanted: &Prune,
    policy: &Policy,
    now: &str,
) -> Result<Vec<Judged<'a>>> {
    let of_volume: Vec<(SessionSeq, &Session)> = sessions
        .of_volume(volume.id)
        .map(|(seq, session, _)| (seq, session))
        .collect();
    let candidates: Vec<Candidate> = of_volume
        .iter()
        .map(|(seq, session)| Candidate::new(*seq, session))
        .collect();
    let chosen = match &wanted.which {
        Which::Rules(_) => None,
        Which::Named(selector) => Some(named(&candidates, selector)?),
        Which::Before(point) => Some(before(&candidates, point)?),
    };
    // What is named goes as if no rule wanted it; what no rule may take stays all the same.
    let mut policy = policy.clone();
    if chosen.is_some() {
        policy.keep = KeepRules::default();
        policy.thinning = Some(Thinning::new(0, 0, 1, 0).map_err(|_| Error::internal())?);
    }
    let now = if chosen.is_some() { LAST_DAY } else { now };
    let now = name_of(now)?;
    let verdicts = plan(&candidates, &policy, now).verdicts;
    let judged = of_volume.into_iter().zip(verdicts);
    let judged =
        judged.filter(|((seq, _), _)| chosen.as_ref().is_none_or(|chosen| chosen.contains(seq)));
    Ok(judged
        .map(|((seq, session), (_, verdict))| (seq, session, verdict))
        .collect())
}

/// Later than any session: then everything is old enough to go.
const LAST_DAY: &str = "99991231-235959";

/// The sessions of a volume that `--session` names. Of a tag: all that have it; in a range the first, or the last, that has it.
fn named(sessions: &[Candidate], selector: &SessionSelector) -> Result<BTreeSet<SessionSeq>> {
    let (from, to) = match selector {
        SessionSelector::One(SessionPoint::Tagged(tag)) => {
            let tagged = sessions.iter().filter(|one| has_tag(one, tag.as_str()));
            return Ok(tagged.map(|one| one.session).collect());
        }
        SessionSelector::One(point) => {
            let name = point_name(sessions, point, true)?;
            (name, name)
        }
        SessionSelector::Range(first, last) => (
            point_name(sessions, first, true)?,
            point_name(sessions, last, false)?,
        ),
    };
    let (Some(from), Some(to)) = (from, to) else {
        return Ok(BTreeSet::new());
    };
    let inside = sessions
        .iter()
        .filter(|one| from <= one.name && one.name <= to);
    Ok(inside.map(|one| one.session).collect())
}

fn before(sessions: &[Candidate], point: &SessionPoint) -> Result<BTreeSet<SessionSeq>> {
    let limit = point_name(sessions, point, false)?;
    let older = sessions
        .iter()
        .filter(|one| limit.is_some_and(|limit| one.name < limit));
    Ok(older.map(|one| one.session).collect())
}

/// The name that an end of a range stands for; `None` when the volume has no session with that tag.
fn point_name(
    sessions: &[Candidate],
    point: &SessionPoint,
    first: bool,
) -> Result<Option<SessionName>> {
    let names = sessions.iter().map(|one| one.name);
    Ok(match point {
        SessionPoint::At(time) => Some(name_of(time.as_str())?),
        SessionPoint::Newest => names.max(),
        SessionPoint::Tagged(tag) => {
            let tagged = sessions.iter().filter(|one| has_tag(one, tag.as_str()));
            let tagged = tagged.map(|one| one.name);
            if first { tagged.min() } else { tagged.max() }
        }
    })
}

fn has_tag(session: &Candidate, tag: &str) -> bool {
    session.tags.iter().any(|id| id == tag)
}

fn row(volume: &Volume, session: &Session, verdict: &Verdict, named: bool) -> Option<Row> {
    let (goes, why) = match verdict {
        Verdict::Forget(_) if named => (true, "--session".to_owned()),
        Verdict::Forget(why) => (true, reason_to_go(*why)),
        Verdict::Keep(Kept::Young | Kept::NoPolicy) => return None,
        Verdict::Keep(why) => (false, reason_to_stay(why)),
    };
    Some(Row {
        volume: volume.name.clone(),
        session: session.name.to_string(),
        goes,
        why,
    })
}

fn reason_to_go(why: Why) -> String {
    match why {
        Why::TooOld => "too old",
        Why::ThinnedOut => "thinned out",
        Why::Unwanted => "no rule wants it",
    }
    .to_owned()
}

fn reason_to_stay(why: &Kept) -> String {
    match why {
        Kept::Last => "the volume's last".to_owned(),
        Kept::Unfinished => "unfinished; the next finished one replaces it".to_owned(),
        Kept::Protected => "protected".to_owned(),
        Kept::Tag(tag) => format!("tag {tag}"),
        Kept::Named => "--keep".to_owned(),
        Kept::InWindow => "among the newest of its days".to_owned(),
        Kept::Young | Kept::NoPolicy => String::new(),
        Kept::Rule(rule) => match rule {
            KeepRule::Last => "--keep-last",
            KeepRule::Hourly => "--keep-hourly",
            KeepRule::Daily => "--keep-daily",
            KeepRule::Weekly => "--keep-weekly",
            KeepRule::Monthly => "--keep-monthly",
            KeepRule::Yearly => "--keep-yearly",
            KeepRule::Within => "--keep-within",
        }
        .to_owned(),
    }
}

/// The plan: a table, or an object for each line of it.
fn show(world: &World<'_>, rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    let mut out = String::new();
    if world.common.json {
        for row in rows {
            out.push_str(&crate::report::ascii_line(&serde_json::json!({
                "volume": row.volume,
                "session": row.session,
                "goes": row.goes,
                "why": row.why,
            })));
        }
    } else {
        let columns = ["VOLUME", "SESSION", "WHAT", "WHY"].map(|name| (name, Align::Left));
        let mut table = Table::new(&columns);
        for row in rows {
            let what = if row.goes { "goes" } else { "stays" };
            table.row([row.volume.as_str(), &row.session, what, &row.why]);
        }
        out = table.render();
    }
    entry::show(&out);
}
