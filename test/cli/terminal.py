"""Runs a command on a terminal of its own and plays a script with it, as `expect` would.

Standard input: JSON {"argv": [...], "env": {...}, "columns": 80, "rows": 24, "steps": [{"expect": "text"} | {"send": "text"} |
{"wait": seconds} | {"signal": number}], "timeout": seconds}.
Standard output: JSON {"output": "...", "code": exit code, "modes": [terminal is raw after each step], "missing": text or null}.
"""
import fcntl, json, os, pty, select, signal, struct, sys, termios, time

task = json.load(sys.stdin)
parent, child = pty.openpty()
fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack('HHHH', task.get('rows', 24), task.get('columns', 80), 0, 0))
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(child, termios.TIOCSCTTY, 0)
    for number in (0, 1, 2):
        os.dup2(child, number)
    os.close(parent)
    os.execve(task['argv'][0], task['argv'], {**os.environ, **task['env']})

output = b''
ended = None
deadline = time.monotonic() + task.get('timeout', 20)


def poll(seconds):
    """Reads what there is; notes the end of the command."""
    global output, ended
    ready, _, _ = select.select([parent], [], [], seconds)
    if ready:
        try:
            output += os.read(parent, 65536)
        except OSError:
            pass
    if ended is None:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            ended = os.waitstatus_to_exitcode(status)


def is_raw():
    return not termios.tcgetattr(child)[3] & termios.ICANON


modes, missing, seen = [], None, 0
for step in task['steps']:
    if 'send' in step:
        os.write(parent, step['send'].encode())
    elif 'signal' in step:
        os.kill(pid, step['signal'])
    elif 'wait' in step:
        until = time.monotonic() + step['wait']
        while time.monotonic() < until:
            poll(0.02)
    else:
        wanted = step['expect'].encode()
        while wanted not in output[seen:] and ended is None and time.monotonic() < deadline:
            poll(0.05)
        poll(0)
        at = output.find(wanted, seen)
        if at < 0:
            missing = step['expect']
            break
        seen = at + len(wanted)
    modes.append(is_raw())
while ended is None and time.monotonic() < deadline:
    poll(0.05)
if ended is None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
for _ in range(3):
    poll(0.02)
modes.append(is_raw())
json.dump({'output': output.decode('utf8', 'replace'), 'code': ended, 'modes': modes, 'missing': missing}, sys.stdout)
