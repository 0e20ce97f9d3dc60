-- The copies of the ledger's rows and the held counters: pushing, repairing and reading them.

-- The rows that were pushed last, while the registers are as they left them: the settlements of one commit have the
-- same.
local pushed

-- Updates the registers whose version is older; answers how many.
local function push(rows)
  worked = worked + #rows.skus
  if pushed == rows then return 0 end
  local skus, changes = rows.skus, nil
  read_registers(skus)
  for index = 1, #skus do
    local sku = skus[index]
    local old, new = registers[sku], rows.by_sku[sku]
    if new == '' then
      if old then changes = add_pair(changes, sku, false) end
    elseif not old or old.raw ~= new then
      new = parse_register(new)
      if not old or old.version < new.version then changes = add_pair(changes, sku, new) end
    end
  end
  pushed = rows
  if not changes then return 0 end
  for at = 1, #changes, 2 do set_register(changes[at], changes[at + 1]) end
  return #changes / 2
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

function commands.stock(names)
  local skus = split(names)
  worked = worked + #skus
  read_registers(skus)
  reclaim()
  local missing
  for _, sku in ipairs(skus) do
    if not registers[sku] then missing = (missing or 'missing') .. '\t' .. sku end
  end
  if missing then return missing end
  if overdue_remain then return 'more' end
  return counters('stock', skus)
end

function commands.counters(names)
  local skus = split(names)
  worked = worked + #skus
  return counters('counters', skus)
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
