package main

import "slices"

// The tests that faults are tried on.
var (
	memoryTests   = testSet{pkg: "./store", run: "^TestMemory$"}
	outboxTests   = testSet{pkg: "./store", run: "^TestOutbox"}
	contractTests = testSet{pkg: "./store/sqlite", run: "^(TestStore|TestReopen|TestLife)$"}
	sqliteTests   = testSet{pkg: "./store/sqlite", run: "^(TestWithdrawn|TestQueueBounded|TestDatabaseFull|TestSettings|TestPlans)$"}
	redisTests    = testSet{pkg: "./store/redis", run: "^(TestStore|TestLife|TestReopen|TestAnswerLost|TestLeaseAnswerLost|TestLeaseLooksAgain|TestBatchNumbers|TestScriptsFlushed|TestKeys)$"}
	clusterTests  = testSet{pkg: "./store/redis", run: "^TestCluster$"}
	// Without what compares the table with its picture, which any change of the
	// table would catch, and without the random lives, which differ at each run.
	offersTests = testSet{pkg: "./offers", run: "^Test", skip: "^(TestDiagramIsTheTable|TestTableHasARowForEverything|TestStepHoldsItsPromises)$"}
	worldTests  = testSet{pkg: "./cmd/dev/world", run: "^TestWorlds$", env: []string{"WORLDS=2000"}}
	modelTests  = testSet{pkg: "./offers", run: "^TestModel$"}
	payingTests = testSet{pkg: "./confirm", run: "^Test(Choosing|Chosen|Forms|CardIn)"}
	tillTests   = testSet{pkg: "./confirm/stripe", run: "^Test(Budget|TooMany|RefundSlot)"}
	hookTests   = testSet{pkg: "./confirm", run: "^TestWebhook(Signatures|Strangers)$"}
	afterTests  = testSet{pkg: "./confirm", run: "^Test(Afterwards|Withdrawn|RefundInPart|LookingChangesNothing)"}
	booksTests  = testSet{pkg: "./confirm", run: "^TestReconcile"}
	joinTests   = testSet{pkg: "./confirm", run: "^Test(Registering|BackNeedsTheMail|AccountEdits|SignOut|SignInIsBound|ProvenIsAnAddress|ScannersChangeNothing|Joining|LeavingBefore|CodesAreCounted)"}
	cardTests   = testSet{pkg: "./confirm", run: "^TestCards$"}
	lifeTests   = testSet{pkg: "./confirm", run: "^TestHistories$"}
	killTests   = testSet{pkg: "./cmd/hashtill", run: "^TestKilledOnSQLite$"}
	signInTests = testSet{pkg: "./bot/x", run: "^TestSignIn(Nobody)?$"}
	readTests   = testSet{pkg: "./bot", run: "^Test(Read|Commands|StopByAnEdit)$"}
	hearTests   = testSet{pkg: "./bot/x", run: "^Test(HearingUnderFaults|CatchingUp|BackoffOutlivesListen|PartialEvents|WebhookTakes)"}
	fairTests   = testSet{pkg: "./bot/x", run: "^TestHearingUnderFaults$"}
	speakTests  = testSet{pkg: "./bot/x", run: "^Test(Budget|Queue|RefusalWithoutATime|RepliesOfADay|Looking)"}
	burstTests  = testSet{pkg: "./bot/x", run: "^TestBurst$"}
	glanceTests = testSet{pkg: "./bot/x", run: "^TestGlance"}
)

// Files with many faults.
const (
	theContract  = "store/store.go"
	theMemory    = "store/memory.go"
	theOutbox    = "store/outbox.go"
	sqliteCommit = "store/sqlite/commit.go"
	sqliteLoad   = "store/sqlite/load.go"
	sqliteRead   = "store/sqlite/read.go"
	sqliteWriter = "store/sqlite/writer.go"
	redisCommit  = "store/redis/commit.lua"
	redisLease   = "store/redis/lease.lua"
	redisKeys    = "store/redis/keys.go"
	theHearing   = "bot/x/hearing.go"
	theBudget    = "bot/x/budget.go"
	theStep      = "offers/step.go"
	theShop      = "offers/shop.go"
	thePurchase  = "offers/purchase.go"
	theSpending  = "offers/spend.go"
	theQuiet     = "offers/quiet.go"
	theAfter     = "offers/after.go"
	thePerformer = "offers/perform.go"
	theBooks     = "confirm/reconcile.go"
	theBookRules = "confirm/reconcilerules.go"
	theRepairs   = "confirm/reconcilerepairs.go"
)

// faultTable has all faults.
var faultTable = slices.Concat(mainFaults, saleFaults)

// mainFaults are by group. To add one, choose a text that stands once
// in its file and is not likely to move: a condition rather than its lines.
var mainFaults = []fault{
	// What every back-end asks package store.
	{"contract/due-rounded-down", theContract, "\t\tms++\n", "\t\t_ = ms\n", memoryTests},
	{"contract/bound-one-too-high", theContract, "high = most - a.By", "high = most - a.By + 1", memoryTests},
	{"contract/lower-bound-one-too-low", theContract, "low = least - a.By", "low = least - a.By - 1", memoryTests},
	{"contract/named-twice", theContract, "v.want(!seen[key], ", "v.want(true, ", memoryTests},
	{"contract/lease-ends-as-it-begins", theContract, "if Millis(until) <= now", "if Millis(until) < now", memoryTests},

	{"memory/guard-after-write", theMemory, "\tfor _, p := range c.Settle {\n\t\tif !s.holds(",
		"\tfor _, p := range c.Put {\n\t\tif p.Value != nil {\n\t\t\ts.records.set(p.Key, Record{Key: p.Key, Version: p.Version + 1, Value: p.Value})\n\t\t}\n\t}\n" +
			"\tfor _, p := range c.Settle {\n\t\tif !s.holds(", memoryTests},
	{"memory/lease-never-expires", theMemory, "e.due = Millis(until)", "e.due = Millis(until.AddDate(100, 0, 0))", memoryTests},
	{"memory/bound-ignored", theMemory, "n < low || n > high", "n < low && n > high", memoryTests},
	{"memory/settled-by-the-wrong-try", theMemory, "e.leased && e.try == try", "e.leased && try > 0", memoryTests},
	{"memory/settled-without-a-lease", theMemory, "e.leased && e.try == try", "e.try == try", memoryTests},
	{"memory/version-not-checked", theMemory,
		"range c.Put {\n\t\tif s.records.rows[p.Key].Version != p.Version",
		"range c.Put {\n\t\tif p.Version < 0", memoryTests},
	{"memory/check-not-checked", theMemory,
		"range c.Check {\n\t\tif s.records.rows[p.Key].Version != p.Version",
		"range c.Check {\n\t\tif p.Version < 0", memoryTests},
	{"memory/version-stands-still", theMemory, "Version: p.Version + 1", "Version: max(p.Version, 1)", memoryTests},
	{"memory/removal-leaves-the-record", theMemory, "s.records.remove(p.Key)", "s.records.set(p.Key, Record{Key: p.Key})", memoryTests},
	{"memory/owe-overwrites", theMemory, "s.effects.rows[e.ID]; owed {", "s.effects.rows[e.ID]; owed && e.ID == \"\" {", memoryTests},
	{"memory/drop-drops-nothing", theMemory, "range c.Drop {\n\t\tm.forget(s, id)", "range c.Drop {\n\t\t_ = id", memoryTests},
	{"memory/put-off-forgets-the-note", theMemory, "= false, Millis(p.Due), p.Note", "= false, Millis(p.Due), \"\"", memoryTests},
	{"memory/put-off-keeps-the-lease", theMemory, "= false, Millis(p.Due), p.Note", "= true, Millis(p.Due), p.Note", memoryTests},
	{"memory/put-off-forgets-the-time", theMemory, "= false, Millis(p.Due), p.Note", "= false, e.due, p.Note", memoryTests},
	{"memory/due-rounded-down", theMemory, "kind: p.Kind, due: Millis(p.Due)", "kind: p.Kind, due: p.Due.UnixMilli()", memoryTests},
	{"memory/due-not-kept-in-order", theMemory, "heap.Fix(&m.due, e.heapIndex)", "_ = e.heapIndex", memoryTests},
	{"memory/handed-out-late", theMemory, "m.due[0].due <= now.UnixMilli()", "m.due[0].due < now.UnixMilli()", memoryTests},
	{"memory/handed-out-early", theMemory, "m.due[0].due <= now.UnixMilli()", "m.due[0].due <= now.UnixMilli()+1", memoryTests},
	{"memory/lease-above-its-limit", theMemory, "len(leases) < limit", "len(leases) <= limit", memoryTests},
	{"memory/try-not-counted", theMemory, "\t\te.try++\n", "\t\te.try = 1\n", memoryTests},
	{"memory/page-loses-its-border", theMemory, "return page, page[len(page)-1]", "return page, key", memoryTests},
	{"memory/scan-of-all-prefixes", theMemory,
		"if !strings.HasPrefix(key, prefix) {",
		"if !strings.HasPrefix(key, prefix[:len(prefix)/2]) {", memoryTests},
	{"memory/pages-not-made-anew", theMemory, "\tdelete(t.rows, key)\n\tt.sorted = nil\n", "\tdelete(t.rows, key)\n", memoryTests},
	{"memory/zero-count-stays", theMemory, "if n == 0 {", "if n == 0 && key == \"\" {", memoryTests},
	{"memory/value-shared", theMemory, "\tr.Value = bytes.Clone(r.Value)\n", "", memoryTests},
	{"memory/load-keeps-the-lease", theMemory, "due: Millis(o.Due), try: o.Try,", "due: Millis(o.Due), try: o.Try, leased: o.Try > 0,", memoryTests},
	{"memory/load-adds-to-the-count", theMemory, "s.setCount(c.Key, c.N)", "s.setCount(c.Key, c.N+s.counts.rows[c.Key])", memoryTests},
	{"memory/load-forgets-the-try", theMemory, "due: Millis(o.Due), try: o.Try,", "due: Millis(o.Due),", memoryTests},

	{"sqlite/guard-after-write", sqliteWriter, `w.exec("ROLLBACK TO job")`, "error(nil)", contractTests},
	{"sqlite/lease-never-expires", sqliteCommit, "SET due = ?, try = try + 1,", "SET due = ? + 3155760000000, try = try + 1,", contractTests},
	{"sqlite/bound-ignored", sqliteCommit, "), 0) BETWEEN ?4 AND ?5", "), 0) BETWEEN ?4 - 1000 AND ?5 + 1000", contractTests},
	{"sqlite/bound-ignored-at-zero", sqliteCommit, "AND n BETWEEN ?4 AND ?5", "AND n BETWEEN ?4 - 1000 AND ?5 + 1000", contractTests},
	{"sqlite/settled-by-the-wrong-try", sqliteCommit,
		"`DELETE FROM effect WHERE shard = ? AND id = ? AND try = ? AND",
		"`DELETE FROM effect WHERE shard = ? AND id = ? AND ? > 0 AND", contractTests},
	{"sqlite/settled-without-a-lease", sqliteCommit,
		"`DELETE FROM effect WHERE shard = ? AND id = ? AND try = ? AND leased = 1`",
		"`DELETE FROM effect WHERE shard = ? AND id = ? AND try = ?`", contractTests},
	{"sqlite/put-off-by-the-wrong-try", sqliteCommit,
		"note = ? WHERE shard = ? AND id = ? AND try = ? AND",
		"note = ? WHERE shard = ? AND id = ? AND ? > 0 AND", contractTests},
	{"sqlite/version-not-checked", sqliteCommit,
		"value = ? WHERE shard = ? AND key = ? AND version = ?",
		"value = ? WHERE shard = ? AND key = ? AND ? > 0", contractTests},
	{"sqlite/removed-at-any-version", sqliteCommit,
		"`DELETE FROM record WHERE shard = ? AND key = ? AND version = ?`",
		"`DELETE FROM record WHERE shard = ? AND key = ? AND ? > 0`", contractTests},
	{"sqlite/check-not-checked", sqliteCommit, "if version != p.Version {", "if version < 0 {", contractTests},
	{"sqlite/version-stands-still", sqliteCommit, "SET version = version + 1,", "SET version = version,", contractTests},
	{"sqlite/removal-leaves-the-record", sqliteCommit, "`DELETE FROM record WHERE", "`UPDATE record SET version = 0 WHERE", contractTests},
	{"sqlite/owe-overwrites", sqliteCommit, "'', ?) ON CONFLICT DO NOTHING", "'', ?) ON CONFLICT DO UPDATE SET body = excluded.body", contractTests},
	{"sqlite/drop-drops-nothing", sqliteCommit,
		"w.change(`DELETE FROM effect WHERE",
		"w.change(`DELETE FROM effect WHERE leased < 0 AND", contractTests},
	{"sqlite/put-off-forgets-the-note", sqliteCommit, "store.Millis(p.Due), p.Note,", "store.Millis(p.Due), \"\",", contractTests},
	{"sqlite/put-off-keeps-the-lease", sqliteCommit, "leased = 0, note = ? WHERE", "leased = 1, note = ? WHERE", contractTests},
	{"sqlite/due-rounded-down", sqliteCommit, "e.Kind, store.Millis(e.Due)", "e.Kind, e.Due.UnixMilli()", contractTests},
	{"sqlite/try-not-counted", sqliteCommit, "SET due = ?, try = try + 1,", "SET due = ?, try = max(try, 1),", contractTests},
	{"sqlite/lease-takes-others", sqliteCommit,
		"(SELECT shard, id FROM effect WHERE due <= ? ORDER BY due, shard, id",
		"(SELECT shard, id FROM effect WHERE due <= ? ORDER BY id, shard, due", contractTests},
	{"sqlite/zero-count-stays", sqliteCommit, " WHERE n + excluded.n <> 0`", "`", contractTests},
	{"sqlite/page-loses-its-border", sqliteRead, "return recs[:limit], recs[limit-1].Key", "return recs[:limit], recs[limit].Key", contractTests},
	{"sqlite/counts-lose-their-border", sqliteRead,
		"return counts[:limit], counts[limit-1].Key",
		"return counts[:limit], counts[limit].Key", contractTests},
	{"sqlite/owed-lose-their-border", sqliteRead, "return owed[:limit], owed[limit-1].ID", "return owed[:limit], owed[limit].ID", contractTests},
	{"sqlite/prefix-without-an-end", sqliteRead, "if prefix[i] < 0xff {", "if prefix[i] < 0x7f {", contractTests},
	{"sqlite/reads-many-moments", sqliteRead, "if len(keys) > 1 {", "if len(keys) > 1000000 {", contractTests},
	{"sqlite/load-keeps-the-lease", sqliteLoad, "try = excluded.try, leased = 0,", "try = excluded.try,", contractTests},
	{"sqlite/load-adds-to-the-count", sqliteLoad, "SET n = excluded.n", "SET n = n + excluded.n", contractTests},
	{"sqlite/load-forgets-the-note", sqliteLoad, "note = excluded.note, ", "", contractTests},
	{"sqlite/one-guard-fails-the-batch", sqliteWriter, "errors.As(j.err, &guard)", "errors.As(j.err, &guard) && j.parts < 0", contractTests},
	{"sqlite/answered-before-the-commit", sqliteWriter, `w.exec("COMMIT")`, `w.exec("ROLLBACK")`, contractTests},
	{"sqlite/withdrawn-and-done", sqliteWriter,
		"return j.ctx.Err() == nil && j.taken.CompareAndSwap(false, true)",
		"return j.taken.CompareAndSwap(false, true) || true", sqliteTests},
	{"sqlite/failed-commit-is-success", sqliteWriter, `j.err = fmt.Errorf("sqlite: %w", err)`, `_ = fmt.Errorf("sqlite: %w", err)`, sqliteTests},
	{"sqlite/queue-without-a-bound", sqliteWriter, "make(chan *job, maxBatch)", "make(chan *job, 100*maxBatch)", sqliteTests},
	{"sqlite/not-synced", "store/sqlite/sqlite.go", `"synchronous(FULL)"`, `"synchronous(NORMAL)"`, sqliteTests},
	{"sqlite/no-index-of-what-is-due", "store/sqlite/compact.sql", "ON effect (due, shard, id)", "ON effect (kind)", sqliteTests},

	{"redis/missing-hash-tag", redisKeys, `{ return shardTag[shard] + "c:" + key }`, `{ return strconv.Itoa(shard) + ":c:" + key }`, clusterTests},
	{"redis/guard-after-write", redisCommit, "    if letter then wrong = letter .. op end\n", "    if letter then wrong = letter .. op else write[ARGV[i]](i + 1) end\n", redisTests},
	{"redis/lease-never-expires", redisLease, "redis.call('ZADD', KEYS[1], ARGV[2], id)", "redis.call('ZREM', KEYS[1], id)", redisTests},
	{"redis/bound-ignored", redisCommit, "n < tonumber(ARGV[i + 3]) or n > tonumber(ARGV[i + 4])", "n < tonumber(ARGV[i + 3])", redisTests},
	{"redis/lower-bound-ignored", redisCommit, "n < tonumber(ARGV[i + 3]) or n > tonumber(ARGV[i + 4])", "n > tonumber(ARGV[i + 4])", redisTests},
	{"redis/settled-by-the-wrong-try", redisCommit, "held[1] ~= ARGV[try] or held[2]", "held[2]", redisTests},
	{"redis/settled-without-a-lease", redisCommit, "held[1] ~= ARGV[try] or held[2] ~= '1'", "held[1] ~= ARGV[try]", redisTests},
	{"redis/version-not-checked", redisCommit, "p = function(i) return conflict(i, i + 2) end", "p = function(i) return false end", redisTests},
	{"redis/removal-not-checked", redisCommit, "x = function(i) return conflict(i, i + 2) end", "x = function(i) return false end", redisTests},
	{"redis/owe-overwrites", redisCommit, "redis.call('EXISTS', key(i)) == 1 and 'c'", "false", redisTests},
	{"redis/drop-drops-nothing", redisCommit, "d = function(i) forget(i, i + 1, ARGV[i + 2]) end", "d = function(i) end", redisTests},
	{"redis/put-off-keeps-the-lease", redisCommit, "'leased', '0', 'note', ARGV[i + 3]", "'leased', '1', 'note', ARGV[i + 3]", redisTests},
	{"redis/put-off-forgets-the-note", redisCommit, "'note', ARGV[i + 3]", "'note', ''", redisTests},
	{"redis/zero-stays", redisCommit, "if n == 0 then", "if n == 0.5 then", redisTests},
	{"redis/count-not-listed", redisCommit, "elseif n == tonumber(ARGV[i + 2]) then", "elseif n == 0.5 then", redisTests},
	{"redis/record-not-listed", redisCommit, "if ARGV[i + 2] == '0' then redis.call('ZADD', key(i + 1), 0, ARGV[i + 4]) end", "", redisTests},
	{"redis/done-again", redisCommit, "if seen == number then return answer end", "", redisTests},
	{"redis/late-batch-done", redisCommit, "if seen > number then", "if seen > number + 1000 then", redisTests},
	{"redis/leased-early", redisLease, "tonumber(due) <= now", "tonumber(due) <= now + 1000", redisTests},
	{"redis/lease-answer-lost", redisLease, "if e[5] == ARGV[3] then", "if false then", redisTests},
	{"redis/try-stands-still", redisLease, "redis.call('HINCRBY', key, 'try', 1)", "tonumber(e[2])", redisTests},
	{"redis/scan-loses-the-border", "store/redis/read.go", "page+int(place)-1", "page+int(place)%indexPages", redisTests},
	{"redis/one-large-index", redisKeys, "h.Sum32() % indexPages", "h.Sum32() % 1", redisTests},
	{"redis/script-not-loaded-again", "store/redis/lease.go", `redis.HasErrorPrefix(err, "NOSCRIPT")`, `redis.HasErrorPrefix(err, "NOSUCH")`, redisTests},

	{"outbox/outlives-its-lease", theOutbox, "l.Until.Sub(o.Now()) - o.margin()", "l.Until.Sub(o.Now()) + o.margin()", outboxTests},
	{"outbox/begins-after-the-lease", theOutbox, "o.margin(); left > 0 {", "o.margin(); left > -time.Hour {", outboxTests},
	{"outbox/performed-twice-at-once", theOutbox, "\to.perform(work, l)\n\tfor next", "\to.perform(work, l)\n\to.perform(work, l)\n\tfor next", outboxTests},
	{"outbox/panic-not-recovered", theOutbox, "p := recover(); p", "p := any(nil); p", outboxTests},
	{"outbox/share-ignored", theOutbox, "crowded := o.busy[group] >= o.Share", "crowded := o.busy[group] >= o.Workers", outboxTests},
	{"outbox/group-ignored", theOutbox, "group := o.Group(l.Kind)", "group := l.Kind", outboxTests},
	{"outbox/share-never-given-back", theOutbox, "\t\to.busy[group]--\n\t\tif o", "\t\tif o", outboxTests},
	{"outbox/crowded-forgets-the-note", theOutbox, "mark(text, failed, l.Try)", "mark(text[:0], failed, l.Try)", outboxTests},
	{"outbox/crowded-waits-too-long", theOutbox, "min(o.delay(l.Try), maxCrowdDelay)", "maxDelay", outboxTests},
	{"outbox/later-ignored", theOutbox, "due, level = later.At, slog.LevelDebug", "_, level = later.At, slog.LevelDebug", outboxTests},
	{"outbox/grace-ignored", theOutbox, "time.AfterFunc(o.Grace, cutOff)", "time.AfterFunc(0, cutOff)", outboxTests},
	{"outbox/grace-without-an-end", theOutbox, "time.AfterFunc(o.Grace, cutOff)", "time.AfterFunc(time.Hour, cutOff)", outboxTests},
	{"outbox/cut-off-with-the-caller", theOutbox, "context.WithCancel(context.WithoutCancel(ctx))", "context.WithCancel(ctx)", outboxTests},
	{"outbox/cut-off-gives-nothing-back", theOutbox,
		"context.WithTimeout(context.WithoutCancel(work), o.margin())",
		"context.WithTimeout(work, o.margin())", outboxTests},
	{"outbox/leases-what-must-wait", theOutbox, "now.Add(o.LeaseFor), workers)", "now.Add(o.LeaseFor), workers+1)", outboxTests},
	{"outbox/loses-workers", theOutbox, "range workers - len(leases) {", "range workers - len(leases) - 1 {", outboxTests},
	{"outbox/nudge-ignored", theOutbox, "pause(ctx, o.nudge, o.Poll)", "pause(ctx, nil, o.Poll)", outboxTests},
	{"outbox/never-polls", theOutbox, "pause(ctx, o.nudge, o.Poll)", "pause(ctx, o.nudge, 100*time.Hour)", outboxTests},
	{"outbox/later-is-a-failure", theOutbox, "o.delay(failed))", "o.delay(l.Try))", outboxTests},
	{"outbox/late-for-another", "store/lag.go", "now.Sub(p.again) > overdue", "now.Sub(p.again) > maxDelay", outboxTests},
	{"outbox/no-back-off", theOutbox, "firstDelay<<max(doublings, 0)", "firstDelay", outboxTests},
	{"outbox/back-off-without-an-end", theOutbox, "d := maxDelay", "d := 2 * maxDelay", outboxTests},
	{"outbox/idle-while-busy", theOutbox, "quiet := o.inFlight == 0", "quiet := o.inFlight >= 0", outboxTests},
	{"outbox/ends-when-the-store-is-away", theOutbox, "\t\t\tfailures++\n", "\t\t\treturn err\n", outboxTests},
	{"outbox/note-cut-within-a-letter", theOutbox, "!utf8.RuneStart(text[end])", "end > MaxNote && !utf8.RuneStart(text[end])", outboxTests},

	{"offers/late-click-accepted", theStep,
		"on: LinkPressed, when: late, refuse: LinkExpired}",
		"on: LinkPressed, when: late, to: Confirmed, do: (*step).confirm}", offersTests},
	{"offers/late-code-accepted", theStep,
		"{from: in(Asked, Coded), on: CodeEchoed, when: late, do: (*step).tellCodeExpired}",
		"{from: in(Asked, Coded), on: CodeEchoed, when: late, to: Echoed, do: (*step).echo}", offersTests},
	{"offers/late-by-an-instant", theStep, "!s.now.Before(s.p.Deadline())", "s.now.After(s.p.Deadline())", offersTests},
	{"offers/echo-of-another-account", theStep, "s.ev.By != s.p.Buyer", "s.ev.By.Network != s.p.Buyer.Network", offersTests},
	{"offers/echo-from-another-network", theStep, "s.ev.By != s.p.Buyer", "s.ev.By.ID != s.p.Buyer.ID", offersTests},
	{"offers/old-link-accepted", theStep, "s.ev.Round != s.p.Round", "s.ev.Round < 0", offersTests},
	{"offers/units-back-before-the-void", theStep, "func (s *step) void() {\n", "func (s *step) void() {\n\ts.release()\n", offersTests},
	{"offers/units-never-back", theStep, "func (s *step) release() { s.p.Held = 0 }", "func (s *step) release() {}", offersTests},
	{"offers/stranger-holds-units", theStep, "s.p.Reason = NotRegistered", "s.p.Reason, s.p.Held = NotRegistered, s.p.Quantity", offersTests},
	{"offers/charge-owed-twice", theStep, "\ts.do(Charge, s.p.Attempt)\n", "\ts.do(Charge, s.p.Attempt)\n\ts.do(Charge, s.p.Attempt+1)\n", offersTests},
	{"offers/second-press-charges-again", theStep,
		"{from: in(Confirmed, Challenged), on: LinkPressed}",
		"{from: in(Confirmed, Challenged), on: LinkPressed, do: (*step).confirm}", offersTests},
	{"offers/outcome-of-an-old-attempt", theStep, "s.ev.Attempt != s.p.Attempt", "s.ev.Attempt < 0", offersTests},
	{"offers/late-money-kept", theStep, "\ts.p.PaidAt = s.now\n\ts.refund(Money{}, \"paid too late\")\n", "\ts.p.PaidAt = s.now\n", offersTests},
	{"offers/late-payment-not-voided", theStep, "\t\ts.p.Intent = s.ev.Intent\n\t\ts.do(Void, 0)\n", "\t\ts.p.Intent = s.ev.Intent\n", offersTests},
	{"offers/stock-not-counted", theShop, "int64(o.Stock[after.Variant]), int64(o.PerBuyer)", "most, int64(o.PerBuyer)", offersTests},
	{"offers/limit-of-a-buyer-ignored", theShop,
		"int64(o.Stock[after.Variant]), int64(o.PerBuyer)",
		"int64(o.Stock[after.Variant]), mostBought", offersTests},
	{"offers/units-counted-once-only", theShop,
		"int64(after.Held - before.Held); units != 0",
		"int64(after.Held - before.Held); units > 0", offersTests},
	{"offers/decided-by-an-old-offer", theShop, "c.Check = []store.Check{{Key: offerKey(o.ID), Version: o.version}}\n\t\t\tmost,", "most,", offersTests},
	{"offers/outcome-not-settled", theShop, "c.Settle = []store.Settle{*settle}", "_ = *settle", offersTests},
	{"offers/old-deadline-not-dropped", theShop, "c.Drop = append(c.Drop, id)", "_ = id", offersTests},

	{"books/second-charge-kept", theBookRules, "return s.other() && s.keeps() && s.paid()", "return s.unknown() && s.keeps()", booksTests},
	{"books/unknown-purchase-refunded", theBookRules, "return s.other() && s.keeps() && s.paid()", "return !s.own() && s.keeps()", booksTests},
	{"books/only-charge-refunded", theBookRules, "return s.other() && s.keeps() && s.paid()", "return s.other() && s.keeps()", booksTests},
	{"books/first-charge-not-asked", theRepairs, "case own.Status != Taken:", "case false:", booksTests},
	{"books/first-charge-given-back", theRepairs, "own.Refunded.Minor >= own.Total.Minor", "false", booksTests},
	{"books/looks-at-what-is-given-back", theBookRules, "return s.own() && s.keeps() && !s.paid() && !s.givesBack()", "return s.own() && s.keeps() && !s.paid()", booksTests},
	{"books/adopts-what-is-given-back", theBookRules, "return s.forgotten() && s.keeps() && !s.paid() && !s.givesBack()", "return s.forgotten() && s.keeps() && !s.paid()", booksTests},
	{"books/code-outlives-its-deadline", theBookRules, "case offers.Invited, offers.Asked, offers.Coded, offers.Cancelled:", "case offers.Cancelled:", booksTests},
	{"books/archived-unpaid-is-gone", theBookRules, "return !a.PaidAt.IsZero() && a.Intent == s.e.Intent", "return a.Intent == s.e.Intent", booksTests},
	{"books/archived-by-another-is-gone", theBookRules, "return !a.PaidAt.IsZero() && a.Intent == s.e.Intent", "return !a.PaidAt.IsZero()", booksTests},
	{"books/other-account-goes-on", theBooks, "case len(missing) < mostMissing:", "case true:", booksTests},
	{"books/refunded-twice", theBookRules, "s.e.Refunded.Minor < s.e.Total.Minor", "s.e.Refunded.Minor <= s.e.Total.Minor", booksTests},
	{"books/refund-key-of-the-moment", theRepairs, "Key: \"refund:extra:\" + s.e.Intent", "Key: \"refund:extra:\" + r.Now().String()", booksTests},
	{"books/voids-what-is-waited-for", theBookRules, "return s.open() && (s.other() || s.known && s.over())", "return s.open() && s.known", booksTests},
	{"books/dry-run-acts", theBooks, "case r.DryRun:", "case false:", booksTests},
	{"books/believes-the-ledger", theRepairs, "return err != nil || standing.Status != Taken, err", "return err != nil || standing.Status != \"\", err", booksTests},

	{"paying/foreign-card-accepted", "offers/card.go", "return Card{}, CardUnknown", "return Card{ID: id}, \"\"", offersTests},
	{"paying/expired-card-accepted", "offers/card.go", "return Card{}, CardExpired", "return c, \"\"", offersTests},
	{"paying/chosen-card-forgotten", theStep, "s.p.Card = s.ev.Card\n", "_ = s.ev.Card\n", offersTests},
	{"paying/form-not-read", "confirm/press.go", "r.PostForm.Get(cardField)", "\"\"", payingTests},
	{"paying/card-from-the-address", "confirm/press.go", "r.PostForm.Get(cardField)", "r.Form.Get(cardField)", payingTests},
	{"paying/confirmed-without-deadline", thePurchase, "return p.GraceEnds().Add(p.Times.Answer)", "return time.Time{}", offersTests},
	{"paying/deadline-before-the-grace", thePurchase, "return p.GraceEnds().Add(p.Times.Answer)", "return p.ConfirmedAt.Add(p.Times.Answer)", offersTests},
	{"paying/late-charge-made", thePerformer, "if !now.Before(p.Deadline()) {\n\t\t// The outbox", "if p.Deadline().IsZero() {\n\t\t// The outbox", offersTests},
	{"paying/told-before-it-is-certain", theStep, "s.p.Reason = NotCharged\n", "s.p.Reason = NotCharged\n\ts.tell(NotCharged)\n", offersTests},
	{"paying/quiet-hours-ignored-at-the-press", theSpending, "return &QuietHoursError{until}", "_ = until", offersTests},
	{"paying/quiet-hours-ignored-at-the-wish", theShop, "reason, p.QuietUntil = QuietHours, until", "p.QuietUntil = until", offersTests},
	{"paying/quiet-hours-end-at-the-first", theQuiet, "return a, b\n", "return a, a\n", offersTests},
	{"paying/quiet-hours-of-the-machine", theQuiet, "today := now.In(zone)", "today := now.In(zone).UTC()", offersTests},
	{"paying/quiet-hours-gone-with-a-new-card", "offers/people.go", "renewed.Limits, renewed.Quiet = old.Limits, old.Quiet", "renewed.Limits = old.Limits", offersTests},
	{"paying/taken-back-while-charged", thePurchase, "p.ChargingAt.IsZero() && now.Before(p.GraceEnds())", "now.Before(p.GraceEnds())", offersTests},
	{"paying/never-taken-back", thePurchase, "p.ChargingAt.IsZero() && now.Before(p.GraceEnds())", "false", offersTests},
	{"paying/charged-within-the-grace", theStep, "s.owe[len(s.owe)-1].Due = s.p.GraceEnds()", "_ = s.p.GraceEnds()", offersTests},
	{"paying/day-not-bounded", theSpending, "{Key: day, By: c.Total.Minor, Max: most(limits.day)}", "{Key: day, By: c.Total.Minor, Max: most(nil)}", offersTests},
	{"paying/day-not-counted", theSpending, "{Key: day, By: c.Total.Minor, Max: most(limits.day)},", "{Key: day, By: 0, Max: most(limits.day)},", offersTests},
	{"paying/counted-twice", theSpending, "if among || !limits.counts() {", "if !limits.counts() {", offersTests},
	{"paying/never-given-back", theSpending, "freed = freed || gave", "_ = gave", offersTests},
	{"paying/frozen-buyer-charged", thePerformer, "if b.Barred() != \"\" {\n\t\t_, err = s.move(ctx, p.ID, Event{Kind: BuyerBarred", "if b.Barred() == \"nobody\" {\n\t\t_, err = s.move(ctx, p.ID, Event{Kind: BuyerBarred", offersTests},
	{"paying/freeze-lifted-by-a-post", "offers/people.go", "if frozen = b.Frozen; frozen ||", "if frozen = false; frozen ||", offersTests},
	{"paying/webhook-signature-unchecked", "confirm/stripe/webhook.go", "err := w.verify(header.Get(\"Stripe-Signature\"), body); err != nil", "err := w.verify(header.Get(\"Stripe-Signature\"), body); err != nil && len(body) == 0", hookTests},
	{"paying/webhook-refusals-all-logged", "confirm/webhook.go", "now.Sub(r.told) < time.Minute", "now.Before(r.told)", hookTests},
	{"paying/waiting-overtaken", "confirm/stripe/budget.go", "if short <= 0 && !b.end.After(now) {", "if short <= 0 {", tillTests},
	{"paying/line-comes-back-at-once", "confirm/stripe/budget.go", "b.places[who] = at.Add(more)", "b.places[who] = at", tillTests},
	{"paying/refund-key-of-a-slot-that-is-over", "confirm/stripe/refund.go", "n > 0 && end.Sub(t.now()) <= refundRest", "n > 0 && t.now().Truncate(refundSlot).Add(refundSlot).Sub(t.now()) <= refundRest", tillTests},
	{"paying/webhook-event-claimed-twice", "offers/stripe.go", "\"event/\"+h.Event, []byte{}", "\"event/\"+h.Event+fmt.Sprintf(\"%p\", &p), []byte{}", offersTests},

	// Registering, and the account's own pages.
	{"joining/session-kept-as-it-is", "offers/session.go", "base64.RawURLEncoding.EncodeToString(sum[:])", "secret + base64.RawURLEncoding.EncodeToString(sum[:0])", offersTests},
	{"joining/session-without-end", "offers/session.go", "if !now.Before(se.Until) {", "if se.Until.IsZero() {", offersTests},
	{"joining/any-code-proves", "offers/signup.go", "subtle.ConstantTimeCompare(u.Code, u.hash(code)) != 1", "subtle.ConstantTimeCompare(u.Code, u.hash(code)) > 1", offersTests},
	{"joining/codes-tried-for-ever", "offers/signup.go", "u.Tries++", "u.Tries += 0", offersTests},
	{"joining/code-of-another-address", "offers/signup.go", "u.Account.String() + \"\\x00\" + string(u.Email)", "u.Account.String()", offersTests},
	{"joining/card-of-another-customer", "offers/signup.go", "case customer != u.Customer, ", "case customer == \"\", ", offersTests},
	{"joining/address-not-proven", "offers/signup.go", "case b.Registered.IsZero() && !u.Proven:", "case b.Registered.IsZero() && u.Email == \"\":", offersTests},
	{"joining/older-page-registers", "offers/signup.go", "if at < 0 || !b.LeavingAt.IsZero() {", "if u.Open = append(u.Open, page); at < 0 {\n\t\t\tat = len(u.Open) - 1\n\t\t}\n\t\tif !b.LeavingAt.IsZero() {", offersTests},
	{"joining/leaving-erases-who-comes-after", "offers/leave.go", "if !b.LeavingAt.Equal(body.At) {", "if b.LeavingAt.After(body.At) {", offersTests},
	{"joining/leaving-lifts-the-shop's-freeze", "offers/leave.go", "if b.FrozenBy == ByShop {", "if b.FrozenBy == \"\" {", offersTests},
	{"joining/customer-left-at-stripe", "offers/signup.go", "u.Customer != \"\" && b.Customer == \"\"", "u.Customer != \"\" && b.Customer != \"\"", offersTests},
	{"joining/left-at-stripe-first", "offers/leave.go", "if wait := (*UnfinishedError)(nil); errors.As(err, &wait) {", "if wait := (*UnfinishedError)(nil); errors.As(err, &wait) && s.left(ctx, body.Customer) == nil {", offersTests},
	{"joining/sessions-stay-when-erased", "offers/session.go", "err != nil || se.Account != a {", "err != nil || se.Account == a {", offersTests},
	{"joining/buyer-lifts-the-shop's-freeze", "offers/people.go", "no = by == ByBuyer && b.Frozen && b.FrozenBy != ByBuyer ||", "no = by == ByBuyer && b.Frozen && b.FrozenBy == \"\" ||", offersTests},
	{"joining/stolen-account-is-enough", "confirm/join.go", "return m.registered() && m.Proven == m.buyer.Email }", "return m.registered() }", joinTests},
	{"joining/code-of-another-session", "confirm/join.go", "if m.registered() && !m.mayEdit() && u.Email != m.buyer.Email {", "if m.registered() && m.mayEdit() && u.Email == \"\" {", joinTests},
	{"joining/any-address-is-proven", "confirm/join.go", "return m.registered() && m.Proven == m.buyer.Email }", "return m.registered() && m.Proven != \"\" }", joinTests},
	{"joining/sign-in-used-twice", "confirm/join.go", "c.setCookie(w, c.visitCookie(), \"\", -1)", "_ = cookie.Value", joinTests},
	{"joining/session-not-renewed", "confirm/session.go", "c.Shop.EndSession(r.Context(), before.Value)", "c.Shop.EndSession(r.Context(), before.Name)", joinTests},
	{"joining/sign-out-keeps-the-session", "confirm/account.go", "c.Shop.EndSession(r.Context(), v.token)", "c.Shop.EndSession(r.Context(), v.token[:0])", joinTests},

	// After the payment.
	{"after/refund-above-what-is-left", theAfter, "m.Minor <= p.Left().Minor", "m.Minor <= p.Total.Minor", offersTests},
	{"after/refund-of-nothing-is-of-all", theAfter, "m.Minor > 0 && ", "m.Minor >= 0 && ", offersTests},
	{"after/refunded-by-a-part", theAfter, "add(made.Minor, r.Amount.Minor) == s.p.Total.Minor", "made.Minor < s.p.Total.Minor", offersTests},
	{"after/refund-made-twice", theAfter, "|| !s.p.Refunds[n-1].MadeAt.IsZero() {", "|| s.p.Total.Minor < 0 {", offersTests},
	{"after/sum-runs-over", theAfter, "if a > math.MaxInt64-b {", "if a < 0 && a > math.MaxInt64-b {", offersTests},
	{"after/refunds-under-one-key", "confirm/acts.go", "fmt.Sprintf(\"refund:%s:%d\", p.ID, n)", "fmt.Sprintf(\"refund:%s:%d\", p.ID, min(n, 1))", afterTests},
	{"after/part-pays-all-back", "confirm/acts.go", "Intent: p.Intent, Amount: r.Amount", "Intent: p.Intent, Amount: offers.Money{Minor: p.Total.Minor, Currency: r.Amount.Currency}", afterTests},
	{"after/withdrawn-twice", theStep, "when: wasWithdrawn}, // pressed twice", "when: wasWithdrawn, do: (*step).withdraw},", offersTests},
	{"after/withdrawn-by-another", theStep, "{from: States, on: Withdrawn, when: someoneElse, refuse: NotYourCode},", "", offersTests},
	{"after/withdrawn-late-by-an-instant", theAfter, "!ends.IsZero() && !now.Before(ends)", "!ends.IsZero() && now.After(ends)", offersTests},
	{"after/withdrawn-and-not-paid-back", theAfter, "if s.p.ShippedAt.IsZero() {", "if s.p.ShippedAt.IsZero() && s.p.Digital {", offersTests},
	{"after/shipped-and-paid-back-at-once", theAfter, "if s.p.ShippedAt.IsZero() {", "if s.p.Held > 0 {", offersTests},
	{"after/looking-withdraws", "confirm/after.go", "if why := p.Withdrawable(c.Now()); why != \"\" {", "if _, err := c.Shop.Withdraw(r.Context(), p.ID, p.Buyer, c.Now()); err != nil {\n\t\treturn err\n\t}\n\tif why := p.Withdrawable(c.Now()); why != \"\" {", afterTests},
	{"after/erased-before-it-is-refunded", "offers/erase.go", "case p.Returning():", "case p.Returning() && p.Held < 0:", offersTests},
	{"after/tax-rounded-down", "offers/tax.go", "bits.Add64(lo, d, 0)", "bits.Add64(lo, 0, 0)", offersTests},
	{"joining/state-not-compared", "bot/x/signin.go", "[]byte(k.Public)) != 1 {", "[]byte(k.Public)) > 1 {", signInTests},
	{"books/late-payment-takes-the-place", theStep, "s.p.Intent != \"\" && s.p.Intent != s.ev.Intent", "s.p.Intent == \"-\"", offersTests},
	{"outbox/lag-begins-anew", "store/lag.go", "if !known {", "if !known || p.again != l.Until {", outboxTests},
	{"outbox/lag-never-ends", "store/lag.go", "delete(o.pending, key)\n\tcase known", "_ = key\n\tcase known", outboxTests},

	// What is said on X, and what for it there is no budget.
	{"speaking/limit-one-too-high", theBudget, "case w.left <= ahead:", "case w.left < ahead:", speakTests},
	{"speaking/reset-that-cannot-be-is-believed", theBudget, "ahead > int64(longestWindow/time.Second)", "ahead > math.MaxInt64-1", speakTests},
	{"speaking/window-shorter-than-told", theBudget, "w.span = max(w.span, at.Sub(now)-resetSlack)", "w.span = max(w.span, 0)", speakTests},
	{"speaking/more-left-than-the-limit", theBudget, "remaining = min(remaining, w.limit-1)", "remaining = min(remaining, math.MaxInt)", speakTests},
	{"speaking/all-at-once-into-the-unknown", theBudget, "if b.inFlight >= b.ramp {", "if b.inFlight >= b.ramp+1000 {", speakTests},
	{"speaking/nothing-left-to-others", theBudget, "(b.inFlight+1)*ownShare > w.left+b.inFlight", "(b.inFlight+1)*ownShare < 0", speakTests},
	{"speaking/refused-counts-as-said", "bot/x/say.go", "\t\t\ta.budget.notSaid(r)\n", "", speakTests},
	{"speaking/unsent-is-lost", theBudget, "w.left = min(w.left+1, w.limit)", "w.left = min(w.left, w.limit)", speakTests},
	{"speaking/refusal-until-the-year-5138", "bot/x/say.go", "if e.later.Sub(now) > longestWindow {", "if e.later.Before(now) {", speakTests},
	{"speaking/day-begins-at-nothing", "bot/x/today.go", "b.said = slices.Concat(said, b.said)", "b.said = slices.Concat(said[:0], b.said)", speakTests},
	{"speaking/place-is-lost", "bot/x/queue.go", "if !p.left && stays(p) {", "if !p.left && stays(p) && !p.waits {", speakTests},
	{"speaking/last-comes-first", theBudget, "ahead, waits = b.waiting.ahead(r.To)", "_, waits = b.waiting.ahead(r.To)", burstTests},
	{"speaking/code-waits-for-the-window", "bot/bot.go", "b.Now().Add(patience) // there is mail", "b.Now().Add(patience << 10) // there is mail", burstTests},
	{"speaking/posts-of-all-shards", "offers/catalogue.go", "if len(offers) > 0 || c.seen[shard] > 0 {", "if len(offers) >= 0 {", offersTests},
	{"speaking/posts-of-a-removed-offer", "offers/catalogue.go", "if len(offers) > 0 || c.seen[shard] > 0 {", "if len(offers) > 0 {", offersTests},
	{"speaking/sold-out-is-announced", "offers/announce.go", "if taken[variant] < int64(units) {", "if taken[variant] <= int64(units) {", offersTests},
	{"outbox/a-line-for-each-that-waits", theOutbox, "due, level = later.At, slog.LevelDebug", "due, level = later.At, slog.LevelWarn", outboxTests},

	// How X is heard.
	{"hearing/cursor-passes-what-is-missing", theHearing, "\tif !h.gap {\n\t\tit.cursor", "\tif true {\n\t\tit.cursor", hearTests},
	{"hearing/nothing-is-missed", theHearing, "\t\th.catchUp(ctx)\n", "", fairTests},
	{"hearing/shown-late-not-looked-for", theHearing, "late.Go(func() { h.queueLate(ctx) })", "late.Go(func() {})", hearTests},
	{"hearing/age-by-two-clocks", theHearing, "h.cfg.Now().Sub(h.found) > 2*lag", "h.cfg.Now().Sub(postedAt(\"\", h.newest)) > 2*lag", hearTests},
	{"hearing/quotes-not-asked-for", theHearing, "h.partly != nil && h.partly()", "false", hearTests},
	{"hearing/count-taken-for-what-is-shown", "bot/x/echoes.go", "shown >= count || ", "true || ", hearTests},
	{"hearing/edit-is-a-new-post", "bot/x/message.go", "len(history) > 0 && isID(history[0])", "len(history) > 0 && isID(history[0]) && t.ID == \"\"", hearTests},
	{"hearing/repost-read-as-a-wish", "bot/x/message.go", "kind == bot.Original && m.kind != kind", "kind != bot.Original && m.kind != kind", hearTests},
	{"hearing/event-without-versions-believed", "bot/x/activity.go", " || len(t.TweetHistory)+len(t.PostHistory) == 0", "", hearTests},
	{"hearing/part-of-a-post-is-enough", "bot/x/stream.go", "[]string{m.Data.ID}, math.MaxInt)", "[]string{m.Data.ID}, math.MaxInt-math.MaxInt+1)", hearTests},
	{"reading/code-only-as-we-write-it", "bot/intent.go", "offers.ParseCode(spelled(tag))", "offers.ParseCode(tag)", readTests},
	{"reading/words-behind-a-tag-are-lost", "bot/tags.go", "return b.String() + text[from:]", "return b.String()", readTests},
	{"reading/edit-into-stop-ignored", "bot/bot.go", "case in.Kind == WantsStop && p.Edited:", "case in.Kind == WantsStop && p.Edited && p.ID == \"\":", readTests},
	{"reading/thumb-down-is-a-yes", "bot/commands.go", "👎", "", readTests},
	{"hearing/anybody-calls-the-webhook", "bot/x/webhook.go", "if !hmac.Equal(", "if false && !hmac.Equal(", hearTests},
	{"hearing/silence-is-no-end", "bot/x/lines.go", "\tw.timer.Reset(silence)\n", "", hearTests},
	{"hearing/waits-begin-anew", "bot/x/backoff.go", "sleep(ctx, time.Until(b.until))", "sleep(ctx, 0)", hearTests},
	{"hearing/escapes-not-seen-at-a-glance", "bot/x/glance.go", "escaped(line) || ", "", glanceTests},
	{"hearing/capitals-not-seen-at-a-glance", "bot/spot.go", "r += 'a' - 'A'", "r += 0", glanceTests},
	{"hearing/mentions-not-seen-at-a-glance", "bot/x/glance.go", " || string(id) == g.self", "", glanceTests},
	{"hearing/unknown-post-turned-away", "bot/x/glance.go", "if !found { // it is looked up", "if !found && refs < 0 {", glanceTests},
	{"hearing/passed-over-is-not-paid-for", "bot/x/bill.go", "b.sum.PostsRead += n", "b.sum.PostsRead += 0 * n", glanceTests},

	// What only a process that is killed shows.
	{"kill/acknowledged-before-the-commit", sqliteWriter, "\tif err == nil {\n\t\terr = w.exec(\"COMMIT\")\n\t}\n",
		"\tif err == nil {\n\t\tfor _, j := range batch {\n\t\t\tclose(j.done)\n\t\t}\n\t\tbatch = nil\n\t\terr = w.exec(\"COMMIT\")\n\t}\n", killTests},
	{"kill/lease-outlives-the-dead", sqliteCommit, "until, now, limit)\n\tif err == nil && changed", "until+1<<40, now, limit)\n\tif err == nil && changed", killTests},
	{"kill/payment-key-of-the-moment", "confirm/acts.go", "Key: \"pi:\" + string(p.ID)", "Key: fmt.Sprint(\"pi:\", p.ID, c.Now().UnixNano())", killTests},
	{"kill/refund-key-of-the-moment", "confirm/acts.go", "fmt.Sprintf(\"refund:%s:%d\", p.ID, n)", "fmt.Sprintf(\"refund:%s:%d:%d\", p.ID, n, c.Now().UnixNano())", killTests},
	{"kill/charge-key-of-the-moment", "confirm/acts.go", "fmt.Sprintf(\"confirm:%s:%d\", p.ID, j.Effect.N)", "fmt.Sprintf(\"confirm:%s:%d\", p.ID, c.Now().UnixNano())", killTests},

	// Random histories, and every test card.
	{"histories/charged-by-a-new-payment", "confirm/acts.go", "s, err := c.Till.Confirm(ctx, p.Intent, ",
		"p.Intent, _ = c.Till.Prepare(ctx, Payment{Purchase: p.ID, Key: key, Customer: j.Buyer.Customer, Card: p.Card.ID, Total: p.Total})\n\ts, err := c.Till.Confirm(ctx, p.Intent, ", lifeTests},
	{"histories/refund-key-of-the-moment", "confirm/acts.go", "fmt.Sprintf(\"refund:%s:%d\", p.ID, n)", "fmt.Sprintf(\"refund:%s:%d:%d\", p.ID, n, c.Now().UnixNano())", lifeTests},
	{"histories/units-back-before-the-void", theStep, "func (s *step) void() {\n", "func (s *step) void() {\n\ts.release()\n", lifeTests},
	{"histories/webhook-believed", "confirm/webhook.go", "\tif err == nil && (s.Status == Open", "\ts.Status = Taken\n\tif err == nil && (s.Status == Open", lifeTests},
	{"histories/late-money-kept", theStep, "\ts.refund(Money{}, \"paid too late\")\n", "", lifeTests},
	{"cards/lost-answer-is-a-decline", "confirm/stripe/till.go", "\t\tif err != nil {\n\t\t\treturn confirm.Standing{}, err\n\t\t}\n\t\tswitch {", "\t\tif err != nil {\n\t\t\treturn confirm.Standing{Status: confirm.Failed}, nil\n\t\t}\n\t\tswitch {", cardTests},

	// By the model alone: Step held against it, in every world that it comes to.
	{"model/taken-back-after-the-charge-began", theStep, "{from: in(Confirmed), on: CancelAsked, when: inGrace, to: Cancelled,", "{from: in(Confirmed), on: CancelAsked, to: Cancelled,", modelTests},
	{"model/late-money-not-given-back", theStep, "\ts.refund(Money{}, \"paid too late\")\n", "", modelTests},
	{"model/late-money-keeps-a-cancelled-sale", theStep, "{from: in(Expired, Refused), on: Charged, when: holds,", "{from: in(Expired, Refused, Cancelled), on: Charged, when: holds,", modelTests},
	{"model/unit-free-before-the-void", theStep, "func (s *step) void() {\n", "func (s *step) void() {\n\ts.release()\n", modelTests},
	{"model/void-forgotten", theStep, "if s.p.Intent != \"\" {\n\t\ts.do(Void, 0)", "if s.p.Intent == \"-\" {\n\t\ts.do(Void, 0)", modelTests},
	{"model/late-payment-not-voided", theStep, "\t\ts.p.Intent = s.ev.Intent\n\t\ts.do(Void, 0)\n", "\t\ts.p.Intent = s.ev.Intent\n", modelTests},
	{"model/failure-of-an-older-attempt", theStep, "{from: in(Confirmed, Challenged), on: ChargeFailed, when: oldAttempt},\n", "", modelTests},
	{"model/barred-by-an-older-attempt", theStep, "{from: in(Confirmed), on: BuyerBarred, when: oldAttempt},\n", "", modelTests},
	{"model/charge-begins-within-the-grace", theStep, "{from: in(Confirmed), on: ChargeBegins, when: inGrace},\n", "", modelTests},
	{"model/bank-not-looked-at", theStep, "\ts.lookIn(firstLook)\n", "", modelTests},
	{"model/echo-by-a-stranger", theStep, "{from: in(Asked, Coded), on: CodeEchoed, when: someoneElse, refuse: NotYourCode},", "", modelTests},
	{"model/link-pressed-late", theStep, "{from: in(Echoed, Mailed, Declined), on: LinkPressed, when: late, refuse: LinkExpired},\n", "", modelTests},
	{"model/paid-twice-over", theStep, "\ts.p.Attempt++\n", "", modelTests},
	{"model/refund-made-in-part-frees-the-unit", theAfter, "\t\tr.MadeAt = s.now\n\t\ts.do(MailRefund, r.N)\n", "\t\tr.MadeAt = s.now\n\t\ts.release()\n\t\ts.do(MailRefund, r.N)\n", modelTests},

	// By the world alone: nobody has said what to look at.
	{"world/payment-key-random", "confirm/acts.go", "Key: \"pi:\" + string(p.ID), Customer",
		"Key: \"pi:\" + string(p.ID) + time.Now().String(), Customer", worldTests},
	{"world/refund-key-random", "confirm/acts.go", "key := fmt.Sprintf(\"refund:%s:%d\", p.ID, n)",
		"key := fmt.Sprintf(\"refund:%s:%d:%d\", p.ID, n, time.Now().UnixNano())", worldTests},
	{"world/units-back-before-the-void", "offers/step.go", "\t\ts.do(Void, 0)\n\t}\n}\n\n// shopCancels",
		"\t\ts.do(Void, 0)\n\t}\n\ts.release()\n}\n\n// shopCancels", worldTests},
	{"world/press-in-time-until-swept", "offers/step.go", "\t{from: in(Echoed, Mailed, Declined), on: LinkPressed, when: late, refuse: LinkExpired},\n",
		"", worldTests},
	{"world/echo-in-time-until-swept", "offers/step.go", "\t{from: in(Asked, Coded), on: CodeEchoed, when: late, do: (*step).tellCodeExpired},\n",
		"", worldTests},
	{"world/echo-by-another", "offers/step.go", "\t{from: in(Asked, Coded), on: CodeEchoed, when: someoneElse, refuse: NotYourCode},\n",
		"", worldTests},
	{"world/get-confirms", "confirm/pages.go", "page(\"GET /c/{token}\", c.show)",
		"page(\"GET /c/{token}\", c.press)", worldTests},
	{"world/cursor-before-the-commit", "bot/listen.go", "\tvar fresh bool\n\tvar err error\n\tif p.ID != \"\" {",
		"\tvar fresh bool\n\tvar err error\n\tl.dealt(p, false)\n\tif p.ID != \"\" {", worldTests},
	{"world/void-not-owed", "offers/step.go", "\tif s.p.Intent != \"\" {\n\t\ts.do(Void, 0)\n\t}\n}\n\n// shopCancels",
		"}\n\n// shopCancels", worldTests},
	{"world/late-payment-not-voided", "offers/step.go", "\t\ts.p.Intent = s.ev.Intent\n\t\ts.do(Void, 0)",
		"\t\ts.p.Intent = s.ev.Intent\n\t\ts.release()", worldTests},
	{"world/failed-wish-is-heard", "bot/bot.go", "\tif err != nil || answer.Word == \"\" || !in.Addressed {\n\t\treturn fresh, err",
		"\tif err != nil || answer.Word == \"\" || !in.Addressed {\n\t\treturn fresh, nil", worldTests},
	{"world/version-not-compared", "store/memory.go", "\tfor _, p := range c.Put {\n\t\tif s.records.rows[p.Key].Version != p.Version {",
		"\tfor _, p := range c.Put {\n\t\tif s.records.rows[p.Key].Version < p.Version {", worldTests},
	{"world/backs-off-for-hours", "store/outbox.go", "maxDelay   = 5 * time.Minute",
		"maxDelay   = 500 * time.Minute", worldTests},
	{"world/stop-not-heeded", "offers/perform.go", "\tcase Reply, ReplyReason, Thank, MailCode, MailLink:\n\t\treturn true",
		"\tcase ReplyReason:\n\t\treturn true", worldTests},
	{"world/robots-served", "bot/intent.go", "p.Author.ID == self || p.Author.Bot",
		"p.Author.ID == self", worldTests},
	{"world/old-link-counts", "offers/step.go", "\t{from: in(Echoed, Mailed, Declined), on: LinkPressed, when: oldLink, refuse: LinkReplaced},\n",
		"", worldTests},
	{"world/refusal-not-told", "offers/step.go", "\t{from: in(Refused), on: ReplyFailed, when: reachable, do: (*step).tellReason},\n",
		"", worldTests},
	{"world/no-deadline-after-the-echo", "offers/step.go", "\tif at := s.p.Deadline(); !at.IsZero() {",
		"\tif at := s.p.Deadline(); !at.IsZero() && to != Echoed {", worldTests},
	{"world/decline-frees-the-units", "offers/step.go", "\ts.p.Reason = s.ev.Reason\n\ts.tell(s.ev.Reason)\n}\n\n// unanswered",
		"\ts.p.Reason = s.ev.Reason\n\ts.tell(s.ev.Reason)\n\ts.release()\n}\n\n// unanswered", worldTests},
	{"world/not-filed", "offers/step.go", "\ts.do(File, 0)\n",
		"", worldTests},
	{"world/lost-answer-is-a-decline", "confirm/acts.go", "\treturn outcome(s, err, j)\n}\n\nfunc (c *Counter) look(",
		"\tif err != nil {\n\t\treturn offers.Event{Kind: offers.ChargeFailed, Attempt: j.Purchase.Attempt}, nil\n\t}\n\treturn outcome(s, err, j)\n}\n\nfunc (c *Counter) look(", worldTests},
	{"world/lost-mail-is-sent", "confirm/acts.go", "\tcase err != nil:\n\t\treturn offers.Event{}, err\n\t}\n\treturn offers.Event{Kind: sent}, nil",
		"\tcase err != nil:\n\t\treturn offers.Event{Kind: sent}, nil\n\t}\n\treturn offers.Event{Kind: sent}, nil", worldTests},
	{"world/void-finds-no-charge", "confirm/acts.go", "\ts, err := c.Till.Void(ctx, j.Purchase.Intent, \"void:\"+string(j.Purchase.ID))\n",
		"\ts, err := c.Till.Void(ctx, j.Purchase.Intent, \"void:\"+string(j.Purchase.ID))\n\ts.Status = Voided\n", worldTests},
	{"world/reply-to-a-repost", "bot/bot.go", "Reply{To: p.Wish, Handle: p.Handle, Text: text}, j.Again)\n\treturn offers.Event{Kind: offers.EffectDone}, err",
		"Reply{To: p.Echo, Handle: p.Handle, Text: text}, j.Again)\n\treturn offers.Event{Kind: offers.EffectDone}, err", worldTests},
	{"world/failed-effect-is-done", "offers/perform.go", "\tev, err := act(ctx, Job{Effect: e, Purchase: p, Buyer: b, Again: l.Try > 1})\n\tif err != nil {\n\t\treturn err\n\t}",
		"\tev, err := act(ctx, Job{Effect: e, Purchase: p, Buyer: b, Again: l.Try > 1})\n\tif err != nil {\n\t\treturn s.settle(ctx, l)\n\t}", worldTests},
	{"world/webhook-believed", "confirm/webhook.go", "\ts, err := c.Till.Look(ctx, j.Purchase.Intent)\n\tif err",
		"\ts, err := Standing{Status: Taken}, error(nil)\n\tif err", worldTests},
}
