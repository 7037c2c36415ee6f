// Adds up tap's own totals of all runs in a folder, prints each failure and skip with its reason, and the closing line.
// Exits 1 when something failed, when a run was cut short, or when nothing ran at all.
import { createReadStream, readdirSync } from 'node:fs';
import { Parser } from 'tap-parser';

const folder = process.argv[2] ?? '.';
const totals = { pass: 0, fail: 0, skip: 0 };

for (const name of readdirSync(folder).filter((file) => file.endsWith('.tap'))) {
  await new Promise((resolve) => {
    const parser = new Parser({}, (results) => {
      if (!results.ok && totals.fail === 0 && results.fail === 0) totals.fail += 1;
      resolve();
    });
    count(parser, []);
    createReadStream(`${folder}/${name}`).pipe(parser);
  });
}

// Counts assertions at the leaves: a subtest's own line repeats what its assertions said.
function count(parser, path) {
  // Name of a subtest → failures counted before it began.
  const parents = new Map();
  parser.on('child', (child) => {
    parents.set(child.name, totals.fail);
    count(child, [...path, child.name]);
  });
  parser.on('bailout', (reason) => {
    totals.fail += 1;
    console.log(`bail out: ${[...path, reason].join(' > ')}`);
  });
  parser.on('assert', (assert) => {
    const where = [...path, assert.name].join(' > ');
    if (assert.skip || assert.todo) {
      totals.skip += 1;
      const why = [assert.skip, assert.todo].find((reason) => typeof reason === 'string') ?? 'no reason given';
      console.log(`skipped: ${where}: ${why}`);
    } else if (assert.ok) {
      if (!parents.has(assert.name)) totals.pass += 1;
    } else if (totals.fail === (parents.get(assert.name) ?? totals.fail)) {
      // A leaf, or a file that failed without a failed assertion: it timed out, crashed, or ended early.
      totals.fail += 1;
      console.log(`failed: ${where}\n${JSON.stringify(assert.diag ?? {}, undefined, 2).slice(0, 4000)}`);
    }
  });
}

if (totals.pass + totals.fail === 0) {
  console.log('No test ran.');
  totals.fail += 1;
}
console.log(`${totals.pass} passed, ${totals.fail} failed, ${totals.skip} skipped`);
process.exitCode = totals.fail > 0 ? 1 : 0;
