function commands.cancel(id)
  local record = addressed(id)
  local state = record and record.state
  if state == 'CONFIRMING' or state == 'CANCELLED' then return record.raw end
  if state == 'CONFIRMED' or state == 'REJECTED' then return 'ended\t' .. record.raw end

  if state == 'HELD' then
    hold(lines_in(record), -1)
    deadlines[id] = false
  end
  unsettled[id] = NOW
  if not record then return write(id, 'CANCELLED', '', '', NOW, '\t\t') end
  return write(id, 'CANCELLED', record.create, record.ttl, NOW, record.terms)
end
