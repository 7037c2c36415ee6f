import { loadSync } from '@grpc/proto-loader';
import { readdirSync } from 'node:fs';
import t from 'tap';
import { methodPath, type Methods, type Service } from '../../proto/service.js';
import * as services from '../../proto/services.js';

const root = new URL('../../../proto/', import.meta.url).pathname;

void t.test('the tables of proto/services.ts are the services of the .proto files', async (t) => {
  const files = readdirSync(`${root}ostler/v1`).map((file) => `ostler/v1/${file}`);
  const loaded = loadSync(files, { includeDirs: [root] });
  const fromFiles: string[] = [];
  for (const [name, definition] of Object.entries(loaded)) {
    if ('format' in definition) continue;
    for (const method of Object.values(
      definition as Record<string, { path: string; requestStream: boolean; responseStream: boolean }>,
    )) {
      fromFiles.push(`${name} ${method.path} ${method.requestStream} ${method.responseStream}`);
    }
  }
  const fromTables: string[] = [];
  for (const service of Object.values(services) as Service<Methods>[]) {
    for (const [name, { kind }] of Object.entries(service.methods)) {
      const requestStream = kind === 'client-stream' || kind === 'bidi';
      const responseStream = kind === 'server-stream' || kind === 'bidi';
      fromTables.push(`${service.name} ${methodPath(service, name)} ${requestStream} ${responseStream}`);
    }
  }
  t.ok(fromTables.length > 30, 'there are methods at all');
  t.same(fromTables.sort(), fromFiles.sort());
  await Promise.resolve();
});
