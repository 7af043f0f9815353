//! A server, instances of the application on it, and what happens to them; in the end all of it is judged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anabranch::prelude::{AtLeastOnce, ExactlyOnce, Guarantee};
use anabranch_client::{Client, ClientConfig, NewTopic};
use anabranch_host::{Host, Instant, JoinHandle};
use tokio::sync::watch;

use crate::application::PARTITIONS;
use crate::instance::{Instance, PATIENCE};
use crate::judge::{Outcome, Rows, judge};
use crate::kinds::Results;
use crate::process::Server;
use crate::proxy::Proxy;
use crate::topics::{self, INPUTS, OUTPUTS, Placed, RESULTS, TABLES};

/// What a run is like.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) guarantee: Guarantee,
    pub(crate) instances: usize,
    pub(crate) threads: u64,
    pub(crate) standbys: u64,
    pub(crate) cache_max_bytes: u64,
    pub(crate) commit_interval_ms: u64,
    /// How much is written, in multiples of what is usual.
    pub(crate) load: u64,
    /// An instance that is not heard of for so long is missed.
    pub(crate) session: Duration,
}

impl Setting {
    fn to_lines(&self, id: &str, address: &str) -> String {
        let guarantee = match self.guarantee {
            AtLeastOnce => "at_least_once",
            ExactlyOnce => "exactly_once_v2",
        };
        let settings = [
            ("application.id", id.to_string()),
            ("bootstrap.servers", address.to_string()),
            ("processing.guarantee", guarantee.to_string()),
            ("num.stream.threads", self.threads.to_string()),
            ("num.standby.replicas", self.standbys.to_string()),
            ("statestore.cache.max.bytes", self.cache_max_bytes.to_string()),
            ("commit.interval.ms", self.commit_interval_ms.to_string()),
            ("acceptable.recovery.lag", "50".to_string()),
            ("consumer.session.timeout.ms", self.session.as_millis().to_string()),
            ("consumer.heartbeat.interval.ms", (self.session.as_millis() / 6).to_string()),
            ("producer.transaction.timeout.ms", "5000".to_string()),
            // A server that is killed on a busy machine takes its time to come back.
            ("socket.connection.setup.timeout.ms", "60000".to_string()),
            // So that changelogs are compacted, and repartition topics purged, beneath those who read them.
            ("topic.segment.ms", "1000".to_string()),
            ("topic.min.cleanable.dirty.ratio", "0.01".to_string()),
            ("repartition.purge.interval.ms", "200".to_string()),
        ];
        settings.map(|(key, value)| format!("{key}={value}\n")).concat()
    }
}

/// How often it is looked whether something has happened.
const SOON: Duration = Duration::from_millis(20);

/// What will happen to an instance by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Start,
    GoOn,
}

/// All of it, while it runs.
pub(crate) struct World {
    pub(crate) host: Host,
    id: String,
    setting: Setting,
    pub(crate) instances: Vec<Instance>,
    /// None, where the tests run on a server that is given.
    pub(crate) server: Option<Server>,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) client: Client,
    due: BTreeMap<usize, (Instant, Due)>,
    /// Logs and state. It is kept if the run fails.
    directory: PathBuf,
    writing: Option<JoinHandle<u64>>,
    is_writing_over: Arc<AtomicBool>,
    following: Option<JoinHandle<()>>,
    is_following_over: Arc<AtomicBool>,
    followed: Arc<Mutex<Vec<Placed>>>,
    followed_count: Arc<AtomicUsize>,
}

/// Where logs and state of a run are kept while it runs, and afterwards if it fails.
fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("instances").join(name);
    // Of an earlier run that had the same name.
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

impl World {
    /// A server, the application's topics, whoever writes and reads; no instance runs yet.
    pub(crate) async fn start(host: &Host, setting: Setting, seed: u64) -> World {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = format!("app-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = directory(&id);
        println!("{id}: {setting:?}; logs and state in {}", directory.display());
        let (server, proxy, address) = match std::env::var("ANABRANCH_KAFKA") {
            Ok(address) => (None, None, address),
            Err(_) => {
                let (tell, upstream) = watch::channel(String::new());
                let proxy = Proxy::start(host, upstream).await;
                let overrides = [
                    format!("advertised.listeners=PLAINTEXT://{}", proxy.address),
                    "group.min.session.timeout.ms=1000".to_string(),
                    "group.initial.rebalance.delay.ms=0".to_string(),
                    "log.cleaner.backoff.ms=100".to_string(),
                ];
                let server = Server::start(
                    host,
                    &directory.join("server"),
                    &overrides,
                    Some(&directory.join("server.log")),
                )
                .await;
                tell.send(server.address()).unwrap();
                let address = proxy.address.clone();
                (Some(server), Some(proxy), address)
            }
        };
        let config = [("bootstrap.servers", address.as_str()), ("client.id", "test")];
        let config = ClientConfig::from_pairs(config).unwrap();
        let client = Client::connect(host, host.dialer(), config).await.unwrap();
        let names = INPUTS.iter().chain(&OUTPUTS).chain(&RESULTS).chain(&TABLES);
        let names: Vec<_> = names.map(|topic| format!("{id}-{topic}")).collect();
        let new: Vec<_> = names.iter().map(|name| NewTopic::new(name.as_str(), PARTITIONS)).collect();
        for (name, created) in client.admin().create_topics(&new).await.unwrap() {
            created.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        topics::write_tables(&client, &id, setting.load).await;
        let lines = setting.to_lines(&id, &address);
        let instances = (0..setting.instances).map(|number| Instance::new(number, &directory, &lines));
        let mut world = World {
            instances: instances.collect(),
            host: host.clone(),
            id,
            setting,
            server,
            proxy,
            client,
            due: BTreeMap::new(),
            directory,
            writing: None,
            is_writing_over: Arc::default(),
            following: None,
            is_following_over: Arc::default(),
            followed: Arc::default(),
            followed_count: Arc::default(),
        };
        world.write(seed);
        world.following = Some(host.spawn(topics::follow(
            world.client.clone(),
            world.id.clone(),
            Arc::clone(&world.followed_count),
            Arc::clone(&world.is_following_over),
            Arc::clone(&world.followed),
        )));
        world
    }

    fn write(&mut self, seed: u64) {
        let is_over = Arc::clone(&self.is_writing_over);
        let writing = topics::write(self.client.clone(), self.id.clone(), self.setting.load, seed, is_over);
        self.writing = Some(self.host.spawn(writing));
    }

    /// Starts an instance, and waits until it runs.
    pub(crate) async fn start_instance(&mut self, number: usize) {
        self.instances[number].start();
        self.instances[number].started(&self.host).await;
    }

    /// Waits until an instance has tasks as they should be, which process; these.
    pub(crate) async fn tasks(
        &mut self,
        number: usize,
        are_right: impl Fn(&[String]) -> bool,
    ) -> Vec<String> {
        let deadline = self.host.now() + PATIENCE;
        loop {
            let tasks = self.instances[number].ask(&self.host, "tasks").await;
            let tasks: Vec<_> = tasks.split_whitespace().map(str::to_string).collect();
            if are_right(&tasks) {
                return tasks;
            }
            assert!(self.host.now() < deadline, "instance {number} still has the tasks {tasks:?}");
            self.sleep(Duration::from_millis(50)).await;
        }
    }

    /// How many records the process of an instance has restored of tasks that it runs.
    pub(crate) async fn restored(&mut self, number: usize) -> usize {
        self.instances[number].ask(&self.host, "restored").await.parse().unwrap()
    }

    /// Those that process, as far as is known.
    pub(crate) fn running(&self) -> Vec<usize> {
        let runs =
            |instance: &&Instance| instance.is_up() && !instance.is_stopped() && !instance.is_closing();
        self.instances.iter().filter(runs).map(|instance| instance.number).collect()
    }

    /// Starts an instance again after some time.
    pub(crate) fn start_later(&mut self, number: usize, after: Duration) {
        self.due.insert(number, (self.host.now() + after, Due::Start));
    }

    /// Lets an instance that stands still go on after some time.
    pub(crate) fn go_on_later(&mut self, number: usize, after: Duration) {
        self.due.insert(number, (self.host.now() + after, Due::GoOn));
    }

    /// Does what is due by now; and looks whether all instances live that should.
    fn do_what_is_due(&mut self) {
        for instance in &mut self.instances {
            if let Some(status) = instance.has_ended() {
                panic!("instance {} has ended by itself with {status}", instance.number);
            }
        }
        let now = self.host.now();
        for (number, (at, what)) in std::mem::take(&mut self.due) {
            let instance = &mut self.instances[number];
            match what {
                _ if at > now => drop(self.due.insert(number, (at, what))),
                // It is about to end.
                Due::Start if instance.is_up() => drop(self.due.insert(number, (at + SOON, what))),
                Due::Start => instance.start(),
                Due::GoOn => instance.go_on(),
            }
        }
    }

    /// Nothing waits any more: whoever is to start or to go on does so.
    pub(crate) async fn do_all_that_is_due(&mut self) {
        let now = self.host.now();
        self.due.values_mut().for_each(|(at, _)| *at = now);
        let deadline = now + PATIENCE;
        while !self.due.is_empty() {
            assert!(self.host.now() < deadline, "an instance that was told to end does not");
            self.sleep(SOON).await;
        }
    }

    /// Sleeps, and meanwhile does what is due.
    pub(crate) async fn sleep(&mut self, time: Duration) {
        let until = self.host.now() + time;
        while self.host.now() < until {
            self.do_what_is_due();
            let next = self.due.values().map(|(at, _)| *at).min().unwrap_or(until).min(until);
            self.host.sleep_until(next).await;
        }
        self.do_what_is_due();
    }

    /// Nothing happens until the application has got on: so many committed results more are there.
    pub(crate) async fn let_it_get_on(&mut self, results: usize) {
        self.do_all_that_is_due().await;
        let wanted = self.followed_count.load(Ordering::Acquire) + results;
        let deadline = self.host.now() + PATIENCE;
        while self.followed_count.load(Ordering::Acquire) < wanted {
            assert!(self.host.now() < deadline, "the application does not get on");
            self.sleep(SOON).await;
        }
    }

    /// Ends the writing, waits until all is processed, ends everything and judges.
    pub(crate) async fn end(mut self) {
        if let Some(proxy) = &self.proxy {
            println!("{} connections were cut", proxy.relent());
        }
        self.do_all_that_is_due().await;
        self.is_writing_over.store(true, Ordering::Release);
        let written = self.writing.take().expect("it writes").await.unwrap();
        self.instances[0].ask(&self.host, "drain").await;
        let mut outcome = self.outputs().await;
        // A task may be on its way: then for a moment nobody tells of its rows.
        let deadline = self.host.now() + Duration::from_secs(60);
        loop {
            (outcome.sums_store, outcome.counts_store) = self.stores().await;
            let is_whole = outcome.sums_store == outcome.sums_changelog
                && outcome.counts_store == outcome.counts_changelog;
            if is_whole || self.host.now() > deadline {
                break;
            }
            self.sleep(Duration::from_millis(100)).await;
        }
        for instance in &mut self.instances {
            instance.close(&self.host).await;
        }
        let deadline = self.host.now() + Duration::from_secs(60);
        let held_up = loop {
            let held_up = topics::held_up(&self.client, &self.id).await;
            if held_up.is_empty() || self.host.now() > deadline {
                break held_up;
            }
            self.host.sleep(Duration::from_millis(100)).await;
        };
        self.is_following_over.store(true, Ordering::Release);
        self.following.take().expect("it follows").await.unwrap();
        let merged = self.setting.cache_max_bytes > 0;
        let mut violations = judge(&outcome, self.setting.guarantee, merged);
        violations.extend(held_up.into_iter().map(|what| format!("held up: {what}")));
        violations.extend(self.read_and_gone().await);
        println!(
            "{}: {written} written, {} sums, {} pairs, {} counts, {} of sessions, {} final",
            self.id,
            outcome.sums.len(),
            outcome.pairs.len(),
            outcome.counts.len(),
            outcome.results.sessions.len(),
            outcome.results.finals.len()
        );
        assert!(
            violations.is_empty(),
            "{} violations, such as {:#?}\nlogs and state are in {}",
            violations.len(),
            &violations[..violations.len().min(10)],
            self.directory.display()
        );
        if let Some(server) = self.server.take() {
            server.stop(&self.host).await;
        }
        std::fs::remove_dir_all(&self.directory).unwrap();
    }

    /// The rows of the instances' stores.
    async fn stores(&mut self) -> (Rows<String>, Rows<i64>) {
        let (mut all_sums, mut all_counts) = (Rows::new(), Rows::new());
        for instance in &mut self.instances {
            let rows = instance.ask(&self.host, "stores").await;
            let (sums, counts): (Rows<String>, Rows<i64>) = serde_json::from_str(&rows).unwrap();
            all_sums.extend(sums);
            all_counts.extend(counts);
        }
        (all_sums, all_counts)
    }

    /// What inputs, outputs and changelogs hold.
    async fn outputs(&self) -> Outcome {
        let of = async |topic: &str| topics::all(&self.client, &format!("{}-{topic}", self.id)).await;
        Outcome {
            numbers: topics::seen(&of("numbers").await, topics::number),
            left: topics::seen(&of("left").await, topics::number),
            right: topics::seen(&of("right").await, topics::number),
            sums: topics::seen(&of("sums").await, topics::text),
            pairs: topics::seen(&of("pairs").await, topics::text),
            counts: topics::seen(&of("counts").await, topics::number),
            results: Results {
                sessions: topics::seen(&of("sessions").await, topics::number),
                finals: topics::seen(&of("finals").await, topics::number),
                placed: topics::seen(&of("placed").await, topics::text),
                answers: topics::seen(&of("answers").await, topics::text),
            },
            sums_store: Rows::new(),
            counts_store: Rows::new(),
            sums_changelog: topics::rows(&of("sums-changelog").await, topics::text, topics::text),
            counts_changelog: topics::rows(&of("counts-changelog").await, topics::windowed, topics::number),
        }
    }

    /// What was read on the way and is not there in the end.
    async fn read_and_gone(&self) -> Vec<String> {
        let mut there = BTreeMap::new();
        for topic in OUTPUTS {
            let records = topics::all(&self.client, &format!("{}-{topic}", self.id)).await;
            there.extend(records.iter().map(topics::placed));
        }
        let followed = self.followed.lock().unwrap();
        let gone = followed.iter().filter(|(place, value)| there.get(place) != Some(value));
        gone.map(|(place, _)| format!("read on the way, and gone: {place:?}")).collect()
    }
}
