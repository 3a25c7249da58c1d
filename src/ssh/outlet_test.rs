#![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

use std::future::poll_fn;
use std::io;

use futures_util::FutureExt;
use tokio::io::ReadBuf;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

use super::*;
use crate::ssh::spool::DiskBudget;

fn outlet(memory: usize, disk: u64) -> (Outlet, Inbox) {
    let spool =
        SpoolRules { bound: disk, dir: None, budget: Arc::new(DiskBudget::new(u64::MAX)), tasks: TaskTracker::new() };
    Outlet::new(&Arc::new(OutletRules { memory, spool }))
}

async fn read(inbox: &mut Inbox, room: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; room];
    let mut buf = ReadBuf::new(&mut bytes);
    poll_fn(|cx| inbox.poll_read(cx, &mut buf)).await?;
    let length = buf.filled().len();
    bytes.truncate(length);
    Ok(bytes)
}

fn stream_error(error: &io::Error) -> StreamError {
    error.get_ref().unwrap().downcast_ref::<StreamError>().unwrap().clone()
}

#[tokio::test]
async fn what_is_in_memory_is_read_and_then_the_end() {
    let (mut outlet, mut inbox) = outlet(1000, 0);
    outlet.push(Bytes::from_static(b"hello")).await.unwrap();
    outlet.end(Ok(()));
    outlet.end(Err(StreamError::Reset));
    assert_eq!(read(&mut inbox, 3).await.unwrap(), b"hel");
    assert_eq!(read(&mut inbox, 3).await.unwrap(), b"lo");
    assert_eq!(read(&mut inbox, 3).await.unwrap(), b"");
    assert_eq!(read(&mut inbox, 3).await.unwrap(), b"");
}

#[tokio::test]
async fn a_reset_comes_after_the_data_and_stays() {
    let (mut outlet, mut inbox) = outlet(1000, 0);
    outlet.push(Bytes::from_static(b"half")).await.unwrap();
    outlet.end(Err(StreamError::Reset));
    assert_eq!(read(&mut inbox, 9).await.unwrap(), b"half");
    for _ in 0..2 {
        let error = read(&mut inbox, 9).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(matches!(stream_error(&error), StreamError::Reset));
    }
}

#[tokio::test]
async fn an_outlet_that_vanishes_is_no_clean_end() {
    let (outlet, mut inbox) = outlet(1000, 0);
    drop(outlet);
    assert_eq!(read(&mut inbox, 9).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn what_memory_does_not_hold_comes_back_from_disk_in_order() {
    let (mut outlet, mut inbox) = outlet(10_000, 1 << 30);
    let mut expected = Vec::new();
    for number in 0..2000_usize {
        let bytes: Vec<u8> = (0..number % 700).map(|at| u8::try_from((number + at) % 251).unwrap()).collect();
        expected.extend_from_slice(&bytes);
        outlet.push(Bytes::from(bytes)).await.unwrap();
    }
    assert!(outlet.is_spooling());
    assert!(outlet.backlog.held() <= 11_000, "{}", outlet.backlog.held());
    outlet.end(Ok(()));
    let serve = async {
        while outlet.is_spooling() {
            outlet.room().await;
            outlet.refill().await.unwrap();
        }
    };
    let drain = async {
        let mut found = Vec::new();
        loop {
            let bytes = read(&mut inbox, 4096).await.unwrap();
            if bytes.is_empty() {
                return found;
            }
            found.extend(bytes);
        }
    };
    let ((), found) = tokio::join!(serve, drain);
    assert!(found == expected);
}

#[tokio::test]
async fn room_waits_for_the_reader() {
    let (mut outlet, mut inbox) = outlet(1000, 1 << 20);
    outlet.push(Bytes::from(vec![1; 900])).await.unwrap();
    outlet.push(Bytes::from(vec![2; 900])).await.unwrap();
    assert!(outlet.room().now_or_never().is_none());
    read(&mut inbox, 10).await.unwrap();
    outlet.room().now_or_never().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_comes_in_a_moment_spares_the_disk() {
    let (mut outlet, mut inbox) = outlet(1000, 0);
    outlet.push(Bytes::from(vec![1; 900])).await.unwrap();
    let reader = async {
        sleep(PATIENCE / 2).await;
        read(&mut inbox, 900).await.unwrap()
    };
    let (pushed, found) = tokio::join!(outlet.push(Bytes::from(vec![2; 900])), reader);
    pushed.unwrap();
    assert!(!outlet.is_spooling());
    assert_eq!(found, vec![1; 900]);
    assert_eq!(read(&mut inbox, 900).await.unwrap(), vec![2; 900]);
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_come_is_waited_for_once() {
    let (mut outlet, mut inbox) = outlet(1000, 1 << 20);
    let before = Instant::now();
    for _ in 0..5 {
        outlet.push(Bytes::from(vec![1; 900])).await.unwrap();
    }
    assert!(outlet.is_spooling());
    // A timer ends up to a millisecond late.
    assert!(before.elapsed() < 2 * PATIENCE, "{:?}", before.elapsed());
    drop(outlet);
    assert_eq!(read(&mut inbox, 900).await.unwrap(), vec![1; 900]);
}

#[tokio::test]
async fn beyond_the_bound_the_reader_is_told_and_the_disk_freed() {
    let (mut outlet, mut inbox) = outlet(1000, 5000);
    outlet.push(Bytes::from(vec![1; 1000])).await.unwrap();
    outlet.push(Bytes::from(vec![2; 5000])).await.unwrap();
    let error = outlet.push(Bytes::from_static(b"x")).await.unwrap_err();
    assert_eq!(error.to_string(), "the client was too slow: more than 5000 bytes waited for it");
    assert!(!outlet.is_spooling());
    // Later words on the end change nothing.
    outlet.end(Ok(()));
    assert_eq!(read(&mut inbox, 2000).await.unwrap(), vec![1; 1000]);
    let error = read(&mut inbox, 10).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
}

#[tokio::test]
async fn a_reader_that_left_costs_nothing() {
    let (mut outlet, inbox) = outlet(10, 1 << 20);
    outlet.push(Bytes::from(vec![1; 900])).await.unwrap();
    assert!(outlet.is_spooling());
    drop(inbox);
    outlet.room().now_or_never().unwrap();
    outlet.refill().await.unwrap();
    assert!(!outlet.is_spooling());
    outlet.push(Bytes::from(vec![1; 900])).await.unwrap();
    assert!(!outlet.is_spooling());
}
