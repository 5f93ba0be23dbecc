package radics

import (
	"io"
	"syscall"
	"time"
	"unsafe"
)

// Forever is a timeout: wait until there is something.
const Forever time.Duration = -1

const (
	streamMailbox = 0
	streamTimers  = 61
	streamReplies = 62
	flagTimeout   = 2 // of a reply: none came in time
	requestOwn    = 1
)

// Message is what somebody sent, or a source published.
type Message struct {
	Payload []byte
	From    string // the sender's EID; empty where a source has none
	To      string // the service it was sent to; empty in a subscription
	Number  uint64 // in its stream, from 1
}

// Text is the payload as a string.
func (m Message) Text() string { return string(m.Payload) }

// Reply answers a request.
func (m Message) Reply(payload []byte) error { return Send(m.From, payload) }

// Send sends to an EID ("dtn://node/service") or a service name. It returns when the message is safe
// with the VM: it is delivered once, over any number of moves.
func Send(to string, payload []byte) error { return SendFor(to, payload, 0) }

// SendFor is Send with how long the message may travel; 0 is the node's default.
func SendFor(to string, payload []byte, lifetime time.Duration) error {
	name := []byte(to)
	args := &sendArgs{
		to:         pointer(name),
		toLen:      uint64(len(name)),
		payload:    pointer(payload),
		payloadLen: uint64(len(payload)),
		lifetimeS:  uint64((lifetime + time.Second - 1) / time.Second),
	}
	_, err := call(sysSend, uintptr(unsafe.Pointer(args)), 0, 0)
	return err
}

// Receive takes the next message of the mailbox: what others sent to this VM's EID.
func Receive(timeout time.Duration) (Message, error) {
	m, _, err := receive(streamMailbox, 0, timeout)
	return m, err
}

func receive(stream int, number uint64, timeout time.Duration) (Message, int32, error) {
	start := time.Now()
	buf := make([]byte, 4096)
	for {
		args := &receiveArgs{
			stream:     int32(stream),
			timeoutNS:  -1,
			payload:    pointer(buf),
			payloadCap: uint64(len(buf)),
			number:     number,
		}
		if timeout >= 0 {
			args.timeoutNS = int64(max(0, timeout-time.Since(start)))
		}
		n, _, err := syscall.Syscall(sysReceive, uintptr(unsafe.Pointer(args)), 0, 0)
		switch err {
		case 0:
			m := Message{buf[:n], text(args.from[:]), text(args.to[:]), args.number}
			return m, args.flags, nil
		case syscall.EMSGSIZE:
			buf = make([]byte, args.payloadLen)
		case syscall.ENODATA:
			return Message{}, 0, io.EOF
		case syscall.EINTR: // Go's own signals are nobody's business
		default:
			return Message{}, 0, err
		}
	}
}

// Stream is a subscription or a service. Several goroutines may take from one: each message goes to
// one of them.
type Stream struct{ id int }

// Subscribe is the stream of a named data source: all its messages, from the first on, whenever they
// were made. A name asked for twice is the same stream.
func Subscribe(source string) (*Stream, error) { return stream(sysSubscribe, source, 0) }

// SubscribeAfter is the same from the message with number after + 1 on.
func SubscribeAfter(source string, after uint64) (*Stream, error) {
	return stream(sysSubscribeAfter, source, uintptr(after))
}

// Serve is the stream of what is sent to this VM's EID + service: requests and plain messages alike.
// Answer with Message.Reply.
func Serve(service string) (*Stream, error) { return stream(sysServe, service, 0) }

func stream(number uintptr, name string, more uintptr) (*Stream, error) {
	id, err := callName(number, name, more)
	if err != nil {
		return nil, err
	}
	return &Stream{id}, nil
}

// Receive takes the next message; io.EOF at the stream's end, then and ever after.
func (s *Stream) Receive(timeout time.Duration) (Message, error) {
	m, _, err := receive(s.id, 0, timeout)
	return m, err
}

// Messages is the stream as a channel, for range and select; it is closed when the stream ends or is
// closed. A goroutine of its own takes the messages.
func (s *Stream) Messages() <-chan Message {
	messages := make(chan Message)
	go func() {
		defer close(messages)
		for {
			m, err := s.Receive(Forever)
			if err != nil {
				return
			}
			messages <- m
		}
	}()
	return messages
}

// Close ends a subscription or a service. What was not received of it is gone.
func (s *Stream) Close() error {
	_, err := call(sysClose, uintptr(s.id), 0, 0)
	return err
}

// Request sends a message and waits for its reply: the first that anybody sends to the request's
// address. The timeout is also how long the request may travel.
func Request(to string, payload []byte, timeout time.Duration) (Message, error) {
	name := []byte(to)
	args := &requestArgs{
		to:         pointer(name),
		toLen:      uint64(len(name)),
		payload:    pointer(payload),
		payloadLen: uint64(len(payload)),
		timeoutNS:  int64(max(-1, timeout)),
		flags:      requestOwn,
	}
	number, err := call(sysRequest, uintptr(unsafe.Pointer(args)), 0, 0)
	if err != nil {
		return Message{}, err
	}
	m, flags, err := receive(streamReplies, uint64(number), Forever)
	if err == nil && flags&flagTimeout != 0 {
		err = syscall.ETIMEDOUT
	}
	return m, err
}

func max(a, b time.Duration) time.Duration {
	if a > b {
		return a
	}
	return b
}
