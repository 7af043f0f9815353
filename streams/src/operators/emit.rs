//! How the updates of a store reach the nodes below: at once, or at a flush.

use bytes::Bytes;

use crate::data::Item;
use crate::error::{ErrorKind, Result};
use crate::headers::Headers;
use crate::processor::{Change, Forward, InFlight, NodeInit, Origin, Part};
use crate::state::{Emitted, KeyValueState};

/// A key-value store that an operator keeps its result in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResultStore {
    pub(crate) index: usize,
    /// Somebody below asks for old values.
    pub(crate) sends_old: bool,
}

impl ResultStore {
    /// The store of this name, whose updates this node forwards.
    pub(crate) fn own(init: &mut NodeInit<'_>, name: &str, sends_old: bool) -> Result<Self> {
        Ok(ResultStore { index: init.own_store(name)?, sends_old })
    }

    /// Forwards the updates that wait, each under the context of its last write, in the order of these.
    pub(crate) fn flush<K: Item, V: Item>(self, out: &mut Forward<'_, '_, K, Change<V>>) -> Result<()> {
        let writes = self.store::<K, V, _>(out)?.pending_writes();
        while let Some(buffer) = self.store::<K, V, _>(out)?.take_pending(writes) {
            let emission = buffer.emission();
            let at = emission.context;
            let headers = match at.headers {
                [] => Headers::new(),
                encoded => Headers::from_encoded(Bytes::copy_from_slice(encoded)),
            };
            let origin = Origin {
                topic: at.topic,
                partition: at.partition,
                offset: at.offset,
                headers: at.headers,
                ..Origin::none()
            };
            let done = out.under(origin, |out| {
                let (stores, mut write) = out.context().stores(at.timestamp, at.headers);
                let store = stores.typed::<KeyValueState<K, V>>(self.index)?;
                store.log_emission(&emission, &mut write)?;
                let Emitted { key, new, old } = store
                    .read_emission(&emission, self.sends_old)
                    // What the store has written itself must be readable.
                    .map_err(|error| error.reworded(ErrorKind::Fatal, "flush"))?;
                let (new, timestamp) = match new {
                    Some((value, timestamp)) => (Some(value), timestamp),
                    None => (None, at.timestamp),
                };
                out.forward(InFlight {
                    key: Part::Owned(&mut Some(key)),
                    value: Part::Owned(&mut Some(Change::new(new, old))),
                    timestamp,
                    headers: &headers,
                })
            });
            self.store::<K, V, _>(out)?.put_back(buffer);
            done?;
        }
        Ok(())
    }

    fn store<'a, K: Item, V: Item, VO: 'static>(
        self,
        out: &'a mut Forward<'_, '_, K, VO>,
    ) -> Result<&'a mut KeyValueState<K, V>> {
        out.context().state.stores.typed(self.index)
    }
}
