// Transactions of Apache Kafka's own client, which speaks the newer protocol (KIP-890): `java Transactions.java BOOTSTRAP [copy|check]`.
// `copy` copies records exactly once while the server is killed, `check` looks at the copies.

import java.time.Duration;
import java.util.*;
import java.util.concurrent.ExecutionException;
import java.util.stream.*;

import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.errors.*;

public class Transactions {
    static String bootstrap;
    static final Random chance = new Random();

    interface Test { void run() throws Exception; }

    static String fresh(String name) { return name + "-" + Integer.toHexString(chance.nextInt() & 0xffffff); }

    static Map<String, Object> settings(Object... pairs) {
        Map<String, Object> all = new HashMap<>(Map.of("bootstrap.servers", bootstrap));
        for (int at = 0; at < pairs.length; at += 2) all.put((String) pairs[at], pairs[at + 1]);
        return all;
    }

    static KafkaProducer<String, String> producer(String id, Object... more) {
        Map<String, Object> all = settings("key.serializer", "org.apache.kafka.common.serialization.StringSerializer",
            "value.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        all.putAll(settings(more));
        if (id != null) all.put("transactional.id", id);
        KafkaProducer<String, String> made = new KafkaProducer<>(all);
        if (id != null) made.initTransactions();
        return made;
    }

    static KafkaConsumer<String, String> consumer(String group, String isolation) {
        return new KafkaConsumer<>(settings("group.id", group, "auto.offset.reset", "earliest", "enable.auto.commit", false,
            "isolation.level", isolation, "max.poll.records", 50, "key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer",
            "value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer"));
    }

    static String create(String topic) throws Exception {
        try (Admin admin = Admin.create(settings())) {
            admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get();
        } catch (ExecutionException error) {
            if (!(error.getCause() instanceof TopicExistsException)) throw error;
        }
        return topic;
    }

    static List<String> values(String topic, String isolation) {
        TopicPartition partition = new TopicPartition(topic, 0);
        try (KafkaConsumer<String, String> reader = consumer(fresh("values"), isolation)) {
            reader.assign(List.of(partition));
            reader.seekToBeginning(List.of(partition));
            long end = reader.endOffsets(List.of(partition)).get(partition);
            List<String> got = new ArrayList<>();
            while (reader.position(partition) < end)
                for (ConsumerRecord<String, String> record : reader.poll(Duration.ofSeconds(1))) got.add(record.value());
            return got;
        }
    }

    static void equal(Object actual, Object expected) {
        if (!actual.equals(expected)) throw new AssertionError("got " + actual + ", expected " + expected);
    }

    static void transaction(KafkaProducer<String, String> source, String topic, boolean isCommit, String... texts) {
        source.beginTransaction();
        for (String text : texts) source.send(new ProducerRecord<>(topic, 0, null, text));
        if (isCommit) source.commitTransaction(); else source.abortTransaction();
    }

    static void commitsAndAborts() throws Exception {
        String topic = create(fresh("txn"));
        try (KafkaProducer<String, String> source = producer(fresh("id"))) {
            transaction(source, topic, true, "a", "b");
            source.beginTransaction();
            source.send(new ProducerRecord<>(topic, 0, null, "no")).get();
            source.abortTransaction();
            source.beginTransaction();
            source.abortTransaction();
            transaction(source, topic, true, "c");
            for (int n = 0; n < 50; n++) transaction(source, topic, true, "n" + n);
        }
        List<String> expected = new ArrayList<>(List.of("a", "b", "c"));
        IntStream.range(0, 50).forEach(n -> expected.add("n" + n));
        equal(values(topic, "read_committed"), expected);
        expected.add(2, "no");
        equal(values(topic, "read_uncommitted"), expected);
    }

    static void sendsOffsets() throws Exception {
        String topic = create(fresh("txn")), copy = create(fresh("copy")), group = fresh("group");
        try (KafkaProducer<String, String> plain = producer(null)) {
            for (String text : List.of("a", "b", "c")) plain.send(new ProducerRecord<>(topic, 0, null, text)).get();
        }
        TopicPartition partition = new TopicPartition(topic, 0);
        try (KafkaProducer<String, String> source = producer(fresh("id"))) {
            for (boolean isCommit : new boolean[] {false, true}) {
                try (KafkaConsumer<String, String> reader = consumer(group, "read_committed")) {
                    reader.subscribe(List.of(topic));
                    List<String> got = new ArrayList<>();
                    while (got.size() < 3) reader.poll(Duration.ofSeconds(1)).forEach(record -> got.add(record.value()));
                    source.beginTransaction();
                    got.forEach(text -> source.send(new ProducerRecord<>(copy, 0, null, text)));
                    source.sendOffsetsToTransaction(Map.of(partition, new OffsetAndMetadata(3, "note")), reader.groupMetadata());
                    if (isCommit) source.commitTransaction(); else source.abortTransaction();
                    OffsetAndMetadata committed = reader.committed(Set.of(partition)).get(partition);
                    equal(committed == null ? "none" : committed.offset() + committed.metadata(), isCommit ? "3note" : "none");
                }
            }
            try {
                source.beginTransaction();
                source.sendOffsetsToTransaction(Map.of(partition, new OffsetAndMetadata(9)), new ConsumerGroupMetadata(group, 7, "nobody", Optional.empty()));
                source.commitTransaction();
                throw new AssertionError("a member that is none committed offsets");
            } catch (CommitFailedException expected) {
                source.abortTransaction();
            }
        }
        equal(values(copy, "read_committed"), List.of("a", "b", "c"));
    }

    static void aSecondInstanceFencesTheFirst() throws Exception {
        String topic = create(fresh("txn")), id = fresh("id");
        KafkaProducer<String, String> first = producer(id);
        first.beginTransaction();
        first.send(new ProducerRecord<>(topic, 0, null, "zombie")).get();
        try (KafkaProducer<String, String> second = producer(id)) {
            transaction(second, topic, true, "second");
            try {
                first.commitTransaction();
                throw new AssertionError("the first instance was not fenced");
            } catch (ProducerFencedException | InvalidProducerEpochException expected) {
                // As it should be.
            }
            transaction(second, topic, true, "third");
        }
        first.close(Duration.ZERO);
        equal(values(topic, "read_committed"), List.of("second", "third"));
    }

    static void whatTimesOutIsAbortedAndTheProducerGoesOn() throws Exception {
        String topic = create(fresh("txn"));
        try (KafkaProducer<String, String> source = producer(fresh("id"), "transaction.timeout.ms", 500)) {
            source.beginTransaction();
            source.send(new ProducerRecord<>(topic, 0, null, "slow")).get();
            TopicPartition partition = new TopicPartition(topic, 0);
            try (Admin admin = Admin.create(settings())) {
                ListOffsetsOptions committed = new ListOffsetsOptions(IsolationLevel.READ_COMMITTED);
                while (admin.listOffsets(Map.of(partition, OffsetSpec.latest()), committed).all().get().get(partition).offset() == 0)
                    Thread.sleep(300);
            }
            try {
                source.commitTransaction();
                throw new AssertionError("a transaction that was aborted was committed");
            } catch (KafkaException expected) {
                // Which one it is differs with the moment.
            }
        }
        equal(values(topic, "read_committed"), List.of());
    }

    static void toolsSeeAndEndTransactions() throws Exception {
        String topic = create(fresh("txn")), id = fresh("id");
        TopicPartition partition = new TopicPartition(topic, 0);
        try (Admin admin = Admin.create(settings()); KafkaProducer<String, String> source = producer(id)) {
            source.beginTransaction();
            source.send(new ProducerRecord<>(topic, 0, null, "open")).get();
            TransactionDescription described = admin.describeTransactions(List.of(id)).description(id).get();
            equal(described.state(), TransactionState.ONGOING);
            equal(described.topicPartitions(), Set.of(partition));
            List<String> listed = admin.listTransactions(new ListTransactionsOptions().filterStates(Set.of(TransactionState.ONGOING)))
                .all().get().stream().map(TransactionListing::transactionalId).collect(Collectors.toList());
            if (!listed.contains(id)) throw new AssertionError(id + " is not in " + listed);
            ProducerState state = admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers().get(0);
            equal(state.producerId(), described.producerId());
            equal(state.currentTransactionStartOffset(), OptionalLong.of(0));
            admin.abortTransaction(new AbortTransactionSpec(partition, state.producerId(), (short) state.producerEpoch(),
                state.coordinatorEpoch().orElse(0))).all().get();
            equal(values(topic, "read_committed"), List.of());
            // Another one, fenced from outside.
            String other = fresh("id");
            KafkaProducer<String, String> fenced = producer(other);
            fenced.beginTransaction();
            fenced.send(new ProducerRecord<>(topic, 0, null, "fenced")).get();
            admin.fenceProducers(List.of(other)).all().get();
            try {
                fenced.commitTransaction();
                throw new AssertionError("it was not fenced");
            } catch (ProducerFencedException | InvalidProducerEpochException expected) {
                fenced.close(Duration.ZERO);
            }
        }
    }

    // --- while the server is killed
    static final int COUNT = 20000;
    static final String SOURCE = "java-txn-source", COPY = "java-txn-copy", COPIER = "java-txn-copier";

    static void copy() throws Exception {
        create(SOURCE);
        create(COPY);
        try (KafkaProducer<String, String> plain = producer(null)) {
            for (int n = 0; n < COUNT; n++) plain.send(new ProducerRecord<>(SOURCE, 0, null, Integer.toString(n)));
        }
        TopicPartition partition = new TopicPartition(SOURCE, 0);
        KafkaProducer<String, String> worker = null;
        try (KafkaConsumer<String, String> reader = consumer(COPIER, "read_committed")) {
            reader.subscribe(List.of(SOURCE));
            long done = 0;
            for (int round = 1; done < COUNT; round++) {
                ConsumerRecords<String, String> records = reader.poll(Duration.ofSeconds(1));
                if (records.isEmpty()) continue;
                long position = 0;
                try {
                    if (worker == null) worker = producer(COPIER);
                    worker.beginTransaction();
                    for (ConsumerRecord<String, String> record : records) {
                        worker.send(new ProducerRecord<>(COPY, 0, null, record.value()));
                        position = record.offset() + 1;
                    }
                    worker.sendOffsetsToTransaction(Map.of(partition, new OffsetAndMetadata(position)), reader.groupMetadata());
                    if (round % 7 == 0) throw new KafkaException("changed my mind");
                    worker.commitTransaction();
                    done = position;
                } catch (KafkaException error) {
                    System.err.println("round " + round + ": " + error);
                    try {
                        if (worker != null) worker.abortTransaction();
                    } catch (KafkaException again) {
                        worker.close(Duration.ZERO);
                        worker = null;
                    }
                    OffsetAndMetadata committed = reader.committed(Set.of(partition), Duration.ofMinutes(1)).get(partition);
                    done = committed == null ? 0 : committed.offset();
                    reader.seek(partition, done);
                }
            }
        }
        worker.close();
    }

    static void everyRecordWasCopiedExactlyOnceWhileTheServerWasKilled() {
        List<String> expected = IntStream.range(0, COUNT).mapToObj(Integer::toString).collect(Collectors.toList());
        List<String> got = values(COPY, "read_committed");
        if (!got.equals(expected)) {
            int at = 0;
            while (at < Math.min(got.size(), COUNT) && got.get(at).equals(expected.get(at))) at++;
            throw new AssertionError(got.size() + " records, the first " + at + " of them as they should be");
        }
    }

    static boolean failed;

    static void test(String name, Test test) {
        try {
            test.run();
            System.out.println("ok " + name);
        } catch (Throwable error) {
            failed = true;
            error.printStackTrace();
            System.out.println("not ok " + name + ": " + error.toString().replace('\n', ' '));
        }
    }

    public static void main(String[] arguments) {
        bootstrap = arguments[0];
        String mode = arguments.length > 1 ? arguments[1] : "all";
        switch (mode) {
            case "copy" -> test("copy", Transactions::copy);
            case "check" -> test("every_record_was_copied_exactly_once", Transactions::everyRecordWasCopiedExactlyOnceWhileTheServerWasKilled);
            default -> {
                test("commits_and_aborts", Transactions::commitsAndAborts);
                test("sends_offsets", Transactions::sendsOffsets);
                test("a_second_instance_fences_the_first", Transactions::aSecondInstanceFencesTheFirst);
                test("what_times_out_is_aborted", Transactions::whatTimesOutIsAbortedAndTheProducerGoesOn);
                test("tools_see_and_end_transactions", Transactions::toolsSeeAndEndTransactions);
            }
        }
        System.exit(failed ? 1 : 0);
    }
}
