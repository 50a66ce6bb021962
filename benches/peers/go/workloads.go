// The workloads of benches/peers in Go, for the record: `workloads WORKLOAD SCALE` prints one line. Names, sizes and units
// are those of the Rust side. GOMAXPROCS is 1: the goroutines share one thread, as tasks do. It is run with
// GODEBUG=asyncpreemptoff=1, so that none is interrupted between two calls, and the counters need no atomics.
//
// A yield is runtime.Gosched, joining is receiving from a channel, a semaphore is a channel with as many places.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

type scale struct {
	smoke bool
	time  time.Duration
	least int
}

func newScale(name string) scale {
	switch name {
	case "smoke":
		return scale{smoke: true, least: 1}
	case "quick":
		return scale{time: 40 * time.Millisecond, least: 1}
	default:
		return scale{time: 500 * time.Millisecond, least: 5}
	}
}

func (s scale) size(full int) int {
	if s.smoke && full > 20+full/1000 {
		return 20 + full/1000
	}
	return full
}

type sample struct {
	Figure      float64   `json:"figure"`
	Beside      float64   `json:"beside"`
	Repetitions []float64 `json:"repetitions,omitempty"`
}

func check(holds bool) {
	if !holds {
		fmt.Fprintln(os.Stderr, "a wrong result")
		os.Exit(1)
	}
}

func cpu() time.Duration {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage) == nil)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// The first repetition is not counted.
func repeat(s scale, operations int, once func()) sample {
	once()
	var laps []float64
	begun, cpuBegun := time.Now(), cpu()
	for len(laps) < s.least || time.Since(begun) < s.time {
		start := cpu()
		once()
		laps = append(laps, float64(cpu()-start)/float64(operations))
	}
	return sample{median(laps), float64(cpu()-cpuBegun) / float64(time.Since(begun)), laps}
}

func median(values []float64) float64 {
	sorted := append([]float64(nil), values...)
	sort.Float64s(sorted)
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

func spawnAll(tasks int, body func(number int) int) []chan int {
	results := make([]chan int, tasks)
	for number := range results {
		results[number] = spawn(number, body)
	}
	return results
}

func spawn(number int, body func(number int) int) chan int {
	result := make(chan int, 1)
	go func() { result <- body(number) }()
	return result
}

func sum(results []chan int) int {
	sum := 0
	for _, result := range results {
		sum += <-result
	}
	return sum
}

func same(number int) int { return number }

func spawnMany(s scale) sample {
	tasks := s.size(100_000)
	return repeat(s, tasks, func() { check(sum(spawnAll(tasks, same)) == tasks*(tasks-1)/2) })
}

func spawnOne(s scale) sample {
	tasks := s.size(10_000)
	return repeat(s, tasks, func() {
		sum := 0
		for number := 0; number < tasks; number++ {
			sum += <-spawn(number, same)
		}
		check(sum == tasks*(tasks-1)/2)
	})
}

func gather(s scale, size int) sample {
	times := (s.size(10_000) + size - 1) / size
	return repeat(s, size*times, func() {
		for left := times; left > 0; left-- {
			outputs := make([]int, size)
			var all sync.WaitGroup
			all.Add(size)
			for number := range outputs {
				number := number
				go func() {
					runtime.Gosched()
					outputs[number] = number
					all.Done()
				}()
			}
			all.Wait()
			for number, output := range outputs {
				check(number == output)
			}
		}
	})
}

func yieldOne(s scale) sample {
	times := s.size(100_000)
	return repeat(s, times, func() {
		yielded := <-spawn(0, func(int) int {
			for left := times; left > 0; left-- {
				runtime.Gosched()
			}
			return times
		})
		check(yielded == times)
	})
}

// Goroutines that wait at a gate, which is closed to let them pass.
type crowd struct {
	tasks, times, missing, passed int
	gate                          chan struct{}
	complete                      chan struct{}
}

func (c *crowd) passForEver() {
	for {
		gate := c.gate
		if c.missing--; c.missing == 0 {
			c.complete <- struct{}{}
		}
		<-gate
		for left := c.times; left > 0; left-- {
			runtime.Gosched()
		}
		c.passed++
	}
}

func (c *crowd) pass(storms int) {
	before := c.passed
	for ; storms > 0; storms-- {
		opened := c.gate
		c.gate, c.missing = make(chan struct{}), c.tasks
		close(opened)
		<-c.complete
		before += c.tasks
	}
	check(c.passed == before)
}

func newCrowd(tasks, times int) *crowd {
	c := &crowd{tasks: tasks, times: times, missing: tasks}
	c.gate, c.complete = make(chan struct{}), make(chan struct{}, 1)
	for task := 0; task < tasks; task++ {
		go c.passForEver()
	}
	<-c.complete
	return c
}

func clamp(value, least, most int) int {
	if value < least {
		return least
	}
	if value > most {
		return most
	}
	return value
}

func yieldMany(s scale, tasks int) sample {
	times := clamp(100_000/tasks, 10, 1_000)
	c := newCrowd(tasks, times)
	return repeat(s, tasks*(times+1), func() { c.pass(1) })
}

func storm(s scale, tasks int) sample {
	storms := clamp(100_000/tasks, 2, 1_000)
	c := newCrowd(tasks, 0)
	return repeat(s, tasks*storms, func() { c.pass(storms) })
}

func ring(s scale, tasks int) sample {
	rounds := s.size(100_000) / tasks
	return repeat(s, tasks*rounds, func() {
		batons := make([]chan struct{}, tasks)
		for place := range batons {
			batons[place] = make(chan struct{}, 1)
		}
		spawned := spawnAll(tasks, func(place int) int {
			for round := 0; round < rounds; round++ {
				<-batons[place]
				batons[(place+1)%tasks] <- struct{}{}
			}
			return rounds
		})
		batons[0] <- struct{}{}
		check(sum(spawned) == tasks*rounds)
	})
}

func queue(s scale) sample {
	items := s.size(100_000)
	return repeat(s, items, func() {
		between := make(chan int, 64)
		go func() {
			for item := 0; item < items; item++ {
				between <- item
			}
			close(between)
		}()
		sum := 0
		for item := range between {
			sum += item
		}
		check(sum == items*(items-1)/2)
	})
}

func semaphore(s scale) sample {
	const permits = 3
	tasks := s.size(1_000)
	turns := tasks * 10 / permits * permits
	return repeat(s, turns, func() {
		semaphore := make(chan struct{}, permits)
		left, holders, most, waiting := turns, 0, 0, 0
		allAreOut := make(chan struct{})
		taken := sum(spawnAll(tasks, func(int) int {
			taken := 0
			for left > 0 {
				left--
				semaphore <- struct{}{}
				holders++
				if holders > most {
					most = holders
				}
				if waiting++; waiting == permits {
					opened := allAreOut
					waiting, allAreOut = 0, make(chan struct{})
					close(opened)
				} else {
					<-allAreOut
				}
				holders--
				<-semaphore
				taken++
			}
			return taken
		}))
		check(taken == turns && most == permits)
	})
}

func timers(s scale) sample {
	tasks := s.size(100_000)
	return repeat(s, tasks, func() {
		seeded := rand.New(rand.NewSource(42))
		durations := make([]time.Duration, tasks)
		for task := range durations {
			durations[task] = time.Duration(1_000+seeded.Intn(49_000)) * time.Microsecond
		}
		fired := sum(spawnAll(tasks, func(task int) int {
			time.Sleep(durations[task])
			return 1
		}))
		check(fired == tasks)
	})
}

// What has a limit runs in a goroutine of its own: no limit can be put around a call.
func timeout(s scale, others int, yields bool) sample {
	limits := s.size(20_000)
	for other := s.size(others); other > 0; other-- {
		go time.Sleep(time.Hour + time.Duration(other)*time.Millisecond)
	}
	runtime.Gosched()
	return repeat(s, limits, func() {
		sum := 0
		for number := 0; number < limits; number++ {
			limit, cancel := context.WithTimeout(context.Background(), time.Hour)
			result := spawn(number, func(number int) int {
				if yields {
					runtime.Gosched()
				}
				return number
			})
			select {
			case number := <-result:
				sum += number
			case <-limit.Done():
				check(false)
			}
			cancel()
		}
		check(sum == limits*(limits-1)/2)
	})
}

func lateness(s scale) sample {
	sleeps := 150
	if s.smoke {
		sleeps = 10
	}
	seeded := rand.New(rand.NewSource(7))
	var late []float64
	for left := sleeps; left > 0; left-- {
		duration := time.Duration(200+seeded.Intn(2_800)) * time.Microsecond
		start := time.Now()
		time.Sleep(duration)
		slept := time.Since(start)
		check(slept >= duration)
		late = append(late, float64(slept-duration)/1e3)
	}
	sort.Float64s(late)
	return sample{late[sleeps/2], late[sleeps*99/100], late}
}

func memory(s scale, wait func()) sample {
	tasks := s.size(100_000)
	heap, resident := inUse()
	var begun sync.WaitGroup
	begun.Add(tasks)
	for task := 0; task < tasks; task++ {
		go func() {
			begun.Done()
			wait()
		}()
	}
	begun.Wait()
	heapNow, residentNow := inUse()
	each := func(bytes float64) float64 { return bytes / float64(tasks) }
	return sample{each(heapNow - heap), each(residentNow - resident), nil}
}

// Bytes of the heap and of stacks; bytes that are in memory.
func inUse() (float64, float64) {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	statm, err := os.ReadFile("/proc/self/statm")
	check(err == nil)
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	check(err == nil)
	return float64(stats.HeapAlloc + stats.StackInuse), float64(pages * os.Getpagesize())
}

func measure(workload string, s scale) sample {
	family, rest, _ := strings.Cut(workload, "-")
	full, _ := strconv.Atoi(rest)
	size := s.size(full)
	switch workload {
	case "spawn":
		return spawnMany(s)
	case "spawn-1":
		return spawnOne(s)
	case "yield-1":
		return yieldOne(s)
	case "queue":
		return queue(s)
	case "semaphore":
		return semaphore(s)
	case "timers":
		return timers(s)
	case "timeout":
		return timeout(s, 0, false)
	case "timeout-10k":
		return timeout(s, 10_000, false)
	case "timeout-armed":
		return timeout(s, 10_000, true)
	case "lateness":
		return lateness(s)
	case "memory":
		return memory(s, func() { select {} })
	case "memory-sleep":
		return memory(s, func() { time.Sleep(time.Hour) })
	}
	switch family {
	case "gather":
		return gather(s, size)
	case "yield":
		return yieldMany(s, size)
	case "storm":
		return storm(s, size)
	case "ring":
		return ring(s, size)
	}
	fmt.Fprintln(os.Stderr, "no such workload")
	os.Exit(1)
	return sample{}
}

func main() {
	runtime.GOMAXPROCS(1)
	line, err := json.Marshal(measure(os.Args[1], newScale(os.Args[2])))
	check(err == nil)
	fmt.Println(string(line))
}
