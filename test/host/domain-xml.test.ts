import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { buildDomainXml } from '../../agent/xml/build-domain.js';
import { parseXml } from '../../agent/xml/document.js';
import { attribute, children, find, require } from '../../agent/xml/element.js';
import { parseRecord, withoutSecrets } from '../../agent/xml/metadata.js';
import { readDomain } from '../../agent/xml/read-domain.js';
import { CASES } from '../xml/cases.js';
import type { Case } from '../xml/cases.js';

/** The last judge: a real libvirtd defines every case, and starts (paused, emulated) those that it can. */
const run = promisify(execFile);
const HERE = new URL('../../../test/host/', import.meta.url).pathname;

/** The same VM with files that exist, on a cache mode that every file system has. */
async function place(directory: string, one: Case): Promise<string> {
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

void t.test('a real libvirt takes every domain and gives back what was meant', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ostler-xml-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const fileOf = (one: Case): string => (one.starts ? `${one.name}.start` : one.name);
  for (const one of CASES) writeFileSync(join(directory, `${fileOf(one)}.xml`), await place(directory, one));
  await run(join(HERE, 'private-libvirtd'), [join(HERE, 'define-all'), directory], { timeout: 100_000 });

  for (const one of CASES) {
    const said = readFileSync(join(directory, `${fileOf(one)}.log`), 'utf8');
    const inactive = join(directory, `${fileOf(one)}.inactive`);
    if (one.options.virtType === 'kvm' && /unsupported|kvm/i.test(said) && !existsSync(inactive)) {
      t.comment(`${one.name}: this host has no KVM; judged by the schema alone`);
      continue;
    }
    if (!t.ok(existsSync(inactive), `${one.name} is defined: ${said.trim()}`)) continue;
    const data = readDomain(readFileSync(inactive, 'utf8'));
    t.equal(data.title, one.record.displayName);
    t.same(data.metadata && parseRecord(data.metadata), { ok: true, record: withoutSecrets(one.record) });
    t.equal(freePorts(readFileSync(inactive, 'utf8')), 6, `${one.name} keeps six ports free`);
    if (!one.starts) continue;
    const live = join(directory, `${fileOf(one)}.live`);
    if (!t.ok(existsSync(live), `${one.name} starts: ${said.trim()}`)) continue;
    const running = readDomain(readFileSync(live, 'utf8'));
    t.equal(running.guestAgent, 'disconnected');
    t.match(running.vncSocketPath, /^\/.*vnc\.sock$/);
    t.match(running.serialPath, /^\/dev\/pts\//);
    t.ok(running.disks.every((disk) => disk.alias !== undefined));
  }
});
