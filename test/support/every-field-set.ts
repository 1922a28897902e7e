import { type DescField, type DescMessage, type Message, ScalarType } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";

/** A message with a value in every field, lists and maps with one each; those of google.protobuf are empty. */
export function everyFieldSet(desc: DescMessage): Message {
  return filled(desc).message;
}

function filled(desc: DescMessage): ReflectMessage {
  const message = reflect(desc);
  if (!desc.typeName.startsWith("google.protobuf.")) {
    for (const field of desc.fields) {
      setField(message, field);
    }
  }
  return message;
}

function setField(message: ReflectMessage, field: DescField): void {
  switch (field.fieldKind) {
    case "list":
      message.get(field).add(someValue(field));
      break;
    case "map":
      message.get(field).set(scalarValue(field.mapKey), someValue(field));
      break;
    default:
      message.set(field, someValue(field));
  }
}

/** A value of the field, or of its elements or entries. */
function someValue({ message, enum: enumeration, scalar }: DescField): ReflectMessage | ScalarValue {
  if (message) {
    return filled(message);
  }
  return enumeration ? 1 : scalarValue(scalar);
}

type ScalarValue = string | number | bigint | boolean;

function scalarValue(type: ScalarType | undefined): ScalarValue {
  switch (type) {
    case ScalarType.STRING:
      return "x";
    case ScalarType.BOOL:
      return true;
    case ScalarType.INT64:
    case ScalarType.UINT64:
      return 1n;
    default:
      return 1;
  }
}
