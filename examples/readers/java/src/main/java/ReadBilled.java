import java.io.IOException;
import java.io.Reader;
import java.io.Writer;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.message.BinaryMessageDecoder;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.bouncycastle.crypto.digests.Blake2bDigest;

/** Adds up each account's credits, from where it was to the end of the topic, and counts each line once. */
public final class ReadBilled {
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final BinaryMessageDecoder<GenericRecord> decoder;
    private final byte[] sealKey;
    private final Bill bill;

    private ReadBilled(KafkaConsumer<byte[], byte[]> consumer, Path schemas, byte[] sealKey, Bill bill) throws IOException {
        this.consumer = consumer;
        this.decoder = decoder(schemas);
        this.sealKey = sealKey;
        this.bill = bill;
    }

    public static void main(String[] arguments) throws IOException {
        if (arguments.length != 5) {
            System.err.println("usage: ReadBilled SCHEMAS BOOTSTRAP_SERVERS TOPIC SEAL_KEY BILL_FILE");
            System.exit(2);
        }
        Bill bill = new Bill(Path.of(arguments[4]));
        byte[] sealKey = arguments[3].getBytes(StandardCharsets.UTF_8);
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings(arguments[1]))) {
            new ReadBilled(consumer, Path.of(arguments[0]), sealKey, bill).readToEnd(arguments[2]);
        }
        bill.print();
    }

    private static Properties settings(String bootstrapServers) {
        Properties settings = new Properties();
        settings.put(ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrapServers);
        settings.put(ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class);
        settings.put(ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class);
        settings.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed");
        settings.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false); // the bill knows where it is
        settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "none"); // offsets that were deleted are an error
        return settings;
    }

    /** Knows every released version of BilledBatch by its fingerprint, and reads all as the newest. */
    private static BinaryMessageDecoder<GenericRecord> decoder(Path schemas) throws IOException {
        Schema newest = new Schema.Parser().parse(schemas.resolve("BilledBatch.avsc").toFile());
        BinaryMessageDecoder<GenericRecord> decoder = new BinaryMessageDecoder<>(GenericData.get(), newest);
        try (DirectoryStream<Path> history = Files.newDirectoryStream(schemas.resolve("history"), "BilledBatch.*.avsc")) {
            for (Path released : history) {
                decoder.addSchema(new Schema.Parser().parse(released.toFile()));
            }
        }
        return decoder;
    }

    private void readToEnd(String topic) throws IOException {
        List<TopicPartition> partitions = consumer.partitionsFor(topic).stream()
                .map(partition -> new TopicPartition(topic, partition.partition()))
                .toList();
        consumer.assign(partitions);
        Map<TopicPartition, Long> begins = consumer.beginningOffsets(partitions);
        partitions.forEach(partition -> consumer.seek(partition, bill.nextOffset(partition, begins.get(partition))));
        Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
        while (partitions.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition))) {
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                read(record);
            }
            bill.save(); // lines and positions together: in a database, one transaction
        }
    }

    private void read(ConsumerRecord<byte[], byte[]> record) throws IOException {
        if (!isSealed(record)) {
            String place = record.topic() + "[" + record.partition() + "]@" + record.offset();
            System.err.println(place + ": a stray record, not written by the pipeline: it is skipped");
            return;
        }
        GenericRecord batch = decoder.decode(record.value());
        if (bill.isNewer(record.partition(), (long) batch.get("source_offset"), (int) batch.get("part"))) {
            for (Object line : (List<?>) batch.get("events")) {
                bill.add(((GenericRecord) line).get("account_id").toString(), (long) ((GenericRecord) line).get("credits"));
            }
            bill.moveTo(record, (long) batch.get("source_offset"), (int) batch.get("part"));
        }
    }

    /** Whether the header `seal` is BLAKE2b of topic, zero byte, partition and value, with the pipeline's key. */
    private boolean isSealed(ConsumerRecord<byte[], byte[]> record) {
        Header seal = record.headers().lastHeader("seal");
        byte[] topic = record.topic().getBytes(StandardCharsets.UTF_8);
        byte[] place = ByteBuffer.allocate(topic.length + 5).put(topic).put((byte) 0).putInt(record.partition()).array();
        Blake2bDigest digest = new Blake2bDigest(sealKey, 16, null, null);
        digest.update(place, 0, place.length);
        digest.update(record.value(), 0, record.value().length);
        byte[] expected = new byte[16];
        digest.doFinal(expected, 0);
        return seal != null && MessageDigest.isEqual(seal.value(), expected);
    }

    /** Credits by account, and for each partition the next offset and the last message that counts: one file. */
    private static final class Bill {
        private final Path file;
        private final Properties entries = new Properties();

        Bill(Path file) throws IOException {
            this.file = file;
            if (Files.exists(file)) {
                try (Reader reader = Files.newBufferedReader(file)) {
                    entries.load(reader);
                }
            }
        }

        long nextOffset(TopicPartition partition, long begin) {
            return number("offset." + partition.partition(), begin);
        }

        boolean isNewer(int partition, long sourceOffset, int part) {
            long last = number("source_offset." + partition, -1);
            return sourceOffset > last || (sourceOffset == last && part > number("part." + partition, -1));
        }

        void add(String account, long credits) {
            entries.setProperty("account." + account, String.valueOf(number("account." + account, 0) + credits));
        }

        void moveTo(ConsumerRecord<byte[], byte[]> record, long sourceOffset, int part) {
            entries.setProperty("offset." + record.partition(), String.valueOf(record.offset() + 1));
            entries.setProperty("source_offset." + record.partition(), String.valueOf(sourceOffset));
            entries.setProperty("part." + record.partition(), String.valueOf(part));
        }

        /** Whatever happens, the file holds the old bill or the new one. */
        void save() throws IOException {
            Path next = file.resolveSibling(file.getFileName() + ".next");
            try (Writer writer = Files.newBufferedWriter(next)) {
                entries.store(writer, null);
            }
            Files.move(next, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        }

        void print() {
            entries.stringPropertyNames().stream()
                    .filter(name -> name.startsWith("account."))
                    .sorted()
                    .forEach(name -> System.out.println(name.substring("account.".length()) + " " + entries.getProperty(name)));
        }

        private long number(String name, long otherwise) {
            String text = entries.getProperty(name);
            return text == null ? otherwise : Long.parseLong(text);
        }
    }
}
