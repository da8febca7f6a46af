//! What a command has reached, and how it is let go at the end, whatever the end is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::world::{Ground, World};
use crate::admin;
use crate::archive::{Error, Result};
use crate::backup_qube::{Around, BackupQube, Choice, Port, Trouble, Wanted};
use crate::cli::{BlockPort, Exit, Target};
use crate::joints::qubes::BlockDevice;
use crate::joints::{StateDir, StoreError, StoreErrorKind};
use crate::store::Client;

/// How long a disk may take until everything is on it and it is unmounted.
const UNMOUNTING: Duration = Duration::from_secs(180);
/// How long any other helper may take to end.
const FAREWELL: Duration = Duration::from_secs(5);
/// Longest text that tells a disk from others.
const IDENTITY: usize = 2000;

/// A target in use.
struct Reached {
    target: Target,
    /// The helper that was called last; `None` where none has been, or none has begun to work.
    client: Option<Arc<Client>>,
    /// Whether the last helper has ended so that nobody knows what it leaves.
    lost: bool,
    qube: Option<BackupQube>,
    /// The qube that the disk hangs on, where the user named it and it is another.
    owner: Option<BackupQube>,
}

/// All targets of a command.
#[derive(Default)]
pub struct AllReached(Mutex<Vec<Reached>>);

impl AllReached {
    fn lock(&self) -> MutexGuard<'_, Vec<Reached>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What it takes to reach a target, now and again.
pub struct Aim {
    /// Where to.
    pub target: Target,
    /// The block device that the user named.
    pub usb_device: Option<BlockPort>,
    /// The world around.
    pub ground: Ground,
    /// Where what was reached is kept until the end.
    pub all: Arc<AllReached>,
}

impl Aim {
    /// Reaches the target by `call`: its qube runs and has the disk when that is called. A target that was reached before is reached anew.
    pub fn reach(&self, call: &dyn Fn() -> Result<Client, StoreError>) -> Result<Arc<Client>> {
        let mut all = self.all.lock();
        let before = all.iter().position(|one| one.target == self.target);
        let mut one = match before {
            Some(at) => all.swap_remove(at),
            None => Reached {
                target: self.target.clone(),
                client: None,
                lost: false,
                qube: join(&self.ground, &self.target)?,
                owner: join_owner(self)?,
            },
        };
        // Also one that could not be reached is let go at the end.
        let client = one.open(self, call);
        all.push(one);
        client
    }

    /// Ends a helper that is of no use any more, so that nothing is held twice when the next is called.
    pub fn give_up(&self) {
        let mut all = self.all.lock();
        let before = all.iter_mut().find(|one| one.target == self.target);
        if let Some(client) = before.and_then(|one| one.client.take()) {
            let _ = client.finish(Duration::ZERO);
        }
    }
}

/// Lets everything go: helpers end, disks are unmounted and detached, qubes that were started are shut down. What was not put away in order
/// is told, and a command that thought it had done all has not.
pub fn let_go(world: &World<'_>, exit: Exit) -> Exit {
    let mut all = std::mem::take(&mut *world.reached.lock());
    let mut end = exit;
    while let Some(one) = all.pop() {
        if !one.let_go(world, exit) && end == Exit::Done {
            end = Exit::Part;
        }
    }
    end
}

/// What told the disk with that file system from others when it was attached last.
fn known_disk(ground: &Ground, uuid: &str) -> Result<Option<String>> {
    let known = ground.disks()?.read(uuid, IDENTITY)?;
    Ok(known.and_then(|bytes| String::from_utf8(bytes).ok()))
}

/// Takes part in the use of the target's qube. Outside of dom0 there is none that could be started.
fn join(ground: &Ground, target: &Target) -> Result<Option<BackupQube>> {
    let (Target::Qubes(qube, _) | Target::QubesSsh(qube, ..) | Target::QubesUsb(qube, ..)) = target
    else {
        return Ok(None);
    };
    if !admin::is_here() {
        return Ok(None);
    }
    join_qube(ground, &qube.0).map(Some)
}

/// The same for the USB qube of a disk, which may be halted as well.
fn join_owner(aim: &Aim) -> Result<Option<BackupQube>> {
    let (Target::QubesUsb(qube, ..), Some(device)) = (&aim.target, &aim.usb_device) else {
        return Ok(None);
    };
    if device.qube == *qube || !admin::is_here() {
        return Ok(None);
    }
    join_qube(&aim.ground, &device.qube.0).map(Some)
}

fn join_qube(ground: &Ground, name: &str) -> Result<BackupQube> {
    let leases = ground.leases()?;
    let joined = BackupQube::join(Arc::new(admin::here()), name, leases.path());
    joined.map_err(in_words)
}

impl Reached {
    fn open(
        &mut self,
        aim: &Aim,
        call: &dyn Fn() -> Result<Client, StoreError>,
    ) -> Result<Arc<Client>> {
        // The one before has failed, or is only kept until the archive is open anew.
        self.client = None;
        let Some(qube) = &self.qube else {
            return self.call(call);
        };
        qube.bring_up(around(&aim.ground)).map_err(in_words)?;
        let uuid = match &self.target {
            Target::QubesUsb(_, uuid, _) if qube.disk().is_none() => uuid.0.to_ascii_lowercase(),
            _ => return self.call(call),
        };
        let known = known_disk(&aim.ground, &uuid)?;
        let told = aim.usb_device.as_ref().map(|device| Port {
            backend: device.qube.0.clone(),
            port: device.port.clone(),
        });
        let wanted = Wanted {
            told: told.as_ref(),
            identity: known.as_deref(),
        };
        let around_here = around(&aim.ground);
        let halted = self.owner.as_ref().filter(|owner| !owner.runs());
        let chosen = match halted {
            Some(owner) => {
                owner.bring_up(around_here).map_err(in_words)?;
                qube.choose_in_time(wanted, around_here)
            }
            None => qube.choose(wanted),
        };
        let device = match chosen.map_err(in_words)? {
            Choice::There => return self.call(call),
            Choice::Attach(device) => device,
            Choice::LookFirst(other) => match self.call(call) {
                Err(Error::Store(error)) if error.kind == StoreErrorKind::Unreachable => {
                    other.map_err(in_words)?
                }
                opened => return opened,
            },
        };
        let client = self.attach(aim, &device, call)?;
        if !device.identity.is_empty() && known.as_ref() != Some(&device.identity) {
            aim.ground
                .disks()?
                .replace(&uuid, device.identity.as_bytes())?;
        }
        Ok(client)
    }

    fn attach(
        &mut self,
        aim: &Aim,
        device: &BlockDevice,
        call: &dyn Fn() -> Result<Client, StoreError>,
    ) -> Result<Arc<Client>> {
        if let Some(qube) = &mut self.qube {
            qube.attach(device, around(&aim.ground)).map_err(in_words)?;
        }
        self.call(call)
    }

    fn call(&mut self, call: &dyn Fn() -> Result<Client, StoreError>) -> Result<Arc<Client>> {
        match call() {
            Ok(client) => {
                let client = Arc::new(client);
                self.lost = false;
                self.client = Some(Arc::clone(&client));
                Ok(client)
            }
            Err(error) => {
                self.lost = !never_mounted(&error);
                Err(error.into())
            }
        }
    }

    /// Whether all is in order.
    fn let_go(self, world: &World<'_>, exit: Exit) -> bool {
        let is_disk = matches!(self.target, Target::QubesUsb(..) | Target::Usb(..));
        let patience = if is_disk { UNMOUNTING } else { FAREWELL };
        let ended = self.client.map(|client| client.finish(patience));
        let mut well = true;
        if let (true, Some(Err(error))) = (is_disk, &ended) {
            well = false;
            let advice = if exit == Exit::Done {
                "What was stored is on it; see that nothing uses it before you pull it out."
            } else {
                "If it was pulled out, put it in again and run the same command again: what was committed is on it. Otherwise \
                 see that nothing uses it before you pull it out."
            };
            let text = format!(
                "{}: nobody knows whether the disk is unmounted: {error}. {advice}",
                self.target
            );
            // Whoever has a failed command before him knows more already.
            if exit == Exit::Done {
                world.monitor().error(&text);
            } else {
                world.monitor().warning(&text);
            }
        }
        if let Some(qube) = self.qube {
            let ground = world.ground();
            qube.leave(well && !self.lost, around(&ground));
        }
        // After the disk was taken back. That a disk of its own is still lent qubesd says itself.
        if let Some(owner) = self.owner {
            owner.leave(true, around(&world.ground()));
        }
        well
    }
}

/// Whether the helper has answered that it serves nothing, which it does only after it has unmounted, or has never run.
fn never_mounted(error: &StoreError) -> bool {
    matches!(
        error.kind,
        StoreErrorKind::NoArchive
            | StoreErrorKind::Refused
            | StoreErrorKind::Unsupported
            | StoreErrorKind::Unreachable
            | StoreErrorKind::NotInstalled
            | StoreErrorKind::Denied
    )
}

fn around(ground: &Ground) -> Around<'_> {
    Around {
        monitor: ground.monitor(),
        stop: ground.stop(),
    }
}

fn in_words(trouble: Trouble) -> Error {
    match trouble {
        Trouble::Told { sentence, remedy } => Error::refused(sentence, remedy),
        Trouble::Interrupted => Error::Interrupted,
    }
}
