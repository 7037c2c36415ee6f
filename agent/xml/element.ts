import { DOMImplementation } from '@xmldom/xmldom';
import type { Document, Element, Node } from '@xmldom/xmldom';
import type { XmlDocument } from './document.js';
import { XmlError } from './xml-error.js';

/** Small helpers over the DOM: libvirt's own elements have no namespace, so `name` never matches another vendor's element. */
export type Attributes = Readonly<Record<string, string | number | undefined>>;

const ELEMENT_NODE = 1;
const TEXT_NODE = 3;

export function isElement(node: Node | null): node is Element {
  return node !== null && node.nodeType === ELEMENT_NODE;
}

export function newDocument(rootName: string, attributes: Attributes = {}): XmlDocument {
  const document = new DOMImplementation().createDocument(null, rootName, null);
  const root = document.documentElement;
  if (root === null) throw new XmlError('malformed', 'A document was made without a root.');
  setAttributes(root, attributes);
  return { declaration: '', document, root };
}

function ownerOf(element: Element): Document {
  const document = element.ownerDocument;
  if (document === null) throw new XmlError('malformed', 'An element belongs to no document.');
  return document;
}

/** Attributes that are undefined are left out. */
export function setAttributes(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined) element.setAttribute(name, String(value));
  }
}

/** Appends a new element and returns it. */
export function add(parent: Element, name: string, attributes: Attributes = {}, text?: string | number): Element {
  const element = ownerOf(parent).createElementNS(null, name);
  setAttributes(element, attributes);
  if (text !== undefined) element.appendChild(ownerOf(parent).createTextNode(String(text)));
  parent.appendChild(element);
  return element;
}

export function setText(element: Element, text: string | number): void {
  while (element.firstChild !== null) element.removeChild(element.firstChild);
  element.appendChild(ownerOf(element).createTextNode(String(text)));
}

export function childElements(parent: Element): Element[] {
  const found: Element[] = [];
  for (let node = parent.firstChild; node !== null; node = node.nextSibling) {
    if (isElement(node)) found.push(node);
  }
  return found;
}

export function children(parent: Element, name: string): Element[] {
  return childElements(parent).filter((element) => element.localName === name && (element.namespaceURI ?? '') === '');
}

/** The first element on the way down, or undefined: `find(domain, 'os', 'type')`. */
export function find(from: Element, ...path: readonly string[]): Element | undefined {
  let element: Element | undefined = from;
  for (const name of path) element = element === undefined ? undefined : children(element, name)[0];
  return element;
}

export function require(from: Element, ...path: readonly string[]): Element {
  const element = find(from, ...path);
  if (element === undefined) {
    throw new XmlError('missing', `The XML has no <${path.join('><')}> in <${from.nodeName}>.`);
  }
  return element;
}

export function attribute(element: Element | undefined, name: string): string | undefined {
  return element?.hasAttribute(name) === true ? (element.getAttribute(name) ?? undefined) : undefined;
}

export function textOf(element: Element | undefined): string | undefined {
  return element === undefined ? undefined : (element.textContent ?? '');
}

function indentation(depth: number): string {
  return `\n${'  '.repeat(depth)}`;
}

/** Lays out a tree that was built without white space. Elements that hold text are left alone. */
export function indent(element: Element, depth = 0): void {
  const nodes = childElements(element);
  if (nodes.length === 0 || hasText(element)) return;
  const document = ownerOf(element);
  for (const node of nodes) {
    element.insertBefore(document.createTextNode(indentation(depth + 1)), node);
    indent(node, depth + 1);
  }
  element.appendChild(document.createTextNode(indentation(depth)));
}

function hasText(element: Element): boolean {
  for (let node = element.firstChild; node !== null; node = node.nextSibling) if (!isElement(node)) return true;
  return false;
}

function isBlankText(node: Node | null): node is Node {
  return node !== null && node.nodeType === TEXT_NODE && (node.nodeValue ?? '').trim() === '';
}

/** Whether there is nothing but white space in an element; a comment is something. */
export function isBlank(element: Element): boolean {
  for (let node = element.firstChild; node !== null; node = node.nextSibling) if (!isBlankText(node)) return false;
  return true;
}

/** Adds an element behind `before` (or at the end), indented as its siblings are. */
export function insertIndented(parent: Element, element: Element, after?: Element): void {
  const siblings = childElements(parent);
  const anchor = after ?? siblings.at(-1);
  if (anchor === undefined) {
    parent.appendChild(element);
    return;
  }
  const space = anchor.previousSibling;
  const next = anchor.nextSibling;
  parent.insertBefore(element, next);
  if (isBlankText(space)) {
    parent.insertBefore(ownerOf(parent).createTextNode(space.nodeValue ?? ''), element);
  }
}

/** Takes an element out, with the white space in front of it. */
export function removeIndented(element: Element): void {
  const parent = element.parentNode;
  if (parent === null) return;
  const before = element.previousSibling;
  if (isBlankText(before)) parent.removeChild(before);
  parent.removeChild(element);
}
