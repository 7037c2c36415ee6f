/** The kills in the middle of changes of a running guest, at every point of every change. */
process.env['OSTLER_TEST_HOTPLUG_KILLS'] ??= '80';
await import('../e2e/hotplug-kill.test.js');
export {};
