import protobuf from 'protobufjs';
import { invalidField } from '../../../proto/kit/errors.js';
import { PROTO_ROOT, publicProtoFiles } from '../proto-files.js';

/**
 * The JSON form of the messages (https://protobuf.dev/programming-guides/json/): lowerCamelCase names, enums as names, bytes in
 * base64, timestamps in RFC 3339, field masks as one string. Whole numbers of 64 bits leave as strings, as that standard wants;
 * both forms are taken in. An unknown name is refused, naming it.
 */
export interface JsonCodec {
  /** INVALID_FIELD naming the field at fault. */
  fromJson(typeName: string, json: unknown): object;
  toJson(typeName: string, message: object): JsonObject;
}

export type JsonObject = Record<string, unknown>;
type Message = Readonly<Record<string, unknown>>;

const DEPTH_MAX = 32;

export function createJsonCodec(): JsonCodec {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => (target.startsWith('google/protobuf/') ? target : `${PROTO_ROOT}${target}`);
  root.loadSync(publicProtoFiles());
  root.resolveAll();
  return {
    fromJson: (typeName, json) => messageFromJson(root.lookupType(typeName), json, '', 0),
    toJson: (typeName, message) => messageToJson(root.lookupType(typeName), message as Message),
  };
}

function messageFromJson(type: protobuf.Type, json: unknown, path: string, depth: number): object {
  if (depth > DEPTH_MAX) throw invalidField(path, 'is nested too deeply');
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw invalidField(path === '' ? 'body' : path, 'is not a JSON object');
  const message: JsonObject = {};
  for (const [key, value] of Object.entries(json)) {
    const field = fieldOf(type, key);
    const at = `${path === '' ? '' : `${path}.`}${snake(field?.name ?? key)}`;
    if (field === undefined) throw invalidField(at.slice(0, 200), `is not a field of ${type.name}`);
    if (value === null) continue;
    message[field.name] = fieldFromJson(field, value, at, depth);
  }
  return message;
}

function fieldOf(type: protobuf.Type, key: string): protobuf.Field | undefined {
  if (Object.hasOwn(type.fields, key)) return type.fields[key]?.resolve();
  const camel = key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return Object.hasOwn(type.fields, camel) && snake(camel) === key ? type.fields[camel]?.resolve() : undefined;
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function fieldFromJson(field: protobuf.Field, value: unknown, path: string, depth: number): unknown {
  if (field instanceof protobuf.MapField) {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw invalidField(path, 'is not a JSON object');
    const entries = Object.entries(value).map(([key, one]) => [
      key,
      valueFromJson(field, one, `${path}.${key}`, depth),
    ]);
    return Object.fromEntries(entries);
  }
  if (!field.repeated) return valueFromJson(field, value, path, depth);
  if (!Array.isArray(value)) throw invalidField(path, 'is not a JSON array');
  return value.map((one, index) => valueFromJson(field, one, `${path}[${index}]`, depth));
}

function valueFromJson(field: protobuf.Field, value: unknown, path: string, depth: number): unknown {
  const { resolvedType } = field;
  if (resolvedType instanceof protobuf.Enum) return enumFromJson(resolvedType, value, path);
  if (resolvedType instanceof protobuf.Type) {
    switch (resolvedType.fullName) {
      case '.google.protobuf.Timestamp':
        return timeFromJson(value, path);
      case '.google.protobuf.FieldMask':
        return maskFromJson(value, path);
      default:
        return messageFromJson(resolvedType, value, path, depth + 1);
    }
  }
  return scalarFromJson(field.type, value, path);
}

function enumFromJson(type: protobuf.Enum, value: unknown, path: string): number {
  if (typeof value === 'number' && Number.isInteger(value)) return value;
  const number = typeof value === 'string' && Object.hasOwn(type.values, value) ? type.values[value] : undefined;
  if (number !== undefined) return number;
  throw invalidField(path, `is not one of ${Object.keys(type.values).join(', ')}`);
}

function timeFromJson(value: unknown, path: string): object {
  const form = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/;
  const match = typeof value === 'string' ? form.exec(value) : null;
  const ms = match === null ? NaN : Date.parse(match[0].replace(match[1] ?? '', ''));
  if (match === null || Number.isNaN(ms)) throw invalidField(path, 'is not a time like 2026-01-31T12:00:00Z');
  return { seconds: ms / 1000, nanos: Number((match[1] ?? '.0').slice(1).padEnd(9, '0')) };
}

function maskFromJson(value: unknown, path: string): object {
  if (typeof value !== 'string') throw invalidField(path, 'is not a string of field names, separated by commas');
  return {
    paths: value
      .split(',')
      .filter((one) => one !== '')
      .map(snake),
  };
}

const INTEGER_LIMITS: Readonly<Record<string, readonly [number, number]>> = {
  uint32: [0, 2 ** 32 - 1],
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint64: [0, Number.MAX_SAFE_INTEGER],
  int64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
};

function scalarFromJson(type: string, value: unknown, path: string): unknown {
  const limits = INTEGER_LIMITS[type];
  if (limits !== undefined) {
    const number = typeof value === 'string' && /^-?\d{1,20}$/.test(value) ? Number(value) : value;
    if (typeof number === 'number' && Number.isInteger(number) && number >= limits[0] && number <= limits[1])
      return number;
    throw invalidField(path, `is not a whole number from ${limits[0]} to ${limits[1]}`);
  }
  switch (type) {
    case 'string':
      if (typeof value === 'string') return value;
      throw invalidField(path, 'is not a string');
    case 'bool':
      if (typeof value === 'boolean') return value;
      throw invalidField(path, 'is neither true nor false');
    case 'double':
    case 'float':
      if (typeof value === 'number') return value;
      throw invalidField(path, 'is not a number');
    case 'bytes':
      if (typeof value === 'string' && /^[A-Za-z0-9+/_=-]*$/.test(value)) return Buffer.from(value, 'base64');
      throw invalidField(path, 'is not base64');
    default:
      throw invalidField(path, `has a type that JSON does not carry here (${type})`);
  }
}

/** All fields that have a default are there, so that a reader need not know the defaults; absent messages are not. */
function messageToJson(type: protobuf.Type, message: Message): JsonObject {
  const json: JsonObject = {};
  for (const field of type.fieldsArray) {
    field.resolve();
    const value = message[field.name];
    if (field instanceof protobuf.MapField) {
      const entries = Object.entries((value ?? {}) as Message);
      json[field.name] = Object.fromEntries(entries.map(([key, one]) => [key, valueToJson(field, one)]));
    } else if (field.repeated) {
      json[field.name] = ((value ?? []) as readonly unknown[]).map((one) => valueToJson(field, one));
    } else if (value !== undefined && value !== null) {
      json[field.name] = valueToJson(field, value);
    } else if (!(field.resolvedType instanceof protobuf.Type)) {
      json[field.name] = valueToJson(field, field.typeDefault ?? field.defaultValue);
    }
  }
  return json;
}

function valueToJson(field: protobuf.Field, value: unknown): unknown {
  const { resolvedType } = field;
  if (resolvedType instanceof protobuf.Enum) return resolvedType.valuesById[value as number] ?? value;
  if (resolvedType instanceof protobuf.Type) {
    if (resolvedType.fullName === '.google.protobuf.Timestamp') return timeToJson(value as Message);
    if (resolvedType.fullName === '.google.protobuf.FieldMask')
      return ((value as Message)['paths'] as string[]).join(',');
    return messageToJson(resolvedType, value as Message);
  }
  if (field.type === 'uint64' || field.type === 'int64') return String(value);
  if (field.type === 'bytes') return Buffer.from(value as Uint8Array).toString('base64');
  return value;
}

function timeToJson(time: Message): string {
  const seconds = Number(time['seconds'] ?? 0);
  const nanos = Number(time['nanos'] ?? 0);
  const text = new Date(seconds * 1000).toISOString().replace('.000Z', '');
  if (nanos === 0) return `${text}Z`;
  const digits = String(nanos).padStart(9, '0');
  return `${text}.${digits.endsWith('000000') ? digits.slice(0, 3) : digits}Z`;
}
