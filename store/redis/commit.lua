-- Commit: one batch of Changes of one shard, each whole or not at all.
--
-- KEYS[1]  what this process has sent of this shard last, and what came of it
-- KEYS[2]  the shard's effects by their due time (sorted set)
-- KEYS[3…] for each Change the keys of its parts, group by group in the order below,
--          and then a page of the index for each part of the groups with a *
--
-- ARGV[1]  the batch's number: one more than this process's last for the shard
-- ARGV[2]  how long KEYS[1] is kept, in milliseconds
-- ARGV[3]  an array of strings in MessagePack, which cost less than as many arguments of
--          Redis's (424 µs of the scripts of a purchase, and not 446); for each Change:
--          ten bytes, how many parts each group has; a byte for each guard, where it
--          stands in the Change, from 1; and then the groups:
--
--   owed*     due id kind body  an effect is owed
--   put*      record member   a new record (as it is kept)
--   absent                    a record that must not be there
--   update    version record  a record is written at its next version
--   remove*   version member  a record is removed
--   check     version         a record must be at a version
--   settle*   try id          an effect is settled
--   put off   try due note id an effect is put off; w before the try: that nobody holds
--   count*    low high by member   a count that is between low and high is added to
--   drop*     id              an effect is dropped
--
-- Guards of a kind stand together, so that those of the first three groups are one
-- EXISTS, and those of counts one MGET: the first commit of a purchase took 26 commands
-- when each part had its own, and takes 18. What becomes due and what is due no more, of
-- all Changes together, is one ZADD and one ZREM: with that, and with what lease.lua has
-- done together, the scripts of a purchase are 36 commands fewer, and 446 µs of the
-- server and not 505 (hashtill bench buy --store redis).
--
-- Returns a word for each Change: "ok", or the letter of the guard that failed (c
-- conflict, s stale, b bound) and its place. A batch that is sent again gets the
-- answer that it had; one that is older than the last is an error, and nothing
-- happens.

local call, byte, match, tonumber, unpack, KEYS, ARGV = redis.call, string.byte, string.match, tonumber, unpack, KEYS, ARGV

local last = call('GET', KEYS[1])
if last then
  local seen, answer = match(last, '^(%d+) (.*)$')
  seen = tonumber(seen)
  if seen == tonumber(ARGV[1]) then return answer end
  if seen > tonumber(ARGV[1]) then return redis.error_reply('LATE this batch was given up') end
end

-- What becomes due, each time before its id, and what is due no more. An id that is gone
-- may be owed again by a later Change. unpack does at most 8,000.
local due, gone, isGone = {}, {}, {}

local function flush()
  if #due > 0 then call('ZADD', KEYS[2], unpack(due)) end
  if #gone > 0 then call('ZREM', KEYS[2], unpack(gone)) end
  due, gone, isGone = {}, {}, {}
end

local function falls(at, id)
  if isGone[id] or #due > 4000 then flush() end
  due[#due + 1], due[#due + 2] = at, id
end

local function forget(key, page, id)
  call('DEL', key)
  call('ZREM', page, 'e' .. id)
  if #gone > 4000 then flush() end
  gone[#gone + 1], isGone[id] = id, true
end

local first, wrong -- the guard that fails, and its letter
local places, before -- of the Change's guards, and what keys stand before theirs

local function fails(key, letter)
  local at = byte(places, key - before)
  if at < first then first, wrong = at, letter end
end

local answers = {}
local number, kept, ARGV = ARGV[1], ARGV[2], cmsgpack.unpack(ARGV[3])
local k, a = 2, 0 -- what stands before the Change
local function run()
  while a < #ARGV do
    local owed, put, absent, update, remove, check, settle, off, count, drop = byte(ARGV[a + 1], 1, 10)
    -- What stands before the first argument, key and page of a group.
    local aOwed = a + 2
    local aPut = aOwed + 4 * owed
    local aUpdate = aPut + 2 * put
    local aRemove = aUpdate + 2 * update
    local aCheck = aRemove + 2 * remove
    local aSettle = aCheck + check
    local aOff = aSettle + 2 * settle
    local aCount = aOff + 4 * off
    local aDrop = aCount + 4 * count
    a = aDrop + drop
    local new = owed + put + absent
    local kOwed = k
    local kUpdate = k + new
    local kRemove = kUpdate + update
    local kCheck = kRemove + remove
    local kSettle = kCheck + check
    local kOff = kSettle + settle
    local kCount = kOff + off
    local kDrop = kCount + count
    local page = kDrop + drop
    k = page + owed + put + remove + settle + count + drop

    first, wrong, places, before = 256, nil, ARGV[aOwed], kOwed
    if new > 0 and call('EXISTS', unpack(KEYS, kOwed + 1, kUpdate)) > 0 then
      for key = kOwed + 1, kUpdate do
        if call('EXISTS', KEYS[key]) == 1 then fails(key, 'c') end
      end
    end
    -- A record is its version, a space, and its value.
    for n = 1, update + remove + check do
      local arg = n <= update + remove and aUpdate + 2 * n - 1 or aCheck + n - update - remove
      if match(call('GETRANGE', KEYS[kUpdate + n], '0', '20'), '^%d*') ~= ARGV[arg] then fails(kUpdate + n, 'c') end
    end
    -- Only the try that holds an effect can end it. One that waits can be put off by anybody.
    for n = 1, settle + off do
      local arg = n <= settle and aSettle + 2 * n - 1 or aOff + 4 * (n - settle) - 3
      local held = call('HMGET', KEYS[kSettle + n], 'try', 'leased')
      if (held[1] ~= ARGV[arg] or held[2] ~= '1') and (not held[1] or 'w' .. held[1] ~= ARGV[arg] or held[2] ~= '0') then
        fails(kSettle + n, 's')
      end
    end
    local counts = count > 0 and call('MGET', unpack(KEYS, kCount + 1, kDrop))
    for n = 1, count do
      local now, arg = tonumber(counts[n] or 0), aCount + 4 * n
      if now < tonumber(ARGV[arg - 3]) or now > tonumber(ARGV[arg - 2]) then fails(kCount + n, 'b') end
    end

    if wrong then
      answers[#answers + 1] = wrong .. first
    else
      for n = 1, owed do
        local arg = aOwed + 4 * n
        local id = ARGV[arg - 2]
        call('HSET', KEYS[kOwed + n], 'kind', ARGV[arg - 1], 'try', '0', 'leased', '0', 'note', '', 'by', '', 'body', ARGV[arg])
        falls(ARGV[arg - 3], id)
        call('ZADD', KEYS[page + n], '0', 'e' .. id)
      end
      page = page + owed
      for n = 1, put do
        call('SET', KEYS[kOwed + owed + n], ARGV[aPut + 2 * n - 1])
        call('ZADD', KEYS[page + n], '0', ARGV[aPut + 2 * n])
      end
      page = page + put
      for n = 1, update do call('SET', KEYS[kUpdate + n], ARGV[aUpdate + 2 * n]) end
      for n = 1, remove do
        call('DEL', KEYS[kRemove + n])
        call('ZREM', KEYS[page + n], ARGV[aRemove + 2 * n])
      end
      page = page + remove
      for n = 1, settle do forget(KEYS[kSettle + n], KEYS[page + n], ARGV[aSettle + 2 * n]) end
      page = page + settle
      for n = 1, off do
        local arg = aOff + 4 * n
        call('HSET', KEYS[kOff + n], 'leased', '0', 'note', ARGV[arg - 1], 'by', '')
        falls(ARGV[arg - 2], ARGV[arg])
      end
      for n = 1, count do
        local arg = aCount + 4 * n
        -- Not INCRBY: what Redis appends to its file may be done twice (see mend in servers.go).
        local now = tonumber(counts[n] or 0) + tonumber(ARGV[arg - 1])
        if now == 0 then
          call('DEL', KEYS[kCount + n])
          call('ZREM', KEYS[page + n], ARGV[arg])
        else
          call('SET', KEYS[kCount + n], string.format('%.0f', now))
          if not counts[n] then call('ZADD', KEYS[page + n], '0', ARGV[arg]) end
        end
      end
      page = page + count
      for n = 1, drop do forget(KEYS[kDrop + n], KEYS[page + n], ARGV[aDrop + n]) end
      answers[#answers + 1] = 'ok'
    end
  end
end

-- What is done before a key that a hand has spoiled stays done, and so it has to be due.
local whole, err = pcall(run)
flush()
if not whole then error(err) end

local answer = table.concat(answers, ' ')
call('SET', KEYS[1], number .. ' ' .. answer, 'PX', kept)
return answer
