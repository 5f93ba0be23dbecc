// relay: three goroutines over one data source, and a service that answers while they work.
//
//	radics-mesh build examples/relay.go -o relay.img
//	radics-mesh run relay.img --name relay --source text -- dtn://base/reports
//
// It sends the longest line that it has seen to the EID it was given: when the source ends, and at
// every tenth line before. Whoever sends a request to this VM's service "longest" is told too.
package main

import (
	"fmt"
	"os"
	"sync"
	"time"

	"radics"
)

type record struct {
	sync.Mutex
	line  string
	lines int
}

func (r *record) add(line string) (lines int) {
	r.Lock()
	defer r.Unlock()
	r.lines++
	if len(line) > len(r.line) {
		r.line = line
	}
	return r.lines
}

func (r *record) longest() []byte {
	r.Lock()
	defer r.Unlock()
	return []byte(r.line)
}

func (r *record) answer() {
	requests, err := radics.Serve("longest")
	if err != nil {
		fmt.Fprintln(os.Stderr, "relay: no service:", err)
		return
	}
	for request := range requests.Messages() {
		if err := request.Reply(r.longest()); err != nil {
			fmt.Fprintln(os.Stderr, "relay: no answer:", err)
		}
	}
}

func main() {
	names := radics.Sources()
	if len(names) == 0 {
		names = []string{"text"}
	}
	var longest record
	var workers sync.WaitGroup
	report := make(chan int)
	go longest.answer()
	for _, name := range names {
		lines, err := radics.Subscribe(name)
		if err != nil {
			fmt.Fprintln(os.Stderr, "relay:", name, err)
			os.Exit(1)
		}
		messages := lines.Messages()
		for i := 0; i < 3; i++ {
			workers.Add(1)
			go func() {
				defer workers.Done()
				for line := range messages {
					if n := longest.add(line.Text()); n%10 == 0 {
						report <- n
					}
				}
			}()
		}
	}
	go func() { workers.Wait(); close(report) }()

	alive := time.NewTicker(10 * time.Second)
	for open := true; open; {
		select {
		case _, open = <-report:
			if len(os.Args) > 1 {
				if err := radics.Send(os.Args[1], longest.longest()); err != nil {
					fmt.Fprintln(os.Stderr, "relay:", err)
				}
			}
		case <-alive.C:
			fmt.Println("waiting on", radics.Host())
		}
	}
	fmt.Println(longest.lines, "lines; longest:", string(longest.longest()))
}
