//! The auditor of one order: what its callers asked and were told, and whether the next answer can be true.
//!
//! Calls on one order race each other. So an answer must agree with what callers were told before the call began, and
//! anything that was asked before the answer came may explain it.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use stockhold::grpc::v1::{self, ReservationState};

use crate::client::{Answer, Refused, from_lines};
use crate::run::Ended;

/// Lines: sorted, each sku once.
pub(crate) type Lines = Vec<(String, u32)>;

/// Redis takes the time of a command when the command begins.
const CLOCK_SLACK_MS: u64 = 5;

/// What a fault may do to an order (`docs/promises.md`). Everything else is a violation.
#[derive(Clone, Copy, Default)]
pub(crate) struct Permits {
    /// Redis loses data during the life of this order: holds, extensions and ends that only Redis knew may be
    /// forgotten.
    pub(crate) forgets: bool,
    /// Redis lost data at some time of the run, so it may have promised units that are gone.
    pub(crate) overpromises: bool,
}

/// The final word on an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Confirmed,
    Cancelled,
    Rejected,
}

/// One call on an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Reserve,
    Confirm { reacquire: bool },
    Cancel,
    Extend { until_ms: u64, reacquire: bool },
    Get,
}

/// One order: its lines, its calls, and what its callers were told.
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) location: String,
    pub(crate) lines: Lines,
    /// The lines to confirm: `lines`, or a part of them.
    pub(crate) part: Lines,
    pub(crate) ttl_ms: u64,
    permits: Permits,
    /// These skus are never short.
    plenty: Vec<String>,
    asked: Asked,
    told: Told,
    /// All calls and answers, to explain a violation.
    history: Vec<String>,
}

#[derive(Clone, Copy, Default)]
struct Asked {
    /// When the first Reserve was sent.
    reserve_ms: Option<u64>,
    /// The latest expire time that an Extend asked for.
    until_ms: Option<u64>,
    confirm: bool,
    reacquire: bool,
    cancel: bool,
}

/// What callers were told so far.
#[derive(Clone, Copy, Default)]
pub(crate) struct Told {
    /// It was held once.
    pub(crate) held: bool,
    /// A Confirm has begun. The order will be confirmed, rejected or cancelled.
    pub(crate) begun: bool,
    /// The latest expire time.
    pub(crate) expire_ms: Option<u64>,
    pub(crate) end: Option<End>,
}

/// What a caller may rely on after a definite answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Done(ReservationState),
    Refused(String),
}

impl Order {
    pub(crate) fn new(
        id: String,
        location: String,
        lines: Lines,
        part: Lines,
        ttl_ms: u64,
        permits: Permits,
        plenty: Vec<String>,
    ) -> Self {
        let (asked, told) = Default::default();
        Self { id, location, lines, part, ttl_ms, permits, plenty, asked, told, history: Vec::new() }
    }

    /// Whether Redis may have forgotten the order.
    pub(crate) fn may_be_forgotten(&self) -> bool {
        self.permits.forgets
    }

    /// What callers were told so far.
    pub(crate) fn told(&self) -> Told {
        self.told
    }

    /// What callers were told, in one line.
    pub(crate) fn ended(&self) -> Ended {
        let Self { id, location, part, told, .. } = self;
        Ended { id: id.clone(), location: location.clone(), end: told.end, part: part.clone() }
    }

    /// Records a call that begins, and answers what was told before.
    pub(crate) fn ask(&mut self, ask: Ask) -> Told {
        let now_ms = now_ms();
        match ask {
            Ask::Reserve => {
                self.asked.reserve_ms.get_or_insert(now_ms);
            }
            Ask::Confirm { reacquire } => {
                self.asked.confirm = true;
                self.asked.reacquire |= reacquire;
            }
            Ask::Extend { until_ms, .. } => self.asked.until_ms = self.asked.until_ms.max(Some(until_ms)),
            Ask::Cancel => self.asked.cancel = true,
            Ask::Get => {}
        }
        self.history.push(format!("{now_ms} asks {ask:?}"));
        self.told
    }

    /// Records and judges an answer. The error says why it cannot be true.
    pub(crate) fn hear(&mut self, ask: Ask, before: Told, answer: &Answer<v1::Reservation>) -> Result<(), String> {
        let now_ms = now_ms();
        let (words, checked) = match answer {
            Answer::Unknown(why) => (format!("{why:?}"), Ok(())),
            Answer::Ok(reservation) => {
                let words = format!("{:?} {:?}", reservation.state(), from_lines(&reservation.lines));
                (words, self.hear_ok(ask, before, reservation, now_ms))
            }
            Answer::Refused(refused) => (refused.reason.clone(), self.hear_refusal(ask, before, refused, now_ms)),
        };
        self.history.push(format!("{now_ms} hears of {ask:?}: {words}"));
        checked.map_err(|wrong| format!("{wrong}; {self}"))
    }

    fn hear_ok(&mut self, ask: Ask, before: Told, found: &v1::Reservation, now_ms: u64) -> Result<(), String> {
        use ReservationState::{Cancelled, Confirmed, Confirming, Expired, Held, Rejected};
        if found.reservation_id != self.id || found.location != self.location {
            return Err(format!("the answer is about {} in {}", found.reservation_id, found.location));
        }
        let (state, lines) = (found.state(), from_lines(&found.lines));
        let fits = match ask {
            Ask::Reserve => matches!(state, Held | Confirming | Confirmed),
            Ask::Confirm { .. } => state == Confirmed,
            Ask::Cancel => matches!(state, Cancelled | Rejected),
            Ask::Extend { .. } => matches!(state, Held | Confirming),
            Ask::Get => true,
        };
        if !fits {
            return Err(format!("{ask:?} answered OK with {state:?}"));
        }
        match state {
            Held => {
                self.still_open(before, "HELD")?;
                self.has_not_begun(before, "HELD")?;
                same_lines(&lines, &self.lines)?;
                let expire_ms = found.expire_time.as_ref().map(to_ms).ok_or("HELD without expire time")?;
                if let Ask::Extend { until_ms, .. } = ask
                    && expire_ms < until_ms
                {
                    return Err(format!("extended to {until_ms}, but expires at {expire_ms}"));
                }
                let asked_ms = self.asked.until_ms.max(Some(now_ms + self.ttl_ms + CLOCK_SLACK_MS));
                if Some(expire_ms) > asked_ms {
                    return Err(format!("expires at {expire_ms}, later than any caller asked: {asked_ms:?}"));
                }
                if let Some(told_ms) = before.expire_ms
                    && expire_ms < told_ms
                    && !self.permits.forgets
                {
                    return Err(format!("expires at {expire_ms}, although {told_ms} was told before"));
                }
                self.told.held = true;
                self.told.expire_ms = self.told.expire_ms.max(Some(expire_ms));
                Ok(())
            }
            Confirming => {
                self.still_open(before, "CONFIRMING")?;
                self.confirm_was_asked()?;
                same_lines(&lines, &self.part)?;
                self.told.held = true;
                self.told.begun = true;
                Ok(())
            }
            Confirmed => {
                self.confirm_was_asked()?;
                same_lines(&lines, &self.part)?;
                self.ends(End::Confirmed)
            }
            Cancelled => {
                self.cancel_was_asked()?;
                self.ends(End::Cancelled)
            }
            Rejected => {
                self.may_be_rejected()?;
                self.ends(End::Rejected)
            }
            Expired => self.may_be_expired(before, now_ms),
            ReservationState::Unspecified => Err("no state".to_owned()),
        }
    }

    fn hear_refusal(&mut self, ask: Ask, before: Told, refused: &Refused, now_ms: u64) -> Result<(), String> {
        match refused.reason.as_str() {
            "RESERVATION_CONFIRMED" if matches!(ask, Ask::Cancel | Ask::Extend { .. }) => {
                self.confirm_was_asked()?;
                self.ends(End::Confirmed)
            }
            "RESERVATION_CANCELLED" if ask != Ask::Cancel => {
                self.cancel_was_asked()?;
                self.ends(End::Cancelled)
            }
            "RESERVATION_REJECTED" if ask != Ask::Cancel => {
                self.may_be_rejected()?;
                self.ends(End::Rejected)
            }
            "RESERVATION_EXPIRED" if ask != Ask::Cancel => self.may_be_expired(before, now_ms),
            "RESERVATION_NOT_FOUND" if !matches!(ask, Ask::Reserve | Ask::Cancel) => {
                if let Some(end) = before.end {
                    return Err(format!("not found, although {end:?} was told"));
                }
                if before.held && !self.permits.forgets {
                    return Err("not found, although it was held and Redis lost nothing".to_owned());
                }
                Ok(())
            }
            "INSUFFICIENT_STOCK" if matches!(ask, Ask::Reserve | Ask::Extend { reacquire: true, .. }) => {
                if let Some(sku) = refused.short.iter().find(|sku| self.plenty.contains(sku)) {
                    return Err(format!("{sku} is said to be short, but it never is"));
                }
                if self.permits.forgets {
                    return Ok(());
                }
                let live = before.held && before.end.is_none() && !self.asked.cancel && before.expire_ms > Some(now_ms);
                if live {
                    return Err("short, although it was held already and still is".to_owned());
                }
                if before.end.is_some() {
                    return Err("short, although it had ended".to_owned());
                }
                self.has_not_begun(before, "short")
            }
            reason => Err(format!("{ask:?} can never be refused with {reason}: {}", refused.message)),
        }
    }

    fn ends(&mut self, end: End) -> Result<(), String> {
        match self.told.end.replace(end) {
            Some(told) if told != end => Err(format!("told {end:?}, although {told:?} was told")),
            _ => Ok(()),
        }
    }

    /// A Redis that lost data may hold again what has ended, until its deadline.
    fn still_open(&self, before: Told, what: &str) -> Result<(), String> {
        match before.end {
            Some(end) if !self.permits.forgets => Err(format!("{what}, although {end:?} was told")),
            _ => Ok(()),
        }
    }

    /// A Confirm that has begun rolls forward while Redis knows of it.
    fn has_not_begun(&self, before: Told, what: &str) -> Result<(), String> {
        if before.begun && !self.permits.forgets {
            return Err(format!("{what}, although CONFIRMING was told"));
        }
        Ok(())
    }

    fn confirm_was_asked(&self) -> Result<(), String> {
        if self.asked.confirm { Ok(()) } else { Err("confirmed, but no caller asked for it".to_owned()) }
    }

    fn cancel_was_asked(&self) -> Result<(), String> {
        if self.asked.cancel { Ok(()) } else { Err("cancelled, but no caller asked for it".to_owned()) }
    }

    fn may_be_rejected(&self) -> Result<(), String> {
        if self.part.iter().all(|(sku, _)| self.plenty.contains(sku)) {
            return Err("rejected, but none of its skus is ever short".to_owned());
        }
        // Supply never falls here, so only units of an expired or forgotten hold can be gone.
        if self.asked.reacquire || (self.asked.confirm && self.permits.overpromises) {
            Ok(())
        } else {
            Err("rejected, although it was confirmed in time and nothing was lost".to_owned())
        }
    }

    fn may_be_expired(&self, before: Told, now_ms: u64) -> Result<(), String> {
        if let Some(end) = before.end {
            return Err(format!("expired, although {end:?} was told"));
        }
        self.has_not_begun(before, "expired")?;
        // When an extension is lost, the expire time of the Reserve still stands.
        let told_ms = before.expire_ms.filter(|_| !self.permits.forgets);
        let earliest_ms = self.asked.reserve_ms.map(|reserve_ms| reserve_ms + self.ttl_ms).max(told_ms);
        match earliest_ms {
            Some(earliest_ms) if now_ms + CLOCK_SLACK_MS >= earliest_ms => Ok(()),
            Some(earliest_ms) => Err(format!("expired at {now_ms}, {} ms too early", earliest_ms - now_ms)),
            None => Err("expired, although it was never reserved".to_owned()),
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, location, lines, part, ttl_ms, history, .. } = self;
        write!(f, "order {id} in {location}: lines {lines:?}, to confirm {part:?}, ttl {ttl_ms} ms")?;
        history.iter().try_for_each(|line| write!(f, "\n        {line}"))
    }
}

fn same_lines(found: &Lines, expected: &Lines) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("its lines are {found:?}, not {expected:?}")) }
}

/// Milliseconds since 1970. It is also Redis' clock, because all processes share one machine.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn to_ms(time: &prost_types::Timestamp) -> u64 {
    time.seconds as u64 * 1000 + time.nanos as u64 / 1_000_000
}
