//! How the updates of a store reach the nodes below: at once, or at a flush.

use std::sync::Arc;

use bytes::Bytes;

use crate::data::Item;
use crate::error::{Error, ErrorKind, Result};
use crate::headers::Headers;
use crate::processor::{Change, Forward, InFlight, NodeInit, Origin, Part};
use crate::state::ResultState;

/// A store that an operator keeps its result in.
pub(crate) struct ResultStore<K> {
    pub(crate) index: usize,
    /// Somebody below asks for old values.
    pub(crate) sends_old: bool,
    /// The topic that the update which is being forwarded came from.
    topic: Option<Arc<str>>,
    /// Its key. What nobody has taken is left for the next one's memory.
    key: Option<K>,
}

impl<K: Item> ResultStore<K> {
    /// The store of this name, whose updates this node forwards.
    pub(crate) fn own(init: &mut NodeInit<'_>, name: &str, sends_old: bool) -> Result<Self> {
        Ok(ResultStore { index: init.own_store(name)?, sends_old, topic: None, key: None })
    }

    /// Forwards the updates that wait, each under the context of its last write, in the order of these.
    pub(crate) fn flush<S>(&mut self, out: &mut Forward<'_, '_, K, Change<S::Value>>) -> Result<()>
    where
        S: ResultState<K, Value: Item>,
    {
        let writes = out.context().state.stores.typed::<S>(self.index)?.pending_writes();
        while self.emit_next::<S>(writes, out)? {}
        Ok(())
    }

    /// Forwards the next update among those written before `writes`; false if there is none.
    fn emit_next<S>(&mut self, writes: usize, out: &mut Forward<'_, '_, K, Change<S::Value>>) -> Result<bool>
    where
        S: ResultState<K, Value: Item>,
    {
        let (stores, mut write) = out.context().stores(-1, &[]);
        let store = stores.typed::<S>(self.index)?;
        if !store.take_pending(writes) {
            return Ok(false);
        }
        let Some(taken) = store.taken() else { return Ok(false) };
        store.log_emission(&taken, &mut write)?;
        // What the store has written itself must be readable.
        let broken = |error: Error| error.reworded(ErrorKind::Fatal, "flush");
        store.read_key(taken.key, &mut self.key).map_err(broken)?;
        let read = |row| store.read_row(row).map(|(value, _)| value).map_err(broken);
        let new = taken.new.map(read).transpose()?;
        let old = taken.old.filter(|_| self.sends_old).map(read).transpose()?;
        let timestamp = store.emission_time(&taken);
        let (partition, offset) = (taken.context.partition, taken.context.offset);
        let headers = match taken.context.headers {
            [] => Headers::new(),
            encoded => Headers::from_encoded(Bytes::copy_from_slice(encoded)),
        };
        if self.topic.as_ref() != taken.context.topic {
            self.topic = taken.context.topic.cloned();
        }
        let topic = self.topic.as_ref();
        let origin = Origin { topic, partition, offset, headers: headers.encoded(), ..Origin::none() };
        let change = &mut Some(Change::new(new, old));
        let (key, value) = (Part::Owned(&mut self.key), Part::Owned(change));
        out.under(origin, |out| out.forward(InFlight { key, value, timestamp, headers: &headers }))?;
        Ok(true)
    }
}
