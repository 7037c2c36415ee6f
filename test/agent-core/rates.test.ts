import fc from 'fast-check';
import t from 'tap';
import { ratesBetween } from '../../agent/core/rates.js';
import type { CounterSample } from '../../agent/core/rates.js';

const zero: CounterSample = {
  cpuTimeNs: 0n,
  vcpus: 2,
  blockReadBytes: 0,
  blockWriteBytes: 0,
  netReceiveBytes: 0,
  netTransmitBytes: 0,
};

void t.test('rates', (t) => {
  const now = { ...zero, cpuTimeNs: 5_000_000_000n, blockReadBytes: 1000, netTransmitBytes: 500 };
  t.match(ratesBetween(zero, now, 5), {
    cpuPercent: 50,
    diskReadBytesPerSecond: 200,
    diskWriteBytesPerSecond: 0,
    netTransmitBytesPerSecond: 100,
  });
  t.equal(ratesBetween(zero, now, 0), undefined);
  t.equal(ratesBetween(zero, now, -1), undefined);
  t.equal(ratesBetween(zero, now, NaN), undefined);
  t.match(
    ratesBetween(now, { ...zero, blockReadBytes: 300 }, 3),
    { diskReadBytesPerSecond: 100, cpuPercent: 0 },
    'a reset',
  );
  t.equal(ratesBetween(zero, { ...zero, cpuTimeNs: 10n ** 18n }, 1)?.cpuPercent, 100);
  const big = 2n ** 60n;
  t.equal(ratesBetween({ ...zero, cpuTimeNs: big }, { ...zero, cpuTimeNs: big + 2_000_000_000n }, 1)?.cpuPercent, 100);
  t.end();
});

void t.test('rates are never negative, infinite or no number', (t) => {
  const count = fc.nat({ max: Number.MAX_SAFE_INTEGER });
  const sample = fc.record({
    cpuTimeNs: fc.bigInt({ min: 0n, max: 2n ** 64n }),
    vcpus: fc.integer({ min: 0, max: 512 }),
    blockReadBytes: count,
    blockWriteBytes: count,
    netReceiveBytes: count,
    netTransmitBytes: count,
  });
  fc.assert(
    fc.property(sample, sample, fc.double({ min: 0.001, max: 1e6, noNaN: true }), (before, now, seconds) =>
      Object.values(ratesBetween(before, now, seconds)!).every((rate: number) => Number.isFinite(rate) && rate >= 0),
    ),
  );
  t.pass('for any two samples');
  t.end();
});
