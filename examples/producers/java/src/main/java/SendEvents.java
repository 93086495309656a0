import java.io.File;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.Future;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.avro.message.BinaryMessageEncoder;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Sends three request events of each account: one message an account. */
public final class SendEvents {
    private SendEvents() {}

    public static void main(String[] arguments) throws Exception {
        if (arguments.length < 4) {
            System.err.println("usage: SendEvents SCHEMA BOOTSTRAP_SERVERS TOPIC ACCOUNT_ID...");
            System.exit(2);
        }
        Schema schema = new Schema.Parser().parse(new File(arguments[0]));
        // The framing: c3 01, the schema's fingerprint, then the record.
        BinaryMessageEncoder<GenericRecord> encoder = new BinaryMessageEncoder<>(GenericData.get(), schema);
        byte[] sender = "java-example".getBytes(StandardCharsets.UTF_8);

        try (KafkaProducer<String, byte[]> producer = new KafkaProducer<>(settings(arguments[1]))) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (String account : List.of(arguments).subList(3, arguments.length)) {
                ByteBuffer message = encoder.encode(batch(schema, account));
                byte[] value = new byte[message.remaining()];
                message.get(value);
                // The key is the plain account_id: the client's default partitioner then finds the right partition.
                ProducerRecord<String, byte[]> record = new ProducerRecord<>(arguments[2], account, value);
                record.headers().add("creditmeter-producer", sender);
                sent.add(producer.send(record));
            }
            for (Future<RecordMetadata> each : sent) {
                RecordMetadata place = each.get(); // throws where the broker did not take it: then send it again
                System.out.println(place.topic() + "[" + place.partition() + "]@" + place.offset());
            }
        }
    }

    private static Properties settings(String bootstrapServers) {
        Properties settings = new Properties();
        settings.put(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrapServers);
        settings.put(ProducerConfig.KEY_SERIALIZER_CLASS_CONFIG, StringSerializer.class);
        settings.put(ProducerConfig.VALUE_SERIALIZER_CLASS_CONFIG, ByteArraySerializer.class);
        settings.put(ProducerConfig.ACKS_CONFIG, "all");
        settings.put(ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, true);
        settings.put(ProducerConfig.LINGER_MS_CONFIG, 20);
        settings.put(ProducerConfig.COMPRESSION_TYPE_CONFIG, "lz4");
        return settings;
    }

    /** A RequestBatch of three events of one account. */
    private static GenericRecord batch(Schema schema, String account) {
        Schema event = schema.getField("events").schema().getElementType();
        long now = System.currentTimeMillis();
        String request = UUID.randomUUID().toString();
        return new GenericRecordBuilder(schema)
                .set("events", List.of(
                        event(event, account, now, "/v1/ip-lookup", "processed").set("ip", "203.0.113.7").build(),
                        event(event, account, now, "/v1/company-enrichment", "processed")
                                .set("domain", "example.com")
                                .set("request_id", request)
                                .set("quantities", Map.of("companies", 1L))
                                .set("attributes", Map.of("description", "Zoë, Example Inc."))
                                .build(),
                        event(event, account, now, "/v1/ip-lookup", "invalid").build()))
                .build();
    }

    /** What is left out has a default: null, or an empty map. */
    private static GenericRecordBuilder event(Schema event, String account, long at, String endpoint, String outcome) {
        return new GenericRecordBuilder(event)
                .set("event_id", UUID.randomUUID().toString()) // made once, and kept when the event is sent again
                .set("account_id", account)
                .set("occurred_at", at)
                .set("endpoint", endpoint)
                .set("channel", "api")
                .set("outcome", new GenericData.EnumSymbol(event.getField("outcome").schema(), outcome));
    }
}
