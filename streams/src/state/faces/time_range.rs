//! Ranges of time as users write them, as first and last millisecond.

use std::ops::{Bound, RangeBounds};

pub(crate) fn first_and_last(range: &impl RangeBounds<i64>) -> (i64, i64) {
    let first = match range.start_bound() {
        Bound::Included(first) => *first,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => i64::MIN,
    };
    let last = match range.end_bound() {
        Bound::Included(last) => *last,
        Bound::Excluded(behind) => behind.saturating_sub(1),
        Bound::Unbounded => i64::MAX,
    };
    (first, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_every_kind() {
        assert_eq!(first_and_last(&(3..=7)), (3, 7));
        assert_eq!(first_and_last(&(3..7)), (3, 6));
        assert_eq!(first_and_last(&(..7)), (i64::MIN, 6));
        assert_eq!(first_and_last(&..), (i64::MIN, i64::MAX));
        assert_eq!(first_and_last(&(Bound::Excluded(3), Bound::Unbounded)), (4, i64::MAX));
    }
}
