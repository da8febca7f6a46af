//! Brings the content of volumes from the archive to where qubesd wants it.

use std::fs::File;
use std::path::PathBuf;

use super::super::end::sentence;
use super::super::opening::{open_archive, retried};
use super::super::receive::tell_damage;
use super::goal::{Near, open_fresh};
use super::saved::Source;
use crate::archive::{Archive, Damage, Error, Result, Sessions};
use crate::joints::qubes::ImportPlace;
use crate::joints::{Activity, Outcome, Progress, RestoreGoal, Task, VolumeSummary};
use crate::qubes::restore::{self as plan, Content};
use crate::report::text;
use crate::restore::{self, Compare, RestoreOptions, Watch};

/// The archive as a source of content.
pub struct FromArchive<'a> {
    source: Source<'a>,
    /// The archive as it is since another writer gave away what was being read.
    anew: Option<(Archive, Sessions)>,
    skip_corrupt: bool,
    near: Option<PathBuf>,
    summaries: Vec<VolumeSummary>,
    failed: Option<Error>,
}

impl<'a> FromArchive<'a> {
    /// Content of an open archive. `skip_corrupt`: what is damaged is left out and named.
    pub fn new(source: Source<'a>, skip_corrupt: bool) -> Self {
        Self {
            source,
            anew: None,
            skip_corrupt,
            near: None,
            summaries: Vec::new(),
            failed: None,
        }
    }

    /// The same where a volume near by, at this path, may hold much of it.
    #[must_use]
    pub fn near(self, near: Option<PathBuf>) -> Self {
        Self { near, ..self }
    }

    /// What was written, and the gravest error of the archive.
    pub fn into_results(self) -> (Vec<VolumeSummary>, Option<Error>) {
        (self.summaries, self.failed)
    }

    fn task(
        &mut self,
        content: &Content,
        work: impl Fn(&Self, &Progress) -> Result<Damage>,
    ) -> Result<(), String> {
        let mut summary = None;
        let result = retried(self.source.world, || {
            let (result, of_attempt) = self.attempt(content, &work);
            summary = Some(of_attempt);
            if matches!(result, Err(Error::Outrun)) && !content.unfinished {
                let archive = open_archive(self.source.world)?;
                let sessions = archive.sessions()?;
                self.anew = Some((archive, sessions));
            }
            result
        });
        self.summaries.extend(summary);
        match result {
            Ok(damage) if damage.is_empty() => Ok(()),
            Ok(damage) => {
                tell_damage(
                    self.source.world,
                    &content.volume,
                    &content.session,
                    &damage,
                );
                let lost = format!("{} of it are lost", text::size(damage.bytes()));
                self.fail(Error::Lost(lost.clone()));
                if self.skip_corrupt {
                    return Ok(());
                }
                Err(format!(
                    "{lost}; --skip-corrupt-chunks restores everything else"
                ))
            }
            Err(error) => {
                let sentence = sentence(&error);
                self.fail(error);
                Err(sentence.trim_end_matches('.').to_owned())
            }
        }
    }

    fn attempt(
        &self,
        content: &Content,
        work: impl Fn(&Self, &Progress) -> Result<Damage>,
    ) -> (Result<Damage>, VolumeSummary) {
        let monitor = self.source.world.monitor();
        let progress = monitor.begin(&Task {
            activity: Activity::Receive,
            volume: content.volume.clone(),
            total: Some(content.size),
        });
        let result = self
            .is_the_same(content)
            .and_then(|()| work(self, &progress));
        let outcome = match &result {
            Ok(damage) if damage.is_empty() => Outcome::Done,
            Ok(damage) => Outcome::Partly(format!("{} lost", text::size(damage.bytes()))),
            Err(error) => Outcome::Failed(error.to_string()),
        };
        monitor.end(&progress, &outcome);
        let summary = VolumeSummary {
            volume: content.volume.clone(),
            size: content.size,
            outcome,
            counts: progress.counts(),
        };
        (result, summary)
    }

    /// A name in the plan means the volume that it was made with, whoever has the name by now.
    fn is_the_same(&self, content: &Content) -> Result<()> {
        let of_name = |archive: &Archive| archive.head().volume(&content.volume).map(|v| v.id);
        if of_name(self.source().archive) == of_name(self.source.archive) {
            return Ok(());
        }
        Err(Error::refused(
            format!("volume {} was renamed or deleted meanwhile", content.volume),
            "Run the same command again.",
        ))
    }

    /// What is read from now.
    fn source(&self) -> Source<'_> {
        match &self.anew {
            Some((archive, sessions)) => Source {
                archive,
                sessions,
                ..self.source
            },
            None => self.source,
        }
    }

    fn fail(&mut self, error: Error) {
        let graver = self
            .failed
            .as_ref()
            .is_none_or(|known| known.severity() < error.severity());
        if graver {
            self.failed = Some(error);
        }
    }

    fn write_to(
        &self,
        content: &Content,
        goal: Box<dyn RestoreGoal>,
        progress: &Progress,
    ) -> Result<Damage> {
        let source = self.source();
        let (volume, version) = source.version(content)?;
        let world = source.world;
        let options = RestoreOptions {
            threads: world.threads(),
            compare: if self.near.is_some() {
                Compare::BeforeFetch
            } else {
                Compare::Nothing
            },
        };
        let watch = Watch {
            progress,
            stop: world.stop(),
        };
        let archive = source.archive;
        let ids = archive.volume_ids(volume);
        let nodes = archive.nodes();
        let report = restore::restore(&nodes, &ids, version, goal.as_ref(), options, watch);
        let report = archive.unless_given_away(report, |report| !report.damage.is_empty())?;
        if report.damage.is_empty() || self.skip_corrupt {
            goal.finish()?;
        }
        Ok(report.damage)
    }
}

impl plan::Contents for FromArchive<'_> {
    fn write(
        &mut self,
        _qube: &str,
        _volume: &str,
        content: &Content,
        place: &ImportPlace,
    ) -> Result<(), String> {
        if place.size != content.size {
            return Err(format!(
                "qubesd made room for {} bytes, and it has {}",
                place.size, content.size
            ));
        }
        self.task(content, |this, progress| {
            let fresh = open_fresh(place)?;
            let near = this.near.as_deref().and_then(|path| File::open(path).ok());
            let goal: Box<dyn RestoreGoal> = match near {
                Some(near) => Box::new(Near::new(fresh, near)),
                None => fresh,
            };
            this.write_to(content, goal, progress)
        })
    }

    fn import(&mut self, qube: &str, volume: &str, content: &Content) -> Result<(), String> {
        if self.skip_corrupt {
            // The service takes the bytes in their order, and is to have all of them or none.
            self.source.world.monitor().warning(&format!(
                "volume {}: qubesd only takes it through its import service, which takes no volume with gaps: --skip-corrupt-chunks does nothing for it",
                content.volume
            ));
        }
        self.task(content, |this, progress| {
            super::stream::import(&this.source(), qube, volume, content, progress)
        })
    }

    fn stopped(&self) -> bool {
        let stop = self.source.world.stop();
        stop.load(std::sync::atomic::Ordering::Relaxed)
    }
}
