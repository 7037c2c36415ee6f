/** libvirtd listens on its Unix socket only, as on any host of ours. */
export function libvirtdConf(hostNumber: number): string {
  return `${[
    'listen_tls = 0',
    'listen_tcp = 0',
    'auth_unix_ro = "none"',
    'auth_unix_rw = "none"',
    'unix_sock_group = "root"',
    'unix_sock_rw_perms = "0700"',
    // Every host shares the machine's DMI data: libvirt would find the same UUID and refuse to migrate.
    `host_uuid = "00000000-0000-4000-8000-${hostNumber.toString(16).padStart(12, '0')}"`,
    'log_outputs = "3:file:/var/log/libvirt/libvirtd.log"',
    'max_clients = 100',
  ].join('\n')}\n`;
}

/** QEMU runs as root and without security drivers: the hosts are namespaces, which is as far as separation goes here. */
export function qemuConf(address: string, cgroups: boolean): string {
  return `${[
    'user = "root"',
    'group = "root"',
    'dynamic_ownership = 0',
    'remember_owner = 0',
    'security_driver = "none"',
    'namespaces = []',
    'stdio_handler = "file"',
    `migration_host = "${address}"`,
    'migration_address = "0.0.0.0"',
    'keepalive_interval = 2',
    'keepalive_count = 3',
    ...(cgroups ? [] : ['cgroup_controllers = []']),
  ].join('\n')}\n`;
}
