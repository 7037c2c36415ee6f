import { absoluteTime } from './time.js';

/** A generated message class, as far as the output needs it: it takes plain objects of its shape too. */
export interface MessageType {
  toObject(message: never, options?: object): Record<string, unknown>;
}

const OPTIONS = { enums: String, longs: Number, bytes: String, arrays: true, objects: true, defaults: true };

/**
 * A message as JSON: proto3's camelCase names, every field present, enums by name, byte counts as numbers, times in
 * RFC 3339 (null when not set).
 */
export function toPlain(type: MessageType, message: object): Record<string, unknown> {
  return withTimes(type.toObject(message as never, OPTIONS)) as Record<string, unknown>;
}

/** google.protobuf.Timestamp is the one message with exactly these two numbers (labels of these names are text). */
function isTimestamp(value: object): value is { seconds: number; nanos: number } {
  const { seconds, nanos } = value as { seconds?: unknown; nanos?: unknown };
  return Object.keys(value).length === 2 && typeof seconds === 'number' && typeof nanos === 'number';
}

function withTimes(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withTimes);
  if (typeof value !== 'object' || value === null) return value;
  if (isTimestamp(value)) return absoluteTime(value);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withTimes(inner)]));
}
