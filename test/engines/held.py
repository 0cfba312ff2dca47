#!/usr/bin/env python3
"""Starts a program and can freeze ONE of its threads by ptrace, while all others go on.

usage: held.py PROGRAM ARG…        orders on stdin, a line each; answers on stdout

  freeze TID   answers `frozen`, or `refused: why`; TID may belong to any descendant
  thaw         answers `thawed`
  (end)        at the end of its stdin, or at a signal, it kills the program and all that descends
               from it: a test that dies leaves nothing behind

The first line on stdout is the program's process id. Its own output goes to stderr. This is the parent
of the program, because a kernel with Yama lets only ancestors trace.
"""
import ctypes
import os
import select
import signal
import subprocess
import sys
import time

SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000
SET_PDEATHSIG, SET_CHILD_SUBREAPER = 1, 36
# As the gate does for the engines that it starts (src/process/proc.ts); 0 shows what it is for.
AUTOGROUP_NICE = os.environ.get("ENGINES_NICE", "5")
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(order, tid):
    if libc.ptrace(order, tid, None, None) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def freeze(tid):
    ptrace(SEIZE, tid)
    ptrace(INTERRUPT, tid)
    os.waitpid(tid, WALL)


def ended(pid):
    """Its exit code, 128 + signal, or None while it runs. Stops of a traced thread are no end."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return 1
    if found == 0 or os.WIFSTOPPED(status):
        return None
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def obey(line, frozen):
    order, *words = line.split()
    try:
        if order == "freeze":
            freeze(int(words[0]))
            frozen.append(int(words[0]))
            return "frozen"
        while frozen:
            ptrace(DETACH, frozen.pop())
        return "thawed"
    except OSError as error:
        return f"refused: {error.strerror}"


def descendants():
    """Of this process. What loses its parent becomes its child, since it is a subreaper."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="latin1") as file:
                parents[int(name)] = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            pass
    family = [os.getpid()]
    for member in family:
        family.extend(pid for pid, parent in parents.items() if parent == member)
    return family[1:]


def leave(code):
    """Nothing that was started here outlives it."""
    while True:
        family = descendants()
        if not family:
            sys.exit(code)
        for pid in family:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, WALL)
            except (ProcessLookupError, ChildProcessError):
                time.sleep(0.01)


def before():
    libc.prctl(SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    try:
        with open("/proc/self/autogroup", "w") as file:
            file.write(AUTOGROUP_NICE)
    except OSError:
        pass


def main(command):
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, lambda *_: leave(0))
    libc.prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        start_new_session=True,
        preexec_fn=before,
    )
    print(child.pid, flush=True)
    frozen, orders = [], b""
    while True:
        code = ended(child.pid)
        if code is not None:
            leave(code)
        if not select.select([0], [], [], 0.05)[0]:
            continue
        chunk = os.read(0, 4096)
        if chunk == b"":
            leave(0)
        orders += chunk
        while b"\n" in orders:
            line, orders = orders.split(b"\n", 1)
            print(obey(line.decode(), frozen), flush=True)


main(sys.argv[1:])
