// Runs the module that `cargo build -p wasm --target wasm32-unknown-unknown` makes, as the host of its loop, and checks what it
// does: node tests/wasm/run.mjs target/wasm32-unknown-unknown/debug/wasm.wasm
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

const module = await WebAssembly.compile(await readFile(process.argv[2]));

/** Makes an instance, and a list of what it says. */
async function instance() {
    const said = [];
    const host = {
        now: () => performance.now(),
        say: (text, length) => {
            said.push(new TextDecoder().decode(new Uint8Array(exports.memory.buffer, text, length)));
        },
    };
    const { exports } = await WebAssembly.instantiate(module, { host });
    return { exports, said };
}

// The loop is turned by timers of the host.
{
    const { exports, said } = await instance();
    exports.start();
    await new Promise((ended) => {
        const pump = () => {
            const delay = exports.turn();
            if (delay < 0) ended();
            else setTimeout(pump, Math.ceil(delay)); // a timer of JavaScript has whole milliseconds
        };
        pump();
    });
    assert.deepEqual(said, ["question 1", "question 2", "question 3", "too slow"]);
}

// Time is virtual.
{
    const { exports, said } = await instance();
    assert.equal(exports.run_virtual(), 1000);
    assert.deepEqual(said, ["cleaned up"]);
    assert.equal(exports.how_many_tasks(), 65536 - 1024); // of the slots, some are kept for callbacks
    assert.equal(exports.how_many_loops(), 16);
    exports.reports();
    assert.match(said.at(-1), /broken/);
    assert.equal(exports.refuses_threads(), 1);
    exports.debug_mode();
    exports.observer();
}

// What is not there ends the module.
for (const name of ["monotonic_clock", "a_task_panics"]) {
    const { exports, said } = await instance();
    exports.start(); // for its panic hook
    assert.throws(() => exports[name](), WebAssembly.RuntimeError, name);
    if (name === "monotonic_clock") assert.match(said.join(" "), /this target has no clock: .*`Clock::host`/);
    console.log(`${name}: ${said.join(" ")}`);
}

console.log("the loop runs in wasm32");
