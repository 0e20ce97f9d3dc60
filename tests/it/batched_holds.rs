//! What callers of `holds::batched` may rely on, over a store that the test holds on to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::join_all;
use stockhold::domain::Location;
use stockhold::holds::batched::BatchedHolds;
use stockhold::holds::{Command, Holds, HoldsError, Reply};
use tokio::sync::{Semaphore, mpsc};

use crate::support::holds::*;
use crate::support::redis::{client, run};
use crate::support::required;

/// A store that answers a call when the test says so, and how.
struct Store {
    calls: mpsc::UnboundedSender<(Location, Vec<Command>)>,
    leave: Semaphore,
    fate: Mutex<Fate>,
}

#[derive(Clone)]
enum Fate {
    /// Every command is answered by its place in the call.
    Numbers,
    Fails(HoldsError),
    /// Refuses every call that takes memory.
    Full,
    Panics,
    /// Answers no command.
    Forgets,
    /// Has done its work after so many commands.
    Stops(usize),
}

#[async_trait]
impl Holds for Store {
    async fn apply(&self, location: &Location, commands: &[Command]) -> Result<Vec<Reply>, HoldsError> {
        self.calls.send((location.clone(), commands.to_vec())).expect("the test listens");
        self.leave.acquire().await.expect("never closed").forget();
        let fate = self.fate.lock().expect("not poisoned").clone();
        match fate {
            Fate::Fails(error) => Err(error),
            Fate::Full if commands.iter().any(Command::takes_memory) => Err(HoldsError::Full),
            Fate::Panics => panic!("of the test"),
            Fate::Forgets => Ok(vec![]),
            Fate::Stops(after) => Ok((0..commands.len().min(after)).map(Reply::Pushed).collect()),
            Fate::Numbers | Fate::Full => Ok((0..commands.len()).map(Reply::Pushed).collect()),
        }
    }

    async fn ping(&self) -> Result<(), HoldsError> {
        Ok(())
    }
}

struct Test {
    store: Arc<Store>,
    calls: mpsc::UnboundedReceiver<(Location, Vec<Command>)>,
    holds: BatchedHolds,
}

impl Test {
    fn start(fate: Fate) -> Self {
        let (sender, calls) = mpsc::unbounded_channel();
        let store = Arc::new(Store { calls: sender, leave: Semaphore::new(0), fate: Mutex::new(fate) });
        Self { holds: BatchedHolds::over(store.clone()), store, calls }
    }

    /// Asks, and waits for the answer elsewhere.
    async fn ask(&self, command: Command) -> tokio::task::JoinHandle<Result<Reply, HoldsError>> {
        let holds = self.holds.clone();
        let mut asking = Box::pin(async move { holds.apply(&location("l"), command).await });
        assert!(asking.as_mut().now_or_never().is_none(), "nobody is answered before the store has");
        tokio::spawn(asking)
    }

    /// The next call to the store, as the ids that it is about.
    async fn call(&mut self) -> String {
        let (_, commands) =
            tokio::time::timeout(Duration::from_secs(5), self.calls.recv()).await.expect("a call").expect("open");
        let ids = commands.iter().map(|command| match command {
            Command::Reserve { id, .. } | Command::Cancel { id } | Command::Get { id } => id.to_string(),
            _ => "another".to_owned(),
        });
        ids.collect::<Vec<_>>().join(" ")
    }

    fn let_go(&self) {
        self.store.leave.add_permits(1);
    }
}

fn get(name: &str) -> Command {
    Command::Get { id: id(name) }
}

fn hold(name: &str) -> Command {
    reserve(name, &[("a", 1)])
}

#[tokio::test]
async fn those_who_ask_meanwhile_share_the_next_call_in_their_order() {
    let mut test = Test::start(Fate::Numbers);
    let first = test.ask(get("1")).await;
    assert_eq!(test.call().await, "1", "a lone command goes at once");
    let mut others = Vec::new();
    for name in ["2", "3", "4"] {
        others.push(test.ask(get(name)).await);
    }
    test.let_go();
    assert_eq!(first.await.expect("ends").expect("answered"), Reply::Pushed(0));
    assert_eq!(test.call().await, "2 3 4");
    test.let_go();
    let answers = join_all(others).await.into_iter().map(|answer| answer.expect("ends").expect("answered"));
    assert_eq!(answers.collect::<Vec<_>>(), [0, 1, 2].map(Reply::Pushed));
    // The location was idle meanwhile.
    let last = test.ask(get("6")).await;
    assert_eq!(test.call().await, "6");
    test.let_go();
    assert!(last.await.expect("ends").is_ok());
}

#[tokio::test]
async fn those_who_ask_at_the_same_time_share_a_call() {
    let mut test = Test::start(Fate::Numbers);
    let asking: Vec<_> = join_all(["1", "2", "3"].map(|name| test.ask(get(name)))).await;
    assert_eq!(test.call().await, "1 2 3");
    test.let_go();
    assert!(join_all(asking).await.into_iter().all(|answer| answer.expect("ends").is_ok()));
}

#[tokio::test]
async fn locations_do_not_wait_for_each_other() {
    let mut test = Test::start(Fate::Numbers);
    let _here = test.ask(get("1")).await;
    assert_eq!(test.call().await, "1");
    let holds = test.holds.clone();
    let there = tokio::spawn(async move { holds.apply(&location("elsewhere"), get("2")).await });
    assert_eq!(test.call().await, "2");
    test.let_go();
    test.let_go();
    assert!(there.await.expect("ends").is_ok());
}

#[tokio::test]
async fn a_call_is_bounded_by_commands_and_lines() {
    let mut test = Test::start(Fate::Numbers);
    let wide: Vec<_> = (0..100).map(|number| format!("sku-{number}")).collect();
    let wide: Vec<_> = wide.iter().map(|name| (name.as_str(), 1)).collect();
    let skus = (0..1001).map(|number| sku(&format!("sku-{number}"))).collect();
    let mut asking = vec![test.ask(get("first")).await];
    test.call().await;
    for number in 0..130 {
        asking.push(test.ask(get(&number.to_string())).await);
    }
    for number in 0..12 {
        asking.push(test.ask(reserve(&format!("wide-{number}"), &wide)).await);
    }
    asking.push(test.ask(Command::Counters { skus }).await);
    asking.push(test.ask(get("last")).await);
    let mut sizes = Vec::new();
    test.let_go();
    while sizes.iter().sum::<usize>() < 144 {
        sizes.push(test.call().await.split(' ').count());
        test.let_go();
    }
    assert_eq!(sizes, [128, 11, 3, 1, 1], "commands, a thousand lines, and by itself what has more");
    assert!(join_all(asking).await.into_iter().all(|answer| answer.expect("ends").is_ok()));
}

#[tokio::test]
async fn commands_that_a_store_leaves_for_later_are_the_first_of_the_next_call() {
    let mut test = Test::start(Fate::Stops(2));
    let mut asking = join_all(["1", "2", "3", "4", "5"].map(|name| test.ask(get(name)))).await;
    assert_eq!(test.call().await, "1 2 3 4 5");
    asking.push(test.ask(get("6")).await);
    // The caller of 4 hangs up.
    asking.remove(3).abort();
    test.let_go();
    assert_eq!(test.call().await, "3 5 6");
    test.let_go();
    assert_eq!(test.call().await, "6");
    test.let_go();
    let answers = join_all(asking).await.into_iter().map(|answer| answer.expect("ends").expect("answered"));
    assert_eq!(answers.collect::<Vec<_>>(), [0, 1, 0, 1, 0].map(Reply::Pushed));
    assert_eq!(test.holds.locations(), 0, "nothing is kept of a location in which nobody waits");
}

#[tokio::test]
async fn a_full_call_follows_before_the_one_before_it_is_answered_and_no_third() {
    let mut test = Test::start(Fate::Numbers);
    let mut asking = vec![test.ask(get("first")).await];
    test.call().await;
    for number in 0..127 {
        asking.push(test.ask(get(&format!("a{number}"))).await);
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(test.calls.is_empty(), "it is not full");
    for number in 0..200 {
        asking.push(test.ask(get(&format!("b{number}"))).await);
    }
    assert!(test.call().await.starts_with("a0 a1 "), "the order is kept");
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(test.calls.is_empty(), "two are under way");
    test.let_go();
    assert_eq!(test.call().await.split(' ').count(), 128);
    for _ in 0..3 {
        test.let_go();
    }
    assert_eq!(test.call().await.split(' ').count(), 71, "the rest goes once nothing is under way");
    assert!(join_all(asking).await.into_iter().all(|answer| answer.expect("ends").is_ok()));
}

#[tokio::test]
async fn a_caller_who_has_gone_is_skipped() {
    let mut test = Test::start(Fate::Numbers);
    let first = test.ask(get("1")).await;
    test.call().await;
    let gone = test.ask(hold("gone")).await;
    let last = test.ask(get("2")).await;
    gone.abort();
    assert!(gone.await.expect_err("aborted").is_cancelled());
    test.let_go();
    assert_eq!(test.call().await, "2");
    test.let_go();
    assert!(first.await.expect("ends").is_ok() && last.await.expect("ends").is_ok());

    // Also if no other command waits.
    let first = test.ask(get("3")).await;
    test.call().await;
    test.ask(hold("gone")).await.abort();
    test.let_go();
    assert!(first.await.expect("ends").is_ok());
    let last = test.ask(get("4")).await;
    assert_eq!(test.call().await, "4");
    test.let_go();
    assert!(last.await.expect("ends").is_ok());
}

#[tokio::test]
async fn what_becomes_of_a_call_is_told_to_all_who_were_in_it() {
    let unknown = || HoldsError::OutcomeUnknown("of the test".into());
    for (fate, expected) in [
        (Fate::Fails(HoldsError::Unavailable("of the test".into())), HoldsError::Unavailable("of the test".into())),
        (Fate::Fails(unknown()), unknown()),
        (Fate::Panics, HoldsError::OutcomeUnknown("the call broke down".into())),
        (Fate::Forgets, HoldsError::Corrupt("0 replies to 2 commands".into())),
    ] {
        let mut test = Test::start(fate);
        let asking = join_all([hold("1"), get("2")].map(|command| test.ask(command))).await;
        assert_eq!(test.call().await, "1 2");
        test.let_go();
        for answer in join_all(asking).await {
            let error = answer.expect("ends").expect_err("failed");
            assert_eq!(error.to_string(), expected.to_string());
        }
        *test.store.fate.lock().expect("not poisoned") = Fate::Numbers;
        let next = test.ask(get("3")).await;
        assert_eq!(test.call().await, "3", "the next call is made");
        test.let_go();
        assert!(next.await.expect("ends").is_ok());
    }
}

#[tokio::test]
async fn nobody_waits_through_the_timeouts_of_others() {
    let mut test = Test::start(Fate::Fails(HoldsError::OutcomeUnknown("of the test".into())));
    let first = test.ask(hold("1")).await;
    assert_eq!(test.call().await, "1");
    let others = join_all(["2", "3"].map(|name| test.ask(get(name)))).await;
    test.let_go();
    assert!(matches!(first.await.expect("ends"), Err(HoldsError::OutcomeUnknown(_))));
    for other in others {
        assert!(matches!(other.await.expect("ends"), Err(HoldsError::Unavailable(_))));
    }
    let last = test.ask(get("4")).await;
    assert_eq!(test.call().await, "4", "those were never sent");
    test.let_go();
    assert!(last.await.expect("ends").is_err());
}

#[tokio::test]
async fn a_full_store_refuses_only_those_who_take_memory() {
    let mut test = Test::start(Fate::Full);
    let asking = join_all([get("1"), hold("2"), cancel("3"), hold("4")].map(|command| test.ask(command))).await;
    assert_eq!(test.call().await, "1 2 3 4");
    test.let_go();
    assert_eq!(test.call().await, "1 3");
    test.let_go();
    let answers: Vec<_> = join_all(asking).await.into_iter().map(|answer| answer.expect("ends")).collect();
    assert!(matches!(&answers[..], [Ok(_), Err(HoldsError::Full), Ok(_), Err(HoldsError::Full)]), "{answers:?}");
}

/// As one does that has no memory even for what the calls need.
#[tokio::test]
async fn a_store_that_is_full_for_all_is_not_asked_again() {
    let mut test = Test::start(Fate::Fails(HoldsError::Full));
    for (name, asked) in [("1", cancel("1")), ("2", hold("2"))] {
        let asking = test.ask(asked).await;
        assert_eq!(test.call().await, name);
        test.let_go();
        let answer = tokio::time::timeout(std::time::Duration::from_secs(10), asking).await.expect("an answer");
        assert!(matches!(answer.expect("ends"), Err(HoldsError::Full)));
    }
}

#[tokio::test]
async fn what_is_corrupt_fails_alone() {
    let test = TestHolds::batched().await;
    test.stock(&[("a", 10), ("b", 10)]).await;
    let client = client(&required("STOCKHOLD_TEST_REDIS_URL")).await;
    let key = |name: &str| format!("{}:{{test}}:{name}", test.store.redis_prefix().expect("Redis"));
    // The last cannot be read by the service, the others not by the script.
    for (name, record) in [
        ("1", "with"),
        ("4", "1\tHELD\t\t9\t\t\t\ta\t1"),
        ("5", "1\tHELD\t1\t-\t\t\t\ta\t1"),
        ("6", "1\tEXPIRED\t\t\t1\t\t\ta\t1"),
        ("7", "1\tHELD\t1\t9\t\tterms"),
        ("8", "1\tHELD\t1\t9\t\t\t\ta\tnonsense"),
        ("2", "1\tCONFIRMED\t\t\t1\tno_fingerprint\t\ta\t1"),
    ] {
        run::<i64>(&client, "HSET", &[&key("records"), name, record]).await;
    }
    run::<i64>(&client, "HSET", &[&key("stock"), "b", "nonsense"]).await;
    let ask = |command: Command| test.apply(command);
    let asked = join_all([
        ask(hold("before")),
        ask(cancel("1")),
        ask(get("2")),
        ask(get("4")),
        ask(get("5")),
        ask(Command::Extend { id: id("6"), expire_ms: u64::MAX >> 12, lifetime_ms: u64::MAX >> 12, reacquire: true }),
        ask(cancel("7")),
        ask(get("8")),
        ask(reserve("3", &[("a", 1), ("b", 1)])),
        ask(hold("after")),
    ]);
    let replies = asked.await;
    let corrupt: Vec<_> = replies.iter().map(|reply| matches!(reply, Reply::Corrupt(_))).collect();
    assert_eq!(corrupt, [false, true, true, true, true, true, true, true, true, false], "{replies:?}");
    assert_eq!(test.held_available("a").await.0, 2);
}
