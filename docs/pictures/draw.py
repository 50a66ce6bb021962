#!/usr/bin/env python3
"""Draws the pictures of docs/engine.md: turn, wake-up, timer, cancel, and a task's life.

    python3 docs/pictures/draw.py

writes the five SVG files beside this script. It needs the standard library only, and writes the same bytes every time.

A picture is a list of boxes, texts and arrows at fixed coordinates, 700 pixels wide. The script refuses to write a picture in
which a text leaves its box, two texts overlap, or an arrow crosses a text or a box. It knows no fonts, so it reckons with
letters that are wider than those of the usual system fonts.
"""

from html import escape
from pathlib import Path

WIDTH = 700
SANS = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"

# Each style of text: the size, and the widest that one letter is on average, as a part of the size.
STYLES = {
    "title": (14, 0.57),
    "bold": (13, 0.57),
    "plain": (13, 0.53),
    "small": (11.5, 0.54),
    "code": (12, 0.61),
    "file": (11, 0.61),
}
# Each kind of box: how it is filled, and how its border is drawn.
KINDS = {
    "step": ("#eef4fb", "#2f6ca8"),  # something that the loop does
    "data": ("#fdf5e3", "#b07d1c"),  # something that the loop keeps
    "task": ("#edf7ee", "#3b8550"),  # a task, or a future in it
    "end": ("#fbeeee", "#b04a4a"),  # the end of something
    "frame": ("none", "#9aa3ad"),
}
CSS = f"""
text {{ font-family: {SANS}; font-size: 13px; fill: #1d2630; }}
.title {{ font-size: 14px; font-weight: 600; }}
.bold {{ font-weight: 600; }}
.small {{ font-size: 11.5px; fill: #4a5562; }}
.code {{ font-family: {MONO}; font-size: 12px; }}
.file {{ font-family: {MONO}; font-size: 11px; fill: #5b6673; }}
"""


class Picture:
    def __init__(self, name, height, description):
        self.name, self.height, self.description = name, height, description
        self.shapes, self.texts, self.boxes, self.arrows = [], [], [], []

    # What a picture is made of.

    def text(self, x, y, string, style="plain", anchor="start", inside=None):
        """`y` is the base line. `inside` is the box that the text must not leave."""
        size, letter = STYLES[style]
        width = len(string) * size * letter
        left = {"start": x, "middle": x - width / 2, "end": x - width}[anchor]
        self.texts.append((left, y - size * 0.8, left + width, y + size * 0.25, string, inside))
        self.shapes.append(f'<text class="{style}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(string)}</text>')

    def box(self, x, y, width, height, kind, lines=()):
        """Each line is a string and its style; together they are centred in the box."""
        fill, border = KINDS[kind]
        dash = ' stroke-dasharray="5 4"' if kind == "frame" else ""
        self.shapes.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" fill="{fill}" stroke="{border}" '
            f'stroke-width="1.3"{dash}/>'
        )
        box = (x, y, x + width, y + height)
        if kind != "frame":
            self.boxes.append(box)
        heights = [STYLES[style][0] * 1.38 for _, style in lines]
        top = y + (height - sum(heights)) / 2
        for (string, style), high in zip(lines, heights):
            self.text(x + width / 2, round(top + high * 0.74, 1), string, style, "middle", inside=box)
            top += high

    def arrow(self, *points, head=True):
        self.arrows.append(points)
        marker = ' marker-end="url(#head)"' if head else ""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.shapes.append(
            f'<polyline points="{path}" fill="none" stroke="#3c4650" stroke-width="1.4"{marker}/>'
        )

    def line(self, x1, y1, x2, y2):
        self.shapes.append(f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="#9aa3ad" stroke-width="1"/>')

    def cells(self, x, y, count, full):
        """A row of small cells, of which those in `full` are filled."""
        self.boxes.append((x, y, x + 9 * count, y + 13))
        for cell in range(count):
            fill = "#d79b2b" if cell in full else "#fdf5e3"
            self.shapes.append(
                f'<rect x="{x + 9 * cell:g}" y="{y:g}" width="9" height="13" fill="{fill}" stroke="#b07d1c" stroke-width="0.7"/>'
            )

    # What must be true of it.

    def complaints(self):
        for left, top, right, bottom, string, inside in self.texts:
            frame = inside or (4, 4, WIDTH - 4, self.height - 4)
            if left < frame[0] + 3 or right > frame[2] - 3 or top < frame[1] or bottom > frame[3]:
                yield f"too large for its box: {string!r}"
        for index, one in enumerate(self.texts):
            for other in self.texts[index + 1 :]:
                if overlap(one, other):
                    yield f"one text over another: {one[4]!r}, {other[4]!r}"
            for box in self.boxes:
                if one[5] != box and overlap(one, box):
                    yield f"in the box of another: {one[4]!r}"
        for index, one in enumerate(self.boxes):
            for other in self.boxes[index + 1 :]:
                if overlap(one, other):
                    yield f"one box over another: {one}, {other}"
        for points in self.arrows:
            for (x1, y1), (x2, y2) in zip(points, points[1:]):
                line = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
                if x1 != x2 and y1 != y2:
                    yield f"a slanted arrow: {points}"
                for text in self.texts:
                    if overlap(line, text):
                        yield f"an arrow through {text[4]!r}: {points}"
                for box in self.boxes:
                    if overlap(line, box):
                        yield f"an arrow through a box: {points}, {box}"

    def write(self, folder):
        complaints = list(self.complaints())
        assert not complaints, "\n".join([f"{self.name}:", *complaints])
        shapes = "\n".join(self.shapes)
        svg = f"""<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{self.height}" \
viewBox="0 0 {WIDTH} {self.height}" role="img" aria-label="{escape(self.description)}">
<!-- Drawn by docs/pictures/draw.py: change that, and run it again. -->
<style>{CSS}</style>
<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">\
<path d="M0,0.8 L9.5,5 L0,9.2 z" fill="#3c4650"/></marker></defs>
<rect width="{WIDTH}" height="{self.height}" rx="8" fill="#ffffff"/>
{shapes}
</svg>
"""
        (folder / f"{self.name}.svg").write_text(svg, encoding="utf-8", newline="\n")


def overlap(one, other):
    """Of two rectangles, or a line and a rectangle: touching is not overlapping."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def turn():
    it = Picture("turn", 496, "One turn: drain the inbox, fire timers, poll the snapshot, say what comes next")
    it.box(18, 66, 126, 52, "data", [("inbox", "bold"), ("remote wake-ups", "small")])
    it.box(18, 148, 126, 52, "data", [("timer wheel", "bold"), ("deadlines", "small")])
    it.box(164, 16, 518, 326, "frame")
    it.text(178, 38, "one turn", "title")
    it.text(668, 38, "kernel/turn.rs", "file", "end")
    it.box(184, 66, 156, 52, "step", [("1  drain the inbox", "bold"), ("mailbox/mod.rs", "file")])
    it.box(184, 148, 156, 52, "step", [("2  fire timers", "bold"), ("time/mod.rs", "file")])
    it.arrow((144, 92), (184, 92))
    it.arrow((144, 174), (184, 174))
    it.text(388, 78, "ready queue: the last …", "small")
    it.text(668, 78, "… the first", "small", "end")
    for index, name in enumerate(["task 9", "task 4", "task 7", "task 2"]):
        it.box(388 + 72 * index, 88, 64, 34, "task", [(name, "small")])
    it.arrow((340, 105), (388, 105))
    it.arrow((340, 174), (364, 174), (364, 112), (388, 112))
    it.text(412, 146, "the snapshot: all that are queued", "small")
    it.text(412, 162, "when step 3 begins", "small")
    it.box(432, 196, 236, 56, "step", [("3  poll the snapshot", "bold"), ("each task once, first to last", "small")])
    it.arrow((640, 122), (640, 196))
    it.arrow((432, 224), (400, 224), (400, 122))
    it.text(392, 222, "woken during step 3:", "small", "end")
    it.text(392, 238, "polled in the next turn", "small", "end")
    it.box(184, 280, 484, 42, "step", [("4  say what comes next: Ready, At(deadline) or Idle", "bold")])
    it.arrow((550, 252), (550, 280))
    it.box(164, 368, 518, 114, "frame")
    it.text(178, 474, "the driver, between two turns", "title")
    it.text(668, 474, "run/driver.rs", "file", "end")
    it.box(184, 396, 146, 54, "step", [("turn again", "bold")])
    it.box(348, 396, 156, 54, "step", [("park until then, or", "bold"), ("jump a virtual clock", "bold")])
    it.box(522, 396, 146, 54, "step", [("park, or", "bold"), ("report a deadlock", "bold")])
    for x, label in [(250, "Ready"), (418, "At"), (586, "Idle")]:
        it.arrow((x, 322), (x, 396))
        it.text(x + 8, 360, label, "code")
    it.arrow((164, 424), (80, 424), (80, 300), (164, 300))
    it.text(88, 366, "next turn", "small")
    return it


def wake_up():
    it = Picture("wake-up", 560, "A wake-up: on the loop's own thread, or through its mailbox")
    it.text(20, 34, "waker.wake()", "code")
    it.text(20, 52, "a waker is one word, the id:", "small")
    it.box(210, 20, 130, 36, "data", [("slot, 24 bits", "small")])
    it.box(340, 20, 150, 36, "data", [("generation, 24 bits", "small")])
    it.box(490, 20, 130, 36, "data", [("loop, 16 bits", "small")])
    it.text(20, 104, "on the thread of its loop", "title")
    it.text(680, 104, "from anywhere else", "title", "end")
    it.box(20, 118, 300, 58, "step", [("ask the loop of this thread", "bold"), ("kernel/waker.rs, kernel/current.rs", "file")])
    it.box(380, 118, 300, 58, "step", [("loop index → mailbox, without a lock", "bold"), ("mailbox/registry.rs", "file")])
    it.arrow((275, 56), (275, 118))
    it.arrow((555, 56), (555, 88), (500, 88), (500, 118))
    it.arrow((320, 147), (380, 147))
    it.text(350, 138, "not its", "small", "middle")
    it.text(350, 164, "task", "small", "middle")
    it.box(
        380, 204, 300, 94, "step",
        [
            ("swap the slot's pending mark", "bold"),
            ("it was mine already: on its way, done", "small"),
            ("it was clear: push the slot's entry", "small"),
            ("mailbox/inbox.rs", "file"),
        ],
    )
    it.box(
        380, 326, 300, 78, "step",
        [
            ("is the notifier armed? disarm it,", "bold"),
            ("unpark the thread or call the host", "bold"),
            ("mailbox/notifier.rs", "file"),
        ],
    )
    it.box(
        380, 432, 300, 78, "step",
        [("the loop drains its inbox:", "bold"), ("unlink an entry, clear its mark", "bold"), ("mailbox/mod.rs", "file")],
    )
    it.arrow((530, 176), (530, 204))
    it.arrow((530, 298), (530, 326))
    it.arrow((530, 404), (530, 432))
    it.text(538, 422, "at its next check", "small")
    it.box(
        20, 226, 300, 78, "step",
        [("the entry of this slot: is it this id?", "bold"), ("no: stale, ignored", "small"), ("kernel/table.rs", "file")],
    )
    it.box(
        20, 346, 300, 78, "step",
        [("not queued yet? append the record", "bold"), ("queued: one test, and done", "small"), ("kernel/queue.rs", "file")],
    )
    it.box(20, 466, 300, 64, "task", [("a turn pops the task, and polls it", "bold"), ("kernel/turn.rs", "file")])
    it.arrow((170, 176), (170, 226))
    it.arrow((170, 304), (170, 346))
    it.arrow((170, 424), (170, 466))
    it.arrow((380, 470), (350, 470), (350, 265), (320, 265))
    return it


def timer():
    it = Picture("timer", 500, "A timer: inserted into the wheel, fired by a turn, seen by the next poll")
    it.box(
        18, 40, 206, 118, "task",
        [
            ("first poll of a sleep", "bold"),
            ("open limits around it begin", "small"),
            ("deadline = now + d", "code"),
            ("action: wake this task", "small"),
            ("sleep/mod.rs", "file"),
        ],
    )
    it.text(284, 34, "the wheel", "title")
    it.text(676, 34, "time/wheel.rs", "file", "end")
    it.box(284, 42, 392, 150, "frame")
    rows = [("level 0", "1 ns", [3, 9]), ("level 1", "64 ns", [11]), None, ("level 5", "1.07 s", [17]), None]
    rows += [("level 10", "36 years", [])]
    y = 58
    for row in rows:
        if row is None:
            it.text(300, y + 6, "…", "small")
            y += 16
            continue
        level, span, full = row
        it.text(300, y + 10, level, "small")
        it.cells(358, y, 22, full)
        it.text(666, y + 10, f"a slot: {span}", "small", "end")
        y += 24
    it.arrow((224, 99), (284, 99))
    it.text(254, 92, "insert", "small", "middle")
    it.text(254, 114, "O(1)", "small", "middle")
    it.box(
        200, 222, 476, 50, "step",
        [("step 2 of a turn takes what is due, by (deadline, insertion)", "bold"), ("time/mod.rs", "file")],
    )
    it.arrow((480, 192), (480, 222))
    it.box(18, 312, 206, 86, "step", [("WakeTask", "code"), ("the task is queued,", "plain"), ("and polled in step 3", "plain")])
    it.box(
        244, 312, 212, 86, "step",
        [
            ("PollScope", "code"),
            ("a limit is up: poll its task,", "small"),
            ("at once if it awaits one task;", "small"),
            ("the limit cancels its body", "small"),
        ],
    )
    it.box(
        476, 312, 206, 86, "step",
        [("WakeForeign", "code"), ("a set of futures is woken,", "plain"), ("or another executor", "plain")],
    )
    it.arrow((225, 272), (225, 292), (121, 292), (121, 312))
    it.arrow((350, 272), (350, 312))
    it.arrow((579, 272), (579, 312))
    it.box(
        18, 432, 664, 50, "task",
        [
            ("next poll of the sleep: its timer has fired, so it is ready", "bold"),
            ("drop of the sleep: its entry is removed, O(1), fired or not", "small"),
        ],
    )
    it.arrow((121, 398), (121, 432))
    it.arrow((579, 398), (579, 432))
    return it


def cancel():
    it = Picture("cancel", 712, "A cancel: requested down a chain of tasks, delivered by polling, caught by a scope")
    it.text(18, 30, "1  the request, at once down the whole chain", "title")
    it.text(682, 30, "cancel/request.rs", "file", "end")
    it.box(18, 44, 190, 70, "task", [("task a", "bold"), ("awaits b", "plain"), ("CANCEL_FORWARDED", "file")])
    it.box(255, 44, 190, 70, "task", [("task b", "bold"), ("awaits c", "plain"), ("CANCEL_FORWARDED", "file")])
    it.box(492, 44, 190, 70, "task", [("task c", "bold"), ("awaits no task", "plain"), ("CANCEL_PENDING, queued", "file")])
    it.arrow((208, 79), (255, 79))
    it.arrow((445, 79), (492, 79))
    it.text(18, 152, "2  the delivery: c is polled while a signal is set", "title")
    it.text(682, 152, "cancel/poll.rs, delivery/", "file", "end")
    it.box(
        18, 166, 664, 46, "data",
        [
            ("Did one checkpoint at most wait in c's last poll, is c not unwinding already,", "plain"),
            ("and has foreign code never cloned a waker of c?", "plain"),
        ],
    )
    it.arrow((587, 114), (587, 134), (690, 134), (690, 189), (682, 189))
    it.arrow((118, 212), (118, 252))
    it.text(126, 237, "yes: one poll", "bold")
    it.arrow((342, 212), (342, 252))
    it.text(350, 237, "no: two polls", "bold")
    it.box(
        18, 252, 204, 122, "step",
        [("First", "code"), ("the first checkpoint", "plain"), ("that is polled", "plain"), ("is interrupted", "plain")],
    )
    it.box(
        240, 252, 212, 122, "step",
        [
            ("Mark", "code"),
            ("before: every foreign waker that", "small"),
            ("c's checkpoints keep is woken", "small"),
            ("a checkpoint that is polled", "plain"),
            ("notes the delivery's number", "plain"),
        ],
    )
    it.box(
        476, 252, 206, 122, "step",
        [
            ("Deliver", "code"),
            ("before: the foreign wakers", "small"),
            ("of marked checkpoints are woken", "small"),
            ("those with the number", "plain"),
            ("are interrupted", "plain"),
        ],
    )
    it.arrow((452, 313), (476, 313))
    it.text(18, 412, "3  the way out, from scope to scope", "title")
    it.text(682, 412, "scope/, catch/, timeout/, group/", "file", "end")
    it.box(
        18, 426, 204, 86, "step",
        [("a cancel comes out:", "bold"), ("the checkpoint", "plain"), ("returns Pending", "plain")],
    )
    it.box(
        240, 426, 212, 86, "step",
        [
            ("the scope around it:", "bold"),
            ("when nothing in it is alive,", "small"),
            ("it drops what it holds,", "small"),
            ("and goes on with Err(Cancelled)", "small"),
        ],
    )
    it.box(
        476, 426, 206, 86, "end",
        [("no scope has caught it:", "bold"), ("the loop drops the future,", "small"), ("c ends CANCELLED", "small")],
    )
    it.arrow((118, 374), (118, 396), (10, 396), (10, 469), (18, 469))
    it.arrow((579, 374), (579, 396), (118, 396), head=False)
    it.arrow((222, 469), (240, 469))
    it.arrow((452, 469), (476, 469))
    it.text(464, 458, "…", "bold", "middle")
    it.text(18, 550, "4  the end of c is the end of b's wait", "title")
    it.text(682, 550, "join/single.rs", "file", "end")
    it.box(
        18, 564, 434, 56, "step",
        [("c was cancelled: the cancel comes out of b's join", "bold"), ("b unwinds as in 3, and then a", "small")],
    )
    it.box(
        18, 640, 434, 56, "step",
        [("c swallowed it: b's join is ready with the value", "bold"), ("b goes on as if nothing had happened", "small")],
    )
    it.arrow((579, 512), (579, 592), (452, 592))
    it.box(476, 640, 206, 56, "end", [("c caught it, cleaned up,", "small"), ("and ends with a value", "small")])
    it.arrow((476, 668), (452, 668))
    return it


def task_life():
    it = Picture("task-life", 520, "A task's life: queued, polled, waiting, done, freed")
    it.text(20, 92, "1  spawn", "bold")
    it.arrow((20, 100), (150, 100))
    it.box(150, 74, 130, 52, "task", [("queued", "bold"), ("kernel/queue.rs", "file")])
    it.box(350, 74, 130, 52, "task", [("polled", "bold"), ("kernel/turn.rs", "file")])
    it.box(550, 74, 130, 52, "task", [("waiting", "bold"), ("in the table only", "small")])
    it.arrow((280, 100), (350, 100))
    it.text(315, 92, "2  poll", "bold", "middle")
    it.arrow((480, 100), (550, 100))
    it.text(515, 92, "Pending", "code", "middle")
    it.arrow((615, 74), (615, 40), (215, 40), (215, 74))
    it.text(415, 32, "3  woken: by a waker, a timer, a remote wake-up, a cancel", "bold", "middle")
    it.arrow((370, 126), (370, 150), (240, 150), (240, 126))
    it.text(305, 166, "woken during its poll", "small", "middle")
    it.arrow((430, 126), (430, 216))
    it.text(438, 166, "4  last poll", "bold")
    it.text(438, 184, "end, end_cancelled, …", "file")
    it.arrow((640, 126), (640, 246), (520, 246))
    it.text(632, 206, "5  discard", "bold", "end")
    it.box(
        320, 216, 200, 60, "end",
        [("done", "bold"), ("with a value, or FAILED,", "small"), ("CANCELLED, PANICKED", "small")],
    )
    it.arrow((180, 126), (180, 246), (320, 246))
    it.text(188, 206, "5  discard", "bold")
    it.text(188, 238, "kernel/life.rs", "file")
    it.box(320, 318, 200, 46, "end", [("freed", "bold"), ("base/free_lists.rs", "file")])
    it.arrow((420, 276), (420, 318))
    it.text(428, 301, "the last reference goes", "small")
    for y in (394, 424, 454, 484):
        it.line(20, y, 680, y)
    for x, string, style in [
        (150, "queued, polled, waiting", "bold"),
        (350, "done", "bold"),
        (560, "freed", "bold"),
    ]:
        it.text(x, 388, string, style)
    for y, cells in [
        (414, ["the stage holds", "the future", "the outcome, until taken", "nothing"]),
        (444, ["its slot is", "taken", "free: the next generation", "free"]),
        (474, ["its wakers", "wake it", "are stale", "are stale"]),
        (504, ["its memory is", "in use", "in use", "in a free list"]),
    ]:
        for x, string in zip((20, 150, 350, 560), cells):
            it.text(x, y, string, "small" if x > 20 else "plain")
    return it


if __name__ == "__main__":
    for picture in [turn(), wake_up(), timer(), cancel(), task_life()]:
        picture.write(Path(__file__).resolve().parent)
