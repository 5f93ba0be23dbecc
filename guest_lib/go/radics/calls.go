package radics

import (
	"syscall"
	"time"
	"unsafe"
)

// System calls of the client API; see radics_abi.h.
const (
	sysSend = iota + 5200
	sysReceive
	sysSubscribe
	sysInfo
	sysLog
	sysRequest
	sysRequestCancel
	sysServe
	sysClose
	sysSubscribeAfter
	sysTimer
	sysTimerCancel
	sysCheckpoint
	sysHint
	sysKV
)

const nameMax = 255

type sendArgs struct {
	to         unsafe.Pointer
	toLen      uint64
	payload    unsafe.Pointer
	payloadLen uint64
	lifetimeS  uint64
}

type receiveArgs struct {
	stream, flags int32
	timeoutNS     int64
	payload       unsafe.Pointer
	payloadCap    uint64
	payloadLen    uint64
	from, to      [nameMax + 1]byte
	number        uint64
}

type requestArgs struct {
	to         unsafe.Pointer
	toLen      uint64
	payload    unsafe.Pointer
	payloadLen uint64
	timeoutNS  int64
	flags      uint64
}

type kvArgs struct {
	op       uint64
	key      unsafe.Pointer
	keyLen   uint64
	value    unsafe.Pointer
	valueLen uint64
}

// The result, or a syscall.Errno. A goroutine that waits in here holds no processor.
//
//go:uintptrescapes
func call(number, a, b, c uintptr) (int, error) {
	for {
		n, _, err := syscall.Syscall(number, a, b, c)
		if err == 0 {
			return int(n), nil
		}
		if err != syscall.EINTR { // Go's own signals are nobody's business
			return 0, err
		}
	}
}

// A call of a name and one more argument.
func callName(number uintptr, name string, more uintptr) (int, error) {
	bytes := []byte(name)
	return call(number, uintptr(pointer(bytes)), uintptr(len(bytes)), more)
}

func pointer(b []byte) unsafe.Pointer {
	if len(b) == 0 {
		return nil
	}
	return unsafe.Pointer(&b[0])
}

func text(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

func nanoseconds(timeout time.Duration) int64 {
	if timeout < 0 {
		return -1
	}
	return int64(timeout)
}
