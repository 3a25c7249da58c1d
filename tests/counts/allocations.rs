//! Allocations, by an allocator that counts.

use std::net::SocketAddr;
use std::sync::mpsc;

use allocation_counter::{AllocationInfo, measure};
use llm_proxy::fleet::Fleet;
use llm_proxy::gateway::{Gateway, Lifetime, Settings, serve};
use llm_proxy::route::EngineAuth;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::gateway::{Mood, Owner, member, no_engine};
use crate::limit::{Spent, TIMES};
use crate::talk::{Engine, Talk};

// Measured on 22 November 2026, of a build for development: 25.00 and 28701 for a request, 39.00 and 29039 for one by its
// model, nothing for a token; half of the bytes are what the HTTP library reads into. A tenth more is allowed, for the next
// version of that library.
const A_REQUEST: f64 = 28.0;
const BYTES_OF_A_REQUEST: f64 = 31_500.0;
const A_REQUEST_BY_MODEL: f64 = 43.0;
const BYTES_OF_A_REQUEST_BY_MODEL: f64 = 32_000.0;
const A_TOKEN: f64 = 0.05;
const BYTES_OF_A_TOKEN: f64 = 0.5;

const REQUESTS: u64 = 64;
const TOKENS: u64 = 256;
const LOOK: &str = "valgrind --tool=dhat --num-callers=40 target/debug/llm-proxy serve …, with a client that asks";

/// Puts an instance with a ready engine into the fleet. Its owner obeys on this thread.
fn put(fleet: &Fleet, name: &str, models: &[&str], engine: SocketAddr) -> Owner {
    let models = models.iter().map(|&model| model.to_owned()).collect();
    let (owner, member) = member(name, models, engine, Mood::Ready, EngineAuth::Client, &Settings::default());
    fleet.put(member);
    owner
}

/// A gateway on a thread of its own. The client, the engine and the instance's owner are on others, and not counted.
struct Counted {
    address: SocketAddr,
    begin: mpsc::Sender<oneshot::Receiver<()>>,
    counts: tokio::sync::mpsc::UnboundedReceiver<AllocationInfo>,
}

impl Counted {
    async fn start(fleet: Fleet) -> Self {
        let (begin, stretches) = mpsc::channel::<oneshot::Receiver<()>>();
        let (count, counts) = tokio::sync::mpsc::unbounded_channel();
        let (tell, told) = oneshot::channel();
        std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
            tell.send(listener.local_addr().expect("an address")).expect("the test goes on");
            let _inside = runtime.enter();
            tokio::spawn(serve(listener, Gateway::new(fleet, Settings::default(), Lifetime::default(), None)));
            for ended in stretches {
                let counted = measure(|| runtime.block_on(until(ended)));
                count.send(counted).expect("the test goes on");
            }
        });
        Self { address: told.await.expect("an address"), begin, counts }
    }

    /// What the gateway allocates while this is done.
    async fn during(&mut self, work: impl Future<Output = ()>) -> AllocationInfo {
        let (end, ended) = oneshot::channel();
        self.begin.send(ended).expect("the gateway runs");
        work.await;
        drop(end);
        self.counts.recv().await.expect("the gateway runs")
    }
}

/// Runs the gateway until it is told to stop, and has done what it still had to.
async fn until(ended: oneshot::Receiver<()>) {
    drop(ended.await);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// What a work costs, in allocations and in bytes.
async fn cost(gateway: &mut Counted, pieces: u64, mut work: impl AsyncFnMut(u64)) -> [Spent; 2] {
    // What is made at first, and grows at first, is no part of the cost.
    gateway.during(work(pieces)).await;
    let (mut once, mut twice) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        once.push(gateway.during(work(pieces)).await);
        twice.push(gateway.during(work(2 * pieces)).await);
    }
    let least = |of: fn(&AllocationInfo) -> u64| Spent::least(pieces, once.iter().map(of), twice.iter().map(of));
    [least(|info| info.count_total), least(|info| info.bytes_total)]
}

#[tokio::test]
async fn before_one_engine() {
    let engine = Engine::start().await;
    let fleet = Fleet::of_one();
    let _owner = put(&fleet, "tiny", &[], engine.address);
    let mut gateway = Counted::start(fleet).await;
    let mut talk = Talk::start(&gateway.address.to_string(), engine).await;

    let [count, bytes] = cost(&mut gateway, REQUESTS, async |count| talk.requests(count).await).await;
    count.at_most("allocations of a request", A_REQUEST, LOOK);
    bytes.at_most("bytes that a request allocates", BYTES_OF_A_REQUEST, LOOK);
    let [count, bytes] = cost(&mut gateway, TOKENS, async |count| talk.tokens(count).await).await;
    count.at_most("allocations of a token", A_TOKEN, LOOK);
    bytes.at_most("bytes that a token allocates", BYTES_OF_A_TOKEN, LOOK);
}

#[tokio::test]
async fn before_several_engines_of_which_the_body_names_one() {
    let engine = Engine::start().await;
    let fleet = Fleet::of_many(None);
    let _other = put(&fleet, "other", &["another-model"], no_engine().await);
    let _owner = put(&fleet, "tiny", &["test-model"], engine.address);
    let mut gateway = Counted::start(fleet).await;
    let mut talk = Talk::start(&gateway.address.to_string(), engine).await;

    let [count, bytes] = cost(&mut gateway, REQUESTS, async |count| talk.requests(count).await).await;
    count.at_most("allocations of a request by its model", A_REQUEST_BY_MODEL, LOOK);
    bytes.at_most("bytes that a request by its model allocates", BYTES_OF_A_REQUEST_BY_MODEL, LOOK);
    let [count, bytes] = cost(&mut gateway, TOKENS, async |count| talk.tokens(count).await).await;
    count.at_most("allocations of a token", A_TOKEN, LOOK);
    bytes.at_most("bytes that a token allocates", BYTES_OF_A_TOKEN, LOOK);
}
