import type { Message } from "@bufbuild/protobuf";

/** By answer and then by form. An answer that nobody holds any more takes its encodings with it. */
const kept = new WeakMap<Message, Map<string, object>>();

/** Marks an answer that will be given to many callers and never changes: it is encoded once for each form it is sent in. */
export function keepEncoded<T extends Message>(answer: T): T {
  kept.set(answer, new Map());
  return answer;
}

/** An answer in a form, such as "grpc gzip": encoded now, or before if the answer is one that is kept. */
export function encodedOnce<T extends object>(answer: Message, form: string, encode: () => T): T {
  const encodings = kept.get(answer);
  if (!encodings) {
    return encode();
  }
  let encoding = encodings.get(form) as T | undefined;
  if (!encoding) {
    encoding = encode();
    encodings.set(form, encoding);
  }
  return encoding;
}
