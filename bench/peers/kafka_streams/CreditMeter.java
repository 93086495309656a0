import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import org.apache.avro.Schema;
import org.apache.avro.SchemaNormalization;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The benchmark's price book on Kafka Streams: batches of request events in, one batch of billed lines out for each.
 *
 * <p>Repeats, owners of unique subjects and balances are in RocksDB, each with the changelog topic that Kafka Streams
 * keeps by itself. See ../README.md for what it leaves out.
 */
public final class CreditMeter {
    private static final String SEEN = "seen";
    private static final String CLAIMS = "claims";
    private static final String ACCOUNTS = "accounts";
    private static final int THREADS = 2;

    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 7) {
            System.err.println("usage: CreditMeter BOOTSTRAP_SERVERS REQUESTS BILLED APPLICATION FOLDER GUARANTEE SCHEMAS");
            System.exit(2);
        }
        Topology topology = topology(arguments[1], arguments[2], Path.of(arguments[6]));
        Properties settings = settings(arguments[0], arguments[3], arguments[4], arguments[5]);
        CountDownLatch failed = new CountDownLatch(1);
        try (KafkaStreams streams = new KafkaStreams(topology, settings)) {
            streams.setStateListener((state, before) -> {
                if (state == KafkaStreams.State.ERROR) {
                    failed.countDown();
                }
            });
            Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(20))));
            streams.start();
            failed.await(); // for ever, unless a thread dies: SIGTERM ends the process
        }
        System.exit(1);
    }

    private static Properties settings(String bootstrapServers, String application, String folder, String guarantee) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrapServers);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, folder);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, guarantee); // commits every 100 ms, or every 30 s
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, THREADS);
        // Messages hold 200 events: the defaults count messages, and would keep 300 MB of them waiting.
        settings.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 50);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 100);
        // As the pipeline has them.
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 4 << 20);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 5);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 1 << 20);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.MAX_REQUEST_SIZE_CONFIG), 4 << 20);
        return settings;
    }

    /** The state is by account, and a message stands in its accounts' partition: nothing is repartitioned. */
    private static Topology topology(String requests, String billed, Path schemas) throws IOException {
        Batches batches = new Batches(schemas);
        Topology topology = new Topology();
        topology.addSource("requests", new ByteArrayDeserializer(), new ByteArrayDeserializer(), requests);
        topology.addProcessor("rate", () -> new Rating(batches), "requests");
        topology.addStateStore(Stores.keyValueStoreBuilder(
                Stores.persistentKeyValueStore(SEEN), Serdes.String(), Serdes.Long()), "rate");
        topology.addStateStore(Stores.keyValueStoreBuilder(
                Stores.persistentKeyValueStore(CLAIMS), Serdes.String(), Claim.serde()), "rate");
        // Few and often changed: with a cache, the changelog gets each once a commit.
        topology.addStateStore(Stores.keyValueStoreBuilder(
                Stores.persistentKeyValueStore(ACCOUNTS), Serdes.String(), Account.serde()).withCachingEnabled(), "rate");
        topology.<byte[], Answer>addSink("billed", billed, new ByteArraySerializer(), (topic, answer) -> answer.bytes(),
                (topic, key, answer, partitions) -> Optional.of(Set.of(answer.partition())), "rate");
        return topology;
    }

    /** What is sent for one message: to the partition of that message. */
    private record Answer(int partition, byte[] bytes) {}

    /** One charge of the price book. `subjects`: by which fields it is unique within 24 hours; none: never. */
    private record Price(String charge, String feature, String action, long credits, List<String> subjects) {
        private static final Price PAGEVIEW = new Price("pageview", "Pixel", "Pageview", 1, List.of());
        private static final Price PIXEL_LOOKUP =
                new Price("pixel-lookup", "Identification", "IP to company lookup", 20, List.of("user_id", "ip"));
        private static final Price IP_LOOKUP =
                new Price("ip-lookup", "Identification", "IP to company lookup", 20, List.of("ip"));

        static List<Price> of(String endpoint, String channel) {
            if (endpoint.equals("/pixel/hit") && channel.equals("js")) {
                return List.of(PAGEVIEW, PIXEL_LOOKUP);
            }
            return endpoint.equals("/v1/ip-lookup") && channel.equals("api") ? List.of(IP_LOOKUP) : List.of();
        }
    }

    /** Who paid for a unique subject last. `at`: ms. */
    private record Claim(long at, String eventId) {
        static Serde<Claim> serde() {
            return Serdes.serdeFrom(
                    (topic, claim) -> {
                        byte[] id = claim.eventId.getBytes(StandardCharsets.UTF_8);
                        return ByteBuffer.allocate(Long.BYTES + id.length).putLong(claim.at).put(id).array();
                    },
                    (topic, row) -> row == null ? null : new Claim(
                            ByteBuffer.wrap(row).getLong(),
                            new String(row, Long.BYTES, row.length - Long.BYTES, StandardCharsets.UTF_8)));
        }
    }

    /** An account's balance (credits) and the newest time of its events (ms). */
    private record Account(long balance, long newest) {
        static Serde<Account> serde() {
            return Serdes.serdeFrom(
                    (topic, account) ->
                            ByteBuffer.allocate(2 * Long.BYTES).putLong(account.balance).putLong(account.newest).array(),
                    (topic, row) -> row == null ? null : new Account(
                            ByteBuffer.wrap(row).getLong(), ByteBuffer.wrap(row).getLong(Long.BYTES)));
        }
    }

    /** Decides the events of one partition, one task at a time. */
    private static final class Rating implements Processor<byte[], byte[], byte[], Answer> {
        private static final long DAY = 86_400_000; // ms
        private static final long ACCEPT_WINDOW = 35 * DAY;
        private static final String VERSION = "2026-01";

        private final Batches batches;
        private ProcessorContext<byte[], Answer> context;
        private KeyValueStore<String, Long> seen;
        private KeyValueStore<String, Claim> claims;
        private KeyValueStore<String, Account> accounts;

        Rating(Batches batches) {
            this.batches = batches;
        }

        @Override
        public void init(ProcessorContext<byte[], Answer> context) {
            this.context = context;
            this.seen = context.getStateStore(SEEN);
            this.claims = context.getStateStore(CLAIMS);
            this.accounts = context.getStateStore(ACCOUNTS);
        }

        @Override
        public void process(Record<byte[], byte[]> message) {
            RecordMetadata place = context.recordMetadata().orElseThrow();
            if (batches.isPriceBook(message.value())) { // its prices stand in Price
                return;
            }
            List<GenericRecord> lines = new ArrayList<>();
            for (GenericRecord event : batches.decode(message.value())) {
                rate(event, lines);
            }
            byte[] answer = batches.encode(place.partition(), place.offset(), lines);
            context.forward(message.withValue(new Answer(place.partition(), answer)));
        }

        /** Adds the event's lines; none for a repeat and for one that is too late. */
        private void rate(GenericRecord event, List<GenericRecord> lines) {
            String accountId = batches.text(event, "account_id");
            String eventId = batches.text(event, "event_id");
            long at = (long) event.get(batches.occurredAt);
            Account before = accounts.get(accountId);
            long newest = before == null ? at : Math.max(before.newest, at);
            if (at < newest - ACCEPT_WINDOW || seen.putIfAbsent(accountId + '\0' + eventId, at) != null) {
                return;
            }
            long balance = before == null ? 0 : before.balance;
            int number = 0;
            for (Price price : Price.of(batches.text(event, "endpoint"), batches.text(event, "channel"))) {
                Claim owner = price.subjects.isEmpty() ? null : ownerOrClaim(event, accountId, eventId, at, price);
                long credits = owner == null ? price.credits : 0;
                balance -= credits;
                GenericRecord line = batches.line(event);
                line.put("line", number++);
                line.put("decision", owner == null ? batches.charged : batches.duplicate);
                line.put("charge", price.charge);
                line.put("feature", price.feature);
                line.put("action", price.action);
                line.put("credit_type", "credit");
                line.put("price_version", VERSION);
                line.put("units", 1L);
                line.put("unit_credits", price.credits);
                line.put("credits", credits);
                line.put("owner_event_id", owner == null ? null : owner.eventId);
                line.put("window_ends_at", price.subjects.isEmpty() ? null : (owner == null ? at : owner.at) + DAY);
                line.put("balance_after", balance);
                line.put("grants_used", List.of());
                lines.add(line);
            }
            accounts.put(accountId, new Account(balance, newest));
        }

        /** The event that paid for the same subject less than 24 hours from this one; else null, and this one is it. */
        private Claim ownerOrClaim(GenericRecord event, String accountId, String eventId, long at, Price price) {
            StringBuilder key = new StringBuilder(accountId).append('\0').append(price.charge);
            for (String subject : price.subjects) {
                String value = batches.text(event, subject);
                key.append('\0').append(subject.equals("ip") ? canonical(value) : value);
            }
            Claim owner = claims.get(key.toString());
            if (owner != null && Math.abs(at - owner.at) < DAY) {
                return owner;
            }
            claims.put(key.toString(), new Claim(at, eventId));
            return null;
        }

        /** One spelling for each address. Only addresses with a colon have several. */
        private static String canonical(String ip) {
            if (ip.indexOf(':') < 0) {
                return ip;
            }
            try {
                return InetAddress.getByName(ip).getHostAddress();
            } catch (UnknownHostException error) {
                throw new IllegalArgumentException("ip is no address: " + ip, error);
            }
        }
    }

    /** Avro's two formats of a message (single-object encoding), by Avro's own generic reader and writer. */
    private static final class Batches {
        private static final int HEADER = 10;
        private static final List<String> COPIED = List.of(
                "event_id", "account_id", "occurred_at", "endpoint", "channel", "outcome", "request_id", "actor",
                "user_id", "ip", "domain", "plan", "quantities", "attributes");

        final int occurredAt;
        final GenericData.EnumSymbol charged;
        final GenericData.EnumSymbol duplicate;
        private final byte[] requestHeader;
        private final byte[] bookHeader;
        private final byte[] billedHeader;
        private final Schema event;
        private final Schema billed;
        private final Schema line;
        private final int[][] copied; // position in an event, position in a line
        private final ThreadLocal<Buffers> buffers;

        Batches(Path schemas) throws IOException {
            Schema requests = parse(schemas.resolve("RequestBatch.avsc"));
            event = requests.getField("events").schema().getElementType();
            billed = parse(schemas.resolve("BilledBatch.avsc"));
            line = billed.getField("events").schema().getElementType();
            requestHeader = header(requests);
            bookHeader = header(parse(schemas.resolve("PriceBook.avsc")));
            billedHeader = header(billed);
            occurredAt = event.getField("occurred_at").pos();
            Schema decision = line.getField("decision").schema();
            charged = new GenericData.EnumSymbol(decision, "charged");
            duplicate = new GenericData.EnumSymbol(decision, "duplicate");
            copied = COPIED.stream()
                    .map(name -> new int[] {event.getField(name).pos(), line.getField(name).pos()})
                    .toArray(int[][]::new);
            GenericData fast = new GenericData().setFastReaderEnabled(true);
            buffers = ThreadLocal.withInitial(() -> new Buffers(
                    new GenericDatumReader<>(requests, requests, fast), new GenericDatumWriter<>(billed)));
        }

        /** Has texts read as java.lang.String: as Avro's own class they would be converted one by one afterwards. */
        private static Schema parse(Path file) throws IOException {
            String strings = "{\"type\": \"string\", \"avro.java.string\": \"String\"}";
            return new Schema.Parser().parse(Files.readString(file).replace("\"string\"", strings));
        }

        private static byte[] header(Schema schema) {
            long fingerprint = SchemaNormalization.parsingFingerprint64(schema);
            return ByteBuffer.allocate(HEADER).order(ByteOrder.LITTLE_ENDIAN).put((byte) 0xC3).put((byte) 1)
                    .putLong(fingerprint).array();
        }

        boolean isPriceBook(byte[] message) {
            return begins(message, bookHeader);
        }

        @SuppressWarnings("unchecked")
        List<GenericRecord> decode(byte[] message) {
            if (!begins(message, requestHeader)) {
                throw new IllegalArgumentException("a message that is neither a price book nor events of this version");
            }
            Buffers own = buffers.get();
            own.decoder = DecoderFactory.get().binaryDecoder(message, HEADER, message.length - HEADER, own.decoder);
            try {
                return (List<GenericRecord>) own.reader.read(null, own.decoder).get("events");
            } catch (IOException error) {
                throw new IllegalArgumentException("a damaged message", error);
            }
        }

        /** A text that the event must have: what bills without it is left out here, so nothing may need it. */
        String text(GenericRecord event, String name) {
            Object value = event.get(name);
            if (value == null) {
                throw new IllegalArgumentException("event " + event.get("event_id") + " has no " + name);
            }
            return (String) value;
        }

        GenericRecord line(GenericRecord event) {
            GenericData.Record made = new GenericData.Record(line);
            for (int[] positions : copied) {
                made.put(positions[1], event.get(positions[0]));
            }
            return made;
        }

        byte[] encode(int partition, long offset, List<GenericRecord> lines) {
            GenericData.Record batch = new GenericData.Record(billed);
            batch.put("source_partition", partition);
            batch.put("source_offset", offset);
            batch.put("part", 0);
            batch.put("parts", 1);
            batch.put("events", lines);
            batch.put("repeated", List.of());
            batch.put("set_aside", List.of());
            batch.put("applied", List.of());
            Buffers own = buffers.get();
            own.bytes.reset();
            own.bytes.writeBytes(billedHeader);
            own.encoder = EncoderFactory.get().binaryEncoder(own.bytes, own.encoder);
            try {
                own.writer.write(batch, own.encoder);
                own.encoder.flush();
            } catch (IOException error) {
                throw new IllegalStateException("a line that cannot be written", error);
            }
            return own.bytes.toByteArray();
        }

        private static boolean begins(byte[] message, byte[] header) {
            return message.length >= HEADER && Arrays.equals(message, 0, HEADER, header, 0, HEADER);
        }

        /** One thread's reader and writer, used again for each message. */
        private static final class Buffers {
            final GenericDatumReader<GenericRecord> reader;
            final GenericDatumWriter<GenericRecord> writer;
            final ByteArrayOutputStream bytes = new ByteArrayOutputStream(1 << 17);
            BinaryDecoder decoder;
            BinaryEncoder encoder;

            Buffers(GenericDatumReader<GenericRecord> reader, GenericDatumWriter<GenericRecord> writer) {
                this.reader = reader;
                this.writer = writer;
            }
        }
    }
}
