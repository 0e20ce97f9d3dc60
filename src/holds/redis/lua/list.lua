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

-- How many records are read at a time, so that few are read in vain.
local READ_MAX = 50

-- The next entries of both indexes, at most `limit`: lists of their indexes, scores and ids.
local function entries_of_both(index, score, id, limit)
  local indexes, scores, ids = {}, {}, {}
  for _, name in ipairs({ 'deadlines', 'unsettled' }) do
    if not (name == 'deadlines' and index == 'unsettled') then
      local from = name == index and id or ''
      local entries = entries_after(name == 'deadlines' and DEADLINES or UNSETTLED, score, from, limit - #ids)
      for at = 1, #entries, 2 do
        indexes[#ids + 1], scores[#ids + 1] = name, entries[at + 1]
        ids[#ids + 1] = entries[at]
      end
    end
  end
  return indexes, scores, ids
end

-- Answers `page now index score id` (of the last entry looked at, empty if there are no more), then id, record, id,
-- record, ...
function commands.list(index, score, id, limit)
  flush()
  limit = tonumber(limit)
  local indexes, scores, ids = entries_of_both(index, score, id, limit)
  local reply, bytes, looked = { 'page', NOW, '', '', '' }, 0, 0
  while looked < #ids and bytes < PAGE_BYTES_MAX do
    if looked % READ_MAX == 0 then
      read(RECORDS, records, { unpack(ids, looked + 1, min(looked + READ_MAX, #ids)) })
    end
    looked = looked + 1
    local record = parse_record(records[ids[looked]] or '')
    if record and LIVE_STATES[record.state] then
      bytes = bytes + #record.terms
      reply[#reply + 1] = ids[looked]
      reply[#reply + 1] = record.raw
    end
  end
  worked = worked + looked
  local is_last = looked == #ids and looked < limit
  if not is_last and looked > 0 then reply[3], reply[4], reply[5] = indexes[looked], scores[looked], ids[looked] end
  return reply
end
