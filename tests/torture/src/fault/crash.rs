//! An instance that crashes between two steps of Confirm or Cancel.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use futures::future::join;

use crate::act::Act;
use crate::instance::Instance;

/// A crash point aborts the process, which then ends by this signal.
const ABORTED: i32 = 6;

/// By then a crash point that is reached at all has been reached often enough.
const CRASH_MAX: Duration = Duration::from_secs(20);

/// The pause between two looks whether the instance has crashed.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A crash point: its name in the service, its name in the table, and how often it crashes in a hundred times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crash {
    failpoint: &'static str,
    name: &'static str,
    percent: u32,
}

impl Crash {
    /// All crash points of the service. Those that are seldom reached crash often.
    pub(crate) const ALL: [Self; 8] = [
        Self { failpoint: "confirm-begun", name: "crash: confirm begun", percent: 3 },
        Self { failpoint: "confirm-committed", name: "crash: confirm committed", percent: 3 },
        Self { failpoint: "confirm-settled", name: "crash: confirm settled", percent: 3 },
        Self { failpoint: "confirm-rejected", name: "crash: confirm rejected", percent: 100 },
        Self { failpoint: "cancel-released", name: "crash: cancel released", percent: 3 },
        Self { failpoint: "cancel-committed", name: "crash: cancel committed", percent: 3 },
        Self { failpoint: "ledger-before-commit", name: "crash: before COMMIT", percent: 5 },
        Self { failpoint: "ledger-after-commit", name: "crash: after COMMIT", percent: 5 },
    ];

    pub(crate) fn name(self) -> &'static str {
        self.name
    }

    /// Restarts the instance whenever it has crashed, and at the end without the crash point.
    pub(crate) async fn strike(self, instance: &mut Instance, act: &Act) -> Result<(), String> {
        let ((), crashed) = join(act.pass(), self.crash(instance, act.lasting())).await;
        instance.restart().await;
        crashed
    }

    async fn crash(self, instance: &mut Instance, lasting: Duration) -> Result<(), String> {
        let failpoint = format!("{}={}%return", self.failpoint, self.percent);
        let (begin, mut crashes) = (Instant::now(), 0);
        instance.launch_again(Some(&failpoint));
        while begin.elapsed() < lasting || (crashes == 0 && begin.elapsed() < CRASH_MAX) {
            if let Some(status) = instance.ended() {
                if status.signal() != Some(ABORTED) {
                    return Err(format!("the instance did not crash at {failpoint}, it ended with {status}"));
                }
                crashes += 1;
                instance.launch_again(Some(&failpoint));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        if crashes == 0 { Err(format!("nothing crashed at {failpoint} within {CRASH_MAX:?}")) } else { Ok(()) }
    }
}
