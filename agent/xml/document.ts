import { DOMParser, onWarningStopParsing, XMLSerializer } from '@xmldom/xmldom';
import type { Document, Element } from '@xmldom/xmldom';
import { XmlError } from './xml-error.js';

/** libvirt's own limit for a string on its wire is 4 MiB; capabilities of a big host stay well below 1 MiB. */
export const XML_LIMIT_CHARACTERS = 4 * 1024 * 1024;
/** Domain XML nests about ten deep; metadata of others a little more. */
const DEPTH_LIMIT = 256;

export interface XmlDocument {
  /** The `<?xml …?>` line with what follows it, kept as it was; empty when there is none. */
  readonly declaration: string;
  readonly document: Document;
  readonly root: Element;
}

const DECLARATION = /^<\?xml\s[^>]*\?>\s*/;
const ENCODING = /\bencoding\s*=\s*["']([^"']*)["']/;
/** Comments, CDATA and processing instructions: text in which `&` and `<` mean nothing. */
const OPAQUE = /<!--[^]*?-->|<!\[CDATA\[[^]*?\]\]>|<\?[^]*?\?>/g;
const BAD_REFERENCE = /&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9a-fA-F]{1,6});)/;
/** What XML 1.0 cannot carry at all; xmldom would let it pass. */
const FORBIDDEN_CHARACTER =
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
const NUMERIC_REFERENCE = /&#(?:x([0-9a-fA-F]+)|([0-9]+));/g;

function isXmlCharacter(code: number): boolean {
  return (
    code === 9 ||
    code === 10 ||
    code === 13 ||
    (code >= 0x20 && code <= 0xd7ff) ||
    (code >= 0xe000 && code <= 0xfffd) ||
    (code >= 0x10000 && code <= 0x10ffff)
  );
}

/** The checks that xmldom leaves out, and those that must come before any parser sees the text. */
function checkText(text: string): void {
  if (text.length > XML_LIMIT_CHARACTERS) {
    throw new XmlError('too-large', `The XML has ${text.length} characters; the limit is ${XML_LIMIT_CHARACTERS}.`);
  }
  if (FORBIDDEN_CHARACTER.test(text)) throw new XmlError('malformed', 'The XML has a character that XML cannot carry.');
  const plain = text.replace(OPAQUE, '');
  if (/<!/.test(plain)) {
    throw new XmlError('forbidden', 'The XML has a document type declaration; such documents are not read.');
  }
  if (BAD_REFERENCE.test(plain)) throw new XmlError('malformed', 'The XML has an unknown entity or a bare "&".');
  for (const [whole, hex, decimal] of plain.matchAll(NUMERIC_REFERENCE)) {
    const code = hex === undefined ? parseInt(decimal ?? '', 10) : parseInt(hex, 16);
    if (!isXmlCharacter(code)) throw new XmlError('malformed', `The XML refers to ${whole}, which is no character.`);
  }
  checkDepth(plain);
}

/** Counts tags before the parser does, whose recursion a deep document would exhaust. */
function checkDepth(plain: string): void {
  let depth = 0;
  for (const [tag] of plain.matchAll(/<[^>]*>/g)) {
    if (tag.startsWith('</')) depth--;
    else if (!tag.endsWith('/>')) depth++;
    if (depth > DEPTH_LIMIT) throw new XmlError('too-large', `The XML nests more than ${DEPTH_LIMIT} elements deep.`);
  }
}

/**
 * Parses a whole document and keeps everything in it: unknown elements, comments, namespaces, the order of attributes, white
 * space. Throws XmlError (malformed, forbidden, too-large). Quotes of attributes and the writing of characters (`&gt;`) are
 * not kept, as XML gives them no meaning.
 */
export function parseXml(text: string): XmlDocument {
  checkText(text);
  const declaration = DECLARATION.exec(text)?.[0] ?? '';
  const encoding = ENCODING.exec(declaration)?.[1];
  if (encoding !== undefined && !/^(utf-8|us-ascii)$/i.test(encoding)) {
    throw new XmlError('forbidden', `The XML says it is ${encoding}; only UTF-8 is read.`);
  }
  let document: Document;
  try {
    // XML 1.0's line ends; xmldom's own way is XML 1.1's, which takes U+0085 and U+2028 away.
    const normalizeLineEndings = (input: string): string => input.replace(/\r\n?/g, '\n');
    const parser = new DOMParser({ onError: onWarningStopParsing, locator: false, normalizeLineEndings });
    document = parser.parseFromString(text.slice(declaration.length), 'application/xml');
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new XmlError('malformed', `The XML does not parse: ${why.slice(0, 300)}`);
  }
  const root = document.documentElement;
  if (root === null) throw new XmlError('malformed', 'The XML has no element.');
  return { declaration, document, root };
}

/** Throws XmlError (malformed) when the tree holds what XML cannot say, instead of writing something else. */
export function serializeXml(xml: XmlDocument): string {
  return xml.declaration + serializeNode(xml.document);
}

/** One element as XML, its namespaces included. */
export function serializeNode(node: Document | Element): string {
  try {
    // A carriage return in text must be a reference, or every reader makes a line feed of it. Elsewhere (comments, CDATA)
    // no parsed document has one.
    return new XMLSerializer().serializeToString(node, { requireWellFormed: true }).replaceAll('\r', '&#13;');
  } catch (error) {
    throw new XmlError('malformed', `XML cannot carry this: ${error instanceof Error ? error.message : String(error)}`);
  }
}
