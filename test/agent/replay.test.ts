import t from 'tap';
import { createReplay, joinHistory, REPLAY_BYTES, withoutRepeated } from '../../agent/drivers/replay.js';

void t.test('a replay keeps the last 64 KiB, whatever the chunks', async (t) => {
  const said = Buffer.from(Array.from({ length: 5 * REPLAY_BYTES }, (_, index) => index % 251));
  for (const step of [1000, 70_000, said.length]) {
    const replay = createReplay(said.subarray(0, 10));
    for (let at = 10; at < said.length; at += step) replay.push(said.subarray(at, at + step));
    t.ok(replay.content().equals(said.subarray(-REPLAY_BYTES)), `in steps of ${step}`);
  }
  t.equal(createReplay(Buffer.from('short')).content().toString(), 'short');
  await Promise.resolve();
});

/** Everything that a viewer gets: the history, then the stream as it goes on. */
function seen(log: string, grown: number, early: string, later: readonly string[]): string {
  const joint = joinHistory(Buffer.from(log), grown, Buffer.from(early));
  let { repeated } = joint;
  const fresh = later.map((text) => {
    const taken = withoutRepeated(Buffer.from(text), repeated);
    repeated = taken.repeated;
    return taken.fresh.toString();
  });
  return joint.history.toString() + fresh.join('');
}

void t.test('log and stream are joined without a gap and without an echo', async (t) => {
  const whole = 'one two three four five';
  t.equal(seen('one two ', 0, '', ['three four', ' five']), whole, 'a guest that says nothing meanwhile');
  t.equal(seen('one two ', 0, 'three', [' four', ' five']), whole, 'a log that is behind');
  t.equal(seen('one two three', 9, 'two three four', [' five']), whole, 'the stream has all that came, and more');
  t.equal(seen('one two three', 9, 'o three', [' four', ' five']), whole, 'the stream began in the middle');
  t.equal(seen('one two three', 9, 'two', [' thr', 'ee four five']), whole, 'a stream that is behind');
  t.equal(seen('one two three', 9, '', [' four five']), whole, 'a stream that began after it');
  t.equal(seen('one two three', 9, 'two', [' FOUR']), 'one two three FOUR', 'what does not repeat is never dropped');
  t.equal(seen('one\n', 0, '\n', ['two']), 'one\n\ntwo', 'likeness alone is no repetition');
  await Promise.resolve();
});
