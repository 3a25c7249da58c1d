//! The end of admission is not the end of what runs.

use http::Response;
use tokio::net::TcpStream;

use super::support::*;

#[tokio::test]
async fn what_runs_is_finished_and_nothing_more_is_admitted() {
    let (feed, engine) = fed_engine(Response::builder()).await;
    let proxy = Proxy::start(engine, Mood::Ready).await;
    let idle = proxy.connect().await;
    let mut answer = proxy.send(post("/v1/completions", "{}")).await.into_body();
    feed.send(event("one")).await.unwrap();
    piece(&mut answer).await.unwrap().unwrap();
    proxy.lifetime.no_more.cancel();
    proxy.lifetime.tasks.close();
    eventually("the port is closed", || std::net::TcpStream::connect(proxy.address).is_err()).await;
    feed.send(event("two")).await.unwrap();
    assert_eq!(piece(&mut answer).await.unwrap().unwrap(), "data: two\n\n");
    assert!(!proxy.lifetime.tasks.is_empty());
    drop(feed);
    assert!(piece(&mut answer).await.is_none());
    tokio::time::timeout(DEADLINE, proxy.lifetime.tasks.wait()).await.expect("all tasks end");
    drop(idle);
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_or_only_half_is_let_go() {
    let proxy = Proxy::start(no_engine().await, Mood::Asleep).await;
    for said in ["", "PRI * HT", "POST /v1/completions HTTP/1.1\r\nhost: local"] {
        let mut client = proxy.connect().await;
        write(&mut client, said).await;
        let start = tokio::time::Instant::now();
        let mut answer = String::new();
        // Without a deadline of our own: the clock runs ahead to the next one while nothing else happens.
        drop(tokio::io::AsyncReadExt::read_to_string(&mut client, &mut answer).await);
        assert!(start.elapsed().as_secs() < 130, "{said}: after {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn the_end_of_all_breaks_off_who_waits() {
    let proxy = Proxy::start(no_engine().await, Mood::Asleep).await;
    let mut client: TcpStream = proxy.connect().await;
    write(&mut client, "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}").await;
    let waits = Told::Acquire(llm_proxy::instance::Hold::Inference);
    eventually("the wait", || proxy.owner.was_told(waits)).await;
    proxy.lifetime.no_more.cancel();
    proxy.lifetime.end_all.cancel();
    proxy.lifetime.tasks.close();
    tokio::time::timeout(DEADLINE, proxy.lifetime.tasks.wait()).await.expect("all tasks end");
    assert_eq!(read_all(&mut client).await, "");
    eventually("the leave", || proxy.owner.was_told(Told::Abandon)).await;
}
