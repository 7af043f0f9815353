// All kinds of state in one application of Kafka Streams, the twin of interop/kinds_of_state.rs, so that each can take over from
// the other; and what two applications have written, compared.
//
//   java -cp 'JARS/*' KindsOfState.java HOST:PORT run APPLICATION DIRECTORY FILE ... [KEY=VALUE ...]
//   java -cp 'JARS/*' KindsOfState.java HOST:PORT compare APPLICATION APPLICATION
//
// `run` sends the files (lines of topic, key, value or nothing, time) to the topics of the application, processes them and
// closes. All is there before the start, so that records meet in the order of their times, whoever processes them.

import static java.util.stream.Collectors.joining;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.kstream.internals.SessionWindow;
import org.apache.kafka.streams.processor.StateStore;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.SessionStore;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.VersionedKeyValueStore;
import org.apache.kafka.streams.state.WindowStore;

public final class KindsOfState {
  /**
   * Of these the last result of each key is compared. Where several partitions meet, chance says which updates are seen on the
   * way to it; and a suppression that Kafka Streams restores lets a row go too early if its key has waited before.
   */
  static final List<String> ONLY_LAST = List.of("fk-inner", "fk-left", "sums", "held");
  /**
   * These come in any order: what waits until a window closes is looked for by the wall clock too; and what waits for prices
   * Kafka Streams may forget after a start, until somebody reads the changelog again.
   */
  static final List<String> IN_ANY_ORDER = List.of("left", "outer", "emitted", "priced");
  static final List<String> INPUTS = List.of("clicks", "views", "prices", "orders", "customers");

  public static void main(String[] arguments) throws Exception {
    try (var admin = Admin.create(Map.of("bootstrap.servers", arguments[0]))) {
      if (arguments[1].equals("compare")) compare(arguments[0], admin, arguments[2], arguments[3]);
      else run(arguments, admin);
    }
  }

  // --- the application ------------------------------------------------------------------------------------------------

  static final Duration SECOND = Duration.ofSeconds(1);

  static Topology topology(String application, Properties config) {
    var b = new StreamsBuilder();
    var to = new Object() {
      void it(KStream<String, String> results, String name) { results.to(application + ".out-" + name); }
      <V> void windows(KTable<Windowed<String>, V> table, String name) {
        it(table.toStream().map((k, v) -> KeyValue.pair(k.key() + "@" + k.window().start() + "/" + k.window().end(), v == null ? null : "" + v)), name);
      }
    };
    KStream<String, String> clicks = b.stream(application + ".clicks"), views = b.stream(application + ".views");
    var texts = Grouped.with(Serdes.String(), Serdes.String());
    var byKey = clicks.groupByKey(texts);

    to.windows(byKey.windowedBy(SessionWindows.ofInactivityGapAndGrace(ms(300), ms(500)))
        .aggregate(() -> "", (k, v, all) -> all + v, (k, x, y) -> x + "|" + y, kept("sessions")), "sessions");
    to.windows(byKey.windowedBy(TimeWindows.ofSizeAndGrace(SECOND, ms(500))).count(kept("tumbling"))
        .suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()).withName("closed")), "closed");
    to.windows(byKey.windowedBy(TimeWindows.ofSizeAndGrace(SECOND, ms(500)).advanceBy(ms(500)))
        .aggregate(() -> "", (k, v, all) -> all + v, kept("hopping")), "hopping");
    to.windows(byKey.windowedBy(SlidingWindows.ofTimeDifferenceAndGrace(ms(400), ms(500)))
        .aggregate(() -> "", (k, v, all) -> all + v, kept("sliding")), "sliding");
    to.windows(byKey.windowedBy(TimeWindows.ofSizeAndGrace(SECOND, ms(500))).emitStrategy(EmitStrategy.onWindowClose())
        .count(kept("emitted")), "emitted");
    to.windows(byKey.<String>cogroup((k, v, all) -> all + "c" + v).cogroup(views.groupByKey(texts), (k, v, all) -> all + "v" + v)
        .windowedBy(TimeWindows.ofSizeAndGrace(SECOND, ms(500))).aggregate(() -> "", kept("cogrouped")), "cogrouped");

    var join = JoinWindows.ofTimeDifferenceAndGrace(ms(400), ms(1500));
    to.it(clicks.join(views, (l, r) -> l + "+" + r, join, StreamJoined.<String, String, String>as("inner").withName("inner")), "inner");
    to.it(clicks.leftJoin(views, (l, r) -> l + "+" + r, join, StreamJoined.<String, String, String>as("left").withName("left")), "left");
    to.it(clicks.outerJoin(views, (l, r) -> l + "+" + r, join, StreamJoined.<String, String, String>as("outer").withName("outer")), "outer");

    KTable<String, String> prices = b.table(application + ".prices", Materialized.as(Stores.persistentVersionedKeyValueStore("prices", Duration.ofSeconds(20))));
    to.it(clicks.join(prices, (click, price) -> click + "*" + price,
        Joined.<String, String, String>as("priced").withGracePeriod(ms(800))), "priced");
    b.addStateStore(Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("kv"), Serdes.String(), Serdes.String()));
    b.addStateStore(Stores.windowStoreBuilder(Stores.persistentWindowStore("window", Duration.ofSeconds(20), SECOND, false), Serdes.String(), Serdes.String()));
    b.addStateStore(Stores.sessionStoreBuilder(Stores.persistentSessionStore("session", Duration.ofSeconds(20)), Serdes.String(), Serdes.String()));
    b.addStateStore(Stores.versionedKeyValueStoreBuilder(Stores.persistentVersionedKeyValueStore("versioned", Duration.ofSeconds(20)), Serdes.String(), Serdes.String()));
    to.it(views.process(Everything::new, Named.as("by-hand"), "kv", "window", "session", "versioned"), "by-hand");

    KTable<String, String> orders = b.table(application + ".orders", Materialized.as("orders"));
    KTable<String, String> customers = b.table(application + ".customers", Materialized.as("customers"));
    to.it(orders.suppress(Suppressed.untilTimeLimit(ms(700), Suppressed.BufferConfig.maxRecords(1000)).withName("held")).toStream(), "held");
    to.it(orders.join(customers, v -> v.substring(0, 1), (o, c) -> o + "+" + c, TableJoined.as("fk-inner"), Materialized.as("fk-inner-store")).toStream(), "fk-inner");
    to.it(orders.leftJoin(customers, v -> v.substring(0, 1), (o, c) -> o + "+" + c, TableJoined.as("fk-left"), Materialized.as("fk-left-store")).toStream(), "fk-left");
    to.it(orders.outerJoin(customers, (o, c) -> o + "+" + c, Named.as("tables"), Materialized.as("tables-store")).toStream(), "tables");
    to.it(orders.groupBy((k, v) -> KeyValue.pair(v.substring(0, 1), v.length() + ""), Grouped.as("by-customer"))
        .aggregate(() -> "0", (k, v, sum) -> "" + (Integer.parseInt(sum) + Integer.parseInt(v)),
            (k, v, sum) -> "" + (Integer.parseInt(sum) - Integer.parseInt(v)), Materialized.as("sums")).toStream(), "sums");
    return b.build(config);
  }

  /** Longer than must be: without a cache Kafka Streams does not find rows at the edge of what it retains. */
  static <V, S extends StateStore> Materialized<String, V, S> kept(String store) {
    return Materialized.<String, V, S>as(store).withRetention(Duration.ofSeconds(20));
  }

  static Duration ms(long ms) { return Duration.ofMillis(ms); }

  /** Keeps each record in stores of all kinds, tells what was there before. */
  static final class Everything implements Processor<String, String, String, String> {
    ProcessorContext<String, String> context;
    KeyValueStore<String, String> kv;
    WindowStore<String, String> window;
    SessionStore<String, String> session;
    VersionedKeyValueStore<String, String> versioned;

    @Override public void init(ProcessorContext<String, String> context) {
      this.context = context;
      kv = context.getStateStore("kv");
      window = context.getStateStore("window");
      session = context.getStateStore("session");
      versioned = context.getStateStore("versioned");
    }

    @Override public void process(Record<String, String> record) {
      String key = record.key(), value = record.value();
      long now = record.timestamp(), start = now - now % 1000;
      if (value.endsWith("7")) kv.delete(key);
      else kv.put(key, value);
      var told = new StringBuilder();
      told.append(kv.get(key)).append(',').append(window.fetch(key, start)).append(',');
      window.put(key, value, start);
      var last = new Windowed<>(key, new SessionWindow(start, start + 999));
      try (var found = session.findSessions(key, now - 2000, now)) { found.forEachRemaining(row -> told.append(row.value).append(';')); }
      session.put(last, value.endsWith("3") ? null : value);
      var version = versioned.get(key, now - 1500);
      told.append(',').append(version == null ? "none" : version.value() + "@" + version.timestamp());
      told.append(',').append(versioned.put(key, value.endsWith("5") ? null : value, now));
      context.forward(record.withValue(told.toString()));
    }
  }

  // --- run ------------------------------------------------------------------------------------------------------------

  static void run(String[] arguments, Admin admin) throws Exception {
    String application = arguments[2];
    var config = new Properties();
    config.put("application.id", application);
    config.put("bootstrap.servers", arguments[0]);
    config.put("state.dir", arguments[3]);
    config.put("statestore.cache.max.bytes", 0);
    config.put("commit.interval.ms", 50);
    config.put("__emit.interval.ms.kstreams.windowed.aggregation__", 0);
    config.put("__emit.interval.ms.kstreams.outer.join.spurious.results.fix__", 0);
    config.put("auto.offset.reset", "earliest");
    config.put("retry.backoff.ms", 5);
    config.put("default.key.serde", Serdes.StringSerde.class);
    config.put("default.value.serde", Serdes.StringSerde.class);
    var files = new ArrayList<String>();
    for (String argument : List.of(arguments).subList(4, arguments.length)) {
      int equals = argument.indexOf('=');
      if (equals < 0) files.add(argument);
      else config.put(argument.substring(0, equals), argument.substring(equals + 1));
    }
    var topology = topology(application, config);
    var topics = new TreeSet<String>();
    for (String input : INPUTS) topics.add(application + "." + input);
    for (String word : topology.describe().toString().split("[\\s()]+")) if (word.startsWith(application + ".out-")) topics.add(word);
    try { admin.createTopics(topics.stream().map(topic -> new NewTopic(topic, 2, (short) 1)).toList()).all().get(); }
    catch (ExecutionException there) { /* from an earlier run */ }
    for (String file : files) feed(arguments[0], application, Path.of(file));
    try { admin.removeMembersFromConsumerGroup(application, new RemoveMembersFromConsumerGroupOptions()).all().get(); }
    catch (ExecutionException nobody) { /* there is no group, or it is empty */ }
    try (var streams = new KafkaStreams(topology, config)) {
      streams.setUncaughtExceptionHandler(error -> { error.printStackTrace(); Runtime.getRuntime().halt(1); return null; });
      streams.start();
      while (!isAllCommitted(admin, application)) Thread.sleep(50);
    }
  }

  static void feed(String server, String application, Path file) throws Exception {
    try (var producer = new KafkaProducer<>(Map.of("bootstrap.servers", server), new StringSerializer(), new StringSerializer())) {
      for (String line : Files.readAllLines(file)) {
        String[] words = line.split("\t", -1);
        producer.send(new ProducerRecord<>(application + "." + words[0], null, Long.parseLong(words[3]), words[1], words[2].isEmpty() ? null : words[2]));
      }
    }
  }

  /** What is committed is flushed: if nothing has come after it, all is done. */
  static boolean isAllCommitted(Admin admin, String application) throws Exception {
    var sources = new ArrayList<TopicPartition>();
    for (var topic : admin.describeTopics(admin.listTopics().names().get().stream()
        .filter(name -> INPUTS.stream().anyMatch(input -> name.equals(application + "." + input))
            || name.startsWith(application + "-") && !name.endsWith("-changelog") && !name.endsWith("-dead-letter")).toList()).allTopicNames().get().values())
      topic.partitions().forEach(partition -> sources.add(new TopicPartition(topic.name(), partition.partition())));
    var committed = admin.listConsumerGroupOffsets(application).partitionsToOffsetAndMetadata().get();
    var ends = admin.listOffsets(sources.stream().collect(Collectors.toMap(p -> p, p -> OffsetSpec.latest()))).all().get();
    return sources.stream().allMatch(p -> ends.get(p).offset() == (committed.get(p) == null ? 0 : committed.get(p).offset()));
  }

  // --- compare --------------------------------------------------------------------------------------------------------

  static void compare(String server, Admin admin, String one, String other) throws Exception {
    Map<String, List<ConsumerRecord<byte[], byte[]>>> expected = all(server, admin, one), got = all(server, admin, other);
    check("topics", settings(admin, one, expected.keySet()), settings(admin, other, got.keySet()));
    for (String topic : expected.keySet())
      if (!topic.endsWith("-repartition") && !topic.endsWith("-topic"))
        check(topic.substring(1), written(topic, expected.get(topic), one), written(topic, got.getOrDefault(topic, List.of()), other));
  }

  static void check(String topic, List<String> expected, List<String> got) {
    int same = 0;
    while (same < Math.min(expected.size(), got.size()) && expected.get(same).equals(got.get(same))) same++;
    boolean equal = same == expected.size() && same == got.size();
    System.out.println(equal ? "ok " + topic : "not ok " + topic + ": after " + same + " lines, "
        + got.stream().skip(same).limit(3).toList() + " in place of " + expected.stream().skip(same).limit(3).toList());
  }

  /** What is to be the same of a topic. */
  static List<String> written(String topic, List<ConsumerRecord<byte[], byte[]>> records, String application) {
    String name = topic.replace(".out-", "");
    Stream<ConsumerRecord<byte[], byte[]>> compared = records.stream();
    if (topic.endsWith("-changelog") || ONLY_LAST.contains(name)) {
      var last = new HashMap<String, ConsumerRecord<byte[], byte[]>>();
      for (var record : records) last.put(record.partition() + text(record.key()), record);
      compared = last.values().stream().filter(record -> record.value() != null);
    } else {
      // Records of one key come from one task, and are in its order.
      compared = compared.sorted(Comparator.comparing(record -> text(record.key())));
    }
    var lines = compared.map(record -> line(topic, record).replace(application, "").replace(HexFormat.of().formatHex(application.getBytes()), ""));
    return topic.startsWith(".") && !ONLY_LAST.contains(name) && !IN_ANY_ORDER.contains(name) ? lines.toList() : lines.sorted().toList();
  }

  /** All records of an application's topics; the names of the topics without its own. */
  static Map<String, List<ConsumerRecord<byte[], byte[]>>> all(String server, Admin admin, String application) throws Exception {
    var topics = new TreeMap<String, List<ConsumerRecord<byte[], byte[]>>>();
    Map<String, Object> config = Map.of("bootstrap.servers", server, "isolation.level", "read_committed");
    try (var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      var partitions = new ArrayList<TopicPartition>();
      for (var topic : admin.describeTopics(admin.listTopics().names().get()).allTopicNames().get().values()) {
        String name = topic.name();
        if (!name.startsWith(application + ".") && !name.startsWith(application + "-") || name.endsWith("-dead-letter")) continue;
        topics.put(name.substring(application.length()), new ArrayList<>());
        topic.partitions().forEach(partition -> partitions.add(new TopicPartition(name, partition.partition())));
      }
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      var ends = consumer.endOffsets(partitions);
      while (partitions.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition)))
        consumer.poll(ms(100)).forEach(record -> topics.get(record.topic().substring(application.length())).add(record));
    }
    for (var records : topics.values()) records.sort(Comparator.comparing(ConsumerRecord::partition)); // which is stable
    return topics;
  }

  static String line(String topic, ConsumerRecord<byte[], byte[]> record) {
    boolean byTheClock = List.of("-closed-store-changelog", "-held-store-changelog", "-priced-Buffer-changelog").contains(topic);
    // Rows of joins and their buffers end with a number, and begin with the first anew after each start of Kafka Streams.
    boolean numbered = topic.endsWith("-Buffer-changelog") || topic.endsWith("-join-store-changelog") && !topic.endsWith("-shared-join-store-changelog");
    byte[] key = numbered ? Arrays.copyOf(record.key(), record.key().length - 4) : record.key();
    String headers = Stream.of(record.headers().toArray()).map(header -> " " + header.key() + "=" + text(header.value())).collect(joining());
    return record.partition() + " " + (byTheClock ? "now" : record.timestamp()) + " " + text(key) + " -> " + text(record.value()) + headers;
  }

  static String text(byte[] bytes) {
    if (bytes == null) return "null";
    for (byte b : bytes) if (b < ' ') return HexFormat.of().formatHex(bytes);
    return new String(bytes);
  }

  static List<String> settings(Admin admin, String application, Set<String> topics) throws Exception {
    var resources = topics.stream().map(topic -> new ConfigResource(ConfigResource.Type.TOPIC, application + topic)).toList();
    var lines = new TreeSet<String>();
    for (var topic : admin.describeConfigs(resources).all().get().entrySet())
      lines.add(topic.getKey().name().substring(application.length()) + topic.getValue().entries().stream()
          .filter(entry -> entry.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG)
          .map(entry -> " " + entry.name() + "=" + entry.value()).sorted().collect(joining()));
    return List.copyOf(lines);
  }
}
