/** The kills in the middle of snapshot verbs under a running guest, at every point of every verb, at least 150 of them. */
process.env['OSTLER_TEST_SNAPSHOT_ROUNDS'] ??= '45';
await import('../e2e/snapshot-kill.test.js');
export {};
