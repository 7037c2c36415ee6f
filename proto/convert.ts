/** Wire ↔ model: protobuf messages at the edges, proto/model inside. */
export * from './convert/enums.js';
export * from './convert/host.js';
export * from './convert/image.js';
export * from './convert/parse.js';
export * from './convert/snapshot.js';
export * from './convert/vm.js';
export * from './convert/volume.js';
