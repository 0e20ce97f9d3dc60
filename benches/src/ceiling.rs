//! The ceilings: how many orders each store can do alone, with the least work that an order takes.

pub(crate) mod mysql;
pub(crate) mod redis;

use std::error::Error;
use std::time::Instant;

use futures::future::try_join_all;
use hdrhistogram::Histogram;
use tokio::time::sleep_until;

use crate::figures::{Figures, Measured, add_latencies, latencies};
use crate::meter::{Meter, Reading};
use crate::pace::Spans;

/// What workers did in the measured span.
struct Repeated {
    latencies: Histogram<u64>,
    calls_per_s: f64,
    calls: u64,
    reading: Reading,
}

/// Lets each worker make one call after the other.
async fn repeat<W>(workers: Vec<W>, spans: Spans, meter: &Meter) -> Result<Repeated, Box<dyn Error>>
where
    W: AsyncFnMut() -> Result<(), Box<dyn Error>>,
{
    let from = Instant::now() + spans.warm_up;
    let until = from + spans.measured;
    let work = try_join_all(workers.into_iter().map(async |mut worker| {
        let mut latencies = latencies();
        let mut begin = Instant::now();
        while begin < until {
            worker().await?;
            let end = Instant::now();
            if from <= end && end < until {
                latencies.saturating_record((end - begin).as_nanos() as u64);
            }
            begin = end;
        }
        Ok::<_, Box<dyn Error>>(latencies)
    }));
    let metered = async {
        sleep_until(from.into()).await;
        let before = meter.read().await?;
        sleep_until(until.into()).await;
        meter.read().await.map(|after| after.since(&before))
    };
    let (all, reading) = tokio::try_join!(work, metered)?;
    let mut sum = latencies();
    for each in all {
        sum.add(each)?;
    }
    let calls = sum.len();
    Ok(Repeated { latencies: sum, calls_per_s: calls as f64 / spans.measured.as_secs_f64(), calls, reading })
}

impl Repeated {
    /// The figures. A call does `orders` orders, or reserves, and their rate is called `rate`.
    fn measured(&self, rate: &str, orders: usize) -> Measured {
        let operations = self.calls * orders as u64;
        let mut figures: Figures = self.reading.figures(operations, 0);
        figures.insert("operations_per_s".to_owned(), self.calls_per_s * orders as f64);
        figures.insert(rate.to_owned(), self.calls_per_s * orders as f64);
        add_latencies(&mut figures, "call", &self.latencies);
        Measured { figures, ..Measured::default() }
    }
}
