function commands.claim(limit, grace_ms)
  flush()
  local entries = call('ZRANGEBYSCORE', UNSETTLED, '-inf', text(now - grace_ms), 'WITHSCORES', 'LIMIT', 0, limit)
  local future = call('ZRANGEBYSCORE', UNSETTLED, '(' .. NOW, '+inf', 'WITHSCORES', 'LIMIT', 0, limit - #entries / 2)
  for _, field in ipairs(future) do entries[#entries + 1] = field end
  local ids = {}
  for at = 1, #entries, 2 do ids[#ids + 1] = entries[at] end

  worked = worked + #ids
  read(RECORDS, records, ids)
  local reply = { 'claimed' }
  for at, id in ipairs(ids) do
    local record = parse_record(records[id] or '')
    if record and awaits_settlement(record) then
      reply[#reply + 1] = id
      reply[#reply + 1] = record.raw
      -- Never earlier than before, whatever the clock does: a reader who pages by this order must not miss any.
      unsettled[id] = text(max(now, entries[2 * at] + 1))
    else
      unsettled[id] = false
    end
  end
  return reply
end
