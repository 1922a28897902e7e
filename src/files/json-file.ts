import type { ZodError, ZodType } from "zod";

/**
 * Reads JSON of a certain form. Throws an Error that says what is wrong and where, but never repeats a value: the file
 * may hold secrets.
 */
export function parseJsonFile<T>(content: string, form: ZodType<T>): T {
  let json: unknown;
  try {
    json = JSON.parse(content);
  } catch (error) {
    // V8 quotes what it stumbles over; only the place is fit for a log.
    const [place] = /line \d+ column \d+/.exec(String(error)) ?? [];
    throw new Error(place === undefined ? "it is not JSON" : `it is not JSON (${place})`);
  }
  const result = form.safeParse(json);
  if (!result.success) {
    throw new Error(describeIssues(result.error));
  }
  return result.data;
}

function describeIssues(error: ZodError): string {
  return error.issues
    .map(({ path, message }) => {
      const place = path.reduce<string>(
        (text, part) => text + (typeof part === "number" ? `[${part}]` : `.${String(part)}`),
        "",
      );
      return place === "" ? message : `${place.slice(1)}: ${message}`;
    })
    .join("; ");
}
