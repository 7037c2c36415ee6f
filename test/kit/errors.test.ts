import t from 'tap';
import { OstlerError, toOstlerError } from '../../proto/kit/errors.js';

void t.test('an error survives its plain form', async (t) => {
  const error = new OstlerError('NO_CAPACITY', 'No host fits.', { remedy: 'Add a host.', metadata: { h1: 'memory' } });
  t.same(OstlerError.fromInfo(error.toInfo()).toInfo(), error.toInfo());
  t.equal(error.retryable, true);
  await Promise.resolve();
});

void t.test('an abort becomes CANCELLED, anything else INTERNAL with its cause', async (t) => {
  t.equal(toOstlerError(AbortSignal.abort().reason).code, 'CANCELLED');
  const cause = new TypeError('x');
  const converted = toOstlerError(cause);
  t.equal(converted.code, 'INTERNAL');
  t.equal(converted.cause, cause);
  await Promise.resolve();
});
