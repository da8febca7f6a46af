//! All processors, for searches that take long.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Does something with all of them, as many at a time as there are processors.
pub fn on_all_processors<T: Sync>(all: &[T], work: impl Fn(usize, &T) + Sync) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(one) = all.get(at) else {
                        return;
                    };
                    work(at, one);
                }
            });
        }
    });
}
