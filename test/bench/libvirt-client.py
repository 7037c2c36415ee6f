"""python3-libvirt as a client of the benchmark: one task a line in, one result a line out (see libvirt-client.ts)."""
import json
import resource
import sys
import threading
import time

import libvirt

libvirt.registerErrorHandler(lambda *_: None, None)


def cpu():
    u = resource.getrusage(resource.RUSAGE_SELF)
    return u.ru_utime + u.ru_stime


sessions = {}


def session(task):
    """One connection a task, kept from round to round."""
    key = (task["op"], task["socket"])
    if key not in sessions:
        conn = libvirt.open(task["uri"].replace("://", "+unix://") + "?socket=" + task["socket"])
        if task["op"] == "stats":
            sessions[key] = lambda: conn.getAllDomainStats(0)
        else:
            dom = conn.lookupByName("vm0")
            sessions[key] = dom.info if task["op"] == "info" else dom.XMLDesc
    return sessions[key]


def run(task):
    once = session(task)

    def loop(until, counts):
        calls = 0
        while time.monotonic() < until:
            once()
            calls += 1
        counts.append(calls)

    def together(seconds):
        counts, until = [], time.monotonic() + seconds
        if task["inflight"] == 1:
            loop(until, counts)
        else:
            threads = [threading.Thread(target=loop, args=(until, counts)) for _ in range(task["inflight"])]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
        return sum(counts)

    wall, used = time.monotonic(), cpu()
    calls = together(task["seconds"])
    return {"calls": calls, "wallMs": (time.monotonic() - wall) * 1e3, "cpuMs": (cpu() - used) * 1e3, "stallMs": 0, "stallOwnMs": 0}


for line in sys.stdin:
    try:
        print(json.dumps(run(json.loads(line))), flush=True)
    except Exception as e:  # the benchmark prints what went wrong in its table
        print(json.dumps({"error": str(e)}), flush=True)
