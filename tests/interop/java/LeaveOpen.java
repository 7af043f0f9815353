// Begins a transaction, writes a record in it and vanishes: `java LeaveOpen.java BOOTSTRAP TOPIC TRANSACTIONAL_ID`.

import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

public class LeaveOpen {
    public static void main(String[] arguments) throws Exception {
        var producer = new KafkaProducer<>(Map.of("bootstrap.servers", arguments[0], "transactional.id", arguments[2]),
            new StringSerializer(), new StringSerializer());
        producer.initTransactions();
        producer.beginTransaction();
        producer.send(new ProducerRecord<>(arguments[1], 0, "key", "open")).get();
        Runtime.getRuntime().halt(0);
    }
}
