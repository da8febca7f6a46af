//! The registry: each question and each change as one call, or a few.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use super::devices;
use super::parse::{self, Nonsense};
use super::socket::{Call, EXTERNAL_SOCKET, INTERNAL_SOCKET, Socket};
use crate::joints::qubes::{
    Assignment, BlockDevice, ImportPlace, NewQube, PoolInfo, Properties, QubeClass, QubeRegistry,
    QubeRow, QubeState, QubeVolume, RegistryError, RegistryErrorKind,
};

/// Where calls about the whole system go.
const SYSTEM: &str = "dom0";

/// qubesd.
#[derive(Debug)]
pub struct AdminApi {
    external: Socket,
    internal: Socket,
    /// Whether device calls are those of R4.2; known after the first.
    old_devices: OnceLock<bool>,
}

impl Default for AdminApi {
    fn default() -> Self {
        Self::at(Path::new(EXTERNAL_SOCKET), Path::new(INTERNAL_SOCKET))
    }
}

type Done<T> = Result<T, RegistryError>;

impl AdminApi {
    /// qubesd behind these sockets.
    pub fn at(external: &Path, internal: &Path) -> Self {
        Self::over(Socket::new(external), Socket::new(internal))
    }

    /// qubesd behind these sockets, with patience of their own.
    pub fn over(external: Socket, internal: Socket) -> Self {
        Self {
            external,
            internal,
            old_devices: OnceLock::new(),
        }
    }

    fn ask<T>(
        &self,
        target: &str,
        method: &str,
        argument: &str,
        read: impl FnOnce(&[u8]) -> Result<T, Nonsense>,
    ) -> Done<T> {
        let call = Call {
            method,
            argument,
            target,
            payload: b"",
        };
        let answer = self.external.call(&call)?;
        read(&answer).map_err(|what| call.nonsense(&what))
    }

    fn tell(&self, target: &str, method: &str, argument: &str, payload: &str) -> Done<()> {
        self.external
            .call(&Call {
                method,
                argument,
                target,
                payload: payload.as_bytes(),
            })
            .map(drop)
    }

    /// Device calls have other names on R4.2, where those of R4.3 are refused.
    fn has_old_devices(&self) -> Done<bool> {
        if let Some(known) = self.old_devices.get() {
            return Ok(*known);
        }
        let newer = self.ask(SYSTEM, "admin.vm.device.block.Assigned", "", |_| Ok(()));
        let old = match newer {
            Ok(()) => false,
            Err(error) if error.kind == RegistryErrorKind::Refused => true,
            Err(error) => return Err(error),
        };
        Ok(*self.old_devices.get_or_init(|| old))
    }
}

fn words(bytes: &[u8]) -> Result<Vec<String>, Nonsense> {
    Ok(parse::lines(bytes)?
        .into_iter()
        .map(str::to_owned)
        .collect())
}

fn whole(bytes: &[u8]) -> Result<String, Nonsense> {
    parse::text(bytes).map(str::to_owned)
}

/// `SIZE PATH`
pub(super) fn import_place(bytes: &[u8]) -> Result<ImportPlace, Nonsense> {
    let text = parse::text(bytes)?.trim_end_matches('\n');
    let (size, path) = text.split_once(' ').ok_or_else(|| text.to_owned())?;
    let size = size.parse().map_err(|_| text.to_owned())?;
    if !path.starts_with('/') {
        return Err(text.to_owned());
    }
    Ok(ImportPlace {
        size,
        path: path.to_owned(),
    })
}

impl QubeRegistry for AdminApi {
    fn list(&self) -> Done<Vec<QubeRow>> {
        self.ask(SYSTEM, "admin.vm.List", "", parse::qubes)
    }

    fn state(&self, qube: &str) -> Done<QubeState> {
        self.ask(qube, "admin.vm.CurrentState", "", parse::state)
    }

    fn properties(&self, qube: &str) -> Done<Properties> {
        self.ask(qube, "admin.vm.property.GetAll", "", parse::properties)
    }

    fn global_properties(&self) -> Done<Properties> {
        self.ask(SYSTEM, "admin.property.GetAll", "", parse::properties)
    }

    fn features(&self, qube: &str) -> Done<BTreeMap<String, String>> {
        let names = self.ask(qube, "admin.vm.feature.List", "", words)?;
        let mut features = BTreeMap::new();
        for name in names {
            match self.ask(qube, "admin.vm.feature.Get", &name, whole) {
                Ok(value) => drop(features.insert(name, value)),
                // Gone since it was listed.
                Err(error) if error.kind == RegistryErrorKind::NoSuchThing => {}
                Err(error) => return Err(error),
            }
        }
        Ok(features)
    }

    fn tags(&self, qube: &str) -> Done<Vec<String>> {
        self.ask(qube, "admin.vm.tag.List", "", words)
    }

    fn firewall(&self, qube: &str) -> Done<String> {
        self.ask(qube, "admin.vm.firewall.Get", "", whole)
    }

    fn notes(&self, qube: &str) -> Done<Option<String>> {
        match self.ask(qube, "admin.vm.notes.Get", "", whole) {
            Ok(notes) => Ok(Some(notes)),
            Err(error) if error.kind == RegistryErrorKind::Refused => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn volumes(&self, qube: &str) -> Done<Vec<QubeVolume>> {
        let names = self.ask(qube, "admin.vm.volume.List", "", words)?;
        let info = |name: &String| {
            self.ask(qube, "admin.vm.volume.Info", name, |bytes| {
                parse::volume(name, bytes)
            })
        };
        names.iter().map(info).collect()
    }

    fn assignments(&self, qube: &str) -> Done<Vec<Assignment>> {
        let old = self.has_old_devices()?;
        let mut all = Vec::new();
        for class in self.ask(SYSTEM, "admin.deviceclass.List", "", words)? {
            let call = if old { "List" } else { "Assigned" };
            let read = if old {
                devices::persistent
            } else {
                devices::assigned
            };
            let method = format!("admin.vm.device.{class}.{call}");
            all.extend(self.ask(qube, &method, "", |bytes| read(&class, bytes))?);
        }
        Ok(all)
    }

    fn labels(&self) -> Done<BTreeMap<String, String>> {
        let names = self.ask(SYSTEM, "admin.label.List", "", words)?;
        let colour = |name: String| {
            let colour = self.ask(SYSTEM, "admin.label.Get", &name, whole)?;
            Ok((name, colour))
        };
        names.into_iter().map(colour).collect()
    }

    fn pool(&self, name: &str) -> Done<PoolInfo> {
        let mut values = self.ask(SYSTEM, "admin.pool.Info", name, parse::values)?;
        Ok(PoolInfo {
            name: name.to_owned(),
            driver: values.remove("driver").unwrap_or_default(),
            values,
        })
    }

    fn pools(&self) -> Done<Vec<String>> {
        self.ask(SYSTEM, "admin.pool.List", "", words)
    }

    fn block_devices(&self, backend: &str) -> Done<Vec<BlockDevice>> {
        self.ask(backend, "admin.vm.device.block.Available", "", |bytes| {
            devices::blocks(backend, bytes)
        })
    }

    fn attached_blocks(&self, qube: &str) -> Done<Vec<BlockDevice>> {
        let call = if self.has_old_devices()? {
            "admin.vm.device.block.List"
        } else {
            "admin.vm.device.block.Attached"
        };
        self.ask(qube, call, "", |bytes| devices::blocks(qube, bytes))
    }

    fn create(&self, new: &NewQube) -> Done<()> {
        let method = if new.pools.is_empty() {
            format!("admin.vm.Create.{}", new.class.word())
        } else {
            format!("admin.vm.CreateInPool.{}", new.class.word())
        };
        let has_template = matches!(new.class, QubeClass::App | QubeClass::Disposable);
        let template = new.template.as_deref().filter(|_| has_template);
        let mut words = vec![format!("name={}", new.name), format!("label={}", new.label)];
        let pools = new.pools.iter();
        words.extend(pools.map(|(volume, pool)| format!("pool:{volume}={pool}")));
        let payload = words.join(" ");
        self.tell(SYSTEM, &method, template.unwrap_or_default(), &payload)
    }

    fn create_label(&self, name: &str, colour: &str) -> Done<()> {
        self.tell(SYSTEM, "admin.label.Create", name, colour)
    }

    fn remove(&self, qube: &str) -> Done<()> {
        self.tell(qube, "admin.vm.Remove", "", "")
    }

    fn set_property(&self, qube: &str, name: &str, value: &str) -> Done<()> {
        self.tell(qube, "admin.vm.property.Set", name, value)
    }

    fn reset_property(&self, qube: &str, name: &str) -> Done<()> {
        self.tell(qube, "admin.vm.property.Reset", name, "")
    }

    fn set_feature(&self, qube: &str, name: &str, value: &str) -> Done<()> {
        self.tell(qube, "admin.vm.feature.Set", name, value)
    }

    fn remove_feature(&self, qube: &str, name: &str) -> Done<()> {
        self.tell(qube, "admin.vm.feature.Remove", name, "")
    }

    fn add_tag(&self, qube: &str, tag: &str) -> Done<()> {
        self.tell(qube, "admin.vm.tag.Set", tag, "")
    }

    fn remove_tag(&self, qube: &str, tag: &str) -> Done<()> {
        self.tell(qube, "admin.vm.tag.Remove", tag, "")
    }

    fn set_firewall(&self, qube: &str, rules: &str) -> Done<()> {
        self.tell(qube, "admin.vm.firewall.Set", "", rules)
    }

    fn set_notes(&self, qube: &str, notes: &str) -> Done<()> {
        self.tell(qube, "admin.vm.notes.Set", "", notes)
    }

    fn set_revisions(&self, qube: &str, volume: &str, count: i64) -> Done<()> {
        let method = "admin.vm.volume.Set.revisions_to_keep";
        self.tell(qube, method, volume, &count.to_string())
    }

    fn assign(&self, qube: &str, device: &Assignment) -> Done<()> {
        let place = format!("{}+{}", device.backend, device.port);
        if self.has_old_devices()? {
            let method = format!("admin.vm.device.{}.Attach", device.class);
            return self.tell(qube, &method, &place, &devices::old_payload(device, true));
        }
        let id = if device.device.is_empty() {
            "*"
        } else {
            &device.device
        };
        let method = format!("admin.vm.device.{}.Assign", device.class);
        let argument = format!("{place}:{id}");
        self.tell(qube, &method, &argument, &devices::payload(device))
    }

    fn attach_block(&self, qube: &str, device: &BlockDevice) -> Done<()> {
        let assignment = Assignment {
            class: "block".to_owned(),
            backend: device.backend.clone(),
            port: device.port.clone(),
            device: String::new(),
            mode: "manual".to_owned(),
            options: BTreeMap::new(),
        };
        let payload = if self.has_old_devices()? {
            devices::old_payload(&assignment, false)
        } else {
            devices::payload(&assignment)
        };
        let argument = format!("{}+{}", device.backend, device.port);
        self.tell(qube, "admin.vm.device.block.Attach", &argument, &payload)
    }

    fn detach_block(&self, qube: &str, device: &BlockDevice) -> Done<()> {
        let argument = format!("{}+{}", device.backend, device.port);
        self.tell(qube, "admin.vm.device.block.Detach", &argument, "")
    }

    fn start(&self, qube: &str) -> Done<()> {
        match self.tell(qube, "admin.vm.Start", "", "") {
            // That it runs already is what was wanted.
            Err(error) if error.kind == RegistryErrorKind::NotHalted => Ok(()),
            other => other,
        }
    }

    fn shutdown(&self, qube: &str) -> Done<()> {
        self.tell(qube, "admin.vm.Shutdown", "", "")
    }

    fn import_begin(&self, qube: &str, volume: &str, size: u64) -> Done<ImportPlace> {
        let payload = size.to_string();
        let call = Call {
            method: "internal.vm.volume.ImportBegin",
            argument: volume,
            target: qube,
            payload: payload.as_bytes(),
        };
        let answer = self.internal.call(&call)?;
        import_place(&answer).map_err(|what| call.nonsense(&what))
    }

    fn import_end(&self, qube: &str, volume: &str, failure: Option<&str>) -> Done<()> {
        let payload = failure.map_or_else(|| "ok".to_owned(), |why| format!("fail\n{why}"));
        let call = Call {
            method: "internal.vm.volume.ImportEnd",
            argument: volume,
            target: qube,
            payload: payload.as_bytes(),
        };
        match self.internal.call(&call) {
            // Giving up is answered with the reason that was given.
            Err(error) if failure.is_some() && error.kind == RegistryErrorKind::Other => Ok(()),
            other => other.map(drop),
        }
    }
}
