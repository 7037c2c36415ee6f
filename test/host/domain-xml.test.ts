import { execFile } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { START, DEFINE, DOMAIN_XML, LibvirtError, UNDEFINE, connect } from '../../agent/libvirt/index.js';
import { buildDomainXml } from '../../agent/xml/build-domain.js';
import { parseXml } from '../../agent/xml/document.js';
import { attribute, children, find, require } from '../../agent/xml/element.js';
import { parseRecord, withoutSecrets } from '../../agent/xml/metadata.js';
import { readDomain } from '../../agent/xml/read-domain.js';
import { startPrivateLibvirtd } from '../rig/private-libvirtd.js';
import { CASES } from '../xml/cases.js';
import type { Case } from '../xml/cases.js';

/** The last judge: a real libvirtd defines every case, and starts (paused, emulated) those that it can. */
const run = promisify(execFile);
t.setTimeout(300_000);
const libvirtd = await startPrivateLibvirtd({ bridges: ['br0', 'br1'] });
t.teardown(() => libvirtd.stop());
const lv = await connect({ uri: 'qemu:///system', socket: libvirtd.socket });
t.teardown(() => lv.close());

/** The same VM with files that exist, on a cache mode that every file system has. */
async function place(one: Case): Promise<string> {
  const directory = libvirtd.images;
  const disks = new Map<string, { path: string; format: 'qcow2' }>();
  for (const name of one.options.disks.keys()) {
    const path = join(directory, `${name}.qcow2`);
    if (!existsSync(path)) await run('qemu-img', ['create', '-q', '-f', 'qcow2', path, '1M']);
    disks.set(name, { path, format: 'qcow2' });
  }
  const seedPath = join(directory, 'seed.iso');
  writeFileSync(seedPath, '');
  const serialLogPath = join(directory, `${one.name}.serial`);
  return buildDomainXml(one.record, { ...one.options, disks, seedPath, serialLogPath, diskCache: 'writeback' });
}

/** PCIe ports that no device sits on. */
function freePorts(xml: string): number {
  const devices = require(parseXml(xml).root, 'devices');
  const ports = children(devices, 'controller').filter((one) => attribute(one, 'model') === 'pcie-root-port');
  const taken = new Set<number>();
  for (const kind of ['disk', 'controller', 'interface', 'memballoon', 'rng', 'video', 'channel']) {
    for (const device of children(devices, kind)) {
      const address = find(device, 'address');
      if (attribute(address, 'type') === 'pci') taken.add(Number(attribute(address, 'bus')));
    }
  }
  taken.delete(0);
  return ports.length - taken.size;
}

interface Verdict {
  /** libvirt's own view of what it took; absent when it refused. */
  readonly inactive?: string;
  /** The same of the started guest; absent when it is not to be started, or was refused. */
  readonly live?: string;
  readonly refusal?: LibvirtError;
}

/** Defined as it would be in earnest, started without running, ended, forgotten. */
async function judge(xml: string, starts: boolean): Promise<Verdict> {
  const verdict: { -readonly [K in keyof Verdict]: Verdict[K] } = {};
  try {
    const { dom } = await lv.call('domainDefineXMLFlags', { xml, flags: DEFINE.VALIDATE });
    try {
      verdict.inactive = (await lv.call('domainGetXMLDesc', { dom, flags: DOMAIN_XML.INACTIVE })).xml;
      if (!starts) return verdict;
      await lv.call('domainCreateWithFlags', { dom, flags: START.PAUSED }, { timeoutMs: 120_000 });
      verdict.live = (await lv.call('domainGetXMLDesc', { dom })).xml;
      await lv.call('domainDestroyFlags', { dom });
    } finally {
      await lv.call('domainUndefineFlags', { dom, flags: UNDEFINE.NVRAM });
    }
  } catch (e) {
    if (!(e instanceof LibvirtError)) throw e;
    verdict.refusal = e;
  }
  return verdict;
}

const OURS = 'a real libvirt takes it and gives back what was meant';
for (const one of CASES) {
  void t.test(`${one.name}: ${OURS}`, async (t) => {
    const { inactive, live, refusal } = await judge(await place(one), one.starts);
    const said = refusal?.message ?? '';
    if (one.options.virtType === 'kvm' && /kvm/i.test(said) && inactive === undefined) {
      // The schema came first (VALIDATE), so that it is proven all the same.
      t.pass(`this host has no KVM; judged by the schema alone: ${said}`);
      return;
    }
    if (inactive === undefined) {
      t.fail(`it is refused: ${said}`);
      return;
    }
    const data = readDomain(inactive);
    t.equal(data.title, one.record.displayName);
    t.same(data.metadata && parseRecord(data.metadata), { ok: true, record: withoutSecrets(one.record) });
    t.equal(freePorts(inactive), 6, 'six ports stay free');
    if (!one.starts) return;
    if (live === undefined) {
      t.fail(`it does not start: ${said}`);
      return;
    }
    const running = readDomain(live);
    t.equal(running.guestAgent, 'disconnected');
    t.match(running.vncSocketPath, /^\/.*vnc\.sock$/);
    t.match(running.serialPath, /^\/dev\/pts\//);
    t.ok(running.disks.every((disk) => disk.alias !== undefined));
  });
}
