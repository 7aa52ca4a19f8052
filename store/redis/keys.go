package redis

import (
	"hash/fnv"
	"strconv"
	"strings"

	"hashtill/store"
)

// What one shard keeps stands under keys with one hash tag, "{s7}", so that a
// cluster has it in one slot (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags).
// The package comment names them.

// shardTag is the hash tag of each shard.
var shardTag = func() (tags [store.Shards]string) {
	for i := range tags {
		tags[i] = "{s" + strconv.Itoa(i) + "}:"
	}
	return tags
}()

func recordKey(shard int, key string) string { return shardTag[shard] + "r:" + key }
func countKey(shard int, key string) string  { return shardTag[shard] + "c:" + key }
func effectKey(shard int, id string) string  { return shardTag[shard] + "e:" + id }
func dueKey(shard int) string                { return shardTag[shard] + "due" }

// lastKey holds the last batch of one process.
func lastKey(shard int, process string) string { return shardTag[shard] + "last:" + process }

// indexPages is how many sorted sets list the keys of a shard, so that none of them
// grows large: a million rows of a shard are 16,000 a page.
const indexPages = 64

func pageKey(shard, page int) string { return shardTag[shard] + "i:" + strconv.Itoa(page) }

// What the index lists: a kind, and the key or id.
const (
	recordKind = "r"
	countKind  = "c"
	effectKind = "e"
)

// pageOf is the page that lists a name.
func pageOf(name string) int {
	h := fnv.New32a()
	h.Write([]byte(name))
	return int(h.Sum32() % indexPages)
}

// after is the end of a range by bytes (ZRANGE … BYLEX) that begins with the
// prefix, which is not empty and begins with a kind.
func after(prefix string) string {
	for i := len(prefix) - 1; ; i-- {
		if prefix[i] < 0xff {
			return "(" + prefix[:i] + string([]byte{prefix[i] + 1})
		}
	}
}

// value is a record as it is kept: version, a space, the value.
func value(version int64, v []byte) string {
	return strconv.FormatInt(version, 10) + " " + string(v)
}

// record reads what value wrote.
func record(key, kept string) (store.Record, bool) {
	version, v, ok := strings.Cut(kept, " ")
	n, err := strconv.ParseInt(version, 10, 64)
	if !ok || err != nil || n < 1 {
		return store.Record{}, false
	}
	return store.Record{Key: key, Version: n, Value: []byte(v)}, true
}
