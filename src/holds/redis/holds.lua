-- The holds of one location in Redis: what `embedded/location.rs` specifies, command by command, with the same names.
--
-- A library of Redis functions: it is compiled once, where a script would make all of this anew in each call. Rust puts a shebang line with its name and the
-- constants TAKING, FREEING, UNITS_MAX, RECLAIM_HOLDS_MAX, RECLAIM_LINES_MAX, FORGET_MAX and SKUS_PAGE in front of this text.
--
-- keys  stock, held, records, deadlines, unsettled, ended, synced of the location: all that is touched, so that a cluster refuses a call before it begins.
-- args  now in Unix ms (empty: this server's clock), retention in ms, then any number of commands: a name and a fixed number of arguments.
--       Lists are one argument, joined by tabs, which no name can contain.
--
-- It answers one reply a command: a record where the command is accepted, else a word and what belongs to it, joined by tabs; the commands that answer several
-- records give a list.
--
-- A call has many commands because calls are what costs. It reads what they need in few steps, applies them one by one to what it has read, and
-- writes what has changed in few steps. A command that meets what this library never wrote is answered `corrupt`, and changes nothing: it looks at all
-- that it may need before it changes anything, for Lua does not roll back.

-- Redis gives these to a function when it is called, and not while it is loaded.
local call, concat, find, match, gmatch, gsub, format, floor, max, min

local STOCK, HELD, RECORDS, DEADLINES, UNSETTLED, ENDED, SYNCED
local RETENTION_MS, now, NOW

-- tostring() rounds beyond 14 digits.
local function text(number)
  return format('%d', number)
end

local function corrupt(what)
  error({ corrupt = what })
end

---------------------------------------------------------------------------------------------------------------------------------- formats

-- A record is `1 state create ttl end reserved confirmed sku quantity sku quantity ...`, joined by tabs; times in Unix ms, unknown ones empty. It expires `ttl`
-- ms after its creation, which may be before it where the clock went back.
local RECORD_FORM = '^1\t(%u+)\t(%d*)\t(%-?%d*)\t(%d*)\t([^\t]*)\t([^\t]*)\t(.*)$'

local KNOWN_STATES = { HELD = true, CONFIRMING = true, CONFIRMED = true, CANCELLED = true, EXPIRED = true, REJECTED = true }

local function are_lines(lines)
  return lines == '' or find(lines, '^[^\t]+\t%d+$') or gsub(lines .. '\t', '[^\t]+\t%d+\t', '') == ''
end

local function parse_record(raw)
  local state, create, ttl, ended, reserved, confirmed, lines = match(raw, RECORD_FORM)
  if state and KNOWN_STATES[state] and (state ~= 'HELD' or ttl ~= '' and create ~= '') and are_lines(lines) then
    return { raw = raw, state = state, create = create, ttl = ttl, ended = ended, reserved = reserved, confirmed = confirmed, lines = lines }
  end
end

local function pack_record(r)
  return '1\t' .. r.state .. '\t' .. r.create .. '\t' .. r.ttl .. '\t' .. r.ended .. '\t' .. r.reserved .. '\t' .. r.confirmed .. '\t' .. r.lines
end

-- A register is `version on_hand floor retired`.
local function parse_register(raw)
  local version, on_hand, floor, retired = match(raw, '^(%d+) (%-?%d+) (%-?%d+) ([01])$')
  if not version then corrupt('register: ' .. raw) end
  return { raw = raw, version = tonumber(version), on_hand = tonumber(on_hand), floor = tonumber(floor), retired = retired == '1' }
end

-- A held counter is `units changes`.
local function parse_held(raw)
  local units, changes = match(raw, '^(%d+) (%d+)$')
  if not units then corrupt('held: ' .. raw) end
  return { units = tonumber(units), changes = tonumber(changes) }
end

local function pack_held(counter)
  return text(counter.units) .. ' ' .. text(counter.changes)
end

local function split(names)
  local list = {}
  for name in gmatch(names, '[^\t]+') do list[#list + 1] = name end
  return list
end

-- Both `sku quantity sku quantity ...` and `sku row sku row ...`, an empty row where the ledger has none, as a list of the skus, one of what
-- stands behind them, and the same by sku. Many commands of a call have the same.
local pairs_seen
local function pairs_of(joined)
  local seen = pairs_seen[joined]
  if not seen then
    local skus, values, by_sku, count = {}, {}, {}, 0
    for sku, value in gmatch(joined, '([^\t]+)\t([^\t]*)') do
      count = count + 1
      skus[count], values[count], by_sku[sku] = sku, value, value
    end
    seen = { skus, values, by_sku }
    pairs_seen[joined] = seen
  end
  return seen[1], seen[2], seen[3]
end

--------------------------------------------------------------------------------------------------------------------- what a call works on

-- What was read, by id or sku: a text until it is needed, then its table; false if there is none.
local records, registers, held

-- The lists of skus that are read and intact: many commands of a call have the same.
local stocked, counted

-- What is to be written: names of the above, and by id the new score in an index, false to leave it.
local new_records, new_registers, new_held, new_deadlines, new_unsettled
local newly_ended, wrote_records

-- How many overdue holds this call has reclaimed, if it did, and whether others remain.
local reclaimed, overdue_remain

-- Nothing is left of the call before, however that ended.
local function begin_call(keys, args)
  if not call then
    call, concat = redis.call, table.concat
    find, match, gmatch, gsub, format = string.find, string.match, string.gmatch, string.gsub, string.format
    floor, max, min = math.floor, math.max, math.min
  end
  STOCK, HELD, RECORDS, DEADLINES, UNSETTLED, ENDED, SYNCED = unpack(keys)
  now, RETENTION_MS = tonumber(args[1]), tonumber(args[2])
  if not now then
    local time = call('TIME')
    now = time[1] * 1000 + floor(time[2] / 1000)
  end
  NOW = text(now)
  pairs_seen = {}
  records, registers, held, stocked, counted = {}, {}, {}, {}, {}
  new_records, new_registers, new_held, new_deadlines, new_unsettled = {}, {}, {}, {}, {}
  newly_ended, wrote_records, reclaimed, overdue_remain = {}, nil, nil, nil
end

-- Lua has a bound on how many arguments one call may have.
local AT_ONCE = 4000

local function read(key, known, names)
  local unknown
  for index = 1, #names do
    local name = names[index]
    if known[name] == nil then
      known[name] = false
      unknown = unknown or {}
      unknown[#unknown + 1] = name
    end
  end
  if not unknown then return end
  for from = 1, #unknown, AT_ONCE do
    local to = min(from + AT_ONCE - 1, #unknown)
    for at, value in ipairs(call('HMGET', key, unpack(unknown, from, to))) do known[unknown[from + at - 1]] = value end
  end
end

local function parsed(known, name, parse)
  local value = known[name]
  if type(value) == 'string' then
    value = parse(value)
    known[name] = value
  end
  return value
end

local function read_record(id)
  if records[id] == nil then read(RECORDS, records, { id }) end
  local r = parsed(records, id, parse_record)
  if r == nil then corrupt('record of ' .. id) end
  return r
end

-- The counters of these skus, all of them intact.
local function read_held(skus)
  if counted[skus] then return end
  read(HELD, held, skus)
  for _, sku in ipairs(skus) do
    if not held[sku] then held[sku] = { units = 0, changes = 0 } end
    parsed(held, sku, parse_held)
  end
  counted[skus] = true
end

-- The registers of these skus, all of them intact; false where there is none.
local function read_registers(skus)
  if stocked[skus] then return end
  read(STOCK, registers, skus)
  for _, sku in ipairs(skus) do parsed(registers, sku, parse_register) end
  stocked[skus] = true
end

local function write_all(command, key, arguments)
  for from = 1, #arguments, AT_ONCE do
    call(command, key, unpack(arguments, from, min(from + AT_ONCE - 1, #arguments)))
  end
end

local function write_index(key, scores)
  local entered, left = {}, {}
  for id, score in pairs(scores) do
    if score then
      entered[#entered + 1] = score
      entered[#entered + 1] = id
    else
      left[#left + 1] = id
    end
    scores[id] = nil
  end
  write_all('ZADD', key, entered)
  write_all('ZREM', key, left)
end

local function write_hash(key, names, known)
  local fields, gone = {}, {}
  for name in pairs(names) do
    if known[name] then
      fields[#fields + 1] = name
      fields[#fields + 1] = known[name].raw
    else
      gone[#gone + 1] = name
    end
    names[name] = nil
  end
  write_all('HSET', key, fields)
  write_all('HDEL', key, gone)
end

-- Writes what has changed, for those who look at an index.
local function flush()
  -- The indexes first: an entry too many does no harm should a key turn out to be something else, for the record decides.
  write_index(DEADLINES, new_deadlines)
  write_index(UNSETTLED, new_unsettled)
  if next(new_registers) and call('EXISTS', STOCK) == 0 then
    for _, key in ipairs({ RECORDS, UNSETTLED, ENDED }) do call('PERSIST', key) end
  end
  wrote_records = wrote_records or next(new_records)
  write_hash(RECORDS, new_records, records)
  write_hash(STOCK, new_registers, registers)
  for sku in pairs(new_held) do held[sku].raw = pack_held(held[sku]) end
  write_hash(HELD, new_held, held)
end

-- Ends the call. What has ended in it waits in one entry to be forgotten. A location without stock may be one that nobody knows, and that nobody sweeps: it is
-- forgotten as a whole when it was not touched for the retention time, unless it gets its first register before.
local function finish_call()
  if #newly_ended > 0 then call('RPUSH', ENDED, NOW .. '\t' .. concat(newly_ended, '\t')) end
  flush()
  if wrote_records and call('EXISTS', STOCK, HELD) == 0 then
    for _, key in ipairs({ RECORDS, UNSETTLED, ENDED }) do call('PEXPIRE', key, RETENTION_MS) end
  end
end

------------------------------------------------------------------------------------------------------------------------------------ steps

local function is_live(r)
  return r.state == 'HELD' or r.state == 'CONFIRMING'
end

local function expire_of(r)
  return r.create + r.ttl
end

local function is_overdue(r)
  return r.state == 'HELD' and expire_of(r) <= now
end

local function hold(lines, sign)
  local skus, quantities = pairs_of(lines)
  read_held(skus)
  for index, sku in ipairs(skus) do
    local counter = held[sku]
    counter.units = max(0, counter.units + sign * quantities[index])
    counter.changes = counter.changes + 1
    new_held[sku] = true
  end
end

local function is_unsettled(id)
  if new_unsettled[id] ~= nil then return new_unsettled[id] end
  return call('ZSCORE', UNSETTLED, id)
end

local function leave_index(id, state)
  if state == 'HELD' then
    new_deadlines[id] = false
  elseif state == 'CONFIRMING' or state == 'CANCELLED' then
    new_unsettled[id] = false
  end
end

local function put(id, r, state)
  leave_index(id, r.state)
  r.state = state
  r.raw = pack_record(r)
  records[id] = r
  new_records[id] = true
  return r.raw
end

-- Writes a record that time does not make forgotten, and enters it in the index of its state.
local function write(id, r, state)
  local reply = put(id, r, state)
  if state == 'HELD' then new_deadlines[id] = text(expire_of(r)) else new_unsettled[id] = NOW end
  return reply
end

-- Writes a record that has ended and needs no settlement (any more): it is forgotten after the retention time.
local function finish(id, r, state)
  newly_ended[#newly_ended + 1] = id
  return put(id, r, state)
end

local function expire(id, r)
  hold(r.lines, -1)
  r.ended = text(expire_of(r))
  finish(id, r, 'EXPIRED')
end

local function addressed(id)
  local r = read_record(id)
  if r and is_overdue(r) then expire(id, r) end
  return r
end

-- The intact records of these ids.
local function records_of(ids)
  read(RECORDS, records, ids)
  local found = {}
  for _, id in ipairs(ids) do found[id] = parsed(records, id, parse_record) or nil end
  return found
end

-- Reclaims a bounded number of overdue holds, once a call. The index only says where to look: the record decides.
local function reclaim()
  if reclaimed then return 0 end
  flush()
  local ids = call('ZRANGEBYSCORE', DEADLINES, '-inf', NOW, 'LIMIT', 0, RECLAIM_HOLDS_MAX + 1)
  local found = records_of(ids)
  local looked, holds, lines = 0, 0, 0
  while looked < min(#ids, RECLAIM_HOLDS_MAX) and lines < RECLAIM_LINES_MAX do
    looked = looked + 1
    local id = ids[looked]
    local r = found[id]
    if not r or not is_overdue(r) then
      new_deadlines[id] = false
    elseif pcall(read_held, (pairs_of(r.lines))) then
      lines = lines + #pairs_of(r.lines)
      holds = holds + 1
      expire(id, r)
    end
  end
  reclaimed, overdue_remain = holds, looked < #ids
  return holds
end

-- Forgets a bounded number of those that have ended for longer than the retention time; tells whether others remain. Again the record decides.
local function forget()
  local looked = 0
  while true do
    local time, entry = match(call('LINDEX', ENDED, 0) or '', '^(%d+)\t(.*)$')
    -- One from the future, before the clock went back, must not hold up those behind it.
    if not time or tonumber(time) <= now and time + RETENTION_MS > now then return false end
    if looked >= FORGET_MAX then return true end
    call('LPOP', ENDED)
    local ids = split(entry)
    looked = looked + #ids
    local found = records_of(ids)
    for _, id in ipairs(ids) do
      local r = found[id]
      local awaits_another = not r or is_live(r) or r.state == 'CANCELLED' and is_unsettled(id)
      if awaits_another then
        -- It is entered again when it ends again, or is settled.
      elseif r.ended ~= '' and r.ended + RETENTION_MS > now then
        newly_ended[#newly_ended + 1] = id
      else
        records[id] = false
        new_records[id] = true
      end
    end
  end
end

local function missing_of(skus)
  local missing
  for _, sku in ipairs(skus) do
    if not registers[sku] then missing = (missing or 'missing') .. '\t' .. sku end
  end
  return missing
end

-- The reply that names the short lines; nil if there are none. All registers are there.
local function shortage_of(skus, quantities)
  local short
  read_held(skus)
  for index, sku in ipairs(skus) do
    local register, units = registers[sku], held[sku].units
    local free = max(0, min(register.on_hand - register.floor - units, UNITS_MAX - units))
    if free < tonumber(quantities[index]) then
      short = (short or 'short') .. '\t' .. sku .. '\t' .. quantities[index] .. '\t' .. text(free) .. '\t' .. text(units)
    end
  end
  return short
end

-- nil if these lines can be held now, else the refusal. Overdue holds are reclaimed only when they are in the way.
local function refusal_to_hold(lines)
  local skus, quantities = pairs_of(lines)
  read_registers(skus)
  local missing = missing_of(skus)
  if missing then return missing end
  local retired
  for _, sku in ipairs(skus) do
    if registers[sku].retired then retired = (retired or 'retired') .. '\t' .. sku end
  end
  if retired then return retired end

  local short = shortage_of(skus, quantities)
  if short and reclaim() > 0 then short = shortage_of(skus, quantities) end
  return short and overdue_remain and 'more' or short
end

local function push(rows)
  local skus, news = pairs_of(rows)
  read_registers(skus)
  local changes, count = {}, 0
  for index, sku in ipairs(skus) do
    local old, new = registers[sku], news[index]
    if new == '' then
      if old then changes[sku] = false end
    elseif not old or old.raw ~= new then
      new = parse_register(new)
      if not old or old.version < new.version then changes[sku] = new end
    end
  end
  for sku, register in pairs(changes) do
    registers[sku] = register
    new_registers[sku] = true
    count = count + 1
  end
  return count
end

-- The part of `whole` that is beyond `part`; nil if `part` is not within `whole`.
local function rest_of(whole, part)
  if whole == part then return '' end
  local wanted, rest = {}, {}
  local skus, quantities = pairs_of(part)
  for index, sku in ipairs(skus) do wanted[sku] = tonumber(quantities[index]) end
  skus, quantities = pairs_of(whole)
  for index, sku in ipairs(skus) do
    local left = quantities[index] - (wanted[sku] or 0)
    if left < 0 then return nil end
    wanted[sku] = nil
    if left > 0 then
      rest[#rest + 1] = sku
      rest[#rest + 1] = text(left)
    end
  end
  if next(wanted) then return nil end
  return concat(rest, '\t')
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

--------------------------------------------------------------------------------------------------------------------------------- commands

local commands = {}

function commands.reserve(id, lines, fingerprint, ttl_ms)
  local r = addressed(id)
  if r then
    if r.reserved ~= '' and r.reserved ~= fingerprint then return 'id_reused' end
    local state = r.state
    if state == 'HELD' or state == 'CONFIRMING' or state == 'CONFIRMED' then return r.raw end
    return 'ended\t' .. r.raw
  end
  local refusal = refusal_to_hold(lines)
  if refusal then return refusal end

  hold(lines, 1)
  return write(id, { create = NOW, ttl = ttl_ms, ended = '', reserved = fingerprint, confirmed = '', lines = lines }, 'HELD')
end

function commands.begin(id, part, fingerprint, reacquire)
  local r = addressed(id)
  if not r then return 'not_found' end
  local confirmed = part == '' and r.reserved or fingerprint
  local state = r.state
  if state == 'CONFIRMING' or state == 'CONFIRMED' then
    return r.confirmed == confirmed and r.raw or 'mismatch'
  end
  if state == 'CANCELLED' or state == 'REJECTED' then return 'ended\t' .. r.raw end
  if state == 'EXPIRED' and reacquire == '0' then return 'ended\t' .. r.raw end
  local lines = part == '' and r.lines or part
  local rest = rest_of(r.lines, lines)
  if not rest then return 'mismatch' end
  local refusal = state == 'EXPIRED' and refusal_to_hold(lines)
  if refusal then return refusal end

  if state == 'HELD' then hold(rest, -1) else hold(lines, 1) end
  r.lines, r.confirmed, r.ended = lines, confirmed, ''
  return write(id, r, 'CONFIRMING')
end

function commands.cancel(id)
  local r = addressed(id) or { create = '', ttl = '', reserved = '', confirmed = '', lines = '' }
  local state = r.state
  if state == 'CONFIRMING' or state == 'CANCELLED' then return r.raw end
  if state == 'CONFIRMED' or state == 'REJECTED' then return 'ended\t' .. r.raw end

  if state == 'HELD' then hold(r.lines, -1) end
  r.ended = NOW
  return write(id, r, 'CANCELLED')
end

function commands.extend(id, expire_ms, lifetime_ms, reacquire)
  local r = addressed(id)
  if not r then return 'not_found' end
  local state, wanted = r.state, tonumber(expire_ms)
  if state == 'CONFIRMING' then return r.raw end
  if state == 'HELD' and wanted <= expire_of(r) then return r.raw end
  if state ~= 'HELD' and not (state == 'EXPIRED' and reacquire == '1' and wanted > now) then return 'ended\t' .. r.raw end
  local latest = tonumber(r.create) + tonumber(lifetime_ms)
  if wanted > latest then return 'beyond_lifetime\t' .. text(latest) end
  local refusal = state == 'EXPIRED' and refusal_to_hold(r.lines)
  if refusal then return refusal end

  if state == 'EXPIRED' then hold(r.lines, 1) end
  r.ttl, r.ended = text(wanted - r.create), ''
  return write(id, r, 'HELD')
end

function commands.settle(id, state, reserved, confirmed, time_ms, lines, rows)
  local r = addressed(id)
  local live = r and is_live(r)
  if state ~= 'CANCELLED' then
    local missing
    local settled, _, quantity_of = pairs_of(lines)
    local _, _, row_of = pairs_of(rows)
    for _, sku in ipairs(settled) do
      if not row_of[sku] then missing = (missing or 'missing') .. '\t' .. sku end
    end
    for _, sku in ipairs(live and pairs_of(r.lines) or {}) do
      if not row_of[sku] and not quantity_of[sku] then missing = (missing or 'missing') .. '\t' .. sku end
    end
    if missing then return missing end
  end
  if live then read_held(pairs_of(r.lines)) end

  push(rows)
  local is_told = r and r.state == state and r.ended == time_ms and not (state == 'CANCELLED' and is_unsettled(id))
  if is_told and (state ~= 'CONFIRMED' or r.reserved == reserved and r.confirmed == confirmed) then return r.raw end
  if live then hold(r.lines, -1) end
  r = r or { create = '', ttl = '', reserved = reserved, confirmed = confirmed, lines = lines }
  if state == 'CONFIRMED' then r.reserved, r.confirmed, r.lines = reserved, confirmed, lines end
  r.ended = time_ms
  return finish(id, r, state)
end

function commands.push(rows)
  return 'pushed\t' .. push(rows)
end

function commands.replace_register(sku, judged, row)
  read_registers({ sku })
  local register = registers[sku]
  if (register and register.raw or '') ~= judged then return 'pushed\t0' end
  registers[sku] = row ~= '' and parse_register(row)
  new_registers[sku] = true
  return 'pushed\t1'
end

function commands.replace_held(sku, judged, units)
  read_held({ sku })
  local counter = held[sku]
  if pack_held(counter) ~= judged then return 'pushed\t0' end
  counter.units, counter.changes = tonumber(units), counter.changes + 1
  new_held[sku] = true
  return 'pushed\t1'
end

local function counters(kind, skus)
  local reply = { kind }
  read_registers(skus)
  read_held(skus)
  for _, sku in ipairs(skus) do
    reply[#reply + 1] = registers[sku] and registers[sku].raw or ''
    reply[#reply + 1] = pack_held(held[sku])
  end
  return concat(reply, '\t')
end

function commands.stock(names)
  local skus = split(names)
  read_registers(skus)
  reclaim()
  return missing_of(skus) or overdue_remain and 'more' or counters('stock', skus)
end

function commands.counters(names)
  return counters('counters', split(names))
end

-- The cursor tells which hash, and where in it.
function commands.skus(cursor)
  flush()
  local name, from = match(cursor, '^(%a+) (%d+)$')
  local page = call('HSCAN', name == 'held' and HELD or STOCK, from or 0, 'COUNT', SKUS_PAGE)
  local following = (name or 'stock') .. ' ' .. page[1]
  if page[1] == '0' then following = name == 'held' and '' or 'held 0' end
  local reply = { 'skus', following }
  for at = 1, #page[2], 2 do reply[#reply + 1] = page[2][at] end
  return concat(reply, '\t')
end

function commands.get(id)
  local r = addressed(id)
  return r and r.raw or 'not_found'
end

-- Answers `page now index score id` (of the last entry looked at, empty if there are no more), then id, record, id, record, ...
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
  local reply, found = { 'page', NOW, unpack(last) }, records_of(ids)
  for _, entry in ipairs(ids) do
    local r = found[entry]
    if r and is_live(r) then
      reply[#reply + 1] = entry
      reply[#reply + 1] = r.raw
    end
  end
  return reply
end

function commands.sweep()
  local holds = reclaim()
  local more = forget() or overdue_remain
  return 'swept\t' .. holds .. '\t' .. (more and 1 or 0)
end

function commands.claim(limit, grace_ms)
  flush()
  local entries = call('ZRANGEBYSCORE', UNSETTLED, '-inf', text(now - grace_ms), 'WITHSCORES', 'LIMIT', 0, limit)
  local future = call('ZRANGEBYSCORE', UNSETTLED, '(' .. NOW, '+inf', 'WITHSCORES', 'LIMIT', 0, limit - #entries / 2)
  for _, field in ipairs(future) do entries[#entries + 1] = field end
  local ids = {}
  for at = 1, #entries, 2 do ids[#ids + 1] = entries[at] end

  local reply, found = { 'claimed' }, records_of(ids)
  for at, id in ipairs(ids) do
    local r = found[id]
    if r and (r.state == 'CONFIRMING' or r.state == 'CANCELLED') then
      reply[#reply + 1] = id
      reply[#reply + 1] = r.raw
      -- Never earlier than before, whatever the clock does: who pages by this order must not miss anything.
      new_unsettled[id] = text(max(now, entries[2 * at] + 1))
    else
      new_unsettled[id] = false
    end
  end
  return reply
end

function commands.get_synced()
  return 'synced\t' .. (call('GET', SYNCED) or '')
end

function commands.set_synced(judged, version)
  local old = call('GET', SYNCED) or ''
  if old ~= judged then return 'synced\t' .. old end
  call('SET', SYNCED, version)
  return 'synced\t' .. version
end

local arity = {
  reserve = 4, begin = 4, cancel = 1, extend = 4, settle = 7, push = 1, replace_register = 3, replace_held = 3,
  stock = 1, counters = 1, skus = 1, get = 1, list = 4, sweep = 0, claim = 2, get_synced = 0, set_synced = 2,
}

-- Those whose first argument is the id of a reservation.
local by_id = { reserve = true, begin = true, cancel = true, extend = true, settle = true, get = true }

-- Reads at once what the commands would read one by one.
local function read_ahead(args)
  local ids, to_stock, to_count, released = {}, {}, {}, {}
  local function add(list, joined)
    if list[joined] then return end
    list[joined] = true
    for _, sku in ipairs(pairs_of(joined)) do list[#list + 1] = sku end
  end
  local at = 3
  while at <= #args do
    local name, id = args[at], args[at + 1]
    if name == 'reserve' then
      add(to_stock, args[at + 2])
      add(to_count, args[at + 2])
    elseif name == 'settle' then
      add(to_stock, args[at + 7])
    end
    if name == 'settle' or name == 'cancel' then released[#released + 1] = id end
    if by_id[name] then ids[#ids + 1] = id end
    at = at + 1 + arity[name]
  end
  read(RECORDS, records, ids)
  for id, r in pairs(records_of(released)) do
    if is_live(r) then add(to_count, r.lines) end
  end
  read(STOCK, registers, to_stock)
  read(HELD, held, to_count)
end

-- The replies so far, and where in the arguments the next command begins.
local replies, at

local function apply_all(args)
  local count = #args
  while at <= count do
    local name = args[at]
    replies[#replies + 1] = commands[name](unpack(args, at + 1, at + arity[name]))
    at = at + 1 + arity[name]
  end
end

local function run(keys, args)
  begin_call(keys, args)
  read_ahead(args)
  replies, at = {}, 3
  while at <= #args do
    local done, failure = pcall(apply_all, args)
    if not done then
      -- Anything else is an error of the server.
      if type(failure) ~= 'table' or not failure.corrupt then error(failure) end
      replies[#replies + 1] = 'corrupt\t' .. failure.corrupt
      at = at + 1 + arity[args[at]]
    end
  end
  finish_call()
  return replies
end

-- A function without this flag is refused when Redis is full, before it does anything.
redis.register_function({ function_name = TAKING, callback = run })
redis.register_function({ function_name = FREEING, callback = run, flags = { 'allow-oom' } })
