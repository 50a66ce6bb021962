"""The workloads of `benches/peers` in Python, for the record: `workloads.py LOOP WORKLOAD SCALE` prints one line.

LOOP is `asyncio` or `uvloop`. Names, sizes and units are those of the Rust side. A yield is `asyncio.sleep(0)`.
"""

import asyncio
import json
import os
import random
import statistics
import sys
import threading
import time
import tracemalloc

HOUR = 3600.0
SIZES = [100, 1_000, 10_000, 100_000]


class Scale:
    def __init__(self, name):
        self.smoke = name == "smoke"
        self.time = {"smoke": 0.0, "quick": 0.08, "full": 0.5}[name]
        self.repetitions = 3 if name == "full" else 1

    def size(self, full):
        return min(full, 20 + full // 1_000) if self.smoke else full


async def repeat(scale, operations, once, clock="cpu"):
    """The median of several repetitions; the first is not counted."""
    await once()
    laps, begun = [], time.perf_counter()
    while len(laps) < scale.repetitions or time.perf_counter() - begun < scale.time:
        cpu, wall = time.process_time_ns(), time.perf_counter_ns()
        await once()
        laps.append((time.process_time_ns() - cpu, time.perf_counter_ns() - wall))
    repetitions = [lap[clock == "wall"] / operations for lap in laps]
    beside = sum(lap[0] for lap in laps) / sum(lap[1] for lap in laps)
    return statistics.median(repetitions), beside, repetitions


async def spawn(scale):
    tasks = scale.size(100_000)

    async def answer(number):
        return number

    async def once():
        spawned = [asyncio.create_task(answer(number)) for number in range(tasks)]
        total = 0
        for task in spawned:
            total += await task
        assert total == tasks * (tasks - 1) // 2

    return await repeat(scale, tasks, once)


async def spawn_one(scale):
    tasks = scale.size(10_000)

    async def answer(number):
        return number

    async def once():
        total = 0
        for number in range(tasks):
            total += await asyncio.create_task(answer(number))
        assert total == tasks * (tasks - 1) // 2

    return await repeat(scale, tasks, once)


async def gather(scale, size):
    size = scale.size(size)
    times = -(-scale.size(10_000) // size)

    async def child(number):
        await asyncio.sleep(0)
        return number

    async def once():
        for _ in range(times):
            assert await asyncio.gather(*map(child, range(size))) == list(range(size))

    return await repeat(scale, size * times, once)


async def yields(times):
    for _ in range(times):
        await asyncio.sleep(0)
    return times


async def yield_one(scale):
    times = scale.size(100_000)

    async def once():
        assert await asyncio.create_task(yields(times)) == times

    return await repeat(scale, times, once)


async def crowd(scale, tasks, storms, times):
    """Tasks that wait at a gate, and yield some times whenever it opens."""
    tasks = scale.size(tasks)
    loop = asyncio.get_running_loop()
    gate, missing, complete, passed = loop.create_future(), tasks, loop.create_future(), 0

    async def pass_for_ever():
        nonlocal missing, passed
        while True:
            missing -= 1
            if missing == 0:
                complete.set_result(None)
            await gate
            if times:
                await yields(times)
            passed += 1

    spawned = [asyncio.create_task(pass_for_ever()) for _ in range(tasks)]
    await complete

    async def once():
        nonlocal gate, missing, complete
        before = passed
        for _ in range(storms(tasks)):
            missing, complete, opened = tasks, loop.create_future(), gate
            gate = loop.create_future()
            opened.set_result(None)
            await complete
        assert passed - before == tasks * storms(tasks)

    result = await repeat(scale, tasks * storms(tasks) * (times + 1), once)
    assert len(spawned) == tasks and missing == 0
    return result


async def yield_many(scale, tasks):
    times = min(max(100_000 // scale.size(tasks), 10), 1_000)
    return await crowd(scale, tasks, lambda _: 1, times)


async def storm(scale, tasks):
    return await crowd(scale, tasks, lambda tasks: min(max(100_000 // tasks, 2), 1_000), 0)


async def ring(scale, tasks):
    tasks = scale.size(tasks)
    rounds = scale.size(100_000) // tasks
    loop = asyncio.get_running_loop()

    async def once():
        waiting = [loop.create_future() for _ in range(tasks)]

        async def pass_on(place):
            for _ in range(rounds):
                await waiting[place]
                waiting[place] = loop.create_future()
                waiting[(place + 1) % tasks].set_result(None)
            return rounds

        spawned = [asyncio.create_task(pass_on(place)) for place in range(tasks)]
        waiting[0].set_result(None)
        assert sum([await task for task in spawned]) == tasks * rounds

    return await repeat(scale, tasks * rounds, once)


async def queue(scale):
    items = scale.size(100_000)

    async def once():
        between = asyncio.Queue(64)

        async def produce():
            for item in range(items):
                await between.put(item)

        producer = asyncio.create_task(produce())
        total = 0
        for _ in range(items):
            total += await between.get()
        await producer
        assert total == items * (items - 1) // 2

    return await repeat(scale, items, once)


async def semaphore(scale):
    tasks, permits = scale.size(1_000), 3
    turns = tasks * 10 // permits * permits
    loop = asyncio.get_running_loop()

    async def once():
        semaphore = asyncio.Semaphore(permits)
        left, holders, most_holders, waiting = turns, 0, 0, []

        async def hold():
            if len(waiting) == permits - 1:
                for waiter in waiting:
                    waiter.set_result(None)
                waiting.clear()
            else:
                waiting.append(loop.create_future())
                await waiting[-1]

        async def work():
            nonlocal left, holders, most_holders
            taken = 0
            while left > 0:
                left -= 1
                async with semaphore:
                    holders += 1
                    most_holders = max(most_holders, holders)
                    await hold()
                    holders -= 1
                taken += 1
            return taken

        taken = sum(await asyncio.gather(*(work() for _ in range(tasks))))
        assert taken == turns and most_holders == permits

    return await repeat(scale, turns, once)


async def timers(scale):
    tasks = scale.size(100_000)

    async def once():
        seeded = random.Random(42)
        spawned = [asyncio.create_task(asyncio.sleep(seeded.uniform(0.001, 0.05), 1)) for _ in range(tasks)]
        assert sum([await task for task in spawned]) == tasks

    return await repeat(scale, tasks, once)


async def timeout(scale, others, within):
    limits = scale.size(20_000)
    sleeping = [asyncio.create_task(asyncio.sleep(HOUR + place)) for place in range(scale.size(others))]
    await asyncio.sleep(0)

    async def once():
        total = 0
        for number in range(limits):
            async with asyncio.timeout(HOUR):
                total += await within(number)
        assert total == limits * (limits - 1) // 2

    result = await repeat(scale, limits, once)
    for task in sleeping:
        task.cancel()
    return result


async def ready(number):
    return number


async def yields_once(number):
    await asyncio.sleep(0)
    return number


async def lateness(scale):
    sleeps = 10 if scale.smoke else 150
    seeded, late = random.Random(7), []
    for _ in range(sleeps):
        duration = seeded.uniform(0.0002, 0.003)
        start = time.perf_counter()
        await asyncio.sleep(duration)
        late.append((time.perf_counter() - start - duration) * 1e6)
    late.sort()
    return late[sleeps // 2], late[sleeps * 99 // 100], late


async def thread_ping_pong(scale):
    trips = scale.size(1_000)
    loop = asyncio.get_running_loop()
    ball, returned = threading.Semaphore(0), asyncio.Event()

    def partner():
        while True:
            ball.acquire()
            loop.call_soon_threadsafe(returned.set)

    threading.Thread(target=partner, daemon=True).start()

    async def once():
        for _ in range(trips):
            ball.release()
            await returned.wait()
            returned.clear()

    return await repeat(scale, trips, once, clock="wall")


async def memory(scale, wait):
    async def waiting(tasks):
        spawned = [asyncio.create_task(wait()) for _ in range(tasks)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in spawned)
        return spawned

    tasks, traced = scale.size(100_000), scale.size(10_000)
    resident = -resident_bytes()
    kept = await waiting(tasks)
    resident += resident_bytes()
    # Only now, as its own tables would count as resident, and for a tenth, as it takes its time.
    tracemalloc.start()
    kept += await waiting(traced)
    return tracemalloc.get_traced_memory()[0] / traced, resident / tasks, []


def resident_bytes():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


async def wait_for_ever():
    await asyncio.get_running_loop().create_future()


WORKLOADS = {
    "spawn": spawn,
    "spawn-1": spawn_one,
    "gather-10": lambda scale: gather(scale, 10),
    "gather-1000": lambda scale: gather(scale, 1_000),
    "gather-100000": lambda scale: gather(scale, 100_000),
    "yield-1": yield_one,
    **{f"yield-{size}": lambda scale, size=size: yield_many(scale, size) for size in SIZES},
    "ring-2": lambda scale: ring(scale, 2),
    "ring-1000": lambda scale: ring(scale, 1_000),
    **{f"storm-{size}": lambda scale, size=size: storm(scale, size) for size in SIZES},
    "queue": queue,
    "semaphore": semaphore,
    "timers": timers,
    "timeout": lambda scale: timeout(scale, 0, ready),
    "timeout-10k": lambda scale: timeout(scale, 10_000, ready),
    "timeout-armed": lambda scale: timeout(scale, 10_000, yields_once),
    "lateness": lateness,
    "thread-parked": thread_ping_pong,
    "memory": lambda scale: memory(scale, wait_for_ever),
    "memory-sleep": lambda scale: memory(scale, lambda: asyncio.sleep(HOUR)),
}


def main(loop, workload, scale):
    if loop == "uvloop":
        import uvloop

        new_loop = uvloop.new_event_loop
    else:
        new_loop = asyncio.new_event_loop
    with asyncio.Runner(loop_factory=new_loop) as runner:
        figure, beside, repetitions = runner.run(WORKLOADS[workload](Scale(scale)))
        print(json.dumps({"figure": figure, "beside": beside, "repetitions": repetitions}), flush=True)
        os._exit(0)  # to cancel 100,000 tasks that wait would take longer than all else


if __name__ == "__main__":
    main(*sys.argv[1:])
