//! Lists in the bytes of Kafka's `ListSerde` for elements of any length.

use super::{Serde, SerdeContext, SerdeError};

/// A list: flag 1 (elements of varying length), count, then each element with its length in front.
///
/// Java's serde leaves the lengths out for integers, floats and uuids (flag 0); such lists are read too.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListSerde<S>(pub S);

/// Lists of what `inner` reads and writes.
#[must_use]
pub const fn list<S>(inner: S) -> ListSerde<S> {
    ListSerde(inner)
}

impl<T: 'static, S: Serde<T>> Serde<Vec<T>> for ListSerde<S> {
    fn serialize(&self, at: &SerdeContext<'_>, value: &Vec<T>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.push(1);
        out.extend_from_slice(&length(value.len())?);
        for element in value {
            let start = out.len();
            out.extend_from_slice(&[0; 4]);
            if self.0.is_null(element) {
                out[start..start + 4].copy_from_slice(&(-1i32).to_be_bytes());
                continue;
            }
            self.0.serialize(at, element, out)?;
            let bytes = length(out.len() - start - 4)?;
            out[start..start + 4].copy_from_slice(&bytes);
        }
        Ok(())
    }

    fn deserialize(&self, at: &SerdeContext<'_>, bytes: &[u8]) -> Result<Vec<T>, SerdeError> {
        let mut from = bytes;
        let flag = take(&mut from, 1)?[0];
        match flag {
            1 => self.varying(at, from),
            0 => self.constant(at, from),
            other => Err(SerdeError::new(format_args!("a list starts with 0 or 1, here {other}"))),
        }
    }
}

impl<S> ListSerde<S> {
    fn varying<T>(&self, at: &SerdeContext<'_>, mut from: &[u8]) -> Result<Vec<T>, SerdeError>
    where
        S: Serde<T>,
    {
        let count = count(&mut from)?;
        // Each element has a length of four bytes, so no count may ask for more room than there can be elements.
        let mut all = Vec::with_capacity(count.min(from.len() / 4));
        for _ in 0..count {
            let bytes = int(&mut from)?;
            all.push(match usize::try_from(bytes) {
                Ok(bytes) => self.0.deserialize(at, take(&mut from, bytes)?)?,
                Err(_) => self.0.deserialize_null(at)?,
            });
        }
        Ok(all)
    }

    fn constant<T>(&self, at: &SerdeContext<'_>, mut from: &[u8]) -> Result<Vec<T>, SerdeError>
    where
        S: Serde<T>,
    {
        let null_count = count(&mut from)?;
        let mut nulls = Vec::with_capacity(null_count.min(from.len() / 4));
        for _ in 0..null_count {
            nulls.push(int(&mut from)?);
        }
        let count = count(&mut from)?;
        let present = count
            .checked_sub(null_count)
            .ok_or_else(|| SerdeError::new("a list has more nulls than elements"))?;
        let size = from.len().checked_div(present).unwrap_or(0);
        let mut all = Vec::with_capacity(count.min(bytes_bound(from, null_count)));
        for index in 0..count {
            all.push(if nulls.contains(&(index as i32)) {
                self.0.deserialize_null(at)?
            } else {
                self.0.deserialize(at, take(&mut from, size)?)?
            });
        }
        Ok(all)
    }
}

fn bytes_bound(from: &[u8], nulls: usize) -> usize {
    from.len().saturating_add(nulls)
}

fn length(n: usize) -> Result<[u8; 4], SerdeError> {
    i32::try_from(n).map(i32::to_be_bytes).map_err(SerdeError::new)
}

fn take<'a>(from: &mut &'a [u8], bytes: usize) -> Result<&'a [u8], SerdeError> {
    let (taken, rest) = from.split_at_checked(bytes).ok_or_else(|| SerdeError::new("a list is cut short"))?;
    *from = rest;
    Ok(taken)
}

fn int(from: &mut &[u8]) -> Result<i32, SerdeError> {
    let bytes = take(from, 4)?;
    Ok(i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

fn count(from: &mut &[u8]) -> Result<usize, SerdeError> {
    usize::try_from(int(from)?).map_err(|_| SerdeError::new("a list has a negative count"))
}

#[cfg(test)]
mod tests {
    use super::super::{big_endian, check, nullable, text};
    use super::*;

    #[test]
    fn lists_have_kafkas_bytes() {
        let words = vec!["x".to_string(), "yz".to_string()];
        check(list(text()), words, &[1, 0, 0, 0, 2, 0, 0, 0, 1, b'x', 0, 0, 0, 2, b'y', b'z']);
        check(list(nullable(text())), vec![None::<String>], &[1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn lists_of_constant_length_are_read() {
        let at = SerdeContext::value("t");
        let bytes = [0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 7, 0, 8];
        assert_eq!(Serde::<Vec<i16>>::deserialize(&list(big_endian()), &at, &bytes).unwrap(), [7, 8]);
    }

    #[test]
    fn hostile_lists_are_refused_without_room_being_taken() {
        let at = SerdeContext::value("t");
        for bytes in [
            &[][..],
            &[2],
            &[1, 0x7f, 0xff, 0xff, 0xff],
            &[0, 0x7f, 0xff, 0xff, 0xff],
            &[1, 0, 0, 0, 1, 0, 0, 0, 9],
        ] {
            assert!(Serde::<Vec<String>>::deserialize(&list(text()), &at, bytes).is_err(), "{bytes:?}");
        }
    }
}
