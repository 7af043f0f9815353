// Makes golden.txt: bytes written by Apache Kafka's own classes, one line each: name, version, hexadecimal digits.
// Run with Kafka's jars (4.3.1 made the file): java -cp 'LIB/*' Golden.java > golden.txt

import java.nio.ByteBuffer;
import java.util.HexFormat;
import java.util.List;

import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.metadata.*;
import org.apache.kafka.common.protocol.*;
import org.apache.kafka.common.requests.*;
import org.apache.kafka.coordinator.group.generated.*;
import org.apache.kafka.coordinator.transaction.generated.*;
import org.apache.kafka.metadata.MetadataRecordSerde;
import org.apache.kafka.server.common.ApiMessageAndVersion;

public class Golden {
    static final Uuid ID = new Uuid(0x0102030405060708L, 0x090a0b0c0d0e0f10L);

    static void print(String name, int version, ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        System.out.println(name + " " + version + " " + HexFormat.of().formatHex(bytes));
    }

    static void message(Message message, int... versions) {
        for (int version : versions) {
            print(message.getClass().getSimpleName().replaceAll("Data$", ""), version,
                MessageUtil.toByteBufferAccessor(message, (short) version).buffer());
        }
    }

    static void versioned(Message message, int... versions) {
        for (int version : versions) {
            print(message.getClass().getSimpleName(), version, MessageUtil.toVersionPrefixedByteBuffer((short) version, message));
        }
    }

    static void metadata(ApiMessage record, int... versions) {
        MetadataRecordSerde serde = new MetadataRecordSerde();
        for (int version : versions) {
            ApiMessageAndVersion value = new ApiMessageAndVersion(record, (short) version);
            ObjectSerializationCache cache = new ObjectSerializationCache();
            ByteBuffer buffer = ByteBuffer.allocate(serde.recordSize(value, cache));
            serde.write(value, cache, new ByteBufferAccessor(buffer));
            buffer.flip();
            print(record.getClass().getSimpleName(), version, buffer);
        }
    }

    public static void main(String[] arguments) {
        message(new ProduceResponseData()
            .setResponses(new ProduceResponseData.TopicProduceResponseCollection(List.of(
                new ProduceResponseData.TopicProduceResponse().setTopicId(ID).setPartitionResponses(List.of(
                    new ProduceResponseData.PartitionProduceResponse().setIndex(3).setErrorCode((short) 6)
                        .setBaseOffset(-1).setErrorMessage("moved")
                        .setRecordErrors(List.of(new ProduceResponseData.BatchIndexAndErrorMessage().setBatchIndex(2)))
                        .setCurrentLeader(new ProduceResponseData.LeaderIdAndEpoch().setLeaderId(4).setLeaderEpoch(5)))))
                .iterator()))
            .setNodeEndpoints(new ProduceResponseData.NodeEndpointCollection(List.of(
                new ProduceResponseData.NodeEndpoint().setNodeId(4).setHost("h").setPort(9092)).iterator())), 13);
        message(new FetchRequestData().setMaxWaitMs(500).setMinBytes(1).setTopics(List.of(
            new FetchRequestData.FetchTopic().setTopicId(ID).setPartitions(List.of(
                new FetchRequestData.FetchPartition().setPartition(1).setFetchOffset(7).setPartitionMaxBytes(1024))))), 13, 18);
        message(new FetchRequestData().setMaxWaitMs(500).setMinBytes(1).setTopics(List.of(
            new FetchRequestData.FetchTopic().setTopicId(ID).setPartitions(List.of(
                new FetchRequestData.FetchPartition().setPartition(1).setFetchOffset(7).setReplicaDirectoryId(ID).setHighWatermark(6)))))
            .setClusterId("c").setReplicaState(new FetchRequestData.ReplicaState().setReplicaId(2).setReplicaEpoch(9)), 18);
        message(new FetchResponseData().setResponses(List.of(
            new FetchResponseData.FetchableTopicResponse().setTopic("t").setPartitions(List.of(
                new FetchResponseData.PartitionData().setPartitionIndex(1).setHighWatermark(8).setAbortedTransactions(null)
                    .setDivergingEpoch(new FetchResponseData.EpochEndOffset().setEpoch(2).setEndOffset(3)))))), 12);
        message(new ApiVersionsResponseData()
            .setApiKeys(new ApiVersionsResponseData.ApiVersionCollection(List.of(
                new ApiVersionsResponseData.ApiVersion().setApiKey((short) 18).setMaxVersion((short) 4)).iterator()))
            .setSupportedFeatures(new ApiVersionsResponseData.SupportedFeatureKeyCollection(List.of(
                new ApiVersionsResponseData.SupportedFeatureKey().setName("transaction.version").setMaxVersion((short) 2)).iterator()))
            .setFinalizedFeaturesEpoch(11)
            .setFinalizedFeatures(new ApiVersionsResponseData.FinalizedFeatureKeyCollection(List.of(
                new ApiVersionsResponseData.FinalizedFeatureKey().setName("transaction.version")
                    .setMinVersionLevel((short) 1).setMaxVersionLevel((short) 2)).iterator())), 0, 1, 4);
        message(new DescribeTopicPartitionsRequestData().setTopics(List.of(
            new DescribeTopicPartitionsRequestData.TopicRequest().setName("t"))), 0);
        message(new DescribeTopicPartitionsRequestData().setCursor(
            new DescribeTopicPartitionsRequestData.Cursor().setTopicName("t").setPartitionIndex(5)), 0);
        print("request", 12, new MetadataRequest(new MetadataRequestData().setTopics(List.of(
            new MetadataRequestData.MetadataRequestTopic().setName(null).setTopicId(ID))), (short) 12)
            .serializeWithHeader(new RequestHeader(ApiKeys.METADATA, (short) 12, "client", 77)));
        print("request", 1, new MetadataRequest(new MetadataRequestData().setTopics(null), (short) 1)
            .serializeWithHeader(new RequestHeader(ApiKeys.METADATA, (short) 1, "client", 77)));

        print("OffsetCommitKey", 1, ByteBuffer.wrap(MessageUtil.toCoordinatorTypePrefixedBytes(
            new OffsetCommitKey().setGroup("g").setTopic("t").setPartition(3))));
        print("GroupMetadataKey", 2, ByteBuffer.wrap(MessageUtil.toCoordinatorTypePrefixedBytes(
            new GroupMetadataKey().setGroup("g"))));
        versioned(new OffsetCommitValue().setOffset(7).setLeaderEpoch(2).setMetadata("m").setCommitTimestamp(1000)
            .setExpireTimestamp(2000).setTopicId(ID), 0, 1, 2, 3, 4);
        versioned(new GroupMetadataValue().setProtocolType("consumer").setGeneration(4).setProtocol("range").setLeader("m")
            .setCurrentStateTimestamp(1000).setMembers(List.of(new GroupMetadataValue.MemberMetadata().setMemberId("m")
                .setGroupInstanceId("i").setClientId("c").setClientHost("/h").setRebalanceTimeout(300).setSessionTimeout(45)
                .setSubscription(new byte[] {1, 2}).setAssignment(new byte[] {3}))), 0, 1, 2, 3, 4);
        print("TransactionLogKey", 0, ByteBuffer.wrap(MessageUtil.toCoordinatorTypePrefixedBytes(
            new TransactionLogKey().setTransactionalId("x"))));
        versioned(new TransactionLogValue().setProducerId(5).setProducerEpoch((short) 6).setTransactionTimeoutMs(7)
            .setTransactionStatus((byte) 1).setTransactionPartitions(null).setTransactionLastUpdateTimestampMs(8)
            .setTransactionStartTimestampMs(9), 0);
        versioned(new TransactionLogValue().setProducerId(5).setProducerEpoch((short) 6).setTransactionTimeoutMs(7)
            .setTransactionStatus((byte) 1).setTransactionPartitions(List.of(
                new TransactionLogValue.PartitionsSchema().setTopic("t").setPartitionIds(List.of(1, 2))))
            .setTransactionLastUpdateTimestampMs(8).setTransactionStartTimestampMs(9).setPreviousProducerId(4)
            .setNextProducerId(10).setNextProducerEpoch((short) 11).setClientTransactionVersion((short) 2), 1);

        versioned(new ConsumerProtocolSubscription().setTopics(List.of("a", "b")).setUserData(ByteBuffer.wrap(new byte[] {1}))
            .setOwnedPartitions(new ConsumerProtocolSubscription.TopicPartitionCollection(List.of(
                new ConsumerProtocolSubscription.TopicPartition().setTopic("a").setPartitions(List.of(0, 2))).iterator()))
            .setGenerationId(3).setRackId("r"), 0, 1, 2, 3);
        versioned(new ConsumerProtocolAssignment().setAssignedPartitions(
            new ConsumerProtocolAssignment.TopicPartitionCollection(List.of(
                new ConsumerProtocolAssignment.TopicPartition().setTopic("a").setPartitions(List.of(0, 2))).iterator())), 0, 3);

        metadata(new TopicRecord().setName("t").setTopicId(ID), 0);
        metadata(new PartitionRecord().setPartitionId(1).setTopicId(ID).setReplicas(List.of(1, 2)).setIsr(List.of(1))
            .setLeader(1).setLeaderEpoch(3).setPartitionEpoch(4).setLeaderRecoveryState((byte) 1), 0);
        metadata(new PartitionRecord().setPartitionId(1).setTopicId(ID).setReplicas(List.of(1, 2)).setIsr(List.of(1))
            .setLeader(1).setLeaderEpoch(3).setPartitionEpoch(4).setDirectories(List.of(ID))
            .setEligibleLeaderReplicas(List.of(2)).setLastKnownElr(List.of()), 2);
        metadata(new PartitionChangeRecord().setPartitionId(1).setTopicId(ID).setIsr(List.of(1, 2)).setLeader(2), 0);
        metadata(new PartitionChangeRecord().setPartitionId(1).setTopicId(ID).setReplicas(List.of(1))
            .setRemovingReplicas(List.of()).setAddingReplicas(List.of(2)).setLeaderRecoveryState((byte) 0)
            .setDirectories(List.of(ID)).setEligibleLeaderReplicas(List.of(1)).setLastKnownElr(List.of(2)), 2);
        metadata(new ConfigRecord().setResourceType((byte) 2).setResourceName("t").setName("k").setValue("v"), 0);
        metadata(new RemoveTopicRecord().setTopicId(ID), 0);
        metadata(new FeatureLevelRecord().setName("metadata.version").setFeatureLevel((short) 30), 0);
        metadata(new ProducerIdsRecord().setBrokerId(1).setBrokerEpoch(2).setNextProducerId(1000), 0);
    }
}
