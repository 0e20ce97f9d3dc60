function commands.cancel(id)
  local record = addressed(id)
  if not record then
    if not exists() then return 'unknown_location' end
    if count_tombstones() >= TOMBSTONES_MAX then return 'tombstones_full' end

    add_tombstones(1)
    unsettled[id] = NOW
    return write(id, 'CANCELLED', '', '', '', '\t\t')
  end
  local state = record.state
  if state == 'CONFIRMING' or state == 'CANCELLED' then return record.raw end
  if state == 'CONFIRMED' or state == 'REJECTED' then return 'ended\t' .. record.raw end

  if state == 'HELD' then
    hold(lines_within(record.terms), -1)
    deadlines[id] = false
  end
  unsettled[id] = NOW
  return write(id, 'CANCELLED', record.create, record.ttl, '', record.terms)
end
