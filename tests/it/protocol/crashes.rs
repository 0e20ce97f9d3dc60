//! What a call that crashed between two steps leaves behind, and who finishes it.

use super::*;

cases! {
    a_confirm_that_crashed_is_rolled_forward
    a_cancel_that_crashed_is_settled
    what_the_ledger_rejected_is_not_revived
    no_caller_is_told_of_a_cancel_before_it_is_settled
    a_cancel_can_win_against_a_confirm_that_crashed
}

async fn a_confirm_that_crashed_is_rolled_forward(it: LocalService) {
    it.set("a", 10).await;
    for name in ["begun", "committed"] {
        it.reserve(name, &[("a", 1)]).await;
        it.at_holds(begin(name)).await;
    }
    let print = lines(&[("a", 1)]).fingerprint();
    let intent = Intent::Confirm { lines: lines(&[("a", 1)]), reserved: print, confirmed: print };
    let place = it.ledger.queue_permit(&location("l")).expect("a place");
    place.settle(location("l"), id("committed"), intent).await.expect("commits");
    assert_eq!(it.stock("a").await, (10, 2), "both confirms still count as held");
    // Long after the deadline.
    it.clock.at(10 * TTL_MS);
    assert_eq!(it.get("committed").await, To(State::Confirmed));
    assert_eq!(it.get("begun").await, To(State::Confirming));
    assert_eq!(it.recover().await, 1);
    assert_eq!(it.recover().await, 0);
    for name in ["begun", "committed"] {
        assert_eq!(it.get(name).await, To(State::Confirmed));
        assert_eq!(it.confirm(name).await, To(State::Confirmed));
    }
    assert_eq!(it.stock("a").await, (8, 0));
    it.ends_in_order().await;
}

async fn a_cancel_that_crashed_is_settled(it: LocalService) {
    it.set("a", 10).await;
    it.reserve("1", &[("a", 1)]).await;
    for name in ["1", "never seen"] {
        it.at_holds(cancel(name)).await;
    }
    assert_eq!(it.stock("a").await, (10, 0), "the units are free at once");
    assert_eq!(it.recover().await, 2);
    it.forget_holds().await;
    for name in ["1", "never seen"] {
        assert_eq!(it.get(name).await, To(State::Cancelled));
    }
    it.ends_in_order().await;
}

/// The ledger has the last word, also if a crash kept its word from the holds' store.
async fn what_the_ledger_rejected_is_not_revived(it: LocalService) {
    it.set("a", 4).await;
    let names = ["extend", "confirm", "get", "reserve"];
    for name in names {
        it.reserve(name, &[("a", 1)]).await;
    }
    it.clock.at(TTL_MS);
    for name in names {
        assert_eq!(it.get(name).await, To(State::Expired));
        let place = it.ledger.queue_permit(&location("l")).expect("a place");
        let reject = Intent::Reject { lines: lines(&[("a", 1)]) };
        place.settle(location("l"), id(name), reject).await.expect("settles");
        // For each name another call is the first to ask the ledger.
        let told = match name {
            "extend" => it.extend(name, 2 * TTL_MS, Reacquire).await,
            "confirm" => it.reacquire(name).await,
            "get" => it.get(name).await,
            _ => it.reserve(name, &[("a", 1)]).await,
        };
        assert_eq!(told, if name == "get" { To(State::Rejected) } else { Refused("rejected") }, "{name}");
        assert_eq!(it.reacquire(name).await, Refused("rejected"), "{name}");
    }
    assert_eq!(it.stock("a").await, (4, 0));
    it.ends_in_order().await;
}

/// A Redis that is rewound may forget a cancel that crashed before its settlement. So no caller may be told of a cancel
/// before it is settled.
async fn no_caller_is_told_of_a_cancel_before_it_is_settled(it: LocalService) {
    it.set("a", 10).await;
    for name in ["get", "confirm", "reserve", "extend"] {
        it.reserve(name, &[("a", 2)]).await;
        it.at_holds(cancel(name)).await;
        let told = match name {
            "get" => it.get(name).await,
            "confirm" => it.confirm(name).await,
            "reserve" => it.reserve(name, &[("a", 2)]).await,
            _ => it.extend(name, 2 * TTL_MS, Reject).await,
        };
        assert_eq!(told, if name == "get" { To(State::Cancelled) } else { Refused("cancelled") });
    }
    it.forget_holds().await;
    for name in ["get", "confirm", "reserve", "extend"] {
        assert_eq!(it.reserve(name, &[("a", 2)]).await, To(State::Held), "{name}");
        assert_eq!(it.confirm(name).await, Refused("cancelled"), "{name}");
    }
    it.ends_in_order().await;
}

async fn a_cancel_can_win_against_a_confirm_that_crashed(it: LocalService) {
    it.set("a", 10).await;
    it.reserve("1", &[("a", 1)]).await;
    it.at_holds(begin("1")).await;
    assert_eq!(it.cancel("1").await, To(State::Cancelled));
    assert_eq!(it.stock("a").await, (10, 0));
    assert_eq!(it.recover().await, 0);
    assert_eq!(it.confirm("1").await, Refused("cancelled"));
    it.ends_in_order().await;
}
