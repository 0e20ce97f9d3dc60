-- The least work that many orders of one sku are for Redis: reserve, begin and settle, each for all of them at once, as
-- three calls would do it. KEYS: stock, held, deadlines, unsettled. ARGV: the sku, then ids. Answers how many were
-- sold.
local time = redis.call('TIME')
local create = time[1] .. '000'
local expire = (time[1] + 600) .. '000'
local prefix = string.sub(KEYS[1], 1, -6) .. 'r:'
local sku, keys, ids = ARGV[1], {}, {}
for i = 2, #ARGV do
  ids[i - 1] = ARGV[i]
  keys[i - 1] = prefix .. ARGV[i]
end

-- The same record for all of them.
local function write(record)
  local records = {}
  for i, key in ipairs(keys) do records[2 * i - 1], records[2 * i] = key, record end
  redis.call('MSET', unpack(records))
end

local function enter(index, score)
  local entries = {}
  for i, id in ipairs(ids) do entries[2 * i - 1], entries[2 * i] = score, id end
  redis.call('ZADD', index, unpack(entries))
end

-- Reserve.
redis.call('MGET', unpack(keys))
if redis.call('HGET', KEYS[1], sku) - (redis.call('HGET', KEYS[2], sku) or 0) < #keys then return 0 end
local times = '\t' .. create .. '\t' .. expire .. '\t'
write('1\tHELD' .. times .. '\tHI6r1REgg_Lm1UMlSGJQfA\t\t' .. sku .. '\t1')
enter(KEYS[3], expire)
redis.call('HINCRBY', KEYS[2], sku, #keys)

-- Begin.
redis.call('MGET', unpack(keys))
write('1\tCONFIRMING' .. times .. '\tHI6r1REgg_Lm1UMlSGJQfA\tHI6r1REgg_Lm1UMlSGJQfA\t' .. sku .. '\t1')
redis.call('ZREM', KEYS[3], unpack(ids))
enter(KEYS[4], create)

-- Settle. What has ended is kept for a day only.
redis.call('MGET', unpack(keys))
local ended = '1\tCONFIRMED' .. times .. create .. '\tHI6r1REgg_Lm1UMlSGJQfA\tHI6r1REgg_Lm1UMlSGJQfA\t' .. sku .. '\t1'
for _, key in ipairs(keys) do redis.call('SET', key, ended, 'PX', 86400000) end
redis.call('ZREM', KEYS[4], unpack(ids))
redis.call('HINCRBY', KEYS[1], sku, -#keys)
redis.call('HINCRBY', KEYS[2], sku, -#keys)
return #keys
