import { execFileSync } from 'node:child_process';
import t from 'tap';
import { newSalt, sha512Crypt } from '../../proto/kit/crypt.js';

/** What openssl makes of the same password and salt. It reads at most 256 bytes, so longer ones have fixed answers below. */
function openssl(password: string, salt: string): string {
  const run = execFileSync('openssl', ['passwd', '-6', '-salt', salt, '-stdin'], {
    input: `${password}\n`,
    encoding: 'utf8',
  });
  return run.trim();
}

void t.test('hashes are those of openssl', async (t) => {
  const passwords = [
    'cloudia',
    'a',
    'x'.repeat(63),
    'x'.repeat(64),
    'x'.repeat(65),
    'y'.repeat(200),
    '비밀번호 웹서버',
    '$6$salt$ "\' \\',
    ' ',
  ];
  for (const password of passwords) {
    for (const salt of ['abcdefgh', '0', './Az09./Az09./Az']) {
      t.equal(await sha512Crypt(password, salt), openssl(password, salt), `${password.slice(0, 12)} ${salt}`);
    }
  }
});

void t.test('hashes are those of libcrypt where openssl cannot tell', async (t) => {
  const empty = '$6$x$QSmr1Bx2g4O6BzKvdkgOcyU6H91X6I/XBv5pSalMhSPkwdH6Beo3F455xZJg0v//bxVK5F4OE5k1.0xuR26MK0';
  t.equal(await sha512Crypt('', 'x'), empty);
  const long = '$6$x$lLTkm1Fm9qA3Sw7k7nKqdB7tg1PIXEu0oyRlzXrNcjnSP4JqnpYYWNd9touQfD7Po7pukbAAfjvroPK2GTtXh1';
  t.equal(await sha512Crypt('가나다 비밀번호'.repeat(12), 'x'), long);
});

void t.test('a salt is fresh each time, and a bad one is refused', async (t) => {
  t.match(newSalt(), /^[./0-9A-Za-z]{16}$/);
  t.not(newSalt(), newSalt());
  t.match(await sha512Crypt('cloudia'), /^\$6\$[./0-9A-Za-z]{16}\$[./0-9A-Za-z]{86}$/);
  for (const salt of ['', 'a$b', 'x'.repeat(17), 'rounds=1', '한']) await t.rejects(sha512Crypt('p', salt), RangeError);
});

void t.test('hashing lets others have the event loop', async (t) => {
  let turns = 0;
  let done = false;
  const count = (): void => {
    turns++;
    if (!done) setImmediate(count);
  };
  setImmediate(count);
  await sha512Crypt('cloudia', 'abcdefgh');
  done = true;
  t.ok(turns >= 15, `${turns} turns while it hashed`);
});
