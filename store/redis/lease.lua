-- Lease: hands out those of the named effects of one shard that are due.
--
-- KEYS[1]  the shard's effects by their due time (sorted set)
-- KEYS[k]  k > 1: the effects that looked due a moment ago
--
-- ARGV[1]  now, in milliseconds since 1970
-- ARGV[2]  until when the lease runs
-- ARGV[3]  this call, so that one that is sent again gets what it had
-- ARGV[k]  k > 3: the id of the effect KEYS[k - 2]
--
-- Returns for each effect that is handed out: its place among the ids from 1, when
-- it was due, kind, try, note, body.

-- What the sorted set is asked and told is one command each for all effects: an effect
-- took five commands, and takes two.

local now = tonumber(ARGV[1])
local out, moved = {}, {}
local dues = redis.call('ZMSCORE', KEYS[1], unpack(ARGV, 4))
for n = 4, #ARGV do
  local id, key, due = ARGV[n], KEYS[n - 2], dues[n - 3]
  if due then
    local e = redis.call('HMGET', key, 'kind', 'try', 'note', 'body', 'by', 'was')
    if e[5] == ARGV[3] then
      out[#out + 1] = { n - 3, e[6], e[1], e[2], e[3], e[4] }
    elseif not e[1] then
      redis.call('ZREM', KEYS[1], id) -- of no effect, by a hand from outside
    elseif tonumber(due) <= now then
      local try = string.format('%.0f', e[2] + 1)
      redis.call('HSET', key, 'try', try, 'leased', '1', 'by', ARGV[3], 'was', due)
      moved[#moved + 1], moved[#moved + 2] = ARGV[2], id
      out[#out + 1] = { n - 3, due, e[1], try, e[3], e[4] }
    end
  end
end
if #moved > 0 then redis.call('ZADD', KEYS[1], unpack(moved)) end
return out
