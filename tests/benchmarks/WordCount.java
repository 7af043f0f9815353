// Word count in Kafka Streams: as benchmarks/word_count.rs has it, with the same topic, topology, settings and figures, and,
// with other names, as examples/word_count.rs does. It ends when the counts come to so many words; until then it also serves
// benchmarks/latency.rs and benchmarks/state.rs.
//
//   java -cp 'JARS/*' WordCount.java HOST:PORT GUARANTEE COMMIT_MS CACHE_BYTES WORDS [KEY=VALUE ...]
//
// Keys are `lines`, `counts` and `store`, which name the topics and the store, and those of Kafka Streams' configuration.

import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.Stores;

public final class WordCount {
  public static void main(String[] arguments) throws Exception {
    String server = arguments[0], guarantee = arguments[1], commit = arguments[2], cache = arguments[3];
    long words = Long.parseLong(arguments[4]);

    var config = new Properties();
    config.put("application.id", "benchmark-java-" + ProcessHandle.current().pid() + "-" + System.nanoTime());
    config.put("bootstrap.servers", server);
    config.put("processing.guarantee", guarantee);
    config.put("commit.interval.ms", commit);
    config.put("statestore.cache.max.bytes", cache);
    config.put("auto.offset.reset", "earliest");
    config.put("state.dir", Files.createTempDirectory("benchmark").toString());
    var names = new HashMap<>(Map.of("lines", "benchmark-lines", "counts", "benchmark-java-counts", "store", "counts"));
    for (String pair : Arrays.asList(arguments).subList(5, arguments.length)) {
      String key = pair.substring(0, pair.indexOf('=')), value = pair.substring(key.length() + 1);
      if (names.containsKey(key)) names.put(key, value);
      else config.put(key, value);
    }

    var builder = new StreamsBuilder();
    var store = Materialized.<String, Long>as(Stores.inMemoryKeyValueStore(names.get("store")));
    builder.stream(names.get("lines"), Consumed.with(Serdes.String(), Serdes.String()))
        .flatMapValues(line -> Arrays.asList(line.split(" ")))
        .groupBy((key, word) -> word, Grouped.with(Serdes.String(), Serdes.String()))
        .count(store.withKeySerde(Serdes.String()).withValueSerde(Serdes.Long()))
        .toStream()
        .to(names.get("counts"), Produced.with(Serdes.String(), Serdes.Long()));

    double cpu = cpuSeconds();
    long start = System.nanoTime();
    try (var streams = new KafkaStreams(builder.build(), config)) {
      streams.start();
      boolean ready = false;
      long counted = 0;
      while (counted < words) {
        Thread.sleep(100);
        if (streams.state() == KafkaStreams.State.ERROR) System.exit(1);
        if (streams.state() != KafkaStreams.State.RUNNING) continue;
        if (!ready) {
          System.out.printf("Kafka Streams: ready after %.2f s, %.2f s of CPU%n", (System.nanoTime() - start) / 1e9, cpuSeconds() - cpu);
          ready = true;
        }
        counted = 0;
        var query = StoreQueryParameters.fromNameAndType(names.get("store"), QueryableStoreTypes.<String, Long>keyValueStore());
        try (KeyValueIterator<String, Long> all = streams.store(query).all()) {
          while (all.hasNext()) {
            Long count = all.next().value;
            counted += count == null ? 0 : count; // a row that is being written shows none
          }
        }
      }
      double seconds = (System.nanoTime() - start) / 1e9, spent = cpuSeconds() - cpu;
      System.out.printf(
          "Kafka Streams: %s, commit %s ms, cache %s B: %d words in %.2f s: %.0f words/s, %.2f s of CPU: %.0f words per CPU second%n",
          guarantee, commit, cache, counted, seconds, counted / seconds, spent, counted / spent);
      streams.close(Duration.ofSeconds(20));
    }
  }

  static double cpuSeconds() {
    var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    return system.getProcessCpuTime() / 1e9;
  }
}
