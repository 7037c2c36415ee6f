import t from 'tap';
import { startCluster } from './cluster.js';
import { eventually } from './eventually.js';
import { serialMatch } from './serial.js';
import type { VmJson } from './vm-view.js';

interface Usage {
  readonly cpuPercent: number;
  readonly memoryUsedBytes: string | number;
  readonly sampleTime: string;
}

/** What a guest and its host really use, through libvirt, agent, link and controller. */
void t.test('ostler top and /metrics: a guest at work is seen, and seen to stop', async (t) => {
  const cluster = await startCluster();
  t.teardown(() => cluster.down());
  await cluster.join('h1');
  await cluster.importGuest();
  const create = ['vm', 'create', 'web1', '--image', 'guest', '--memory', '128MiB'];
  const created = await cluster.ostler(create);
  t.equal(created.code, 0, created.stderr);
  const { id } = await cluster.json<VmJson>(['vm', 'show', 'web1']);
  await serialMatch(cluster, { host: 'h1', vmId: id, pattern: /EVENT up / });
  const busy = await cluster.ostler(['console', 'web1'], { input: 'while :; do :; done &\n' });
  t.equal(busy.code, 0, busy.stderr);

  type Row = VmJson & { readonly usage?: Usage };
  const row = await eventually('a busy guest in `ostler top`', 40, async () => {
    const [vm] = await cluster.json<Row[]>(['top']);
    if ((vm?.usage?.cpuPercent ?? 0) < 20) throw new Error(JSON.stringify(vm?.usage));
    return vm;
  });
  t.ok(Number(row?.usage?.memoryUsedBytes) > 16 * 1024 * 1024, JSON.stringify(row?.usage));
  t.ok(Date.now() - Date.parse(row?.usage?.sampleTime ?? '') < 25_000, 'a sample is at most two rounds old');
  const [host] = await cluster.json<{ name: string; usage?: Usage }[]>(['top', 'host']);
  t.equal(host?.name, 'h1');
  t.ok((host?.usage?.cpuPercent ?? 0) > 0, JSON.stringify(host?.usage));
  const table = await cluster.ostler(['top']);
  t.match(table.stdout, /NAME +STATE +HOST +VCPUS +CPU.*\nweb1 +running +h1 +1 +\d+/);

  const http = await cluster.lab.forward('fabric', 7480);
  t.teardown(() => http.close());
  const scrape = async (): Promise<string> => {
    const headers = { authorization: `Bearer ${cluster.token}` };
    return (await fetch(`http://127.0.0.1:${http.port}/metrics`, { headers })).text();
  };
  const text = await scrape();
  t.match(text, new RegExp(`^ostler_vm_cpu_percent\\{vm="${id}",name="web1",host="h1"\\} [1-9]`, 'm'));
  t.match(text, /^ostler_host_hypervisor_up\{host="h1"\} 1$/m);
  t.match(text, /^ostler_pool_available_bytes\{host="h1",pool="local"\} [1-9]\d+$/m);
  t.equal((await cluster.ostler(['stop', 'web1', '--force', '--yes'])).code, 0);
  t.notMatch(await scrape(), /^ostler_vm_cpu_percent/m, 'a stopped VM uses nothing, and no figure is left of it');
});
