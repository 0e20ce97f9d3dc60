-- Why lines cannot be held.

-- nil if these lines can be held as things are. Else the refusal, and whether it says that too little is free.
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
        short = (short or 'short') .. '\t' .. sku .. '\t' .. text(quantity)
          .. '\t' .. text(max(0, free)) .. '\t' .. text(units)
      end
    end
  end
  if missing then return missing, false end
  if retired then return retired, false end
  return short, short ~= nil
end

-- nil if these lines can be held now, else the refusal. Overdue holds are reclaimed only when they are in the way.
local function refusal_to_hold(lines)
  worked = worked + #lines.skus
  if not lines.has_registers then read_registers_of(lines) end
  if not lines.has_held then read_held_of(lines) end
  local refusal, is_short = refusal_as_it_is(lines)
  if is_short and reclaim() > 0 then refusal, is_short = refusal_as_it_is(lines) end
  if is_short and overdue_remain then return 'more' end
  return refusal
end
