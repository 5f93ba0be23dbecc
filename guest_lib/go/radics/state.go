package radics

import (
	"bytes"
	"time"
	"unsafe"
)

// StartTimer makes a timer of the VM's, which becomes a message for ReceiveTimer: once, or every
// period. Package time's timers and tickers survive a move as well.
func StartTimer(delay, period time.Duration) (timer uint64, err error) {
	n, err := call(sysTimer, uintptr(delay), uintptr(period), 0)
	return uint64(n), err
}

// StopTimer is ENOENT for one that was due, once, and taken.
func StopTimer(timer uint64) error {
	_, err := call(sysTimerCancel, uintptr(timer), 0, 0)
	return err
}

// ReceiveTimer waits for the next timer that is due, and says which.
func ReceiveTimer(timeout time.Duration) (timer uint64, err error) {
	m, _, err := receive(streamTimers, 0, timeout)
	return m.Number, err
}

// Checkpoint has the whole VM, at this very point, written to the host's disk. Like fork it returns
// twice: false when that is done, and true each time the VM is set back to here, because its host or
// QEMU was lost. What was sent in between may then be sent again.
func Checkpoint() (setBack bool, err error) {
	n, err := call(sysCheckpoint, 0, 0, 0)
	return n == 1, err
}

const (
	hintNone = iota
	hintNear
	hintNode
	hintStay
)

// MoveNear says that this VM would like to be near the publisher of a source; the scheduler weighs
// it. The last of the Move calls and Stay counts, over moves too.
func MoveNear(source string) error { return hint(hintNear, source) }

// MoveTo says on which node, by name or id.
func MoveTo(node string) error { return hint(hintNode, node) }

// Stay says that it should be left where it is.
func Stay() error { return hint(hintStay, "") }

// MoveFree takes the last hint back.
func MoveFree() error { return hint(hintNone, "") }

func hint(what uintptr, name string) error {
	bytes := []byte(name)
	_, err := call(sysHint, what, uintptr(pointer(bytes)), uintptr(len(bytes)))
	return err
}

const (
	kvGet = iota
	kvPut
	kvErase
	kvList
)

// Get reads a value from the library OS's memory, where values move with the VM and are set back
// with it. ENOENT if there is none.
func Get(key string) ([]byte, error) { return kvRead(kvGet, key) }

// Put sets a value; ENOSPC when there are too many.
func Put(key string, value []byte) error {
	_, err := kv(kvPut, key, value)
	return err
}

// Erase removes a value; ENOENT if there is none.
func Erase(key string) error {
	_, err := kv(kvErase, key, nil)
	return err
}

// Keys are all keys.
func Keys() ([]string, error) {
	list, err := kvRead(kvList, "")
	var keys []string
	for _, key := range bytes.Split(bytes.TrimSuffix(list, []byte{0}), []byte{0}) {
		if len(key) > 0 {
			keys = append(keys, string(key))
		}
	}
	return keys, err
}

func kvRead(op uint64, key string) ([]byte, error) {
	buf := make([]byte, 4096)
	for {
		n, err := kv(op, key, buf)
		if err != nil {
			return nil, err
		}
		if n <= len(buf) {
			return buf[:n], nil
		}
		buf = make([]byte, n)
	}
}

func kv(op uint64, key string, value []byte) (int, error) {
	name := []byte(key)
	args := &kvArgs{op, pointer(name), uint64(len(name)), pointer(value), uint64(len(value))}
	return call(sysKV, uintptr(unsafe.Pointer(args)), 0, 0)
}
