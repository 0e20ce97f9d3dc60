-- The holds of one location in Redis: what `embedded/location.rs` specifies, command by command, with the same names.
--
-- Rust puts a shebang line and the constants UNITS_MAX, RECLAIM_HOLDS_MAX and RECLAIM_LINES_MAX in front of this text.
--
-- KEYS  stock, held, deadlines, unsettled, synced of the location; its records are `r:<id>` behind the same prefix and hash tag.
-- ARGV  now in Unix ms (empty: this server's clock), retention in ms, then any number of commands: a name and a fixed number of arguments.
--       Lists are one argument, joined by tabs, which no name can contain.
--
-- Lua does not roll back. So every command reads all that it may need first: what fails there (a slot on its way to another node) fails
-- before anything is written. Keys that are not declared are read before they are written, for the same reason.

local STOCK, HELD, DEADLINES, UNSETTLED, SYNCED = unpack(KEYS)
local RECORD = string.sub(STOCK, 1, -#'stock' - 1) .. 'r:'
local RETENTION_MS = ARGV[2]

local call, match, gmatch, format = redis.call, string.match, string.gmatch, string.format

local now = tonumber(ARGV[1])
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- tostring() rounds beyond 14 digits.
local function text(number)
  return format('%.0f', number)
end

---------------------------------------------------------------------------------------------------------------------------------- formats

-- A record is `1 state create expire end reserved confirmed sku quantity sku quantity ...`, joined by tabs; times in Unix ms, unknown ones empty.
local RECORD_FORM = '^1\t(%u+)\t(%d*)\t(%d*)\t(%d*)\t([^\t]*)\t([^\t]*)\t(.*)$'

local function parse_record(raw)
  local state, create, expire, ended, reserved, confirmed, lines = match(raw or '', RECORD_FORM)
  if state then
    return { state = state, create = create, expire = expire, ended = ended, reserved = reserved, confirmed = confirmed, lines = lines }
  end
end

local function pack_record(r)
  return table.concat({ '1', r.state, r.create, r.expire, r.ended, r.reserved, r.confirmed, r.lines }, '\t')
end

-- Lines are `sku quantity sku quantity ...`, joined by tabs; rows likewise, with an empty row for a sku that the ledger does not have.
local function each_line(lines)
  return gmatch(lines, '([^\t]+)\t(%d+)')
end

local function each_row(rows)
  return gmatch(rows, '([^\t]+)\t([^\t]*)')
end

local function names_of(lines)
  local names = {}
  for sku in each_line(lines) do names[#names + 1] = sku end
  return names
end

-- A register is `version on_hand floor retired`.
local function parse_register(raw)
  local version, on_hand, floor, retired = match(raw, '^(%d+) (%-?%d+) (%-?%d+) ([01])$')
  if not version then error('corrupt register: ' .. raw) end
  return { version = tonumber(version), on_hand = tonumber(on_hand), floor = tonumber(floor), retired = retired == '1' }
end

-- A held counter is `units changes`.
local function parse_held(raw)
  local units, changes = match(raw or '0 0', '^(%d+) (%d+)$')
  if not units then error('corrupt held: ' .. raw) end
  return tonumber(units), tonumber(changes)
end

------------------------------------------------------------------------------------------------------------------------------------ steps

local function is_live(r)
  return r.state == 'HELD' or r.state == 'CONFIRMING'
end

local function is_overdue(r)
  return r.state == 'HELD' and tonumber(r.expire) <= now
end

local function hold(lines, sign)
  local skus = names_of(lines)
  if #skus == 0 then return end
  local before, fields = call('HMGET', HELD, unpack(skus)), {}
  local index = 0
  for sku, quantity in each_line(lines) do
    index = index + 1
    local units, changes = parse_held(before[index])
    fields[#fields + 1] = sku
    fields[#fields + 1] = text(math.max(0, units + sign * quantity)) .. ' ' .. text(changes + 1)
  end
  call('HSET', HELD, unpack(fields))
end

-- Writes a record that time does not make forgotten, and enters it in the index of its state.
local function write(id, r)
  local raw = pack_record(r)
  if r.state == 'HELD' then
    call('ZADD', DEADLINES, r.expire, id)
  else
    call('ZREM', DEADLINES, id)
    call('ZADD', UNSETTLED, text(now), id)
  end
  call('SET', RECORD .. id, raw)
  return { 'accepted', raw }
end

-- Writes a record that has ended and needs no settlement (any more): it is forgotten after the retention time.
local function finish(id, r)
  local raw = pack_record(r)
  call('ZREM', DEADLINES, id)
  call('ZREM', UNSETTLED, id)
  call('SET', RECORD .. id, raw, 'PX', RETENTION_MS)
  return { 'accepted', raw }
end

local function expire(id, r)
  hold(r.lines, -1)
  r.state, r.ended = 'EXPIRED', r.expire
  finish(id, r)
end

local function addressed(id)
  local raw = call('GET', RECORD .. id)
  if not raw then return nil end
  local r = parse_record(raw)
  if not r then error('corrupt record: ' .. RECORD .. id) end
  if is_overdue(r) then expire(id, r) end
  return r
end

local function records_of(ids)
  if #ids == 0 then return {} end
  local keys = {}
  for index, id in ipairs(ids) do keys[index] = RECORD .. id end
  return call('MGET', unpack(keys))
end

-- Reclaims a bounded number of overdue holds. The index only says where to look: the record decides.
local function reclaim()
  local ids = call('ZRANGEBYSCORE', DEADLINES, '-inf', text(now), 'LIMIT', 0, RECLAIM_HOLDS_MAX)
  local raws = records_of(ids)
  local holds, lines = 0, 0
  for index, id in ipairs(ids) do
    if lines >= RECLAIM_LINES_MAX then break end
    local r = parse_record(raws[index])
    if r and is_overdue(r) then
      lines = lines + #names_of(r.lines)
      holds = holds + 1
      expire(id, r)
    else
      call('ZREM', DEADLINES, id)
    end
  end
  return holds
end

local function overdue_remain()
  return #call('ZRANGEBYSCORE', DEADLINES, '-inf', text(now), 'LIMIT', 0, 1) > 0
end

local function missing_of(skus, registers)
  local reply = { 'missing' }
  for index, sku in ipairs(skus) do
    if not registers[index] then reply[#reply + 1] = sku end
  end
  if #reply > 1 then return reply end
end

-- nil if these lines can be held now, else the refusal.
local function refusal_to_hold(lines)
  reclaim()
  local skus = names_of(lines)
  local raws = call('HMGET', STOCK, unpack(skus))
  local missing = missing_of(skus, raws)
  if missing then return missing end

  local retired, registers = { 'retired' }, {}
  for index, sku in ipairs(skus) do
    registers[index] = parse_register(raws[index])
    if registers[index].retired then retired[#retired + 1] = sku end
  end
  if #retired > 1 then return retired end

  local held, short, index = call('HMGET', HELD, unpack(skus)), { 'short' }, 0
  for sku, quantity in each_line(lines) do
    index = index + 1
    local units = parse_held(held[index])
    local free = registers[index].on_hand - registers[index].floor - units
    free = math.max(0, math.min(free, UNITS_MAX - units))
    if free < tonumber(quantity) then
      for _, field in ipairs({ sku, quantity, text(free), text(units) }) do short[#short + 1] = field end
    end
  end
  if #short == 1 then return nil end
  return overdue_remain() and { 'more' } or short
end

local function push(rows)
  local skus, news = {}, {}
  for sku, row in each_row(rows) do
    skus[#skus + 1] = sku
    news[#news + 1] = row
  end
  if #skus == 0 then return 0 end
  local olds, changed = call('HMGET', STOCK, unpack(skus)), 0
  for index, sku in ipairs(skus) do
    local old, new = olds[index], news[index]
    if new == '' then
      changed = changed + call('HDEL', STOCK, sku)
    elseif not old or parse_register(old).version < parse_register(new).version then
      call('HSET', STOCK, sku, new)
      changed = changed + 1
    end
  end
  return changed
end

-- The part of `whole` that is beyond `part`; nil if `part` is not within `whole`.
local function rest_of(whole, part)
  local wanted, rest = {}, {}
  for sku, quantity in each_line(part) do wanted[sku] = tonumber(quantity) end
  for sku, quantity in each_line(whole) do
    local left = tonumber(quantity) - (wanted[sku] or 0)
    if left < 0 then return nil end
    wanted[sku] = nil
    if left > 0 then
      rest[#rest + 1] = sku
      rest[#rest + 1] = text(left)
    end
  end
  if next(wanted) then return nil end
  return table.concat(rest, '\t')
end

-- Names are ordered by their bytes. The operators < and <= of Lua follow the server's locale.
local function at_most(one, other)
  for index = 1, math.min(#one, #other) do
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
      local middle = math.floor((low + high) / 2)
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
    if r.reserved ~= '' and r.reserved ~= fingerprint then return { 'id_reused' } end
    local state = r.state
    if state == 'HELD' or state == 'CONFIRMING' or state == 'CONFIRMED' then return { 'accepted', pack_record(r) } end
    return { 'ended', pack_record(r) }
  end
  local refusal = refusal_to_hold(lines)
  if refusal then return refusal end

  hold(lines, 1)
  return write(id, {
    state = 'HELD', create = text(now), expire = text(now + ttl_ms), ended = '', reserved = fingerprint, confirmed = '', lines = lines,
  })
end

function commands.begin(id, part, fingerprint, reacquire)
  local r = addressed(id)
  if not r then return { 'not_found' } end
  local confirmed = part == '' and r.reserved or fingerprint
  local state = r.state
  if state == 'CONFIRMING' or state == 'CONFIRMED' then
    return r.confirmed == confirmed and { 'accepted', pack_record(r) } or { 'mismatch' }
  end
  if state == 'CANCELLED' or state == 'REJECTED' then return { 'ended', pack_record(r) } end
  if state == 'EXPIRED' and reacquire == '0' then return { 'ended', pack_record(r) } end
  local lines = part == '' and r.lines or part
  local rest = rest_of(r.lines, lines)
  if not rest then return { 'mismatch' } end
  local refusal = state == 'EXPIRED' and refusal_to_hold(lines)
  if refusal then return refusal end

  if state == 'HELD' then hold(rest, -1) else hold(lines, 1) end
  r.state, r.lines, r.confirmed, r.ended = 'CONFIRMING', lines, confirmed, ''
  return write(id, r)
end

function commands.cancel(id)
  local r = addressed(id) or { state = 'UNKNOWN', create = '', expire = '', reserved = '', confirmed = '', lines = '' }
  local state = r.state
  if state == 'CONFIRMING' or state == 'CANCELLED' then return { 'accepted', pack_record(r) } end
  if state == 'CONFIRMED' or state == 'REJECTED' then return { 'ended', pack_record(r) } end

  if state == 'HELD' then hold(r.lines, -1) end
  r.state, r.ended = 'CANCELLED', text(now)
  return write(id, r)
end

function commands.extend(id, expire_ms, lifetime_ms, reacquire)
  local r = addressed(id)
  if not r then return { 'not_found' } end
  local state, wanted = r.state, tonumber(expire_ms)
  if state == 'CONFIRMING' then return { 'accepted', pack_record(r) } end
  if state == 'HELD' and wanted <= tonumber(r.expire) then return { 'accepted', pack_record(r) } end
  if state ~= 'HELD' and not (state == 'EXPIRED' and reacquire == '1' and wanted > now) then return { 'ended', pack_record(r) } end
  local latest = tonumber(r.create) + tonumber(lifetime_ms)
  if wanted > latest then return { 'beyond_lifetime', text(latest) } end
  local refusal = state == 'EXPIRED' and refusal_to_hold(r.lines)
  if refusal then return refusal end

  if state == 'EXPIRED' then hold(r.lines, 1) end
  r.state, r.expire, r.ended = 'HELD', expire_ms, ''
  return write(id, r)
end

function commands.settle(id, state, reserved, confirmed, time_ms, lines, rows)
  local r = addressed(id)
  local live = r and is_live(r)
  if state ~= 'CANCELLED' then
    local given, missing = {}, { 'missing' }
    for sku in each_row(rows) do given[sku] = true end
    for _, needed in ipairs({ lines, live and r.lines or '' }) do
      for sku in each_line(needed) do
        if not given[sku] then
          given[sku] = true
          missing[#missing + 1] = sku
        end
      end
    end
    if #missing > 1 then return missing end
  end

  push(rows)
  if live then hold(r.lines, -1) end
  r = r or { create = '', expire = '', reserved = reserved, confirmed = confirmed, lines = lines }
  if state == 'CONFIRMED' then r.reserved, r.confirmed, r.lines = reserved, confirmed, lines end
  r.state, r.ended = state, time_ms
  return finish(id, r)
end

function commands.push(rows)
  return { 'pushed', push(rows) }
end

function commands.replace_register(sku, judged, row)
  if (call('HGET', STOCK, sku) or '') ~= judged then return { 'pushed', 0 } end
  if row == '' then call('HDEL', STOCK, sku) else call('HSET', STOCK, sku, row) end
  return { 'pushed', 1 }
end

function commands.replace_held(sku, judged, units)
  if (call('HGET', HELD, sku) or '0 0') ~= judged then return { 'pushed', 0 } end
  local _, changes = parse_held(judged)
  call('HSET', HELD, sku, units .. ' ' .. text(changes + 1))
  return { 'pushed', 1 }
end

local function split(names)
  local list = {}
  for name in gmatch(names, '[^\t]+') do list[#list + 1] = name end
  return list
end

local function counters(kind, skus)
  local reply, registers, held = { kind }, call('HMGET', STOCK, unpack(skus)), call('HMGET', HELD, unpack(skus))
  for index in ipairs(skus) do
    reply[#reply + 1] = registers[index] or ''
    reply[#reply + 1] = held[index] or '0 0'
  end
  return reply
end

function commands.stock(names)
  reclaim()
  local skus = split(names)
  local missing = missing_of(skus, call('HMGET', STOCK, unpack(skus)))
  if missing then return missing end
  if overdue_remain() then return { 'more' } end
  return counters('stock', skus)
end

function commands.counters(names)
  return counters('counters', split(names))
end

-- The cursor tells which hash, and where in it.
function commands.skus(cursor)
  local name, from = match(cursor, '^(%a+) (%d+)$')
  local page = call('HSCAN', name == 'held' and HELD or STOCK, from or 0, 'COUNT', 500)
  local following = (name or 'stock') .. ' ' .. page[1]
  if page[1] == '0' then following = name == 'held' and '' or 'held 0' end
  local reply = { 'skus', following }
  for at = 1, #page[2], 2 do reply[#reply + 1] = page[2][at] end
  return reply
end

function commands.get(id)
  local r = addressed(id)
  return r and { 'accepted', pack_record(r) } or { 'not_found' }
end

-- Answers `page now index score id` (of the last entry looked at, empty if there are no more), then id, record, id, record, ...
function commands.list(index, score, id, limit)
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
  local reply = { 'page', text(now), unpack(last) }
  local raws = records_of(ids)
  for at, entry in ipairs(ids) do
    local r = parse_record(raws[at])
    if r and is_live(r) then
      reply[#reply + 1] = entry
      reply[#reply + 1] = raws[at]
    end
  end
  return reply
end

function commands.sweep()
  local holds = reclaim()
  return { 'swept', holds, overdue_remain() and 1 or 0 }
end

function commands.claim(limit, grace_ms)
  local entries = call('ZRANGEBYSCORE', UNSETTLED, '-inf', text(now - grace_ms), 'WITHSCORES', 'LIMIT', 0, limit)
  local future = call('ZRANGEBYSCORE', UNSETTLED, '(' .. text(now), '+inf', 'WITHSCORES', 'LIMIT', 0, limit - #entries / 2)
  for _, field in ipairs(future) do entries[#entries + 1] = field end
  local ids = {}
  for at = 1, #entries, 2 do ids[#ids + 1] = entries[at] end
  local raws = records_of(ids)

  local reply = { 'claimed' }
  for at, id in ipairs(ids) do
    local r = parse_record(raws[at])
    if r and (r.state == 'CONFIRMING' or r.state == 'CANCELLED') then
      reply[#reply + 1] = id
      reply[#reply + 1] = raws[at]
      -- Never earlier than before, whatever the clock does: who pages by this order must not miss anything.
      call('ZADD', UNSETTLED, text(math.max(now, entries[2 * at] + 1)), id)
    else
      call('ZREM', UNSETTLED, id)
    end
  end
  return reply
end

function commands.get_synced()
  return { 'synced', call('GET', SYNCED) or '' }
end

function commands.set_synced(judged, version)
  local old = call('GET', SYNCED) or ''
  if old ~= judged then return { 'synced', old } end
  call('SET', SYNCED, version)
  return { 'synced', version }
end

local arity = {
  reserve = 4, begin = 4, cancel = 1, extend = 4, settle = 7, push = 1, replace_register = 3, replace_held = 3,
  stock = 1, counters = 1, skus = 1, get = 1, list = 4, sweep = 0, claim = 2, get_synced = 0, set_synced = 2,
}

local replies, at = {}, 3
while at <= #ARGV do
  local name = ARGV[at]
  replies[#replies + 1] = commands[name](unpack(ARGV, at + 1, at + arity[name]))
  at = at + 1 + arity[name]
end
return replies
