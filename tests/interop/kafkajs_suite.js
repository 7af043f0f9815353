// kafkajs: old protocol versions, its own assigner, gzip built in.
const { Kafka, CompressionTypes, logLevel } = require("kafkajs");
const assert = require("node:assert");

const kafka = new Kafka({ brokers: [process.argv[2]], logLevel: logLevel.ERROR, retry: { retries: 8 } });
const fresh = (name) => `${name}-${Math.random().toString(16).slice(2, 10)}`;
const topic = fresh("kafkajs");

async function read(group, count, commit) {
  const consumer = kafka.consumer({ groupId: group, sessionTimeout: 10000, heartbeatInterval: 500 });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  const got = [];
  await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`only ${got.length} of ${count} records`)), 30000);
    consumer.run({
      autoCommit: false,
      eachMessage: async ({ message }) => {
        if (got.length < count) got.push(message);
        if (got.length === count) { clearTimeout(timer); resolve(); }
      },
    }).catch(reject);
  });
  if (commit) await consumer.commitOffsets([{ topic, partition: 0, offset: String(Number(got[count - 1].offset) + 1) }]);
  await consumer.disconnect();
  return got;
}

const tests = {
  async create_a_topic() {
    const admin = kafka.admin();
    await admin.connect();
    assert.equal(await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] }), true);
    assert.ok((await admin.listTopics()).includes(topic));
    await admin.disconnect();
  },
  async produce_and_read_back() {
    const producer = kafka.producer({ idempotent: true });
    await producer.connect();
    for (const compression of [CompressionTypes.None, CompressionTypes.GZIP]) {
      const messages = [...Array(10).keys()].map((n) => ({ key: `k${n}`, value: `v${n}`, headers: { trace: Buffer.from([0, 1]) } }));
      await producer.send({ topic, compression, acks: -1, messages });
    }
    await producer.disconnect();
    const got = await read(fresh("group"), 20, false);
    assert.deepEqual(got.map((m) => m.value.toString()), [...Array(20).keys()].map((n) => `v${n % 10}`));
    assert.deepEqual(got[0].headers.trace, Buffer.from([0, 1]));
  },
  async a_group_goes_on_where_it_ended() {
    const group = fresh("group");
    assert.deepEqual((await read(group, 7, true)).map((m) => m.offset), ["0", "1", "2", "3", "4", "5", "6"]);
    assert.deepEqual((await read(group, 3, true)).map((m) => m.offset), ["7", "8", "9"]);
  },
};

(async () => {
  let failed = 0;
  for (const [name, test] of Object.entries(tests)) {
    try { await test(); console.log(`ok ${name}`); } catch (error) {
      failed += 1; console.error(error); console.log(`not ok ${name}: ${String(error.message).split("\n")[0]}`);
    }
  }
  process.exit(failed ? 1 : 0);
})();
