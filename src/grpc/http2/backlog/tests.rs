use http::HeaderValue;

use super::*;
use crate::grpc::unsent::Unsent;

#[test]
fn heads_count_until_h2_waits_for_something_else_than_the_socket() {
    let unsent = Unsent::new(1 << 20);
    let backlog = Backlog::new(unsent.of_peer());
    let head = HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"))]);
    backlog.count(&head);
    let one = unsent.bytes();
    assert!(one > 0);
    let drive = |is_blocked, polled| {
        let _ = backlog.drive(|| {
            backlog.written(is_blocked);
            // This one comes meanwhile.
            backlog.count(&head);
            polled
        });
        unsent.bytes() / one
    };
    assert_eq!(drive(true, Poll::Pending), 2, "the socket takes nothing");
    assert_eq!(drive(false, Poll::Ready(())), 3, "there may be more to write");
    assert_eq!(drive(false, Poll::Pending), 1, "all that was there before is written");
    drop(backlog);
    assert_eq!(unsent.bytes(), 0);
}

#[test]
fn a_backlog_goes_on_until_nothing_is_left_of_it() {
    let backlog = Backlog::new(Unsent::new(1).of_peer());
    let written = |is_blocked| backlog.written(is_blocked);
    assert!(!written(false), "there is none");
    assert!(written(true), "it begins");
    assert!(!written(false) && !written(true), "a little was written");
    let _ = backlog.drive(|| -> Poll<()> {
        backlog.written(false);
        Poll::Pending
    });
    assert!(written(true), "another one begins");
}
