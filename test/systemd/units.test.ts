import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';

const run = promisify(execFile);
const SYSTEMD = fileURLToPath(new URL('../../../systemd/', import.meta.url));

/** Highest exposure that `systemd-analyze security` may say. */
const LIMITS = { 'ostler-controller.service': 2.0, 'ostler-agent.service': 4.5 } as const;

for (const [unit, limit] of Object.entries(LIMITS)) {
  void t.test(`${unit} is sandboxed`, async (t) => {
    // A machine without systemd-analyze fails here: the promise would be unchecked.
    const { stdout } = await run('systemd-analyze', [
      'security',
      '--offline=yes',
      '--no-pager',
      `--threshold=${limit * 10}`,
      SYSTEMD + unit,
    ]);
    const score = Number(/Overall exposure level for .*: ([0-9.]+)/.exec(stdout)?.[1]);
    t.ok(score <= limit, `${unit}: ${score} ≤ ${limit}`);
  });

  void t.test(`${unit} has no mistake that systemd sees`, async (t) => {
    // Commands and the units around it are not on this machine; every other remark is a mistake of ours.
    const { stderr } = await run('systemd-analyze', ['verify', '--recursive-errors=no', SYSTEMD + unit]).catch(
      (error: unknown) => error as { stderr: string },
    );
    const remarks = stderr.split('\n').filter((line) => line.includes(unit) && !line.includes('is not executable'));
    t.same(remarks, []);
  });

  void t.test(`${unit} keeps the daemon up`, async (t) => {
    const text = await readFile(SYSTEMD + unit, 'utf8');
    const value = (key: string): string | undefined => new RegExp(`^${key}=(.*)$`, 'm').exec(text)?.[1];
    t.equal(value('Type'), 'notify');
    t.equal(value('NotifyAccess'), 'all', 'the helper that notifies is a child');
    t.equal(value('Restart'), 'always');
    t.equal(value('StartLimitIntervalSec'), '0', 'it never gives up');
    t.match(value('WatchdogSec'), /^[0-9]+s$/);
  });
}

void t.test('the user and the directories are well formed', async (t) => {
  await run('systemd-sysusers', ['--dry-run', `${SYSTEMD}ostler.sysusers.conf`]);
  t.match(
    await readFile(`${SYSTEMD}ostler.sysusers.conf`, 'utf8'),
    /^u ostler - "[A-Za-z ]+" \/[a-z/]+ \/usr\/sbin\/nologin$/m,
  );
  const lines = (await readFile(`${SYSTEMD}ostler.tmpfiles.conf`, 'utf8'))
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  t.ok(lines.length > 0);
  for (const line of lines) t.match(line, /^d +\/[a-z/]+ +0[0-7]{3} +[a-z]+ +[a-z]+ +-$/);
});
