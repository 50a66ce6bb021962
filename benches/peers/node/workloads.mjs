// The workloads of `benches/peers` in JavaScript, for the record: `node --expose-gc workloads.mjs WORKLOAD SCALE` prints one
// line. Names, sizes and units are those of the Rust side.
//
// A task is the promise of an async function, which runs at once up to its first `await`. A yield is `await null`: it lets
// other tasks go on, and neither timers nor sockets. The language has no queue and no semaphore, so these are by hand.

const HOUR = 3_600_000
const [workload, scaleName] = process.argv.slice(2)
const smoke = scaleName === 'smoke'
const scale = {
  time: { smoke: 0, quick: 40, full: 500 }[scaleName],
  least: scaleName === 'full' ? 5 : 1,
  size: (full) => (smoke ? Math.min(full, 20 + Math.floor(full / 1000)) : full),
}

function check(holds) {
  if (!holds) throw new Error('a wrong result')
}

function cpuNanos() {
  const { user, system } = process.cpuUsage()
  return (user + system) * 1000
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2
}

/** The first repetition is not counted. */
async function repeat(operations, once) {
  await once()
  const repetitions = []
  const [begun, cpuBegun] = [performance.now(), cpuNanos()]
  while (repetitions.length < scale.least || performance.now() - begun < scale.time) {
    const start = cpuNanos()
    await once()
    repetitions.push((cpuNanos() - start) / operations)
  }
  const beside = (cpuNanos() - cpuBegun) / ((performance.now() - begun) * 1e6)
  return { figure: median(repetitions), beside, repetitions }
}

/** A promise, and what fulfils it. */
function open() {
  let fulfil
  const promise = new Promise((resolve) => (fulfil = resolve))
  return { promise, fulfil }
}

const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis))
const many = (size, make) => Array.from({ length: size }, (_, place) => make(place))

async function sum(tasks) {
  let sum = 0
  for (const task of tasks) sum += await task
  return sum
}

async function answer(number) {
  return number
}

function spawn() {
  const tasks = scale.size(100_000)
  return repeat(tasks, async () => check((await sum(many(tasks, answer))) === (tasks * (tasks - 1)) / 2))
}

function spawnOne() {
  const tasks = scale.size(10_000)
  return repeat(tasks, async () => {
    let sum = 0
    for (let number = 0; number < tasks; number++) sum += await answer(number)
    check(sum === (tasks * (tasks - 1)) / 2)
  })
}

async function child(number) {
  await null
  return number
}

function gather(size) {
  const times = Math.ceil(scale.size(10_000) / size)
  return repeat(size * times, async () => {
    for (let left = times; left > 0; left--) {
      const outputs = await Promise.all(many(size, child))
      check(outputs.every((output, place) => output === place))
    }
  })
}

async function yields(times) {
  for (let left = times; left > 0; left--) await null
  return times
}

function yieldOne() {
  const times = scale.size(100_000)
  return repeat(times, async () => check((await yields(times)) === times))
}

/** Tasks that wait at a gate, again and again. */
class Crowd {
  passed = 0
  gate = open()
  complete = open()

  constructor(tasks, times) {
    Object.assign(this, { tasks, times, missing: tasks })
    for (let task = 0; task < tasks; task++) this.passForEver()
  }

  async passForEver() {
    for (;;) {
      if (--this.missing === 0) this.complete.fulfil()
      await this.gate.promise
      for (let left = this.times; left > 0; left--) await null
      this.passed++
    }
  }

  async pass(storms) {
    await this.complete.promise
    const before = this.passed
    for (let left = storms; left > 0; left--) {
      const opened = this.gate
      this.missing = this.tasks
      this.gate = open()
      this.complete = open()
      opened.fulfil()
      await this.complete.promise
    }
    check(this.passed - before === this.tasks * storms)
  }
}

const clamp = (value, least, most) => Math.floor(Math.min(Math.max(value, least), most))

function yieldMany(tasks) {
  const times = clamp(100_000 / tasks, 10, 1_000)
  const crowd = new Crowd(tasks, times)
  return repeat(tasks * (times + 1), () => crowd.pass(1))
}

function storm(tasks) {
  const storms = clamp(100_000 / tasks, 2, 1_000)
  const crowd = new Crowd(tasks, 0)
  return repeat(tasks * storms, () => crowd.pass(storms))
}

function ring(tasks) {
  const rounds = Math.floor(scale.size(100_000) / tasks)
  return repeat(tasks * rounds, async () => {
    const batons = many(tasks, open)
    const passOn = async (place) => {
      for (let round = 0; round < rounds; round++) {
        await batons[place].promise
        batons[place] = open()
        batons[(place + 1) % tasks].fulfil()
      }
      return rounds
    }
    const spawned = many(tasks, passOn)
    batons[0].fulfil()
    check((await sum(spawned)) === tasks * rounds)
  })
}

/** A task that waits is woken, and looks again. */
class Signal {
  waiting = null
  wait() {
    this.waiting = open()
    return this.waiting.promise
  }
  raise() {
    const woken = this.waiting
    this.waiting = null
    woken?.fulfil()
  }
}

function queue() {
  const items = scale.size(100_000)
  const places = 64
  return repeat(items, async () => {
    const between = []
    let head = 0 // `shift` of an array moves the rest
    const [room, item] = [new Signal(), new Signal()]
    const produce = async () => {
      for (let number = 0; number < items; number++) {
        while (between.length - head === places) await room.wait()
        between.push(number)
        item.raise()
      }
    }
    const consume = async () => {
      let sum = 0
      for (let left = items; left > 0; left--) {
        while (between.length === head) await item.wait()
        sum += between[head++]
        if (head === places) {
          between.splice(0, head)
          head = 0
        }
        room.raise()
      }
      return sum
    }
    const [, sum] = await Promise.all([produce(), consume()])
    check(sum === (items * (items - 1)) / 2)
  })
}

function timers() {
  const tasks = scale.size(100_000)
  return repeat(tasks, async () => {
    const sleeps = many(tasks, async () => {
      await sleep(1 + Math.random() * 49)
      return 1
    })
    check((await sum(sleeps)) === tasks)
  })
}

async function limited(future, millis) {
  let timer
  const late = new Promise((_, reject) => (timer = setTimeout(reject, millis)))
  try {
    return await Promise.race([future, late])
  } finally {
    clearTimeout(timer)
  }
}

function timeout(others, within) {
  const limits = scale.size(20_000)
  for (let other = scale.size(others); other > 0; other--) setTimeout(() => {}, HOUR + other)
  return repeat(limits, async () => {
    let sum = 0
    for (let number = 0; number < limits; number++) sum += await limited(within(number), HOUR)
    check(sum === (limits * (limits - 1)) / 2)
  })
}

function inUse() {
  globalThis.gc()
  const { heapUsed, rss } = process.memoryUsage()
  return { heapUsed, rss }
}

function memory(wait) {
  const tasks = scale.size(100_000)
  const kept = []
  const before = inUse()
  for (let task = 0; task < tasks; task++) kept.push(wait())
  const after = inUse()
  check(kept.length === tasks)
  return { figure: (after.heapUsed - before.heapUsed) / tasks, beside: (after.rss - before.rss) / tasks }
}

const gates = []

async function waitForEver() {
  const gate = open()
  gates.push(gate)
  await gate.promise
}

async function sleepForAnHour() {
  await sleep(HOUR)
}

function measure() {
  const [family, number] = workload.split('-')
  const size = scale.size(Number(number))
  switch (workload) {
    case 'spawn': return spawn()
    case 'spawn-1': return spawnOne()
    case 'yield-1': return yieldOne()
    case 'queue': return queue()
    case 'timers': return timers()
    case 'timeout': return timeout(0, answer)
    case 'timeout-10k': return timeout(10_000, answer)
    case 'timeout-armed': return timeout(10_000, child)
    case 'memory': return memory(waitForEver)
    case 'memory-sleep': return memory(sleepForAnHour)
  }
  switch (family) {
    case 'gather': return gather(size)
    case 'yield': return yieldMany(size)
    case 'storm': return storm(size)
    case 'ring': return ring(size)
  }
  throw new Error('no such workload')
}

console.log(JSON.stringify(await measure()))
process.exit(0) // tasks that wait for ever are left behind
