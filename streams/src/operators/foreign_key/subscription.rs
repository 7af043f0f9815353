//! What a left row asks of its foreign key, on the topic and in the store (Kafka Streams' SubscriptionWrapper).
//!
//! ```text
//! byte         version (1), the highest bit set if there is no hash
//! byte         instruction
//! 16 bytes     hash of the left value, if there is one
//!              the left key
//! 4 bytes      partition of the left row; absent in version 0
//! ```

use std::sync::Arc;

use bytes::Bytes;

use super::value_hash::ValueHash;
use crate::serdes::{Serde, SerdeContext, SerdeError};

const VERSION: u8 = 1;
const WITHOUT_HASH: u8 = 0x80;

/// What is to be done with a subscription, and what is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instruction {
    /// Forget it; answer nothing.
    Delete = 0,
    /// Forget it; answer that there is no right row.
    DeleteAndAnswer = 1,
    /// Keep it; answer in any case.
    Keep = 2,
    /// Keep it; answer if there is a right row.
    KeepIfThere = 3,
}

/// What a left row asks of its foreign key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(super) instruction: Instruction,
    /// `None`: the left row is gone.
    pub(super) hash: Option<ValueHash>,
    /// The left key's bytes.
    pub(super) left_key: Bytes,
    /// Where the answer goes; `None` in a message of version 0.
    pub(super) partition: Option<i32>,
}

impl Subscription {
    /// Under which key the subscription is stored: the length of the foreign key, the foreign key, the left key.
    pub(super) fn store_key(&self, foreign_key: &[u8]) -> Bytes {
        let mut key = store_prefix(foreign_key);
        key.extend_from_slice(&self.left_key);
        key.into()
    }

    pub(super) fn bytes(&self) -> Bytes {
        let mut out = Vec::new();
        self.write(&mut out);
        out.into()
    }

    fn write(&self, out: &mut Vec<u8>) {
        let version = if self.partition.is_some() { VERSION } else { 0 };
        out.push(if self.hash.is_none() { version | WITHOUT_HASH } else { version });
        out.push(self.instruction as u8);
        out.extend_from_slice(self.hash.as_ref().map_or(&[], |hash| hash));
        out.extend_from_slice(&self.left_key);
        if let Some(partition) = self.partition {
            out.extend_from_slice(&partition.to_be_bytes());
        }
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, SerdeError> {
        let cut_short = || SerdeError::new("a subscription is cut short");
        let ([head, instruction], mut rest) = bytes.split_first_chunk::<2>().ok_or_else(cut_short)?;
        let instruction = match instruction {
            0 => Instruction::Delete,
            1 => Instruction::DeleteAndAnswer,
            2 => Instruction::Keep,
            3 => Instruction::KeepIfThere,
            unknown => {
                return Err(SerdeError::new(format_args!("a subscription has the instruction {unknown}")));
            }
        };
        let version = head & !WITHOUT_HASH;
        let hash = match head & WITHOUT_HASH {
            0 => {
                let (hash, after) = rest.split_first_chunk::<16>().ok_or_else(cut_short)?;
                rest = after;
                Some(*hash)
            }
            _ => None,
        };
        let partition = match version {
            0 => None,
            VERSION => {
                let (before, partition) = rest.split_last_chunk::<4>().ok_or_else(cut_short)?;
                rest = before;
                Some(i32::from_be_bytes(*partition))
            }
            unknown => return Err(SerdeError::new(format_args!("a subscription has version {unknown}"))),
        };
        Ok(Subscription { instruction, hash, left_key: Bytes::copy_from_slice(rest), partition })
    }
}

/// What the keys of all subscriptions to a foreign key begin with.
pub(super) fn store_prefix(foreign_key: &[u8]) -> Vec<u8> {
    let mut prefix = (foreign_key.len() as u32).to_be_bytes().to_vec();
    prefix.extend_from_slice(foreign_key);
    prefix
}

/// Subscriptions on their topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SubscriptionSerde;

impl SubscriptionSerde {
    pub(crate) fn shared() -> Arc<dyn Serde<Subscription>> {
        Arc::new(SubscriptionSerde)
    }
}

impl Serde<Subscription> for SubscriptionSerde {
    fn serialize(
        &self,
        _: &SerdeContext<'_>,
        value: &Subscription,
        out: &mut Vec<u8>,
    ) -> Result<(), SerdeError> {
        value.write(out);
        Ok(())
    }

    fn deserialize(&self, _: &SerdeContext<'_>, bytes: &[u8]) -> Result<Subscription, SerdeError> {
        Subscription::read(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::value_hash::value_hash;
    use super::*;

    fn check(subscription: &Subscription, expected: &[u8]) {
        assert_eq!(subscription.bytes(), expected);
        assert_eq!(&Subscription::read(expected).unwrap(), subscription);
    }

    #[test]
    fn bytes_are_kafka_streams() {
        let hash =
            [0x37, 0x41, 0xd4, 0x7f, 0x12, 0x1e, 0x02, 0x4f, 0x09, 0x3b, 0x60, 0x6d, 0xc1, 0xf7, 0xc4, 0xc6];
        assert_eq!(value_hash(b"fk"), hash);
        let left_key = Bytes::from_static(b"pk");
        let kept = Subscription {
            instruction: Instruction::Keep,
            hash: Some(hash),
            left_key: left_key.clone(),
            partition: Some(0),
        };
        check(&kept, &[&[1, 2], &hash[..], b"pk", &[0; 4]].concat());
        let deleted = Subscription {
            instruction: Instruction::Delete,
            hash: None,
            left_key: left_key.clone(),
            partition: Some(0),
        };
        check(&deleted, b"\x81\0pk\0\0\0\0");
        let old =
            Subscription { instruction: Instruction::KeepIfThere, hash: None, left_key, partition: None };
        check(&old, b"\x80\x03pk");
        assert_eq!(kept.store_key(b"fk"), &b"\0\0\0\x02fkpk"[..]);
    }

    #[test]
    fn damaged_bytes_are_refused() {
        for bytes in
            [&b""[..], b"\x01", b"\x01\x02abc", b"\x81\x02abc", b"\x81\x04pk\0\0\0\0", b"\x02\x02\0\0\0\0"]
        {
            assert!(Subscription::read(bytes).is_err(), "{bytes:?}");
        }
    }
}
