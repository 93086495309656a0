// Sends three request events of each account: one message an account.
import {randomUUID} from 'node:crypto';
import {readFileSync} from 'node:fs';
import avro from 'avsc';
import {Kafka, Partitioners, logLevel} from 'kafkajs';

const [schemaFile, bootstrapServers, topic, ...accounts] = process.argv.slice(2);
if (accounts.length === 0) {
  console.error('usage: node send.js SCHEMA BOOTSTRAP_SERVERS TOPIC ACCOUNT_ID...');
  process.exit(2);
}

const type = avro.Type.forSchema(JSON.parse(readFileSync(schemaFile, 'utf8')));
const header = Buffer.concat([Buffer.from([0xc3, 0x01]), fingerprint(type)]);

// CRC-64-AVRO of the schema's parsing canonical form, least significant byte first. avsc has the form, and not the CRC.
function fingerprint(schema) {
  const polynomial = 0xc15d213aa4d7a795n;
  let crc = polynomial;
  for (const byte of Buffer.from(JSON.stringify(schema.schema()))) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = (crc >> 1n) ^ (crc & 1n ? polynomial : 0n);
  }
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(crc);
  return bytes;
}

// What is left out has a default: null, or an empty map.
function event(account, at, endpoint, outcome, more = {}) {
  return {
    event_id: randomUUID(), // made once, and kept when the event is sent again
    account_id: account,
    occurred_at: at,
    endpoint,
    channel: 'api',
    outcome,
    ...more,
  };
}

function batch(account) {
  const now = Date.now();
  return {
    events: [
      event(account, now, '/v1/ip-lookup', 'processed', {ip: '203.0.113.7'}),
      event(account, now, '/v1/company-enrichment', 'processed', {
        domain: 'example.com',
        request_id: randomUUID(),
        quantities: {companies: 1},
        attributes: {description: 'Zoë, Example Inc.'},
      }),
      event(account, now, '/v1/ip-lookup', 'invalid'),
    ],
  };
}

const kafka = new Kafka({brokers: bootstrapServers.split(','), logLevel: logLevel.WARN});
const producer = kafka.producer({
  createPartitioner: Partitioners.DefaultPartitioner, // as Java's; LegacyPartitioner is not
  idempotent: true,
  maxInFlightRequests: 1,
});
await producer.connect();
try {
  const places = await producer.send({
    topic,
    acks: -1, // all
    messages: accounts.map((account) => ({
      key: account, // the plain account_id
      value: Buffer.concat([header, type.toBuffer(batch(account))]),
      headers: {'creditmeter-producer': 'node-example'},
    })),
  }); // throws where the broker did not take them: then send them again
  for (const {topicName, partition, baseOffset} of places) console.log(`${topicName}[${partition}]@${baseOffset}`);
} finally {
  await producer.disconnect();
}
