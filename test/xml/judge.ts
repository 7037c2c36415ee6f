import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

/** Judges that are not ours: libxml2's command-line tool and libvirt's own schema. */
const SCHEMA = '/usr/share/libvirt/schemas/domain.rng';

/** Canonical XML: what two documents have in common. */
export function canonical(xml: string): string {
  return execFileSync('xmllint', ['--c14n', '-'], { input: xml, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
}

/** Why libvirt's schema refuses a domain; empty when it does not. */
export function schemaComplaint(xml: string): string {
  const run = spawnSync('xmllint', ['--noout', '--relaxng', SCHEMA, '-'], { input: xml, encoding: 'utf8' });
  if (run.error !== undefined) throw run.error;
  return run.status === 0 ? '' : run.stderr;
}

/** Lines of the canonical forms that only one of the two has: what an edit changed. */
export function changedLines(before: string, after: string): { readonly gone: string[]; readonly come: string[] } {
  const lines = (xml: string): string[] => canonical(xml).split('\n');
  const [a, b] = [lines(before), lines(after)];
  const minus = (from: string[], what: string[]): string[] => {
    const rest = [...what];
    return from.filter((line) => {
      const at = rest.indexOf(line);
      if (at >= 0) rest.splice(at, 1);
      return at < 0;
    });
  };
  return { gone: minus(a, b).map((line) => line.trim()), come: minus(b, a).map((line) => line.trim()) };
}

const GOLDEN = new URL('../../../test/xml/golden/', import.meta.url);

export function golden(name: string): string {
  return readFileSync(new URL(name, GOLDEN), 'utf8');
}

/** The kept file; written anew with OSTLER_UPDATE_GOLDEN=1, so that a change shows in the difference of a commit. */
export function goldenOr(name: string, made: string): string {
  const url = new URL(name, GOLDEN);
  if (process.env['OSTLER_UPDATE_GOLDEN'] === '1' || !existsSync(url)) writeFileSync(url, made);
  return golden(name);
}
