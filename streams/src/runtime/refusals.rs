//! Records that a broker will never take: too large for their topic, of a time or with a key that it does not allow.
//!
//! The broker says so long after the record has left its node, and what was sent with it may count already. So what is not
//! committed is undone and done again, and this time the outbox knows: the node that writes such a record is told, and
//! `Streams::on_production_error` asked, as of one that cannot be serialised. What is dropped is so in the same
//! commit as all that belongs to it. (Kafka Streams asks its handler when the answer comes, with nothing undone; in a
//! transaction, which is lost by then, it stops.)

use std::sync::Arc;

use anabranch_client::{BatchError, ClientError, ErrorCode, RefusedRecord};
use anabranch_host::HashMap;
use xxhash_rust::xxh3::Xxh3;

use crate::outbox::OutRecord;

/// So many are remembered.
const MOST: usize = 100_000;
/// Undone in a row without one of them being written again: then they are never the same, and it is no use.
const MOST_IN_VAIN: u32 = 5;

/// What a topic has refused; a batch's share of it.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) topic: Arc<str>,
    records: Vec<u128>,
    why: Arc<str>,
}

impl Refused {
    /// What of a batch was refused, if it was for the records.
    pub(crate) fn of(topic: &Arc<str>, error: &BatchError) -> Option<Refused> {
        let by_time = error.error.code() == Some(ErrorCode::INVALID_TIMESTAMP);
        let digest_of = |record: &RefusedRecord| {
            let time = by_time.then_some(record.timestamp);
            digest(record.key.as_deref(), record.value.as_deref(), time)
        };
        let records: Vec<u128> = error.refused.iter().map(digest_of).collect();
        let why = error.error.to_string().into();
        (!records.is_empty()).then(|| Refused { topic: Arc::clone(topic), records, why })
    }
}

/// What an outbox knows of records that were refused. Empty but for programs that write such.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    topics: HashMap<Arc<str>, HashMap<u128, Arc<str>>>,
    count: usize,
    met: bool,
}

impl Refusals {
    /// Whether nothing was ever refused.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Remembers what was refused.
    pub(crate) fn note(&mut self, refused: &Refused) {
        if self.count > MOST {
            (self.count, self.topics) = (0, HashMap::default());
        }
        let topic = self.topics.entry(Arc::clone(&refused.topic)).or_default();
        self.count -= topic.len();
        topic.extend(refused.records.iter().map(|record| (*record, Arc::clone(&refused.why))));
        self.count += topic.len();
    }

    /// Why the topic has refused such a record, if it has.
    #[cold]
    pub(crate) fn why(&mut self, topic: &str, timestamp: i64, record: &OutRecord<'_>) -> Option<Arc<str>> {
        let known = self.topics.get(topic)?;
        let of = |time| known.get(&digest(record.key, record.value, time));
        let why = of(None).or_else(|| of(Some(timestamp))).cloned();
        self.met |= why.is_some();
        why
    }

    /// Whether one was met since this was last asked.
    pub(crate) fn take_met(&mut self) -> bool {
        std::mem::take(&mut self.met)
    }
}

/// A worker's patience with records that are refused again and again.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    in_vain: u32,
}

impl Patience {
    /// Records were refused; `met` tells that some of those before were met and answered. False if it is no use to do it
    /// again.
    pub(crate) fn lasts(&mut self, met: bool) -> bool {
        self.in_vain = if met { 0 } else { self.in_vain + 1 };
        self.in_vain <= MOST_IN_VAIN
    }
}

/// The error that says what is to be undone.
pub(crate) fn lost(doing: &str, error: ClientError) -> crate::error::Error {
    crate::error::Error::new(crate::error::ErrorKind::Aborted, doing).with_source(error)
}

/// A number that stands for a record (XXH3 with 128 bits): no two of a program share one.
fn digest(key: Option<&[u8]>, value: Option<&[u8]>, timestamp: Option<i64>) -> u128 {
    let mut hash = Xxh3::new();
    for field in [key, value] {
        hash.update(&field.map_or(u64::MAX, |bytes| bytes.len() as u64).to_be_bytes());
        hash.update(field.unwrap_or_default());
    }
    if let Some(timestamp) = timestamp {
        hash.update(&timestamp.to_be_bytes());
    }
    hash.digest128()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_known_again_by_what_it_was_refused_for() {
        let check = |code, key: Option<&str>, value: Option<&str>, timestamp: i64, expected: bool| {
            let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
            let refused = RefusedRecord { timestamp: 7, key: Some(b"k".to_vec()), value: bytes(Some("v")) };
            let error = ClientError::from_code("writing", code);
            let batch = BatchError { error, refused: vec![refused] };
            let mut refusals = Refusals::default();
            refusals.note(&Refused::of(&"t".into(), &batch).expect("a record is named"));
            let (key, value) = (key.map(str::as_bytes), value.map(str::as_bytes));
            let record = OutRecord { key, value, timestamp: None, headers: &[] };
            assert_eq!(refusals.why("t", timestamp, &record).is_some(), expected);
            assert_eq!(refusals.take_met(), expected);
            assert!(refusals.why("another", timestamp, &record).is_none());
        };
        check(ErrorCode::MESSAGE_TOO_LARGE, Some("k"), Some("v"), 7, true);
        check(ErrorCode::MESSAGE_TOO_LARGE, Some("k"), Some("v"), 8, true);
        check(ErrorCode::INVALID_TIMESTAMP, Some("k"), Some("v"), 7, true);
        check(ErrorCode::INVALID_TIMESTAMP, Some("k"), Some("v"), 8, false);
        check(ErrorCode::INVALID_RECORD, None, Some("kv"), 7, false);
        check(ErrorCode::INVALID_RECORD, Some("k"), None, 7, false);
    }

    #[test]
    fn patience_ends_if_nothing_is_met() {
        let mut patience = Patience::default();
        assert!((0..100).all(|_| patience.lasts(true)));
        let lasted = (0..100).take_while(|_| patience.lasts(false)).count();
        assert_eq!(lasted, MOST_IN_VAIN as usize);
    }
}
