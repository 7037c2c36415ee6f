import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The proto files lie beside the compiled code: dist/controller/api → proto/. */
export const PROTO_ROOT = fileURLToPath(new URL('../../../proto/', import.meta.url));

/** The contract for people and programs, and the health service; the agents' link is not theirs. */
export function publicProtoFiles(): string[] {
  const ours = readdirSync(`${PROTO_ROOT}ostler/v1`)
    .filter((name) => name.endsWith('.proto') && name !== 'link.proto')
    .sort()
    .map((name) => `ostler/v1/${name}`);
  return [...ours, 'grpc/health/v1/health.proto'];
}
