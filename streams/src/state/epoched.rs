//! A value of a store that is no row and goes with its epochs.

/// A value as it is now, as of the sealed epoch and as of the last commit. As in a table, an epoch is committed before the
/// next one is sealed.
#[derive(Clone, Debug)]
pub(super) struct Epoched<T> {
    pub(super) now: T,
    sealed: Option<T>,
    committed: T,
}

impl<T: Copy> Epoched<T> {
    pub(super) fn new(value: T) -> Self {
        Epoched { now: value, sealed: None, committed: value }
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
        self.sealed = Some(self.now);
    }

    pub(super) fn commit(&mut self) {
        if let Some(value) = self.sealed.take() {
            self.committed = value;
        }
    }

    pub(super) fn abort(&mut self) {
        self.sealed = None;
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
        value.commit();
        value.now = 4;
        value.abort();
        assert_eq!(value.now, 2);
        value.now = 5;
        value.seal();
        value.now = 6;
        value.abort();
        assert_eq!(value.now, 2);
        value.seal();
        value.commit();
        value.now = 5;
        value.abort();
        assert_eq!(value.now, 2);
    }
}
