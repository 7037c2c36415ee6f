import type { Element } from '@xmldom/xmldom';
import { vmRecordSchema } from '../../proto/model/vm.js';
import type { VmRecord } from '../../proto/model/vm.js';
import { attribute, childElements, find, isElement, newDocument, setAttributes, textOf } from './element.js';
import { parseXml, serializeNode } from './document.js';

/** Our element in a domain's `<metadata>`: what the controller knows of a VM, so that a lost store is rebuilt from the hosts. */
export const METADATA_NAMESPACE = 'https://ostler.dev/xmlns/vm/1';
export const METADATA_PREFIX = 'ostler';

export type ParsedRecord =
  | { readonly ok: true; readonly record: VmRecord }
  /** `reason`: one sentence for a person. */
  | { readonly ok: false; readonly reason: string };

export interface VmMetadata {
  /** As written in the attributes: readable even when the record is not. Empty or −1 when absent. */
  readonly id: string;
  readonly epoch: number;
  /** JSON text of the record. */
  readonly json: string;
}

/** The record as it may be seen by whoever may read the domain's XML: without the password hash. */
export function withoutSecrets(record: VmRecord): VmRecord {
  const cloudInit = { ...record.spec.cloudInit, passwordHash: '' };
  return { ...record, spec: { ...record.spec, cloudInit } };
}

/** JSON escapes control characters and lone surrogates; U+007F and the two non-characters of XML are left to us. */
export function recordJson(record: VmRecord): string {
  return JSON.stringify(withoutSecrets(record)).replace(
    /[\u007f-\u009f\u2028\u2029\ufffe\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Appends `<ostler:vm>` to a `<metadata>` element. */
export function addMetadata(metadata: Element, record: VmRecord): void {
  const document = metadata.ownerDocument;
  if (document === null) return;
  const vm = document.createElementNS(METADATA_NAMESPACE, `${METADATA_PREFIX}:vm`);
  setAttributes(vm, { id: record.id, epoch: record.epoch });
  const content = document.createElementNS(METADATA_NAMESPACE, `${METADATA_PREFIX}:record`);
  content.appendChild(document.createTextNode(recordJson(record)));
  vm.appendChild(content);
  metadata.appendChild(vm);
}

/**
 * The element as libvirt's set-metadata call wants it: without a prefix, which libvirt adds to every element itself.
 * Pass it with METADATA_NAMESPACE and METADATA_PREFIX.
 */
export function metadataXml(record: VmRecord): string {
  const { root } = newDocument('vm', { id: record.id, epoch: record.epoch });
  const content = root.ownerDocument?.createElementNS(null, 'record');
  content?.appendChild(content.ownerDocument?.createTextNode(recordJson(record)) as never);
  if (content !== undefined) root.appendChild(content);
  return serializeNode(root);
}

/** Our elements directly in `<metadata>`. There is one, unless somebody edited by hand. */
export function metadataElements(domain: Element): Element[] {
  const metadata = find(domain, 'metadata');
  if (metadata === undefined) return [];
  return childElements(metadata).filter((one) => one.namespaceURI === METADATA_NAMESPACE && one.localName === 'vm');
}

/** Reads `<vm>`, with or without its namespace: libvirt's get-metadata call takes the namespace away. */
export function readMetadataElement(vm: Element): VmMetadata {
  let record: Element | undefined;
  for (let node = vm.firstChild; node !== null; node = node.nextSibling) {
    if (isElement(node) && node.localName === 'record') record ??= node;
  }
  const epoch = attribute(vm, 'epoch') ?? '';
  return {
    id: attribute(vm, 'id') ?? '',
    epoch: /^[0-9]{1,15}$/.test(epoch) ? Number(epoch) : -1,
    json: textOf(record) ?? '',
  };
}

/** From what libvirt's get-metadata call answers. Throws XmlError when that is no XML. */
export function readMetadataXml(xml: string): VmMetadata {
  return readMetadataElement(parseXml(xml).root);
}

/** The metadata of a whole domain; undefined when it is not one of ours. */
export function readMetadata(domain: Element): VmMetadata | undefined {
  const [vm] = metadataElements(domain);
  return vm === undefined ? undefined : readMetadataElement(vm);
}

/** Checks the record in the metadata against the model. The attributes must say the same as the record. */
export function parseRecord(metadata: VmMetadata): ParsedRecord {
  let raw: unknown;
  try {
    raw = JSON.parse(metadata.json);
  } catch {
    return { ok: false, reason: metadata.json === '' ? 'there is no record' : 'the record is not JSON' };
  }
  const result = vmRecordSchema.safeParse(raw);
  if (!result.success) {
    const issue = result.error.issues[0];
    const keys = issue?.code === 'unrecognized_keys' ? issue.keys : [];
    const field = [...(issue?.path ?? []), ...keys].map(String).join('.');
    return { ok: false, reason: `${field === '' ? 'the record' : field}: ${issue?.message ?? 'invalid'}` };
  }
  if (result.data.id !== metadata.id) {
    return { ok: false, reason: `the record is of ${result.data.id}, the element of ${metadata.id || 'nobody'}` };
  }
  if (result.data.epoch !== metadata.epoch) {
    return { ok: false, reason: `the record has epoch ${result.data.epoch}, the element ${metadata.epoch}` };
  }
  return { ok: true, record: result.data };
}
