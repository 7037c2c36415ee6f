import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { parse } from 'yaml';
import { metaData, networkConfig, userData } from '../../agent/seed/cloud-config.js';
import { seedFiles, seedIso } from '../../agent/seed/seed.js';
import type { CloudInit } from '../../proto/model/cloud-init.js';
import type { VmRecord } from '../../proto/model/vm.js';
import { nic, sampleRecord } from '../xml/sample.js';

const HASH = '$6$saltsalt$' + 'a'.repeat(86);
const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8Qm someone: # "quoted" 열쇠';

function record(cloudInit: Partial<CloudInit> = {}): VmRecord {
  return sampleRecord({ spec: { cloudInit: { ...sampleRecord().spec.cloudInit, ...cloudInit } } });
}

/** cloud-init reads YAML 1.1: so does the judge. */
const yaml = (text: string): Record<string, unknown> => parse(text, { version: '1.1' }) as Record<string, unknown>;

interface Part {
  readonly type: string;
  readonly name: string | null;
  readonly text: string;
}

/** The parts as cloud-init sees them: Python's email module walks the message. */
function parts(message: string): Part[] {
  const program = `
import email, json, sys
out = []
for part in email.message_from_string(sys.stdin.buffer.read().decode()).walk():
    if part.is_multipart(): continue
    text = part.get_payload(decode=True).decode()
    out.append({'type': part.get_content_type(), 'name': part.get_filename(), 'text': text})
print(json.dumps(out))`;
  return JSON.parse(execFileSync('python3', ['-c', program], { input: message, encoding: 'utf8' })) as Part[];
}

void t.test('the account', (t) => {
  const text = userData(record({ passwordHash: HASH, sshKeys: [KEY] }));
  t.match(text, /^#cloud-config\n/);
  // C-085, C-086, C-087, M-149
  t.match(yaml(text), {
    hostname: 'web1',
    ssh_pwauth: true,
    users: [{ name: 'cloudia', hashed_passwd: HASH, lock_passwd: false, ssh_authorized_keys: [KEY] }],
  });
  const [without] = yaml(userData(record()))['users'] as Record<string, unknown>[];
  t.same(Object.keys(without!), ['name', 'gecos', 'groups', 'sudo', 'shell', 'lock_passwd']);
  t.equal(without!['lock_passwd'], true);
  t.equal(yaml(userData(record()))['ssh_pwauth'], false);
  t.match(yaml(userData(record({ user: 'true' }))), { users: [{ name: 'true' }] });
  t.end();
});

void t.test('user data of every wrapping ends as a part', (t) => {
  // M-151
  const given = '#cloud-config\npackages: [x]\n'; // ASCII: cloud-init itself garbles other text in MIME that is not encoded
  const mime = `Content-Type: multipart/mixed; boundary="b"\nMIME-Version: 1.0\n\n--b\nContent-Type: text/cloud-config\n\n${given}\n--b\nContent-Type: text/x-shellscript\nContent-Disposition: attachment; filename="mine.sh"\n\n#!/bin/sh\necho ostler-part-000000\n--b--\n`;
  const base64 = (data: string | Buffer): string => Buffer.from(data).toString('base64').replace(/.{60}/g, '$&\n');
  const inner = (text: string): string[] =>
    parts(userData(record({ userData: text })))
      .slice(1)
      .map((one) => one.text.trim());
  for (const [what, text] of [
    ['plain', given],
    ['CRLF', given.replaceAll('\n', '\r\n')],
    ['base64', base64(given)],
    ['gzip in base64', base64(gzipSync(given))],
  ] as const) {
    t.same(inner(text), [given.trim()], what);
  }
  const both = [given.trim(), '#!/bin/sh\necho ostler-part-000000'];
  for (const [what, text] of [
    ['MIME', mime],
    ['MIME with the version first', mime.replace(/^(Content-Type.*)\n(MIME-Version.*)\n/, '$2\n$1\n')],
    ['MIME in base64', base64(mime)],
    ['MIME in gzip in base64', base64(gzipSync(mime))],
  ] as const) {
    t.same(inner(text), both, what);
  }
  t.equal(parts(userData(record({ userData: mime })))[2]?.name, 'mine.sh');
  t.same(inner('#cloud-config\n# 한글 웹 😀'), ['#cloud-config\n# 한글 웹 😀']);
  t.same(inner('deadbeef'), ['deadbeef'], 'text that could be base64 and is nothing we know stays text');
  t.match(userData(record({ userData: ' \n' })), /^#cloud-config/, 'nothing given, no multipart');
  t.throws(() => userData(record({ userData: base64(gzipSync(given).subarray(0, 30)) })), RangeError);
  t.throws(() => userData(record({ userData: base64(gzipSync(Buffer.alloc(20_000_000))) })), RangeError, 'a gzip bomb');
  t.end();
});

const script = (name: string, order: number, stage: 'pre-network' | 'boot' | 'final', content = `echo ${name}\n`) => ({
  name,
  order,
  stage,
  content,
});

void t.test('scripts run in their stage and order', (t) => {
  const scripts = [
    script('b', 20, 'boot'),
    script('last', 1, 'final'),
    script('a', 3, 'boot', '#!/usr/bin/python3\r\nprint("웹")\r\n'),
    script('early', 100, 'pre-network'),
    script('huge-order', 9999, 'boot'),
  ];
  const all = parts(userData(record({ scripts, userData: '#cloud-config\nruncmd: [ls]\n' })));
  // C-088, C-089, C-090
  t.same(
    all.map(({ type, name }) => `${type} ${name}`),
    [
      'text/cloud-config ostler.cfg',
      'text/cloud-boothook pre-network-0100-early',
      'text/x-shellscript boot-0003-a',
      'text/x-shellscript boot-0020-b',
      'text/x-shellscript boot-9999-huge-order',
      'text/x-shellscript zz-final-0001-last',
      'text/plain part-user-data',
    ],
  );
  t.equal(all[2]?.text, '#!/usr/bin/python3\nprint("웹")\n', 'Windows line ends would break #!');
  t.equal(all[3]?.text, '#!/bin/sh\necho b\n', 'no #! means the shell');
  const inDirectory = ['runcmd', 'part-user-data', ...all.slice(2, 6).map((one) => one.name!)].sort();
  t.same(inDirectory, [
    'boot-0003-a',
    'boot-0020-b',
    'boot-9999-huge-order',
    'part-user-data',
    'runcmd',
    'zz-final-0001-last',
  ]);
  t.equal(yaml(metaData(record({ scripts }), 0))['dsmode'], 'local', 'else boot hooks run behind the network');
  t.equal('dsmode' in yaml(metaData(record({ scripts: scripts.slice(0, 3) }), 0)), false);
  t.end();
});

void t.test('a pre-network script runs once per instance, whatever it says', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ostler-hook-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const log = join(directory, 'log');
  const content = `echo "ran EOF 웹 $INSTANCE_ID" >> '${log}'\nEOF\nexit 3\n`;
  const [, hook] = parts(userData(record({ scripts: [script('x', 1, 'pre-network', content)] })));
  const path = join(directory, 'hook');
  writeFileSync(path, hook!.text.replace(/^#cloud-boothook\n/, ''), { mode: 0o700 });
  const env = { ...process.env, INSTANCE_ID: 'i-1' };
  t.throws(() => execFileSync(path, { env, stdio: 'ignore' }), 'its exit code is seen');
  execFileSync(path, { env });
  t.equal(readFileSync(log, 'utf8'), 'ran EOF 웹 i-1\n');
  t.ok(existsSync(`${path}.done`));
  t.end();
});

void t.test('network: DHCP on every NIC, found by its address', (t) => {
  const nics = [nic('net0'), nic('storage', { mac: '52:54:00:12:34:57', mtu: 9000 })];
  const text = networkConfig(sampleRecord({ spec: { nics } }));
  t.same(yaml(text), {
    version: 2,
    ethernets: {
      net0: { match: { macaddress: '52:54:00:12:34:56' }, dhcp4: true },
      storage: { match: { macaddress: '52:54:00:12:34:57' }, dhcp4: true, mtu: 9000, optional: true },
    },
  });
  t.notMatch(text, /name:/, 'cloud-init 22.4 ignores a match by name');
  const own = '# mine\nversion: 1\r\nconfig: []';
  t.equal(networkConfig(record({ networkConfig: own })), own, 'a given one goes through as it is');
  t.end();
});

void t.test('meta-data: another generation is another instance', (t) => {
  const at = (generation: number) => yaml(metaData(record(), generation));
  t.same(at(0), { 'instance-id': '11111111-2222-4333-8444-555555555555-0', 'local-hostname': 'web1' });
  t.not(at(0)['instance-id'], at(1)['instance-id']); // M-150
  t.end();
});

void t.test('the seed holds the three files', (t) => {
  t.same(
    seedFiles(record(), 0).map((one) => one.name),
    ['meta-data', 'network-config', 'user-data'],
  );
  t.same(seedIso(record(), 0), seedIso(record(), 0));
  t.equal(
    seedIso(record(), 0)
      .subarray(0x8000 + 40, 0x8000 + 46)
      .toString(),
    'cidata',
  );
  t.end();
});
