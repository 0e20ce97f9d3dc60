use std::time::Duration;

use tokio::time::advance;

use super::*;

const SESSIONS_MAX: usize = 16;

struct Site {
    registry: Registry,
    caller: Arc<Caller>,
}

impl Site {
    fn new() -> Self {
        Self { registry: Registry::new(SESSIONS_MAX), caller: Caller::alone() }
    }

    /// Opens one on a connection, a moment after the one before.
    async fn open(&self, caller: &Arc<Caller>) -> Option<Open> {
        advance(Duration::from_millis(10)).await;
        self.registry.open(caller, CancellationToken::new())
    }

    /// So many, each on a connection of its own.
    async fn open_many(&self, count: usize) -> Vec<Open> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(self.open(&Caller::alone()).await.expect("there is room"));
        }
        all
    }
}

fn going(all: &[Open]) -> Vec<usize> {
    (0..all.len()).filter(|index| all[*index].session.going_away.is_cancelled()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_session_that_has_been_idle_longest_makes_way() {
    let site = Site::new();
    let mut all = site.open_many(SESSIONS_MAX).await;
    // The first is busy, the second was until now.
    let busy = all[0].request();
    drop(all[1].request());
    all.push(site.open(&site.caller).await.expect("another makes way"));
    assert_eq!(going(&all), [2]);
    drop(busy);
    all.push(site.open(&site.caller).await.expect("another makes way"));
    assert_eq!(going(&all), [2, 3]);
    all.remove(2);
    all.push(site.open(&Caller::alone()).await.expect("another makes way"));
    assert_eq!(going(&all), [2, 3], "one that had gone makes no room for another");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_busy_never_makes_way() {
    let site = Site::new();
    let all = site.open_many(SESSIONS_MAX).await;
    let mut busy: Vec<_> = all.iter().map(Open::request).collect();
    assert!(site.open(&site.caller).await.is_none());
    assert!(going(&all).is_empty());
    busy.pop();
    site.open(&site.caller).await.expect("the last is idle");
    assert_eq!(going(&all), [SESSIONS_MAX - 1]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_has_a_share() {
    let site = Site::new();
    let others = site.open_many(2).await;
    let mut own = Vec::new();
    for _ in 0..SESSIONS_MAX / SHARES + 1 {
        own.push(site.open(&site.caller).await.expect("one of its own makes way"));
    }
    assert_eq!((going(&others), going(&own)), (vec![], vec![0]));
    let _busy: Vec<_> = own.iter().map(Open::request).collect();
    assert!(site.open(&site.caller).await.is_none(), "its own are busy");
    site.open(&Caller::alone()).await.expect("other connections have room");
}

#[tokio::test(start_paused = true)]
async fn those_that_do_not_go_are_bounded() {
    let site = Site::new();
    let all = site.open_many(SESSIONS_MAX + GOING_MAX).await;
    assert_eq!(going(&all).len(), GOING_MAX);
    assert!(site.open(&site.caller).await.is_none());
    assert_eq!(going(&all).len(), GOING_MAX, "a refused one sends nobody away");
    drop(all);
    assert!(site.registry.0.state().by_id.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_session_only_waits_while_no_request_is_unanswered() {
    let site = Site::new();
    let _stream = site.caller.activity.stream();
    let is_at_rest = || site.caller.activity.at_rest().is_some();
    assert!(!is_at_rest());
    let open = site.open(&site.caller).await.expect("there is room");
    let stream = open.stream();
    assert!(is_at_rest());
    let (first, second) = (open.request(), open.request());
    assert!(!is_at_rest());
    drop(first);
    assert!(!is_at_rest());
    drop(second);
    assert!(is_at_rest());
    // The session ends before its last answer is sent.
    let last = open.request();
    drop(open);
    assert!(!is_at_rest());
    drop(last);
    assert!(is_at_rest());
    drop(stream);
    assert!(!is_at_rest(), "the connection still has a stream, of which nothing is known");
}
