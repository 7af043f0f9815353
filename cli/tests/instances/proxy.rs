//! What stands between the instances and the server: it carries frames, and loses one if it is told to.

use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use anabranch_host::{ByteStream, Host};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::watch;

/// Where a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Before the request: the server never sees it.
    Before,
    /// Between the request and its response: the server has done it, and nobody hears so.
    After,
    /// Before the request, which comes to the server this much later, when it may have been sent anew.
    Late(Duration),
}

/// Requests that commit, by their API keys, and those around them.
pub(crate) const PRODUCE: i16 = 0;
pub(crate) const OFFSET_COMMIT: i16 = 8;
pub(crate) const JOIN_GROUP: i16 = 11;
pub(crate) const SYNC_GROUP: i16 = 14;
pub(crate) const INIT_PRODUCER_ID: i16 = 22;
pub(crate) const ADD_PARTITIONS_TO_TXN: i16 = 24;
pub(crate) const END_TXN: i16 = 26;
pub(crate) const TXN_OFFSET_COMMIT: i16 = 28;

/// The rest: Fetch, ListOffsets, Metadata, OffsetFetch, FindCoordinator, Heartbeat, ApiVersions, CreateTopics, DeleteRecords.
pub(crate) const OTHERS: [i16; 9] = [1, 2, 3, 9, 10, 12, 18, 19, 21];

/// What is to be cut next.
#[derive(Debug, Default)]
struct Orders {
    next: Vec<(i16, Cut)>,
    done: usize,
}

/// A proxy on a port of its own; it ends with the runtime.
pub(crate) struct Proxy {
    pub(crate) address: String,
    orders: Arc<Mutex<Orders>>,
}

impl Proxy {
    /// Carries between whoever connects and the server at the address that `upstream` gives once it is known.
    pub(crate) async fn start(host: &Host, upstream: watch::Receiver<String>) -> Proxy {
        let listener = host.listen("127.0.0.1:0").await.unwrap();
        let address = format!("127.0.0.1:{}", listener.port().unwrap());
        let orders = Arc::new(Mutex::new(Orders::default()));
        let (carriers, orders_of_all) = (host.clone(), Arc::clone(&orders));
        host.spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                let (host, orders, upstream) =
                    (carriers.clone(), Arc::clone(&orders_of_all), upstream.borrow().clone());
                carriers.spawn(async move {
                    // A server that is down refuses, and so does this.
                    if let Ok(server) = host.connect(&upstream).await {
                        carry(&host, client, server, &orders).await;
                    }
                });
            }
        });
        Proxy { address, orders }
    }

    /// Cuts an instance's next request of this kind.
    pub(crate) fn cut(&self, api_key: i16, cut: Cut) {
        self.orders.lock().unwrap().next.push((api_key, cut));
    }

    /// Takes back what has not been cut yet; how many cuts were made.
    pub(crate) fn relent(&self) -> usize {
        let mut orders = self.orders.lock().unwrap();
        orders.next.clear();
        orders.done
    }
}

/// Carries until one side ends, or the connection is cut.
async fn carry(host: &Host, client: ByteStream, server: ByteStream, orders: &Mutex<Orders>) {
    let (from_client, mut to_client) = client.split();
    let (mut from_server, to_server) = server.split();
    let (lose, lost) = watch::channel(None);
    let requests = carry_requests(from_client, to_server, orders, &lose);
    let responses = async {
        while let Ok(frame) = frame(&mut from_server).await {
            if *lost.borrow() == correlation_id(&frame, 4) || to_client.write_all(&frame).await.is_err() {
                return;
            }
        }
    };
    let late = tokio::select! {
        biased;
        () = responses => None,
        late = requests => late,
    };
    if let Some((mut to_server, request, delay)) = late {
        // The client hears of the cut at once; what it was answered before is lost as well.
        drop(to_client);
        let host_of_late = host.clone();
        host.spawn(async move {
            host_of_late.sleep(delay).await;
            // The server may be gone by now.
            if to_server.write_all(&request).await.is_ok() {
                let _ = frame(&mut from_server).await;
            }
        });
    }
}

type Late = (WriteHalf<ByteStream>, Vec<u8>, Duration);

/// Carries requests until the connection is to end; gives what is to come late.
async fn carry_requests(
    mut from_client: ReadHalf<ByteStream>,
    mut to_server: WriteHalf<ByteStream>,
    orders: &Mutex<Orders>,
    lose: &watch::Sender<Option<i32>>,
) -> Option<Late> {
    while let Ok(request) = frame(&mut from_client).await {
        match order_for(&request, orders) {
            Some(Cut::Before) => return None,
            Some(Cut::After) => drop(lose.send_replace(correlation_id(&request, 8))),
            Some(Cut::Late(delay)) => return Some((to_server, request, delay)),
            None => {}
        }
        if to_server.write_all(&request).await.is_err() {
            return None;
        }
    }
    None
}

/// Takes the order that a request fulfils. Only instances are cut off, which are known by their client ids.
fn order_for(request: &[u8], orders: &Mutex<Orders>) -> Option<Cut> {
    let api_key = i16::from_be_bytes(request.get(4..6)?.try_into().ok()?);
    if !request.get(14..)?.starts_with(b"instance-") {
        return None;
    }
    let mut orders = orders.lock().unwrap();
    let place = orders.next.iter().position(|(wanted, _)| *wanted == api_key)?;
    orders.done += 1;
    let (_, cut) = orders.next.remove(place);
    eprintln!("cut {cut:?}: api key {api_key}");
    Some(cut)
}

fn correlation_id(frame: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(frame.get(at..at + 4)?.try_into().ok()?))
}

/// The next frame, with its length.
async fn frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = from.read_i32().await?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.resize(4 + length as usize, 0);
    from.read_exact(&mut frame[4..]).await?;
    Ok(frame)
}
