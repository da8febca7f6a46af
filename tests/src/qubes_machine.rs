//! A machine with qubes: a double of qubesd, a reflink pool on a real file system, and the programs beside them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

use crate::desk::{Desk, Ended, end};
use crate::mounts::{FileSystem, Mounted};
use crate::qubesd::{Qube, Qubesd, Release, World};

/// Bytes of each volume.
pub const SIZE: u64 = 3 << 20;
/// The pool's name.
pub const POOL: &str = "varlibqubes";

/// The machine. Goes away when dropped.
pub struct Machine {
    /// Programs, key, archive.
    pub desk: Desk,
    /// The double.
    pub qubesd: Qubesd,
    mounted: Mounted,
}

impl Machine {
    /// A machine with the qubes that `fill` makes, whose lasting volumes are then laid into a reflink pool with content of their own. Why not,
    /// where this machine cannot mount one.
    pub fn new(
        release: Release,
        kind: FileSystem,
        fill: impl FnOnce(&mut World),
    ) -> Result<Self, String> {
        let mounted = Mounted::new(kind, 400)?;
        let mut world = World::new(release);
        fill(&mut world);
        let in_words = |error: io::Error| error.to_string();
        if let Some(pool) = world.pools.get_mut(POOL) {
            let place = mounted.path().display().to_string();
            pool.values.insert("dir_path".to_owned(), place);
        }
        let machine = Self {
            desk: Desk::new(),
            qubesd: Qubesd::start(World::new(release)),
            mounted,
        };
        for (name, qube) in &mut world.qubes {
            machine.lay(name, qube).map_err(in_words)?;
        }
        *machine.qubesd.world() = world;
        Ok(machine)
    }

    /// Puts a qube's lasting volumes into the pool.
    fn lay(&self, name: &str, qube: &mut Qube) -> io::Result<()> {
        let folder = match qube.class.as_str() {
            "TemplateVM" => "vm-templates",
            _ => "appvms",
        };
        let kept = qube.volumes.iter_mut();
        for (volume, state) in kept.filter(|(_, volume)| volume.save_on_stop && volume.rw) {
            POOL.clone_into(&mut state.pool);
            state.vid = format!("{folder}/{name}/{volume}");
            state.size = SIZE;
            let path = self.pool().join(format!("{}.img", state.vid));
            fs::create_dir_all(path.parent().unwrap_or(&path))?;
            let file = File::create(&path)?;
            file.set_len(SIZE)?;
            // Some bytes that no other volume has, and much of nothing.
            let mut content = vec![0; 300_000];
            blake3::Hasher::new()
                .update(state.vid.as_bytes())
                .finalize_xof()
                .fill(&mut content);
            file.write_all_at(&content, 1 << 20)?;
        }
        Ok(())
    }

    /// The pool's folder.
    pub fn pool(&self) -> PathBuf {
        self.mounted.path()
    }

    /// The file of a volume.
    pub fn image(&self, volume: &str) -> PathBuf {
        self.pool().join(volume)
    }

    /// A command of `nacre` on this machine, for an archive of the desk.
    pub fn nacre(&self, arguments: &[&str]) -> Command {
        let mut command = self.desk.nacre(arguments);
        command
            .env("NACRE_QUBESD", self.qubesd.folder())
            .env("TZ", "UTC");
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        end(&mut self.nacre(arguments))
    }

    /// Runs a command that must succeed.
    ///
    /// # Panics
    /// If it does not exit with 0.
    pub fn done(&self, arguments: &[&str]) -> Ended {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "nacre {arguments:?}: {ended:?}");
        ended
    }

    /// What the archive has of a volume in a session, or in its newest.
    ///
    /// # Panics
    /// If it cannot be restored.
    #[allow(clippy::expect_used, reason = "a test cannot go on without it")]
    pub fn restored(&self, volume: &str, session: &str) -> Vec<u8> {
        let path = self.desk.path("restored");
        let goal = format!("--save-to={}", path.display());
        let session = format!("--session={session}");
        self.done(&["receive", volume, &goal, &session, "--force"]);
        fs::read(&path).expect("what was restored")
    }
}
