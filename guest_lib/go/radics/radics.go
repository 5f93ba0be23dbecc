// Package radics is what a program on RaDiCS can do beyond Go's standard library: messages, requests
// and services, data sources, timers, checkpoints, and asking and saying where to be.
//
//	lines, err := radics.Subscribe("text")
//	for line := range lines.Messages() {
//		fmt.Println(radics.Host(), line.Text())
//	}
//	err = radics.Send("dtn://base/reports", []byte("the stream has ended"))
//
// `build` makes it importable; no go.mod has to name it. Every function may be called from every
// goroutine, and a program that moves to another host while it waits in one of them does not notice.
//
// Errors are syscall.Errno: ENOTCONN without a host (the image was started by hand), EOPNOTSUPP where
// the node is of an older version, ETIMEDOUT when the time is over, EMSGSIZE for more than MessageMax
// bytes, EINVAL for an empty or overlong name, ENFILE for too many streams. The end of a stream is
// io.EOF.
//
// Importing the package also gives Go's collector the VM's memory as its limit, if GOMEMLIMIT does
// not say another one.
package radics

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
)

// MessageMax is how many bytes a message carries at most.
const MessageMax = 65536

// What Info tells; see radics_abi.h.
const (
	infoName = iota
	infoEID
	infoHost
	infoHostEID
	infoEpoch
	infoABI
	infoSources
	infoMemory
	infoBranch
	infoHostABI
)

func init() {
	var machine syscall.Sysinfo_t
	if os.Getenv("GOMEMLIMIT") == "" && syscall.Sysinfo(&machine) == nil {
		debug.SetMemoryLimit(int64(machine.Freeram) / 4 * 3)
	}
}

// Name is this VM's name; empty without a host.
func Name() string { return info(infoName) }

// EID is where others send messages to.
func EID() string { return info(infoEID) }

// Host is the node this VM runs on at this moment; it may be another at the next.
func Host() string { return info(infoHost) }

// HostEID is that node's EID.
func HostEID() string { return info(infoHostEID) }

// Epoch is 1 at birth, and one more after each move.
func Epoch() uint64 { return number(infoEpoch) }

// Branch is how often this VM was set back to an earlier state.
func Branch() uint64 { return number(infoBranch) }

// Memory is how many bytes of RAM this VM has.
func Memory() uint64 { return number(infoMemory) }

// ABI is the version of the library OS, "major.minor".
func ABI() string { return info(infoABI) }

// HostABI is the version of the host, "major.minor".
func HostABI() string { return info(infoHostABI) }

// Sources are the names given by `run --source`, in order.
func Sources() []string { return strings.FieldsFunc(info(infoSources), isNewline) }

// Level says how much a line of Log matters.
type Level int

const (
	Debug Level = iota + 2
	Info
	Warn
	Error
)

// Log leaves a line in the VM's log, beside stdout and stderr.
func Log(level Level, text string) error {
	bytes := []byte(text)
	_, err := call(sysLog, uintptr(level), uintptr(pointer(bytes)), uintptr(len(bytes)))
	return err
}

func isNewline(c rune) bool { return c == '\n' }

func number(what int) uint64 {
	n, _ := strconv.ParseUint(info(what), 10, 64)
	return n
}

func info(what int) string {
	buf := make([]byte, 256)
	for {
		n, err := call(sysInfo, uintptr(what), uintptr(pointer(buf)), uintptr(len(buf)))
		if err != nil {
			return ""
		}
		// The host, and with it a name's length, may change between two calls.
		if n <= len(buf) {
			return string(buf[:n])
		}
		buf = make([]byte, n)
	}
}
