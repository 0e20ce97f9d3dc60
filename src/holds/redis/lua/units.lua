-- What is held of each sku.

-- Adds the units of these lines to the counters (sign 1), or takes them away (sign -1).
local function hold(lines, sign)
  if not lines.has_held then read_held_of(lines) end
  local skus, quantities = lines.skus, lines.quantities
  worked = worked + #skus
  for index = 1, #skus do
    local sku = skus[index]
    local counter = held[sku]
    set_held(sku, counter, max(0, counter.units + sign * quantities[index]))
  end
end

-- The lines that are in `whole` beyond `part`; nil if `part` is not within `whole`.
local function rest_of(whole, part)
  local wanted, rest = {}, { skus = {}, quantities = {} }
  for index, sku in ipairs(part.skus) do wanted[sku] = part.quantities[index] end
  for index, sku in ipairs(whole.skus) do
    local left = whole.quantities[index] - (wanted[sku] or 0)
    if left < 0 then return nil end
    wanted[sku] = nil
    if left > 0 then
      rest.skus[#rest.skus + 1] = sku
      rest.quantities[#rest.quantities + 1] = left
    end
  end
  if next(wanted) then return nil end
  return rest
end
