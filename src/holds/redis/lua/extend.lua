function commands.extend(id, expire_ms, lifetime_ms, reacquire)
  local record = addressed(id)
  if not record then return 'not_found' end
  local state, wanted = record.state, tonumber(expire_ms)
  if state == 'CONFIRMING' then return record.raw end
  if state == 'HELD' and wanted <= record.create + record.ttl then return record.raw end
  if state ~= 'HELD' and not (state == 'EXPIRED' and reacquire == '1' and wanted > now) then
    return 'ended\t' .. record.raw
  end
  local latest = record.create + lifetime_ms
  if wanted > latest then return 'beyond_lifetime\t' .. text(latest) end
  if state == 'EXPIRED' then
    local refusal = refusal_to_hold(lines_within(record.terms))
    if refusal then return refusal end
  end

  if state == 'EXPIRED' then hold(lines_within(record.terms), 1) end
  deadlines[id] = text(wanted)
  return write(id, 'HELD', record.create, text(wanted - record.create), '', record.terms)
end
