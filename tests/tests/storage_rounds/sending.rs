//! Sessions: made, interrupted, resumed.

use std::rc::Rc;

use nacre_tests::desk::{Ended, end};

use crate::rounds::{ARCHIVES, CHUNK, Kept, Rounds};

impl Rounds<'_> {
    /// Both volumes or one, whole or interrupted; an interrupted run is repeated at once, or some other time.
    pub fn send(&mut self, archive: usize) {
        let mut arguments = vec!["send"];
        let one = [self.volume()];
        let both = self.place.volumes();
        let all = self.random.below(4) > 0;
        let sent: &[&'static str] = if all { &both } else { &one };
        arguments.extend(sent);
        if self.random.below(12) == 0 {
            arguments.push("--remap");
        }
        if self.random.below(3) == 0 {
            arguments.push("--send-unchanged");
        }
        println!("{arguments:?} to {}", ARCHIVES[archive]);
        if self.random.below(2) == 0 {
            let command = self.nacre(archive, &arguments);
            if self.is_killed("send", &command) {
                let committed = self.look_at_sessions(archive, sent);
                self.tally.killed_after_commit += usize::from(committed);
                if self.random.below(3) == 0 {
                    return;
                }
                println!("  … again");
                self.sent(archive, &arguments, sent);
            } else {
                self.finished(archive, sent);
            }
        } else {
            self.sent(archive, &arguments, sent);
        }
    }

    /// Both volumes, with nothing special.
    pub fn send_calmly(&mut self, archive: usize) -> Ended {
        let [one, other] = self.place.volumes();
        self.sent(archive, &["send", one, other], &[one, other])
    }

    fn sent(&mut self, archive: usize, arguments: &[&str], sent: &[&'static str]) -> Ended {
        let ended = self.done(archive, arguments);
        self.tally.sent += sent.len();
        let all = ended.err.matches("comparing everything").count();
        self.tally.by_changes_alone += sent.len().saturating_sub(all);
        self.finished(archive, sent);
        ended
    }

    /// After a send that ended well the newest session holds what is here.
    fn finished(&mut self, archive: usize, sent: &[&'static str]) {
        self.look_at_sessions(archive, sent);
        for volume in sent {
            let now = self.place.content(volume);
            let newest = self.newest(archive, volume).expect("a session");
            assert!(
                now == *newest.content,
                "{volume} changed, and no session was made"
            );
        }
    }

    /// What was committed stays, and what is new holds what is here. Whether there is anything new.
    fn look_at_sessions(&mut self, archive: usize, sent: &[&'static str]) -> bool {
        let before = self.kept[archive].len();
        for volume in self.place.volumes() {
            let listed = self.sessions(archive, volume);
            let known: Vec<String> = self.of_volume(archive, volume);
            let (old, new) = listed
                .split_at_checked(known.len())
                .expect("no session is lost");
            assert_eq!(old, known, "sessions of {volume} in {}", ARCHIVES[archive]);
            for name in new {
                if let Some(name) = name.strip_suffix(" (unfinished)") {
                    println!("  … {name} of {volume} is unfinished");
                    self.look_at_part(archive, volume, name, sent.contains(&volume));
                    continue;
                }
                assert!(
                    sent.contains(&volume),
                    "{name} of {volume}, which was not sent"
                );
                self.parts[archive].remove(volume);
                self.kept[archive].push(Kept {
                    volume,
                    session: name.clone(),
                    content: Rc::new(self.place.content(volume)),
                });
            }
        }
        self.kept[archive].len() > before
    }

    /// An unfinished session holds, chunk by chunk, what is here, or what the session before it held, or what it held when it was left unfinished:
    /// a run can be killed before it goes on with it. One that was not sent holds only that.
    fn look_at_part(&mut self, archive: usize, volume: &'static str, name: &str, was_sent: bool) {
        let part = self.fetched(archive, volume, name);
        let earlier = self.parts[archive].remove(volume);
        if was_sent {
            let now = self.place.content(volume);
            let before = self.newest(archive, volume);
            let before = before.map_or(&[][..], |kept| &kept.content);
            let earlier = earlier.as_ref().map_or(&[][..], |(_, held)| held);
            assert_part(&part, &[&now, before, earlier]);
        } else {
            let (known, held) = earlier.expect("an unfinished session of what was sent");
            assert!(known == name && held == part, "{name} of {volume} changed");
        }
        self.parts[archive].insert(volume, (name.to_owned(), part));
    }

    pub fn of_volume(&self, archive: usize, volume: &str) -> Vec<String> {
        let kept = self.kept[archive].iter();
        let of_it = kept.filter(|kept| kept.volume == volume);
        of_it.map(|kept| kept.session.clone()).collect()
    }

    /// Names of the sessions of a volume, oldest first.
    pub fn sessions(&self, archive: usize, volume: &str) -> Vec<String> {
        let listed = end(&mut self
            .desk
            .nacre_at(ARCHIVES[archive], &["list", volume, "--json"]));
        if listed.code == 1 && listed.out.contains("has no volume") {
            return Vec::new();
        }
        assert_eq!(listed.code, 0, "{listed:?}");
        let name = |line: &str| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            value["session"].as_str().unwrap().to_owned()
        };
        listed.out.lines().map(name).collect()
    }
}

/// Each chunk is that of one of them.
fn assert_part(part: &[u8], known: &[&[u8]]) {
    let piece = |bytes: &[u8], at: usize, length: usize| {
        let there = bytes.get(at..).unwrap_or(&[]);
        let mut piece = there[..there.len().min(length)].to_vec();
        piece.resize(length, 0);
        piece
    };
    for at in (0..part.len()).step_by(CHUNK) {
        let length = CHUNK.min(part.len() - at);
        let found = &part[at..at + length];
        let is_known = known.iter().any(|bytes| piece(bytes, at, length) == found);
        assert!(
            is_known,
            "the unfinished session has something else at {at}"
        );
    }
}
