import { X509Certificate } from "node:crypto";
import { describe, expect, test } from "vitest";
import { isSpiffeId, spiffeIdOf } from "../../src/access/spiffe-id.ts";
import { createCertificateAuthority } from "../support/certificates.ts";

/** A certificate with alternative names as Node.js prints them. */
const named = (subjectAltName: string) => ({ subjectAltName }) as X509Certificate;

describe("the SPIFFE id of a certificate", () => {
  test("is its one URI, whatever other names it has", async () => {
    const authority = await createCertificateAuthority();
    const { cert } = await authority.issue({ uris: ["spiffe://example.com/ns/ml/sa/trainer"] });
    expect(spiffeIdOf(new X509Certificate(cert))).toBe("spiffe://example.com/ns/ml/sa/trainer");
  });

  test.each([
    ["no URI", []],
    ["two ids", ["spiffe://example.com/a", "spiffe://example.com/b"]],
    ["an id and another URI", ["spiffe://example.com/a", "https://example.com/"]],
    ["another URI", ["https://example.com/a"]],
    ["a trust domain alone", ["spiffe://example.com"]],
  ])("is not there with %s", async (_what, uris) => {
    const authority = await createCertificateAuthority();
    const { cert } = await authority.issue({ uris });
    expect(spiffeIdOf(new X509Certificate(cert))).toBeUndefined();
  });

  test.each([
    'DNS:"a.test, URI:spiffe://example.com/admin", IP Address:10.0.0.1',
    'DNS:"a\\", URI:spiffe://example.com/admin"',
    'URI:"spiffe://example.com/a, URI:spiffe://example.com/b"',
    'DNS:a.test, URI:spiffe://example.com/a, "',
  ])("is not read out of another name: %s", (names) => {
    expect(spiffeIdOf(named(names))).toBeUndefined();
  });
});

test.each(["spiffe://example.com/a", "spiffe://example.com/a/b-c/d_e.f", "spiffe://10.0.0.1/x"])(
  "%s is an id",
  (id) => {
    expect(isSpiffeId(id)).toBe(true);
  },
);

test.each([
  "spiffe://Example.com/a",
  "spiffe://example.com/",
  "spiffe://example.com/a/",
  "spiffe://example.com//a",
  "spiffe://example.com/../a",
  "spiffe://example.com/./a",
  "spiffe://example.com/a?b",
  "spiffe://example.com/a#b",
  "spiffe://example.com/a b",
  "spiffe://example.com/%61",
  "spiffe://user@example.com/a",
  "spiffe://example.com:443/a",
  "SPIFFE://example.com/a",
  `spiffe://example.com/${"a".repeat(2_048)}`,
])("%s is none", (id) => {
  expect(isSpiffeId(id)).toBe(false);
});
