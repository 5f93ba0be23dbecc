// All of the client API once; errand.py and errand.rs do the same, and say the same.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"radics"
)

func must(err error) {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

func about() {
	fmt.Println(radics.Name(), radics.EID(), radics.Host(), radics.HostEID(), radics.Epoch())
	fmt.Println(radics.ABI() != "", radics.HostABI(), radics.Branch(), radics.Memory()>>20)
	fmt.Println(strings.Join(os.Args[1:], ","), os.Getenv("COLOUR"), strings.Join(radics.Sources(), ","))
	must(radics.Log(radics.Warn, "on an errand"))
}

func keys() {
	_, err := radics.Get("none")
	fmt.Println("none:", errors.Is(err, syscall.ENOENT))
	must(radics.Put("a", []byte("one")))
	must(radics.Put("b", make([]byte, 5000)))
	a, err := radics.Get("a")
	must(err)
	b, err := radics.Get("b")
	must(err)
	all, err := radics.Keys()
	must(err)
	fmt.Println(string(a), len(b), len(all))
	must(radics.Erase("b"))
	fmt.Println("erased:", errors.Is(radics.Erase("b"), syscall.ENOENT))
}

func asking() {
	reply, err := radics.Request("dtn://far/x", []byte("ping"), time.Minute)
	must(err)
	fmt.Println(reply.Text(), "from", reply.From)
	_, err = radics.Request("dtn://far/y", nil, time.Millisecond)
	fmt.Println("in time:", !errors.Is(err, syscall.ETIMEDOUT))
	nodes, sources, err := radics.Mesh(time.Minute)
	must(err)
	for _, n := range nodes {
		fmt.Println(n.Name, n.Arch, n.Cores, n.Load, n.MemoryFree, n.Latency.Seconds(), n.Here)
	}
	for _, s := range sources {
		fmt.Println(s.Name, s.Publisher, s.Age.Seconds())
	}
}

func waiting() {
	timer, err := radics.StartTimer(time.Millisecond, 0)
	must(err)
	due, err := radics.ReceiveTimer(time.Minute)
	must(err)
	fmt.Println("timer:", due == timer, errors.Is(radics.StopTimer(timer), syscall.ENOENT))
	_, err = radics.Receive(time.Millisecond)
	fmt.Println("mail:", !errors.Is(err, syscall.ETIMEDOUT))
	must(radics.MoveNear("text"))
	must(radics.MoveTo("laptop"))
	must(radics.Stay())
	must(radics.MoveFree())
	setBack, err := radics.Checkpoint()
	must(err)
	fmt.Println("set back:", setBack)
}

func serving() {
	service, err := radics.Serve("echo")
	must(err)
	request, err := service.Receive(radics.Forever)
	must(err)
	fmt.Println("asked for", request.Text(), "at", request.To)
	must(request.Reply(append(request.Payload, request.Payload...)))
	must(service.Close())
}

func reading() {
	text, err := radics.Subscribe("text")
	must(err)
	bytes := 0
	for line := range text.Messages() {
		bytes += len(line.Payload)
	}
	_, err = text.Receive(radics.Forever)
	fmt.Println("read", bytes, "and the end:", err == io.EOF)
	later, err := radics.SubscribeAfter("later", 41)
	must(err)
	line, err := later.Receive(radics.Forever)
	must(err)
	fmt.Println(line.Text(), line.Number, line.From)
}

func main() {
	about()
	keys()
	asking()
	waiting()
	serving()
	reading()
	must(radics.SendFor("dtn://base/reports", []byte("done"), time.Hour))
	err := radics.Send("dtn://base/reports", make([]byte, radics.MessageMax+1))
	fmt.Println("too long:", errors.Is(err, syscall.EMSGSIZE))
	os.Exit(7)
}
