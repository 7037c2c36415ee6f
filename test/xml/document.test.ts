import fc from 'fast-check';
import t from 'tap';
import { parseXml, serializeXml, XML_LIMIT_CHARACTERS } from '../../agent/xml/document.js';
import type { XmlErrorReason } from '../../agent/xml/xml-error.js';
import { XmlError } from '../../agent/xml/xml-error.js';
import { canonical } from './judge.js';

const roundTrip = (text: string): string => serializeXml(parseXml(text));

const RICH = `<?xml version='1.0' encoding='UTF-8'?>
<!-- before -->
<domain type='kvm' id="1"
   xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>웹서버 &lt;&amp;&gt;</name>
  <metadata><other:thing xmlns:other="urn:x" other:a='&quot;&apos;'>  text <![CDATA[<raw> & ]]>  </other:thing></metadata>
  <unknown b='2' a='1'><deep/></unknown><!-- - inside - -->
  <empty></empty>	<tab/> cr&#13; ls\u2028 nel\u0085
  <?target data?>
  <qemu:commandline><qemu:arg value='-x'/></qemu:commandline>
  <attribute with='line&#10;break&#9;tab&#13;cr'/>
</domain>
<!-- after -->
`;

void t.test('everything in a document survives', (t) => {
  t.equal(canonical(roundTrip(RICH)), canonical(RICH));
  t.match(roundTrip(RICH), /^<\?xml version='1\.0' encoding='UTF-8'\?>\n<!-- before -->/);
  t.match(roundTrip(RICH), /<!\[CDATA\[<raw> & \]\]>/);
  t.match(roundTrip(RICH), /<!-- after -->/);
  t.equal(roundTrip(roundTrip(RICH)), roundTrip(RICH), 'writing twice changes nothing');
  t.end();
});

const REFUSED: readonly (readonly [string, string, XmlErrorReason])[] = [
  ['external entity', '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', 'forbidden'],
  ['external document type', '<!DOCTYPE a SYSTEM "http://127.0.0.1/x.dtd"><a/>', 'forbidden'],
  ['lower-case document type', '<!doctype a><a/>', 'forbidden'],
  ['a billion laughs', '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><a>&c;</a>', 'forbidden'],
  ['parameter entity', '<!DOCTYPE a [<!ENTITY % p SYSTEM "x">%p;]><a/>', 'forbidden'],
  ['undeclared entity', '<a>&nbsp;</a>', 'malformed'],
  ['bare ampersand', '<a>x & y</a>', 'malformed'],
  ['bare ampersand in an attribute', '<a b="x & y"/>', 'malformed'],
  ['null reference', '<a>&#0;</a>', 'malformed'],
  ['reference to a control character', '<a b="&#x1;"/>', 'malformed'],
  ['reference to a surrogate', '<a>&#xD800;</a>', 'malformed'],
  ['reference beyond Unicode', '<a>&#x110000;</a>', 'malformed'],
  ['null character', '<a>\u0000</a>', 'malformed'],
  ['lone surrogate', '<a>\ud800</a>', 'malformed'],
  ['non-character', '<a>\uffff</a>', 'malformed'],
  ['nothing', '', 'malformed'],
  ['white space', '  \n', 'malformed'],
  ['two roots', '<a/><b/>', 'malformed'],
  ['text behind the root', '<a/>text', 'malformed'],
  ['open element', '<a><b></a>', 'malformed'],
  ['unquoted attribute', '<a b=1/>', 'malformed'],
  ['attribute twice', '<a b="1" b="2"/>', 'malformed'],
  ['unbound prefix', '<o:a/>', 'malformed'],
  ['another encoding', '<?xml version="1.0" encoding="UTF-16"?><a/>', 'forbidden'],
  ['too deep', '<a>'.repeat(5000) + '</a>'.repeat(5000), 'too-large'],
  ['too long', `<a>${'x'.repeat(XML_LIMIT_CHARACTERS)}</a>`, 'too-large'],
];

void t.test('what must not be read is refused with its reason', (t) => {
  for (const [what, xml, reason] of REFUSED) {
    t.throws(() => parseXml(xml), { name: 'XmlError', reason }, what);
  }
  t.end();
});

void t.test('text that only looks forbidden is text', (t) => {
  t.equal(
    parseXml('<a><![CDATA[<!DOCTYPE x [<!ENTITY y "z">]> &y;]]></a>').root.textContent?.startsWith('<!DOC'),
    true,
  );
  t.equal(parseXml('<a><!-- <!DOCTYPE x> & --></a>').root.textContent, '');
  t.equal(parseXml('<a>]]&gt;&#x1F600;</a>').root.textContent, ']]>😀');
  t.end();
});

void t.test('any text is carried or refused, never changed, and nothing else is thrown', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 80 }), (text) => {
      const parsed = parseXml('<a b=""/>');
      parsed.root.setAttribute('b', text);
      parsed.root.textContent = text;
      let written: string;
      try {
        written = serializeXml(parsed);
      } catch (error) {
        return error instanceof XmlError && error.reason === 'malformed';
      }
      const { root } = parseXml(written);
      return root.textContent === text && root.getAttribute('b') === text;
    }),
    { numRuns: 2000 },
  );
  t.pass('2000 texts');
  t.end();
});

void t.test('garbage never gets past as another kind of error', (t) => {
  const pieces = [
    '<',
    '>',
    '/',
    'a',
    '="',
    '"',
    '&',
    ';',
    '#',
    '<!--',
    '-->',
    '<![CDATA[',
    ']]>',
    '<?',
    '?>',
    '!',
    ' ',
    "'",
  ];
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 30 }), (parts) => {
      try {
        const first = roundTrip(parts.join(''));
        return roundTrip(first) === first;
      } catch (error) {
        return error instanceof XmlError;
      }
    }),
    { numRuns: 5000 },
  );
  t.pass('5000 documents');
  t.end();
});
