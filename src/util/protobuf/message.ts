import { ProtoReader, wire } from "./reader.ts";
import { type Chunk, joinChunks, ReverseWriter } from "./writer.ts";

/** How a field's value is written; `payload` collects packed numbers undecoded (pieces of the packed form, unpacked ones included). */
export type FieldKind = "int" | "int64" | "float" | "string" | "bytes" | "payload" | "message";

export interface FieldSpec<T> {
  readonly number: number;
  readonly kind: FieldKind;
  readonly repeated: boolean;
  readonly message: (() => MessageType<object>) | undefined;
  /** Carries the value's type; never set. */
  readonly value?: T;
}

/** Every message keeps the fields that its table does not name, as encoded bytes. */
export interface ProtoMessage {
  unknown?: Uint8Array | undefined;
}

interface Entry extends FieldSpec<unknown> {
  readonly name: string;
  readonly wire: number;
}
export interface MessageType<T extends object> {
  readonly name: string;
  /** By field number. */
  readonly fields: readonly (Entry | undefined)[];
  /** Highest number first: the order of writing back to front. */
  readonly reversed: readonly Entry[];
  readonly value?: T;
}

const spec = <T>(number: number, kind: FieldKind, repeated = false, message?: () => MessageType<object>): FieldSpec<T> => ({
  number,
  kind,
  repeated,
  message,
});

/** Field declarations: `field.string(3)`; plural names are repeated fields. */
export const field = {
  int: (number: number) => spec<number>(number, "int"),
  int64: (number: number) => spec<number | bigint>(number, "int64"),
  float: (number: number) => spec<number>(number, "float"),
  string: (number: number) => spec<string>(number, "string"),
  bytes: (number: number) => spec<Chunk>(number, "bytes"),
  view: (number: number) => spec<Uint8Array>(number, "bytes"),
  message: <T extends object>(number: number, type: () => MessageType<T>) => spec<T>(number, "message", false, type),
  int64s: (number: number) => spec<(number | bigint)[]>(number, "int64", true),
  floats: (number: number) => spec<number[]>(number, "float", true),
  strings: (number: number) => spec<string[]>(number, "string", true),
  views: (number: number) => spec<Uint8Array[]>(number, "bytes", true),
  payload: (number: number) => spec<Uint8Array[]>(number, "payload", true),
  messages: <T extends object>(number: number, type: () => MessageType<T>) => spec<T[]>(number, "message", true, type),
} as const;

const wireOf = (kind: FieldKind): number =>
  kind === "int" || kind === "int64" ? wire.varint : kind === "float" ? wire.fixed32 : wire.bytes;

/** A message type from its fields; `T` names them all and marks each optional, as on the wire. */
export function defineMessage<T extends ProtoMessage>(
  name: string,
  fields: { readonly [K in Exclude<keyof T, "unknown">]-?: FieldSpec<NonNullable<T[K]>> },
): MessageType<T> {
  const table: (Entry | undefined)[] = [];
  for (const [key, value] of Object.entries<FieldSpec<unknown>>(fields))
    table[value.number] = { ...value, name: key, wire: wireOf(value.kind) };
  const reversed = table.filter((entry) => entry !== undefined).reverse();
  return { name, fields: table, reversed };
}

/** Protobuf's own limit of message nesting. */
const maxDepth = 100;

/** Decodes a message; byte fields are views on `bytes`. Errors carry codes that begin with `prefix`. */
export function decodeMessage<T extends object>(type: MessageType<T>, bytes: Uint8Array, prefix: string): T {
  return decode(type, new ProtoReader(bytes, prefix), 0) as T;
}

type Fields = Record<string, unknown>;

function decode(type: MessageType<object>, reader: ProtoReader, depth: number): Fields {
  if (depth > maxDepth) reader.tooDeep(maxDepth);
  const message: Fields = {};
  const unknown: Uint8Array[] = [];
  const end = reader.end;
  while (reader.position < end) {
    const start = reader.position;
    const tag = reader.tag();
    const entry = type.fields[tag >>> 3];
    if (entry && entry.wire === (tag & 7)) decodeKnown(message, entry, reader, depth);
    else if (entry?.repeated && decodeOtherPacking(message, entry, tag & 7, reader)) continue;
    else {
      reader.skip(tag & 7);
      unknown.push(reader.buffer.subarray(start, reader.position));
    }
  }
  if (unknown.length > 0) message.unknown = joinChunks(unknown);
  return message;
}

function decodeKnown(message: Fields, entry: Entry, reader: ProtoReader, depth: number): void {
  const value = entry.kind === "message" ? decodeInner(entry, reader, depth) : decodeScalar(entry.kind, reader);
  if (!entry.repeated) {
    message[entry.name] = value;
    return;
  }
  const list = message[entry.name] as unknown[] | undefined;
  if (list) list.push(value);
  else message[entry.name] = [value];
}

function decodeInner(entry: Entry, reader: ProtoReader, depth: number): Fields {
  const outer = reader.end;
  reader.end = reader.delimited();
  const inner = decode((entry.message as () => MessageType<object>)(), reader, depth + 1);
  reader.end = outer;
  return inner;
}

function decodeScalar(kind: FieldKind, reader: ProtoReader): unknown {
  switch (kind) {
    case "int":
      return Number(reader.int64());
    case "int64":
      return reader.int64();
    case "float":
      return reader.float();
    case "string":
      return reader.string();
    default:
      return reader.bytes();
  }
}

/** Repeated numbers may come packed or one by one, whatever the schema prefers. Returns false when it is neither. */
function decodeOtherPacking(message: Fields, entry: Entry, wireType: number, reader: ProtoReader): boolean {
  message[entry.name] ??= [];
  const list = message[entry.name] as unknown[];
  if (entry.kind === "payload") {
    const start = reader.position;
    reader.skip(wireType);
    list.push(reader.buffer.subarray(start, reader.position));
    return true;
  }
  if (wireType !== wire.bytes || (entry.kind !== "int64" && entry.kind !== "float")) return false;
  const outer = reader.end;
  reader.end = reader.delimited();
  while (reader.position < reader.end) list.push(decodeScalar(entry.kind, reader));
  reader.end = outer;
  return true;
}

/** Encodes a message as chunks, fields by ascending number, unknown fields last. */
export function encodeMessage<T extends object>(type: MessageType<T>, message: T): { chunks: Chunk[]; byteLength: number } {
  const writer = new ReverseWriter();
  encode(type, message as Fields, writer);
  return { chunks: writer.finish(), byteLength: writer.length };
}

function encode(type: MessageType<object>, message: Fields, writer: ReverseWriter): void {
  if (message.unknown) writer.raw(message.unknown as Uint8Array);
  for (const entry of type.reversed) {
    const value = message[entry.name];
    if (value === undefined) continue;
    if (!entry.repeated) encodeField(entry, value, writer);
    else for (let i = (value as unknown[]).length - 1; i >= 0; i--) encodeField(entry, (value as unknown[])[i], writer);
  }
}

function encodeField(entry: Entry, value: unknown, writer: ReverseWriter): void {
  const before = writer.length;
  switch (entry.kind) {
    case "int":
    case "int64":
      writer.int64(value as number);
      break;
    case "float":
      writer.float(value as number);
      break;
    case "string":
      writer.string(value as string);
      break;
    case "message":
      encode((entry.message as () => MessageType<object>)(), value as Fields, writer);
      break;
    default:
      writer.raw(value as Chunk);
  }
  if (entry.wire === wire.bytes) writer.varint(writer.length - before);
  writer.varint((entry.number << 3) | entry.wire);
}
