-- Reading and writing the record of one reservation. The text of a new record becomes the reply.

local function is_overdue(record)
  return record.state == 'HELD' and record.create + record.ttl <= now
end

local function write(id, state, create, ttl, ended, terms)
  local raw = '1\t' .. state .. '\t' .. create .. '\t' .. ttl .. '\t' .. ended .. '\t' .. terms
  records[id] = raw
  new_records = add_pair(new_records, id, raw)
  return raw
end

-- Writes a record that has ended and needs no settlement (any more): it is forgotten after the retention time.
local function finish(id, state, create, ttl, ended, terms)
  newly_ended[#newly_ended + 1] = id
  return write(id, state, create, ttl, ended, terms)
end

local function expire(id, record)
  hold(lines_within(record.terms), -1)
  deadlines[id] = false
  record.state, record.ended = 'EXPIRED', text(record.create + record.ttl)
  record.raw = finish(id, 'EXPIRED', record.create, record.ttl, record.ended, record.terms)
end

-- The reservation that a command is about; nil if there is none. It is expired if it is overdue.
local function addressed(id)
  local raw = records[id]
  if raw == nil then
    raw = call('HGET', RECORDS, id)
    records[id] = raw
  end
  if not raw then return nil end
  local record = parse_record(raw)
  if not record then corrupt('record of ' .. id) end
  if is_overdue(record) then expire(id, record) end
  return record
end

-- Whether the id was cancelled and never held.
local function is_tombstone(record)
  return record.state == 'CANCELLED' and record.create == ''
end

-- Whether the ledger's word on it is not known here.
local function awaits_settlement(record)
  return record.state == 'CONFIRMING' or record.state == 'CANCELLED' and record.ended == ''
end
