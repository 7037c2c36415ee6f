#!/usr/bin/env python3
"""shared-fs.py SOURCE PID MOUNTPOINT PIDFILE: shows the directory SOURCE at MOUNTPOINT in the mount namespace of PID, by FUSE.

One server for each simulated host: stopping it makes the host's storage hang, killing it loses the storage, and the other
hosts never notice. It speaks the kernel's FUSE protocol itself because libfuse (and so bindfs) mixes up open-file-description
locks: QEMU's image locks must hold between hosts. Here every open file of a client is one open file of ours, and a lock of
theirs is a lock on ours. Nothing is cached, so that hosts see each other's writes at once.
The type "fuse.glusterfs" makes libvirt 9 take the mount for shared storage (needed for safe migration).
"""
import ctypes, errno, fcntl, os, signal, stat, struct, subprocess, sys, threading, time

SOURCE, PID, MOUNTPOINT, PIDFILE = sys.argv[1:]
MAX_WRITE = 512 * 1024
POSIX_LOCKS, ATOMIC_O_TRUNC, BIG_WRITES, DONT_MASK, FLOCK_LOCKS, ASYNC_DIO, PARALLEL_DIROPS, MAX_PAGES = (
    1 << 1, 1 << 3, 1 << 5, 1 << 6, 1 << 10, 1 << 15, 1 << 18, 1 << 22)
DIRECT_IO = 1  # in an open's answer: no page cache
OFD_GETLK, OFD_SETLK, OFD_SETLKW = 36, 37, 38
FLOCK = '@hhqqi4x'
OFFSET_MAX = (1 << 63) - 1
IN, OUT = struct.Struct('=IIQQIIIHH'), struct.Struct('=IiQ')
libc = ctypes.CDLL(None, use_errno=True)


class Node:
    """An inode the kernel knows: an O_PATH descriptor, so that it survives renames and unlinks."""

    def __init__(self, fd, key):
        self.fd, self.key, self.lookups = fd, key, 0

    @property
    def path(self):
        return '/proc/self/fd/%d' % self.fd


lock = threading.Lock()
nodes = {1: Node(os.open(SOURCE, os.O_PATH | os.O_DIRECTORY), None)}
ids = {}  # (device, inode) -> node id
next_id = 2
owners = {}  # open file -> lock owners seen on it
listings = {}  # open directory -> its entries


def attr(st):
    ns = lambda t: (t // 10**9, t % 10**9)
    (a, an), (m, mn), (c, cn) = ns(st.st_atime_ns), ns(st.st_mtime_ns), ns(st.st_ctime_ns)
    return struct.pack('=6Q10I', st.st_ino, st.st_size, st.st_blocks, a, m, c, an, mn, cn, st.st_mode, st.st_nlink,
                       st.st_uid, st.st_gid, st.st_rdev & 0xffffffff, 4096, 0)


def attr_out(st):
    return struct.pack('=QII', 0, 0, 0) + attr(st)


def entry(parent, name):
    """Looks a name up and counts the reference that the kernel now holds."""
    global next_id
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=nodes[parent].fd)
    st = os.fstat(fd)
    key = (st.st_dev, st.st_ino)
    with lock:
        node = ids.get(key)
        if node is None:
            node, next_id = next_id, next_id + 1
            ids[key] = node
            nodes[node] = Node(fd, key)
        else:
            os.close(fd)
        nodes[node].lookups += 1
    return struct.pack('=QQQQII', node, 0, 0, 0, 0, 0) + attr(st)


def forget(node, count):
    with lock:
        known = nodes.get(node)
        if node == 1 or known is None:
            return
        known.lookups -= count
        if known.lookups <= 0:
            del nodes[node], ids[known.key]
            os.close(known.fd)


def names(data, count=1):
    return data.split(b'\0')[:count]


def op_lookup(node, data, head):
    return entry(node, *names(data))


def op_getattr(node, data, head):
    flags, _, fh = struct.unpack_from('=IIQ', data)
    return attr_out(os.fstat(fh if flags & 1 else nodes[node].fd))


def op_setattr(node, data, head):
    (valid, _, fh, size, _, atime, mtime, _, atimens, mtimens, _, mode, _, uid, gid, _) = struct.unpack_from('=IIQQQQQQ8I', data)
    path = nodes[node].path
    if valid & 1:
        os.chmod(path, stat.S_IMODE(mode))
    if valid & 6:
        os.chown(path, uid if valid & 2 else -1, gid if valid & 4 else -1)
    if valid & 8:
        os.truncate(fh if valid & 64 else path, size)
    if valid & 48:
        st = os.fstat(nodes[node].fd)
        now = time.time_ns()
        pick = lambda bit, set_now, s, n, old: old if not valid & bit else now if valid & set_now else s * 10**9 + n
        os.utime(path, ns=(pick(16, 128, atime, atimens, st.st_atime_ns), pick(32, 256, mtime, mtimens, st.st_mtime_ns)))
    return attr_out(os.fstat(nodes[node].fd))


def op_readlink(node, data, head):
    return os.readlink(b'', dir_fd=nodes[node].fd)


def op_symlink(node, data, head):
    name, target = names(data, 2)
    os.symlink(target, name, dir_fd=nodes[node].fd)
    return entry(node, name)


def op_mknod(node, data, head):
    mode, rdev, _, _ = struct.unpack_from('=4I', data)
    (name,) = names(data[16:])
    os.mknod(name, mode, rdev, dir_fd=nodes[node].fd)
    return entry(node, name)


def op_mkdir(node, data, head):
    (name,) = names(data[8:])
    os.mkdir(name, stat.S_IMODE(struct.unpack_from('=I', data)[0]), dir_fd=nodes[node].fd)
    return entry(node, name)


def op_unlink(node, data, head):
    os.unlink(*names(data), dir_fd=nodes[node].fd)


def op_rmdir(node, data, head):
    os.rmdir(*names(data), dir_fd=nodes[node].fd)


def rename(node, target, flags, data):
    old, new = names(data, 2)
    if libc.renameat2(nodes[node].fd, old, nodes[target].fd, new, flags) != 0:
        raise OSError(ctypes.get_errno(), 'rename')


def op_rename(node, data, head):
    rename(node, struct.unpack_from('=Q', data)[0], 0, data[8:])


def op_rename2(node, data, head):
    target, flags, _ = struct.unpack_from('=QII', data)
    rename(node, target, flags, data[16:])


def op_link(node, data, head):
    (name,) = names(data[8:])
    os.link(nodes[struct.unpack_from('=Q', data)[0]].path, name, dst_dir_fd=nodes[node].fd, follow_symlinks=True)
    return entry(node, name)


def plain(flags):
    """O_DIRECT is the client's affair (the memory here is not aligned); the path is no link any more."""
    return flags & ~(os.O_DIRECT | os.O_NOFOLLOW | os.O_CREAT | os.O_EXCL) | os.O_CLOEXEC


def op_open(node, data, head):
    fd = os.open(nodes[node].path, plain(struct.unpack_from('=I', data)[0]))
    return struct.pack('=QII', fd, DIRECT_IO, 0)


def op_create(node, data, head):
    flags, mode, _, _ = struct.unpack_from('=4I', data)
    (name,) = names(data[16:])
    create = (flags & os.O_EXCL) | os.O_CREAT | os.O_NOFOLLOW
    fd = os.open(name, plain(flags) | create, stat.S_IMODE(mode), dir_fd=nodes[node].fd)
    try:
        return entry(node, name) + struct.pack('=QII', fd, DIRECT_IO, 0)
    except OSError:
        os.close(fd)
        raise


def op_read(node, data, head):
    fh, offset, size = struct.unpack_from('=QQI', data)
    return os.pread(fh, size, offset)


def op_write(node, data, head):
    fh, offset, size = struct.unpack_from('=QQI', data)
    return struct.pack('=II', os.pwrite(fh, memoryview(data)[40:40 + size], offset), 0)


def op_statfs(node, data, head):
    v = os.fstatvfs(nodes[1].fd)
    return struct.pack('=5Q4I24x', v.f_blocks, v.f_bfree, v.f_bavail, v.f_files, v.f_ffree, v.f_bsize, 255, v.f_frsize, 0)


def op_release(node, data, head):
    (fh,) = struct.unpack_from('=Q', data)
    owners.pop(fh, None)
    os.close(fh)


def op_flush(node, data, head):
    fh, _, _, owner = struct.unpack_from('=QIIQ', data)
    if owner in owners.get(fh, ()):  # classic locks end with the first close of their process; others with the open file
        owners[fh].discard(owner)
        fcntl.fcntl(fh, OFD_SETLK, struct.pack(FLOCK, fcntl.F_UNLCK, 0, 0, 0, 0))


def op_fsync(node, data, head):
    fh, flags, _ = struct.unpack_from('=QII', data)
    (os.fdatasync if flags & 1 else os.fsync)(fh)


def op_opendir(node, data, head):
    fd = os.open(nodes[node].path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return struct.pack('=QII', fd, 0, 0)


def op_readdir(node, data, head):
    fh, offset, size = struct.unpack_from('=QQI', data)
    if offset == 0:
        with os.scandir(fh) as found:
            listings[fh] = [(os.fsencode(e.name), e.inode(), stat.S_IFMT(e.stat(follow_symlinks=False).st_mode) >> 12) for e in found]
    out = b''
    for index, (name, inode, kind) in enumerate(listings.get(fh, [])[offset:], offset + 1):
        record = struct.pack('=QQII', inode, index, len(name), kind) + name
        record += b'\0' * (-len(record) % 8)
        if len(out) + len(record) > size:
            break
        out += record
    return out


def op_releasedir(node, data, head):
    (fh,) = struct.unpack_from('=Q', data)
    listings.pop(fh, None)
    os.close(fh)


def op_fsyncdir(node, data, head):
    os.fsync(struct.unpack_from('=Q', data)[0])


def flock_of(data):
    fh, owner, start, end, kind, _, flags = struct.unpack_from('=QQQQIII', data)
    length = 0 if end == OFFSET_MAX else end - start + 1
    return fh, owner, flags & 1, kind, struct.pack(FLOCK, kind, 0, start, length, 0)


def op_getlk(node, data, head):
    fh, _, _, _, wanted = flock_of(data)
    kind, _, start, length, pid = struct.unpack(FLOCK, fcntl.fcntl(fh, OFD_GETLK, wanted))
    return struct.pack('=QQII', start, OFFSET_MAX if length == 0 else start + length - 1, kind, max(pid, 0))


def set_lock(data, block):
    fh, owner, whole, kind, wanted = flock_of(data)
    if whole:
        kinds = {fcntl.F_RDLCK: fcntl.LOCK_SH, fcntl.F_WRLCK: fcntl.LOCK_EX, fcntl.F_UNLCK: fcntl.LOCK_UN}
        fcntl.flock(fh, kinds[kind] | (0 if block else fcntl.LOCK_NB))
    else:
        owners.setdefault(fh, set()).add(owner)
        fcntl.fcntl(fh, OFD_SETLKW if block else OFD_SETLK, wanted)


def op_setlk(node, data, head):
    set_lock(data, False)


def op_setlkw(node, data, head):
    def wait():
        try:
            set_lock(data, True)
            reply(head[2], 0)
        except OSError as error:
            reply(head[2], error.errno)
    threading.Thread(target=wait, daemon=True).start()
    return LATER


def op_fallocate(node, data, head):
    fh, offset, length, mode, _ = struct.unpack_from('=QQQII', data)
    if libc.fallocate(ctypes.c_int(fh), ctypes.c_int(mode), ctypes.c_long(offset), ctypes.c_long(length)) != 0:
        raise OSError(ctypes.get_errno(), 'fallocate')


def op_lseek(node, data, head):
    fh, offset, whence, _ = struct.unpack_from('=QQII', data)
    return struct.pack('=Q', os.lseek(fh, offset, whence))


def op_init(node, data, head):
    major, minor, readahead, flags = struct.unpack_from('=4I', data)
    flags &= POSIX_LOCKS | ATOMIC_O_TRUNC | BIG_WRITES | DONT_MASK | FLOCK_LOCKS | ASYNC_DIO | PARALLEL_DIROPS | MAX_PAGES
    flags &= ~DONT_MASK
    return struct.pack('=4IHHIIHH32x', 7, min(minor, 31), readahead, flags, 64, 48, MAX_WRITE, 1, MAX_WRITE // 4096, 0)


def op_forget(node, data, head):
    forget(node, struct.unpack_from('=Q', data)[0])
    return LATER


def op_batch_forget(node, data, head):
    for i in range(struct.unpack_from('=I', data)[0]):
        forget(*struct.unpack_from('=QQ', data, 8 + 16 * i))
    return LATER


def op_interrupt(node, data, head):
    return LATER


LATER = object()  # no answer is due, or a thread will send it
OPERATIONS = {
    1: op_lookup, 2: op_forget, 3: op_getattr, 4: op_setattr, 5: op_readlink, 6: op_symlink, 8: op_mknod, 9: op_mkdir,
    10: op_unlink, 11: op_rmdir, 12: op_rename, 13: op_link, 14: op_open, 15: op_read, 16: op_write, 17: op_statfs,
    18: op_release, 20: op_fsync, 25: op_flush, 26: op_init, 27: op_opendir, 28: op_readdir, 29: op_releasedir,
    30: op_fsyncdir, 31: op_getlk, 32: op_setlk, 33: op_setlkw, 35: op_create, 36: op_interrupt, 42: op_batch_forget,
    43: op_fallocate, 45: op_rename2, 46: op_lseek,
}
device = os.open('/dev/fuse', os.O_RDWR | os.O_CLOEXEC)


def reply(unique, error, body=b''):
    try:
        os.writev(device, [OUT.pack(OUT.size + len(body), -error, unique), body])
    except OSError as failed:
        if failed.errno != errno.ENOENT:  # the client was interrupted and no longer waits
            raise


def serve():
    while True:
        try:
            request = os.read(device, MAX_WRITE + 8192)
        except OSError as error:
            if error.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):
                continue
            if error.errno == errno.EPERM:  # not mounted yet
                time.sleep(0.002)
                continue
            os._exit(0)  # ENODEV: unmounted, the host is gone
        head = IN.unpack_from(request)
        _, opcode, unique, node = head[:4]
        operation = OPERATIONS.get(opcode)
        try:
            body = errno.ENOSYS if operation is None else operation(node, request[IN.size:], head)
        except OSError as error:
            body = error.errno
        except KeyError:
            body = errno.ESTALE
        if body is LATER:
            continue
        if isinstance(body, int):
            reply(unique, body)
        else:
            reply(unique, 0, body or b'')


os.umask(0)
workers = [threading.Thread(target=serve) for _ in range(4)]
for worker in workers:
    worker.start()
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
os.set_inheritable(device, True)
options = 'fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions' % device
mounted = subprocess.run(['nsenter', '-t', PID, '-m', '-p', '--', 'mount', '-i', '-t', 'fuse.glusterfs', '-o', options, 'lab', MOUNTPOINT],
                         pass_fds=[device])
if mounted.returncode != 0:
    os._exit(1)
with open(PIDFILE + '.new', 'w') as f:
    f.write(str(os.getpid()))
os.rename(PIDFILE + '.new', PIDFILE)
for worker in workers:
    worker.join()
