//! How a user's processor becomes a node.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::init_context::{FixedKeyInitContext, FixedKeyPunctuator, InitContext, Punctuator};
use super::node_context::{NodeContext, Wiring};
use super::{FixedKeyContext, FixedKeyProcessor, Needs, Processor, ProcessorContext};
use crate::data::Item;
use crate::error::{Error, ErrorKind, Result};
use crate::headers::Headers;
use crate::processor::{Forward, InFlight, NodeInit, NodeSupplier, Operator, TaskId};
use crate::record::{FixedKeyRecord, Record};

/// Makes a processor's node for each task, and says beforehand what it needs.
#[derive(Clone)]
pub(crate) struct ProcessorMaker {
    pub(crate) supplier: NodeSupplier,
    ask: Arc<dyn Fn() -> Needs + Send + Sync>,
}

/// The task of a processor that is only asked for its needs.
const NO_TASK: TaskId = TaskId { subtopology: 0, partition: 0 };

impl ProcessorMaker {
    pub(crate) fn of<P: Processor>(
        maker: impl Fn(&mut InitContext<'_, P>) -> P + Send + Sync + 'static,
    ) -> Self {
        ProcessorMaker::of_form::<Free<P>>(move |needs, punctuators, task_id| {
            Free(maker(&mut InitContext { needs, punctuators, task_id }))
        })
    }

    pub(crate) fn of_fixed_key<P: FixedKeyProcessor>(
        maker: impl Fn(&mut FixedKeyInitContext<'_, P>) -> P + Send + Sync + 'static,
    ) -> Self {
        ProcessorMaker::of_form::<FixedKey<P>>(move |needs, punctuators, task_id| {
            FixedKey(maker(&mut FixedKeyInitContext { needs, punctuators, task_id }))
        })
    }

    fn of_form<F: Form>(
        make: impl Fn(&mut Needs, &mut Vec<F::Punctuator>, TaskId) -> F + Send + Sync + 'static,
    ) -> Self {
        let make = Arc::new(make);
        let asked = Arc::clone(&make);
        let ask = Arc::new(move || {
            let mut needs = Needs::default();
            asked(&mut needs, &mut Vec::new(), NO_TASK);
            needs
        });
        let supplier = NodeSupplier::of(move |init| ProcessorNode::new(init, &*make));
        ProcessorMaker { supplier, ask }
    }

    /// Runs the maker to learn what it asks for.
    pub(crate) fn needs(&self) -> Needs {
        (self.ask)()
    }
}

/// A user's processor of either form, as its node sees it.
trait Form: Sized + Send + 'static {
    type KeyIn: Item;
    type ValueIn: Item;
    type KeyOut: Item;
    type ValueOut: Item;
    type Punctuator: Send;

    fn start(&mut self, node: NodeContext<'_, Self::KeyOut, Self::ValueOut>) -> Result<()>;

    fn process(
        &mut self,
        record: Record<Self::KeyIn, Self::ValueIn>,
        node: NodeContext<'_, Self::KeyOut, Self::ValueOut>,
    ) -> Result<()>;

    fn punctuate(
        &mut self,
        punctuator: &Self::Punctuator,
        node: NodeContext<'_, Self::KeyOut, Self::ValueOut>,
    ) -> Result<()>;

    fn close(&mut self);
}

struct Free<P>(P);

impl<P: Processor> Form for Free<P> {
    type KeyIn = P::KeyIn;
    type ValueIn = P::ValueIn;
    type KeyOut = P::KeyOut;
    type ValueOut = P::ValueOut;
    type Punctuator = Punctuator<P>;

    fn start(&mut self, node: NodeContext<'_, P::KeyOut, P::ValueOut>) -> Result<()> {
        let mut context = ProcessorContext { node };
        let result = self.0.start(&mut context);
        context.node.settle(result)
    }

    #[inline]
    fn process(
        &mut self,
        record: Record<P::KeyIn, P::ValueIn>,
        node: NodeContext<'_, P::KeyOut, P::ValueOut>,
    ) -> Result<()> {
        let mut context = ProcessorContext { node };
        let result = self.0.process(record, &mut context);
        context.node.settle(result)
    }

    fn punctuate(
        &mut self,
        punctuator: &Punctuator<P>,
        node: NodeContext<'_, P::KeyOut, P::ValueOut>,
    ) -> Result<()> {
        let timestamp = node.timestamp;
        let mut context = ProcessorContext { node };
        let result = punctuator(&mut self.0, timestamp, &mut context);
        context.node.settle(result)
    }

    fn close(&mut self) {
        self.0.close();
    }
}

struct FixedKey<P>(P);

impl<P: FixedKeyProcessor> Form for FixedKey<P> {
    type KeyIn = P::Key;
    type ValueIn = P::ValueIn;
    type KeyOut = P::Key;
    type ValueOut = P::ValueOut;
    type Punctuator = FixedKeyPunctuator<P>;

    fn start(&mut self, node: NodeContext<'_, P::Key, P::ValueOut>) -> Result<()> {
        let mut context = FixedKeyContext { node };
        let result = self.0.start(&mut context);
        context.node.settle(result)
    }

    #[inline]
    fn process(
        &mut self,
        record: Record<P::Key, P::ValueIn>,
        node: NodeContext<'_, P::Key, P::ValueOut>,
    ) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        let mut context = FixedKeyContext { node };
        let result = self.0.process(FixedKeyRecord { key, value, timestamp, headers }, &mut context);
        context.node.settle(result)
    }

    fn punctuate(
        &mut self,
        punctuator: &FixedKeyPunctuator<P>,
        node: NodeContext<'_, P::Key, P::ValueOut>,
    ) -> Result<()> {
        let timestamp = node.timestamp;
        let mut context = FixedKeyContext { node };
        let result = punctuator(&mut self.0, timestamp, &mut context);
        context.node.settle(result)
    }

    fn close(&mut self) {
        self.0.close();
    }
}

/// The node of a user's processor.
struct ProcessorNode<F: Form> {
    processor: F,
    punctuators: Vec<F::Punctuator>,
    wiring: Wiring,
    started: bool,
}

/// A punctuation has none.
static NO_HEADERS: Headers = Headers::new();

impl<F: Form> ProcessorNode<F> {
    fn new(
        init: &mut NodeInit<'_>,
        make: &impl Fn(&mut Needs, &mut Vec<F::Punctuator>, TaskId) -> F,
    ) -> Result<Self> {
        let (mut needs, mut punctuators) = (Needs::default(), Vec::new());
        let processor = make(&mut needs, &mut punctuators, init.task_id);
        let places = needs.find_stores(init)?;
        let place = |name: &String| {
            let place = init.children.iter().position(|child| **child == **name);
            place.ok_or_else(|| Error::invalid(format_args!("node `{}` has no child `{name}`", init.name)))
        };
        let children = needs.children.iter().map(place).collect::<Result<Vec<usize>>>()?;
        let schedules = needs.schedules.iter().enumerate();
        let punctuations = schedules.map(|(number, schedule)| init.punctuation(number, *schedule)).collect();
        let wiring = Wiring { node: init.name.into(), task_id: init.task_id, places, children, punctuations };
        Ok(ProcessorNode { processor, punctuators, wiring, started: false })
    }
}

impl<F: Form> Operator for ProcessorNode<F> {
    type KeyIn = F::KeyIn;
    type ValueIn = F::ValueIn;
    type KeyOut = F::KeyOut;
    type ValueOut = F::ValueOut;

    fn start(&mut self, out: &mut Forward<'_, '_, F::KeyOut, F::ValueOut>) -> Result<()> {
        self.started = true;
        let Self { processor, wiring, .. } = self;
        let started = out.lend(&*wiring, |out, wiring| {
            processor.start(NodeContext { out, wiring, timestamp: 0, headers: &NO_HEADERS, failed: None })
        });
        // No record has failed that a policy could skip.
        started.map_err(|error| match error.kind() {
            ErrorKind::Record => {
                error.reworded(ErrorKind::Fatal, format_args!("node `{}` does not start", wiring.node))
            }
            _ => error,
        })
    }

    #[inline]
    fn process(
        &mut self,
        record: InFlight<'_, F::KeyIn, F::ValueIn>,
        out: &mut Forward<'_, '_, F::KeyOut, F::ValueOut>,
    ) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let record = Record { key: key.take(), value: value.take(), timestamp, headers: headers.clone() };
        let Self { processor, wiring, .. } = self;
        out.lend(&(&*wiring, headers), |out, &(wiring, headers)| {
            processor.process(record, NodeContext { out, wiring, timestamp, headers, failed: None })
        })
    }

    fn punctuate(
        &mut self,
        number: usize,
        timestamp: i64,
        out: &mut Forward<'_, '_, F::KeyOut, F::ValueOut>,
    ) -> Result<()> {
        let Self { processor, punctuators, wiring, .. } = self;
        let Some(punctuator) = punctuators.get(number) else {
            return Err(Error::fatal(format_args!("a node has no punctuation {number}")));
        };
        out.lend(&*wiring, |out, wiring| {
            let node = NodeContext { out, wiring, timestamp, headers: &NO_HEADERS, failed: None };
            processor.punctuate(punctuator, node)
        })
    }
}

impl<F: Form> Drop for ProcessorNode<F> {
    fn drop(&mut self) {
        if self.started && catch_unwind(AssertUnwindSafe(|| self.processor.close())).is_err() {
            tracing::error!(task = %self.wiring.task_id, "a processor panicked while it was closed");
        }
    }
}
