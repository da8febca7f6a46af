//! One volume as a stream of bytes, from its first to its last, for programs that take it by a pipe.

use std::sync::atomic::Ordering;

use nacre_core::hash::ChunkIdKey;
use nacre_core::node::ChunkEntry;
use nacre_core::place::TreeKind;
use nacre_core::tree::Walk;

use super::run::{Version, Watch};
use crate::archive::{ChunkReader, Error, Nodes, Result, Task};
use crate::joints::Counts;

/// Chunks that are fetched together.
const TOGETHER: usize = 16;

/// Hands the whole content to `out`, zeros included, every chunk checked against its id. What is damaged ends it: behind a gap nothing
/// would be in its place.
pub fn stream(
    nodes: &Nodes,
    ids: &ChunkIdKey,
    version: Version,
    watch: Watch<'_>,
    out: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let chunk_size = nodes.format().chunk_size();
    let chunks = version.size.div_ceil(chunk_size as u64);
    let mut stream = Stream {
        reader: ChunkReader::new(nodes, ids, chunk_size),
        zeros: vec![0; chunk_size],
        next: 0,
        size: version.size,
        watch,
        out,
    };
    let mut walk = Walk::new(TreeKind::Chunks, &version.root, 0..chunks);
    let mut source = nodes;
    while let Some(batch) = walk.next(&mut source)? {
        let entries = batch.entries::<ChunkEntry>();
        let entries: Vec<(u64, ChunkEntry)> = entries
            .map(|(chunk, entry)| (chunk, entry.clone()))
            .collect();
        for task in entries.chunks(TOGETHER) {
            stream.task(task.to_vec())?;
        }
    }
    stream.zeros_to(chunks)
}

struct Stream<'a> {
    reader: ChunkReader<'a>,
    zeros: Vec<u8>,
    /// The chunk that comes next.
    next: u64,
    size: u64,
    watch: Watch<'a>,
    out: &'a mut dyn FnMut(&[u8]) -> Result<()>,
}

impl Stream<'_> {
    fn task(&mut self, task: Task) -> Result<()> {
        let mut contents: Vec<(u64, Vec<u8>)> = Vec::with_capacity(task.len());
        let mut counts = Counts::default();
        self.reader.read(&task, &mut |chunk, content, fetched| {
            counts.fetched += fetched;
            contents.push((chunk, content?.to_vec()));
            Ok(())
        })?;
        self.watch.progress.add(counts);
        for (chunk, content) in contents {
            self.zeros_to(chunk)?;
            self.chunk(&content)?;
        }
        Ok(())
    }

    /// Chunks of which the tree has no entry are zero.
    fn zeros_to(&mut self, chunk: u64) -> Result<()> {
        let zeros = std::mem::take(&mut self.zeros);
        while self.next < chunk {
            self.chunk(&zeros)?;
        }
        self.zeros = zeros;
        Ok(())
    }

    fn chunk(&mut self, content: &[u8]) -> Result<()> {
        if self.watch.stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let start = self.next.saturating_mul(content.len() as u64);
        let inside = usize::try_from(self.size.saturating_sub(start)).unwrap_or(usize::MAX);
        let inside = content.get(..inside).unwrap_or(content);
        (self.out)(inside)?;
        self.next += 1;
        self.watch.progress.add(Counts {
            scanned: inside.len() as u64,
            written: inside.len() as u64,
            ..Counts::default()
        });
        Ok(())
    }
}
