/**
 * Compares the procedure table with libvirt's own protocol files: every number, layout and priority, every event, and the
 * numbers of errors and flags with the public headers. The table is verified, not trusted. Run by
 * scripts/check-libvirt-table with one source tree after the other; nothing of those trees is kept.
 *
 *   node dist/test/libvirt/protocol-check.js TREE…
 */
import { readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ERROR, errorCodec } from '../../agent/libvirt/errors.js';
import { eventTable } from '../../agent/libvirt/event-table.js';
import * as flagGroups from '../../agent/libvirt/flags.js';
import { PROGRAM } from '../../agent/libvirt/procedure.js';
import { procedures } from '../../agent/libvirt/procedures.js';

/** A declaration of a field: its type, and what the brackets say. */
interface Field {
  readonly type: string;
  readonly pointer: boolean;
  readonly suffix: { readonly kind: 'fixed' | 'variable'; readonly length: string } | undefined;
}

interface Protocol {
  readonly structs: ReadonlyMap<string, readonly Field[]>;
  readonly unions: ReadonlyMap<string, string>;
  readonly typedefs: ReadonlyMap<string, Field>;
  readonly enums: ReadonlySet<string>;
  readonly constants: ReadonlyMap<string, string>;
  /** Procedure number by name, with its priority. */
  readonly numbers: ReadonlyMap<string, { readonly number: number; readonly high: boolean }>;
}

/** Every word type of XDR is four bytes, whatever C would make of it. */
const SCALARS: Readonly<Record<string, string>> = {
  int: 'i32',
  char: 'i32',
  short: 'i32',
  'unsigned int': 'u32',
  unsigned: 'u32',
  u_int: 'u32',
  'unsigned char': 'u32',
  'unsigned short': 'u32',
  hyper: 'i64',
  'unsigned hyper': 'u64',
  double: 'f64',
};

/** Lengths that the protocol files take from C headers. */
const C_CONSTANTS: Readonly<Record<string, string>> = { VIR_UUID_BUFLEN: '16' };

function parseField(text: string): Field {
  const m = /^(.*?)\s*(\*?)\s*\w+\s*(?:<(\w*)>|\[(\w+)\])?$/s.exec(text.trim().replace(/\s+/g, ' '));
  if (m === null) throw new Error(`cannot read the field "${text}"`);
  const [, type = '', star, variable, fixed] = m;
  const suffix =
    fixed !== undefined
      ? { kind: 'fixed' as const, length: fixed }
      : variable !== undefined
        ? { kind: 'variable' as const, length: variable }
        : undefined;
  return { type: type.replace(/^(struct|enum) /, ''), pointer: star === '*', suffix };
}

const withoutComments = (text: string): string => text.replace(/\/\*.*?\*\//gs, '').replace(/^%.*$/gm, '');

function parseNumbers(text: string, prefix: string): Map<string, { number: number; high: boolean }> {
  const numbers = new Map<string, { number: number; high: boolean }>();
  const pattern = new RegExp(`/\\*\\*((?:(?!\\*/).)*)\\*/\\s*${prefix}_PROC_(\\w+) = (\\d+)`, 'gs');
  for (const [, annotation = '', name = '', number] of text.matchAll(pattern)) {
    numbers.set(name.toLowerCase(), { number: Number(number), high: /@priority:\s*high/.test(annotation) });
  }
  return numbers;
}

/** Reads protocol files; names of later ones may refer to earlier ones. */
function parseProtocol(texts: readonly string[], prefix: string): Protocol {
  const structs = new Map<string, readonly Field[]>();
  const unions = new Map<string, string>();
  const typedefs = new Map<string, Field>();
  const enums = new Set<string>();
  const constants = new Map<string, string>(Object.entries(C_CONSTANTS));
  for (const text of texts.map(withoutComments)) {
    for (const [, name = '', body = ''] of text.matchAll(/\bstruct\s+(\w+)\s*\{(.*?)\n\s*\}/gs)) {
      structs.set(
        name,
        body
          .split(';')
          .filter((f) => f.trim() !== '')
          .map(parseField),
      );
    }
    for (const [, name = '', body = ''] of text.matchAll(/\bunion\s+(\w+)\s+switch[^{]*\{(.*?)\n\s*\}/gs)) {
      unions.set(name, body);
    }
    for (const [, declaration = ''] of text.matchAll(/\btypedef\s+([^;{}]+);/g)) {
      const name = /(\w+)\s*(?:<\w*>|\[\w+\])?\s*$/.exec(declaration)?.[1] ?? '';
      typedefs.set(name, parseField(declaration));
    }
    for (const [, name = ''] of text.matchAll(/\benum\s+(\w+)\s*\{/g)) enums.add(name);
    for (const [, name = '', value = ''] of text.matchAll(/\bconst\s+(\w+)\s*=\s*(\w+)/g)) constants.set(name, value);
  }
  return { structs, unions, typedefs, enums, constants, numbers: parseNumbers(texts.at(-1) ?? '', prefix) };
}

/** The layout of a type in the notation of the codecs. */
function layoutOfType(p: Protocol, type: string): string {
  const scalar = SCALARS[type];
  if (scalar !== undefined) return scalar;
  if (p.enums.has(type)) return 'i32';
  const fields = p.structs.get(type);
  if (fields !== undefined) return `{${fields.map((f) => layoutOf(p, f)).join(',')}}`;
  const union = p.unions.get(type);
  if (union !== undefined) return layoutOfUnion(p, union);
  const alias = p.typedefs.get(type);
  if (alias !== undefined) return layoutOf(p, alias);
  throw new Error(`the type "${type}" is not defined`);
}

function layoutOf(p: Protocol, field: Field): string {
  const { type, suffix } = field;
  if (type === 'string') return 'string';
  let length = suffix?.length ?? '';
  while (p.constants.has(length)) length = p.constants.get(length) ?? '';
  const brackets = suffix === undefined ? '' : suffix.kind === 'variable' ? '<>' : `[${length}]`;
  const base = type === 'opaque' ? 'opaque' : layoutOfType(p, type);
  return `${base}${brackets}${field.pointer ? '?' : ''}`;
}

/** The one union: the arms are numbered by their place, as VIR_TYPED_PARAM_INT is 1 and so on. */
function layoutOfUnion(p: Protocol, body: string): string {
  const arms = [...body.matchAll(/case\s+\w+:\s*([^;]+);/g)].map(
    ([, f = ''], i) => `${i + 1}:${layoutOf(p, parseField(f))}`,
  );
  return `union(i32){${arms.join(',')}}`;
}

/** `domainGetXMLDesc` → `domaingetxmldesc`: how our names and the protocol's meet. */
const key = (name: string): string => name.toLowerCase().replaceAll('_', '');

/** Where the public API's name is not the protocol's. */
const RENAMED: Readonly<Record<string, string>> = {
  domainqemumonitorcommand: 'domainmonitorcommand',
  domainqemuagentcommand: 'domainagentcommand',
  connectdomainqemumonitoreventregister: 'connectdomainmonitoreventregister',
  connectdomainqemumonitoreventderegister: 'connectdomainmonitoreventderegister',
};

/** See procedure.ts: these differ from the priority of the protocol files on purpose; the close callback's rose after 7.0. */
const PACE_ON_PURPOSE = new Set(
  [
    'domainDestroy',
    'domainDestroyFlags',
    'domainSetAutostart',
    'domainSetMaxMemory',
    'domainGetInfo',
    'domainGetXMLDesc',
    'connectRegisterCloseCallback',
    'connectUnregisterCloseCallback',
  ].map(key),
);

export interface CheckResult {
  readonly version: string;
  readonly compared: number;
  /** In our table, not in this version: newer than it. */
  readonly newer: readonly string[];
  readonly errors: readonly string[];
}

function readTree(tree: string) {
  const read = (path: string): string => readFileSync(join(tree, path), 'utf8');
  const remote = read('src/remote/remote_protocol.x');
  return {
    remote: parseProtocol([remote], 'REMOTE'),
    qemu: parseProtocol([remote, read('src/remote/qemu_protocol.x')], 'QEMU'),
    headers: readdirSync(join(tree, 'include/libvirt'))
      .filter((f) => f.endsWith('.h'))
      .map((f) => read(`include/libvirt/${f}`)),
  };
}

function checkProcedures(tree: ReturnType<typeof readTree>, errors: string[], newer: string[]): number {
  let compared = 0;
  for (const [name, procedure] of Object.entries(procedures)) {
    const isQemu = procedure.program === PROGRAM.qemu;
    const protocol = isQemu ? tree.qemu : tree.remote;
    const wanted = RENAMED[key(name)] ?? key(name);
    const found = [...protocol.numbers].find(([n]) => key(n) === wanted);
    if (found === undefined) {
      newer.push(name);
      continue;
    }
    const [wireName, { number, high }] = found;
    if (number !== procedure.number) errors.push(`${name}: number ${procedure.number}, libvirt says ${number}`);
    const base = `${isQemu ? 'qemu' : 'remote'}_${wireName}`;
    for (const [side, codec] of [
      ['args', procedure.args],
      ['ret', procedure.ret],
    ] as const) {
      const type = `${base}_${side}`;
      const layout = protocol.structs.has(type) ? layoutOfType(protocol, type) : '{}';
      if (layout !== codec.sig) errors.push(`${name} ${side}: ${codec.sig}, libvirt says ${layout}`);
    }
    const quick = procedure.pace === 'quick';
    if (quick !== high && !PACE_ON_PURPOSE.has(key(name))) {
      errors.push(`${name}: ${procedure.pace}, libvirt says priority ${high ? 'high' : 'low'}`);
    }
    compared++;
  }
  return compared;
}

function checkEvents(tree: ReturnType<typeof readTree>, errors: string[], newer: string[]): number {
  let compared = 0;
  const byNumber = new Map([...tree.remote.numbers].map(([name, { number }]) => [number, name]));
  for (const [kind, event] of Object.entries(eventTable)) {
    const name = byNumber.get(event.number);
    if (name === undefined) {
      newer.push(kind);
      continue;
    }
    if (
      key(name)
        .replace(/^domainevent(callback)?/, '')
        .replace('event', '') !== key(kind)
    ) {
      errors.push(`${kind}: number ${event.number} is ${name}`);
    }
    const layout = layoutOfType(tree.remote, `remote_${name}_msg`);
    if (layout !== event.payload.sig) errors.push(`${kind}: ${event.payload.sig}, libvirt says ${layout}`);
    compared++;
  }
  if (errorCodec.sig !== layoutOfType(tree.remote, 'remote_error')) errors.push('the error structure differs');
  return compared;
}

/** `NAME = expression` of every enumeration in the headers, evaluated as far as shifts and names go. */
function headerValues(headers: readonly string[]): Map<string, number> {
  const raw = new Map<string, string>();
  for (const text of headers.map(withoutComments)) {
    for (const [, name = '', value = ''] of text.matchAll(/^\s*(VIR_\w+)\s*=\s*([^,}\n]+)/gm))
      raw.set(name, value.trim());
  }
  const value = (text: string, depth = 0): number => {
    const shift = /^\(?\s*(\d+)U?\s*<<\s*(\d+)\s*\)?$/.exec(text);
    if (shift !== null) return Number(shift[1]) * 2 ** Number(shift[2]);
    const alias = raw.get(text);
    return alias !== undefined && depth < 5 ? value(alias, depth + 1) : Number(text);
  };
  return new Map([...raw].map(([name, text]) => [name, value(text)]));
}

/** The C prefix of each group of flags, as the comment on the group in flags-*.ts gives it. */
function flagPrefixes(): Map<string, string> {
  const dir = join(import.meta.dirname, '../../../agent/libvirt');
  const prefixes = new Map<string, string>();
  for (const file of readdirSync(dir).filter((f) => /^flags-\w+\.ts$/.test(f))) {
    const text = readFileSync(join(dir, file), 'utf8');
    for (const [, prefix = '', group = ''] of text.matchAll(/\/\*\* (VIR_\w+_)[^/]*\*\/\nexport const (\w+) =/g)) {
      prefixes.set(group, prefix);
    }
  }
  return prefixes;
}

function checkConstants(headers: readonly string[], errors: string[], newer: string[]): number {
  const known = headerValues(headers);
  let compared = 0;
  const check = (cName: string, ours: number): void => {
    const theirs = known.get(cName);
    if (theirs === undefined) newer.push(cName);
    else if (theirs !== ours) errors.push(`${cName}: ${ours}, libvirt says ${theirs}`);
    else compared++;
  };
  for (const [name, code] of Object.entries(ERROR)) check(`VIR_ERR_${name}`, code);
  const prefixes = flagPrefixes();
  for (const [group, values] of Object.entries(flagGroups)) {
    const prefix = prefixes.get(group);
    if (prefix === undefined) errors.push(`${group}: no C prefix in its comment`);
    else for (const [name, value] of Object.entries(values)) check(`${prefix}${name}`, value);
  }
  return compared;
}

/** Checks everything against one unpacked libvirt source tree. */
export function checkTree(tree: string): CheckResult {
  const source = readTree(tree);
  const errors: string[] = [];
  const newer: string[] = [];
  const compared =
    checkProcedures(source, errors, newer) +
    checkEvents(source, errors, newer) +
    checkConstants(source.headers, errors, newer);
  return { version: basename(tree), compared, newer, errors };
}

function main(trees: readonly string[]): void {
  let failed = trees.length === 0;
  for (const tree of trees) {
    const r = checkTree(tree);
    console.log(
      `${r.version}: ${r.compared} numbers and layouts compared, ${r.errors.length} differ, ${r.newer.length} newer than it`,
    );
    if (r.newer.length > 0) console.log(`  newer: ${r.newer.join(' ')}`);
    for (const e of r.errors) console.log(`  ${e}`);
    failed ||= r.errors.length > 0 || r.compared < 100;
  }
  if (failed) process.exitCode = 1;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) main(process.argv.slice(2));
