//! Writes segments to the store in the order of the packs, whatever the order in which workers finish them.

use std::collections::BTreeMap;

use crossbeam_channel::{Receiver, Sender};
use nacre_core::object_name::ObjectName;

use super::failure::{Failure, Sticky};
use super::packer::Segment;
use crate::joints::{PendingPut, PutOutcome, PutStream, Store, StoreError, StoreErrorKind};

/// What reaches the sender.
pub enum Order {
    /// Bytes of a pack.
    Segment(Segment),
    /// There will be no more.
    Stop,
    /// Wait until the store has acknowledged every finished pack, then answer.
    Settle(Sender<()>),
}

/// Sends until told to stop. Empty buffers go back through `spent`.
pub fn run(store: &dyn Store, orders: &Receiver<Order>, spent: &Sender<Vec<u8>>, sticky: &Sticky) {
    let mut sending = Sending::new(store);
    for order in orders {
        match order {
            Order::Segment(segment) => {
                // After a failure segments are only drained, so that no worker waits for room in the queue.
                if !sticky.is_set()
                    && let Err(failure) = sending.take(segment, spent)
                {
                    sticky.set(failure);
                }
            }
            Order::Stop => return,
            Order::Settle(done) => {
                if let Err(failure) = sending.settle() {
                    sticky.set(failure.into());
                }
                // The one who asked may have given up.
                let _ = done.send(());
            }
        }
    }
}

struct Sending<'a> {
    store: &'a dyn Store,
    /// The pack being sent, and how far it got.
    pack: u64,
    offset: u64,
    stream: Option<(ObjectName, Box<dyn PutStream + 'a>)>,
    /// Segments that came before their turn.
    early: BTreeMap<(u64, u64), Segment>,
    /// Packs sent whole and not acknowledged yet.
    pending: Vec<(ObjectName, Box<dyn PendingPut>)>,
}

impl<'a> Sending<'a> {
    fn new(store: &'a dyn Store) -> Self {
        Self {
            store,
            pack: 0,
            offset: 0,
            stream: None,
            early: BTreeMap::new(),
            pending: Vec::new(),
        }
    }

    fn take(&mut self, segment: Segment, spent: &Sender<Vec<u8>>) -> Result<(), Failure> {
        self.early.insert((segment.pack, segment.offset), segment);
        while let Some(segment) = self.early.remove(&(self.pack, self.offset)) {
            self.write(&segment)?;
            // The pool may be full; then the buffer is simply dropped.
            let _ = spent.try_send(segment.bytes);
        }
        Ok(())
    }

    fn write(&mut self, segment: &Segment) -> Result<(), StoreError> {
        let name = ObjectName::Pack(segment.name);
        let (name, mut stream) = match self.stream.take() {
            Some(open) => open,
            None => (name, self.store.put_new(name)?),
        };
        stream.write(&segment.bytes)?;
        if segment.last {
            self.pending.push((name, stream.finish()?));
            self.pack += 1;
            self.offset = 0;
        } else {
            self.stream = Some((name, stream));
            self.offset += segment.bytes.len() as u64;
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<(), StoreError> {
        if let Some((name, _)) = &self.stream {
            // Nothing may be committed whose bytes did not all come this way.
            let detail = "a pack was not sent whole";
            return Err(StoreError::new(StoreErrorKind::Died, Some(*name), detail));
        }
        for (name, pending) in self.pending.drain(..) {
            if pending.wait()? == PutOutcome::Exists {
                // A fresh random name of 128 bits cannot be taken: somebody made it so.
                return Err(StoreError::new(
                    StoreErrorKind::Protocol,
                    Some(name),
                    "it says that a new pack is there already",
                ));
            }
        }
        Ok(())
    }
}
