-- Forgets a bounded number of those that have ended for longer than the retention time; tells whether others remain.
-- The record decides.
local function forget()
  flush()
  local looked = 0
  while true do
    local time, entry = match(call('LINDEX', ENDED, 0) or '', '^(%d+)\t(.*)$')
    -- One from the future, before the clock went back, must not hold up those behind it.
    if not time or tonumber(time) <= now and time + RETENTION_MS > now then return false end
    if looked >= FORGET_MAX then return true end
    call('LPOP', ENDED)
    local ids = split(entry)
    looked = looked + #ids
    worked = worked + #ids
    read(RECORDS, records, ids)
    for _, id in ipairs(ids) do
      local record = parse_record(records[id] or '')
      if not record or LIVE_STATES[record.state] or awaits_settlement(record) then
        -- It is entered again when it ends again, or is settled.
      elseif record.ended ~= '' and record.ended + RETENTION_MS > now then
        newly_ended[#newly_ended + 1] = id
      else
        if is_tombstone(record) then add_tombstones(-1) end
        records[id] = false
        forgotten = add(forgotten, id)
      end
    end
  end
end

function commands.sweep()
  local holds = reclaim()
  local more = forget() or overdue_remain
  return 'swept\t' .. holds .. '\t' .. (more and 1 or 0)
end
