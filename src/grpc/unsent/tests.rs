use std::future::poll_fn;

use futures::future::join_all;
use tokio::time::{advance, timeout};

use super::*;

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn an_answer_counts_until_its_last_piece_is_gone() {
    let unsent = Unsent::new(100);
    let peer = unsent.of_peer();
    let mut answer = peer.write(LONG).count(Bytes::from_static(&[0; 60]));
    assert_eq!((unsent.bytes(), peer.may_begin()), (60, true));
    let other = peer.write(LONG).count(Bytes::from_static(&[0; 41]));
    assert_eq!((unsent.bytes(), peer.may_begin()), (101, false));
    let piece = answer.split_to(20);
    assert_eq!((piece.remaining(), answer.remaining()), (20, 40));
    drop(piece);
    assert_eq!(unsent.bytes(), 101, "the memory is not free yet");
    drop(answer);
    assert_eq!((unsent.bytes(), peer.may_begin()), (41, true));
    drop(other);
    assert_eq!(unsent.bytes(), 0);
}

#[test]
fn a_connection_for_which_nothing_waits_has_room_when_others_have_none() {
    for (waits_for_others, waits_for_it, may_begin) in [
        (0, 100, true),
        (100, 0, true),
        (0, 101, false),
        (101, 0, true),
        (100, 1, false),
        (200, 0, true),
        (201, 0, false),
    ] {
        let unsent = Unsent::new(100);
        let (others, peer) = (unsent.of_peer(), unsent.of_peer());
        let _permits = (others.count(waits_for_others), peer.count(waits_for_it));
        assert_eq!(peer.may_begin(), may_begin, "{waits_for_others} {waits_for_it}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_is_given_up_only_after_a_time_without_progress() {
    let unsent = Unsent::new(100);
    let mut write = unsent.of_peer().write(Duration::from_secs(10));
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
async fn as_many_writes_give_way_as_it_takes_those_first_that_began_first() {
    // The three writes have 50 bytes each, of a budget of 200.
    for (further_bytes, expected) in [
        (50, [false, false, false]),
        (51, [true, false, false]),
        (100, [true, false, false]),
        (101, [true, true, false]),
        (500, [true, true, true]),
    ] {
        let unsent = Unsent::new(200);
        let peer = unsent.of_peer();
        let mut stalled = Vec::new();
        for _ in 0..3 {
            let mut write = peer.write(LONG);
            let answer = write.count(Bytes::from_static(&[0; 50]));
            timeout(Duration::ZERO, poll_fn(|cx| write.poll_given_up(cx))).await.expect_err("there is room");
            stalled.push((write, answer));
            advance(Duration::from_secs(1)).await;
        }
        // That it has gone on since does not make it younger.
        stalled[0].0.goes_on();
        timeout(Duration::ZERO, poll_fn(|cx| stalled[0].0.poll_given_up(cx))).await.expect_err("there is room");
        advance(Duration::from_secs(1)).await;
        let permit = peer.count(further_bytes);
        // Those that are told already count as gone.
        peer.may_begin();
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
    let peer = unsent.of_peer();
    let mut write = peer.write(LONG);
    let _answer = write.count(Bytes::from_static(&[0; 50]));
    timeout(Duration::ZERO, poll_fn(|cx| write.poll_given_up(cx))).await.expect_err("there is room");
    let _permit = peer.count(101);
    timeout(Duration::ZERO, poll_fn(|cx| write.poll_given_up(cx))).await.expect_err("it is on its way");
    advance(WRITE_MIN).await;
    assert!(!peer.may_begin());
    timeout(LONG / 2, poll_fn(|cx| write.poll_given_up(cx))).await.expect("it gives way");
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_stalls_gives_way_for_all_that_waits_for_its_connection() {
    let unsent = Unsent::new(100);
    let (slow, slower, other) = (unsent.of_peer(), unsent.of_peer(), unsent.of_peer());
    let _answers = (slow.count(40), slower.count(60));
    let mut sockets = [slower, slow].map(|peer| peer.write_all(LONG));
    for socket in &mut sockets {
        timeout(Duration::ZERO, poll_fn(|cx| socket.poll_given_up(cx))).await.expect_err("there is room");
        advance(Duration::from_secs(1)).await;
    }
    let _permit = other.count(60);
    let gives_way = sockets.each_mut().map(|socket| timeout(Duration::ZERO, poll_fn(|cx| socket.poll_given_up(cx))));
    let gives_way: Vec<_> = join_all(gives_way).await.into_iter().map(|given| given.is_ok()).collect();
    assert_eq!(gives_way, [true, false], "the first suffices");
}
