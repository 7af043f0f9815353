// The word count of benchmarks/word_count.rs in Kafka Streams: same topic, same topology, same settings, same figures.
//
//   java -cp 'JARS/*' WordCount.java HOST:PORT GUARANTEE COMMIT_MS CACHE_BYTES WORDS

import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.time.Duration;
import java.util.Arrays;
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
    String id = "benchmark-java-" + ProcessHandle.current().pid() + "-" + System.nanoTime();

    var builder = new StreamsBuilder();
    var store = Materialized.<String, Long>as(Stores.inMemoryKeyValueStore("counts"));
    builder.stream("benchmark-lines", Consumed.with(Serdes.String(), Serdes.String()))
        .flatMapValues(line -> Arrays.asList(line.split(" ")))
        .groupBy((key, word) -> word, Grouped.with(Serdes.String(), Serdes.String()))
        .count(store.withKeySerde(Serdes.String()).withValueSerde(Serdes.Long()))
        .toStream()
        .to("benchmark-java-counts", Produced.with(Serdes.String(), Serdes.Long()));

    var config = new Properties();
    config.put("application.id", id);
    config.put("bootstrap.servers", server);
    config.put("processing.guarantee", guarantee);
    config.put("commit.interval.ms", commit);
    config.put("statestore.cache.max.bytes", cache);
    config.put("auto.offset.reset", "earliest");
    config.put("state.dir", Files.createTempDirectory("benchmark").toString());

    double cpu = cpuSeconds();
    long start = System.nanoTime();
    try (var streams = new KafkaStreams(builder.build(), config)) {
      streams.start();
      long counted = 0;
      while (counted < words) {
        Thread.sleep(100);
        if (streams.state() != KafkaStreams.State.RUNNING) continue;
        counted = 0;
        var query = StoreQueryParameters.fromNameAndType("counts", QueryableStoreTypes.<String, Long>keyValueStore());
        try (KeyValueIterator<String, Long> all = streams.store(query).all()) {
          while (all.hasNext()) counted += all.next().value;
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
