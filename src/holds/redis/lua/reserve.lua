function commands.reserve(id, joined, ttl)
  local record = addressed(id)
  if record then
    local reserved, terms = terms_of(record.terms).reserved, terms_of(joined)
    if reserved ~= '' and reserved ~= terms.reserved then return 'id_reused' end
    if LIVE_STATES[record.state] or record.state == 'CONFIRMED' then return record.raw end
    return 'ended\t' .. record.raw
  end
  local lines = lines_within(joined)
  local refusal = refusal_to_hold(lines)
  if refusal then return refusal end

  hold(lines, 1)
  deadlines[id] = text(now + ttl)
  return write(id, 'HELD', NOW, ttl, '', joined)
end
