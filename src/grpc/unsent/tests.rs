use std::future::poll_fn;

use futures::future::join_all;
use tokio::time::{advance, timeout};

use super::*;

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn an_answer_counts_until_its_last_piece_is_gone() {
    let unsent = Unsent::new(100);
    let mut answer = unsent.write(LONG).count(Bytes::from_static(&[0; 60]));
    assert_eq!((unsent.bytes(), unsent.is_used_up()), (60, false));
    let other = unsent.write(LONG).count(Bytes::from_static(&[0; 41]));
    assert_eq!((unsent.bytes(), unsent.is_used_up()), (101, true));
    let piece = answer.split_to(20);
    assert_eq!((piece.remaining(), answer.remaining()), (20, 40));
    drop(piece);
    assert_eq!(unsent.bytes(), 101, "the memory is not free yet");
    drop(answer);
    assert_eq!((unsent.bytes(), unsent.is_used_up()), (41, false));
    drop(other);
    assert_eq!(unsent.bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_write_is_given_up_only_after_a_time_without_progress() {
    let unsent = Unsent::new(100);
    let mut write = unsent.write(Duration::from_secs(10));
    for _ in 0..5 {
        let stalls = timeout(Duration::from_secs(9), poll_fn(|cx| write.poll_given_up(cx)));
        stalls.await.expect_err("it is not late yet");
        write.goes_on();
    }
    let stalls = timeout(Duration::from_secs(11), poll_fn(|cx| write.poll_given_up(cx)));
    stalls.await.expect("it is given up");
    drop(write);
    assert!(unsent.stalled().is_empty());
}

#[tokio::test(start_paused = true)]
async fn as_many_writes_give_way_as_it_takes_those_first_that_have_stalled_longest() {
    // The three writes have 50 bytes each, of a budget of 200.
    for (further_bytes, expected) in [
        (50, [false, false, false]),
        (51, [false, true, false]),
        (100, [false, true, false]),
        (101, [false, true, true]),
        (500, [true, true, true]),
    ] {
        let unsent = Unsent::new(200);
        let mut stalled = Vec::new();
        for _ in 0..3 {
            let mut write = unsent.write(LONG);
            let answer = write.count(Bytes::from_static(&[0; 50]));
            timeout(Duration::ZERO, poll_fn(|cx| write.poll_given_up(cx))).await.expect_err("there is room");
            stalled.push((write, answer));
            advance(Duration::from_secs(1)).await;
        }
        // This one has gone on since, and stalls again.
        stalled[0].0.goes_on();
        timeout(Duration::ZERO, poll_fn(|cx| stalled[0].0.poll_given_up(cx))).await.expect_err("there is room");
        advance(Duration::from_secs(1)).await;
        let permit = unsent.count(further_bytes);
        // Those that are told already count as gone.
        unsent.is_used_up();
        let gives_way =
            stalled.iter_mut().map(|(write, _)| timeout(Duration::ZERO, poll_fn(|cx| write.poll_given_up(cx))));
        let gives_way: Vec<_> = join_all(gives_way).await.into_iter().map(|given| given.is_ok()).collect();
        assert_eq!(gives_way, expected, "{further_bytes}");
        drop((stalled, permit));
        assert_eq!((unsent.bytes(), unsent.0.leaving_bytes.load(Ordering::Relaxed)), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_has_only_begun_does_not_give_way() {
    let unsent = Unsent::new(100);
    let mut write = unsent.write(LONG);
    let _answer = write.count(Bytes::from_static(&[0; 50]));
    timeout(Duration::ZERO, poll_fn(|cx| write.poll_given_up(cx))).await.expect_err("there is room");
    let _permit = unsent.count(101);
    timeout(Duration::ZERO, poll_fn(|cx| write.poll_given_up(cx))).await.expect_err("it is on its way");
    advance(STALLED_MIN).await;
    assert!(unsent.is_used_up());
    timeout(LONG / 2, poll_fn(|cx| write.poll_given_up(cx))).await.expect("it gives way");
}
