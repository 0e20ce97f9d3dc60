//! Registers catch up with rows, whatever became of the commit or of the holds' store; and the log says what was lost.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stockhold::domain::{Adjustment, Location};
use stockhold::holds::embedded::Snapshot;
use stockhold::service::{Error, LatePolicy};
use tokio::time::sleep;
use tracing::Dispatch;
use tracing::subscriber::{DefaultGuard, NoSubscriber, set_default};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::holds::{id, location, sku};
use crate::support::memory_service::MemoryService;
use crate::support::service::request_id;

/// Longer than sync looks back for rows that were committed late.
const STALL: Duration = Duration::from_secs(45);

/// Syncs each second, as the background task does.
async fn sync_for(it: &MemoryService, location: &Location, seconds: u32) {
    for _ in 0..seconds {
        sleep(Duration::from_secs(1)).await;
        it.service.sync(location).await.expect("syncs");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_off_whose_commit_stalls_reaches_its_register() {
    let (it, place) = (MemoryService::new(), location("l"));
    it.set(&place, &["a".into()], 10).await;
    sync_for(&it, &place, 1).await;
    it.weather.stall_next_commit(STALL);
    let write_off = vec![Adjustment { sku: sku("a"), delta: -8 }];
    let answer = it.service.adjust_stock(&place, request_id(), "broken".into(), write_off).await;
    assert!(matches!(answer, Err(Error::OutcomeUnknown(_))), "{answer:?}");
    // Its caller gives up.
    sync_for(&it, &place, 60).await;
    assert_eq!((it.row(&place, "a"), it.register(&place, "a").await), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_confirm_whose_commit_stalls_reaches_a_register_that_was_lost_meanwhile() {
    let (it, place) = (MemoryService::new(), location("l"));
    it.set(&place, &["a".into()], 10).await;
    it.reserve(&place, "order", "a").await.expect("held");
    it.weather.stall_next_commit(STALL);
    let answer = it.service.confirm(&place, id("order"), None, LatePolicy::Reject).await;
    assert!(matches!(answer, Err(Error::OutcomeUnknown(_))), "{answer:?}");
    // Without the hold no recovery finds it.
    it.restore(Snapshot::default());
    sync_for(&it, &place, 60).await;
    assert_eq!((it.row(&place, "a"), it.register(&place, "a").await), (9, 9));
}

/// What is logged on this thread while it lives.
struct Log {
    text: Arc<Mutex<Vec<u8>>>,
    _guard: DefaultGuard,
    _other: Dispatch,
}

#[derive(Clone)]
struct Writer(Arc<Mutex<Vec<u8>>>);

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Writer {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Log {
    fn begin() -> Self {
        let text = Arc::<Mutex<Vec<u8>>>::default();
        let writer = Writer(Arc::clone(&text));
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(writer).finish();
        // While there is one subscriber only, tracing asks none for a line that is first reached on a thread without
        // one, and then drops that line everywhere. A second subscriber, of nothing, prevents that.
        Self { text, _guard: set_default(subscriber), _other: Dispatch::new(NoSubscriber::new()) }
    }

    /// The warnings since the last time.
    fn warnings(&self) -> Vec<String> {
        let text = std::mem::take(&mut *self.text.lock().expect("no panic"));
        let text = String::from_utf8(text).expect("text");
        text.lines().filter(|line| line.contains(" WARN ")).map(str::to_owned).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_says_once_that_the_store_was_emptied() {
    let (log, it) = (Log::begin(), MemoryService::new());
    let places = ["east", "west"].map(location);
    for place in &places {
        it.set(place, &["a".into(), "b".into()], 10).await;
        sync_for(&it, place, 2).await;
    }
    assert_eq!(log.warnings(), [""; 0], "a new location has lost nothing");

    it.restore(Snapshot::default());
    // A call that comes before sync refills one register, but not the holds.
    it.reserve(&places[0], "order", "a").await.expect("held");
    for place in &places {
        sync_for(&it, place, 20).await;
    }
    let [east, west] = &log.warnings()[..] else { panic!("two warnings") };
    for (line, place, registers) in [(east, "east", 1), (west, "west", 2)] {
        assert!(line.contains("the holds' store was emptied"), "{line}");
        assert!(line.contains(&format!("location=\"{place}\"")), "{line}");
        assert!(line.contains(&format!("registers_missing={registers}")), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_says_that_the_store_was_rewound() {
    let (log, it, place) = (Log::begin(), MemoryService::new(), location("l"));
    it.set(&place, &["a".into()], 10).await;
    sync_for(&it, &place, 2).await;
    let older = it.snapshot();
    sync_for(&it, &place, 600).await;
    it.restore(older);
    sync_for(&it, &place, 20).await;
    let [line] = &log.warnings()[..] else { panic!("one warning") };
    assert!(line.contains("the holds' store was rewound") && line.contains("by_seconds=60"), "{line}");
}

#[tokio::test(start_paused = true)]
async fn a_store_with_many_locations_is_told_in_few_lines() {
    const LOCATIONS: usize = 300;
    let (log, it) = (Log::begin(), MemoryService::new());
    let places: Vec<_> = (0..LOCATIONS).map(|number| location(&format!("l-{number}"))).collect();
    let sync_all = async || {
        for place in &places {
            it.service.sync(place).await.expect("syncs");
        }
    };
    for place in &places {
        it.set(place, &["a".into()], 10).await;
    }
    sync_all().await;
    it.restore(Snapshot::default());
    for _ in 0..20 {
        sync_all().await;
        sleep(Duration::from_secs(1)).await;
    }
    let lines = log.warnings();
    let Some((summary, first)) = lines.split_last() else { panic!("warnings") };
    assert!(first.len() < 10, "{lines:?}");
    let rest = LOCATIONS - first.len();
    assert!(summary.contains(&format!("locations={rest}")), "{lines:#?}");
    assert!(summary.contains(&format!("registers_missing={rest}")), "{summary}");
}

/// A change is committed a moment before it is pushed. That is no difference.
#[tokio::test(start_paused = true)]
async fn reconcile_does_not_report_what_is_on_its_way() {
    let (it, at) = (Arc::new(MemoryService::new()), location("l"));
    let names = ["a".to_owned()];
    it.set(&at, &names, 1).await;
    for on_hand in 2..40 {
        let (changing, there, names) = (Arc::clone(&it), at.clone(), names.clone());
        let change = tokio::spawn(async move { changing.set(&there, &names, on_hand).await });
        // Another instant of the change each time.
        sleep(Duration::from_millis(on_hand.unsigned_abs())).await;
        let report = it.service.reconcile(&at, true).await.expect("compares");
        assert_eq!(report.findings, [], "{on_hand} ms after the change began");
        change.await.expect("is made");
    }
}
