//! All kinds of state in one application, the twin of `java/KindsOfState.java`, so that each can take over from the other.
//!
//! ```text
//! kinds_of_state HOST:PORT APPLICATION DIRECTORY FILE ... [KEY=VALUE ...]
//! ```
//!
//! It sends the files (lines of topic, key, value or nothing, time) to the topics of the application, processes them and
//! closes. All is there before the start, so that records meet in the order of their times, whoever processes them.

#![allow(clippy::disallowed_methods, reason = "a program of a user's: its files are its own")]

use anabranch::prelude::*;
use anabranch_client::{Client, ClientConfig, Producer, ProducerConfig, ProducerRecord};
use anabranch_host::Host;
use anyhow::Context;

type Text = Option<String>;
type TextStream = KStream<String, String>;

fn topology(application: &str) -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let input = |name: &str| Topic::<String, String>::named(format!("{application}.{name}"));
    let output = |name: &str| Topic::<String, Text>::named(format!("{application}.out-{name}"));
    let (clicks, views) = (builder.stream(input("clicks")), builder.stream(input("views")));
    let grouped = clicks.group_by_key();

    let to = |stream: TextStream, name: &str| {
        stream.with_nullable_values().to(output(name));
    };
    let rows = |table: KTable<String, String>, name: &str| {
        table.to_stream().to(output(name));
    };
    let at = |k: Windowed<String>| format!("{}@{}/{}", k.key, k.window.start_ms, k.window.end_ms);
    let windows = |table: KTable<Windowed<String>, String>, name: &str| {
        table.to_stream().map(move |k, v| (at(k), v)).to(output(name));
    };
    let numbers = |table: KTable<Windowed<String>, i64>, name: &str| {
        table.to_stream().map(move |k, n| (at(k), n.map(|n| n.to_string()))).to(output(name));
    };
    let append = |_: &String, value: String, all: String| all + &value;

    let sessions = grouped.windowed_by(Session::gap(millis(300)).grace(millis(500)));
    let at =
        |k: Windowed<String, SessionWindow>| format!("{}@{}/{}", k.key, k.window.start_ms, k.window.end_ms);
    sessions
        .aggregate_with(
            String::new,
            append,
            |_, a, b| a + "|" + &b,
            Store::named("sessions").retention(seconds(20)),
        )
        .to_stream()
        .map(move |k, v| (at(k), v))
        .to(output("sessions"));
    let second = Tumbling::of(millis(1_000)).grace(millis(500));
    let counts = grouped.windowed_by(second).count_with(Store::named("tumbling").retention(seconds(20)));
    numbers(counts.suppress(until_window_closes()).named("closed"), "closed");
    let hopping = Hopping::of(millis(1_000)).every(millis(500)).grace(millis(500));
    windows(
        grouped.windowed_by(hopping).aggregate_with(
            String::new,
            append,
            Store::named("hopping").retention(seconds(20)),
        ),
        "hopping",
    );
    let sliding = Sliding::of(millis(400)).grace(millis(500));
    windows(
        grouped.windowed_by(sliding).aggregate_with(
            String::new,
            append,
            Store::named("sliding").retention(seconds(20)),
        ),
        "sliding",
    );
    numbers(
        grouped
            .windowed_by(second)
            .emit_on_window_close()
            .count_with(Store::named("emitted").retention(seconds(20))),
        "emitted",
    );
    let both = grouped
        .cogroup(String::new, |_, v, all: String| all + "c" + &v)
        .cogroup(&views.group_by_key(), |_, v, all| all + "v" + &v);
    windows(
        both.windowed_by(second).aggregate_with(Store::named("cogrouped").retention(seconds(20))),
        "cogrouped",
    );

    let near = || JoinWindows::of(millis(400)).grace(millis(1_500));
    let text = |side: Option<&String>| side.map_or("null".to_owned(), String::clone);
    let named = |name: &str| StreamJoined::named(name).stores(name);
    to(clicks.join_with(&views, near(), |_, l, r| format!("{l}+{r}"), named("inner")), "inner");
    to(
        clicks.left_join_with(&views, near(), move |_, l, r| format!("{l}+{}", text(r)), named("left")),
        "left",
    );
    let joined = move |_: &String, l: Option<&String>, r: Option<&String>| text(l) + "+" + &text(r);
    to(clicks.outer_join_with(&views, near(), joined, named("outer")), "outer");

    let prices = builder.table_with(
        input("prices"),
        Store::<Versioned<String, String>>::named("prices").history(seconds(20)),
    );
    let late = Joined::named("priced").grace(millis(800));
    to(clicks.join_table_with(&prices, |_, click, price| click + "*" + price, late), "priced");
    to(views.process(Everything::new).named("by-hand"), "by-hand");

    let orders = builder.table_with(input("orders"), "orders");
    let customers = builder.table_with(input("customers"), "customers");
    let letter = |_: &String, v: &String| v[..1].to_owned();
    rows(
        orders
            .suppress(until_time_limit(millis(700), max_records(1_000).emit_early_when_full()))
            .named("held"),
        "held",
    );
    let paired = |_: &String, o: &String, c: &String| format!("{o}+{c}");
    rows(orders.foreign_key_join_with(&customers, letter, paired, "fk-inner", "fk-inner-store"), "fk-inner");
    let paired = move |_: &String, o: &String, c: Option<&String>| format!("{o}+{}", text(c));
    rows(
        orders.left_foreign_key_join_with(&customers, letter, paired, "fk-left", "fk-left-store"),
        "fk-left",
    );
    let sides = move |_: &String, o: Option<&String>, c: Option<&String>| text(o) + "+" + &text(c);
    rows(orders.outer_join_with(&customers, sides, "tables-store").named("tables"), "tables");
    let number = |text: &str| text.parse::<i64>().map_err(|error| error.to_string());
    let sums =
        orders.group_by_with(|_, v| (v[..1].to_owned(), v.len().to_string()), Grouped::named("by-customer"));
    let add =
        move |_: &String, v: String, sum: String| Ok::<_, String>((number(&sum)? + number(&v)?).to_string());
    let subtract =
        move |_: &String, v: String, sum: String| Ok::<_, String>((number(&sum)? - number(&v)?).to_string());
    rows(sums.aggregate_with(|| "0".to_owned(), add, subtract, "sums"), "sums");
    builder.build()
}

/// Keeps each record in stores of all kinds, tells what was there before.
struct Everything {
    kv: StoreRef<KeyValue<String, String>>,
    window: StoreRef<Windows<String, String>>,
    session: StoreRef<Sessions<String, String>>,
    versioned: StoreRef<Versioned<String, String>>,
}

impl Everything {
    fn new(ctx: &mut InitContext<'_, Self>) -> Self {
        Everything {
            kv: ctx.store(Store::named("kv")),
            window: ctx.store(Store::named("window").retention(seconds(20)).window(seconds(1))),
            session: ctx.store(Store::named("session").retention(seconds(20))),
            versioned: ctx.store(Store::named("versioned").history(seconds(20))),
        }
    }
}

impl Processor for Everything {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = String;

    fn process(
        &mut self,
        record: Record<String, String>,
        ctx: &mut ProcessorContext<'_, Self>,
    ) -> Result<()> {
        let (key, value, now) = (&record.key, &record.value, record.timestamp);
        let start_ms = now - now % 1_000;
        if value.ends_with('7') {
            ctx.store(self.kv).delete(key)?;
        } else {
            ctx.store(self.kv).put(key, value)?;
        }
        let or_null = |text: Option<String>| text.unwrap_or_else(|| "null".to_owned());
        let mut told = or_null(ctx.store(self.kv).get(key)?) + ",";
        let mut window = ctx.store(self.window);
        told += &or_null(window.fetch(key, start_ms)?);
        told += ",";
        window.put(key, value, start_ms)?;
        let mut session = ctx.store(self.session);
        for (_, found) in session.find_sessions(key, now - 2_000..=now)? {
            told += &(found + ";");
        }
        let last = Windowed { key: key.clone(), window: SessionWindow { start_ms, end_ms: start_ms + 999 } };
        session.put(&last, (!value.ends_with('3')).then_some(value))?;
        let mut versioned = ctx.store(self.versioned);
        let version = versioned.get_as_of(key, now - 1_500)?;
        told += ",";
        told +=
            &version.map_or("none".to_owned(), |found| format!("{}@{}", found.value, found.valid_from_ms));
        let put = match versioned.put(key, (!value.ends_with('5')).then_some(value), now)? {
            PutOutcome::Latest => -1,
            PutOutcome::ValidTo(time) => time,
            PutOutcome::TooOld => i64::MIN,
        };
        told += &format!(",{put}");
        ctx.forward(record.with_value(told));
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, application, directory, rest @ ..] = &arguments[..] else {
        anyhow::bail!("too few arguments")
    };
    let (settings, files): (Vec<_>, Vec<_>) = rest.iter().partition(|argument| argument.contains('='));
    let (host, _runtime) = Host::real(1)?;
    let config = ClientConfig::from_pairs([("bootstrap.servers", server.as_str())])?;
    let client = Client::connect(&host, host.dialer(), config).await?;
    for file in files {
        feed(&client, application, file).await?;
    }
    // Who has closed does not leave the group, so that it finds its tasks if it comes back soon.
    let _ = client.admin().remove_all_members(application, "another takes over").await;
    let mut streams = Streams::new(application, topology(application)?)
        .bootstrap_server(server)
        .state_dir(directory)
        .config("statestore.cache.max.bytes", 0)
        .config("commit.interval.ms", 50)
        .on_uncaught_error(|_| ShutdownClient);
    for setting in &settings {
        let (key, value) = setting.split_once('=').context("a setting has an equals sign")?;
        streams = streams.config(key, value);
    }
    let app = streams.start().await?;
    app.drain().await?;
    app.close().await?;
    Ok(())
}

async fn feed(client: &Client, application: &str, file: &str) -> anyhow::Result<()> {
    let producer = Producer::new(client, ProducerConfig::default())?;
    for line in std::fs::read_to_string(file)?.lines() {
        let [topic, key, value, time] = line.split('\t').collect::<Vec<_>>()[..] else {
            anyhow::bail!("{file} has a line of another kind: {line}")
        };
        let topic = format!("{application}.{topic}");
        let mut record = ProducerRecord::new(&topic).key(key);
        if !value.is_empty() {
            record = record.value(value);
        }
        drop(producer.send(record.timestamp(time.parse()?)).await?);
    }
    producer.close().await?;
    Ok(())
}
