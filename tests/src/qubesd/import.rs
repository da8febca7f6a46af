//! Replacing a volume's content: begun, written beside the old one, put in place or dropped.

use std::fs::File;

use super::answer::{Answer, Exception};
use super::world::World;
use super::{Request, thin};

/// The answer, or `None` for what is not allowed.
pub(super) fn answer(world: &mut World, request: &Request<'_>) -> Option<Answer> {
    let payload = std::str::from_utf8(request.payload).ok()?;
    match request.method {
        "internal.vm.volume.ImportBegin" => begin(world, request, payload),
        "internal.vm.volume.ImportEnd" => end(world, request, payload),
        _ => None,
    }
}

fn begin(world: &mut World, request: &Request<'_>, payload: &str) -> Option<Answer> {
    let folder = world.volumes_at.clone();
    let real = world.real_pools;
    let is_thin = |pool: &str| {
        let pool = world.pools.get(pool);
        pool.is_some_and(|pool| pool.driver == "lvm_thin")
    };
    let pool = world
        .qubes
        .get(request.target)?
        .volumes
        .get(request.argument)?;
    let is_thin = is_thin(&pool.pool);
    let qube = world.qubes.get_mut(request.target)?;
    if qube.running {
        return Some(Exception::not_halted(request.target).into());
    }
    let volume = qube.volumes.get_mut(request.argument)?;
    if !volume.save_on_stop {
        return None;
    }
    if is_thin && volume.importing.is_some() {
        let message = "Import operation in progress";
        return Some(Exception::new("StoragePoolException", message).into());
    }
    let size = if payload.is_empty() {
        volume.size
    } else {
        payload.trim().parse().ok()?
    };
    if real && is_thin {
        let path = thin::begin(&volume.vid, size)?;
        let answer = format!("{size} {}", path.display());
        volume.importing = Some(path);
        return Some(Answer::text(answer));
    }
    let path = folder?.join(format!("{}-{}-import", request.target, request.argument));
    File::create(&path)
        .and_then(|file| file.set_len(size))
        .ok()?;
    let answer = format!("{size} {}", path.display());
    volume.importing = Some(path);
    Some(Answer::text(answer))
}

fn end(world: &mut World, request: &Request<'_>, payload: &str) -> Option<Answer> {
    let volume = world
        .qubes
        .get_mut(request.target)?
        .volumes
        .get_mut(request.argument)?;
    let path = volume.importing.take()?;
    if path.starts_with("/dev") {
        thin::end(&volume.vid, payload == "ok")?;
        if payload == "ok" {
            return Some(Answer::done());
        }
    }
    if payload != "ok" {
        let reason = payload.strip_prefix("fail\n").unwrap_or(payload);
        // It may be gone already.
        let _ = std::fs::remove_file(path);
        let message = format!("Data import failed: {reason}");
        return Some(Exception::new("QubesException", message).into());
    }
    let count = volume.revisions.len();
    let new = path.with_file_name(format!("{}-{}.{count}", request.target, request.argument));
    std::fs::rename(&path, &new).ok()?;
    volume.size = std::fs::metadata(&new).ok()?.len();
    volume.revisions.extend(volume.file.replace(new));
    Some(Answer::done())
}
