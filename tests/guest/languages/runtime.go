// What Go's runtime needs of a kernel: goroutines that give nothing away, timers, a collector with
// little memory, the poller, faults that are panics, threads.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"time"
)

func sum() int {
	var workers sync.WaitGroup
	numbers := make(chan int)
	for i := 0; i < 100; i++ {
		workers.Add(1)
		go func(i int) { defer workers.Done(); numbers <- i }(i)
	}
	go func() { workers.Wait(); close(numbers) }()
	s := 0
	for n := range numbers {
		s += n
	}
	return s
}

// A goroutine that never calls anything has to be interrupted by a signal.
func ticksBesideABusyOne() bool {
	done := false
	go func() {
		for !done {
		}
	}()
	ticks, enough := time.NewTicker(2*time.Millisecond), time.After(50*time.Millisecond)
	n := 0
	for {
		select {
		case <-ticks.C:
			n++
		case <-enough:
			done = true
			return n > 0
		}
	}
}

func collects() bool {
	var kept [][]byte
	for i := 0; i < 1000; i++ {
		b := make([]byte, 100000)
		if i%100 == 0 {
			kept = append(kept, b)
		}
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.NumGC > 0 && len(kept) == 10
}

func throughAPipe() string {
	r, w, err := os.Pipe()
	if err != nil {
		return err.Error()
	}
	go func() { time.Sleep(time.Millisecond); w.Write([]byte("piped")); w.Close() }()
	buf := make([]byte, 100)
	n, err := r.Read(buf)
	return fmt.Sprint(string(buf[:n]), " ", err)
}

func threads() int {
	var locked sync.WaitGroup
	for i := 0; i < 5; i++ {
		locked.Add(1)
		go func() {
			runtime.LockOSThread()
			time.Sleep(time.Millisecond)
			locked.Done()
		}()
	}
	locked.Wait()
	return 5
}

func main() {
	fmt.Println("sum", sum())
	fmt.Println("ticks", ticksBesideABusyOne())
	fmt.Println("collects", collects())
	fmt.Println(throughAPipe())
	fmt.Println("threads", threads())
	fmt.Println(os.WriteFile("/tmp/a", []byte("kept"), 0o600))
	text, err := os.ReadFile("/tmp/a")
	fmt.Println(string(text), err)
	_, err = os.ReadFile("/none")
	fmt.Println(errors.Is(err, fs.ErrNotExist))
	defer func() { fmt.Println("recovered", recover() != nil); os.Exit(3) }()
	var nothing *int
	*nothing = 1
}
