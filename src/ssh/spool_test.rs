#![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

use super::*;

fn rules(bound: u64, total: u64) -> SpoolRules {
    SpoolRules { bound, dir: None, budget: Arc::new(DiskBudget::new(total)), tasks: TaskTracker::new() }
}

fn piece(number: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((number * 31 + at) % 251).unwrap()).collect()
}

#[tokio::test]
async fn what_goes_in_comes_out_in_order() {
    let mut spool = Spool::new(rules(1 << 30, 1 << 30));
    let (mut expected, mut found) = (Vec::new(), Vec::new());
    for number in 0..400 {
        let bytes = piece(number, 1 + number * 37 % 20_000);
        spool.append(&bytes).await.unwrap();
        expected.extend(bytes);
        // Some is read in between, so that files are begun, read to their end and begun anew.
        if number % 3 == 0 {
            found.extend(spool.next().await.unwrap());
        }
    }
    while !spool.is_empty() {
        let bytes = spool.next().await.unwrap();
        assert!(!bytes.is_empty());
        found.extend(bytes);
    }
    assert!(expected == found);
    assert!(spool.next().await.unwrap().is_empty());
}

#[tokio::test]
async fn disk_is_given_back_as_it_is_read_and_when_dropped() {
    let rules = rules(64 << 20, 1 << 30);
    let budget = Arc::clone(&rules.budget);
    let mut spool = Spool::new(rules);
    for _ in 0..(40 << 20) / CHUNK {
        spool.append(&vec![7; CHUNK]).await.unwrap();
    }
    assert_eq!(budget.used.load(Ordering::Relaxed), 40 << 20);
    for _ in 0..(20 << 20) / CHUNK {
        spool.next().await.unwrap();
    }
    // The first file is read to its end; the second is only begun.
    assert_eq!(budget.used.load(Ordering::Relaxed), 24 << 20);
    drop(spool);
    assert_eq!(budget.used.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn one_stream_has_a_bound() {
    let mut spool = Spool::new(rules(100, 1 << 30));
    spool.append(&[0; 100]).await.unwrap();
    assert!(matches!(spool.append(&[0]).await, Err(StreamError::TooSlow { bound: 100 })));
}

#[tokio::test]
async fn all_streams_together_have_a_bound() {
    let rules = rules(1 << 30, 2 * CHUNK as u64);
    let (mut one, mut other) = (Spool::new(rules.clone()), Spool::new(rules));
    one.append(&vec![0; CHUNK]).await.unwrap();
    other.append(&vec![0; CHUNK]).await.unwrap();
    assert!(matches!(other.append(&vec![0; CHUNK]).await, Err(StreamError::TooSlow { .. })));
    drop(one);
    other.append(&vec![0; CHUNK]).await.unwrap();
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_an_error_and_costs_no_budget() {
    let mut rules = rules(1 << 30, 1 << 30);
    rules.dir = Some(PathBuf::from("/nonexistent"));
    let budget = Arc::clone(&rules.budget);
    let mut spool = Spool::new(rules);
    let error = spool.append(&vec![0; CHUNK]).await.unwrap_err();
    assert!(matches!(error, StreamError::Spool(_)), "{error:?}");
    assert_eq!(budget.used.load(Ordering::Relaxed), 0);
}
