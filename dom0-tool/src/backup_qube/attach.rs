//! Giving the disk to the qube, and taking it back.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::choose::{Offer, choose, named};
use super::{Around, BackupQube, Choice, LOOKING, Port, Trouble, Wanted};
use crate::joints::qubes::{BlockDevice, QubeClass, RegistryErrorKind};

/// How long a named disk may take until its qube tells of it.
const APPEARING: Duration = Duration::from_secs(10);
/// How long a detached disk may still be told as attached.
const GOING: Duration = Duration::from_secs(15);

impl BackupQube {
    /// Looks at what running qubes offer and decides which device it is.
    pub fn choose(&self, wanted: Wanted<'_>) -> Result<Choice, Trouble> {
        let (mut devices, mut users) = (Vec::new(), Vec::new());
        for row in self.registry.list()? {
            // What dom0 has is not given to a backup qube without being asked.
            if row.halted || row.class == QubeClass::Admin {
                continue;
            }
            // Of a qube that is going away, or of a class without devices, there is nothing to be had.
            let attached = self.registry.attached_blocks(&row.name).unwrap_or_default();
            users.extend(
                attached
                    .into_iter()
                    .map(|device| (device, row.name.clone())),
            );
            devices.extend(self.registry.block_devices(&row.name).unwrap_or_default());
        }
        let own = |device: &BlockDevice| device.backend == self.name;
        let has_disks = devices.iter().any(own) || users.iter().any(|(_, user)| *user == self.name);
        let offers: Vec<Offer> = devices
            .into_iter()
            .filter(|device| !own(device))
            .map(|device| Offer {
                user: users
                    .iter()
                    .find(|(used, _)| Port::of(used).is(&device))
                    .map(|(_, user)| user.clone()),
                device,
            })
            .collect();
        choose(&self.name, &offers, has_disks, wanted)
    }

    /// The same; a device that the user named is waited for a little: a USB qube that was just started finds its disks one by one.
    pub fn choose_in_time(
        &self,
        wanted: Wanted<'_>,
        around: Around<'_>,
    ) -> Result<Choice, Trouble> {
        let deadline = Instant::now() + APPEARING;
        loop {
            let chosen = self.choose(wanted);
            let absent = wanted.told.is_some_and(|port| !self.is_offered(port));
            if !absent || Instant::now() >= deadline {
                return chosen;
            }
            if around.stop.load(Ordering::Relaxed) {
                return Err(Trouble::Interrupted);
            }
            std::thread::sleep(LOOKING);
        }
    }

    fn is_offered(&self, port: &Port) -> bool {
        let devices = self.registry.block_devices(&port.backend);
        devices.is_ok_and(|devices| devices.iter().any(|device| port.is(device)))
    }

    /// Attaches a disk. The qube must run.
    pub fn attach(&mut self, device: &BlockDevice, around: Around<'_>) -> Result<(), Trouble> {
        let (name, port) = (&self.name, Port::of(device));
        around
            .monitor
            .note(&format!("attaching disk {} to qube {name}", named(device)));
        self.registry.attach_block(name, device).map_err(|error| {
            Trouble::told(
                format!("disk {port} cannot be attached to qube {name}: {error}"),
                format!("`qvm-block attach {name} {port}` may tell more."),
            )
        })?;
        self.disk = Some(device.clone());
        self.change_record(|record| {
            if !record.attached.contains(&port) {
                record.attached.push(port);
            }
        })
    }

    /// The disk that this run attached.
    pub fn disk(&self) -> Option<&BlockDevice> {
        self.disk.as_ref()
    }

    /// Ends the use: the last one takes back what runs attached, and shuts the qube down if a run started it. `unmounted`: the helper
    /// has ended and said that the disk may go. Whatever cannot be done is told.
    pub fn leave(mut self, unmounted: bool, around: Around<'_>) {
        if let Err(Trouble::Told { sentence, remedy }) = self.put_away(unmounted, around) {
            let text = format!("qube {}: {sentence}. {remedy}", self.name);
            around.monitor.warning(text.trim());
        }
    }

    fn put_away(&mut self, unmounted: bool, around: Around<'_>) -> Result<(), Trouble> {
        let kept = self.disk.take().filter(|_| !unmounted);
        if let Some(disk) = &kept {
            self.change_record(|record| record.attached.retain(|port| !port.is(disk)))?;
        }
        let record = self.record()?;
        let last = self.lease.is_last();
        let last = last.map_err(|error| Trouble::told(error.to_string(), ""))?;
        let ends = last && record.started;
        if let Some(disk) = &kept {
            self.tell_kept(disk, ends, around);
        }
        if !last {
            if !record.is_idle() {
                let text = format!(
                    "another run of nacre uses qube {}, and puts it away",
                    self.name
                );
                around.monitor.note(&text);
            }
            return Ok(());
        }
        for port in &record.attached {
            self.detach(port, around);
        }
        // Before the qube goes: what a killed run leaves is its record.
        self.change_record(|record| *record = super::Record::default())?;
        if ends {
            self.shut_down(around);
        }
        Ok(())
    }

    fn tell_kept(&self, disk: &BlockDevice, ends: bool, around: Around<'_>) {
        let (name, port) = (&self.name, Port::of(disk));
        let text = if ends {
            format!(
                "disk {port} is left to qube {name}, for nobody said that it is unmounted: do not pull it out before {name} has shut down."
            )
        } else {
            format!(
                "disk {port} stays attached to qube {name}, for nobody said that it is unmounted. When nothing there uses it, type \
                 `qvm-block detach {name} {port}`, then pull it out."
            )
        };
        around.monitor.warning(&text);
    }

    /// Takes a disk back and waits until it is gone.
    fn detach(&self, port: &Port, around: Around<'_>) {
        let name = &self.name;
        let device = BlockDevice {
            backend: port.backend.clone(),
            port: port.port.clone(),
            identity: String::new(),
            description: String::new(),
        };
        let there = || {
            let attached = self.registry.attached_blocks(name);
            attached.map(|attached| attached.iter().any(|other| port.is(other)))
        };
        let done = match self.registry.detach_block(name, &device) {
            // Pulled out already: then qubesd has forgotten it.
            Err(error) if error.kind != RegistryErrorKind::TimedOut && there() == Ok(false) => {
                return;
            }
            other => other,
        };
        let deadline = Instant::now() + GOING;
        while done.is_ok() && there() == Ok(true) && Instant::now() < deadline {
            std::thread::sleep(LOOKING);
        }
        let why = match (done, there()) {
            (Ok(()), Ok(false)) => {
                let text = format!("disk {port} is unmounted and detached: it may be pulled out");
                return around.monitor.note(&text);
            }
            (Ok(()), Ok(true)) => "it is told as attached still".to_owned(),
            (Err(error), _) | (_, Err(error)) => error.to_string(),
        };
        around.monitor.warning(&format!(
            "disk {port} is unmounted but could not be detached from qube {name}: {why}. Type `qvm-block detach {name} {port}`."
        ));
    }
}
