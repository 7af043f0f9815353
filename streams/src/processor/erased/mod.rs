//! Nodes without their types: the one file of `unsafe`.
//!
//! A task holds its nodes in one `Vec` in topological order. A record passes from node to node as two untyped pointers,
//! to its key and to its value, which the receiving node casts back. The cast is right because
//!
//! 1. a [`Node`] is made by [`operator`] or [`source`] only, so that its `input` and `output` name the very types it
//!    casts to and erases from;
//! 2. [`Nodes::new`], the only way to a running node, refuses an edge whose two ends name different types;
//! 3. a node reaches only its own children, and only through [`Forward`] of the types it erases.
//!
//! In debug builds every cast is checked as well.

use std::any::TypeId;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

use super::panicked::Calling;
use super::{Context, DropReason, InFlight, Latencies, Operator, Origin, Part, RawInput, Source, Stage};
use crate::data::Nullable;
use crate::error::{Error, Result};
use crate::headers::Headers;
use crate::policy::OnError;
use crate::topic::Clocks;

/// Types of the keys and values on an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EdgeType {
    key: TypeTag,
    value: TypeTag,
}

#[derive(Clone, Copy, Debug)]
struct TypeTag {
    id: TypeId,
    name: &'static str,
}

impl PartialEq for TypeTag {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}
impl Eq for TypeTag {}

impl TypeTag {
    fn of<T: 'static>() -> Self {
        TypeTag { id: TypeId::of::<T>(), name: std::any::type_name::<T>() }
    }
}

impl EdgeType {
    /// Keys `K`, values `V`.
    pub(crate) fn of<K: 'static, V: 'static>() -> Self {
        EdgeType { key: TypeTag::of::<K>(), value: TypeTag::of::<V>() }
    }
}

impl std::fmt::Display for EdgeType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` to `{}`", self.key.name, self.value.name)
    }
}

/// A part whose type is known to sender and receiver only.
struct RawPart<'a> {
    /// Owned: an `Option<T>`. Shared: a `T`.
    at: NonNull<()>,
    owned: bool,
    #[cfg(debug_assertions)]
    is: TypeId,
    lends: PhantomData<&'a mut ()>,
}

impl<'a> RawPart<'a> {
    #[inline]
    fn erase<T: 'static>(part: Part<'a, T>) -> Self {
        let (at, owned) = match part {
            Part::Owned(slot) => (NonNull::from(slot).cast(), true),
            Part::Shared(value) => (NonNull::from(value).cast(), false),
        };
        RawPart {
            at,
            owned,
            #[cfg(debug_assertions)]
            is: TypeId::of::<T>(),
            lends: PhantomData,
        }
    }

    /// # Safety
    /// The part was erased as a `T`.
    #[inline]
    unsafe fn restore<T: 'static>(self) -> Part<'a, T> {
        #[cfg(debug_assertions)]
        assert_eq!(self.is, TypeId::of::<T>(), "a part is restored as the type it was erased from");
        if self.owned {
            // SAFETY: `erase` made `at` of a `&'a mut Option<T>`, with this T as the caller promises. That reference was
            // consumed there and `self` is consumed here, so this is the only one again, for the same lifetime.
            Part::Owned(unsafe { &mut *self.at.cast::<Option<T>>().as_ptr() })
        } else {
            // SAFETY: `erase` made `at` of a `&'a T`, with this T as the caller promises; it is only read.
            Part::Shared(unsafe { &*self.at.cast::<T>().as_ptr() })
        }
    }
}

/// A record whose types are known to sender and receiver only.
struct RawRecord<'a> {
    key: RawPart<'a>,
    value: RawPart<'a>,
    timestamp: i64,
    headers: &'a Headers,
}

impl<'a> RawRecord<'a> {
    #[inline]
    fn erase<K: 'static, V: 'static>(record: InFlight<'a, K, V>) -> Self {
        RawRecord {
            key: RawPart::erase(record.key),
            value: RawPart::erase(record.value),
            timestamp: record.timestamp,
            headers: record.headers,
        }
    }

    /// # Safety
    /// The record was erased as one of keys `K` and values `V`.
    #[inline]
    unsafe fn restore<K: 'static, V: 'static>(self) -> InFlight<'a, K, V> {
        InFlight {
            // SAFETY: passed on to the caller.
            key: unsafe { self.key.restore() },
            // SAFETY: passed on to the caller.
            value: unsafe { self.value.restore() },
            timestamp: self.timestamp,
            headers: self.headers,
        }
    }
}

/// A node of any types.
pub(crate) struct Node(Box<dyn Erased>);

/// Makes a node of an operator.
pub(crate) fn operator<O: Operator + 'static>(operator: O) -> Node {
    Node(Box::new(ErasedOperator(operator)))
}

/// Makes a node of a source.
pub(crate) fn source<S: Source + 'static>(source: S) -> Node {
    Node(Box::new(ErasedSource(source)))
}

/// # Safety
/// `input` and `output` name the types that `process` restores and that the node forwards.
unsafe trait Erased: Send {
    fn input(&self) -> Option<EdgeType>;
    fn output(&self) -> EdgeType;
    /// # Safety
    /// `record` is of the types that `input` names.
    unsafe fn process(&mut self, record: RawRecord<'_>, below: Below<'_, '_>) -> Result<()>;
    fn start(&mut self, below: Below<'_, '_>) -> Result<()>;
    fn punctuate(&mut self, number: usize, timestamp: i64, below: Below<'_, '_>) -> Result<()>;
    fn flush(&mut self, below: Below<'_, '_>) -> Result<()>;
    fn add_queue(&mut self, topic: &Arc<str>);
    fn timestamp(&mut self, queue: usize, record: RawInput<'_>, clocks: Clocks) -> Result<i64>;
    fn emit(
        &mut self,
        queue: usize,
        record: RawInput<'_>,
        timestamp: i64,
        below: Below<'_, '_>,
    ) -> Result<()>;
}

struct ErasedOperator<O>(O);

// SAFETY: `input` names the types that `process` restores; `Forward` is of the types that `output` names.
unsafe impl<O: Operator> Erased for ErasedOperator<O> {
    fn input(&self) -> Option<EdgeType> {
        Some(EdgeType::of::<O::KeyIn, O::ValueIn>())
    }

    fn output(&self) -> EdgeType {
        EdgeType::of::<O::KeyOut, O::ValueOut>()
    }

    #[inline]
    unsafe fn process(&mut self, record: RawRecord<'_>, below: Below<'_, '_>) -> Result<()> {
        // SAFETY: the caller promises the types of `input`, which are these.
        let record = unsafe { record.restore::<O::KeyIn, O::ValueIn>() };
        self.0.process(record, &mut below.typed())
    }

    fn start(&mut self, below: Below<'_, '_>) -> Result<()> {
        self.0.start(&mut below.typed())
    }

    fn punctuate(&mut self, number: usize, timestamp: i64, below: Below<'_, '_>) -> Result<()> {
        self.0.punctuate(number, timestamp, &mut below.typed())
    }

    fn flush(&mut self, below: Below<'_, '_>) -> Result<()> {
        self.0.flush(&mut below.typed())
    }

    fn add_queue(&mut self, _: &Arc<str>) {}

    fn timestamp(&mut self, _: usize, _: RawInput<'_>, _: Clocks) -> Result<i64> {
        Err(Error::fatal("only a source reads topics"))
    }

    fn emit(&mut self, _: usize, _: RawInput<'_>, _: i64, _: Below<'_, '_>) -> Result<()> {
        Err(Error::fatal("only a source reads topics"))
    }
}

struct ErasedSource<S>(S);

// SAFETY: it has no input; `Forward` is of the types that `output` names.
unsafe impl<S: Source> Erased for ErasedSource<S> {
    fn input(&self) -> Option<EdgeType> {
        None
    }

    fn output(&self) -> EdgeType {
        EdgeType::of::<S::Key, S::Value>()
    }

    unsafe fn process(&mut self, _: RawRecord<'_>, _: Below<'_, '_>) -> Result<()> {
        Err(Error::fatal("a source has no parent"))
    }

    fn start(&mut self, _: Below<'_, '_>) -> Result<()> {
        Ok(())
    }

    fn punctuate(&mut self, _: usize, _: i64, _: Below<'_, '_>) -> Result<()> {
        Ok(())
    }

    fn flush(&mut self, _: Below<'_, '_>) -> Result<()> {
        Ok(())
    }

    fn add_queue(&mut self, topic: &Arc<str>) {
        self.0.add_queue(topic);
    }

    fn timestamp(&mut self, queue: usize, record: RawInput<'_>, clocks: Clocks) -> Result<i64> {
        self.0.timestamp(queue, record, clocks)
    }

    fn emit(
        &mut self,
        queue: usize,
        record: RawInput<'_>,
        timestamp: i64,
        below: Below<'_, '_>,
    ) -> Result<()> {
        self.0.emit(queue, record, timestamp, &mut below.typed())
    }
}

/// A node in its place.
pub(crate) struct Cell {
    pub(crate) node: Node,
    pub(crate) name: Arc<str>,
    /// Its children, each behind it in the list.
    pub(crate) children: Box<[u32]>,
    /// What its own failures are.
    pub(crate) stage: Stage,
    /// Its own error policy.
    pub(crate) on_error: Option<OnError>,
    /// How old records were that it has read, or that went no further.
    pub(crate) latencies: Latencies,
}

/// The nodes of a task, in topological order.
pub(crate) struct Nodes(Vec<Cell>);

impl Nodes {
    /// # Errors
    /// If an edge joins two types, or leads backwards.
    pub(crate) fn new(cells: Vec<Cell>) -> Result<Self> {
        for (index, cell) in cells.iter().enumerate() {
            for &child in &cell.children {
                let Some(below) = cells.get(child as usize).filter(|_| child as usize > index) else {
                    return Err(Error::invalid(format_args!(
                        "a child of node `{}` does not stand behind it",
                        cell.name
                    )));
                };
                let output = cell.node.0.output();
                if below.node.0.input() != Some(output) {
                    let names = (&cell.name, &below.name);
                    return Err(Error::invalid(format_args!(
                        "node `{}` forwards {output}, which node `{}` does not take",
                        names.0, names.1
                    )));
                }
            }
        }
        Ok(Nodes(cells))
    }

    /// Lets a source read a topic more.
    pub(crate) fn add_queue(&mut self, source: usize, topic: &Arc<str>) {
        self.0[source].node.0.add_queue(topic);
    }

    /// The time of a record that has become the head of a source's queue; `None` if the record failed and is dropped.
    pub(crate) fn timestamp(
        &mut self,
        source: usize,
        queue: usize,
        record: RawInput<'_>,
        partition_time: i64,
        context: &mut Context<'_>,
    ) -> Result<Option<i64>> {
        let cell = &mut self.0[source];
        let calling = Calling(&cell.name);
        let clocks = Clocks { partition_time, wall_clock_ms: context.state.wall_clock_ms };
        let timestamp = cell.node.0.timestamp(queue, record, clocks);
        calling.done();
        match timestamp {
            Ok(timestamp) => Ok(Some(timestamp)),
            Err(error) => {
                context.settle(error, &cell.name, cell.stage, cell.on_error.as_ref(), record.timestamp)?;
                Ok(None)
            }
        }
    }

    /// Sends the head of a source's queue through the nodes.
    pub(crate) fn emit(
        &mut self,
        source: usize,
        queue: usize,
        record: RawInput<'_>,
        timestamp: i64,
        context: &mut Context<'_>,
    ) -> Result<()> {
        self.0[source].latencies.note(context.state.wall_clock_ms, timestamp);
        self.run(source, timestamp, context, |cell, below| cell.emit(queue, record, timestamp, below))
    }

    /// How old records were when a source had read them, and when they had come to a node without children, since this was
    /// last asked: by the node's place and name.
    pub(crate) fn take_latencies(&mut self, mut each: impl FnMut(usize, &Arc<str>, &Latencies)) {
        for (place, cell) in self.0.iter_mut().enumerate().filter(|(_, cell)| cell.latencies.count > 0) {
            each(place, &cell.name, &std::mem::take(&mut cell.latencies));
        }
    }

    /// Lets all nodes begin.
    pub(crate) fn start(&mut self, context: &mut Context<'_>) -> Result<()> {
        (0..self.0.len()).try_for_each(|index| self.run(index, -1, context, |cell, below| cell.start(below)))
    }

    /// Calls a punctuation of a node.
    pub(crate) fn punctuate(
        &mut self,
        index: usize,
        number: usize,
        timestamp: i64,
        context: &mut Context<'_>,
    ) -> Result<()> {
        self.run(index, timestamp, context, |cell, below| cell.punctuate(number, timestamp, below))
    }

    /// Lets a node forward the updates that wait in its store.
    pub(crate) fn flush(&mut self, index: usize, context: &mut Context<'_>) -> Result<()> {
        self.run(index, -1, context, |cell, below| cell.flush(below))
    }

    fn run(
        &mut self,
        index: usize,
        timestamp: i64,
        context: &mut Context<'_>,
        act: impl FnOnce(&mut dyn Erased, Below<'_, '_>) -> Result<()>,
    ) -> Result<()> {
        let (head, below) = self.0.split_at_mut(index + 1);
        let cell = &mut head[index];
        let down = Below { cells: below, base: index + 1, children: &cell.children, context: &mut *context };
        let calling = Calling(&cell.name);
        let result = act(&mut *cell.node.0, down);
        calling.done();
        match result {
            Ok(()) => Ok(()),
            Err(error) => context.settle(error, &cell.name, cell.stage, cell.on_error.as_ref(), timestamp),
        }
    }
}

/// What lies below a node, without types.
struct Below<'a, 'c> {
    cells: &'a mut [Cell],
    /// Index of the first of `cells` in the task's list.
    base: usize,
    children: &'a [u32],
    context: &'a mut Context<'c>,
}

impl<'a, 'c> Below<'a, 'c> {
    #[inline]
    fn typed<K, V>(self) -> Forward<'a, 'c, K, V> {
        Forward { below: self, types: PhantomData }
    }

    /// # Safety
    /// `record` is of the types that the node above forwards.
    #[inline(always)]
    unsafe fn call(&mut self, child: u32, record: RawRecord<'_>) -> Result<()> {
        let at = child as usize - self.base;
        let (head, below) = self.cells.split_at_mut(at + 1);
        let cell = &mut head[at];
        let timestamp = record.timestamp;
        let down = Below {
            cells: below,
            base: child as usize + 1,
            children: &cell.children,
            context: &mut *self.context,
        };
        let calling = Calling(&cell.name);
        // SAFETY: `record` is of the types of the node above, by the caller's promise, and `Nodes::new` has seen that
        // its children take these.
        let result = unsafe { cell.node.0.process(record, down) };
        calling.done();
        match result {
            Ok(()) => {
                if cell.children.is_empty() {
                    cell.latencies.note(self.context.state.wall_clock_ms, timestamp);
                }
                Ok(())
            }
            Err(error) => {
                self.context.settle(error, &cell.name, cell.stage, cell.on_error.as_ref(), timestamp)
            }
        }
    }
}

/// What lies below a node: takes records of the types that the node forwards, and nothing else.
pub(crate) struct Forward<'a, 'c, K, V> {
    below: Below<'a, 'c>,
    types: PhantomData<fn(K, V)>,
}

impl<'c, K: 'static, V: 'static> Forward<'_, 'c, K, V> {
    /// Sends a record to every child, in order; the last one inherits what the record owns.
    #[inline]
    pub(crate) fn forward(&mut self, record: InFlight<'_, K, V>) -> Result<()> {
        let children = self.below.children;
        let Some((&last, others)) = children.split_last() else { return Ok(()) };
        for &child in others {
            // SAFETY: a `Forward` is made for a node that forwards K and V.
            unsafe { self.below.call(child, RawRecord::erase(record.shared()))? };
        }
        // SAFETY: as above.
        unsafe { self.below.call(last, RawRecord::erase(record)) }
    }

    /// Sends a record to one child, by its place among the children.
    pub(crate) fn forward_to(&mut self, child: usize, record: InFlight<'_, K, V>) -> Result<()> {
        match self.below.children.get(child) {
            // SAFETY: a `Forward` is made for a node that forwards K and V.
            Some(&child) => unsafe { self.below.call(child, RawRecord::erase(record)) },
            None => Err(Error::fatal(format_args!("a node has no child {child}"))),
        }
    }

    /// Lets `act` forward as if a record of this origin were processed.
    pub(crate) fn under<R>(
        &mut self,
        origin: Origin<'_>,
        act: impl FnOnce(&mut Forward<'_, '_, K, V>) -> Result<R>,
    ) -> Result<R> {
        let Below { cells, base, children, context } = &mut self.below;
        let Context { outbox, state, .. } = &mut **context;
        let mut context = Context { outbox: &mut **outbox, origin, state };
        let below = Below { cells, base: *base, children, context: &mut context };
        act(&mut below.typed())
    }

    /// Lends it, the context and what stands beside it for one lifetime: what users are given has no more.
    pub(crate) fn lend<T, R>(
        &mut self,
        beside: &T,
        act: impl for<'s> FnOnce(Forward<'s, 's, K, V>, &'s T) -> R,
    ) -> R {
        let Below { cells, base, children, context } = &mut self.below;
        let Context { outbox, origin, state } = &mut **context;
        let mut context = Context { outbox: &mut **outbox, origin: *origin, state };
        act(Below { cells, base: *base, children, context: &mut context }.typed(), beside)
    }

    /// What the task gives its nodes.
    #[inline]
    pub(crate) fn context(&mut self) -> &mut Context<'c> {
        self.below.context
    }
}

impl Node {
    /// The same node behind one that drops null keys: it takes `K` where the node takes `K::Present`.
    ///
    /// # Errors
    /// If the node takes something else.
    pub(crate) fn without_null_keys<K: Nullable, V: 'static>(self) -> Result<Node> {
        let takes = self.0.input();
        if takes == Some(EdgeType::of::<K, V>()) {
            return Ok(self);
        }
        if takes != Some(EdgeType::of::<K::Present, V>()) {
            return Err(Error::invalid(
                "a node that does not take the present key cannot stand behind a null filter",
            ));
        }
        Ok(Node(Box::new(WithoutNullKeys::<K, V> { node: self.0, takes: PhantomData })))
    }
}

struct WithoutNullKeys<K, V> {
    /// Takes `K::Present` and `V`: seen when this was made.
    node: Box<dyn Erased>,
    takes: PhantomData<fn(K, V)>,
}

// SAFETY: `input` names the types that `process` restores; what is forwarded is forwarded by the inner node, which names
// it.
unsafe impl<K: Nullable, V: 'static> Erased for WithoutNullKeys<K, V> {
    fn input(&self) -> Option<EdgeType> {
        Some(EdgeType::of::<K, V>())
    }

    fn output(&self) -> EdgeType {
        self.node.output()
    }

    #[inline]
    unsafe fn process(&mut self, record: RawRecord<'_>, below: Below<'_, '_>) -> Result<()> {
        // SAFETY: the caller promises the types of `input`, which are these.
        let InFlight { key, value, timestamp, headers } = unsafe { record.restore::<K, V>() };
        match key.present() {
            Some(key) => {
                let record = RawRecord::erase(InFlight { key, value, timestamp, headers });
                // SAFETY: the inner node takes `K::Present` and `V`, as this was made for it.
                unsafe { self.node.process(record, below) }
            }
            None => {
                below.context.drop_record(DropReason::NullKey);
                Ok(())
            }
        }
    }

    fn start(&mut self, below: Below<'_, '_>) -> Result<()> {
        self.node.start(below)
    }

    fn punctuate(&mut self, number: usize, timestamp: i64, below: Below<'_, '_>) -> Result<()> {
        self.node.punctuate(number, timestamp, below)
    }

    fn flush(&mut self, below: Below<'_, '_>) -> Result<()> {
        self.node.flush(below)
    }

    fn add_queue(&mut self, topic: &Arc<str>) {
        self.node.add_queue(topic);
    }

    fn timestamp(&mut self, queue: usize, record: RawInput<'_>, clocks: Clocks) -> Result<i64> {
        self.node.timestamp(queue, record, clocks)
    }

    fn emit(
        &mut self,
        queue: usize,
        record: RawInput<'_>,
        timestamp: i64,
        below: Below<'_, '_>,
    ) -> Result<()> {
        self.node.emit(queue, record, timestamp, below)
    }
}

#[cfg(test)]
mod tests;
