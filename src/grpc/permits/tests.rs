use std::collections::VecDeque;

use super::*;

/// How many a connection gets, one by one.
fn take_all(permits: &Permits, peer: Peer) -> Vec<Permit> {
    std::iter::from_fn(|| permits.take(peer, 1)).collect()
}

#[test]
fn a_connection_alone_gets_half_and_the_next_half_of_the_rest() {
    for (permits_max, peer_max, taken) in [
        (1, usize::MAX, [1, 0, 0]),
        (2, usize::MAX, [1, 1, 0]),
        (3, usize::MAX, [2, 1, 0]),
        (16, usize::MAX, [8, 4, 2]),
        (4096, usize::MAX, [2048, 1024, 512]),
        (16, 3, [3, 3, 3]),
        (16, 7, [7, 5, 2]),
    ] {
        let permits = Permits::with_peer_max(permits_max, peer_max);
        let held = [(); 3].map(|()| take_all(&permits, Peer::accepted()));
        assert_eq!(held.map(|held| held.len()), taken, "{permits_max} {peer_max}");
    }
}

#[test]
fn a_newcomer_finds_some_however_many_crowd() {
    const PERMITS_MAX: usize = 1024;
    for crowd in [1, 5, 50] {
        let permits = Permits::new(PERMITS_MAX);
        let peers: Vec<_> = (0..crowd).map(|_| Peer::accepted()).collect();
        let mut calls: VecDeque<_> = peers.iter().flat_map(|peer| take_all(&permits, *peer)).collect();
        // The oldest call ends, and every connection begins another one if it can.
        for turn in 0..3 * PERMITS_MAX {
            calls.pop_front();
            calls.extend((0..crowd).filter_map(|index| permits.take(peers[(turn + index) % crowd], 1)));
        }
        let newcomer = take_all(&permits, Peer::accepted()).len();
        assert!(newcomer >= PERMITS_MAX / (crowd + 1) / 2, "{crowd} leave {newcomer}");
    }
}

#[test]
fn all_are_given_back() {
    let permits = Permits::new(100);
    let peer = Peer::accepted();
    let mut permit = permits.take(peer, 10).expect("there are enough");
    assert!(permit.raise_to(5), "it has more already");
    assert!(permit.raise_to(50));
    assert!(!permit.raise_to(60), "60 would be more than the 50 that are free");
    permit.overdraw_to(120);
    permit.overdraw_to(110);
    assert!(permits.take(peer, 1).is_none(), "it holds 120 while 50 are free");
    assert!(permits.take(Peer::accepted(), 50).is_some(), "others keep their share");
    drop(permit);
    let state = permits.0.state();
    assert_eq!((state.free, state.held.len()), (100, 0));
}
