//! Restores into local storage: every way, whole or interrupted.

use nacre_tests::desk::{Ended, end};

use crate::rounds::{ARCHIVES, Kept, Rounds};

/// Ways of receiving.
const WAYS: [&[&str]; 8] = [
    &["--sparse"],
    &["--sparse-write"],
    &["--use-snapshot", "--req-snapshot"],
    &["--use-snapshot-diff", "--req-snapshot"],
    &["--use-snapshot"],
    &["--use-snapshot-diff"],
    &["--force"],
    &["--threads=1"],
];

impl Rounds<'_> {
    /// Any session of any archive, over its volume, over the other one, or under a new name.
    pub fn receive(&mut self) {
        let archive = self.random.index(2);
        let Some(kept) = self.any_session(archive) else {
            return;
        };
        let alias = self.place.alias();
        let goal = match self.random.below(6) {
            0 => self.volume(),
            1 | 2 => alias,
            _ => kept.volume,
        };
        let way = self.random.pick(&WAYS);
        self.receive_to(archive, &kept, goal, way);
        if goal == alias && self.random.below(2) == 0 && self.place.exists(alias) {
            self.place.remove(alias);
        }
    }

    /// The newest sessions more often than others: snapshots serve only them.
    fn any_session(&mut self, archive: usize) -> Option<Kept> {
        let kept = &self.kept[archive];
        if kept.is_empty() {
            return None;
        }
        let one = self.random.index(kept.len());
        let kept = kept[one].clone();
        if self.random.below(2) == 0 {
            return self.newest(archive, kept.volume).cloned();
        }
        Some(kept)
    }

    /// The newest session, by fetching everything.
    pub fn receive_calmly(&mut self, archive: usize, volume: &'static str) {
        let kept = self.newest(archive, volume).cloned().expect("a session");
        let ended = self.done(archive, &["receive", volume]);
        assert!(self.place.content(volume) == *kept.content, "{ended:?}");
    }

    fn receive_to(&mut self, archive: usize, kept: &Kept, goal: &str, way: &[&str]) {
        let session = format!("--session={}", kept.session);
        let list = self.desk.path("volumes.json");
        let renamed = format!(
            "{{{:?}: [[{:?}, {goal:?}]]}}",
            self.place.local(),
            kept.volume
        );
        std::fs::write(&list, renamed).unwrap();
        let from = if goal == kept.volume {
            format!("--local={}", self.place.local())
        } else {
            format!("--vols-from={}", list.display())
        };
        let mut arguments = vec!["receive", session.as_str(), from.as_str()];
        if goal == kept.volume {
            arguments.push(kept.volume);
        }
        arguments.extend(way);
        println!(
            "{arguments:?} {} as {goal} from {}",
            kept.volume, ARCHIVES[archive]
        );
        let mut command = self.desk.nacre_at(ARCHIVES[archive], &arguments);
        let before = self.place.exists(goal).then(|| self.place.content(goal));
        if self.random.below(2) == 0 && self.is_killed("receive", &command) {
            let in_place = way[0].starts_with("--sparse");
            if self.place.exists(goal) && !in_place {
                let now = self.place.content(goal);
                let old = before.as_ref() == Some(&now);
                assert!(
                    old || now == *kept.content,
                    "it is neither as before nor whole"
                );
            }
            println!("  … again");
        }
        let ended = end(&mut command);
        self.check_received(kept, goal, way, &ended, before);
    }

    fn check_received(
        &mut self,
        kept: &Kept,
        goal: &str,
        way: &[&str],
        ended: &Ended,
        before: Option<Vec<u8>>,
    ) {
        let now = self.place.exists(goal).then(|| self.place.content(goal));
        if way.contains(&"--req-snapshot") && ended.code == 1 {
            assert!(ended.err.contains("no local snapshot of"), "{ended:?}");
            println!("  … refused");
            // The run that was killed may have done it.
            let done = now.as_ref() == Some(&*kept.content);
            assert!(done || now == before, "refused, and changed");
            return;
        }
        assert_eq!(ended.code, 0, "{way:?}: {ended:?}");
        assert!(now.as_ref() == Some(&*kept.content), "{way:?}: {ended:?}");
        self.tally.received += 1;
    }
}
