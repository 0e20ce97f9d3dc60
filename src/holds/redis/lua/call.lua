-- One call: its commands, one after the other.

local arity = {
  reserve = 3, begin = 3, cancel = 1, extend = 4, settle = 5, push = 1, replace_register = 3, replace_held = 3,
  stock = 1, counters = 1, skus = 1, get = 1, reindex = 2, list = 4, sweep = 0, claim = 2,
  get_synced = 0, set_synced = 2,
}

-- Those whose first argument is the id of a reservation.
local by_id = { reserve = true, begin = true, cancel = true, extend = true, settle = true, get = true }

-- Which argument has the terms whose lines will be held or settled.
local terms_at = { reserve = 2, settle = 4 }

-- Where in the arguments the first command begins.
local FIRST = 4

-- Nothing is left of the call before, however that ended.
local function begin_call(keys, args)
  if not call then
    call, concat = redis.call, table.concat
    find, match, gmatch, gsub = string.find, string.match, string.gmatch, string.gsub
    sub, format = string.sub, string.format
    floor, max, min = math.floor, math.max, math.min
  end
  STOCK, HELD, RECORDS, DEADLINES, UNSETTLED, ENDED, TOMBSTONES, SYNCED = unpack(keys)
  now, RETENTION_MS, TOMBSTONES_MAX = tonumber(args[1]), tonumber(args[2]), tonumber(args[3])
  if not now then
    local time = call('TIME')
    now = time[1] * 1000 + floor(time[2] / 1000)
  end
  NOW = text(now)
  records, registers, held, lines_seen, terms_seen, rows_seen = {}, {}, {}, {}, {}, {}
  newly_ended, reclaimed, overdue_remain, pushed, worked = {}, nil, nil, nil, 0
  has_registers, tombstones = nil, nil
  forget_changes()
end

-- Reads at once what several commands would read one by one.
local function read_ahead(args)
  local first = args[FIRST]
  if not first or #args == FIRST + arity[first] then return end
  local ids, skus, listed = {}, {}, {}
  local at, count = FIRST, #args
  while at <= count do
    local name = args[at]
    if by_id[name] then ids[#ids + 1] = args[at + 1] end
    local joined = terms_at[name] and args[at + terms_at[name]]
    if joined and not listed[joined] then
      listed[joined] = true
      for _, sku in ipairs(lines_of(terms_of(joined).lines).skus) do skus[#skus + 1] = sku end
    end
    at = at + 1 + arity[name]
  end
  read(RECORDS, records, ids)
  read(STOCK, registers, skus)
  read(HELD, held, skus)
end

-- The replies so far, and where in the arguments the next command begins.
local replies, at

local function apply_all(args)
  local count = #args
  while at <= count and (worked < WORK_MAX or #replies == 0) do
    local name = args[at]
    worked = worked + 1
    local following = at + 1 + arity[name]
    replies[#replies + 1] = commands[name](unpack(args, at + 1, following - 1))
    at = following
  end
end

local function run(keys, packed)
  local args = cmsgpack.unpack(packed[1])
  begin_call(keys, args)
  read_ahead(args)
  replies, at = {}, FIRST
  while true do
    local done, failure = pcall(apply_all, args)
    if done then break end
    -- Anything else is an error of the server.
    if type(failure) ~= 'table' or not failure.corrupt then error(failure) end
    replies[#replies + 1] = 'corrupt\t' .. failure.corrupt
    at = at + 1 + arity[args[at]]
  end
  if #newly_ended > 0 then call('RPUSH', ENDED, NOW .. '\t' .. concat(newly_ended, '\t')) end
  flush()
  return replies
end

-- A function without this flag is refused when Redis is full, before it does anything.
redis.register_function({ function_name = TAKING, callback = run })
redis.register_function({ function_name = FREEING, callback = run, flags = { 'allow-oom' } })
