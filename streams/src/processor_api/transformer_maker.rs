//! How a user's transformer is made for a node, or for a look-up in another node.

use std::sync::Arc;

use super::needs::Places;
use super::{Needs, TransformContext, TransformInitContext, ValueTransformer};
use crate::error::Result;
use crate::headers::Headers;
use crate::processor::{Context, NodeInit, TaskId};

/// Makes transformers, and says beforehand what they need.
pub(crate) struct TransformerMaker<T>(Arc<dyn Fn(&mut TransformInitContext<'_>) -> T + Send + Sync>);

/// The task of a transformer that is only asked for its needs.
const NO_TASK: TaskId = TaskId { subtopology: 0, partition: 0 };

impl<T: ValueTransformer> TransformerMaker<T> {
    pub(crate) fn new(make: impl Fn(&mut TransformInitContext<'_>) -> T + Send + Sync + 'static) -> Self {
        TransformerMaker(Arc::new(make))
    }

    /// Runs the maker to learn what it asks for.
    pub(crate) fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        (self.0)(&mut TransformInitContext { needs: &mut needs, task_id: NO_TASK });
        needs
    }

    /// Makes one, with its stores.
    pub(crate) fn make(&self, init: &NodeInit<'_>) -> Result<MadeTransformer<T>> {
        let mut needs = Needs::default();
        let transformer = (self.0)(&mut TransformInitContext { needs: &mut needs, task_id: init.task_id });
        Ok(MadeTransformer { transformer, places: needs.find_stores(init)? })
    }
}

impl<T> Clone for TransformerMaker<T> {
    fn clone(&self) -> Self {
        TransformerMaker(Arc::clone(&self.0))
    }
}

/// A transformer and where its stores are.
pub(crate) struct MadeTransformer<T> {
    transformer: T,
    places: Places,
}

impl<T: ValueTransformer> MadeTransformer<T> {
    #[inline]
    pub(crate) fn transform(
        &mut self,
        key: &T::Key,
        value: Option<&T::ValueIn>,
        (timestamp, headers): (i64, &Headers),
        context: &mut Context<'_>,
    ) -> Result<Option<T::ValueOut>> {
        let MadeTransformer { transformer, places } = self;
        transformer.transform(
            key,
            value,
            &mut TransformContext::new(context, places, timestamp, headers.encoded()),
        )
    }
}
