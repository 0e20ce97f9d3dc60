-- What a call has read, and what it is to write.
--
-- The rule: `records`, `registers`, `held` and the changes of the two indexes are the truth for the rest of the call.
-- A command changes them, and not Redis. `flush` writes what has changed: at the end of the call, and before a command
-- lets Redis search an index or a hash. The keys `ended` and `synced` are read and written without a cache.
--
-- A record that is read becomes a table, and its lines are parsed only where a command needs them. For a batch of
-- orders of one line each of one sku, that costs Redis some 3 % more instructions an order than passing fields by
-- position. A lone begin costs 19 % less, and batches of orders with several lines up to 38 %.

-- By id, as text; false where there is none.
local records

-- By sku: a text until it is needed, then its table; false where there is none.
local registers, held

-- What differs from Redis: a list of ids and texts, in which an id may come twice and its last text counts; a list of
-- ids whose records go; sets of skus; and whether the number of tombstones does. The lists are nil until there is
-- something in them. A record goes only after a flush, so that no earlier text of it is written behind that.
local new_records, forgotten, new_registers, new_held, new_tombstones

-- What changes in the two indexes: by id the score that is to be entered, false if the id is to leave.
local deadlines, unsettled

-- Whether there is any register, and how many tombstones; nil until that is read.
local has_registers, tombstones

-- What has ended in this call and needs no settlement.
local newly_ended

-- Lua bounds how many arguments one call may have.
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

-- Reads what of these is not known yet.
local function read(key, known, names)
  local unknown
  for index = 1, #names do
    local name = names[index]
    if known[name] == nil then
      known[name] = false
      unknown = add(unknown, name)
    end
  end
  if not unknown then return end
  if #unknown == 1 then
    known[unknown[1]] = call('HGET', key, unknown[1])
    return
  end
  for from = 1, #unknown, AT_ONCE do
    local values = call('HMGET', key, unpack(unknown, from, min(from + AT_ONCE - 1, #unknown)))
    for at = 1, #values do known[unknown[from + at - 1]] = values[at] end
  end
end

-- Reads the registers of these skus, all of them intact; false where there is none.
local function read_registers(skus)
  read(STOCK, registers, skus)
  for index = 1, #skus do
    local sku = skus[index]
    local register = registers[sku]
    if type(register) == 'string' then registers[sku] = parse_register(register) end
  end
end

-- Reads the counters of these skus, all of them intact.
local function read_held(skus)
  read(HELD, held, skus)
  for index = 1, #skus do
    local sku = skus[index]
    local counter = held[sku]
    if not counter then
      held[sku] = { units = 0, changes = 0 }
    elseif type(counter) == 'string' then
      held[sku] = parse_held(counter)
    end
  end
end

-- The same for lines. Callers ask `has_registers` and `has_held` first, because a call for nothing costs too.
local function read_registers_of(lines)
  read_registers(lines.skus)
  lines.has_registers = true
end

local function read_held_of(lines)
  read_held(lines.skus)
  lines.has_held = true
end

local function set_register(sku, register)
  registers[sku] = register
  new_registers[sku] = true
  has_registers = nil
end

local function set_held(sku, counter, units)
  counter.units = units
  counter.changes = counter.changes + 1
  new_held[sku] = true
end

local function write_all(command, key, arguments)
  if not arguments then return end
  for from = 1, #arguments, AT_ONCE do
    call(command, key, unpack(arguments, from, min(from + AT_ONCE - 1, #arguments)))
  end
end

local function write_index(key, changes)
  if not next(changes) then return end
  local entered, left, last, gone = {}, {}, 0, 0
  for id, score in pairs(changes) do
    if score then
      entered[last + 1], entered[last + 2] = score, id
      last = last + 2
    else
      gone = gone + 1
      left[gone] = id
    end
  end
  if last == 0 then entered = nil end
  if gone == 0 then left = nil end
  write_all('ZREM', key, left)
  write_all('ZADD', key, entered)
end

local function write_records()
  write_all('HDEL', RECORDS, forgotten)
  write_all('HSET', RECORDS, new_records)
end

local function write_registers()
  local rows, gone
  for sku in pairs(new_registers) do
    if registers[sku] then
      rows = add_pair(rows, sku, registers[sku].raw)
    else
      gone = add(gone, sku)
    end
  end
  write_all('HDEL', STOCK, gone)
  write_all('HSET', STOCK, rows)
end

local function write_held()
  local counters
  for sku in pairs(new_held) do counters = add_pair(counters, sku, pack_held(held[sku])) end
  write_all('HSET', HELD, counters)
end

local function write_tombstones()
  if not new_tombstones then return end
  if tombstones > 0 then call('SET', TOMBSTONES, text(tombstones)) else call('DEL', TOMBSTONES) end
end

local function forget_changes()
  new_records, forgotten, new_tombstones = nil, nil, false
  new_registers, new_held, deadlines, unsettled = {}, {}, {}, {}
end

local function flush()
  -- The indexes first: should a key turn out to be something else, an entry too many does no harm, because the record
  -- decides.
  write_index(DEADLINES, deadlines)
  write_index(UNSETTLED, unsettled)
  write_records()
  write_registers()
  write_held()
  write_tombstones()
  forget_changes()
end

-- Whether the location exists: whether it has a register.
local function exists()
  if has_registers == nil then
    flush()
    has_registers = call('EXISTS', STOCK) == 1
  end
  return has_registers
end

local function count_tombstones()
  tombstones = tombstones or tonumber(call('GET', TOMBSTONES) or '') or 0
  return tombstones
end

local function add_tombstones(number)
  tombstones = max(0, count_tombstones() + number)
  new_tombstones = true
end
