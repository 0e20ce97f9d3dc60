-- `part` has the fingerprint and the lines to confirm; it is empty where all that was reserved is to be confirmed.
function commands.begin(id, part, reacquire)
  local record = addressed(id)
  if not record then return 'not_found' end
  local state, known = record.state, terms_of(record.terms)
  local confirmed, joined = known.reserved, known.lines
  if part ~= '' then
    local terms = terms_of(part)
    confirmed, joined = terms.confirmed, terms.lines
  end
  if state == 'CONFIRMING' or state == 'CONFIRMED' then
    return known.confirmed == confirmed and record.raw or 'mismatch'
  end
  if state ~= 'HELD' and not (state == 'EXPIRED' and reacquire == '1') then return 'ended\t' .. record.raw end
  local rest
  if joined ~= known.lines then
    local whole = lines_of(known.lines)
    worked = worked + #whole.skus
    rest = rest_of(whole, lines_of(joined))
    if not rest then return 'mismatch' end
  end
  if state == 'EXPIRED' then
    local refusal = refusal_to_hold(lines_of(joined))
    if refusal then return refusal end
  end

  if state == 'EXPIRED' then
    hold(lines_of(joined), 1)
  else
    if rest then hold(rest, -1) end
    deadlines[id] = false
  end
  unsettled[id] = NOW
  -- Many orders of a call have the same terms, and most are confirmed whole.
  local terms = part == '' and known.confirmed_whole
  if not terms then
    terms = known.reserved .. '\t' .. confirmed .. '\t' .. joined
    if part == '' then known.confirmed_whole = terms end
  end
  return write(id, 'CONFIRMING', record.create, record.ttl, '', terms)
end
