/**
 * Flags and enumerations of libvirt's public API, by their names there; the comment on a group is the C prefix that its
 * names leave out. Flags of one group are combined with `|`.
 */
export * from './flags-domain.js';
export * from './flags-event.js';
export * from './flags-host.js';
export * from './flags-job.js';
