//! Where a panic began: the node whose closure or processor panicked.
//!
//! Each call of a node leaves a note on the stack that says its name. A call that returns forgets the note, so that on the
//! hot path nothing happens; a call that unwinds drops it, and the first note dropped is the innermost node's.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::error::{Error, Result};

thread_local! {
    static NODE: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
}

/// The note of a node that is being called.
pub(super) struct Calling<'a>(pub(super) &'a Arc<str>);

impl Calling<'_> {
    /// The call has returned.
    #[inline]
    pub(super) fn done(self) {
        std::mem::forget(self);
    }
}

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        NODE.with_borrow_mut(|node| {
            node.get_or_insert_with(|| Arc::clone(self.0));
        });
    }
}

/// Turns a panic of user code into an error that names the node, the record and what was said. What `act` was about may be
/// half done: the task must be aborted.
pub(crate) fn catching<T, R>(
    on: &mut T,
    act: impl FnOnce(&mut T) -> Result<R>,
    record: impl FnOnce(&T) -> Option<(Arc<str>, i32, i64)>,
) -> Result<R> {
    let result = catch_unwind(AssertUnwindSafe(|| act(on)));
    result.unwrap_or_else(|panic| Err(panicked(&*panic, record(on))))
}

/// As [`catching`], while a node is made: its supplier is user code too.
pub(crate) fn making<R>(node: &Arc<str>, make: impl FnOnce() -> Result<R>) -> Result<R> {
    let call = |_: &mut ()| {
        let calling = Calling(node);
        let made = make();
        calling.done();
        made
    };
    catching(&mut (), call, |()| None)
}

/// What a panic said.
pub(crate) fn said(panic: &(dyn Any + Send)) -> &str {
    let message = panic.downcast_ref::<String>().map(String::as_str);
    message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// Calls a listener or handler, which belong to no node. Its panic is an error that says which one it was.
pub(crate) fn calling<R>(what: &str, call: impl FnOnce() -> R) -> Result<R> {
    catch_unwind(AssertUnwindSafe(call))
        .map_err(|panic| Error::fatal(format_args!("{what} panicked: {}", said(&*panic))))
}

#[cold]
fn panicked(panic: &(dyn Any + Send), record: Option<(Arc<str>, i32, i64)>) -> Error {
    let node = NODE.take().unwrap_or_else(|| "?".into());
    let message = said(panic);
    match record {
        Some((topic, partition, offset)) => Error::fatal(format_args!(
            "node `{node}` panicked at record {topic}-{partition}@{offset}: {message}"
        )),
        None => Error::fatal(format_args!("node `{node}` panicked: {message}")),
    }
}
