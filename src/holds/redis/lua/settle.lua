-- nil if there is a row for each of these lines, else the reply that names the skus which have none.
local function missing_rows(rows, settled, live)
  local missing, named
  for _, lines in ipairs({ settled, live }) do
    for _, sku in ipairs(lines.skus) do
      if not rows.by_sku[sku] and not (named and named[sku]) then
        missing, named = (missing or 'missing') .. '\t' .. sku, named or {}
        named[sku] = true
      end
    end
  end
  return missing
end

function commands.settle(id, outcome, time_ms, joined, joined_rows)
  local record, rows = addressed(id), rows_of(joined_rows)
  local state = record and record.state
  local live = LIVE_STATES[state] and lines_in(record)
  if outcome ~= 'CANCELLED' then
    local settled = lines_of(terms_of(joined).lines)
    local missing = missing_rows(rows, settled, live ~= settled and live or nil)
    if missing then return missing end
  end
  if live then need_held(live) end

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
