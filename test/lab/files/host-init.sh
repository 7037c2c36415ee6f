#!/usr/bin/env bash
# PID 1 of a simulated host, already in its own namespaces: builds the host's root, then looks after libvirtd.
#   host-init.sh DIRECTORY NAME NUMBER CGROUP
# DIRECTORY keeps what a real host keeps on its disk; /run and /dev are lost with the host. A line on standard input says
# that the network cards and the shared file system (DIRECTORY/shared) are there.
set -euo pipefail
dir=$1 name=$2 number=$3 cgroup=$4
lab=$(dirname "$dir")
root=$dir/root
shopt -s dotglob

read -r me _ </proc/self/stat # /proc is still the machine's: this is our process id as seen from outside
mount --make-rprivate /
hostname "$name"
echo "$me" >"$dir/init.pid.new"
mv "$dir/init.pid.new" "$dir/init.pid"
read -r _

network() {
  local f
  for f in all default; do echo 1 >"$root/proc/sys/net/ipv6/conf/$f/disable_ipv6"; done 2>/dev/null || true
  local mac
  mac=$(printf '02:77:00:00:00:%02x' "$number")
  ip -batch - <<IP
link set lo up
link set eth0 address $mac up
addr add 10.77.0.$number/24 dev eth0
link add br-vm type bridge forward_delay 0
link set eth1 master br-vm up
link set br-vm up
IP
}

# A new root: the machine's top level, but /etc and /var with a private writable layer and the rest of the host's own.
build_root() {
  local entry
  mkdir -p "$root"
  mount -t tmpfs -o mode=755 root "$root"
  for entry in /*; do
    case $entry in
    /etc | /var | /proc | /sys | /dev | /run | /shared) mkdir "$root$entry" ;;
    /lost+found) ;;
    *)
      if [ -L "$entry" ]; then cp -P "$entry" "$root$entry"
      elif [ -d "$entry" ]; then mkdir "$root$entry" && mount --rbind "$entry" "$root$entry"
      fi ;;
    esac
  done
  for entry in etc var; do
    mkdir -p "$dir/$entry.upper" "$dir/$entry.work"
    mount -t overlay overlay -o "lowerdir=/$entry,upperdir=$dir/$entry.upper,workdir=$dir/$entry.work" "$root/$entry"
  done
  mkdir -p "$root$lab" "$root/shared"
  mount --bind "$lab" "$root$lab"
  mount --bind "$dir/shared" "$root/shared"
  mount -t proc proc "$root/proc"
  mount -t sysfs sysfs "$root/sys"
  mount -t tmpfs -o mode=755 run "$root/run"
  mkdir -p "$root/run/libvirt" "$root/run/lock"
  # libvirt's and our own directories start empty, whatever the machine itself runs.
  for entry in etc/libvirt var/lib/libvirt var/log/libvirt var/cache/libvirt etc/ostler var/lib/ostler var/log/ostler; do
    mkdir -p "$dir/disk/$entry" "$root/$entry"
    mount --bind "$dir/disk/$entry" "$root/$entry"
  done
  mkdir -p "$root"/var/lib/libvirt/{images,qemu,boot,dnsmasq,network} "$root/var/log/libvirt/qemu"
}

identity() {
  local i
  {
    echo '127.0.0.1 localhost'
    echo '10.77.0.254 fabric controller'
    for i in {1..32}; do echo "10.77.0.$i h$i"; done
  } >"$root/etc/hosts"
  echo "$name" >"$root/etc/hostname"
  printf '%032x\n' $((0x77000000 + number)) >"$root/etc/machine-id"
}

# Without /dev/kvm: a host that cannot use it must not offer it.
devices() {
  local spec node major minor
  mount -t tmpfs -o mode=755 dev "$root/dev"
  mkdir "$root"/dev/{pts,shm,net,mapper}
  for spec in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0 net/tun:10:200 fuse:10:229; do
    IFS=: read -r node major minor <<<"$spec"
    mknod -m 666 "$root/dev/$node" c "$major" "$minor"
  done
  ln -s /proc/self/fd "$root/dev/fd"
  ln -s fd/0 "$root/dev/stdin"
  ln -s fd/1 "$root/dev/stdout"
  ln -s fd/2 "$root/dev/stderr"
  ln -s pts/ptmx "$root/dev/ptmx"
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
  mount -t tmpfs shm "$root/dev/shm"
}

# The host sees its own part of the cgroup hierarchies as the whole.
cgroups() {
  local hierarchy
  [ "$cgroup" != - ] || return 0
  mount -t tmpfs -o mode=755 cgroup "$root/sys/fs/cgroup"
  for hierarchy in cpu cpuacct cpuset memory devices freezer blkio pids; do
    [ -d "/sys/fs/cgroup/$hierarchy/$cgroup" ] || continue
    mkdir "$root/sys/fs/cgroup/$hierarchy"
    mount -t cgroup -o "$hierarchy" cgroup "$root/sys/fs/cgroup/$hierarchy"
  done
}

# What libvirt and the agent take for the host's memory, in MiB, for hosts of different sizes.
memory() {
  [ -e "$dir/memory-mib" ] || return 0
  local kib file copy
  kib=$(($(cat "$dir/memory-mib") * 1024))
  for file in /proc/meminfo /sys/devices/system/node/node0/meminfo; do
    [ -e "$root$file" ] || continue
    copy=$dir/meminfo.${file//\//_}
    sed -E "s/(MemTotal:) .*/\1 $kib kB/; s/(MemFree:|MemAvailable:) .*/\1 $((kib * 3 / 4)) kB/" "$root$file" >"$copy"
    mount --bind "$copy" "$root$file"
  done
}

build_root
identity
devices
cgroups
memory
network
cd "$root"
mkdir old-root
pivot_root . old-root
umount -l /old-root
rmdir /old-root
cd /
libvirtd --daemon
touch "$dir/ready"
trap 'exit 0' TERM
while :; do # PID 1 also reaps orphans: QEMU is one
  sleep 3600 &
  wait $! || true
done
