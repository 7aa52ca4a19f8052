package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	// copyShard and copyKey are where the target keeps how far the copy is, until
	// it is finished.
	copyShard, copyKey = 0, "store/copy"
	// copyBytes bounds what one Load carries, as MaxParts bounds its rows. A row
	// alone is smaller.
	copyBytes = 1 << 20
	// copyNamed is how many of the rows that differ are named.
	copyNamed = 5
)

// A CopyReport says what a store held.
type CopyReport struct {
	Records, Counts, Effects int64
	Bytes                    int64 // of keys, values, kinds, bodies and notes
}

// A CopyProgress says how far a [Copy] is. No figure ever becomes smaller.
type CopyProgress struct {
	Copied, Verified int   // shards, of [Shards]
	Rows, Bytes      int64 // read from the source by this call, in both passes
}

// Copy writes all that is in one store into another, which is empty at first:
// records with their versions, counts, and effects with their tries, due times and
// notes. Then it reads both again and compares them. Nothing is written to the
// source, and nobody may serve either of the two meanwhile. A lease that runs in
// the source is nobody's in the target, where its effect is due at the lease's end.
//
// A copy that was broken off goes on where it was when Copy is called again with
// the same two; until it has ended well, [Unfinished] tells of it. source names the
// source in whatever way is the same at the next call: a copy of one store is never
// gone on with from another. A target that will not do is ErrInvalid. progress, if it
// is not nil, is called now and then, by the goroutine that called Copy.
func Copy(ctx context.Context, source string, from, to Store, progress func(CopyProgress)) (CopyReport, error) {
	if progress == nil {
		progress = func(CopyProgress) {}
	}
	c := &copying{source: source, from: from, to: to, progress: progress}
	if err := c.run(ctx); err != nil {
		return CopyReport{}, fmt.Errorf("copy: %w", err)
	}
	return c.report, nil
}

// Unfinished returns an error that says so if a [Copy] into the store has begun and
// not ended well: nobody may serve it.
func Unfinished(ctx context.Context, s Store) error {
	mark, err := readMark(ctx, s)
	if err == nil && mark.version > 0 {
		err = fmt.Errorf("store: a copy into it is not finished (%d of %d shards): copy again, or empty it", mark.Copied, Shards)
	}
	return err
}

// A copyMark is the record that stands in the target until the copy is finished.
type copyMark struct {
	Source  string `json:"source"` // which store it is a copy of
	Copied  int    `json:"shards_copied"`
	version int64  // of the record, 0 if there is none
}

func readMark(ctx context.Context, s Store) (mark copyMark, err error) {
	recs, err := s.Get(ctx, copyShard, copyKey)
	if err != nil || recs[0].Version == 0 {
		return copyMark{}, err
	}
	if err := json.Unmarshal(recs[0].Value, &mark); err != nil {
		return copyMark{}, fmt.Errorf("record %q: %w", copyKey, err)
	}
	mark.version = recs[0].Version
	return mark, nil
}

// copying is one call of Copy.
type copying struct {
	from, to Store
	source   string
	progress func(CopyProgress)
	at       CopyProgress
	mark     copyMark
	report   CopyReport
}

func (c *copying) run(ctx context.Context) error {
	if err := Unfinished(ctx, c.from); err != nil {
		return fmt.Errorf("the source: %w", err)
	}
	if err := c.begin(ctx); err != nil {
		return fmt.Errorf("the target: %w", err)
	}
	for c.at.Copied = c.mark.Copied; c.at.Copied < Shards; c.at.Copied++ {
		c.progress(c.at)
		if err := c.copyShard(ctx, c.at.Copied); err != nil {
			return fmt.Errorf("shard %d: %w", c.at.Copied, err)
		}
		if err := c.setMark(ctx, c.at.Copied+1); err != nil {
			return fmt.Errorf("the target: %w", err)
		}
	}
	for ; c.at.Verified < Shards; c.at.Verified++ {
		c.progress(c.at)
		if err := c.verifyShard(ctx, c.at.Verified); err != nil {
			return fmt.Errorf("shard %d: %w", c.at.Verified, err)
		}
	}
	if err := c.removeMark(ctx); err != nil {
		return fmt.Errorf("the target: %w", err)
	}
	c.progress(c.at)
	return nil
}

// begin finds out where a copy that was broken off had come to, or marks a target
// that holds nothing.
func (c *copying) begin(ctx context.Context) (err error) {
	if c.mark, err = readMark(ctx, c.to); err != nil || c.mark.version > 0 {
		if err == nil && c.mark.Source != c.source {
			err = fmt.Errorf("%w: a copy of another store into it is not finished: copy that one again, or empty it", ErrInvalid)
		}
		return err
	}
	for shard := range Shards {
		err := eachRow(ctx, c.to, shard, func(r row) error {
			return fmt.Errorf("%w: it holds %s already: empty it, or name another", ErrInvalid, r.rowName)
		})
		if err != nil {
			return err
		}
	}
	return c.setMark(ctx, 0)
}

func (c *copying) setMark(ctx context.Context, copied int) error {
	next := copyMark{Source: c.source, Copied: copied}
	value, err := json.Marshal(next)
	if err != nil {
		return err
	}
	next.version = c.mark.version + 1
	return c.changeMark(ctx, value, next)
}

func (c *copying) removeMark(ctx context.Context) error { return c.changeMark(ctx, nil, copyMark{}) }

// changeMark writes the record. Its version keeps two copies into one target apart,
// and tells what has become of a commit of unknown outcome.
func (c *copying) changeMark(ctx context.Context, value []byte, next copyMark) error {
	err := c.to.Commit(ctx, Change{Shard: copyShard, Put: []Put{{Key: copyKey, Version: c.mark.version, Value: value}}})
	var guard *GuardError
	if errors.As(err, &guard) {
		return fmt.Errorf("another copy into it is under way: %w", err)
	}
	if err != nil {
		if is, errRead := readMark(ctx, c.to); errRead != nil || is != next {
			return err
		}
	}
	c.mark = next
	return nil
}

// copyShard loads what is in a shard of the source. What an earlier call has loaded
// of it is loaded again.
func (c *copying) copyShard(ctx context.Context, shard int) error {
	var batch Rows
	names, bytes := map[rowName]bool{}, 0
	flush := func() error {
		if len(names) == 0 {
			return nil
		}
		err := c.to.Load(ctx, shard, batch)
		batch, bytes = Rows{}, 0
		clear(names)
		return err
	}
	err := eachRow(ctx, c.from, shard, func(r row) error {
		// A scan may meet a row twice, and one Load takes it once.
		if len(names) == MaxParts || bytes+r.size() > copyBytes || names[r.rowName] {
			if err := flush(); err != nil {
				return err
			}
		}
		names[r.rowName] = true
		bytes += r.size()
		switch r.kind {
		case "record":
			batch.Records = append(batch.Records, r.record)
		case "count":
			batch.Counts = append(batch.Counts, r.count)
		case "effect":
			batch.Effects = append(batch.Effects, r.effect)
		}
		c.read(r)
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// read counts a row of the source in the progress.
func (c *copying) read(r row) {
	c.at.Rows++
	c.at.Bytes += int64(r.size())
	if c.at.Rows%(8*MaxParts) == 0 {
		c.progress(c.at)
	}
}

// verifyShard reads a shard of both, and reports what is in it. It keeps a name and
// a hash of each row of the shard in memory.
func (c *copying) verifyShard(ctx context.Context, shard int) error {
	type check struct {
		hash [sha256.Size]byte
		met  bool // in the target
	}
	rows := map[rowName]*check{}
	err := eachRow(ctx, c.from, shard, func(r row) error {
		c.read(r)
		if rows[r.rowName] == nil { // a scan may meet it twice
			c.report.add(r)
		}
		rows[r.rowName] = &check{hash: r.hash()}
		return nil
	})
	if err != nil {
		return err
	}
	differ := map[rowName]string{}
	err = eachRow(ctx, c.to, shard, func(r row) error {
		source := rows[r.rowName]
		if source == nil {
			differ[r.rowName] = "is in the target alone"
			return nil
		}
		source.met = true
		if source.hash != r.hash() {
			differ[r.rowName] = "is not the same in both"
		}
		return nil
	})
	if err != nil {
		return err
	}
	for name, source := range rows {
		if !source.met {
			differ[name] = "is in the source alone"
		}
	}
	if len(differ) == 0 {
		return nil
	}
	var named []string
	for name, how := range differ {
		named = append(named, name.String()+" "+how)
	}
	slices.Sort(named)
	if len(named) > copyNamed {
		named = append(named[:copyNamed], fmt.Sprintf("and %d more", len(named)-copyNamed))
	}
	return fmt.Errorf("%s: the source was changed during the copy, or another source was copied before: "+
		"stop whoever serves it, empty the target, and begin anew", strings.Join(named, ", "))
}

func (r *CopyReport) add(next row) {
	switch next.kind {
	case "record":
		r.Records++
	case "count":
		r.Counts++
	case "effect":
		r.Effects++
	}
	r.Bytes += int64(next.size())
}

// A row is one of the three that a shard holds.
type row struct {
	rowName
	record Record
	count  Count
	effect Owed
}

// A rowName tells the rows of a shard apart.
type rowName struct {
	kind string // record, count or effect
	key  string
}

func (n rowName) String() string { return fmt.Sprintf("%s %q", n.kind, n.key) }

func (r row) size() int {
	return len(r.key) + len(r.record.Value) + len(r.effect.Kind) + len(r.effect.Body) + len(r.effect.Note)
}

// hash is of all that a Load takes over but the name.
func (r row) hash() [sha256.Size]byte {
	b := make([]byte, 0, r.size()+64)
	for _, n := range []int64{r.record.Version, r.count.N, r.effect.Try, Millis(r.effect.Due)} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	for _, part := range [][]byte{r.record.Value, []byte(r.effect.Kind), []byte(r.effect.Note), r.effect.Body} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(part)))
		b = append(b, part...)
	}
	return sha256.Sum256(b)
}

// eachRow calls do for every row of a shard, but for the copy's own, until it
// returns an error.
func eachRow(ctx context.Context, s Store, shard int, do func(row) error) error {
	err := eachPage(func(cursor string) ([]Record, string, error) {
		return s.Scan(ctx, shard, "", cursor, MaxParts)
	}, func(r Record) error {
		if shard == copyShard && r.Key == copyKey {
			return nil
		}
		return do(row{rowName: rowName{"record", r.Key}, record: r})
	})
	if err != nil {
		return err
	}
	err = eachPage(func(cursor string) ([]Count, string, error) {
		return s.ScanCounts(ctx, shard, "", cursor, MaxParts)
	}, func(c Count) error { return do(row{rowName: rowName{"count", c.Key}, count: c}) })
	if err != nil {
		return err
	}
	return eachPage(func(cursor string) ([]Owed, string, error) {
		return s.Owed(ctx, shard, cursor, MaxParts)
	}, func(o Owed) error { return do(row{rowName: rowName{"effect", o.ID}, effect: o}) })
}

// eachPage goes from cursor to cursor.
func eachPage[V any](read func(cursor string) ([]V, string, error), do func(V) error) error {
	for cursor := ""; ; {
		page, next, err := read(cursor)
		if err != nil {
			return err
		}
		for _, v := range page {
			if err := do(v); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		cursor = next
	}
}
