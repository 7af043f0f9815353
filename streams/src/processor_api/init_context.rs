//! What a processor's maker is given.

use super::{
    Cancellable, ChildRef, FixedKeyContext, FixedKeyProcessor, GlobalStoreRef, Needs, Processor,
    ProcessorContext, StoreRef,
};
use crate::data::Data;
use crate::error::Result;
use crate::processor::{PunctuationType, TaskId};
use crate::state::{KeyValue, ReadableStore, Store};
use crate::time::Duration;

pub(super) type Punctuator<P> = Box<dyn Fn(&mut P, i64, &mut ProcessorContext<'_, P>) -> Result<()> + Send>;
pub(super) type FixedKeyPunctuator<P> =
    Box<dyn Fn(&mut P, i64, &mut FixedKeyContext<'_, P>) -> Result<()> + Send>;

macro_rules! init_context {
    ($(#[$doc:meta])* $name:ident, $processor:ident, $context:ident, $punctuator:ident) => {
        $(#[$doc])*
        pub struct $name<'a, P: $processor> {
            pub(super) needs: &'a mut Needs,
            pub(super) punctuators: &'a mut Vec<$punctuator<P>>,
            pub(super) task_id: TaskId,
        }

        impl<P: $processor> $name<'_, P> {
            /// Asks for a store: adds it to the topology and connects it. Processors that ask for a store of the same name
            /// share it, and an operator that keeps its result there shares it with them.
            pub fn store<S: ReadableStore>(&mut self, store: Store<S>) -> StoreRef<S> {
                self.needs.store(&store)
            }

            /// Asks for a global store, to read it: the one of this name that a
            /// [`global_store`](crate::dsl::StreamsBuilder::global_store) or a
            /// [`global_table_with`](crate::dsl::StreamsBuilder::global_table_with) keeps.
            pub fn global_store<K: Data, V: Data>(
                &mut self,
                store: Store<KeyValue<K, V>>,
            ) -> GlobalStoreRef<K, V> {
                self.needs.global_store(&store)
            }

            /// Asks for a node that follows this one, by its name, to forward to it alone.
            pub fn child(&mut self, name: &str) -> ChildRef {
                self.needs.child(name)
            }

            /// Lets `punctuator` be called again and again, with the processor and the time.
            ///
            /// By stream time it is called for the first time right after the first record, then as soon as a record
            /// takes the stream time over the next multiple of `every`, with that record's time. By the wall clock it is
            /// called for the first time `every` after the task has begun to run. Intervals that were missed are one call.
            ///
            /// An abort takes a call back, and it is made again. By stream time a restart goes on where the last commit
            /// was; by the wall clock it begins anew.
            pub fn schedule(
                &mut self,
                every: Duration,
                clock: PunctuationType,
                punctuator: impl Fn(&mut P, i64, &mut $context<'_, P>) -> Result<()> + Send + 'static,
            ) -> Cancellable {
                self.punctuators.push(Box::new(punctuator));
                self.needs.schedule(every, clock)
            }

            /// The task that the processor is made for. While the topology is built it is `0_0`.
            pub fn task_id(&self) -> TaskId {
                self.task_id
            }
        }
    };
}

init_context! {
    /// What the maker of a [`Processor`] is given, to say what the processor needs.
    InitContext, Processor, ProcessorContext, Punctuator
}
init_context! {
    /// What the maker of a [`FixedKeyProcessor`] is given, to say what the processor needs.
    FixedKeyInitContext, FixedKeyProcessor, FixedKeyContext, FixedKeyPunctuator
}
