import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";

/**
 * Writes messages of plain numbers as protobuf wire bytes without building a message first: about ten times faster
 * than `toBinary(create(…))`, which stays the reference for what the bytes mean.
 */
export interface FlatMessageEncoder {
  /** The most bytes `encode` writes. */
  readonly maxBytes: number;
  /**
   * Writes the value at `offset` and returns the end, or -1 when the value holds anything else than what this encoder
   * knows (text, maps, lists, an integer out of range …); the bytes after `offset` are then undefined, and `toBinary`
   * either encodes the value or tells what is wrong with it. The view may lie on shared memory.
   */
  encode(value: object, target: DataView, offset: number): number;
}

interface FlatField {
  readonly name: string;
  readonly tag: readonly number[];
  readonly maxBytes: number;
  /** Whether a zero is written, because the field tells it from unset. */
  readonly explicit: boolean;
  /** Writes what follows the tag and returns the end, or -1. Undefined when only an empty value can be encoded. */
  readonly write: WriteValue | undefined;
}

type FieldValues = Readonly<Record<string, unknown>> & { readonly $unknown?: unknown };

type WriteValue = (value: unknown, target: DataView, offset: number) => number;

const varint = 0;
const bit64 = 1;
const lengthDelimited = 2;
const maxVarintBytes = 10;
const scratch64 = new BigInt64Array(1);
const scratchBytes = new DataView(scratch64.buffer);
const littleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Compiles the encoder of a message. The fields named in `omitted` are never written. */
export function compileFlatEncoder(schema: DescMessage, omitted: readonly string[] = []): FlatMessageEncoder {
  const fields = schema.fields
    .filter((field) => !omitted.includes(field.localName))
    .toSorted((a, b) => a.number - b.number)
    .map(compileField);
  return {
    maxBytes: fields.reduce((sum, field) => sum + field.maxBytes, 0),
    encode: (value, target, offset) => writeFields(fields, value as FieldValues, target, offset),
  };
}

function compileField(field: DescField): FlatField {
  const [wireType, maxValueBytes, write] = compileValue(field);
  const tag = field.number * 8 + wireType;
  if (tag > 0x3fff) throw new RangeError(`${field.toString()}: field numbers above 2047 are not supported`);
  return {
    name: field.localName,
    tag: tag < 0x80 ? [tag] : [(tag & 0x7f) | 0x80, tag >>> 7],
    maxBytes: 2 + maxValueBytes,
    explicit: field.presence !== FeatureSet_FieldPresence.IMPLICIT,
    write,
  };
}

function compileValue(field: DescField): [wireType: number, maxBytes: number, write: WriteValue | undefined] {
  if (field.oneof !== undefined) return [lengthDelimited, 0, undefined];
  switch (field.fieldKind) {
    case "enum":
      return [varint, maxVarintBytes, writeInt32];
    case "scalar":
      if (field.scalar === ScalarType.INT32) return [varint, maxVarintBytes, writeInt32];
      if (field.scalar === ScalarType.INT64) return [varint, maxVarintBytes, writeInt64];
      if (field.scalar === ScalarType.DOUBLE) return [bit64, 8, writeDouble];
      break;
    case "message": {
      if (!field.message.fields.every((inner) => inner.fieldKind === "scalar")) break;
      const nested = compileFlatEncoder(field.message);
      // The length is written as one byte.
      if (nested.maxBytes < 0x80) return [lengthDelimited, 1 + nested.maxBytes, writeNested(nested)];
    }
  }
  return [lengthDelimited, 0, undefined];
}

function writeFields(fields: FlatField[], values: FieldValues, target: DataView, offset: number): number {
  if (values.$unknown !== undefined) return -1;
  let end = offset;
  for (const field of fields) {
    const value = values[field.name];
    if (value === undefined || value === null) continue;
    if (!field.explicit && isEmpty(value)) continue;
    if (field.write === undefined) return -1;
    for (const byte of field.tag) target.setUint8(end++, byte);
    end = field.write(value, target, end);
    if (end < 0) return -1;
  }
  return end;
}

/** Whether a field that does not tell unset from zero leaves the value out. As a double, -0 is written. */
function isEmpty(value: unknown): boolean {
  if (typeof value === "number") return Object.is(value, 0);
  if (typeof value === "object") return value !== null && Object.keys(value).length === 0;
  return value === 0n || value === "";
}

function writeDouble(value: unknown, target: DataView, offset: number): number {
  if (typeof value !== "number") return -1;
  target.setFloat64(offset, value, true);
  return offset + 8;
}

function writeInt32(value: unknown, target: DataView, offset: number): number {
  if (typeof value !== "number" || (value | 0) !== value || Object.is(value, -0)) return -1;
  return writeVarint(value, value >> 31, target, offset);
}

function writeInt64(value: unknown, target: DataView, offset: number): number {
  if (typeof value !== "bigint") return -1;
  scratch64[0] = value;
  if (scratch64[0] !== value) return -1;
  return writeVarint(
    scratchBytes.getInt32(littleEndian ? 0 : 4, littleEndian),
    scratchBytes.getInt32(littleEndian ? 4 : 0, littleEndian),
    target,
    offset,
  );
}

/** Writes the 64 bits of two words, seven at a time, lowest first. */
function writeVarint(lowWord: number, highWord: number, target: DataView, offset: number): number {
  let low = lowWord;
  let high = highWord;
  let end = offset;
  while (high !== 0 || low >>> 0 > 0x7f) {
    target.setUint8(end++, (low & 0x7f) | 0x80);
    low = (low >>> 7) | (high << 25);
    high >>>= 7;
  }
  target.setUint8(end++, low);
  return end;
}

function writeNested(encoder: FlatMessageEncoder): WriteValue {
  return (value, target, offset) => {
    if (typeof value !== "object" || value === null) return -1;
    const end = encoder.encode(value, target, offset + 1);
    if (end >= 0) target.setUint8(offset, end - offset - 1);
    return end;
  };
}
