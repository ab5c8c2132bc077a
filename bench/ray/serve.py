"""The side of a contender in Python: the same conversation as runner/serve.ts, one JSON line each way, answers on descriptor 3."""
import json
import os
import sys
import time
import traceback

SMOKE_SIZE = 10


def sized_for(effort):
    if effort == "smoke":
        return lambda full, quick=None: min(full, SMOKE_SIZE)
    if effort == "quick":
        return lambda full, quick=None: full if quick is None else quick
    return lambda full, quick=None: full


class Loop:
    """Either `once` is timed, or `measure` gives the figure itself."""

    def __init__(self, once=None, measure=None, close=None):
        self.once, self.measure, self.close = once, measure, close


class Contender:
    def __init__(self, loops):
        self.loops, self.loop, self.step = loops, None, 1

    def answer(self, request):
        do = request["do"]
        if do == "prepare":
            return self.prepare(request)
        if do == "finish":
            return self.finish()
        if self.loop.measure is not None:
            return {"value": self.loop.measure()}
        return self.timed(request["seconds"])

    def prepare(self, request):
        self.finish()
        self.loop = self.loops[request["row"]](sized_for(request["effort"]))
        if self.loop.once is None:
            return {}
        self.step = 1
        warm = self.timed(request["warmSeconds"])
        self.step = int(warm["calls"] / max(warm["seconds"], 1) / 10) + 1
        return warm

    def timed(self, at_least):
        once, calls = self.loop.once, 0
        started = time.perf_counter()
        while True:
            for _ in range(self.step):
                once()
            calls += self.step
            seconds = time.perf_counter() - started
            if seconds >= at_least:
                return {"calls": calls, "seconds": seconds}

    def finish(self):
        loop, self.loop = self.loop, None
        if loop is not None and loop.close is not None:
            loop.close()
        return {}


def serve(loops, close):
    contender = Contender(loops)
    with os.fdopen(3, "w", buffering=1) as out:
        for line in sys.stdin:
            try:
                answer = contender.answer(json.loads(line))
            except Exception:
                answer = {"error": traceback.format_exc()}
            out.write(json.dumps(answer) + "\n")
        contender.finish()
    close()
