//! What becomes of sessions and volumes in the archive between two sends: forgotten, deleted, renamed. The snapshots here know nothing of it. What goes
//! is read back before.

use nacre_tests::desk::end;

use crate::rounds::{ARCHIVES, Kept, Rounds};

impl Rounds<'_> {
    pub fn keep_house(&mut self, archive: usize) {
        let volume = self.volume();
        let sessions = self.of_volume(archive, volume);
        match (self.random.below(20), sessions.len()) {
            (0 | 1, 2..) => {
                let one = self.random.index(sessions.len() - 1);
                self.forget(archive, volume, &sessions[one]);
            }
            (2, 2..) => {
                let all_before = sessions[sessions.len() - 1].clone();
                println!("forget all before {all_before} of {volume}");
                let goes = |kept: &Kept| kept.volume == volume && kept.session != all_before;
                self.read_back(archive, goes);
                let session = format!("--session={all_before}");
                let prune = ["prune", volume, &session, "--all-before", "--force"];
                self.manage(archive, &prune);
                self.kept[archive].retain(|kept| !goes(kept));
                self.tally.forgotten += sessions.len() - 1;
            }
            (3, 1..) => self.delete(archive, volume),
            (4, 1..) => self.exchange_names(archive),
            _ => {}
        }
    }

    /// A command that does not look at local storage.
    fn manage(&self, archive: usize, arguments: &[&str]) {
        let ended = end(&mut self.desk.nacre_at(ARCHIVES[archive], arguments));
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
    }

    /// One session, perhaps in two attempts.
    fn forget(&mut self, archive: usize, volume: &'static str, session: &str) {
        println!("forget {session} of {volume} in {}", ARCHIVES[archive]);
        let goes = |kept: &Kept| kept.volume == volume && kept.session == session;
        self.read_back(archive, goes);
        let named = format!("--session={session}");
        let prune = ["prune", volume, &named, "--force"];
        if self.random.below(2) == 0 {
            let command = self.desk.nacre_at(ARCHIVES[archive], &prune);
            self.is_killed("prune", &command);
        }
        let is_there = |rounds: &Self| {
            let listed = rounds.sessions(archive, volume);
            listed.iter().any(|name| name == session)
        };
        if is_there(self) {
            self.manage(archive, &prune);
            assert!(!is_there(self), "it is still there");
        }
        self.kept[archive].retain(|kept| !goes(kept));
        self.tally.forgotten += 1;
    }

    /// With its snapshots here or without.
    fn delete(&mut self, archive: usize, volume: &'static str) {
        let with_snapshots = self.random.below(2) == 0;
        println!("delete {volume}, snapshots too: {with_snapshots}");
        self.read_back(archive, |kept| kept.volume == volume);
        let delete = ["delete", volume, "--force"];
        if with_snapshots {
            self.done(archive, &delete);
        } else {
            self.manage(archive, &delete);
        }
        self.kept[archive].retain(|kept| kept.volume != volume);
        self.parts[archive].remove(volume);
        self.tally.deleted += 1;
    }

    /// Each volume of the archive gets the other's name: what is sent under it from now on belongs to what was the other's.
    fn exchange_names(&mut self, archive: usize) {
        let [one, other] = self.place.volumes();
        if [one, other]
            .iter()
            .any(|volume| self.newest(archive, volume).is_none())
        {
            return;
        }
        println!("exchange the names of both in {}", ARCHIVES[archive]);
        for (from, to) in [(one, "between"), (other, one), ("between", other)] {
            self.manage(archive, &["rename", from, to]);
        }
        let exchanged = |name: &'static str| if name == one { other } else { one };
        for kept in &mut self.kept[archive] {
            kept.volume = exchanged(kept.volume);
        }
        let parts = std::mem::take(&mut self.parts[archive]);
        let exchange = parts
            .into_iter()
            .map(|(name, part)| (exchanged(name), part));
        self.parts[archive] = exchange.collect();
        self.tally.renamed += 1;
    }
}
