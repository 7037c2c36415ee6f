/** The controller's crash loop of test/engine at every pass of every fault point, not at every third. */
process.env['OSTLER_CRASH_EVERY'] = '1';
await import('../engine/crash.test.js');

export {};
