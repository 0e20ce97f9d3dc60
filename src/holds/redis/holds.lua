-- The holds of one location in Redis: what `embedded/location.rs` specifies, command by command, with the same names.
--
-- A library of Redis functions: it is compiled once, where a script would make all of this anew in each call. Rust puts
-- a shebang line with its name and the constants TAKING, FREEING, UNITS_MAX, RECLAIM_HOLDS_MAX, RECLAIM_LINES_MAX,
-- FORGET_MAX and SKUS_PAGE in front of this text.
--
-- keys  stock, held, records, deadlines, unsettled, ended, synced of the location: all that is touched, so that a
-- cluster refuses a call before it begins. args  one, a list of texts packed as MessagePack, for an argument each would
-- cost more: now in Unix ms (empty: this server's clock), retention in ms, then any
--       number of commands: a name and a fixed number of arguments. Lists are one argument, joined by tabs, which no name can contain.
--
-- It answers one reply a command: a record where the command is accepted, else a word and what belongs to it, joined by
-- tabs; the commands that answer several records give a list.
--
-- A call has many commands because calls are what costs, and the steps of Lua most of them. It reads what they need in
-- few steps, applies them one by one to what it has read, and writes what has changed in few steps. A command that
-- meets what this library never wrote is answered `corrupt`, and changes nothing: it looks at all that it may need
-- before it changes anything, for Lua does not roll back.

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

--------------------------------------------------------------------------------------------------------------------- what a call works on

-- Records by id, as texts, false if there is none. One that this call has written is no longer among them: whoever
-- needs it writes all out and reads it again, so that nothing that waits to be written is ever changed. That is dear,
-- but few calls have two commands for one reservation.
local records

-- By sku: a text until it is needed, then its table; false if there is none.
local registers, held

-- Lines, terms and rows by their texts: many commands and records of a call have the same.
local lines_seen, terms_seen, rows_seen

-- The rows that were pushed last, and are as they were then.
local pushed

-- What is to be written, nil if nothing is, for a lone command is to pay for no lists that stay empty: ids and texts of
-- records, ids of those to be forgotten, the set of the registers' skus, and the skus of the counters, which know that
-- they are in it.
local new_records, forgotten, new_registers, new_held

-- Two indexes: their keys, the ids that are to leave them, and the scores and ids that are to enter them then.
local deadlines, unsettled = {}, {}

-- What has ended in this call, and whether it wrote records.
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
  records, registers, held, lines_seen, terms_seen, rows_seen, pushed = {}, {}, {}, {}, {}, {}, nil
  new_records, forgotten, new_registers, new_held = nil, nil, nil, nil
  deadlines.key, deadlines.left, deadlines.entered = DEADLINES, nil, nil
  unsettled.key, unsettled.left, unsettled.entered = UNSETTLED, nil, nil
  newly_ended, wrote_records, reclaimed, overdue_remain = nil, nil, nil, nil
end

---------------------------------------------------------------------------------------------------------------------------------- formats

-- Lines are `sku quantity sku quantity ...`, joined by tabs: their text, and lists of their skus and quantities.
-- Nothing if it is none. Once their registers or counters are read and intact, they say so.
local function lines_of(joined)
  local lines = lines_seen[joined]
  if lines then return lines end
  if joined ~= '' and not find(joined, '^[^\t]+\t%d+$') and gsub(joined .. '\t', '[^\t]+\t%d+\t', '') ~= '' then return nil end
  local skus, quantities = {}, {}
  for sku, quantity in gmatch(joined, '([^\t]+)\t(%d+)') do
    skus[#skus + 1] = sku
    quantities[#quantities + 1] = tonumber(quantity)
  end
  lines = { text = joined, skus = skus, quantities = quantities }
  lines_seen[joined] = lines
  return lines
end

-- Terms are `reserved confirmed lines`, joined by tabs: the fingerprints of the lines that were reserved and of those
-- to confirm, empty where there are none or a command does not say, and the lines that count. Nothing if it is none.
local function terms_of(joined)
  local terms = terms_seen[joined]
  if terms then return terms end
  local reserved, confirmed, joined_lines = match(joined, '^(%S*)\t(%S*)\t(.*)$')
  local lines = reserved and lines_of(joined_lines)
  if not lines then return nil end
  terms = { text = joined, reserved = reserved, confirmed = confirmed, lines = lines }
  terms_seen[joined] = terms
  return terms
end

-- Rows are `sku row sku row ...`, joined by tabs, an empty row where the ledger has none: a list of the skus, the rows
-- by sku, and the lines that have one each.
local function rows_of(joined)
  local rows = rows_seen[joined]
  if not rows then
    rows = { skus = {}, by_sku = {}, covers = {} }
    for sku, row in gmatch(joined, '([^\t]+)\t([^\t]*)') do
      rows.skus[#rows.skus + 1] = sku
      rows.by_sku[sku] = row
    end
    rows_seen[joined] = rows
  end
  return rows
end

-- A record is `1 state create ttl end` and its terms, joined by tabs; times in Unix ms, unknown ones empty. It expires
-- `ttl` ms after its creation, which may be before it where the clock went back. Whatever handles the fields of a
-- record has them in this order.
local RECORD_FORM = '^1\t(%u+)\t(%d*)\t(%-?%d*)\t(%d*)\t(.*)$'

local KNOWN_STATES = { HELD = true, CONFIRMING = true, CONFIRMED = true, CANCELLED = true, EXPIRED = true, REJECTED = true }
local LIVE_STATES = { HELD = true, CONFIRMING = true }

local function parse_record(raw)
  local state, create, ttl, ended, joined = match(raw, RECORD_FORM)
  local lacks_times = create == '' or ttl == '' or ttl == '-'
  if KNOWN_STATES[state] and not (lacks_times and (state == 'HELD' or state == 'EXPIRED')) then
    local terms = terms_of(joined)
    if terms then return state, create, ttl, ended, terms end
  end
end

-- A register is `version on_hand floor retired`.
local function parse_register(raw)
  local version, on_hand, floor, retired = match(raw, '^(%d+) (%-?%d+) (%-?%d+) ([01])$')
  if not version then corrupt('register: ' .. raw) end
  -- No more than these may be held.
  local units_max = min(on_hand - floor, UNITS_MAX)
  return { raw = raw, version = tonumber(version), units_max = units_max, retired = retired == '1' }
end

-- A held counter is `units changes`.
local function parse_held(raw)
  local units, changes = match(raw, '^(%d+) (%d+)$')
  if not units then corrupt('held: ' .. raw) end
  return { units = tonumber(units), changes = tonumber(changes), is_changed = false }
end

local function pack_held(counter)
  return text(counter.units) .. ' ' .. text(counter.changes)
end

local function split(names)
  local list = {}
  for name in gmatch(names, '[^\t]+') do list[#list + 1] = name end
  return list
end

---------------------------------------------------------------------------------------------------------------------- reading and writing

-- Lua has a bound on how many arguments one call may have.
local AT_ONCE = 4000

-- The list with one name more, and the list itself where there was none.
local function add(list, name)
  if not list then return { name } end
  list[#list + 1] = name
  return list
end

-- The list with two more.
local function add_pair(list, one, other)
  if not list then return { one, other } end
  local count = #list
  list[count + 1], list[count + 2] = one, other
  return list
end

-- It forgets what was known of them: to be used before anything is written, or when all is written out.
local function read(key, known, names)
  if #names == 1 then
    known[names[1]] = call('HGET', key, names[1])
    return
  end
  for from = 1, #names, AT_ONCE do
    local values = call('HMGET', key, unpack(names, from, min(from + AT_ONCE - 1, #names)))
    for at = 1, #values do known[names[from + at - 1]] = values[at] end
  end
end

local function read_unknown(key, known, names)
  local unknown
  for index = 1, #names do
    local name = names[index]
    if known[name] == nil then
      known[name] = false
      unknown = add(unknown, name)
    end
  end
  if unknown then read(key, known, unknown) end
end

-- The registers of these skus, all of them intact; false where there is none.
local function read_registers(skus)
  read_unknown(STOCK, registers, skus)
  for _, sku in ipairs(skus) do
    local register = registers[sku]
    if type(register) == 'string' then registers[sku] = parse_register(register) end
  end
end

-- The counters of these skus, all of them intact.
local function read_held(skus)
  read_unknown(HELD, held, skus)
  for _, sku in ipairs(skus) do
    local counter = held[sku]
    if not counter then
      held[sku] = { units = 0, changes = 0, is_changed = false }
    elseif type(counter) == 'string' then
      held[sku] = parse_held(counter)
    end
  end
end

-- The same once for all who have these lines.
local function need_registers(lines)
  if lines.has_registers then return end
  read_registers(lines.skus)
  lines.has_registers = true
end

local function need_held(lines)
  if lines.has_held then return end
  read_held(lines.skus)
  lines.has_held = true
end

local function write_all(command, key, arguments)
  if not arguments then return end
  for from = 1, #arguments, AT_ONCE do
    call(command, key, unpack(arguments, from, min(from + AT_ONCE - 1, #arguments)))
  end
end

local function write_index(index)
  write_all('ZREM', index.key, index.left)
  write_all('ZADD', index.key, index.entered)
  index.left, index.entered = nil, nil
end

-- Writes what has changed, for those who look at it.
local function flush()
  -- The indexes first: an entry too many does no harm should a key turn out to be something else, for the record
  -- decides.
  write_index(deadlines)
  write_index(unsettled)
  if new_registers and call('EXISTS', STOCK) == 0 then
    for _, key in ipairs({ RECORDS, UNSETTLED, ENDED }) do call('PERSIST', key) end
  end
  wrote_records = wrote_records or new_records or forgotten
  write_all('HDEL', RECORDS, forgotten)
  write_all('HSET', RECORDS, new_records)
  new_records, forgotten = nil, nil

  local rows, gone
  for sku in pairs(new_registers or {}) do
    if registers[sku] then
      rows = add_pair(rows, sku, registers[sku].raw)
    else
      gone = add(gone, sku)
    end
  end
  write_all('HSET', STOCK, rows)
  write_all('HDEL', STOCK, gone)
  new_registers = nil

  local counters
  for _, sku in ipairs(new_held or {}) do
    counters = add_pair(counters, sku, pack_held(held[sku]))
    held[sku].is_changed = false
  end
  write_all('HSET', HELD, counters)
  new_held = nil
end

-- Ends the call. What has ended in it waits in one entry to be forgotten. A location without stock may be one that
-- nobody knows, and that nobody sweeps: it is forgotten as a whole when it was not touched for the retention time,
-- unless it gets its first register before.
local function finish_call()
  if newly_ended then call('RPUSH', ENDED, NOW .. '\t' .. concat(newly_ended, '\t')) end
  flush()
  -- One that is known shows that there is stock; that none is known at first sight shows nothing.
  local _, has_register = next(registers)
  if wrote_records and not has_register and call('EXISTS', STOCK, HELD) == 0 then
    for _, key in ipairs({ RECORDS, UNSETTLED, ENDED }) do call('PEXPIRE', key, RETENTION_MS) end
  end
end

------------------------------------------------------------------------------------------------------------------------------------ steps

local function is_overdue(state, create, ttl)
  return state == 'HELD' and create + ttl <= now
end

local function set_held(sku, counter, units)
  counter.units = units
  counter.changes = counter.changes + 1
  if not counter.is_changed then
    new_held = add(new_held, sku)
    counter.is_changed = true
  end
end

local function hold(lines, sign)
  need_held(lines)
  local skus, quantities = lines.skus, lines.quantities
  for index = 1, #skus do
    local sku = skus[index]
    local counter = held[sku]
    set_held(sku, counter, max(0, counter.units + sign * quantities[index]))
  end
end

local function is_unsettled(id)
  return call('ZSCORE', UNSETTLED, id)
end

local function leave(index, id)
  index.left = add(index.left, id)
end

local function enter(index, score, id)
  index.entered = add_pair(index.entered, score, id)
end

local function put(id, state, create, ttl, ended, terms)
  local raw = '1\t' .. state .. '\t' .. create .. '\t' .. ttl .. '\t' .. ended .. '\t' .. terms.text
  new_records = add_pair(new_records, id, raw)
  -- It is no longer what was read.
  records[id] = nil
  return raw
end

-- Writes a record that has ended and needs no settlement (any more): it is forgotten after the retention time.
local function finish(id, ...)
  newly_ended = add(newly_ended, id)
  return put(id, ...)
end

local function expire(id, create, ttl, terms)
  hold(terms.lines, -1)
  leave(deadlines, id)
  local ended = text(create + ttl)
  return 'EXPIRED', create, ttl, ended, terms, finish(id, 'EXPIRED', create, ttl, ended, terms)
end

-- The fields of the reservation that a command is about, and behind them its text; nothing if there is none. It is
-- expired if it is overdue.
local function addressed(id)
  local raw = records[id]
  if raw == nil then
    flush()
    raw = call('HGET', RECORDS, id)
    records[id] = raw
  end
  if not raw then return nil end
  local state, create, ttl, ended, terms = parse_record(raw)
  if not state then corrupt('record of ' .. id) end
  if is_overdue(state, create, ttl) then return expire(id, create, ttl, terms) end
  return state, create, ttl, ended, terms, raw
end

-- Reclaims a bounded number of overdue holds, once a call. The index only says where to look: the record decides.
local function reclaim()
  if reclaimed then return 0 end
  flush()
  local ids = call('ZRANGEBYSCORE', DEADLINES, '-inf', NOW, 'LIMIT', 0, RECLAIM_HOLDS_MAX + 1)
  read(RECORDS, records, ids)
  local looked, holds, count = 0, 0, 0
  while looked < min(#ids, RECLAIM_HOLDS_MAX) and count < RECLAIM_LINES_MAX do
    looked = looked + 1
    local id = ids[looked]
    local state, create, ttl, _, terms = parse_record(records[id] or '')
    if not is_overdue(state, create, ttl) then
      leave(deadlines, id)
    elseif pcall(need_held, terms.lines) then
      count = count + #terms.lines.skus
      holds = holds + 1
      expire(id, create, ttl, terms)
    end
  end
  reclaimed, overdue_remain = holds, looked < #ids
  return holds
end

-- Forgets a bounded number of those that have ended for longer than the retention time; tells whether others remain.
-- Again the record decides.
local function forget()
  flush()
  local looked = 0
  while true do
    local time, entry = match(call('LINDEX', ENDED, 0) or '', '^(%d+)\t(.*)$')
    -- One from the future, before the clock went back, must not hold up those behind it.
    if not time or tonumber(time) <= now and time + RETENTION_MS > now then return false end
    if looked >= FORGET_MAX then return true end
    call('LPOP', ENDED)
    local ids = split(entry)
    looked = looked + #ids
    read_unknown(RECORDS, records, ids)
    for _, id in ipairs(ids) do
      local state, _, _, ended = parse_record(records[id] or '')
      local awaits_another = not state or LIVE_STATES[state] or state == 'CANCELLED' and is_unsettled(id)
      if awaits_another then
        -- It is entered again when it ends again, or is settled.
      elseif ended ~= '' and ended + RETENTION_MS > now then
        newly_ended = add(newly_ended, id)
      else
        records[id] = false
        forgotten = add(forgotten, id)
      end
    end
  end
end

-- nil if these lines can be held as things are, else the refusal, and whether stock that is not free is all that is in
-- the way.
local function refusal_as_it_is(lines)
  local skus, quantities = lines.skus, lines.quantities
  local missing, retired, short
  for index = 1, #skus do
    local sku, quantity = skus[index], quantities[index]
    local register = registers[sku]
    if not register then
      missing = (missing or 'missing') .. '\t' .. sku
    elseif register.retired then
      retired = (retired or 'retired') .. '\t' .. sku
    else
      local units = held[sku].units
      local free = register.units_max - units
      if free < quantity then
        short = (short or 'short') .. '\t' .. sku .. '\t' .. text(quantity) .. '\t' .. text(max(0, free)) .. '\t' .. text(units)
      end
    end
  end
  local other = missing or retired
  return other or short, short and not other
end

-- nil if these lines can be held now, else the refusal. Overdue holds are reclaimed only when they are in the way.
local function refusal_to_hold(lines)
  need_registers(lines)
  need_held(lines)
  local refusal, is_short = refusal_as_it_is(lines)
  if is_short and reclaim() > 0 then refusal, is_short = refusal_as_it_is(lines) end
  return is_short and overdue_remain and 'more' or refusal
end

local function set_register(sku, register)
  registers[sku] = register
  new_registers = new_registers or {}
  new_registers[sku] = true
end

local function push(rows)
  if pushed == rows then return 0 end
  read_registers(rows.skus)
  local changes, count = {}, 0
  for _, sku in ipairs(rows.skus) do
    local old, new = registers[sku], rows.by_sku[sku]
    if new == '' then
      if old then changes[sku] = false end
    elseif not old or old.raw ~= new then
      new = parse_register(new)
      if not old or old.version < new.version then changes[sku] = new end
    end
  end
  for sku, register in pairs(changes) do
    set_register(sku, register)
    count = count + 1
  end
  pushed = rows
  return count
end

-- nil if there is a row for each of these lines, else the reply that names the skus which have none.
local function missing_rows(rows, settled, kept)
  if rows.covers[settled] and rows.covers[kept] then return nil end
  local missing, named = nil, {}
  for _, lines in ipairs({ settled, kept }) do
    for _, sku in ipairs(lines.skus) do
      if not rows.by_sku[sku] and not named[sku] then
        missing = (missing or 'missing') .. '\t' .. sku
        named[sku] = true
      end
    end
  end
  if not missing then rows.covers[settled], rows.covers[kept] = true, true end
  return missing
end

-- The lines that are in `whole` beyond `part`; nil if `part` is not within `whole`.
local function rest_of(whole, part)
  if whole == part then return lines_of('') end
  local wanted, rest = {}, {}
  for index, sku in ipairs(part.skus) do wanted[sku] = part.quantities[index] end
  for index, sku in ipairs(whole.skus) do
    local left = whole.quantities[index] - (wanted[sku] or 0)
    if left < 0 then return nil end
    wanted[sku] = nil
    if left > 0 then
      rest[#rest + 1] = sku
      rest[#rest + 1] = text(left)
    end
  end
  if next(wanted) then return nil end
  return lines_of(concat(rest, '\t'))
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

function commands.reserve(id, joined, ttl)
  local state, _, _, _, known, raw = addressed(id)
  local terms = terms_of(joined)
  if state then
    if known.reserved ~= '' and known.reserved ~= terms.reserved then return 'id_reused' end
    if LIVE_STATES[state] or state == 'CONFIRMED' then return raw end
    return 'ended\t' .. raw
  end
  local refusal = refusal_to_hold(terms.lines)
  if refusal then return refusal end

  hold(terms.lines, 1)
  enter(deadlines, text(now + ttl), id)
  return put(id, 'HELD', NOW, ttl, '', terms)
end

function commands.begin(id, part, reacquire)
  local state, create, ttl, _, known, raw = addressed(id)
  if not state then return 'not_found' end
  local wanted, lines = known.reserved, known.lines
  if part ~= '' then
    local terms = terms_of(part)
    wanted, lines = terms.confirmed, terms.lines
  end
  if state == 'CONFIRMING' or state == 'CONFIRMED' then return known.confirmed == wanted and raw or 'mismatch' end
  if state ~= 'HELD' and not (state == 'EXPIRED' and reacquire == '1') then return 'ended\t' .. raw end
  local rest = rest_of(known.lines, lines)
  if not rest then return 'mismatch' end
  local refusal = state == 'EXPIRED' and refusal_to_hold(lines)
  if refusal then return refusal end

  if state == 'HELD' then
    hold(rest, -1)
    leave(deadlines, id)
  else
    hold(lines, 1)
  end
  enter(unsettled, NOW, id)
  return put(id, 'CONFIRMING', create, ttl, '', terms_of(known.reserved .. '\t' .. wanted .. '\t' .. lines.text))
end

function commands.cancel(id)
  local state, create, ttl, _, terms, raw = addressed(id)
  if state == 'CONFIRMING' or state == 'CANCELLED' then return raw end
  if state == 'CONFIRMED' or state == 'REJECTED' then return 'ended\t' .. raw end

  if state == 'HELD' then
    hold(terms.lines, -1)
    leave(deadlines, id)
  end
  enter(unsettled, NOW, id)
  return put(id, 'CANCELLED', create or '', ttl or '', NOW, terms or terms_of('\t\t'))
end

function commands.extend(id, expire_ms, lifetime_ms, reacquire)
  local state, create, ttl, _, terms, raw = addressed(id)
  if not state then return 'not_found' end
  local wanted = tonumber(expire_ms)
  if state == 'CONFIRMING' then return raw end
  if state == 'HELD' and wanted <= create + ttl then return raw end
  if state ~= 'HELD' and not (state == 'EXPIRED' and reacquire == '1' and wanted > now) then return 'ended\t' .. raw end
  local latest = create + lifetime_ms
  if wanted > latest then return 'beyond_lifetime\t' .. text(latest) end
  local refusal = state == 'EXPIRED' and refusal_to_hold(terms.lines)
  if refusal then return refusal end

  if state == 'EXPIRED' then hold(terms.lines, 1) end
  enter(deadlines, text(wanted), id)
  return put(id, 'HELD', create, text(wanted - create), '', terms)
end

function commands.settle(id, outcome, time_ms, joined, joined_rows)
  local state, create, ttl, ended, known, raw = addressed(id)
  local live, terms, rows = LIVE_STATES[state], terms_of(joined), rows_of(joined_rows)
  local missing = outcome ~= 'CANCELLED' and missing_rows(rows, terms.lines, live and known.lines or terms.lines)
  if missing then return missing end
  if live then need_held(known.lines) end

  push(rows)
  local is_told = state == outcome and ended == time_ms and not (state == 'CANCELLED' and is_unsettled(id))
  if is_told and (state ~= 'CONFIRMED' or known.reserved == terms.reserved and known.confirmed == terms.confirmed) then return raw end
  if live then hold(known.lines, -1) end
  if state == 'HELD' then
    leave(deadlines, id)
  elseif state == 'CONFIRMING' or state == 'CANCELLED' then
    leave(unsettled, id)
  end
  if state and outcome ~= 'CONFIRMED' then terms = known end
  return finish(id, outcome, create or '', ttl or '', time_ms, terms)
end

function commands.push(joined_rows)
  return 'pushed\t' .. push(rows_of(joined_rows))
end

function commands.replace_register(sku, judged, row)
  read_registers({ sku })
  local register = registers[sku]
  if (register and register.raw or '') ~= judged then return 'pushed\t0' end
  set_register(sku, row ~= '' and parse_register(row))
  pushed = nil
  return 'pushed\t1'
end

function commands.replace_held(sku, judged, units)
  read_held({ sku })
  local counter = held[sku]
  if pack_held(counter) ~= judged then return 'pushed\t0' end
  set_held(sku, counter, tonumber(units))
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

local function missing_of(skus)
  local missing
  for _, sku in ipairs(skus) do
    if not registers[sku] then missing = (missing or 'missing') .. '\t' .. sku end
  end
  return missing
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
  local state, _, _, _, _, raw = addressed(id)
  return state and raw or 'not_found'
end

-- Answers `page now index score id` (of the last entry looked at, empty if there are no more), then id, record, id,
-- record, ...
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
  read(RECORDS, records, ids)
  local reply = { 'page', NOW, unpack(last) }
  for _, entry in ipairs(ids) do
    local raw = records[entry]
    if LIVE_STATES[parse_record(raw or '')] then
      reply[#reply + 1] = entry
      reply[#reply + 1] = raw
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

  read(RECORDS, records, ids)
  local reply = { 'claimed' }
  for at, id in ipairs(ids) do
    local raw = records[id]
    local state = parse_record(raw or '')
    if state == 'CONFIRMING' or state == 'CANCELLED' then
      reply[#reply + 1] = id
      reply[#reply + 1] = raw
      -- Never earlier than before, whatever the clock does: who pages by this order must not miss anything.
      enter(unsettled, text(max(now, entries[2 * at] + 1)), id)
    else
      leave(unsettled, id)
    end
  end
  -- What is entered without its record being written would not be seen by those who end it.
  flush()
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
  reserve = 3, begin = 3, cancel = 1, extend = 4, settle = 5, push = 1, replace_register = 3, replace_held = 3,
  stock = 1, counters = 1, skus = 1, get = 1, list = 4, sweep = 0, claim = 2, get_synced = 0, set_synced = 2,
}

-- Those whose first argument is the id of a reservation.
local by_id = { reserve = true, begin = true, cancel = true, extend = true, settle = true, get = true }

-- Reads at once what several commands would read one by one.
local function read_ahead(args)
  local first = args[3]
  if not first or #args == 3 + arity[first] then return end
  local ids, skus, listed = {}, {}, {}
  local at, count = 3, #args
  while at <= count do
    local name = args[at]
    if by_id[name] then ids[#ids + 1] = args[at + 1] end
    local joined = name == 'reserve' and args[at + 2] or name == 'settle' and args[at + 4]
    local lines = joined and terms_of(joined).lines
    if lines and not listed[lines] then
      listed[lines] = true
      for _, sku in ipairs(lines.skus) do skus[#skus + 1] = sku end
    end
    at = at + 1 + arity[name]
  end
  read(RECORDS, records, ids)
  read_unknown(STOCK, registers, skus)
  read_unknown(HELD, held, skus)
end

-- The replies so far, and where in the arguments the next command begins.
local replies, at

local function apply_all(args)
  local count = #args
  while at <= count do
    local name = args[at]
    local following = at + 1 + arity[name]
    replies[#replies + 1] = commands[name](unpack(args, at + 1, following - 1))
    at = following
  end
end

local function run(keys, packed)
  local args = cmsgpack.unpack(packed[1])
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
