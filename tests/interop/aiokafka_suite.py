"""aiokafka: speaks the low end of the version ranges."""
import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from suite import BOOTSTRAP, CODECS, HEADERS, equal, fresh, records, run

TOPIC = fresh("aiokafka")


def create_a_topic():
    async def body():
        admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
        await admin.start()
        await admin.create_topics([NewTopic(TOPIC, 1, 1)])
        assert TOPIC in await admin.list_topics()
        await admin.close()

    asyncio.run(body())


def produce_each_codec_and_read_it_back():
    async def body():
        expected = []
        for codec in CODECS:
            async with AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, compression_type=codec, acks="all", enable_idempotence=True) as producer:
                for key, value in records(codec):
                    await producer.send_and_wait(TOPIC, key=key, value=value, headers=HEADERS)
                    expected.append((key, value))
        async with AIOKafkaConsumer(TOPIC, bootstrap_servers=BOOTSTRAP, auto_offset_reset="earliest") as consumer:
            got = []
            while len(got) < len(expected):
                record = await asyncio.wait_for(consumer.getone(), 10)
                got.append((record.key, record.value))
                equal(list(record.headers), HEADERS)
        equal(got, expected)

    asyncio.run(body())


def a_group_goes_on_where_it_ended():
    async def body():
        group = fresh("group")
        for count, expected in ((7, list(range(7))), (3, [7, 8, 9])):
            async with AIOKafkaConsumer(TOPIC, bootstrap_servers=BOOTSTRAP, group_id=group, auto_offset_reset="earliest",
                                        enable_auto_commit=False) as consumer:
                got = [(await asyncio.wait_for(consumer.getone(), 20)).offset for _ in range(count)]
                equal(got, expected)
                await consumer.commit({TopicPartition(TOPIC, 0): got[-1] + 1})

    asyncio.run(body())


run([create_a_topic, produce_each_codec_and_read_it_back, a_group_goes_on_where_it_ended])
