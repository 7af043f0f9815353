//! A question for many rows, answered at once or one by one.

use std::cmp::Ordering;
use std::future::{Future, IntoFuture};
use std::pin::Pin;

use anabranch_state_store::Order;

use super::iterator::KeyValueIterator;
use crate::error::Result;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Which of two rows comes first where the rows of all tasks are put in one order, by the bytes of their keys.
pub(super) type Compare = fn(&[u8], &[u8]) -> Ordering;

/// A question for many rows of a store: awaited, it gives all of them in a vector; [`iter`](Scan::iter) gives them one by one.
///
/// Either way each task's rows are those of one moment, and it goes on processing while they are read.
#[must_use = "nothing is read unless it is awaited"]
pub struct Scan<'a, K, V> {
    opened: Boxed<'a, KeyValueIterator<K, V>>,
    order: Order,
    compare: Compare,
}

impl<'a, K, V> Scan<'a, K, V> {
    pub(super) fn new(
        opened: impl Future<Output = Result<KeyValueIterator<K, V>>> + Send + 'a,
        order: Order,
        compare: Compare,
    ) -> Self {
        Scan { opened: Box::pin(opened), order, compare }
    }

    /// The rows one by one, task by task, without keeping them all.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// const ORDERS: Topic<String, String> = Topic::new("orders");
    /// const COUNTS: Store<KeyValue<String, i64>> = Store::named("orders-per-user");
    ///
    /// # fn main() -> Result<()> {
    /// # let (_host, threads) = anabranch_host::Host::real(1).expect("threads");
    /// # threads.block_on(async {
    /// let builder = StreamsBuilder::new();
    /// builder.stream(ORDERS).group_by_key().count_with(COUNTS);
    /// let app = Streams::new("app", builder.build()?).create_topics(1).start().await?;
    /// let orders = app.producer(ORDERS)?;
    /// orders.write("ann".to_string(), "tea".to_string()).await?;
    /// orders.write("bob".to_string(), "milk".to_string()).await?;
    /// app.drain().await?;
    ///
    /// let counts = app.store(COUNTS)?;
    /// let mut rows = counts.reverse_all().iter().await?;
    /// assert_eq!(rows.next().await?, Some(("bob".to_string(), 1)));
    ///
    /// // What comes now is not seen.
    /// orders.write("ann".to_string(), "bread".to_string()).await?;
    /// app.drain().await?;
    /// assert_eq!(rows.next().await?, Some(("ann".to_string(), 1)));
    /// assert_eq!(rows.next().await?, None);
    /// assert_eq!(counts.get(&"ann".to_string()).await?, Some(2));
    /// app.close().await
    /// # })
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the method that has made the scan; of single rows the iterator tells when it comes to them.
    pub async fn iter(self) -> Result<KeyValueIterator<K, V>> {
        self.opened.await
    }
}

impl<'a, K: Send + 'static, V: Send + 'static> IntoFuture for Scan<'a, K, V> {
    type Output = Result<Vec<(K, V)>>;
    type IntoFuture = Boxed<'a, Vec<(K, V)>>;

    fn into_future(self) -> Self::IntoFuture {
        let Scan { opened, order, compare } = self;
        Box::pin(async move {
            let mut rows = opened.await?;
            let mut found = Vec::new();
            while let Some(row) = rows.next_with_bytes().await? {
                found.push(row);
            }
            match order {
                Order::Forward => found.sort_by(|(a, ..), (b, ..)| compare(a, b)),
                Order::Reverse => found.sort_by(|(a, ..), (b, ..)| compare(b, a)),
            }
            Ok(found.into_iter().map(|(_, key, value)| (key, value)).collect())
        })
    }
}
