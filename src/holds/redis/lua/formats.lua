-- The forms of what is stored and sent.

-- Lines, terms and rows by their texts, because many commands and records of a call have the same.
local lines_seen, terms_seen, rows_seen

-- Lines are `sku quantity sku quantity ...`, joined by tabs: lists of their skus and quantities.
local function lines_of(joined)
  local lines = lines_seen[joined]
  if lines then return lines end
  if joined ~= '' and not find(joined, '^[^\t]+\t%d+$') and gsub(joined .. '\t', '[^\t]+\t%d+\t', '') ~= '' then
    corrupt('lines: ' .. joined)
  end
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
-- to confirm, empty where they are unknown, and the lines that count, as text.
local function terms_of(joined)
  local terms = terms_seen[joined]
  if terms then return terms end
  local reserved_end = find(joined, '\t', 1, true)
  local confirmed_end = reserved_end and find(joined, '\t', reserved_end + 1, true)
  if not confirmed_end then corrupt('terms: ' .. joined) end
  terms = {
    reserved = sub(joined, 1, reserved_end - 1),
    confirmed = sub(joined, reserved_end + 1, confirmed_end - 1),
    lines = sub(joined, confirmed_end + 1),
  }
  terms_seen[joined] = terms
  return terms
end

-- The lines of these terms, parsed.
local function lines_within(joined)
  local terms = terms_seen[joined] or terms_of(joined)
  local lines = terms.parsed
  if not lines then
    lines = lines_of(terms.lines)
    terms.parsed = lines
  end
  return lines
end

local function same_prints(one, other)
  one, other = terms_of(one), terms_of(other)
  return one.reserved == other.reserved and one.confirmed == other.confirmed
end

-- Rows are `sku row sku row ...`, joined by tabs, an empty row where the ledger has none: a list of the skus, and the
-- rows by sku.
local function rows_of(joined)
  local rows = rows_seen[joined]
  if rows then return rows end
  rows = { skus = {}, by_sku = {} }
  for sku, row in gmatch(joined, '([^\t]+)\t([^\t]*)') do
    rows.skus[#rows.skus + 1] = sku
    rows.by_sku[sku] = row
  end
  rows_seen[joined] = rows
  return rows
end

-- A record is `1 state create ttl end` and its terms, joined by tabs. Times are Unix ms, empty where they are unknown.
-- A reservation expires `ttl` ms after its creation, which may be before it where the clock went back. A cancelled one
-- has no end until its settlement is told.
local RECORD_FORM = '^1\t(%u+)\t(%d*)\t(%-?%d*)\t(%d*)\t()'

local KNOWN_STATES = {
  HELD = true, CONFIRMING = true, CONFIRMED = true, CANCELLED = true, EXPIRED = true, REJECTED = true,
}
local LIVE_STATES = { HELD = true, CONFIRMING = true }

-- The fields of a record, its terms as text, because few commands look at its lines. Nothing if it is no record.
local function parse_record(raw)
  local state, create, ttl, ended, terms_at = match(raw, RECORD_FORM)
  if not KNOWN_STATES[state] then return nil end
  if state == 'HELD' or state == 'EXPIRED' then
    if create == '' or ttl == '' or ttl == '-' then return nil end
  end
  return { raw = raw, state = state, create = create, ttl = ttl, ended = ended, terms = sub(raw, terms_at) }
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
