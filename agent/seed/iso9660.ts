/**
 * Writes a small ISO 9660 image with a Joliet tree (ECMA-119; Joliet Specification, Microsoft 1995): files in the root
 * directory, whatever their names. Linux, Windows and cloud-init read the Joliet tree, which carries lower case and Unicode; the plain
 * tree has made-up 8.3 names for the rest. The same files give the same bytes.
 */
export interface IsoFile {
  /** No slash, at most 64 UTF-16 code units. */
  readonly name: string;
  readonly content: Uint8Array | string;
}

const SECTOR = 2048;
/**
 * As mkisofs does by default: kernels read ahead past the last file, and guests look for other file systems first. BusyBox's
 * findfs stops at a device too short for the superblock of btrfs (at 64 KiB), before it tries ISO 9660, and finds no seed.
 */
const PADDING_SECTORS = 150;
/** Sectors 0–15 belong to the system; then come primary, Joliet and terminating descriptor, and four path tables. */
const FIRST_DESCRIPTOR = 16;
const PATH_TABLES = 19;
const FIRST_DIRECTORY = 23;
const PATH_TABLE_BYTES = 10;
/** `%/E`: UCS-2 level 3. */
const JOLIET_ESCAPE = Buffer.from('%/E', 'latin1');

interface Entry {
  readonly identifier: Buffer;
  readonly sector: number;
  readonly bytes: number;
}

const sectors = (bytes: number): number => Math.ceil(bytes / SECTOR);

function both16(target: Buffer, offset: number, value: number): void {
  target.writeUInt16LE(value, offset);
  target.writeUInt16BE(value, offset + 2);
}

function both32(target: Buffer, offset: number, value: number): void {
  target.writeUInt32LE(value, offset);
  target.writeUInt32BE(value, offset + 4);
}

function ucs2(text: string): Buffer {
  return Buffer.from(text, 'utf16le').swap16();
}

/** ECMA-119 9.1. The date is 1980-01-01 00:00:00 UTC always. */
function directoryRecord(entry: Entry, directory: boolean): Buffer {
  const length = 33 + entry.identifier.length;
  const record = Buffer.alloc(length + (length % 2));
  record[0] = record.length;
  both32(record, 2, entry.sector);
  both32(record, 10, entry.bytes);
  record.set([80, 1, 1, 0, 0, 0, 0], 18);
  record[25] = directory ? 2 : 0;
  both16(record, 28, 1);
  record[32] = entry.identifier.length;
  entry.identifier.copy(record, 33);
  return record;
}

/** Records never cross a sector. */
function layRecords(records: readonly Buffer[]): Buffer {
  const chunks: Buffer[] = [];
  let room = SECTOR;
  for (const record of records) {
    if (record.length > room) {
      chunks.push(Buffer.alloc(room));
      room = SECTOR;
    }
    chunks.push(record);
    room -= record.length;
  }
  chunks.push(Buffer.alloc(room === SECTOR && chunks.length > 0 ? 0 : room));
  return Buffer.concat(chunks);
}

function directory(sector: number, bytes: number, entries: readonly Entry[]): Buffer {
  const sorted = [...entries].sort((a, b) => Buffer.compare(a.identifier, b.identifier));
  return layRecords([
    directoryRecord({ identifier: Buffer.from([0]), sector, bytes }, true),
    directoryRecord({ identifier: Buffer.from([1]), sector, bytes }, true),
    ...sorted.map((entry) => directoryRecord(entry, false)),
  ]);
}

function pathTable(rootSector: number, bigEndian: boolean): Buffer {
  const table = Buffer.alloc(SECTOR);
  table[0] = 1;
  if (bigEndian) {
    table.writeUInt32BE(rootSector, 2);
    table.writeUInt16BE(1, 6);
  } else {
    table.writeUInt32LE(rootSector, 2);
    table.writeUInt16LE(1, 6);
  }
  return table;
}

interface Tree {
  readonly joliet: boolean;
  readonly volumeId: string;
  readonly totalSectors: number;
  /** The little-endian path table; the big-endian one follows. */
  readonly pathTable: number;
  readonly rootSector: number;
  readonly rootBytes: number;
}

/** ECMA-119 8.4: a volume descriptor. Text fields are filled with spaces, in UCS-2 for Joliet. */
function descriptor(tree: Tree): Buffer {
  const text = (value: string, bytes: number): Buffer => {
    const padded = value.padEnd(tree.joliet ? bytes >> 1 : bytes, ' ');
    const encoded = tree.joliet ? ucs2(padded) : Buffer.from(padded, 'latin1');
    return encoded.length < bytes ? Buffer.concat([encoded, Buffer.alloc(bytes - encoded.length)]) : encoded;
  };
  const sector = Buffer.alloc(SECTOR);
  sector[0] = tree.joliet ? 2 : 1;
  sector.write('CD001', 1, 'latin1');
  sector[6] = 1;
  text('', 32).copy(sector, 8);
  text(tree.volumeId, 32).copy(sector, 40);
  both32(sector, 80, tree.totalSectors);
  if (tree.joliet) JOLIET_ESCAPE.copy(sector, 88);
  both16(sector, 120, 1);
  both16(sector, 124, 1);
  both16(sector, 128, SECTOR);
  both32(sector, 132, PATH_TABLE_BYTES);
  sector.writeUInt32LE(tree.pathTable, 140);
  sector.writeUInt32BE(tree.pathTable + 1, 148);
  const root = { identifier: Buffer.from([0]), sector: tree.rootSector, bytes: tree.rootBytes };
  directoryRecord(root, true).copy(sector, 156);
  for (const [offset, bytes] of [
    [190, 128],
    [318, 128],
    [446, 128],
    [574, 128],
  ] as const)
    text('', bytes).copy(sector, offset);
  for (const [offset, bytes] of [
    [702, 37],
    [739, 37],
    [776, 37],
  ] as const)
    text('', bytes).copy(sector, offset);
  for (const offset of [813, 830, 847, 864]) {
    sector.write('0000000000000000', offset, 'latin1'); // digits, then a zero byte for the offset from UTC: not specified
  }
  sector[881] = 1;
  return sector;
}

function terminator(): Buffer {
  const sector = Buffer.alloc(SECTOR);
  sector[0] = 255;
  sector.write('CD001', 1, 'latin1');
  sector[6] = 1;
  return sector;
}

function checkFiles(files: readonly IsoFile[]): void {
  const seen = new Set<string>();
  for (const { name } of files) {
    if (name === '' || name.length > 64 || /[\u0000-\u001f/\\:;*?]/.test(name)) {
      throw new RangeError(`${JSON.stringify(name)} is no file name for an ISO image.`);
    }
    if (seen.has(name)) throw new RangeError(`Two files of the ISO image are called ${name}.`);
    seen.add(name);
  }
}

/** The whole image. The volume id has at most 16 characters. Throws RangeError for names that Joliet cannot hold. */
export function writeIso(volumeId: string, files: readonly IsoFile[]): Buffer {
  if (!/^[A-Za-z0-9_-]{1,16}$/.test(volumeId)) throw new RangeError(`${volumeId} is no volume id.`);
  checkFiles(files);
  const contents = files.map(({ content }) => (typeof content === 'string' ? Buffer.from(content, 'utf8') : content));
  const names = files.map(({ name }, index) => ({
    plain: Buffer.from(`F${String(index).padStart(7, '0')}.;1`, 'latin1'),
    // Without the version number `;1`, as other writers of Joliet do.
    joliet: ucs2(name),
  }));
  const sizeOf = (kind: 'plain' | 'joliet'): number =>
    directory(
      0,
      0,
      names.map((name) => ({ identifier: name[kind], sector: 0, bytes: 0 })),
    ).length;
  const plainBytes = sizeOf('plain');
  const jolietBytes = sizeOf('joliet');
  const jolietRoot = FIRST_DIRECTORY + sectors(plainBytes);
  let next = jolietRoot + sectors(jolietBytes);
  const places = contents.map((content) => {
    const place = { sector: content.length === 0 ? 0 : next, bytes: content.length };
    next += sectors(content.length);
    return place;
  });
  next += PADDING_SECTORS;
  const entries = (kind: 'plain' | 'joliet'): Entry[] =>
    names.map((name, index) => ({ identifier: name[kind], ...(places[index] ?? { sector: 0, bytes: 0 }) }));

  const image = Buffer.alloc(next * SECTOR);
  const put = (sector: number, data: Uint8Array): void => image.set(data, sector * SECTOR);
  const common = { volumeId, totalSectors: next };
  put(
    FIRST_DESCRIPTOR,
    descriptor({
      ...common,
      joliet: false,
      pathTable: PATH_TABLES,
      rootSector: FIRST_DIRECTORY,
      rootBytes: plainBytes,
    }),
  );
  put(
    FIRST_DESCRIPTOR + 1,
    descriptor({ ...common, joliet: true, pathTable: PATH_TABLES + 2, rootSector: jolietRoot, rootBytes: jolietBytes }),
  );
  put(FIRST_DESCRIPTOR + 2, terminator());
  put(PATH_TABLES, pathTable(FIRST_DIRECTORY, false));
  put(PATH_TABLES + 1, pathTable(FIRST_DIRECTORY, true));
  put(PATH_TABLES + 2, pathTable(jolietRoot, false));
  put(PATH_TABLES + 3, pathTable(jolietRoot, true));
  put(FIRST_DIRECTORY, directory(FIRST_DIRECTORY, plainBytes, entries('plain')));
  put(jolietRoot, directory(jolietRoot, jolietBytes, entries('joliet')));
  contents.forEach((content, index) => put(places[index]?.sector ?? 0, content));
  return image;
}
