// Opens players of recorded runs in a real browser and checks what they promise.
//
//     node tests/player/check.mjs [--screenshots DIR] FILE-OR-FOLDER...
//
// The browser is Debian's chromium, or the program that the variable CHROMIUM names.

import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const TEMPLATE_LIMIT = 40_000;
const MOST_STEPS = 800; // of a longer run, a sample
const DESKTOP = { width: 1440, height: 900 }, NARROW = { width: 360, height: 740 }, PHONE = { width: 390, height: 800 };

const names = process.argv.slice(2);
let screenshots = null;
const option = names.indexOf("--screenshots");
if (option >= 0) [, screenshots] = names.splice(option, 2);
const files = names.flatMap(name => fs.statSync(name).isDirectory()
  ? fs.readdirSync(name).filter(file => file.endsWith(".html") && isPlayer(path.join(name, file))).sort().map(file => path.join(name, file)) : [name]);
if (!files.length) throw new Error("no player to check");
if (screenshots) fs.mkdirSync(screenshots, { recursive: true });

/** An index page in the same folder is none. */
function isPlayer(file) {
  return /<script type="application\/json" id="run">/.test(fs.readFileSync(file, "utf8"));
}

function fail(message) {
  throw new Error(message);
}

function equal(found, wanted, what) {
  const [a, b] = [found, wanted].map(value => JSON.stringify(value));
  if (a !== b) fail(`${what}: found ${a}, wanted ${b}`);
}

/** All steps of a short run. Of a long one the first and the last 200, and every so many between. */
function stepsOf(count) {
  if (count <= MOST_STEPS) return Array.from({ length: count + 1 }, (_, step) => step);
  const steps = new Set(), stride = Math.ceil((count - 400) / (MOST_STEPS - 400));
  for (let step = 0; step <= count; step += step < 200 || step >= count - 200 ? 1 : Math.min(stride, count - 200 - step)) steps.add(step);
  return [...steps];
}

// What runs in the page. A picture is all that is drawn: the text with its markup, so also which lines are marked or hidden.
function helpers() {
  window.picture = () => [...document.querySelectorAll("header, #say, main, #chart")].map(part => part.innerHTML).join("");
  window.hash = text => { let hash = 7; for (let i = 0; i < text.length; i++) hash = (hash * 31 + text.charCodeAt(i)) | 0; return hash; };
  window.shownNotes = () => [...document.querySelectorAll("#notes .note:not([hidden]) span:nth-child(2)")].map(line => line.textContent);
  window.pictures = steps => steps.map(step => {
    window.player.go(step);
    // A field that the drawing did not find shows as one of these. The program and its output may say so themselves.
    const words = [...document.querySelectorAll("#say, #right, #tasks, #where, #chart")].map(part => part.textContent).join(" ");
    const bad = window.player.events.some(event => /undefined|NaN|\[object/.test(JSON.stringify(event))) ? null : /.{0,40}(undefined|NaN|\[object).{0,20}/.exec(words);
    if (bad) throw new Error(`step ${step} shows “${bad[0]}”`);
    if (!document.getElementById("says").textContent.trim()) throw new Error(`step ${step} has no sentence`);
    if (/An unknown kind of event/.test(document.getElementById("more").textContent)) throw new Error(`step ${step} is of a kind that the page does not know`);
    return window.hash(window.picture());
  });
}

async function check(browser, file) {
  const text = fs.readFileSync(file, "utf8");
  const [, json] = /<script type="application\/json" id="run">(.*?)<\/script>/s.exec(text) ?? fail("no run in it");
  const { events } = JSON.parse(json), count = events.length;
  const notes = events.filter(event => event.e === "note").map(event => event.text);
  const size = Buffer.byteLength(text) - Buffer.byteLength(json);
  if (size > TEMPLATE_LIMIT) fail(`${size} bytes without the run; the limit is ${TEMPLATE_LIMIT}`);

  const url = pathToFileURL(path.resolve(file)).href, troubles = [];
  const context = await browser.newContext({ viewport: DESKTOP, colorScheme: "light" });
  await context.addInitScript(helpers);
  const open = async address => {
    const page = await context.newPage();
    page.on("pageerror", error => troubles.push(`script error: ${error}`));
    page.on("console", message => ["error", "warning"].includes(message.type()) && troubles.push(`console: ${message.text()}`));
    page.on("request", request => request.url().split("#")[0] !== url && !request.url().startsWith("data:") && troubles.push(`request: ${request.url()}`));
    await page.goto(address);
    return page;
  };
  const page = await open(url);
  const step = () => page.evaluate(() => window.player.step);
  const go = to => page.evaluate(to => window.player.go(to), to);
  const at = async () => events[await step() - 1];

  // There and back, and straight there: the same picture.
  const steps = stepsOf(count);
  const forwards = await page.evaluate(steps => window.pictures(steps), steps);
  const backwards = (await page.evaluate(steps => window.pictures(steps), steps.toReversed())).reverse();
  for (const [i, hash] of forwards.entries()) if (hash !== backwards[i]) fail(`step ${steps[i]} looks different on the way back`);
  if (new Set(forwards).size < forwards.length) fail("two steps look the same");
  for (const there of [.2, .5, .9].map(part => steps[Math.floor(part * (steps.length - 1))]).filter(Boolean)) {
    const other = await open(`${url}#${events[there - 1].seq}`);
    equal(await other.evaluate(() => window.player.step), there, "the address leads to the step");
    equal(await other.evaluate(() => window.hash(window.picture())), forwards[steps.indexOf(there)], `the picture of step ${there}, opened there`);
    await other.close();
  }

  // The output.
  for (const there of [count, Math.floor(count / 2), 0]) {
    await go(there);
    equal(await page.evaluate(() => window.shownNotes()), events.slice(0, there).filter(event => event.e === "note").map(event => event.text), `the output at step ${there}`);
  }
  equal((await go(count), await page.evaluate(() => window.shownNotes())), notes, "the output");

  // A poll that a cancel has interrupted leaves no task that waits.
  const interrupted = events.findIndex(event => event.how === "interrupted");
  if (interrupted >= 0) {
    await go(interrupted + 1);
    if (!/a cancel interrupted it/.test(await page.textContent("#says"))) fail("an interrupted poll does not say so");
    equal(await page.evaluate(task => window.player.stateAt(window.player.step).tasks.get(task).state, events[interrupted].task), "ending", "the state after an interrupted poll");
  }

  await checkKeys(page, { events, count, step, go, at });
  await checkPointer(page, { events, count, step, go, at });
  await checkLooks(page, { file, count, go, steps });
  await page.close();

  // How long a step takes, with the layout that follows it: each the best of three, because a machine has other work too.
  const timed = await open(url);
  const times = await timed.evaluate(count => {
    const steps = Array.from({ length: 200 }, (_, i) => i < 150 ? Math.min(count, Math.floor(count / 2) + i) : (i * 7919) % (count + 1));
    const best = steps.map(() => Infinity);
    window.player.go(count); // folds the run, once
    for (let round = 0; round < 3; round++) for (const [i, step] of steps.entries()) {
      const begin = performance.now();
      window.player.go(step);
      void document.body.offsetHeight;
      best[i] = Math.min(best[i], performance.now() - begin);
    }
    return best;
  }, count);
  times.sort((a, b) => a - b);
  const median = times[times.length >> 1], high = times[Math.floor(times.length * .95)];
  if (median > 16) fail(`a step takes ${median.toFixed(1)} ms`);
  await context.close();
  if (troubles.length) fail(troubles.slice(0, 5).join("; "));
  console.log(`${path.basename(file)}: ${count} events, ${steps.length} steps there and back, ${notes.length} lines of output, ${size} bytes without the run, ${median.toFixed(1)} ms a step (95 %: ${high.toFixed(1)} ms)`);
}

async function checkKeys(page, { events, count, step, go, at }) {
  const press = async key => { await page.keyboard.press(key); return step(); };
  const following = (from, wanted) => { const i = events.findIndex((event, i) => i >= from && wanted(event)); return i < 0 ? count : i + 1; };
  await page.evaluate(() => document.activeElement?.blur());
  const trouble = following(0, event => event.e === "reported" && ["deadlock", "stall"].includes(event.kind));
  await go(0);
  if (trouble < count) equal(await press("End"), trouble, "End leads to the trouble first");
  equal(await press("End"), count, "End");
  equal(await press("Home"), 0, "Home");
  equal(await press("ArrowRight"), 1, "→");
  equal(await press("ArrowRight"), Math.min(2, count), "→ again");
  equal(await press("ArrowLeft"), 1, "←");
  const poll = following(1, event => event.e === "poll"), turn = following(1, event => event.e === "turn");
  equal(await press("Shift+ArrowRight"), poll, "Shift+→");
  const secondPoll = await press("Shift+ArrowRight");
  if (secondPoll < count) equal(await press("Shift+ArrowLeft"), poll, "Shift+←");
  await go(1);
  equal(await press("PageDown"), turn, "Page Down");
  if (await press("PageDown") < count) equal(await press("PageUp"), turn, "Page Up");

  const caused = following(Math.floor(count / 2), event => event.cause != null);
  await go(caused);
  const { cause } = await at();
  await press("c");
  equal((await at()).seq, cause, "c leads to the cause");
  await go(caused);
  const from = await at(), task = from.by ?? from.task;
  if (task != null) {
    const wanted = following(caused, event => event.task === task || event.by === task);
    equal(await press("n"), wanted, "n");
    if (wanted < count) equal(await press("p"), caused, "p");
  }
  await go(0);
  equal(await press("o"), following(0, event => event.e === "note"), "o");

  await go(0);
  await page.selectOption("#speed", { index: 0 });
  await page.evaluate(() => document.activeElement?.blur());
  for (let i = 0; i < 9; i++) await press(".");
  equal(await page.evaluate(() => document.getElementById("speed").selectedIndex), await page.evaluate(() => document.getElementById("speed").options.length - 1), ". is faster");
  await press("Space");
  await page.waitForFunction(() => window.player.step > 2);
  await press("Space");
  const paused = await step();
  await page.waitForTimeout(150);
  equal(await step(), paused, "Space pauses");
  await press(",");
  if (await page.evaluate(() => document.getElementById("speed").selectedIndex === document.getElementById("speed").options.length - 1)) fail(", is not slower");

  const isOpen = id => page.evaluate(id => document.getElementById(id).open, id);
  await press("?");
  equal(await isOpen("help"), true, "? opens the help");
  await press("Escape");
  equal(await isOpen("help"), false, "Escape closes the help");
  await press("w");
  equal(await isOpen("wheel"), true, "w opens the wheel");
  await page.evaluate(steps => window.pictures(steps), Array.from({ length: 20 }, (_, i) => Math.floor(i * count / 20)));
  await press("w");
  equal(await isOpen("wheel"), false, "w closes the wheel");
  const dark = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const before = await dark();
  await press("d");
  if (await dark() === before) fail("d does not change the colours");
  await press("d");
  equal(await dark(), before, "d twice");
  if (count > 40) {
    const drawing = () => page.evaluate(() => document.getElementById("chart").innerHTML);
    await go(count / 2);
    const normal = await drawing();
    await press("+");
    if (await drawing() === normal) fail("+ does not zoom");
    await press("-");
  }
}

async function checkPointer(page, { events, count, step, go, at }) {
  const nameless = await page.evaluate(() => [...document.querySelectorAll("button, input, select")].filter(control => !(control.getAttribute("aria-label") || control.textContent.trim())).map(control => control.outerHTML));
  equal(nameless, [], "controls without a name");
  const trouble = page.locator("#trouble"), isTrouble = event => event.e === "reported" && ["deadlock", "stall"].includes(event.kind);
  equal(await trouble.count(), events.some(isTrouble) ? 1 : 0, "the button of a deadlock");
  if (await trouble.count()) {
    await go(0);
    await trouble.click();
    const { text } = events.find(isTrouble);
    equal(await page.textContent("#more pre"), text, "the text of the trouble");
    equal(await page.textContent("#trouble"), (await at()).kind, "the button names the trouble");
  }
  await go(count - 1);
  for (const [button, wanted] of [["last", count], ["first", 0], ["next", 1], ["back", 0]]) {
    await page.click(`#${button}`);
    equal(await step(), wanted, `the button “${button}”`);
  }
  for (const button of ["pollNext", "turnNext", "pollBack", "turnBack", "play", "play", "closer", "wider", "theme", "theme"]) await page.click(`#${button}`);
  await page.click("#helpButton");
  await page.keyboard.press("Escape");
  // Tabbing leads to the controls, and the focus shows.
  await page.evaluate(() => document.activeElement?.blur());
  await page.keyboard.press("Tab");
  equal(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), "solid", "the focus shows");

  await page.evaluate(() => { const slider = document.getElementById("slider"); slider.value = 1; slider.dispatchEvent(new Event("input")); });
  equal(await step(), 1, "the slider");
  await go(count);
  const box = await (await page.$("#chart svg")).boundingBox();
  await page.mouse.click(box.x + 92 + (box.width - 100) / 2, box.y + 30);
  if (await step() >= count) fail("a click on the timeline does not jump");
  await go(count);
  const link = page.locator("#causes li:nth-child(2) button");
  if (await link.count()) {
    const { cause } = await at();
    await link.first().click();
    equal((await at()).seq, cause, "a click on a cause");
  }
}

async function checkLooks(page, { file, count, go, steps }) {
  const picture = async name => screenshots && page.screenshot({ path: path.join(screenshots, `${path.basename(file, ".html")}-${name}.png`) });
  const there = Math.floor(count * .62), luminance = () => page.evaluate(() => {
    const part = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
    const style = getComputedStyle(document.body);
    return [style.backgroundColor, style.color].map(color => part(color.match(/[\d.]+/g).map(Number)));
  });
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    await go(there);
    await picture(scheme);
    const [back, ink] = await luminance();
    if ((back > ink) !== (scheme === "light")) fail(`${scheme} is not ${scheme}`);
    if ((Math.max(back, ink) + .05) / (Math.min(back, ink) + .05) < 7) fail(`${scheme}: the contrast is low`);
  }
  await page.emulateMedia({ colorScheme: "light" });
  equal(await page.evaluate(() => [document.documentElement.scrollWidth <= innerWidth, document.documentElement.scrollHeight <= innerHeight]), [true, true], "a desktop's page does not scroll");
  const isCut = () => page.evaluate(() => {
    const chart = document.querySelector("#chart svg").getBoundingClientRect();
    return [...document.querySelectorAll("#chart .axis")].filter(label => label.getBoundingClientRect().right > chart.right + 1).map(label => label.textContent);
  });
  for (const step of [0, there, count]) {
    await go(step);
    equal(await isCut(), [], `labels of the timeline that are cut off at step ${step}`);
  }
  await page.setViewportSize(PHONE);
  await go(there);
  const layout = await page.evaluate(() => {
    const box = selector => document.querySelector(selector)?.getBoundingClientRect();
    const rows = new Set([...document.querySelectorAll("#controls button")].filter(button => button.offsetParent).map(button => button.offsetTop));
    const covered = [...document.querySelectorAll("#code .chip")].filter(chip => chip.getBoundingClientRect().right > chip.closest("#code > div > div").querySelector("i").getBoundingClientRect().right);
    return { rows: rows.size, lines: Math.round((box("#code")?.height ?? 0) / 18.6), covered: covered.length };
  });
  equal(layout.rows, 1, "rows of buttons on a phone");
  equal(layout.covered, 0, "chips that cover code");
  if (layout.lines > 8) fail(`on a phone the program takes ${layout.lines} lines`);
  await page.setViewportSize(NARROW);
  for (const step of [0, there, count, ...steps.filter((_, i) => i % 50 === 7)]) {
    await go(step);
    equal(await page.evaluate(() => document.documentElement.scrollWidth), NARROW.width, `the width of the page at step ${step}, narrow`);
  }
  await go(there);
  await picture("narrow");
  if (screenshots) await page.screenshot({ path: path.join(screenshots, `${path.basename(file, ".html")}-narrow-all.png`), fullPage: true });
  await page.setViewportSize(DESKTOP);
}

/** A made-up run with each kind of event that docs/trace.md documents: the page has a sentence for all of them. */
async function checkKinds(browser, file) {
  const document = fs.readFileSync(new URL("../../docs/trace.md", import.meta.url), "utf8");
  const rows = /\| `e` \|[^]*?\n\n/.exec(document)[0].split("\n").map(row => row.split("|")[1] ?? "");
  const kinds = rows.flatMap(cell => [...cell.matchAll(/`([a-z-]+)`/g)].map(([, kind]) => kind)).filter(kind => kind !== "e");
  if (kinds.length < 25) fail(`only ${kinds.length} kinds are documented`);
  const fields = {
    spawned: { where: ["a.rs", 1, 1] }, found: { where: ["a.rs", 1, 1] }, named: { name: "main" }, waits: { for: { kind: "turn" } },
    polled: { how: "pending" }, ended: { how: "value" }, "cancel-forwarded": { to: 1 }, "cancel-caught": { in: "a group" },
    object: { kind: "lock", name: "a" }, reported: { kind: "failure", text: "it failed" }, note: { text: "a line" },
  };
  const order = ["spawned", "object", "held", ...kinds];
  const events = order.map((e, i) => ({ seq: i + 1, at: i, turn: 1, by: 1, e, task: 1, object: 1, timer: 1, items: 1, left: 1, free: 0, to: 1, ns: 1, deadline: i + 1, ...fields[e] }));
  const run = JSON.stringify({ header: { loopwheel: 1 }, events, sources: {} });
  const text = fs.readFileSync(file, "utf8").replace(/(<script type="application\/json" id="run">).*?(<\/script>)/s, (_, begin, end) => begin + run + end);
  const page = await browser.newPage(), troubles = [];
  page.on("pageerror", error => troubles.push(error.message));
  await page.setContent(text);
  await page.evaluate(helpers);
  await page.evaluate(count => window.pictures(Array.from({ length: count + 1 }, (_, step) => step)), order.length);
  // An object is told of again when it gets a name: who holds it is known still.
  const again = order.lastIndexOf("object") + 1;
  equal(await page.evaluate(step => window.player.stateAt(step).objects.get(1).holders, again), [1], "the holders of an object that gets a name");
  equal(troubles, [], "script errors");
  await page.close();
}

const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM || onPath("chromium"), args: ["--no-sandbox"] });
const browsers = await Promise.all([launch(), launch()]), left = [...files]; // two: a page keeps one core busy
let failed = 0;
await checkKinds(browsers[0], files[0]);
await Promise.all(browsers.map(async browser => {
  for (let file; file = left.shift();) {
    try {
      await check(browser, file);
    } catch (error) {
      failed++;
      console.error(`${file}: ${error.message.split("\n")[0]}`);
    }
  }
  await browser.close();
}));
if (failed) process.exitCode = 1;

function onPath(program) {
  const found = process.env.PATH.split(path.delimiter).map(folder => path.join(folder, program)).find(file => fs.existsSync(file));
  return found ?? fail(`${program} is not on the PATH`);
}
