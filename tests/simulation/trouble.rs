//! Trouble: instances work, and others with them, while things fail and instances end, until all is mended.

use std::future::Future;
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_host::{Host, Sim, SimOptions};

use crate::broker_process::BrokerProcess;
use crate::instances::{Instances, end_instances, life, while_they_live};
use crate::nemesis::{FAULTS, Fault, Nemesis};

/// What fails, and for how long.
pub(crate) struct Trouble<'a> {
    sim: &'a Sim,
    options: &'a SimOptions,
    broker: &'a BrokerProcess<'a>,
    instances: &'a Instances,
    lasts: Duration,
    faults: &'a [Fault],
}

impl<'a> Trouble<'a> {
    /// Anything may fail.
    pub(crate) fn new(
        sim: &'a Sim,
        options: &'a SimOptions,
        broker: &'a BrokerProcess<'a>,
        instances: &'a Instances,
        lasts: Duration,
    ) -> Self {
        Trouble { sim, options, broker, instances, lasts, faults: &FAULTS }
    }

    /// Else nothing fails, and no instance ends.
    pub(crate) fn only_if(self, troubled: bool) -> Self {
        Trouble { faults: if troubled { self.faults } else { &[] }, ..self }
    }

    /// Runs the instances while `work` is done, which needs `clients`. They are still there then.
    pub(crate) async fn while_they_run(
        &self,
        clients: &[&str],
        streams: impl Fn(&Host) -> Streams,
        work: impl Future,
    ) {
        self.while_they_live(clients, |host| life(streams(host), host.clone()), work).await;
    }

    /// The same, where more is done with instances than to run them.
    pub(crate) async fn while_they_live<L>(
        &self,
        clients: &[&str],
        life: impl Fn(&Host) -> L,
        work: impl Future,
    ) where
        L: Future<Output = Result<()>> + Send + 'static,
    {
        let Trouble { sim, options, broker, instances, faults, lasts } = *self;
        let nodes = instances.nodes_in_trouble(clients);
        let nemesis = Nemesis::new(sim, broker, &nodes, faults, options.disk.clone());
        let ends = end_instances(sim, instances.count, !faults.is_empty(), lasts);
        let all = Box::pin(async { tokio::join!(work, nemesis.run(lasts), ends) });
        while_they_live(sim, &instances.nodes(), life, all).await;
    }
}
