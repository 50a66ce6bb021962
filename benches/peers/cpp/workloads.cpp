// The workloads of `benches/peers` in C++20, for the record: `workloads WORKLOAD SCALE` prints one line. Names, sizes and
// units are those of the Rust side; the loop is the one of `loop.hpp`.

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "loop.hpp"

// All that is asked of the allocator is counted.
static size_t allocated = 0;

void* operator new(size_t size) {
    allocated += size;
    if (void* memory = std::malloc(size)) return memory;
    throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t size) noexcept {
    allocated -= size;
    std::free(memory);
}

// ---- how it is measured

struct Scale {
    bool smoke;
    double seconds;
    size_t least;
    explicit Scale(const std::string& name)
        : smoke(name == "smoke"), seconds(smoke ? 0.0 : name == "quick" ? 0.04 : 0.5), least(name == "full" ? 5 : 1) {}
    size_t size(size_t full) const { return smoke ? std::min(full, 20 + full / 1000) : full; }
};

static double seconds(clockid_t clock) {
    timespec time;
    clock_gettime(clock, &time);
    return double(time.tv_sec) + double(time.tv_nsec) * 1e-9;
}

template <class T>
static T block_on(Task<T> task) {
    run([&] { return task.handle.done(); });
    return task.await_resume();
}

/// The first repetition is not counted.
static void repeat(const Scale& scale, size_t operations, const std::function<Task<Nothing>()>& once) {
    block_on(once());
    std::vector<double> repetitions;
    double begun = seconds(CLOCK_MONOTONIC), cpu_begun = seconds(CLOCK_PROCESS_CPUTIME_ID);
    while (repetitions.size() < scale.least || seconds(CLOCK_MONOTONIC) - begun < scale.seconds) {
        double start = seconds(CLOCK_PROCESS_CPUTIME_ID);
        block_on(once());
        repetitions.push_back((seconds(CLOCK_PROCESS_CPUTIME_ID) - start) * 1e9 / double(operations));
    }
    double part = (seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_begun) / (seconds(CLOCK_MONOTONIC) - begun);
    std::vector<double> sorted = repetitions;
    std::sort(sorted.begin(), sorted.end());
    double middle = (sorted[(sorted.size() - 1) / 2] + sorted[sorted.size() / 2]) / 2;
    std::printf("{\"figure\": %.4f, \"beside\": %.4f, \"repetitions\": [", middle, part);
    for (size_t place = 0; place < repetitions.size(); place++) std::printf("%s%.4f", place ? ", " : "", repetitions[place]);
    std::puts("]}");
}

// ---- the workloads

static Task<size_t> answer(size_t number) { co_return number; }

static Task<Nothing> spawn(size_t tasks) {
    std::vector<Task<size_t>> spawned;
    spawned.reserve(tasks);
    for (size_t number = 0; number < tasks; number++) spawned.push_back(answer(number));
    size_t sum = 0;
    for (auto& task : spawned) sum += co_await task;
    check(sum == tasks * (tasks - 1) / 2);
    co_return Nothing();
}

static Task<Nothing> spawn_one(size_t tasks) {
    size_t sum = 0;
    for (size_t number = 0; number < tasks; number++) sum += co_await answer(number);
    check(sum == tasks * (tasks - 1) / 2);
    co_return Nothing();
}

static Task<size_t> child(size_t number) {
    co_await Yield();
    co_return number;
}

static Task<Nothing> gather(size_t size, size_t times) {
    for (; times > 0; times--) {
        std::vector<Task<size_t>> spawned;
        spawned.reserve(size);
        for (size_t number = 0; number < size; number++) spawned.push_back(child(number));
        std::vector<size_t> outputs;
        outputs.reserve(size);
        for (auto& task : spawned) outputs.push_back(co_await task);
        for (size_t number = 0; number < size; number++) check(outputs[number] == number);
    }
    co_return Nothing();
}

static Task<size_t> yields(size_t times) {
    for (size_t left = times; left > 0; left--) co_await Yield();
    co_return times;
}

static Task<Nothing> yield_one(size_t times) {
    check(co_await yields(times) == times);
    co_return Nothing();
}

struct Crowd {
    size_t tasks = 0, passed = 0;
    Gate gate;
    Muster muster;
};

static Task<Nothing> pass_for_ever(Crowd& crowd, size_t times) {
    for (;;) {
        crowd.muster.arrive();
        co_await crowd.gate;
        for (size_t left = times; left > 0; left--) co_await Yield();
        crowd.passed++;
    }
}

static Task<Nothing> pass(Crowd& crowd, size_t storms, size_t times) {
    if (crowd.gate.waiting.empty()) {
        crowd.muster.missing = crowd.tasks;
        for (size_t task = 0; task < crowd.tasks; task++) pass_for_ever(crowd, times).detach();
        co_await crowd.muster.complete;
    }
    size_t before = crowd.passed;
    for (size_t left = storms; left > 0; left--) {
        crowd.muster.missing = crowd.tasks;
        crowd.gate.open();
        co_await crowd.muster.complete;
    }
    check(crowd.passed - before == crowd.tasks * storms);
    co_return Nothing();
}

static Task<size_t> pass_on(std::vector<Baton>& batons, size_t place, size_t rounds) {
    for (size_t round = 0; round < rounds; round++) {
        co_await batons[place];
        batons[(place + 1) % batons.size()].leave();
    }
    co_return rounds;
}

static Task<Nothing> ring(size_t tasks, size_t rounds) {
    std::vector<Baton> batons(tasks);
    std::vector<Task<size_t>> spawned;
    for (size_t place = 0; place < tasks; place++) spawned.push_back(pass_on(batons, place, rounds));
    batons[0].leave();
    size_t hops = 0;
    for (auto& task : spawned) hops += co_await task;
    check(hops == tasks * rounds);
    co_return Nothing();
}

static Task<Nothing> queue(size_t items) {
    Queue between;
    auto producer = between.fill(items);
    auto consumer = between.empty(items);
    co_await producer;
    check(co_await consumer == items * (items - 1) / 2);
    co_return Nothing();
}

struct Works {
    size_t left = 0, holders = 0, most_holders = 0, waiting = 0;
    Gate all_are_out;
};

static Task<size_t> work(Semaphore& semaphore, Works& works, size_t permits) {
    size_t taken = 0;
    while (works.left > 0) {
        works.left--;
        co_await semaphore.acquire();
        works.most_holders = std::max(works.most_holders, ++works.holders);
        if (++works.waiting == permits) {
            works.waiting = 0;
            works.all_are_out.open();
        } else {
            co_await works.all_are_out;
        }
        works.holders--;
        semaphore.release();
        taken++;
    }
    co_return taken;
}

static Task<Nothing> semaphore(size_t tasks, size_t turns) {
    constexpr size_t permits = 3;
    Semaphore shared{permits, {}};
    Works works;
    works.left = turns;
    std::vector<Task<size_t>> workers;
    for (size_t task = 0; task < tasks; task++) workers.push_back(work(shared, works, permits));
    size_t taken = 0;
    for (auto& worker : workers) taken += co_await worker;
    check(taken == turns && works.most_holders == permits);
    co_return Nothing();
}

static Task<size_t> sleeps(Clock::duration duration) {
    co_await Sleep{duration};
    co_return 1;
}

static Task<Nothing> many_timers(size_t tasks) {
    std::mt19937 seeded(42);
    std::uniform_int_distribution<int> micros(1000, 49999);
    std::vector<Task<size_t>> spawned;
    spawned.reserve(tasks);
    for (size_t task = 0; task < tasks; task++) spawned.push_back(sleeps(std::chrono::microseconds(micros(seeded))));
    size_t fired = 0;
    for (auto& task : spawned) fired += co_await task;
    check(fired == tasks);
    co_return Nothing();
}

static double resident() {
    long pages = 0;
    if (FILE* statm = std::fopen("/proc/self/statm", "r")) {
        check(std::fscanf(statm, "%*d %ld", &pages) == 1);
        std::fclose(statm);
    }
    return double(pages) * double(sysconf(_SC_PAGESIZE));
}

static Task<Nothing> waits(Gate& gate, bool asleep) {
    if (asleep) {
        co_await Sleep{std::chrono::hours(1)};
    } else {
        co_await gate;
    }
    co_return Nothing();
}

static void memory(size_t tasks, bool asleep) {
    static Gate gate;
    double heap = double(allocated), in_memory = resident();
    for (size_t task = 0; task < tasks; task++) waits(gate, asleep).detach();
    while (!ready.empty()) {
        ready.front().resume();
        ready.pop_front();
    }
    double each = (double(allocated) - heap) / double(tasks);
    std::printf("{\"figure\": %.1f, \"beside\": %.1f}\n", each, (resident() - in_memory) / double(tasks));
}

int main(int count, char** arguments) {
    check(count == 3);
    std::string workload = arguments[1];
    Scale scale(arguments[2]);
    auto dash = workload.find('-');
    std::string family = workload.substr(0, dash);
    std::string rest = dash == std::string::npos ? "" : workload.substr(dash + 1);
    size_t many = std::strtoul(rest.c_str(), nullptr, 10), size = scale.size(many);

    if (workload == "spawn") {
        size = scale.size(100000);
        repeat(scale, size, [=] { return spawn(size); });
    } else if (workload == "spawn-1") {
        size = scale.size(10000);
        repeat(scale, size, [=] { return spawn_one(size); });
    } else if (family == "gather") {
        size_t times = (scale.size(10000) + size - 1) / size;
        repeat(scale, size * times, [=] { return gather(size, times); });
    } else if (workload == "yield-1") {
        size = scale.size(100000);
        repeat(scale, size, [=] { return yield_one(size); });
    } else if (family == "yield") {
        Crowd crowd;
        crowd.tasks = size;
        size_t times = std::clamp<size_t>(100000 / size, 10, 1000);
        repeat(scale, size * (times + 1), [&] { return pass(crowd, 1, times); });
    } else if (family == "storm") {
        Crowd crowd;
        crowd.tasks = size;
        size_t storms = std::clamp<size_t>(100000 / size, 2, 1000);
        repeat(scale, size * storms, [&] { return pass(crowd, storms, 0); });
    } else if (family == "ring") {
        size_t rounds = scale.size(100000) / size;
        repeat(scale, size * rounds, [=] { return ring(size, rounds); });
    } else if (workload == "queue") {
        size = scale.size(100000);
        repeat(scale, size, [=] { return queue(size); });
    } else if (workload == "semaphore") {
        size = scale.size(1000);
        size_t turns = size * 10 / 3 * 3;
        repeat(scale, turns, [=] { return semaphore(size, turns); });
    } else if (workload == "timers") {
        size = scale.size(100000);
        repeat(scale, size, [=] { return many_timers(size); });
    } else if (family == "memory") {
        memory(scale.size(100000), workload == "memory-sleep");
    } else {
        std::fputs("no such workload\n", stderr);
        return 1;
    }
    std::fflush(stdout);
    std::_Exit(0); // tasks that wait for ever are left behind
}
