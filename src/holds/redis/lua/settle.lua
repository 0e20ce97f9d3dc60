-- nil if there is a row for each of these lines, else the reply that names the skus which have none. Rows remember the
-- lines that they cover, because the settlements of one commit have the same rows, and often the same lines.
local function missing_rows(rows, settled, live)
  if rows.covered == settled and live == settled then return nil end
  local missing, named
  for _, lines in ipairs({ settled, live }) do
    for _, sku in ipairs(lines.skus) do
      if not rows.by_sku[sku] and not (named and named[sku]) then
        missing, named = (missing or 'missing') .. '\t' .. sku, named or {}
        named[sku] = true
      end
    end
  end
  if not missing and live == settled then rows.covered = settled end
  return missing
end

function commands.settle(id, outcome, time_ms, joined, joined_rows)
  local record, rows = addressed(id), rows_of(joined_rows)
  local state = record and record.state
  local live = LIVE_STATES[state] and lines_within(record.terms)
  if outcome ~= 'CANCELLED' then
    local settled = lines_within(joined)
    local missing = missing_rows(rows, settled, live or settled)
    if missing then return missing end
  end
  if live and not live.has_held then read_held_of(live) end

  push(rows)
  if not record then return 'not_found' end
  if state == outcome and record.ended == time_ms then
    if state ~= 'CONFIRMED' or same_prints(record.terms, joined) then return record.raw end
  end
  if live then hold(live, -1) end
  if state == 'HELD' then
    deadlines[id] = false
  elseif state == 'CONFIRMING' or state == 'CANCELLED' then
    unsettled[id] = false
  end
  if record.create == '' then
    -- It was never held, so it may be or become a tombstone.
    local before, after = state == 'CANCELLED' and 1 or 0, outcome == 'CANCELLED' and 1 or 0
    if before ~= after then add_tombstones(after - before) end
  end
  local terms = outcome ~= 'CONFIRMED' and record.terms or joined
  return finish(id, outcome, record.create, record.ttl, time_ms, terms)
end
