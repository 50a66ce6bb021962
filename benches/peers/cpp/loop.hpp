// A loop for the coroutines of C++20, by hand: the language has none. It has no more than it takes: a queue of what is
// ready, and a heap of timers. Nothing can be cancelled, and no other thread can wake anything.

#pragma once

#include <chrono>
#include <coroutine>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <functional>
#include <new>
#include <optional>
#include <queue>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

using Clock = std::chrono::steady_clock;

static void check(bool holds) {
    if (!holds) {
        std::fputs("a wrong result\n", stderr);
        std::exit(1);
    }
}

struct Timer {
    Clock::time_point deadline;
    size_t number;
    std::coroutine_handle<> waiter;
    bool operator>(const Timer& other) const { return std::tie(deadline, number) > std::tie(other.deadline, other.number); }
};

static std::deque<std::coroutine_handle<>> ready;
static std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers;
static size_t timers_set = 0;

static void fire_timers() {
    for (auto now = Clock::now(); !timers.empty() && timers.top().deadline <= now; timers.pop()) ready.push_back(timers.top().waiter);
}

/// Runs what is ready, and sleeps until timers fire, until nothing is ready and `done` says that this is all.
static void run(const std::function<bool()>& done) {
    for (;;) {
        for (size_t turn = ready.size(); turn > 0; turn--) {
            auto next = ready.front();
            ready.pop_front();
            next.resume();
        }
        if (!timers.empty()) fire_timers();
        if (!ready.empty()) continue;
        if (done()) return;
        check(!timers.empty());
        std::this_thread::sleep_until(timers.top().deadline);
    }
}

struct Nothing {};

/// A task: queued when it is made. Awaiting it takes its value. Its frame goes with it, unless it is detached.
template <class T>
struct Task {
    struct promise_type {
        std::optional<T> value;
        std::coroutine_handle<> waiter;
        bool detached = false;

        Task get_return_object() {
            auto handle = std::coroutine_handle<promise_type>::from_promise(*this);
            ready.push_back(handle);
            return Task(handle);
        }
        std::suspend_always initial_suspend() noexcept { return {}; }
        struct AtEnd {
            bool await_ready() noexcept { return false; }
            void await_suspend(std::coroutine_handle<promise_type> handle) noexcept {
                auto& promise = handle.promise();
                if (promise.waiter) ready.push_back(promise.waiter);
                if (promise.detached) handle.destroy();
            }
            void await_resume() noexcept {}
        };
        AtEnd final_suspend() noexcept { return {}; }
        void return_value(T given) { value = std::move(given); }
        void unhandled_exception() { std::terminate(); }
    };

    std::coroutine_handle<promise_type> handle;

    explicit Task(std::coroutine_handle<promise_type> handle) : handle(handle) {}
    Task(Task&& other) noexcept : handle(std::exchange(other.handle, nullptr)) {}
    Task(const Task&) = delete;
    ~Task() {
        if (handle) handle.destroy();
    }
    void detach() { std::exchange(handle, nullptr).promise().detached = true; }

    bool await_ready() { return handle.done(); }
    void await_suspend(std::coroutine_handle<> waiter) { handle.promise().waiter = waiter; }
    T await_resume() { return std::move(*handle.promise().value); }
};

struct Yield {
    bool await_ready() { return false; }
    void await_suspend(std::coroutine_handle<> waiter) { ready.push_back(waiter); }
    void await_resume() {}
};

struct Sleep {
    Clock::duration duration;
    bool await_ready() { return false; }
    void await_suspend(std::coroutine_handle<> waiter) { timers.push({Clock::now() + duration, timers_set++, waiter}); }
    void await_resume() {}
};

/// A place where one task leaves a token for one other.
struct Baton {
    bool here = false;
    std::coroutine_handle<> waiter;
    void leave() {
        here = true;
        if (auto woken = std::exchange(waiter, nullptr)) ready.push_back(woken);
    }
    bool await_ready() { return here; }
    void await_suspend(std::coroutine_handle<> taker) { waiter = taker; }
    void await_resume() { here = false; }
};

/// Where many tasks wait for the next opening.
struct Gate {
    std::vector<std::coroutine_handle<>> waiting;
    void open() {
        ready.insert(ready.end(), waiting.begin(), waiting.end());
        waiting.clear();
    }
    bool await_ready() { return false; }
    void await_suspend(std::coroutine_handle<> waiter) { waiting.push_back(waiter); }
    void await_resume() {}
};

/// Counts those that arrive, and tells one task when the last of them has.
struct Muster {
    size_t missing = 0;
    Baton complete;
    void arrive() {
        if (--missing == 0) complete.leave();
    }
};

/// A bounded queue for one that puts and one that gets.
struct Queue {
    static constexpr size_t places = 64;
    std::deque<size_t> items;
    Baton room, item;

    Task<Nothing> fill(size_t all) {
        for (size_t number = 0; number < all; number++) {
            while (items.size() == places) co_await room;
            items.push_back(number);
            item.leave();
        }
        co_return Nothing();
    }
    Task<size_t> empty(size_t all) {
        size_t sum = 0;
        for (; all > 0; all--) {
            while (items.empty()) co_await item;
            sum += items.front();
            items.pop_front();
            room.leave();
        }
        co_return sum;
    }
};

struct Semaphore {
    size_t permits;
    std::deque<std::coroutine_handle<>> waiting;

    struct Acquire {
        Semaphore& semaphore;
        bool await_ready() {
            if (semaphore.permits == 0) return false;
            semaphore.permits--;
            return true;
        }
        void await_suspend(std::coroutine_handle<> waiter) { semaphore.waiting.push_back(waiter); }
        void await_resume() {}
    };
    Acquire acquire() { return {*this}; }
    /// The permit goes to the one that has waited longest.
    void release() {
        if (waiting.empty()) {
            permits++;
        } else {
            ready.push_back(waiting.front());
            waiting.pop_front();
        }
    }
};
