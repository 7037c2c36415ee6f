import fc from 'fast-check';
import t from 'tap';
import { ostler } from '../../proto/gen/ostler.js';
import { isCode } from '../../proto/kit/errors.js';
import { sampleRecord } from '../rig/records.js';
import { messagesNamed, oneOfEach } from '../rig/random-messages.js';
import { expungeOf, provisionOf, startOf } from './rig/commands.js';
import { createAgentRig } from './rig/joined-agent.js';

/** Whatever a controller sends, the agent lives on and answers each command and query once, with a result or a typed error. */
const COMMANDS = 3000;
const QUERIES = 1000;
const SEED = 20_261_121;

type Command = ostler.v1.Command.$Properties;
const record = sampleRecord();

type Kind = 'provision' | 'start' | 'expunge';
const WHOLE: Readonly<Record<Kind, Command>> = {
  provision: provisionOf(record, '', []),
  start: startOf(record, '', []),
  expunge: expungeOf(record, ''),
};

/** A right command, but one field of its record is nonsense. */
function spoiled(kind: Kind, nonsense: object, which: number): Command {
  const entries = Object.entries(nonsense) as [string, unknown][];
  const entry = entries[which % Math.max(1, entries.length)];
  const body = WHOLE[kind][kind];
  return {
    ...WHOLE[kind],
    [kind]: { ...body, record: { ...body?.record, ...Object.fromEntries(entry ? [entry] : []) } },
  };
}

const kinds: fc.Arbitrary<Kind> = fc.constantFrom('provision', 'start', 'expunge');
const commands: fc.Arbitrary<Command> = fc.oneof(
  messagesNamed('ostler.v1.Command'),
  fc.tuple(kinds, messagesNamed('ostler.v1.VmRecord'), fc.nat(100)).map((parts) => spoiled(...parts)),
);

t.setTimeout(240_000);

void t.test(`${COMMANDS} random commands, ${QUERIES} random queries, other random messages`, async (t) => {
  // Made first: making them takes seconds on a busy machine, in which neither end of the link would be heard.
  const orders = fc.sample(commands, { numRuns: COMMANDS, seed: SEED });
  const questions = fc.sample(messagesNamed('ostler.v1.Query'), { numRuns: QUERIES, seed: SEED });
  const others = fc.sample(oneOfEach('ostler.v1.ControllerMessage'), { numRuns: 1000, seed: SEED });
  const rig = await createAgentRig();
  t.teardown(() => rig.stop());
  const { controller } = rig;
  controller.patienceMs = 120_000;
  await rig.start();
  for (const [index, command] of orders.entries()) controller.send({ command: { ...command, id: `c${index}` } });
  for (const [index, query] of questions.entries()) controller.send({ query: { ...query, id: `q${index}` } });
  for (const message of others.filter((one) => !('welcome' in one))) controller.send(message);

  const outcomes = new Map<string, number>();
  const answered = new Set<string>();
  let read = 0;
  await controller.until('all answers', (all) => {
    for (; read < all.length; read += 1) {
      const { commandResult, queryResult } = all[read] ?? {};
      const answer = commandResult ?? queryResult;
      const id = commandResult?.command ?? queryResult?.query ?? '';
      if (answer === null || answer === undefined || !/^[cq]\d+$/.test(id)) continue;
      answered.add(id);
      const outcome = answer.error?.reason ?? 'ok';
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    return answered.size === COMMANDS + QUERIES ? true : undefined;
  });
  t.comment(JSON.stringify(Object.fromEntries(outcomes)));
  t.same(
    [...outcomes.keys()].filter((code) => code !== 'ok' && !isCode(code)),
    [],
    'every error has a code',
  );
  t.equal(outcomes.get('INTERNAL') ?? 0, 0, 'no bug of ours was hit');
  t.ok((outcomes.get('INVALID_FIELD') ?? 0) > 1000);
  const live = await controller.query({ id: 'last', listRecords: {} });
  t.equal(live.error, null, 'and it is well');
});
