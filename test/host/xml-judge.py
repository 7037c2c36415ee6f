"""Judges edits of domain XML: applies each change itself, on a tree of its own, and compares everything.

Reads JSON lines {file, kind, ..., after | refused} and prints one JSON object {judged: {kind: n}, refused: {kind: n},
wrong: [...]}. It shares nothing with the product: the parser is expat, the rules below are written from libvirt's
documentation of the format. Elements, attributes, name-space declarations, prefixes, comments, processing instructions and
text must be the same to the letter; only white space beside an element that came or went is free.
"""
import json
import sys
from xml.parsers import expat

OURS = 'https://ostler.dev/xmlns/vm/1'


class Refuse(Exception):
    """The rules say that this document cannot have the change."""


class Node:
    """An element; its children are Nodes, strings (text) and tuples (comments, processing instructions)."""

    def __init__(self, tag, attributes):
        self.tag, self.attributes, self.children, self.loose = tag, attributes, [], False

    def nodes(self, tag=None):
        return [one for one in self.children if isinstance(one, Node) and tag in (None, one.tag)]

    def find(self, tag):
        return next(iter(self.nodes(tag)), None)

    def need(self, tag):
        found = self.find(tag)
        if found is None:
            raise Refuse(f'no <{tag}>')
        return found

    def text(self):
        return ''.join(one if isinstance(one, str) else one.text() if isinstance(one, Node) else '' for one in self.children)

    def say(self, text):
        self.children = [text]

    def drop(self, child):
        self.loose = True
        self.children = [one for one in self.children if one is not child]

    def insert(self, child, after=()):
        """Behind the last child of these names, else behind the last element, else at the end."""
        self.loose = True
        anchors = self.nodes() if not after else [one for one in self.nodes() if one.tag in after] or self.nodes()
        at = self.children.index(anchors[-1]) + 1 if anchors else len(self.children)
        self.children.insert(at, child)
        return child

    def ensure(self, tag, *after):
        return self.find(tag) or self.insert(Node(tag, {}), after)


def parse(text):
    root = Node('#document', {})
    stack = [root]
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def start(tag, attributes):
        stack.append(Node(tag, attributes))
        stack[-2].children.append(stack[-1])

    def data(text):
        here = stack[-1].children
        if here and isinstance(here[-1], str):
            here[-1] += text
        else:
            here.append(text)

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _tag: stack.pop()
    parser.CharacterDataHandler = data
    parser.CommentHandler = lambda text: stack[-1].children.append(('comment', text))
    parser.ProcessingInstructionHandler = lambda *what: stack[-1].children.append(('instruction', *what))
    parser.Parse(text.encode(), True)
    return root


def difference(a, b, loose, path):
    """The first place where two trees differ, or None."""
    if a.tag != b.tag:
        return f'{path}: <{a.tag}> became <{b.tag}>'
    if a.attributes != b.attributes:
        return f'{path}/{a.tag}: {a.attributes} became {b.attributes}'
    here = f'{path}/{a.tag}'
    left, right = (content(one, a.loose) for one in (a, b))
    for one, other in zip(left, right):
        if isinstance(one, Node) and isinstance(other, Node):
            found = difference(one, other, loose, here)
            if found:
                return found
        elif one != other or type(one) is not type(other):
            return f'{here}: {show(one)} became {show(other)}'
    if len(left) != len(right):
        rest = left[len(right):] or right[len(left):]
        return f'{here}: {"lost" if len(left) > len(right) else "gained"} {show(rest[0])}'
    return None


def content(node, loose):
    merged = []
    for one in node.children:
        if isinstance(one, str) and merged and isinstance(merged[-1], str):
            merged[-1] += one
        else:
            merged.append(one)
    return [one for one in merged if one != '' and not (loose and isinstance(one, str) and not one.strip())]


def show(one):
    return f'<{one.tag}>' if isinstance(one, Node) else repr(one)[:80]


# The rules. Each changes `domain` as the edit should, or raises Refuse.

def attribute(node, child, name):
    found = node.find(child)
    return None if found is None else found.attributes.get(name)


def disk_of(domain, dev):
    for disk in domain.need('devices').nodes('disk'):
        if attribute(disk, 'target', 'dev') == dev:
            return disk
    raise Refuse(f'no disk {dev}')


def nic_of(domain, mac):
    for nic in domain.need('devices').nodes('interface'):
        if (attribute(nic, 'mac', 'address') or '').lower() == mac:
            return nic
    raise Refuse(f'no NIC {mac}')


def optional_text(domain, name, text, *after):
    present = domain.find(name)
    if text == '':
        if present is not None:
            domain.drop(present)
    else:
        domain.ensure(name, *after).say(text)


def title(domain, edit):
    optional_text(domain, 'title', edit['text'], 'name', 'uuid')


def description(domain, edit):
    optional_text(domain, 'description', edit['text'], 'name', 'uuid', 'title')


def vcpus(domain, edit):
    vcpu = domain.need('vcpu')
    if not 1 <= edit['current'] <= int(vcpu.text()):
        raise Refuse('more than it can have')
    vcpu.attributes['current'] = str(edit['current'])


def memory(domain, edit):
    cpu = domain.find('cpu')
    numa = None if cpu is None else cpu.find('numa')
    cells = [] if numa is None else numa.nodes('cell')
    domain.need('memory')
    if len(cells) > 1:
        raise Refuse('several cells')
    for one in (domain.need('memory'), domain.ensure('currentMemory', 'memory')):
        one.attributes['unit'] = 'KiB'
        one.say(str(edit['bytes'] // 1024))
    for cell in cells:
        cell.attributes.update(memory=str(edit['bytes'] // 1024), unit='KiB')


def boot(domain, edit):
    chosen = [disk_of(domain, key['dev']) if 'dev' in key else nic_of(domain, key['mac']) for key in edit['keys']]
    os = domain.need('os')
    for old in os.nodes('boot'):
        os.drop(old)
    for device in domain.need('devices').nodes():
        old = device.find('boot')
        if old is not None and device not in chosen:
            device.drop(old)
    for order, device in enumerate(chosen, 1):
        device.ensure('boot', 'target', 'model', 'mtu').attributes['order'] = str(order)


def on_file(disk, source, path):
    if disk.attributes.get('type') != 'file':
        # Where a block device or a network disk lay says nothing of a file: all of it goes.
        source.attributes, source.children = {}, []
    disk.attributes['type'] = 'file'
    source.attributes['file'] = path


def medium(domain, edit):
    disk = disk_of(domain, edit['dev'])
    source = disk.find('source')
    if edit['path'] is None:
        if disk.attributes.get('device') != 'cdrom':
            raise Refuse('no CD-ROM')
        if source is not None:
            disk.drop(source)
        return
    on_file(disk, disk.ensure('source', 'driver'), edit['path'])


def add(domain, edit):
    device = parse(edit['xml']).nodes()[0]
    domain.need('devices').insert(device, (device.tag,))


def remove(domain, edit):
    device = disk_of(domain, edit['dev']) if 'dev' in edit else nic_of(domain, edit['mac'])
    domain.need('devices').drop(device)


def record(domain, edit):
    metadata = domain.ensure('metadata', 'name', 'uuid', 'title', 'description')
    ours = [one for one in metadata.nodes() if one.attributes.get('xmlns:ostler') == OURS]
    if ours:
        raise Refuse('a corpus with elements of ours')
    metadata.insert(parse(edit['xml']).nodes()[0])


def unrecord(domain, _edit):
    """Of a domain that had our element put in: what it was before. Nothing is left of a <metadata> that held nothing."""
    metadata = domain.find('metadata')
    if metadata is None:
        return
    metadata.loose = True
    if not [one for one in metadata.children if not isinstance(one, str) or one.strip()]:
        domain.drop(metadata)
    domain.loose = True


def switch(domain, edit):
    """A disk stands on another qcow2 file, as after a snapshot; a domain without such a disk stays as it is."""
    try:
        disk = disk_of(domain, edit['dev'])
    except Refuse:
        return
    source = disk.find('source')
    if source is None:
        return
    on_file(disk, source, edit['path'])
    if disk.find('driver') is not None:
        disk.find('driver').attributes['type'] = 'qcow2'
    for old in disk.nodes('backingStore') + disk.nodes('mirror'):
        disk.drop(old)


def resize(domain, edit):
    for device in domain.need('devices').nodes('memory'):
        if attribute(device, 'alias', 'name') == edit['alias']:
            requested = device.need('target').need('requested')
            requested.attributes['unit'] = 'KiB'
            requested.say(str(edit['bytes'] // 1024))
            return device
    raise Refuse('no such device')


def nothing(_domain, _edit):
    pass


RULES = {
    'nothing': nothing, 'own-targets': nothing, 'title': title, 'no-title': title, 'description': description, 'vcpus': vcpus, 'two-vcpus': vcpus, 'memory': memory,
    'boot': boot, 'medium': medium, 'eject': medium, 'add-disk': add, 'add-nic': add, 'remove-disk': remove,
    'remove-nic': remove, 'record': record, 'record-and-back': unrecord, 'switch': switch, 'resize': resize,
}


def judge(before, edit):
    """None, or what is wrong."""
    document = parse(before)
    domain = document.nodes()[0]
    try:
        part = RULES[edit['kind']](domain, edit)
    except Refuse as why:
        return None if 'refused' in edit else f'should be refused: {why}'
    if 'refused' in edit:
        return f'refused: {edit["refused"]}'
    after = parse(edit['after'])
    if part is not None:
        # An element alone, not a document.
        return difference(part, after.nodes()[0], False, '')
    # White space outside the root element is nobody's.
    document.loose = True
    return difference(document, after, False, '')


def main():
    judged, refused, wrong, texts = {}, {}, [], {}
    for line in sys.stdin:
        edit = json.loads(line)
        name, kind = edit['file'], edit['kind']
        if name not in texts:
            texts = {name: open(name, encoding='utf-8').read()}
        problem = judge(texts[name], edit)
        counts = refused if 'refused' in edit else judged
        counts[kind] = counts.get(kind, 0) + 1
        if problem:
            wrong.append({'file': name, 'kind': kind, 'problem': problem})
    json.dump({'judged': judged, 'refused': refused, 'wrong': wrong}, sys.stdout)


main()
