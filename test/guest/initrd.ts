import { readFile, readdir, realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { cpio, type Entry } from './cpio.js';
import { run } from './run.js';

const DIRECTORIES = 'bin sbin etc/acpi/PWRF proc sys dev run tmp data home root lib/mods'.split(' ');
const SCRIPTS = ['hotplug', 'dhcp', 'shutdown', 'seed', 'seed-scripts', 'load'];
/** acpid runs the file named after the event's value in the directory named after the button. */
const POWER_BUTTON = 'etc/acpi/PWRF/00000080';

/** The whole user space of the guest, gzipped: busybox, kernel modules, qemu-ga with its libraries and our scripts. */
export async function makeInitrd(root: string, files: string): Promise<Buffer> {
  const script = async (path: string, name: string): Promise<Entry> => ({
    path,
    content: await readFile(join(files, name)),
    mode: 0o755,
  });
  const text = (path: string, content: string): Entry => ({ path, content: Buffer.from(`${content}\n`) });
  const entries: Entry[] = [
    ...(await busybox()),
    ...(await modules(root, await readFile(join(files, 'modules'), 'utf8'))),
    ...(await guestAgent(join(root, 'usr/sbin/qemu-ga'))),
    await script('init', 'init'),
    ...(await Promise.all(SCRIPTS.map((name) => script(`sbin/${name}`, name)))),
    await script(POWER_BUTTON, 'power-button'),
    await script('lib/yaml.awk', 'yaml.awk'),
    await script('lib/mime.awk', 'mime.awk'),
    text('etc/passwd', 'root:x:0:0:root:/root:/bin/sh'),
    text('etc/shadow', 'root::19000:0:99999:7:::'),
    text('etc/group', 'root:x:0:'),
    text('etc/os-release', 'NAME="ostler-guest"\nID=ostlerguest\nVERSION_ID="1"\nPRETTY_NAME="Ostler test guest"'),
    { path: 'var/run', content: { link: '/run' } },
  ];
  return gzipSync(cpio(entries, DIRECTORIES), { level: 9 });
}

async function busybox(): Promise<Entry[]> {
  const program = await realpath('/bin/busybox').catch(() => realpath('/usr/bin/busybox'));
  const { stdout } = await run([program, '--list']);
  const applets = stdout.split('\n').filter((name) => name !== '' && name !== 'busybox');
  return [
    { path: 'bin/busybox', content: await readFile(program), mode: 0o755 },
    ...applets.map((name) => ({ path: `bin/${name}`, content: { link: 'busybox' } })),
  ];
}

async function modules(root: string, wanted: string): Promise<Entry[]> {
  const [version] = await readdir(join(root, 'lib/modules'));
  if (version === undefined) throw new Error('the kernel package has no modules');
  const tree = join(root, 'lib/modules', version);
  const canonical = (name: string): string => name.replaceAll('-', '_');
  const found = new Map<string, string>();
  for (const path of await readdir(tree, { recursive: true })) {
    if (path.endsWith('.ko')) found.set(canonical(basename(path, '.ko')), join(tree, path));
  }
  const builtin = canonical(await readFile(join(tree, 'modules.builtin'), 'utf8'));
  const parameters = new Map<string, string>();
  for (const line of wanted.split('\n').filter((line) => line !== '' && !line.startsWith('#'))) {
    const [name = '', ...rest] = line.split(' ');
    parameters.set(canonical(name), rest.join(' '));
  }
  const files = new Map<string, Buffer>();
  const add = async (name: string): Promise<void> => {
    if (files.has(name) || builtin.includes(`/${name}.ko`)) return;
    const path = found.get(name);
    if (path === undefined) throw new Error(`the kernel has no module ${name}`);
    const content = await readFile(path);
    for (const dependency of dependencies(content)) await add(canonical(dependency));
    files.set(name, content);
  };
  for (const name of parameters.keys()) await add(name);
  const order = [...files.keys()].map((name) => `/lib/mods/${name}.ko ${parameters.get(name) ?? ''}`.trimEnd());
  return [
    ...[...files].map(([name, content]) => ({ path: `lib/mods/${name}.ko`, content })),
    { path: 'lib/mods/order', content: Buffer.from(`${order.join('\n')}\n`) },
  ];
}

/** A module names what it needs in its .modinfo section, as "depends=a,b" between zero bytes. */
function dependencies(module: Buffer): string[] {
  const start = module.indexOf('\0depends=');
  if (start < 0) return [];
  const from = start + '\0depends='.length;
  return module
    .toString('latin1', from, module.indexOf(0, from))
    .split(',')
    .filter((name) => name !== '');
}

async function guestAgent(program: string): Promise<Entry[]> {
  const { stdout } = await run(['ldd', program]);
  if (stdout.includes('not found')) throw new Error(`libraries of qemu-ga are missing: run scripts/prepare\n${stdout}`);
  const libraries = [...stdout.matchAll(/(?:=> |^\t)(\/\S+)/gm)].map((match) => match[1] ?? '');
  const copies = libraries.map(async (path) => ({ path: path.slice(1), content: await readFile(path), mode: 0o755 }));
  return [{ path: 'bin/qemu-ga', content: await readFile(program), mode: 0o755 }, ...(await Promise.all(copies))];
}
