import t from 'tap';
import { connect } from 'node:net';
import { once } from 'node:events';
import { ostler } from '../../proto/gen/ostler.js';
import { blankVm, MIB, startRig } from '../api/rig.js';

const rig = await startRig({ hosts: 1 });
t.teardown(() => rig.close());

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly json: Record<string, unknown>;
}

async function post(method: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  const answer = await fetch(`${rig.httpUrl}/${method}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${rig.tokens.admin}`, ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  const text = await answer.text();
  const type = answer.headers.get('content-type') ?? '';
  const json = type === 'application/json' ? (JSON.parse(text) as Record<string, unknown>) : {};
  return { status: answer.status, type, json };
}

void t.test('the same VM service as JSON', async (t) => {
  const request = {
    ...blankVm('json1'),
    displayName: '웹',
    labels: { tier: 'front' },
    // Both spellings of a name, and 64-bit numbers as strings, are taken in.
    spec: { memory: { size_bytes: String(512 * MIB) }, disks: [{ name: 'root', sizeBytes: 1024 * MIB }], nics: [{}] },
  };
  const created = await post('ostler.v1.VmService/CreateVm', request);
  t.equal(created.status, 200, JSON.stringify(created.json));
  t.match(created.json, { kind: 'vm.create', state: 'OPERATION_RUNNING', createdBy: 'root' });
  const operation = created.json['id'];
  const done = await post('ostler.v1.OperationService/WaitOperation', { operation, timeoutMs: 10_000 });
  t.match(done.json, { state: 'SUCCEEDED', percent: 100 });
  const { json } = await post('ostler.v1.VmService/GetVm', { vm: 'json1' });
  t.match(json, {
    name: 'json1',
    displayName: '웹',
    labels: { tier: 'front' },
    state: 'CREATED',
    spec: { memory: { sizeBytes: String(512 * MIB) }, cpu: { vcpus: 1 } },
    createTime: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
  });
  const updated = await post('ostler.v1.VmService/UpdateVm', {
    vm: 'json1',
    values: { displayName: 'x', description: 'not this' },
    updateMask: 'displayName',
  });
  t.match(updated.json, { kind: 'vm.update', state: /^(OPERATION_RUNNING|SUCCEEDED)$/ }, JSON.stringify(updated.json));
  await post('ostler.v1.OperationService/WaitOperation', { operation: updated.json['id'], timeoutMs: 10_000 });
  t.match((await post('ostler.v1.VmService/GetVm', { vm: 'json1' })).json, { displayName: 'x', description: '' });
  t.match((await post('ostler.v1.VmService/ListVms', '')).json, { vms: [{ name: 'json1' }], totalSize: 1 });
});

void t.test('errors carry code, field and remedy, as JSON and as our protobuf detail', async (t) => {
  const refused = await post('ostler.v1.VmService/CreateVm', blankVm('a_b'));
  t.equal(refused.status, 400);
  t.match(refused.json, { code: 'invalid_argument', details: [{ type: 'ostler.v1.ErrorDetail' }] });
  const [detail] = refused.json['details'] as { value: string; debug: { field: string } }[];
  const decoded = ostler.v1.ErrorDetail.decode(Buffer.from(detail?.value ?? '', 'base64'));
  t.match(decoded, { reason: 'INVALID_FIELD', field: 'name' });
  t.equal(detail?.debug.field, 'name');
  t.match(await post('ostler.v1.VmService/GetVm', { vm: 'nobody' }), { status: 404, json: { code: 'not_found' } });
});

void t.test('who may not, may not here either', async (t) => {
  const list = (headers: Readonly<Record<string, string>>): Promise<Answer> =>
    post('ostler.v1.VmService/ListVms', {}, headers);
  t.match(await list({ authorization: '' }), { status: 401, json: { code: 'unauthenticated' } });
  t.match(await list({ authorization: 'Bearer ost_wrong' }), { status: 401 });
  t.match(await list({ authorization: `Bearer ${rig.tokens.viewer}` }), { status: 200 });
  const create = await post('ostler.v1.VmService/CreateVm', blankVm('x'), {
    authorization: `Bearer ${rig.tokens.viewer}`,
  });
  t.match(create, { status: 403, json: { code: 'permission_denied' } });
});

void t.test('what is no request of this protocol is refused, naming what is wrong', async (t) => {
  const fieldOf = async (body: unknown): Promise<string> => {
    const { status, json } = await post('ostler.v1.VmService/CreateVm', body);
    t.equal(status, 400, JSON.stringify(json));
    return (json['details'] as { debug: { field: string } }[])[0]?.debug.field ?? '';
  };
  t.equal(await fieldOf('{'), 'body');
  t.equal(await fieldOf('[]'), 'body');
  t.equal(await fieldOf({ colour: 1 }), 'colour');
  t.equal(await fieldOf({ spec: { disks: [{ sizeByte: 1 }] } }), 'spec.disks[0].size_byte');
  t.equal(await fieldOf({ spec: { disks: {} } }), 'spec.disks');
  t.equal(await fieldOf({ spec: { memory: { sizeBytes: -1 } } }), 'spec.memory.size_bytes');
  t.equal(await fieldOf({ spec: { memory: { sizeBytes: 1.5 } } }), 'spec.memory.size_bytes');
  t.equal(await fieldOf({ name: 5 }), 'name');
  t.equal(await fieldOf({ spec: { osType: 'PLAN9' } }), 'spec.os_type');
  t.equal(await fieldOf({ __proto__: null, constructor: {} }), 'constructor');
  t.equal(await fieldOf({ name: 'x'.repeat(5 * MIB) }), 'body', 'a body over its limit');
  const url = `${rig.httpUrl}/ostler.v1.VmService/ListVms`;
  const get = await fetch(url);
  t.same([get.status, get.headers.get('allow')], [405, 'POST']);
  t.equal((await fetch(url, { method: 'POST', body: 'a=b' })).status, 415);
  for (const path of [
    'ostler.v1.VmService/Nothing',
    'ostler.v1.EventService/WatchEvents',
    'ostler.v1.AgentLink/Tunnel',
  ])
    t.equal((await post(path, {})).status, 404, path);
});

void t.test('every answer forbids framing, sniffing and foreign scripts', async (t) => {
  for (const path of ['/healthz', '/vnc.html', '/vnc.js', '/nothing', '/metrics', '/console']) {
    const { headers } = await fetch(`${rig.httpUrl}${path}`);
    t.match(headers.get('content-security-policy'), /default-src 'none'.*frame-ancestors 'none'/, path);
    t.equal(headers.get('x-content-type-options'), 'nosniff');
    t.equal(headers.get('x-frame-options'), 'DENY');
    t.equal(headers.get('referrer-policy'), 'no-referrer');
  }
  t.equal((await fetch(`${rig.httpUrl}/healthz`)).status, 200);
  t.equal(
    (await fetch(`${rig.httpUrl}/vnc.html`, { method: 'HEAD' })).headers.get('content-type'),
    'text/html; charset=utf-8',
  );
});

void t.test('bytes that are no HTTP harm nobody', async (t) => {
  const port = Number(new URL(rig.httpUrl).port);
  for (const bytes of [
    '\u0000\u0001\u0002\r\n\r\n',
    `GET ${'/x'.repeat(20_000)} HTTP/1.1\r\n\r\n`,
    'GET http://[ HTTP/1.1\r\n\r\n',
  ]) {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.resume().write(bytes);
    socket.end();
    await once(socket, 'close');
  }
  t.equal((await fetch(`${rig.httpUrl}/healthz`)).status, 200);
});
