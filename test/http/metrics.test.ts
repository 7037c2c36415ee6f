import t from 'tap';
import { ostler } from '../../proto/gen/ostler.js';
import { hostService, vmService } from '../../proto/services.js';
import { toWireTime } from '../../proto/time.js';
import { blankVm, runningVm, startRig } from '../api/rig.js';
import { id } from '../store/documents.js';

const rig = await startRig({ hosts: 2 });
t.teardown(() => rig.close());
const H1 = id('h', 1);

async function scrape(token = rig.tokens.viewer): Promise<{ status: number; type: string; text: string }> {
  const answer = await fetch(`${rig.httpUrl}/metrics`, { headers: { authorization: `Bearer ${token}` } });
  return { status: answer.status, type: answer.headers.get('content-type') ?? '', text: await answer.text() };
}

/** Prometheus' text format: each family has its help and type once, before its samples; no sample twice. */
function parse(text: string): Map<string, number> {
  const samples = new Map<string, number>();
  const typed = new Set<string>();
  let family = '';
  for (const line of text.split('\n').slice(0, -1)) {
    const head = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line);
    if (head !== null) {
      if (head[1] === 'TYPE') {
        if (typed.has(head[2] ?? '')) throw new Error(`${head[2]} twice`);
        typed.add(head[2] ?? '');
      }
      family = head[2] ?? '';
      continue;
    }
    const sample = /^([a-z_0-9]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*\})? (\S+)$/.exec(line);
    if (sample?.[1] !== family) throw new Error(`not of ${family}: ${line}`);
    const key = `${sample[1]}${sample[2] ?? ''}`;
    if (samples.has(key)) throw new Error(`twice: ${key}`);
    samples.set(key, Number(sample[3]));
  }
  return samples;
}

void t.test('/metrics wants a token, any token', async (t) => {
  t.equal((await fetch(`${rig.httpUrl}/metrics`)).status, 401);
  t.equal((await scrape('ost_wrong')).status, 401);
  const { status, type } = await scrape();
  t.equal(status, 200);
  t.equal(type, 'text/plain; version=0.0.4; charset=utf-8');
});

void t.test('what an agent measured is in /metrics, and in the lists that `ostler top` reads', async (t) => {
  const vm = await runningVm(rig, 'web1');
  await rig.finished(await rig.client(vmService).createVm(blankVm('quiet')));
  const hostId = vm.host === 'h1' ? H1 : id('h', 2);
  const sampleTime = toWireTime(Date.now());
  const vmUsage = new Map([
    [
      vm.uuid,
      { sampleTime, cpuPercent: 42.5, memoryUsedBytes: 1000, diskReadBytesPerSecond: 7, netTransmitBytesPerSecond: 9 },
    ],
  ]);
  rig.usage.set(hostId, { usage: { sampleTime, cpuPercent: 12.5, memoryUsedBytes: 5000, load1: 0.25 }, vmUsage });
  const samples = parse((await scrape()).text);
  const labels = `{vm="${vm.id}",name="web1",host="${vm.host}"}`;
  t.equal(samples.get(`ostler_vm_cpu_percent${labels}`), 42.5);
  t.equal(samples.get(`ostler_vm_memory_used_bytes${labels}`), 1000);
  t.equal(samples.get(`ostler_vm_disk_read_bytes_per_second${labels}`), 7);
  t.equal(samples.get(`ostler_vm_net_transmit_bytes_per_second${labels}`), 9);
  t.equal(samples.get(`ostler_vm_state${labels.replace('}', ',state="RUNNING"}')}`), 1);
  t.equal(samples.get(`ostler_host_cpu_percent{host="${vm.host}"}`), 12.5);
  t.equal(samples.get(`ostler_host_up{host="${vm.host}"}`), 1);
  t.equal(samples.get('ostler_hosts'), 2);
  t.equal(samples.get('ostler_vms'), 2);
  t.notOk(
    [...samples.keys()].some((key) => key.includes('_percent') && key.includes('quiet')),
    'no zero that is a lie',
  );

  const { vms } = await rig.client(vmService, rig.tokens.viewer).listVms({ filter: 'name=web1' });
  t.match(vms[0]?.usage, { cpuPercent: 42.5, memoryUsedBytes: 1000 });
  const { hosts } = await rig.client(hostService, rig.tokens.viewer).listHosts({ filter: `name=${vm.host}` });
  t.match(hosts[0]?.usage, { cpuPercent: 12.5, load1: 0.25 });
});

void t.test('a host that went away has no samples of now', async (t) => {
  const away = [...rig.usage.keys()][0] ?? '';
  const { name } = rig.deps.store.get('host', away)?.value ?? { name: '' };
  rig.agents.cut(away);
  const samples = parse((await scrape()).text);
  t.equal(samples.get(`ostler_host_up{host="${name}"}`), 0);
  t.equal(samples.get(`ostler_host_cpu_percent{host="${name}"}`), undefined);
  const host = await rig.client(hostService).getHost({ host: name });
  t.equal(host.state, ostler.v1.HostState.UNREACHABLE);
  t.equal(host.usage, null);
});
