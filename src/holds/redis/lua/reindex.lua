-- Those of these ids whose score is not what it should be; nil asks for any.
local function lacking_in(key, ids, wanted)
  local lacking = {}
  if #ids == 0 then return lacking end
  local scores = call('ZMSCORE', key, unpack(ids))
  for at = 1, #ids do
    if not scores[at] or wanted and tonumber(scores[at]) ~= wanted[at] then lacking[#lacking + 1] = at end
  end
  return lacking
end

-- The cursor is that of Redis.
function commands.reindex(cursor, repair)
  flush()
  local page = call('HSCAN', RECORDS, cursor ~= '' and cursor or '0', 'COUNT', RECORDS_PAGE)
  local held, ends, waiting = {}, {}, {}
  for at = 1, #page[2], 2 do
    local id, record = page[2][at], parse_record(page[2][at + 1])
    if record and record.state == 'HELD' then
      held[#held + 1] = id
      ends[#ends + 1] = record.create + record.ttl
    elseif record and awaits_settlement(record) then
      waiting[#waiting + 1] = id
    end
  end
  local reply = { 'unindexed', page[1] ~= '0' and page[1] or '' }
  for _, at in ipairs(lacking_in(DEADLINES, held, ends)) do
    reply[#reply + 1] = held[at]
    if repair == '1' then deadlines[held[at]] = text(ends[at]) end
  end
  for _, at in ipairs(lacking_in(UNSETTLED, waiting)) do
    reply[#reply + 1] = waiting[at]
    if repair == '1' then unsettled[waiting[at]] = NOW end
  end
  return concat(reply, '\t')
end
