-- Scan: a page of what the index of one shard lists.
--
-- KEYS     the pages of the index from where the scan goes on, in their order
--
-- ARGV[1]  where to go on in KEYS[1], as ZRANGE … BYLEX has it
-- ARGV[2]  where to begin in the others
-- ARGV[3]  where to end in all
-- ARGV[4]  how many at most
--
-- Returns the place in KEYS that the last one is from, or 0 if there are no more,
-- and then what is listed. It writes nothing.

local left = tonumber(ARGV[4])
local out = { 0 }
for i = 1, #KEYS do
  local from = i == 1 and ARGV[1] or ARGV[2]
  local listed = redis.call('ZRANGE', KEYS[i], from, ARGV[3], 'BYLEX', 'LIMIT', 0, left)
  for _, name in ipairs(listed) do out[#out + 1] = name end
  left = left - #listed
  if left == 0 then
    out[1] = i
    return out
  end
end
return out
