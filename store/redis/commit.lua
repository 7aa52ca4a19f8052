-- Commit: one batch of Changes of one shard, each whole or not at all.
--
-- KEYS[1]  what this process has sent of this shard last, and what came of it
-- KEYS[2]  the shard's effects by their due time (sorted set)
-- KEYS[k]  k > 2: every record, count, effect and page of the index that the
--          batch touches, named by their place here
--
-- ARGV[1]  the batch's number: one more than this process's last for the shard
-- ARGV[2]  how long KEYS[1] is kept, in milliseconds
-- ARGV[3…] for each Change the number of its operations, and then these, each a
--          letter with its arguments:
--
--   c key version                       check a record ("0": there is none)
--   p key page version record member    put a record (as it is kept)
--   x key page version member           remove a record
--   s key page try id                   settle an effect
--   o key try due note id               put an effect off
--   d key page id                       drop an effect
--   e key page due kind body id         owe an effect
--   a key page by low high member       add to a count that is between low and high
--
-- Returns a word for each Change: "ok", or the letter of the guard that failed (c
-- conflict, s stale, b bound) and the number of its operation, from 1. A batch
-- that is sent again gets the answer that it had; one that is older than the last
-- is an error, and nothing happens.

local number = tonumber(ARGV[1])
local last = redis.call('GET', KEYS[1])
if last then
  local seen, answer = string.match(last, '^(%d+) (.*)$')
  seen = tonumber(seen)
  if seen == number then return answer end
  if seen > number then return redis.error_reply('LATE this batch was given up') end
end

local function key(i) return KEYS[tonumber(ARGV[i])] end

-- A record is its version, a space, and its value.
local function conflict(i, want)
  local head = redis.call('GETRANGE', key(i), 0, 20)
  return (string.match(head, '^%d+') or '0') ~= ARGV[want] and 'c'
end

-- Only the try that holds an effect can end it.
local function stale(i, try)
  local held = redis.call('HMGET', key(i), 'try', 'leased')
  return (held[1] ~= ARGV[try] or held[2] ~= '1') and 's'
end

local size = { c = 2, p = 5, x = 4, s = 4, o = 5, d = 3, e = 6, a = 6 }

-- Each returns false, or the letter of what is wrong. i is the first argument.
local guard = {
  c = function(i) return conflict(i, i + 1) end,
  p = function(i) return conflict(i, i + 2) end,
  x = function(i) return conflict(i, i + 2) end,
  s = function(i) return stale(i, i + 2) end,
  o = function(i) return stale(i, i + 1) end,
  d = function(i) return false end,
  e = function(i) return redis.call('EXISTS', key(i)) == 1 and 'c' end,
  a = function(i)
    local n = tonumber(redis.call('GET', key(i)) or '0')
    return (n < tonumber(ARGV[i + 3]) or n > tonumber(ARGV[i + 4])) and 'b'
  end,
}

local function forget(i, page, id)
  redis.call('DEL', key(i))
  redis.call('ZREM', KEYS[2], id)
  redis.call('ZREM', key(page), 'e' .. id)
end

local write = {
  c = function(i) end,
  p = function(i)
    redis.call('SET', key(i), ARGV[i + 3])
    if ARGV[i + 2] == '0' then redis.call('ZADD', key(i + 1), 0, ARGV[i + 4]) end
  end,
  x = function(i)
    redis.call('DEL', key(i))
    redis.call('ZREM', key(i + 1), ARGV[i + 3])
  end,
  s = function(i) forget(i, i + 1, ARGV[i + 3]) end,
  o = function(i)
    redis.call('HSET', key(i), 'leased', '0', 'note', ARGV[i + 3], 'by', '')
    redis.call('ZADD', KEYS[2], ARGV[i + 2], ARGV[i + 4])
  end,
  d = function(i) forget(i, i + 1, ARGV[i + 2]) end,
  e = function(i)
    redis.call('HSET', key(i), 'kind', ARGV[i + 3], 'try', '0', 'leased', '0', 'note', '', 'by', '', 'body', ARGV[i + 4])
    redis.call('ZADD', KEYS[2], ARGV[i + 2], ARGV[i + 5])
    redis.call('ZADD', key(i + 1), 0, 'e' .. ARGV[i + 5])
  end,
  a = function(i)
    if ARGV[i + 2] == '0' then return end
    local n = redis.call('INCRBY', key(i), ARGV[i + 2])
    if n == 0 then
      redis.call('DEL', key(i))
      redis.call('ZREM', key(i + 1), ARGV[i + 5])
    elseif n == tonumber(ARGV[i + 2]) then
      redis.call('ZADD', key(i + 1), 0, ARGV[i + 5])
    end
  end,
}

local answers = {}
local i = 3
while i <= #ARGV do
  local operations = tonumber(ARGV[i])
  local first = i + 1
  local wrong = false
  i = first
  for op = 1, operations do
    local letter = not wrong and guard[ARGV[i]](i + 1)
    if letter then wrong = letter .. op end
    i = i + 1 + size[ARGV[i]]
  end
  if not wrong then
    i = first
    for op = 1, operations do
      write[ARGV[i]](i + 1)
      i = i + 1 + size[ARGV[i]]
    end
  end
  answers[#answers + 1] = wrong or 'ok'
end

local answer = table.concat(answers, ' ')
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. answer, 'PX', ARGV[2])
return answer
