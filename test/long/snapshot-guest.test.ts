/** Random lives of a running guest's disk with snapshots: twenty-four of them. */
process.env['OSTLER_TEST_GUEST_SEQUENCES'] ??= '24';
await import('../e2e/snapshot-guest.test.js');
export {};
