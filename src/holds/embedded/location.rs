//! The transitions, over the holds of one location. Pure but for the state it owns: the time is an argument.
//!
//! Each transition has one shape: expire the addressed reservation if it is overdue; the same request again?; every
//! refusal, in the order that `Command` documents; then the changes, which cannot fail.

use std::collections::{HashMap, VecDeque};

use super::scored::Scored;
use crate::domain::{
    Line, Lines, Outcome, Reservation, ReservationId, Settlement, Shortage, Sku, State, StockItem, StockRow,
};
use crate::holds::{
    Command, FORGET_MAX, Held, Index, Page, Position, RECLAIM_HOLDS_MAX, RECLAIM_LINES_MAX, Reply, Rows,
};

/// The holds of one location. All is open to read: it is what invariants speak of, and what Redis is compared with.
#[derive(Clone, Debug, Default)]
pub struct LocationHolds {
    /// The copies of ledger rows.
    pub registers: HashMap<Sku, StockRow>,
    /// The counters of what is held.
    pub held: HashMap<Sku, Held>,
    /// Live reservations, and ended ones until they are forgotten.
    pub records: HashMap<ReservationId, Reservation>,
    /// The held ones, by deadline.
    pub deadlines: Scored,
    /// Those whose settlement may not be in the ledger, by when they were last touched.
    pub unsettled: Scored,
    /// Those that ended and need no settlement (any more), in the order in which they did: what ended in one call, and
    /// when. They are forgotten in this order.
    pub ended: VecDeque<(u64, Vec<ReservationId>)>,
    /// How far the sync task has pushed.
    pub synced: Option<i64>,
}

impl LocationHolds {
    /// True if there is nothing to remember.
    pub(super) fn is_empty(&self) -> bool {
        let Self { registers, held, records, deadlines: _, unsettled: _, ended, synced } = self;
        registers.is_empty() && held.is_empty() && records.is_empty() && ended.is_empty() && synced.is_none()
    }

    /// Applies the commands of one call.
    pub(super) fn apply(&mut self, commands: Vec<Command>, now_ms: u64, retention_ms: u64) -> Vec<Reply> {
        let mut call =
            Call { holds: self, now_ms, retention_ms, ended: Vec::new(), reclaimed: false, overdue_remain: false };
        let replies = commands.into_iter().map(|command| call.apply(command)).collect();
        if !call.ended.is_empty() {
            let ended = (now_ms, std::mem::take(&mut call.ended));
            self.ended.push_back(ended);
        }
        replies
    }
}

/// The commands of one call, at one time.
struct Call<'a> {
    holds: &'a mut LocationHolds,
    now_ms: u64,
    retention_ms: u64,
    /// What has ended in this call.
    ended: Vec<ReservationId>,
    /// Whether overdue holds were reclaimed in this call, and whether others remained then.
    reclaimed: bool,
    overdue_remain: bool,
}

impl Call<'_> {
    fn apply(&mut self, command: Command) -> Reply {
        match command {
            Command::Reserve { id, lines, ttl_ms } => self.reserve(id, lines, ttl_ms),
            Command::Begin { id, lines, reacquire } => self.begin(&id, lines, reacquire),
            Command::Cancel { id } => self.cancel(&id),
            Command::Extend { id, expire_ms, lifetime_ms, reacquire } => {
                self.extend(&id, expire_ms, lifetime_ms, reacquire)
            }
            Command::Settle { settlement, rows } => self.settle(settlement, rows),
            Command::Push { rows } => Reply::Pushed(self.push(rows)),
            Command::ReplaceRegister { sku, judged, row } => self.replace_register(sku, judged, row),
            Command::ReplaceHeld { sku, judged, units } => self.replace_held(sku, judged, units),
            Command::Stock { skus } => self.stock(skus),
            Command::Counters { skus } => self.counters(&skus),
            Command::Skus { .. } => {
                Reply::Skus(sorted(self.holds.registers.keys().chain(self.holds.held.keys())), String::new())
            }
            Command::Get { id } => self.addressed(&id).map_or(Reply::NotFound, Reply::Accepted),
            Command::List { after, limit } => Reply::Page(self.list(after, limit)),
            Command::Sweep => {
                let holds = self.reclaim();
                let more = self.forget() || self.overdue_remain;
                Reply::Swept { holds, more }
            }
            Command::Claim { limit, grace_ms } => self.claim(limit, grace_ms),
            Command::GetSynced => Reply::Synced(self.holds.synced),
            Command::SetSynced { judged, version } => {
                if self.holds.synced == judged {
                    self.holds.synced = Some(version);
                }
                Reply::Synced(self.holds.synced)
            }
        }
    }

    fn reserve(&mut self, id: ReservationId, lines: Lines, ttl_ms: u64) -> Reply {
        let fingerprint = lines.fingerprint();
        if let Some(record) = self.addressed(&id) {
            return match record.state {
                _ if record.reserved.is_some_and(|reserved| reserved != fingerprint) => Reply::IdReused,
                State::Held | State::Confirming | State::Confirmed => Reply::Accepted(record),
                State::Cancelled | State::Expired | State::Rejected => Reply::Ended(record),
            };
        }
        if let Some(refusal) = self.refusal_to_hold(&lines) {
            return refusal;
        }

        self.hold(&lines, 1);
        self.write(Reservation {
            id,
            state: State::Held,
            lines,
            reserved: Some(fingerprint),
            confirmed: None,
            create_ms: Some(self.now_ms),
            expire_ms: Some(self.now_ms + ttl_ms),
            end_ms: None,
        })
    }

    fn begin(&mut self, id: &ReservationId, part: Option<Lines>, reacquire: bool) -> Reply {
        let Some(mut record) = self.addressed(id) else { return Reply::NotFound };
        let confirmed = part.as_ref().map(Lines::fingerprint).or(record.reserved);
        match record.state {
            State::Confirming | State::Confirmed if record.confirmed == confirmed => return Reply::Accepted(record),
            State::Confirming | State::Confirmed => return Reply::Mismatch,
            State::Cancelled | State::Rejected => return Reply::Ended(record),
            State::Expired if !reacquire => return Reply::Ended(record),
            State::Held | State::Expired => {}
        }
        let lines = part.unwrap_or_else(|| record.lines.clone());
        if !lines.within(&record.lines) {
            return Reply::Mismatch;
        }
        if record.state == State::Expired
            && let Some(refusal) = self.refusal_to_hold(&lines)
        {
            return refusal;
        }

        match record.state {
            State::Held => self.hold(&rest(&record.lines, &lines), -1),
            _ => self.hold(&lines, 1),
        }
        record.state = State::Confirming;
        record.lines = lines;
        record.confirmed = confirmed;
        record.end_ms = None;
        self.write(record)
    }

    fn cancel(&mut self, id: &ReservationId) -> Reply {
        let record = self.addressed(id);
        match record {
            Some(record) if matches!(record.state, State::Confirming | State::Cancelled) => {
                return Reply::Accepted(record);
            }
            Some(record) if matches!(record.state, State::Confirmed | State::Rejected) => return Reply::Ended(record),
            _ => {}
        }

        if let Some(record) = record.as_ref().filter(|record| record.state == State::Held) {
            self.hold(&record.lines, -1);
        }
        let (state, end_ms) = (State::Cancelled, Some(self.now_ms));
        self.write(match record {
            Some(record) => Reservation { state, end_ms, ..record },
            None => Reservation {
                id: id.clone(),
                state,
                lines: Lines::default(),
                reserved: None,
                confirmed: None,
                create_ms: None,
                expire_ms: None,
                end_ms,
            },
        })
    }

    fn extend(&mut self, id: &ReservationId, expire_ms: u64, lifetime_ms: u64, reacquire: bool) -> Reply {
        let Some(mut record) = self.addressed(id) else { return Reply::NotFound };
        match record.state {
            State::Confirming => return Reply::Accepted(record),
            State::Held if Some(expire_ms) <= record.expire_ms => return Reply::Accepted(record),
            State::Held => {}
            State::Expired if reacquire && expire_ms > self.now_ms => {}
            State::Expired | State::Confirmed | State::Cancelled | State::Rejected => return Reply::Ended(record),
        }
        let latest_ms = record.create_ms.unwrap_or(0) + lifetime_ms;
        if expire_ms > latest_ms {
            return Reply::BeyondLifetime(latest_ms);
        }
        if record.state == State::Expired
            && let Some(refusal) = self.refusal_to_hold(&record.lines)
        {
            return refusal;
        }

        if record.state == State::Expired {
            self.hold(&record.lines, 1);
        }
        record.state = State::Held;
        record.expire_ms = Some(expire_ms);
        record.end_ms = None;
        self.write(record)
    }

    fn settle(&mut self, settlement: Settlement, rows: Rows) -> Reply {
        let record = self.addressed(&settlement.id);
        let live = record.as_ref().filter(|record| record.state.is_live());
        if settlement.outcome != Outcome::Cancelled {
            let held = live.map(|record| &record.lines).into_iter().flat_map(Lines::skus);
            let needed = settlement.lines.skus().chain(held);
            let missing = sorted(needed.filter(|sku| !rows.iter().any(|(given, _)| given == *sku)));
            if !missing.is_empty() {
                return Reply::Missing(missing);
            }
        }

        self.push(rows);
        if let Some(record) = live {
            self.hold(&record.lines, -1);
        }
        let mut ended = settlement.into_reservation();
        if let Some(record) = &record
            && (record.state, record.end_ms) == (ended.state, ended.end_ms)
            && (ended.state != State::Confirmed
                || (record.reserved, record.confirmed) == (ended.reserved, ended.confirmed))
            && self.holds.unsettled.score(&ended.id).is_none()
        {
            return Reply::Accepted(record.clone());
        }
        if let Some(record) = record {
            ended.create_ms = record.create_ms;
            ended.expire_ms = record.expire_ms;
            if ended.state != State::Confirmed {
                ended.lines = record.lines;
                ended.reserved = record.reserved;
                ended.confirmed = record.confirmed;
            }
        }
        self.end(ended)
    }

    fn push(&mut self, rows: Rows) -> usize {
        let registers = &mut self.holds.registers;
        let mut changed = 0;
        for (sku, row) in rows {
            let newer = match row {
                Some(row) if registers.get(&sku).is_none_or(|register| register.version < row.version) => {
                    registers.insert(sku, row);
                    true
                }
                Some(_) => false,
                None => registers.remove(&sku).is_some(),
            };
            changed += usize::from(newer);
        }
        changed
    }

    fn replace_register(&mut self, sku: Sku, judged: Option<StockRow>, row: Option<StockRow>) -> Reply {
        if self.holds.registers.get(&sku).copied() != judged {
            return Reply::Pushed(0);
        }
        match row {
            Some(row) => self.holds.registers.insert(sku, row),
            None => self.holds.registers.remove(&sku),
        };
        Reply::Pushed(1)
    }

    fn replace_held(&mut self, sku: Sku, judged: Held, units: i64) -> Reply {
        if self.held(&sku) != judged {
            return Reply::Pushed(0);
        }
        self.holds.held.insert(sku, Held { units, changes: judged.changes + 1 });
        Reply::Pushed(1)
    }

    fn stock(&mut self, skus: Vec<Sku>) -> Reply {
        self.reclaim();
        let missing = sorted(skus.iter().filter(|sku| !self.holds.registers.contains_key(*sku)));
        if !missing.is_empty() {
            return Reply::Missing(missing);
        }
        if self.overdue_remain {
            return Reply::More;
        }
        let item = |sku: Sku| {
            let row = *self.holds.registers.get(&sku)?;
            Some(StockItem { held: self.held(&sku).units, sku, row })
        };
        Reply::Stock(skus.into_iter().filter_map(item).collect())
    }

    fn counters(&self, skus: &[Sku]) -> Reply {
        Reply::Counters(skus.iter().map(|sku| (self.holds.registers.get(sku).copied(), self.held(sku))).collect())
    }

    fn list(&self, after: Option<Position>, limit: usize) -> Page {
        let mut entries = Vec::new();
        for (index, members) in [(Index::Deadlines, &self.holds.deadlines), (Index::Unsettled, &self.holds.unsettled)] {
            let place = match &after {
                Some(position) if position.index > index => continue,
                Some(position) if position.index == index => Some((position.score_ms, position.id.clone())),
                _ => None,
            };
            let found = members.after(place, limit - entries.len());
            entries.extend(found.into_iter().map(|(score_ms, id)| Position { index, score_ms, id }));
        }
        let records = entries.iter().filter_map(|entry| self.holds.records.get(&entry.id));
        let reservations = records.filter(|record| record.state.is_live()).cloned().collect();
        let next = if entries.len() < limit { None } else { entries.pop() };
        Page { reservations, next, now_ms: self.now_ms }
    }

    fn claim(&mut self, limit: usize, grace_ms: u64) -> Reply {
        let mut claimed = Vec::new();
        let unsettled = &self.holds.unsettled;
        let mut entries = unsettled.up_to(self.now_ms.saturating_sub(grace_ms), limit);
        entries.extend(unsettled.beyond(self.now_ms, limit - entries.len()));
        for (touched_ms, id) in entries {
            match self.holds.records.get(&id) {
                Some(record) if matches!(record.state, State::Confirming | State::Cancelled) => {
                    claimed.push(record.clone());
                    // Never earlier than before, whatever the clock does: who pages by this order must not miss
                    // anything.
                    self.holds.unsettled.set(&id, self.now_ms.max(touched_ms + 1));
                }
                _ => self.holds.unsettled.remove(&id),
            }
        }
        Reply::Claimed(claimed)
    }

    /// The reservation that a command is about, expired if it is overdue.
    fn addressed(&mut self, id: &ReservationId) -> Option<Reservation> {
        let record = self.holds.records.get(id)?.clone();
        Some(if self.is_overdue(&record) { self.expire(record) } else { record })
    }

    fn is_overdue(&self, record: &Reservation) -> bool {
        record.state == State::Held && record.expire_ms <= Some(self.now_ms)
    }

    fn expire(&mut self, mut record: Reservation) -> Reservation {
        self.hold(&record.lines, -1);
        record.state = State::Expired;
        record.end_ms = record.expire_ms;
        self.end(record.clone());
        record
    }

    /// None if these lines can be held now, else the refusal. Overdue holds are reclaimed only when they are in the
    /// way.
    fn refusal_to_hold(&mut self, lines: &Lines) -> Option<Reply> {
        let registers = &self.holds.registers;
        let missing = sorted(lines.skus().filter(|sku| !registers.contains_key(*sku)));
        if !missing.is_empty() {
            return Some(Reply::Missing(missing));
        }
        let retired = sorted(lines.skus().filter(|sku| registers.get(*sku).is_some_and(|row| row.retired)));
        if !retired.is_empty() {
            return Some(Reply::Retired(retired));
        }
        let mut short = self.shortages(lines);
        if !short.is_empty() && self.reclaim() > 0 {
            short = self.shortages(lines);
        }
        match short.is_empty() {
            true => None,
            false if self.overdue_remain => Some(Reply::More),
            false => Some(Reply::Short(short)),
        }
    }

    fn shortages(&self, lines: &Lines) -> Vec<Shortage> {
        let shortage = |line: &Line| {
            let held = self.held(&line.sku).units;
            let available = self.holds.registers.get(&line.sku).map_or(0, |row| row.available(held));
            let requested = i64::from(line.quantity);
            (available < requested).then(|| Shortage { sku: line.sku.clone(), requested, available, held })
        };
        lines.iter().filter_map(shortage).collect()
    }

    /// Reclaims a bounded number of overdue holds, once a call. The index only says where to look: the record decides.
    fn reclaim(&mut self) -> usize {
        if self.reclaimed {
            return 0;
        }
        let entries = self.holds.deadlines.up_to(self.now_ms, RECLAIM_HOLDS_MAX + 1);
        let (mut looked, mut holds, mut lines) = (0, 0, 0);
        while looked < entries.len().min(RECLAIM_HOLDS_MAX) && lines < RECLAIM_LINES_MAX {
            let (_, id) = &entries[looked];
            looked += 1;
            match self.holds.records.get(id).cloned() {
                Some(record) if self.is_overdue(&record) => {
                    lines += record.lines.len();
                    holds += 1;
                    self.expire(record);
                }
                _ => self.holds.deadlines.remove(id),
            }
        }
        (self.reclaimed, self.overdue_remain) = (true, looked < entries.len());
        holds
    }

    /// Forgets a bounded number of those that have ended for longer than the retention time; tells whether others
    /// remain. Again the record decides.
    fn forget(&mut self) -> bool {
        let (now_ms, retention_ms) = (self.now_ms, self.retention_ms);
        let is_over = |since_ms: u64| since_ms + retention_ms <= now_ms;
        let mut looked = 0;
        // One from the future, before the clock went back, must not hold up those behind it.
        while self.holds.ended.front().is_some_and(|(time_ms, _)| *time_ms > now_ms || is_over(*time_ms)) {
            if looked >= FORGET_MAX {
                return true;
            }
            let (_, ids) = self.holds.ended.pop_front().unwrap_or_default();
            looked += ids.len();
            for id in ids {
                let Some(record) = self.holds.records.get(&id) else { continue };
                if record.state.is_live() || self.holds.unsettled.score(&id).is_some() {
                    // It is entered again when it ends again, or is settled.
                    continue;
                }
                if is_over(record.end_ms.unwrap_or(0)) {
                    self.holds.records.remove(&id);
                } else {
                    self.ended.push(id);
                }
            }
        }
        false
    }

    fn held(&self, sku: &Sku) -> Held {
        self.holds.held.get(sku).copied().unwrap_or_default()
    }

    fn hold(&mut self, lines: &Lines, sign: i64) {
        for line in lines.iter() {
            let held = self.holds.held.entry(line.sku.clone()).or_default();
            let units = held.units + sign * i64::from(line.quantity);
            debug_assert!(units >= 0, "{} was released twice", line.sku);
            held.units = units.max(0);
            held.changes += 1;
        }
    }

    /// Writes a record that time does not make forgotten, and enters it in the index of its state.
    fn write(&mut self, record: Reservation) -> Reply {
        let id = &record.id;
        match record.state {
            State::Held => self.holds.deadlines.set(id, record.expire_ms.unwrap_or(0)),
            _ => {
                self.holds.deadlines.remove(id);
                self.holds.unsettled.set(id, self.now_ms);
            }
        }
        self.holds.records.insert(id.clone(), record.clone());
        Reply::Accepted(record)
    }

    /// Writes a record that has ended and needs no settlement (any more): it is forgotten after the retention time.
    fn end(&mut self, record: Reservation) -> Reply {
        let id = &record.id;
        self.holds.deadlines.remove(id);
        self.holds.unsettled.remove(id);
        self.ended.push(id.clone());
        self.holds.records.insert(id.clone(), record.clone());
        Reply::Accepted(record)
    }
}

/// What is held beyond the part that is confirmed.
fn rest(whole: &Lines, part: &Lines) -> Lines {
    let rest = whole.iter().map(|line| (line.sku.clone(), line.quantity - part.quantity(&line.sku)));
    rest.filter(|(_, quantity)| *quantity > 0).collect()
}

fn sorted<'a>(skus: impl Iterator<Item = &'a Sku>) -> Vec<Sku> {
    let mut skus: Vec<_> = skus.cloned().collect();
    skus.sort();
    skus.dedup();
    skus
}
