//! A value of a store that is no row and goes with its epochs.

use std::collections::VecDeque;

/// A value as it is now, as of the sealed epochs and as of the last commit.
#[derive(Clone, Debug)]
pub(super) struct Epoched<T> {
    pub(super) now: T,
    sealed: VecDeque<T>,
    committed: T,
}

impl<T: Copy> Epoched<T> {
    pub(super) fn new(value: T) -> Self {
        Epoched { now: value, sealed: VecDeque::new(), committed: value }
    }

    /// As of the last commit.
    pub(super) fn committed(&self) -> T {
        self.committed
    }

    /// Takes over a value that was committed by an earlier owner of the task.
    pub(super) fn resume(&mut self, value: T) {
        (self.now, self.committed) = (value, value);
    }

    pub(super) fn seal(&mut self) {
        self.sealed.push_back(self.now);
    }

    pub(super) fn commit(&mut self) {
        if let Some(value) = self.sealed.pop_front() {
            self.committed = value;
        }
    }

    pub(super) fn abort(&mut self) {
        self.sealed.clear();
        self.now = self.committed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abort_goes_back_to_the_last_commit() {
        let mut value = Epoched::new(1);
        value.now = 2;
        value.seal();
        value.now = 3;
        value.seal();
        value.commit();
        value.now = 4;
        value.abort();
        assert_eq!(value.now, 2);
        value.seal();
        value.commit();
        value.now = 5;
        value.abort();
        assert_eq!(value.now, 2);
    }
}
