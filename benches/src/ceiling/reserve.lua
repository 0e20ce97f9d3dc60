-- The cheapest that holding units of one sku for many orders can be: each id is looked for, and leaves a record and a
-- deadline. KEYS: stock, held, deadlines, unsettled. ARGV: the sku, then ids. Answers how many were held.
local time = redis.call('TIME')
local create = time[1] .. '000'
local expire = (time[1] + 600) .. '000'
local prefix = string.sub(KEYS[1], 1, -6) .. 'r:'
local keys = {}
for i = 2, #ARGV do keys[i - 1] = prefix .. ARGV[i] end
local seen = redis.call('MGET', unpack(keys))
local free = redis.call('HGET', KEYS[1], ARGV[1]) - (redis.call('HGET', KEYS[2], ARGV[1]) or 0)
if free < #keys then return 0 end
local records, deadlines, units = {}, {}, 0
local record = '1\tHELD\t' .. create .. '\t' .. expire .. '\t\tHI6r1REgg_Lm1UMlSGJQfA\t\t' .. ARGV[1] .. '\t1'
for i, key in ipairs(keys) do
  if not seen[i] then
    records[#records + 1], records[#records + 2] = key, record
    deadlines[#deadlines + 1], deadlines[#deadlines + 2] = expire, ARGV[i + 1]
    units = units + 1
  end
end
redis.call('MSET', unpack(records))
redis.call('ZADD', KEYS[3], unpack(deadlines))
redis.call('HINCRBY', KEYS[2], ARGV[1], units)
return units
