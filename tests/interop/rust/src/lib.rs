//! What the suites share: a line for every test, names that no other run has used, and what is sent. They speak to the
//! broker that the first argument names.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// A test, and its name.
pub type Test = (&'static str, fn() -> Pin<Box<dyn Future<Output = ()> + Send>>);

/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The tests named, as [`run`] takes them.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => { [$((stringify!($name), || Box::pin($name()))),*] };
}

/// The broker under test, `host:port`.
#[must_use]
pub fn bootstrap() -> String {
    std::env::args().nth(1).expect("the first argument names the broker as host:port")
}

/// A name of a topic, a group or a transactional id that no other run has used.
#[must_use]
pub fn fresh(name: &str) -> String {
    format!("{name}-{:08x}", fastrand::u32(..))
}

/// Keys and values: with and without a key, empty, null, and one larger than a page.
#[must_use]
pub fn records(codec: &str) -> Vec<(Option<Vec<u8>>, Option<Vec<u8>>)> {
    let text = |text: String| Some(text.into_bytes());
    vec![
        (text(format!("k-{codec}")), text(format!("v-{codec}"))),
        (None, text(format!("no key {codec}"))),
        (text("empty".to_string()), Some(Vec::new())),
        (text("null".to_string()), None),
        (text("large".to_string()), text(codec.repeat(5000))),
    ]
}

/// What `look` finds at last; the test ends when it takes too long.
pub async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        match look() {
            Some(found) => return found,
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Runs each test; prints `ok NAME` or `not ok NAME: why`, and ends the process.
pub fn run(tests: &[Test]) -> ! {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("threads can be started");
    let mut failed = false;
    for (name, test) in tests {
        // A panic is caught by the task; it has told on the error output what it was.
        let outcome = runtime.block_on(async { tokio::time::timeout(PATIENCE, tokio::spawn(test())).await });
        match outcome {
            Ok(Ok(())) => println!("ok {name}"),
            Ok(Err(panic)) => {
                let panic = panic.into_panic();
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
                println!("not ok {name}: {}", text.replace('\n', " "));
                failed = true;
            }
            Err(_) => {
                println!("not ok {name}: not done after {PATIENCE:?}");
                failed = true;
            }
        }
    }
    std::process::exit(i32::from(failed))
}
