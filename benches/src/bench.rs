//! The whole run. Every cell has its turn in every round, so that disturbances of the machine hit all cells alike. Then
//! comes the report.

use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures::FutureExt;
use stockhold::signals::Signals;
use tokio::time::sleep_until;

use crate::args::Arguments;
use crate::ceiling::{mysql, redis};
use crate::cell::{Cell, Load};
use crate::figures::Measured;
use crate::holds;
use crate::load;
use crate::machine;
use crate::meter::resident_peak_mb;
use crate::pace::Spans;
use crate::plan::cells;
use crate::report;
use crate::results::Results;
use crate::stock::stock_up;
use crate::system::{Running, System};
use crate::world::World;

/// Holds expire by Redis' clock, which counts whole milliseconds. The bench counts from its request.
const CLOCKS_DIFFER_MAX: Duration = Duration::from_millis(50);

/// Measures, reports, and fails if a cell did.
pub(crate) async fn bench(arguments: &Arguments) -> ExitCode {
    let home = tempfile::Builder::new().prefix("stockhold-bench.").tempdir().expect("a temporary folder").keep();
    let signals = Signals::listen().expect("signals can be listened to");
    let run = AssertUnwindSafe(Box::pin(run(arguments, &home))).catch_unwind();
    let ended = tokio::select! {
        // The panic hook has printed the cause.
        ended = run => ended.unwrap_or_else(|_| Err("the program broke down".into())),
        () = signals.shutdown() => Err("interrupted".into()),
    };
    match ended {
        Ok(failed) if failed.is_empty() => {
            // Failing to remove the folder harms nothing.
            let _ = std::fs::remove_dir_all(&home);
            ExitCode::SUCCESS
        }
        Ok(failed) => {
            println!("FAILED: {}; the logs of all servers are in {}", failed.join("; "), home.display());
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("error: {error}; the logs of all servers are in {}", home.display());
            ExitCode::FAILURE
        }
    }
}

/// Answers the names of the cells that failed.
async fn run(arguments: &Arguments, home: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut cells = cells(arguments.quick);
    cells.retain(|cell| cell.name().contains(&arguments.only));
    if cells.is_empty() {
        return Err(format!("no cell has {:?} in its name", arguments.only).into());
    }
    std::fs::create_dir_all(&arguments.out).map_err(|error| format!("{}: {error}", arguments.out.display()))?;
    let world = World::start(home).await?;
    let spans = Spans { warm_up: arguments.warm_up(), measured: arguments.measured() };
    let mut results = Results::new(machine::facts(&world).await?, arguments, &cells);
    for round in 1..=arguments.rounds() {
        for (number, cell) in cells.iter().enumerate() {
            let measured =
                measure(&world, cell, spans).await.unwrap_or_else(|error| Measured::failed(error.to_string()));
            println!("round {round}, {}: {}", cell.name(), report::line(&measured));
            results.add(number, measured);
        }
    }
    report::write(&results, &arguments.out)?;
    Ok(results.failed())
}

async fn measure(world: &World, cell: &Cell, spans: Spans) -> Result<Measured, Box<dyn Error>> {
    world.clean().await?;
    match *cell {
        Cell::Load { system, load } => {
            let running = Running::start(system, world).await;
            stock_up(running.port, load.workload, load.shape).await?;
            let expire = load.before.make(running.port, &world.database).await?;
            let meter = world.meter(Some(running.id()));
            let loaded = load::measure(load, running.port, spans, expire, &meter);
            let (loaded, bought_back) = tokio::join!(loaded, buy_back(load, running.port, expire));
            let (mut measured, bought) = loaded?;
            if let Err(error) = bought_back {
                measured.errors.insert(format!("what expired could not be bought: {error}"), 1);
            }
            load.before.is_gone(running.port).await?;
            measured.figures.insert("server_resident_peak_mb".to_owned(), resident_peak_mb(running.id())?);
            if system != System::EmptyRpc {
                let sold = load.workload.units(load.shape) + load.before.units() - world.units_left().await?;
                // A speed at which units are lost or sold twice is worthless.
                if sold != bought as i64 {
                    measured.errors.insert(format!("{bought} units were bought, {sold} are missing in the books"), 1);
                }
            }
            Ok(measured)
        }
        Cell::Holds { lines, holds } => {
            let running = Running::start(System::Service, world).await;
            holds::measure(running.port, &world.client, lines, holds).await
        }
        Cell::RedisScript { script, orders, calls } => {
            redis::scripts(&world.redis_url(), script, orders, calls, spans, &world.meter(None)).await
        }
        Cell::GroupCommit { orders, workers } => {
            mysql::commits(&world.database_url(), orders, workers, spans, &world.meter(None)).await
        }
        Cell::RedisPing => redis::ping(&world.redis_url(), spans, &world.meter(None)).await,
    }
}

async fn buy_back(load: Load, port: u16, expire: Option<Instant>) -> Result<(), Box<dyn Error>> {
    let Some(expire) = expire else { return Ok(()) };
    sleep_until((expire + CLOCKS_DIFFER_MAX).into()).await;
    load.before.buy_back(port).await
}
