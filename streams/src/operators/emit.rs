//! How the updates of a store reach the nodes below: at once, or at a flush.

use anabranch_state_store::Emission;
use bytes::Bytes;

use crate::data::Item;
use crate::error::{Error, ErrorKind, Result};
use crate::headers::Headers;
use crate::processor::{Change, Forward, InFlight, NodeInit, Origin, Part};
use crate::state::ResultState;

/// A store that an operator keeps its result in.
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
    pub(crate) fn flush<K, S>(self, out: &mut Forward<'_, '_, K, Change<S::Value>>) -> Result<()>
    where
        K: Item,
        S: ResultState<K, Value: Item>,
    {
        let ResultStore { index, sends_old } = self;
        let writes = out.context().state.stores.typed::<S>(index)?.pending_writes();
        while let Some(buffer) = out.context().state.stores.typed::<S>(index)?.take_pending(writes) {
            let done = emit::<K, S>(self, &buffer.emission(), sends_old, out);
            out.context().state.stores.typed::<S>(index)?.put_back(buffer);
            done?;
        }
        Ok(())
    }
}

fn emit<K, S>(
    store: ResultStore,
    emission: &Emission<'_>,
    sends_old: bool,
    out: &mut Forward<'_, '_, K, Change<S::Value>>,
) -> Result<()>
where
    K: Item,
    S: ResultState<K, Value: Item>,
{
    let at = &emission.context;
    let headers = match at.headers {
        [] => Headers::new(),
        encoded => Headers::from_encoded(Bytes::copy_from_slice(encoded)),
    };
    let (topic, partition, offset, headers_bytes) = (at.topic, at.partition, at.offset, at.headers);
    let origin = Origin { topic, partition, offset, headers: headers_bytes, ..Origin::none() };
    out.under(origin, |out| {
        let (stores, mut write) = out.context().stores(at.timestamp, at.headers);
        let store = stores.typed::<S>(store.index)?;
        store.log_emission(emission, &mut write)?;
        // What the store has written itself must be readable.
        let broken = |error: Error| error.reworded(ErrorKind::Fatal, "flush");
        let key = store.read_key(emission.key).map_err(broken)?;
        let new = emission.new.map(|row| store.read_row(row)).transpose().map_err(broken)?;
        let old =
            emission.old.filter(|_| sends_old).map(|row| store.read_row(row)).transpose().map_err(broken)?;
        let timestamp = store.emission_time(emission);
        let new = new.map(|(value, _)| value);
        let change = Change::new(new, old.map(|(value, _)| value));
        let (key, value) = (&mut Some(key), &mut Some(change));
        out.forward(InFlight {
            key: Part::Owned(key),
            value: Part::Owned(value),
            timestamp,
            headers: &headers,
        })
    })
}
