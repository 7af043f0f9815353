//! Reads logs over the wire by itself, with nothing of the client's: what the checker believes.

use std::io;
use std::time::Duration;

use anabranch_host::{ByteStream, Host};
use anabranch_protocol::frame::take_frame;
use anabranch_protocol::header::{RequestHeader, ResponseHeader, encode_request};
use anabranch_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use anabranch_protocol::records::batches;
use anabranch_protocol::wire::Decoder;
use anabranch_protocol::{ApiKey, ErrorCode};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::broker_process::ADDRESS;
use crate::history::{Log, Recorder, Value, value_of};

/// The last version that names topics.
const FETCH_VERSION: i16 = 12;
/// A broker that has not answered by then is asked anew.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer: on the slowest network it is there in half of that.
const MAX_BYTES: i32 = 1 << 18;

/// A connection to the broker, made when needed.
pub(crate) struct Reader {
    host: Host,
    stream: Option<ByteStream>,
    correlation_id: i32,
}

/// What a fetch brought.
struct Fetched {
    records: Vec<(i64, Value)>,
    next_offset: i64,
    high_watermark: i64,
}

impl Reader {
    pub(crate) fn new(host: &Host) -> Reader {
        Reader { host: host.clone(), stream: None, correlation_id: 0 }
    }

    /// The whole of a log, up to its high watermark; asks until it is told.
    pub(crate) async fn read_all(&mut self, log: &Log) -> Vec<(i64, Value)> {
        let mut records = Vec::new();
        let mut offset = 0;
        loop {
            match self.fetch(log, offset).await {
                Some(Ok(fetched)) => {
                    records.extend(fetched.records);
                    offset = fetched.next_offset;
                    if offset >= fetched.high_watermark {
                        return records;
                    }
                }
                Some(Err(code)) => {
                    assert_ne!(code, ErrorCode::OFFSET_OUT_OF_RANGE, "{log:?} has no offset {offset}");
                    self.host.sleep(Duration::from_millis(100)).await;
                }
                None => self.host.sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Follows a log and writes down what it is given, for ever.
    pub(crate) async fn follow(&mut self, consumer: u32, log: &Log, recorder: &Recorder) {
        let mut offset = 0;
        loop {
            match self.fetch(log, offset).await {
                Some(Ok(fetched)) => {
                    offset = fetched.next_offset;
                    recorder.polled(consumer, log.clone(), fetched.records);
                }
                Some(Err(ErrorCode::OFFSET_OUT_OF_RANGE)) => {
                    // The checker will say that what was seen is gone.
                    recorder.positioned(consumer, log.clone());
                    offset = 0;
                }
                Some(Err(_)) | None => self.host.sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// The records from an offset on, or the error of the partition; `None` if there is no answer.
    async fn fetch(&mut self, log: &Log, offset: i64) -> Option<Result<Fetched, ErrorCode>> {
        let host = self.host.clone();
        let answer = host.timeout(PATIENCE, self.ask(log, offset)).await;
        let Ok(Ok(answer)) = answer else {
            self.stream = None;
            return None;
        };
        Some(read_answer(&answer, log, offset))
    }

    async fn ask(&mut self, (topic, partition): &Log, offset: i64) -> io::Result<Bytes> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.host.connect(ADDRESS).await?,
        };
        let partitions = vec![FetchPartition {
            partition: *partition,
            fetch_offset: offset,
            partition_max_bytes: MAX_BYTES,
            ..FetchPartition::default()
        }];
        let request = FetchRequest {
            max_wait_ms: 500,
            min_bytes: 1,
            max_bytes: MAX_BYTES,
            topics: vec![FetchTopic { topic, partitions, ..FetchTopic::default() }],
            ..FetchRequest::default()
        };
        self.correlation_id += 1;
        let header = RequestHeader::new(ApiKey::Fetch, FETCH_VERSION, self.correlation_id, Some("reader"));
        stream.write_all(&encode_request(&header, &request).into_bytes()).await?;
        let mut arrived = BytesMut::new();
        loop {
            if let Some(frame) = take_frame(&mut arrived, usize::MAX).map_err(io::Error::other)? {
                self.stream = Some(stream);
                return Ok(frame);
            }
            if stream.read_buf(&mut arrived).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Takes an answer apart. A broker that answers nonsense fails the test.
fn read_answer(answer: &Bytes, log: &Log, offset: i64) -> Result<Fetched, ErrorCode> {
    let mut decoder = Decoder::new(answer);
    ResponseHeader::decode(&mut decoder, ApiKey::Fetch, FETCH_VERSION).expect("a header");
    let response =
        <FetchResponse<'_> as anabranch_protocol::Message<'_>>::decode(&mut decoder, FETCH_VERSION)
            .expect("an answer to a fetch");
    if response.error_code != ErrorCode::NONE {
        return Err(response.error_code);
    }
    let partition = &response.responses[0].partitions[0];
    if partition.error_code != ErrorCode::NONE {
        return Err(partition.error_code);
    }
    let mut fetched =
        Fetched { records: Vec::new(), next_offset: offset, high_watermark: partition.high_watermark };
    let mut scratch = Vec::new();
    for batch in batches(partition.records.as_ref().unwrap_or(&Bytes::new())) {
        let batch = batch.expect("a batch");
        batch.check_crc().unwrap_or_else(|error| panic!("{log:?} at {}: {error}", batch.header.base_offset));
        fetched.next_offset = fetched.next_offset.max(batch.header.next_offset());
        assert!(
            batch.header.last_offset() < partition.high_watermark,
            "{log:?}: records above the high watermark"
        );
        if batch.header.is_control() {
            continue;
        }
        for record in batch.records(&mut scratch).expect("records") {
            let record = record.expect("a record");
            // A batch comes whole, also when its first records were not asked for.
            if record.offset >= offset {
                fetched.records.push((record.offset, value_of(record.value)));
            }
        }
    }
    Ok(fetched)
}
