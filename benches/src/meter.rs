//! The work that processes and stores have done: CPU time as the kernel counts it, calls as the stores count them.

use std::error::Error;
use std::fs;

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::InfoKind;
use sea_orm::sqlx::mysql::MySqlPool;
use sea_orm::sqlx::{self, Row};

use crate::figures::Figures;

/// The kernel counts CPU time in hundredths of a second, whatever its own clock does.
const TICK_US: f64 = 10_000.0;

/// The processes and stores of one cell.
pub(crate) struct Meter {
    /// By the name that their figures have.
    pub(crate) processes: Vec<(&'static str, u32)>,
    pub(crate) redis: Client,
    pub(crate) database: MySqlPool,
}

/// What was counted up to now, or between two readings.
pub(crate) struct Reading {
    cpu_us: Vec<(&'static str, f64)>,
    script_calls: f64,
    commits: f64,
    questions: f64,
}

impl Meter {
    pub(crate) async fn read(&self) -> Result<Reading, Box<dyn Error>> {
        let cpu_us = self.processes.iter().map(|(name, id)| Ok((*name, cpu_us(*id)?)));
        let cpu_us = cpu_us.collect::<Result<_, Box<dyn Error>>>()?;
        let info: String = self.redis.info(Some(InfoKind::CommandStats)).await?;
        let script_calls = ["cmdstat_fcall:calls=", "cmdstat_evalsha:calls=", "cmdstat_eval:calls="]
            .map(|begin| number_behind(&info, begin));
        let status = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Com_commit', 'Questions')";
        let (mut commits, mut questions) = (0.0, 0.0);
        for row in sqlx::raw_sql(status).fetch_all(&self.database).await? {
            let (name, value): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            *if name == "Questions" { &mut questions } else { &mut commits } = value.parse()?;
        }
        Ok(Reading { cpu_us, script_calls: script_calls.iter().sum(), commits, questions })
    }
}

impl Reading {
    pub(crate) fn since(&self, before: &Self) -> Self {
        let cpu_us = self.cpu_us.iter().zip(&before.cpu_us).map(|((name, now), (_, then))| (*name, now - then));
        Self {
            cpu_us: cpu_us.collect(),
            script_calls: self.script_calls - before.script_calls,
            commits: self.commits - before.commits,
            questions: self.questions - before.questions,
        }
    }

    /// The cost of an operation, and of a confirm where every operation ends with one.
    pub(crate) fn figures(&self, operations: u64, confirms: u64) -> Figures {
        let mut figures = Figures::new();
        if operations > 0 {
            let per_operation = |total: f64| total / operations as f64;
            for (name, cpu_us) in &self.cpu_us {
                figures.insert(format!("{name}_cpu_us_per_op"), per_operation(*cpu_us));
            }
            figures.insert("redis_script_calls_per_op".to_owned(), per_operation(self.script_calls));
        }
        if confirms > 0 && confirms >= operations {
            let per_confirm = |total: f64| total / confirms as f64;
            figures.insert("mysql_commits_per_confirm".to_owned(), per_confirm(self.commits));
            figures.insert("mysql_questions_per_confirm".to_owned(), per_confirm(self.questions));
        }
        figures
    }
}

/// User and system time of a process, including threads that have ended.
fn cpu_us(id: u32) -> Result<f64, Box<dyn Error>> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The second field is a name in brackets, which may contain anything.
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = fields.get(11..13).ok_or("/proc has changed its form")?;
    Ok(ticks.iter().map(|ticks| ticks.parse::<f64>()).sum::<Result<f64, _>>()? * TICK_US)
}

/// The most memory that a process had resident, in millions of bytes.
pub(crate) fn resident_peak_mb(id: u32) -> Result<f64, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("/proc has changed its form")?;
    Ok(kib.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0 / 1e6)
}

/// The number that follows these words; 0 if the text lacks them.
pub(crate) fn number_behind(text: &str, words: &str) -> f64 {
    let rest = text.split(words).nth(1).unwrap_or_default();
    let end = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().unwrap_or(0.0)
}
