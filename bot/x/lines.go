package x

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"time"
)

const (
	maxLine = 1 << 20 // bytes; a post with all that comes with it has some thousands
	// X sends "\r\n" after 20 s of silence, and asks for a new connection after
	// 20 s without anything; the rest is for the way.
	silence = 25 * time.Second
)

// errOverlong: a line of more than maxLine bytes, which has been passed over.
var errOverlong = errors.New("line too long")

// lines reads a stream line by line within bounds of memory and time.
type lines struct {
	r   *bufio.Reader
	buf []byte
}

// newLines reads from body. After a silence it calls giveUp, which must make
// body's Read return. Only time spent in reading counts: a caller may take as
// long as it likes between two lines.
func newLines(body io.Reader, giveUp func()) *lines {
	timer := time.AfterFunc(silence, giveUp)
	timer.Stop()
	return &lines{r: bufio.NewReaderSize(&watched{body, timer}, 64<<10)}
}

// next returns the next line without its end, which is empty for a sign of life.
// The line is overwritten by the next. What stands before the end of the stream
// without a line end is no line.
func (l *lines) next() ([]byte, error) {
	l.buf = l.buf[:0]
	overlong := false
	for {
		part, err := l.r.ReadSlice('\n')
		if err == nil && len(l.buf) == 0 && !overlong { // nearly always: it need not be copied
			return bytes.TrimRight(part, "\r\n"), nil
		}
		if overlong = overlong || len(l.buf)+len(part) > maxLine; !overlong {
			l.buf = append(l.buf, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return nil, err
		case overlong:
			return nil, errOverlong
		}
		return bytes.TrimRight(l.buf, "\r\n"), nil
	}
}

// watched is a reader that does not wait longer than its timer.
type watched struct {
	r     io.Reader
	timer *time.Timer
}

func (w *watched) Read(p []byte) (int, error) {
	w.timer.Reset(silence)
	defer w.timer.Stop()
	return w.r.Read(p)
}
