-- Reading one reservation, or those that are live.

function commands.get(id)
  local record = addressed(id)
  return record and record.raw or 'not_found'
end

-- Names are ordered by their bytes. The operators < and <= of Lua follow the server's locale.
local function at_most(one, other)
  for index = 1, min(#one, #other) do
    local a, b = string.byte(one, index), string.byte(other, index)
    if a ~= b then return a < b end
  end
  return #one <= #other
end

-- The entries of an index behind a place, as id, score, id, score, ... The place itself may be gone.
local function entries_after(key, score, id, limit)
  local low = 0
  if id ~= '' then
    low = call('ZCOUNT', key, '-inf', '(' .. score)
    local high = low + call('ZCOUNT', key, score, score)
    while low < high do
      local middle = floor((low + high) / 2)
      if at_most(call('ZRANGE', key, middle, middle)[1], id) then low = middle + 1 else high = middle end
    end
  end
  if limit == 0 then return {} end
  return call('ZRANGE', key, low, low + limit - 1, 'WITHSCORES')
end

-- Answers `page now index score id` (of the last entry looked at, empty if there are no more), then id, record, id,
-- record, ...
function commands.list(index, score, id, limit)
  flush()
  limit = tonumber(limit)
  local ids, last = {}, { '', '', '' }
  for _, name in ipairs({ 'deadlines', 'unsettled' }) do
    if not (name == 'deadlines' and index == 'unsettled') then
      local from = name == index and id or ''
      local entries = entries_after(name == 'deadlines' and DEADLINES or UNSETTLED, score, from, limit - #ids)
      for at = 1, #entries, 2 do
        ids[#ids + 1] = entries[at]
        last = { name, entries[at + 1], entries[at] }
      end
    end
  end
  if #ids < limit then last = { '', '', '' } end
  read(RECORDS, records, ids)
  local reply = { 'page', NOW, unpack(last) }
  for _, entry in ipairs(ids) do
    local record = parse_record(records[entry] or '')
    if record and LIVE_STATES[record.state] then
      reply[#reply + 1] = entry
      reply[#reply + 1] = record.raw
    end
  end
  return reply
end
