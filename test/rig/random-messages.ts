import fc from 'fast-check';
import protobuf from 'protobufjs';
import { PROTO_ROOT, publicProtoFiles } from '../../controller/api/proto-files.js';

/** Random messages of our .proto files, for tests that nothing sent to a daemon can harm it. */

// Words that exist make the deep paths reachable; the others are what attackers and accidents send.
const words = fc.oneof(
  fc.constantFrom('', 'victim', 'fuzz-image', 'h1', 'name', 'nic0', '../../etc/passwd', "'; rm -rf /", '<x/>'),
  fc.string({ maxLength: 20, unit: 'binary' }),
  fc.string({ minLength: 200, maxLength: 3000 }),
);
const integers = fc.oneof(fc.constantFrom(0, 1, 512, 2 ** 30), fc.nat(2 ** 32 - 1));
const longs = fc.oneof(integers, fc.maxSafeNat(), fc.constantFrom(2 ** 50, 1024 * 1024));

export const protoRoot = new protobuf.Root();
protoRoot.resolvePath = (_origin, target) =>
  target.startsWith('google/protobuf/') ? target : `${PROTO_ROOT}${target}`;
protoRoot.loadSync([...publicProtoFiles(), 'ostler/v1/link.proto']);
protoRoot.resolveAll();

function valueOf(field: protobuf.Field, depth: number): fc.Arbitrary<unknown> {
  const { resolvedType } = field.resolve();
  if (resolvedType instanceof protobuf.Enum)
    return fc.oneof(fc.constantFrom(...Object.values(resolvedType.values)), integers);
  if (resolvedType instanceof protobuf.Type) return messageOf(resolvedType, depth + 1);
  switch (field.type) {
    case 'string':
      return words;
    case 'bool':
      return fc.boolean();
    case 'bytes':
      return fc.uint8Array({ maxLength: 64 });
    case 'double':
      return fc.double();
    case 'uint64':
    case 'int64':
      return longs;
    default:
      return integers;
  }
}

/** Messages with any of their fields; below the fourth level they are empty. */
export function messageOf(type: protobuf.Type, depth = 0): fc.Arbitrary<object> {
  if (depth > 4) return fc.constant({});
  const model = Object.fromEntries(
    type.fieldsArray.map((field) => {
      const one = valueOf(field, depth);
      if (field instanceof protobuf.MapField) return [field.name, fc.dictionary(words, one, { maxKeys: 3 })];
      return [field.name, field.repeated ? fc.array(one, { maxLength: 3 }) : one];
    }),
  );
  return fc.record(model, { requiredKeys: [] });
}

export const messagesNamed = (name: string): fc.Arbitrary<object> => messageOf(protoRoot.lookupType(name));

/** Messages with exactly one of the fields of their oneof. */
export function oneOfEach(name: string): fc.Arbitrary<object> {
  const type = protoRoot.lookupType(name);
  return fc.oneof(...type.fieldsArray.map((field) => fc.record({ [field.name]: valueOf(field, 0) })));
}
