// Records a second through Kafka Streams' TopologyTestDriver: the topologies of streams/benches/test_driver, written again in
// Java. CPU time of the measuring thread, median of rounds of a thousand records, after as many rounds to warm up.

import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.Arrays;
import java.util.Properties;
import java.util.function.LongConsumer;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.TestInputTopic;
import org.apache.kafka.streams.TestOutputTopic;
import org.apache.kafka.streams.TopologyTestDriver;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.WindowedSerdes;
import org.apache.kafka.streams.state.Stores;

public class TestDriver {
    static final int RECORDS = 1_000;
    static final int ROUNDS = 300;
    static final Serde<String> TEXT = Serdes.String();
    static final Serde<Long> NUMBER = Serdes.Long();

    /** Keys of eleven bytes in an order of their own. */
    static String[] keys() {
        String[] keys = new String[RECORDS];
        long state = 7;
        for (int n = 0; n < RECORDS; n++) {
            state = state * 6364136223846793005L + 1442695040888963407L;
            keys[n] = String.format("user-%06d", (state >>> 33) % 1_000);
        }
        return keys;
    }

    static TopologyTestDriver driver(StreamsBuilder builder) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "app");
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, "none:1");
        return new TopologyTestDriver(builder.build(), settings);
    }

    static void measure(String name, LongConsumer round) {
        var threads = ManagementFactory.getThreadMXBean();
        double[] nanos = new double[ROUNDS];
        for (int n = -ROUNDS; n < ROUNDS; n++) {
            long began = threads.getCurrentThreadCpuTime();
            round.accept(n + ROUNDS);
            if (n >= 0) nanos[n] = (threads.getCurrentThreadCpuTime() - began) / (double) RECORDS;
        }
        Arrays.sort(nanos);
        System.out.printf("%-20s %7.2f M records/s   %7.1f ns (low %.1f)%n", name, 1e3 / nanos[ROUNDS / 2], nanos[ROUNDS / 2], nanos[0]);
    }

    static <K> void oneToOne(String name, StreamsBuilder builder, Deserializer<K> outKey) {
        String[] keys = keys();
        try (TopologyTestDriver driver = driver(builder)) {
            TestInputTopic<String, Long> input = driver.createInputTopic("clicks", TEXT.serializer(), NUMBER.serializer());
            TestOutputTopic<K, Long> output = driver.createOutputTopic("out", outKey, NUMBER.deserializer());
            measure(name, round -> {
                long time = round * RECORDS;
                for (String key : keys) {
                    time++;
                    input.pipeInput(key, time, time);
                    while (!output.isEmpty()) output.readRecord();
                }
            });
        }
    }

    public static void main(String[] arguments) {
        var clicks = Consumed.with(TEXT, NUMBER);
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream("clicks", clicks).filter((key, n) -> n % 8 != 0).mapValues(n -> n * 3).to("out", Produced.with(TEXT, NUMBER));
        oneToOne("filter_map_values", builder, TEXT.deserializer());

        builder = new StreamsBuilder();
        builder.stream("clicks", clicks).groupByKey(Grouped.with(TEXT, NUMBER))
            .count(Materialized.<String, Long>as(Stores.inMemoryKeyValueStore("counts")).withKeySerde(TEXT).withValueSerde(NUMBER).withLoggingDisabled())
            .toStream().to("out", Produced.with(TEXT, NUMBER));
        oneToOne("keyed_count", builder, TEXT.deserializer());

        builder = new StreamsBuilder();
        Duration size = Duration.ofSeconds(10);
        var counts = Materialized.<String, Long>as(Stores.inMemoryWindowStore("counts", Duration.ofSeconds(60), size, false))
            .withKeySerde(TEXT).withValueSerde(NUMBER).withLoggingDisabled();
        var windowed = WindowedSerdes.timeWindowedSerdeFrom(String.class, size.toMillis());
        builder.stream("clicks", clicks).groupByKey(Grouped.with(TEXT, NUMBER))
            .windowedBy(TimeWindows.ofSizeAndGrace(size, Duration.ofSeconds(5))).count(counts)
            .toStream().to("out", Produced.with(windowed, NUMBER));
        oneToOne("tumbling_count", builder, windowed.deserializer());

        join();
        System.exit(0);
    }

    /** Clicks and views in turn: each meets one record of the other side on average. */
    static void join() {
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, Long> clicks = builder.stream("clicks", Consumed.with(TEXT, NUMBER));
        KStream<String, Long> views = builder.stream("views", Consumed.with(TEXT, NUMBER));
        Duration second = Duration.ofSeconds(1);
        Duration retention = Duration.ofSeconds(3);
        var left = Stores.inMemoryWindowStore("left", retention, second.multipliedBy(2), true);
        var right = Stores.inMemoryWindowStore("right", retention, second.multipliedBy(2), true);
        clicks.join(views, Long::sum, JoinWindows.ofTimeDifferenceAndGrace(second, second),
                StreamJoined.with(TEXT, NUMBER, NUMBER).withThisStoreSupplier(left).withOtherStoreSupplier(right))
            .to("out", Produced.with(TEXT, NUMBER));
        String[] keys = keys();
        try (TopologyTestDriver driver = driver(builder)) {
            TestInputTopic<String, Long> first = driver.createInputTopic("clicks", TEXT.serializer(), NUMBER.serializer());
            TestInputTopic<String, Long> others = driver.createInputTopic("views", TEXT.serializer(), NUMBER.serializer());
            TestOutputTopic<String, Long> output = driver.createOutputTopic("out", TEXT.deserializer(), NUMBER.deserializer());
            measure("stream_stream_join", round -> {
                long time = round * RECORDS;
                for (int n = 0; n < RECORDS; n++) {
                    time++;
                    (n % 2 == 0 ? first : others).pipeInput(keys[n], time, time);
                    while (!output.isEmpty()) output.readRecord();
                }
            });
        }
    }
}
