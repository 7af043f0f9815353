//! One connection to a broker: frames out, frames in, each answer to whoever asked.
//!
//! Requests leave in the order in which they were submitted and a broker answers in that order, so the oldest open
//! request owns the next frame; a correlation id that disagrees is a protocol error and closes the connection. So do
//! bytes that are no frame, an answer that does not parse and an answer that takes longer than its time-out: after
//! either nothing that comes can be trusted. Everybody who waits is then told, and the owner ([`crate::cluster`]) opens
//! another. A request that took too long may still wait to be sent; the connection is reset then, so that it never leaves.
//! A task of its own reads and writes, so that no caller who gives up midway leaves half a request behind.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use anabranch_host::{ByteStream, Host, Instant};
use anabranch_protocol::frame::take_frame;
use anabranch_protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use anabranch_protocol::{
    ApiKey, Decoder, ErrorCode, Message, Request, RequestHeader, ResponseHeader, Segments, encode_request,
};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::{ClientError, ErrorKind, Result};

/// The largest answer that is taken; brokers bound a fetch to about half of it.
const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;
/// Room that is made for reading while the length of the next answer is not known.
const READ_BYTES: usize = 16 * 1024;
/// Room that is made for an answer on its claim alone.
const LARGE_READ_BYTES: usize = 1024 * 1024;
/// Sent to brokers with the first request; they show it in their metrics.
const SOFTWARE_NAME: &str = "anabranch";
const SOFTWARE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// How a connection behaves.
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    /// The broker's name in errors and logs.
    pub peer: String,
    /// Our name in requests.
    pub client_id: String,
    /// How long an answer may take, where the request does not say.
    pub request_timeout: Duration,
    /// Requests that may be open at once; more wait.
    pub max_in_flight: usize,
}

/// A connection with the versions that its broker speaks. Cheap to clone; the last clone closes it.
#[derive(Clone)]
pub struct Connection {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
}

struct Shared {
    host: Host,
    options: ConnectionOptions,
    versions: OnceLock<BrokerVersions>,
    permits: Arc<Semaphore>,
    state: Mutex<State>,
    /// Wakes the writer: something to write.
    to_write: Notify,
    /// Ends the task.
    ended: Notify,
}

#[derive(Default)]
struct State {
    /// Why no request is taken any more.
    closed: Option<ClientError>,
    /// An answer took too long: what was sent is not to arrive any more.
    is_given_up: bool,
    next_correlation_id: i32,
    outgoing: VecDeque<Segments>,
    open: VecDeque<OpenRequest>,
}

struct OpenRequest {
    correlation_id: i32,
    answer: oneshot::Sender<Result<Bytes>>,
    _permit: OwnedSemaphorePermit,
}

/// A request on its way.
#[must_use = "the answer is lost"]
pub struct PendingAnswer {
    shared: Arc<Shared>,
    key: ApiKey,
    version: i16,
    timeout: Duration,
    /// The time-out counts from the sending, whenever somebody comes to wait.
    deadline: Instant,
    answer: oneshot::Receiver<Result<Bytes>>,
}

/// A frame that answers a request. Messages borrow from it.
#[derive(Debug)]
pub struct Answer {
    body: Bytes,
    key: ApiKey,
    version: i16,
    connection: Weak<Shared>,
}

/// What of a request's treatment may differ from the connection's.
#[derive(Clone, Copy, Debug)]
pub struct CallOptions {
    /// The highest version that says what the caller means.
    pub max_version: i16,
    /// How long the answer may take; the connection's time-out if not given.
    pub timeout: Option<Duration>,
}

impl Default for CallOptions {
    fn default() -> Self {
        CallOptions { max_version: i16::MAX, timeout: None }
    }
}

impl Connection {
    /// Takes a fresh byte stream into use: starts its task and asks the broker for the versions that it speaks.
    ///
    /// # Errors
    /// Retriable, if the broker does not answer; Invalid, if it speaks nothing that we do.
    pub async fn open(host: &Host, stream: ByteStream, options: ConnectionOptions) -> Result<Connection> {
        let shared = Arc::new(Shared {
            host: host.clone(),
            permits: Arc::new(Semaphore::new(options.max_in_flight.max(1))),
            options,
            versions: OnceLock::new(),
            state: Mutex::new(State::default()),
            to_write: Notify::new(),
            ended: Notify::new(),
        });
        host.spawn(drive(Arc::clone(&shared), stream));
        let connection = Connection { handle: Arc::new(Handle { shared }) };
        let versions = connection.ask_versions().await?;
        // The only place that sets it.
        let _ = connection.shared().versions.set(versions);
        Ok(connection)
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// The newest version that both sides speak, at most `max_version`.
    ///
    /// # Errors
    /// Invalid, if there is none.
    pub fn version<'a, R: Request<'a>>(&self, max_version: i16) -> Result<i16> {
        let versions = self.shared().versions.get();
        let (min, max) = versions.and_then(|versions| versions.range(R::KEY)).unwrap_or((0, -1));
        let (min, max) = (min.max(*R::VERSIONS.start()), max.min(*R::VERSIONS.end()).min(max_version));
        if min > max {
            return Err(ClientError::invalid(format!(
                "broker {} does not serve {} in a version that this client can use",
                self.shared().options.peer,
                R::KEY,
            )));
        }
        Ok(max)
    }

    /// The level at which the cluster has switched a feature on; 0 if it has not.
    #[must_use]
    pub fn feature_level(&self, feature: &str) -> i16 {
        let versions = self.shared().versions.get();
        versions.and_then(|versions| versions.features.get(feature)).copied().unwrap_or(0)
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// Retriable, if the connection breaks or the answer does not come in time; Invalid, if no version fits.
    pub async fn call<'a, R: Request<'a>>(&self, request: &R) -> Result<Answer> {
        self.submit(request, CallOptions::default()).await?.answer().await
    }

    /// As [`Connection::call`], with options.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn call_with<'a, R: Request<'a>>(&self, request: &R, options: CallOptions) -> Result<Answer> {
        self.submit(request, options).await?.answer().await
    }

    /// Queues a request, waiting while too many are open. Requests leave in the order in which these calls return.
    ///
    /// # Errors
    /// Retriable, if the connection is broken; Invalid, if no version fits.
    pub async fn submit<'a, R: Request<'a>>(
        &self,
        request: &R,
        options: CallOptions,
    ) -> Result<PendingAnswer> {
        let version = self.version::<R>(options.max_version)?;
        self.submit_version(request, version, options.timeout).await
    }

    async fn submit_version<'a, R: Request<'a>>(
        &self,
        request: &R,
        version: i16,
        timeout: Option<Duration>,
    ) -> Result<PendingAnswer> {
        let shared = self.shared();
        let timeout = timeout.unwrap_or(shared.options.request_timeout);
        let permits = Arc::clone(&shared.permits);
        let permit = match shared.host.timeout(timeout, permits.acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(shared.broken()),
            Err(_) => {
                return Err(ClientError::timed_out(&format!("waiting to send to {}", self.peer()), timeout));
            }
        };
        let (sender, answer) = oneshot::channel();
        {
            let mut state = shared.state.lock();
            if let Some(error) = &state.closed {
                return Err(error.clone());
            }
            let correlation_id = state.next_correlation_id;
            state.next_correlation_id = correlation_id.wrapping_add(1) & i32::MAX;
            let header = RequestHeader::new(R::KEY, version, correlation_id, Some(&shared.options.client_id));
            state.outgoing.push_back(encode_request(&header, request));
            state.open.push_back(OpenRequest { correlation_id, answer: sender, _permit: permit });
        }
        shared.to_write.notify_one();
        let deadline = shared.host.now() + timeout;
        Ok(PendingAnswer { shared: Arc::clone(shared), key: R::KEY, version, timeout, deadline, answer })
    }

    /// Asks for the broker's versions: at our newest version of the question, or at the one that a broker who does not
    /// know it points to (KIP-511: such an answer is in version 0).
    async fn ask_versions(&self) -> Result<BrokerVersions> {
        let request = ApiVersionsRequest {
            client_software_name: SOFTWARE_NAME,
            client_software_version: SOFTWARE_VERSION,
        };
        let newest = *ApiVersionsRequest::VERSIONS.end();
        let answer = self.submit_version(&request, newest, None).await?.answer().await?;
        if let Some(versions) = answer.try_decode(newest).and_then(|response| BrokerVersions::read(&response))
        {
            return Ok(versions);
        }
        let refusal = answer.decode_version::<ApiVersionsResponse<'_>>(0)?;
        if refusal.error_code != ErrorCode::UNSUPPORTED_VERSION {
            return Err(ClientError::from_code("asking for API versions", refusal.error_code));
        }
        let offered = BrokerVersions::ranges(&refusal).range(ApiKey::ApiVersions).map_or(0, |(_, max)| max);
        let version = offered.clamp(0, newest);
        let answer = self.submit_version(&request, version, None).await?.answer().await?;
        let response = answer.decode_version::<ApiVersionsResponse<'_>>(version)?;
        BrokerVersions::read(&response)
            .ok_or_else(|| ClientError::from_code("asking for API versions", response.error_code))
    }

    /// Whether requests are still taken.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.shared().state.lock().closed.is_none()
    }

    /// The broker's name in errors and logs.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.shared().options.peer
    }

    /// Closes the connection; those who wait get a retriable error.
    pub fn close(&self) {
        let shared = self.shared();
        shared.close(ClientError::retriable(format!("the connection to {} was closed", shared.options.peer)));
    }

    /// Whether both are the same connection.
    #[must_use]
    pub fn is_same(&self, other: &Connection) -> bool {
        Arc::ptr_eq(&self.handle, &other.handle)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.peer())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let peer = &self.shared.options.peer;
        self.shared.close(ClientError::retriable(format!("the connection to {peer} is no longer used")));
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({})", self.options.peer)
    }
}

impl Shared {
    fn broken(&self) -> ClientError {
        let closed = self.state.lock().closed.clone();
        closed.unwrap_or_else(|| {
            ClientError::retriable(format!("the connection to {} broke", self.options.peer))
        })
    }

    /// Tells everybody and takes no further request. Only the first reason counts.
    fn close(&self, error: ClientError) {
        let open = {
            let mut state = self.state.lock();
            if state.closed.is_some() {
                return;
            }
            state.closed = Some(error.clone());
            state.outgoing.clear();
            std::mem::take(&mut state.open)
        };
        self.permits.close();
        for request in open {
            // Whoever asked may be gone.
            let _ = request.answer.send(Err(error.clone()));
        }
        self.ended.notify_one();
    }

    /// Hands a frame to the oldest open request.
    fn deliver(&self, frame: Bytes) -> Result<()> {
        let correlation_id = frame.first_chunk::<4>().map(|bytes| i32::from_be_bytes(*bytes));
        let request = self.state.lock().open.pop_front();
        let expected = request.as_ref().map(|request| request.correlation_id);
        match (request, correlation_id) {
            (Some(request), Some(correlation_id)) if request.correlation_id == correlation_id => {
                // Whoever asked may be gone.
                let _ = request.answer.send(Ok(frame));
                Ok(())
            }
            (request, _) => {
                let error = ClientError::corrupt(format!(
                    "broker {} sent correlation id {correlation_id:?}, expected {expected:?}",
                    self.options.peer
                ));
                if let Some(request) = request {
                    let _ = request.answer.send(Err(error.clone()));
                }
                Err(error)
            }
        }
    }
}

impl PendingAnswer {
    /// Waits for the answer.
    ///
    /// # Errors
    /// Retriable, if the connection breaks or the answer does not come in time.
    pub async fn answer(self) -> Result<Answer> {
        let PendingAnswer { shared, key, version, timeout, deadline, answer } = self;
        let left = deadline.saturating_duration_since(shared.host.now());
        let frame = match shared.host.timeout(left, answer).await {
            Ok(Ok(frame)) => frame?,
            Ok(Err(_)) => return Err(shared.broken()),
            Err(_) => {
                let error = ClientError::timed_out(&format!("{key} to {}", shared.options.peer), timeout);
                shared.state.lock().is_given_up = true;
                shared.close(error.clone());
                return Err(error);
            }
        };
        Ok(Answer { body: frame, key, version, connection: Arc::downgrade(&shared) })
    }
}

impl Answer {
    /// The version that was spoken.
    #[must_use]
    pub fn version(&self) -> i16 {
        self.version
    }

    /// The message in the frame.
    ///
    /// # Errors
    /// Corrupt, if the bytes are not that message; the connection is then closed.
    pub fn decode<'r, M: Message<'r>>(&'r self) -> Result<M> {
        self.decode_version(self.version)
    }

    fn decode_version<'r, M: Message<'r>>(&'r self, version: i16) -> Result<M> {
        self.read(version).map_err(|source| {
            let peer = self.connection.upgrade();
            let peer = peer.as_ref().map_or("a broker", |shared| &shared.options.peer);
            let text = format!("the answer of {peer} to {} does not parse: {source}", self.key);
            let error = ClientError::caused_by(ErrorKind::Corrupt, text, source);
            if let Some(shared) = self.connection.upgrade() {
                shared.close(error.clone());
            }
            error
        })
    }

    fn try_decode<'r, M: Message<'r>>(&'r self, version: i16) -> Option<M> {
        self.read(version).ok()
    }

    fn read<'r, M: Message<'r>>(&'r self, version: i16) -> Result<M, anabranch_protocol::DecodeError> {
        let mut decoder = Decoder::new(&self.body);
        ResponseHeader::decode(&mut decoder, self.key, version)?;
        M::decode(&mut decoder, version)
    }
}

/// The versions that a broker serves, and the features that its cluster has switched on.
#[derive(Debug, Default)]
struct BrokerVersions {
    ranges: BTreeMap<i16, (i16, i16)>,
    features: BTreeMap<String, i16>,
}

impl BrokerVersions {
    fn read(response: &ApiVersionsResponse<'_>) -> Option<Self> {
        (response.error_code == ErrorCode::NONE).then(|| Self::ranges(response))
    }

    fn ranges(response: &ApiVersionsResponse<'_>) -> Self {
        let ranges = response.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version)));
        let features = response.finalized_features.iter();
        let features = features.map(|feature| (feature.name.to_string(), feature.max_version_level));
        BrokerVersions { ranges: ranges.collect(), features: features.collect() }
    }

    fn range(&self, key: ApiKey) -> Option<(i16, i16)> {
        self.ranges.get(&i16::from(key)).copied()
    }
}

/// Moves bytes until the connection is closed or breaks.
async fn drive(shared: Arc<Shared>, stream: ByteStream) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let ended = tokio::select! {
        biased;
        () = shared.ended.notified() => None,
        error = read_answers(&shared, &mut reader) => Some(error),
        error = write_requests(&shared, &mut writer) => Some(error),
    };
    if let Some(error) = ended {
        shared.close(error);
    }
    if shared.state.lock().is_given_up {
        return reader.unsplit(writer).reset();
    }
    // A clean end for the broker's sake; it may have gone already.
    let _ = shared.host.timeout(Duration::from_secs(1), writer.shutdown()).await;
}

async fn write_requests<W: AsyncWrite + Unpin>(shared: &Shared, writer: &mut W) -> ClientError {
    let broken = |error: std::io::Error| {
        let text = format!("the connection to {} broke while writing: {error}", shared.options.peer);
        ClientError::caused_by(ErrorKind::Retriable, text, error)
    };
    loop {
        let next = shared.state.lock().outgoing.pop_front();
        match next {
            Some(mut segments) => {
                if let Err(error) = writer.write_all_buf(&mut segments).await {
                    return broken(error);
                }
            }
            None => {
                if let Err(error) = writer.flush().await {
                    return broken(error);
                }
                shared.to_write.notified().await;
            }
        }
    }
}

async fn read_answers<R: AsyncRead + Unpin>(shared: &Shared, reader: &mut R) -> ClientError {
    let peer = &shared.options.peer;
    let mut buffer = BytesMut::new();
    loop {
        loop {
            match take_frame(&mut buffer, MAX_ANSWER_BYTES) {
                Ok(Some(frame)) => {
                    if let Err(error) = shared.deliver(frame) {
                        return error;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    return ClientError::caused_by(
                        ErrorKind::Corrupt,
                        format!("what broker {peer} sends is not Kafka's protocol: {error}"),
                        error,
                    );
                }
            }
        }
        // Room for the rest of a large answer, so that it is not moved again and again; but what it claims is believed
        // only as far as bytes have come.
        let whole = buffer.first_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length) as usize + 4);
        let rest = whole.saturating_sub(buffer.len());
        buffer.reserve(rest.clamp(READ_BYTES, LARGE_READ_BYTES.max(buffer.len())));
        match reader.read_buf(&mut buffer).await {
            Ok(0) => {
                return ClientError::retriable(format!("broker {peer} closed the connection"));
            }
            Ok(_) => {}
            Err(error) => {
                let text = format!("the connection to {peer} broke: {error}");
                return ClientError::caused_by(ErrorKind::Retriable, text, error);
            }
        }
    }
}

#[cfg(test)]
mod tests;
