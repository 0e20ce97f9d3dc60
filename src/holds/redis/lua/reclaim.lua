-- Reclaiming overdue holds, a bounded number, once a call. The index only says where to look: the record decides.

-- How many this call has reclaimed, if it did, and whether others remain.
local reclaimed, overdue_remain

local function reclaim()
  if reclaimed then return 0 end
  flush()
  local ids = call('ZRANGEBYSCORE', DEADLINES, '-inf', NOW, 'LIMIT', 0, RECLAIM_HOLDS_MAX + 1)
  read(RECORDS, records, ids)
  local looked, holds, count = 0, 0, 0
  while looked < min(#ids, RECLAIM_HOLDS_MAX) and count < RECLAIM_LINES_MAX do
    looked = looked + 1
    local id = ids[looked]
    local record = parse_record(records[id] or '')
    if not record or not is_overdue(record) then
      deadlines[id] = false
    elseif pcall(expire, id, record) then
      -- One that is corrupt fails before it changes anything, and stays.
      count = count + #lines_within(record.terms).skus
      holds = holds + 1
    end
  end
  reclaimed, overdue_remain = holds, looked < #ids
  return holds
end
