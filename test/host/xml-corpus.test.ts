import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { z } from 'zod';
import { buildDiskXml, buildNicXml } from '../../agent/xml/build-domain.js';
import { resizeMemoryXml } from '../../agent/xml/build-memory.js';
import { parseXml, serializeNode } from '../../agent/xml/document.js';
import * as edits from '../../agent/xml/edit.js';
import { attribute, children, find } from '../../agent/xml/element.js';
import { withLiveTargets } from '../../agent/xml/live-targets.js';
import { metadataElements } from '../../agent/xml/metadata.js';
import { readDomain } from '../../agent/xml/read-domain.js';
import { readFacts } from '../../agent/xml/read-facts.js';
import { setDiskFile } from '../../agent/xml/snapshot.js';
import { XmlError } from '../../agent/xml/xml-error.js';
import { disk, MIB, nic, sampleRecord } from '../xml/sample.js';

/**
 * libvirt's own test documents, out of Debian's source package, judge the editing of domains: every edit on every one of
 * them, and xml-judge.py says whether anything else changed.
 */
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const LEAST = 300;
const run = promisify(execFile);
t.setTimeout(300_000);

interface Source {
  readonly file: string;
  readonly xml: string;
}

interface Edit {
  readonly kind: string;
  /** What the judge must know to do the same. */
  readonly how?: Readonly<Record<string, unknown>>;
  readonly apply: (xml: string) => string;
}

interface Claim {
  readonly file: string;
  readonly kind: string;
  readonly [more: string]: unknown;
}

const verdictSchema = z.object({
  judged: z.record(z.string(), z.number()),
  refused: z.record(z.string(), z.number()),
  wrong: z.array(z.object({ file: z.string(), kind: z.string(), problem: z.string() })),
});

/** This release of Debian, whose libvirt is the one that the other tests run. */
async function codename(): Promise<string> {
  const name = /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(await readFile('/etc/os-release', 'utf8'))?.[1];
  if (name === undefined) throw new Error('/etc/os-release names no release of Debian');
  return name;
}

async function unpack(directory: string): Promise<string> {
  const { stdout } = await run(join(ROOT, 'scripts/libvirt-source'), [await codename()]).catch((cause: unknown) => {
    throw new Error('There is no corpus without libvirt’s source package.', { cause });
  });
  const [version = '', tarball = ''] = stdout.trim().split(' ');
  await run('tar', ['-C', directory, '-xf', tarball, '--wildcards', '*/tests/*.xml']);
  return version;
}

const DOMAIN = /^(?:\s|<\?[^]*?\?>|<!--[^]*?-->)*<domain[\s>]/;

/** Each document once; many of the corpus are links to or copies of others. */
async function corpus(directory: string): Promise<Source[]> {
  const found = new Map<string, Source>();
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((one) => one.isFile() && one.name.endsWith('.xml'))
    .map((one) => join(one.parentPath, one.name));
  for (const file of files.sort()) {
    const xml = await readFile(file, 'utf8');
    if (DOMAIN.test(xml)) found.set(createHash('sha256').update(xml).digest('hex'), { file, xml });
  }
  return [...found.values()];
}

/** Some of them without white space and with comments everywhere: an editor may not take its neighbours along. */
async function dense(sources: readonly Source[], directory: string): Promise<Source[]> {
  const some = sources.filter((_, index) => index % 10 === 0);
  return Promise.all(
    some.map(async ({ xml }, index) => {
      const file = join(directory, `dense-${index}.xml`);
      const made = xml.replace(/(?<=>)\s+(?=<)/g, index % 2 === 0 ? '' : '<!-- beside -->');
      await writeFile(file, made);
      return { file, xml: made };
    }),
  );
}

/** No document of the corpus shows a running domain with virtio-mem: those with such a device get the names that libvirt gives. */
async function running(sources: readonly Source[], directory: string): Promise<Source[]> {
  const made: Source[] = [];
  for (const { xml } of sources) {
    let index = 0;
    const named = xml.replace(/<requested .*<\/requested>\s*<\/target>/g, (target) => {
      index++;
      return `${target}<alias name="virtiomem${index}"/>`;
    });
    if (index === 0) continue;
    const file = join(directory, `running-${made.length}.xml`);
    await writeFile(file, named);
    made.push({ file, xml: named });
  }
  return made;
}

const record = sampleRecord({
  displayName: '웹서버 <1> & ]]>',
  spec: { disks: [disk('root'), disk('more')], nics: [nic('net0')] },
});
const [, more = disk('more')] = record.spec.disks;
const DISK = buildDiskXml(record, more, { source: { path: '/pool/more.qcow2', format: 'qcow2' } });
const NIC = buildNicXml(nic('net9', { mac: '52:54:00:00:00:99', mtu: 1400 }), { defaultBridge: 'br0' });
const RECORD = recordElement();

/** Our element as it stands in a domain. */
function recordElement(): string {
  const [element] = metadataElements(
    parseXml(edits.editDomain('<domain><name>x</name></domain>', [edits.setRecord(record)])).root,
  );
  if (element === undefined) throw new Error('setRecord wrote nothing');
  return serializeNode(element);
}

function one(kind: string, edit: edits.DomainEdit, how: Edit['how'] = {}): Edit {
  return { kind, how, apply: (xml) => edits.editDomain(xml, [edit]) };
}

/** Every edit that agent/xml has, for the devices that this document has. */
function editsFor(xml: string): Edit[] {
  const { root } = parseXml(xml);
  const devices = find(root, 'devices');
  const of = (name: string): ReturnType<typeof children> => (devices === undefined ? [] : children(devices, name));
  const devs = of('disk').flatMap((disk) => attribute(find(disk, 'target'), 'dev') ?? []);
  const cdroms = of('disk')
    .filter((disk) => attribute(disk, 'device') === 'cdrom')
    .flatMap((disk) => attribute(find(disk, 'target'), 'dev') ?? []);
  const macs = of('interface').flatMap((nic) => attribute(find(nic, 'mac'), 'address')?.toLowerCase() ?? []);
  const requested = of('memory').filter((memory) => find(memory, 'target', 'requested') !== undefined);
  const aliases = requested.flatMap((memory) => attribute(find(memory, 'alias'), 'name') ?? []);
  const firsts = [...devs.slice(-1).map((dev) => ({ dev })), ...macs.slice(0, 1).map((mac) => ({ mac }))];
  return [
    ...(readable(xml) && devs.length > 0 && new Set(devs).size === of('disk').length
      ? [{ kind: 'own-targets', apply: (text: string) => withLiveTargets(text, text) }]
      : []),
    { kind: 'nothing', apply: (text) => edits.editDomain(text, []) },
    one('title', edits.setTitle('새 이름 <2> & "x"'), { text: '새 이름 <2> & "x"' }),
    one('no-title', edits.setTitle(''), { text: '' }),
    one('description', edits.setDescription('first\n\tsecond ]]>'), { text: 'first\n\tsecond ]]>' }),
    one('vcpus', edits.setVcpus(1), { current: 1 }),
    one('two-vcpus', edits.setVcpus(2), { current: 2 }),
    one('memory', edits.setMemory(768 * MIB), { bytes: 768 * MIB }),
    one('boot', edits.setBootOrder(firsts), { keys: firsts }),
    one('add-disk', edits.addDevice(DISK), { xml: DISK }),
    one('add-nic', edits.addDevice(NIC), { xml: NIC }),
    one('record', edits.setRecord(record), { xml: RECORD }),
    {
      kind: 'record-and-back',
      apply: (text) => edits.editDomain(edits.editDomain(text, [edits.setRecord(record)]), [edits.removeRecord()]),
    },
    ...devs
      .slice(-1)
      .flatMap((dev) => [
        one('remove-disk', edits.removeDevice({ dev }), { dev }),
        one('medium', edits.setDiskSource(dev, '/pool/new.iso'), { dev, path: '/pool/new.iso' }),
        one('switch', setDiskFile(dev, '/pool/over.qcow2'), { dev, path: '/pool/over.qcow2' }),
      ]),
    ...[...cdroms, ...devs]
      .slice(0, 1)
      .map((dev) => one('eject', edits.setDiskSource(dev, undefined), { dev, path: null })),
    ...macs.slice(-1).map((mac) => one('remove-nic', edits.removeDevice({ mac }), { mac })),
    ...aliases.map((alias): Edit => {
      const bytes = 256 * MIB;
      return { kind: 'resize', how: { alias, bytes }, apply: (text) => resizeMemoryXml(text, alias, bytes) };
    }),
  ];
}

function readable(xml: string): boolean {
  try {
    readDomain(xml);
    return true;
  } catch {
    return false;
  }
}

function claimOf({ file, xml }: Source, { kind, how, apply }: Edit): Claim {
  try {
    return { file, kind, ...how, after: apply(xml) };
  } catch (error) {
    if (!(error instanceof XmlError)) throw error;
    return { file, kind, ...how, refused: error.message };
  }
}

async function judged(claims: Iterable<Claim>): Promise<z.infer<typeof verdictSchema>> {
  const judge = spawn('python3', [join(ROOT, 'test/host/xml-judge.py')], { stdio: ['pipe', 'pipe', 'inherit'] });
  const said = json(judge.stdout);
  for (const claim of claims)
    if (!judge.stdin.write(`${JSON.stringify(claim)}\n`)) await new Promise((go) => judge.stdin.once('drain', go));
  judge.stdin.end();
  return verdictSchema.parse(await said);
}

const directory = await mkdtemp(join(tmpdir(), 'ostler-corpus.'));
t.teardown(() => rm(directory, { recursive: true, force: true }));
const version = await unpack(directory);
const originals = await corpus(directory);
const sources = [...originals, ...(await running(originals, directory)), ...(await dense(originals, directory))];

void t.test('an edit of libvirt’s own documents changes what it says and nothing else', async (t) => {
  t.ok(originals.length >= LEAST, `${originals.length} domains of libvirt ${version}; at least ${LEAST}`);
  const { judged: counts, refused, wrong } = await judged(claims());
  function* claims(): Generator<Claim> {
    for (const source of sources) for (const edit of editsFor(source.xml)) yield claimOf(source, edit);
  }
  for (const kind of Object.keys(counts))
    t.comment(`${kind}: ${counts[kind] ?? 0} changed, ${refused[kind] ?? 0} refused`);
  t.same(wrong.slice(0, 20), [], `${wrong.length} documents are not what the change says`);
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  t.comment(`${sources.length} documents, ${originals.length} of them as libvirt has them, ${total} edits judged`);
  for (const kind of ['title', 'vcpus', 'memory', 'boot', 'medium', 'add-disk', 'remove-disk', 'add-nic', 'remove-nic'])
    t.ok((counts[kind] ?? 0) >= LEAST, `${kind}: ${counts[kind] ?? 0} judged`);
  for (const kind of ['record', 'record-and-back', 'switch', 'description', 'nothing', 'two-vcpus', 'own-targets'])
    t.ok((counts[kind] ?? 0) >= LEAST, `${kind}: ${counts[kind] ?? 0} judged`);
});

void t.test('reading them gives data or one of our errors, never another', (t) => {
  const read = { domain: 0, facts: 0 };
  for (const { file, xml } of sources)
    for (const [what, reader] of [['domain', readDomain] as const, ['facts', readFacts] as const])
      try {
        reader(xml);
        read[what]++;
      } catch (error) {
        if (!(error instanceof XmlError)) t.fail(`${what} of ${file}: ${String(error)}`);
      }
  t.comment(`${read.domain} read as domains, ${read.facts} as facts, of ${sources.length}`);
  t.ok(read.domain >= LEAST && read.facts >= LEAST);
  t.end();
});

/** What a careless editor would do; the judge must see each of them. */
const CARELESS: readonly (readonly [string, (xml: string) => string])[] = [
  ['loses a comment', (xml) => xml.replace(/<!--[^]*?-->/, '')],
  ['loses an element', (xml) => xml.replace(/<clock [^>]*\/>/, '')],
  ['loses an attribute', (xml) => xml.replace(/ machine=(['"])[^'"]*\1/, '')],
  ['changes an attribute', (xml) => xml.replace(/ machine=(['"])[^'"]*\1/, ' machine="other"')],
  ['changes text', (xml) => xml.replace(/<name>/, '<name>x')],
  ['trims text', (xml) => xml.replace(/<on_crash>/, '<on_crash> ')],
  ['loses a name space', (xml) => xml.replace(/ xmlns:qemu=(['"])[^'"]*\1/, '')],
  ['changes a name space', (xml) => xml.replace(/ xmlns:qemu=(['"])[^'"]*\1/, ' xmlns:qemu="urn:other"')],
  ['moves white space', (xml) => xml.replace(/<os>\s+/, '<os>')],
  [
    'changes the order',
    (xml) => xml.replace(/(<on_poweroff>.*<\/on_poweroff>)(\s*)(<on_reboot>.*<\/on_reboot>)/, '$3$2$1'),
  ],
  ['doubles an element', (xml) => xml.replace(/<on_reboot>.*<\/on_reboot>/, '$&$&')],
];

void t.test('the judge can say no', async (t) => {
  for (const [what, careless] of CARELESS) {
    const victims = sources.filter(({ xml }) => careless(xml) !== xml && parses(careless(xml))).slice(0, 3);
    t.ok(victims.length > 0, `the corpus has a document for an editor that ${what}`);
    const { wrong } = await judged(
      victims.map((source) =>
        claimOf(source, { kind: 'nothing', apply: (xml) => edits.editDomain(careless(xml), []) }),
      ),
    );
    t.equal(wrong.length, victims.length, `an editor that ${what} is found out`);
  }
  const [first] = sources;
  const { wrong } = await judged([{ file: first?.file ?? '', kind: 'title', text: 'x', refused: 'for no reason' }]);
  t.equal(wrong.length, 1, 'a refusal without a reason is found out');
});

function parses(xml: string): boolean {
  try {
    parseXml(xml);
    return true;
  } catch {
    return false;
  }
}
