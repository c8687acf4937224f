// Go beside punctual: its net package as its documentation advises, one goroutine a connection, one processor (GOMAXPROCS=1 is set by
// who starts this). It speaks to the parent as the other peers do: the address it listens on in a line, or figures, `name<TAB>value`.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const none = "no deadline"

func main() {
	what, variant := os.Args[1], os.Args[2]
	number, err := strconv.ParseInt(os.Args[3], 10, 64)
	must(err)
	switch what {
	case "echo":
		serve(variant, 5*time.Second, 4096, number)
	case "hold":
		serve(variant, 60*time.Second, 1024, -1)
	case "sleep":
		sleep()
	case "crowd":
		crowd(number)
	case "dial":
		dial(number)
	default:
		os.Exit(2)
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Answers what it is sent, each read under `idle`; ends with the connection that is number `ends`.
func serve(variant string, idle time.Duration, size int, ends int64) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	fmt.Println(listener.Addr())
	for {
		stream, err := listener.Accept()
		must(err)
		go func() {
			answer(stream, variant != none, idle, size)
			if atomic.AddInt64(&ends, -1) == 0 {
				os.Exit(0)
			}
		}()
	}
}

func answer(stream net.Conn, bounded bool, idle time.Duration, size int) {
	defer stream.Close()
	buffer := make([]byte, size)
	for {
		if bounded {
			// "An idle timeout can be implemented by repeatedly extending the deadline after successful Read or Write calls."
			if stream.SetReadDeadline(time.Now().Add(idle)) != nil {
				return
			}
		}
		read, err := stream.Read(buffer)
		if err != nil {
			return
		}
		if _, err := stream.Write(buffer[:read]); err != nil {
			return
		}
	}
}

// How many sleeps are not counted.
const warmUps = 3

// The sleeps come from the parent, a line each, in nanoseconds.
func sleep() {
	var durations []time.Duration
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		ns, err := strconv.ParseInt(lines.Text(), 10, 64)
		must(err)
		durations = append(durations, time.Duration(ns))
	}
	late := make([]int64, 0, len(durations))
	before := cpu()
	for i, duration := range durations {
		if i == warmUps {
			late, before = late[:0], cpu()
		}
		deadline := time.Now().Add(duration)
		time.Sleep(duration)
		late = append(late, int64(time.Since(deadline)))
	}
	tell(late, cpu()-before)
}

// A thousand that sleep 1 to 50 ms, again and again.
func crowd(ms int64) {
	const sleepers = 1000
	seen := make([][]int64, sleepers)
	var all sync.WaitGroup
	before := cpu()
	over := time.Now().Add(time.Duration(ms) * time.Millisecond)
	for at := range seen {
		all.Add(1)
		random := uint64(at)*0x9E3779B97F4A7C15 + 7
		seen[at] = make([]int64, 0, ms/16)
		go func(at int) {
			defer all.Done()
			for time.Now().Before(over) {
				random ^= random << 13
				random ^= random >> 7
				random ^= random << 17
				duration := time.Duration(1_000_000 + random%49_000_001)
				deadline := time.Now().Add(duration)
				time.Sleep(duration)
				seen[at] = append(seen[at], int64(time.Since(deadline)))
			}
		}(at)
	}
	all.Wait()
	took := cpu() - before
	var late []int64
	for _, some := range seen {
		late = append(late, some...)
	}
	tell(late, took)
}

// 200 dials, 20 at a time, of somebody who does not answer.
func dial(port int64) {
	const atOnce, rounds = 20, 10
	const timeout = 250 * time.Millisecond
	address := net.JoinHostPort("127.0.0.1", strconv.FormatInt(port, 10))
	late := make([]int64, 0, atOnce*rounds)
	var lock sync.Mutex
	before := cpu()
	for round := 0; round < rounds; round++ {
		var all sync.WaitGroup
		for i := 0; i < atOnce; i++ {
			all.Add(1)
			go func() {
				defer all.Done()
				deadline := time.Now().Add(timeout)
				dialer := net.Dialer{Timeout: timeout}
				_, err := dialer.Dial("tcp", address)
				since := time.Since(deadline)
				if err, is := err.(net.Error); is && err.Timeout() {
					lock.Lock()
					late = append(late, int64(since))
					lock.Unlock()
				}
			}()
		}
		all.Wait()
	}
	tell(late, cpu()-before)
}

// Lateness in nanoseconds, below zero if early; the parent makes the figures of it.
func tell(late []int64, cpuNs int64) {
	out := bufio.NewWriter(os.Stdout)
	for _, ns := range late {
		fmt.Fprintf(out, "late\t%d\n", ns)
	}
	fmt.Fprintf(out, "cpu ns\t%d\n", cpuNs)
	must(out.Flush())
}

func cpu() int64 {
	var usage syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return usage.Utime.Nano() + usage.Stime.Nano()
}
