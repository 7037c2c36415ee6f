import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Command, Option } from 'commander';
import t from 'tap';
import { createProgram } from '../../controller/cli/program.js';
import { systemClock } from '../../proto/kit/clock.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
/** Folders that a reader meets first: each says what lives there and what may import what. */
const FOLDERS = [
  ...['agent', 'agent/core', 'agent/drivers', 'agent/fake', 'agent/libvirt', 'agent/link', 'agent/linux'],
  ...['agent/seed', 'agent/xml', 'controller', 'controller/agents', 'controller/api', 'controller/api/http'],
  ...['controller/auth', 'controller/ca', 'controller/cli', 'controller/core', 'controller/engine'],
  ...['controller/images', 'controller/store', 'controller/web', 'proto', 'proto/kit', 'proto/model'],
  ...['systemd', 'scripts', 'test', 'test/guest', 'test/lab', 'test/libvirt'],
];

async function readmes(): Promise<string[]> {
  const { stdout } = await promisify(execFile)('git', ['ls-files', '--', '*README.md'], { cwd: ROOT });
  return stdout.split('\n').filter((file) => file !== '');
}

void t.test('the folders have a README', (t) => {
  for (const folder of FOLDERS) t.ok(existsSync(join(ROOT, folder, 'README.md')), folder);
  t.end();
});

void t.test('what a README names is there', async (t) => {
  const tops = ['agent', 'controller', 'proto', 'systemd', 'scripts', 'test'];
  for (const file of await readmes()) {
    const text = await readFile(join(ROOT, file), 'utf8');
    // `agent/core/rates.ts`, `scripts/test`, [x](systemd/README.md), and the left column of the main path.
    const named = [
      ...text.matchAll(/`(?:\.\/)?((?:[a-z0-9-]+\/)+[A-Za-z0-9.-]*)(?: [^`]*)?`/g),
      ...text.matchAll(/\]\(([a-z][^):]*)\)/g),
      ...text.matchAll(/^(?:\.\/)?((?:agent|controller|proto|scripts)\/[a-z0-9/.-]+)/gm),
    ].map((match) => (match[1] ?? '').replace(/[./]+$/, ''));
    for (const name of named) {
      if (!tops.includes(name.split('/')[0] ?? '')) continue;
      const found = [ROOT, join(ROOT, dirname(file))].some((base) => existsSync(join(base, name)));
      t.ok(found || name === 'proto/gen', `${file}: ${name}`);
    }
  }
});

function program(): Command {
  const stream = new PassThrough();
  const io = {
    stdin: stream,
    stdout: stream,
    stderr: stream,
    env: {},
    home: '/nonexistent',
    clock: systemClock,
    requestId: () => 'r',
    interrupted: new AbortController().signal,
  };
  return createProgram(io, '0', { verb: () => () => Promise.resolve() });
}

/** What is wrong with a line of the README that calls `ostler`; empty when every word and flag exists. */
function faultOf(line: string): string {
  const words =
    line
      .replace(/#.*$/, '')
      .replace(/[<|].*$/, '')
      .match(/"[^"]*"|\S+/g)
      ?.slice(1) ?? [];
  let command = program();
  const options: Option[] = [...command.options];
  for (const word of words) {
    if (word.startsWith('-')) {
      const flag = word.split('=')[0];
      if (!options.some((one) => one.short === flag || one.long === flag))
        return `${command.name()} has no ${flag ?? ''}`;
      continue;
    }
    const next = command.commands.find((one) => one.name() === word || one.aliases().includes(word));
    if (next !== undefined) {
      command = next;
      options.push(...next.options);
    } else if (command.commands.length > 0) return `${command.name()} has no verb ${word}`;
  }
  return command.commands.length > 0 && words.length > 0 ? `${command.name()} needs a verb` : '';
}

void t.test('every ostler command of the main README exists, with its flags', async (t) => {
  const text = await readFile(join(ROOT, 'README.md'), 'utf8');
  const blocks = [...text.matchAll(/```sh\n([^]*?)```/g)].flatMap((match) => (match[1] ?? '').split('\n'));
  const lines = blocks.filter((line) => line.startsWith('ostler '));
  t.ok(lines.length > 10, `${lines.length} commands`);
  for (const line of lines) t.equal(faultOf(line), '', line);
  t.equal(faultOf('ostler vm creat web1'), 'vm has no verb creat', 'the check sees a wrong verb');
  t.equal(faultOf('ostler vm list --colour'), 'list has no --colour', 'and a wrong flag');
  for (const script of blocks.flatMap((line) => /^\.\/(scripts\/\S+)/.exec(line)?.[1] ?? []))
    t.ok(existsSync(join(ROOT, script)), script);
});
