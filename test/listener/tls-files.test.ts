import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { pino } from "pino";
import { beforeAll, describe, expect, test } from "vitest";
import { tlsFromSettings } from "../../src/listener/listener-tls.ts";
import {
  type CertificateAuthority,
  type CertificatePair,
  createCertificateAuthority,
} from "../support/certificates.ts";
import { tlsDirectory } from "../support/tls-directory.ts";

const log = pino({ level: "silent" });
let authority: CertificateAuthority;
let pair: CertificatePair;
beforeAll(async () => {
  authority = await createCertificateAuthority();
  pair = await authority.issue();
});

/** The message the start ends with. */
async function problem(settings: object): Promise<string> {
  const all = { tlsCertFile: "", tlsKeyFile: "", tlsClientCaFile: "", tlsClientAuth: "auto", ...settings };
  try {
    await tlsFromSettings(all, log);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("the files were accepted");
}

test("without files there is no TLS", async () => {
  const none = { tlsCertFile: "", tlsKeyFile: "", tlsClientCaFile: "", tlsClientAuth: "auto" };
  expect(await tlsFromSettings(none, log)).toBeUndefined();
});

test("a client certificate is asked for when there are authorities, unless the settings say otherwise", async () => {
  const { settings } = await tlsDirectory(pair, authority.cert);
  for (const [tlsClientAuth, expected] of [
    ["auto", "required"],
    ["required", "required"],
    ["optional", "optional"],
    ["none", "none"],
  ] as const) {
    expect(await tlsFromSettings({ ...settings, tlsClientAuth }, log)).toMatchObject({ clientAuth: expected });
  }
  const without = { ...settings, tlsClientCaFile: "", tlsClientAuth: "auto" };
  expect(await tlsFromSettings(without, log)).toMatchObject({ clientAuth: "none" });
});

describe("the start names the setting and the file when", () => {
  test("one of them is not set", async () => {
    const { settings } = await tlsDirectory(pair, authority.cert);
    const { tlsCertFile, tlsKeyFile, tlsClientCaFile } = settings;
    expect(await problem({ tlsCertFile })).toBe("tlsKeyFile is not set; tlsCertFile needs it");
    expect(await problem({ tlsKeyFile })).toBe("tlsCertFile is not set; tlsKeyFile needs it");
    expect(await problem({ tlsClientCaFile })).toBe("tlsCertFile is not set; tlsClientCaFile needs it");
    expect(await problem({ tlsCertFile, tlsKeyFile, tlsClientAuth: "required" })).toBe(
      "tlsClientAuth is required; it needs tlsClientCaFile, which is not set",
    );
    expect(await problem({ tlsClientAuth: "optional" })).toContain("it needs tlsClientCaFile");
  });

  test("a file cannot be read", async () => {
    const { settings } = await tlsDirectory(pair, authority.cert);
    for (const key of Object.keys(settings)) {
      expect(await problem({ ...settings, [key]: "/no/such/file.pem" })).toBe(
        `${key}: /no/such/file.pem does not exist`,
      );
      expect(await problem({ ...settings, [key]: "/" })).toMatch(new RegExp(`^${key}: / cannot be read: EISDIR`));
    }
  });

  test("a file holds something else", async () => {
    const { settings } = await tlsDirectory(pair, authority.cert);
    for (const path of Object.values(settings)) {
      writeFileSync(path, "nonsense");
    }
    expect(await problem(settings)).toBe(`tlsCertFile: ${settings.tlsCertFile} holds no certificate in PEM form`);
    writeFileSync(settings.tlsCertFile, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    expect(await problem(settings)).toContain(
      `tlsCertFile: ${settings.tlsCertFile} holds a certificate that is broken`,
    );
    writeFileSync(settings.tlsCertFile, pair.cert);
    expect(await problem(settings)).toBe(`tlsKeyFile: ${settings.tlsKeyFile} holds no private key in PEM form`);
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const locked = privateKey.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "secret" });
    writeFileSync(settings.tlsKeyFile, locked);
    expect(await problem(settings)).toBe(`tlsKeyFile: ${settings.tlsKeyFile} holds a key with a passphrase`);
    writeFileSync(settings.tlsKeyFile, pair.key);
    expect(await problem(settings)).toBe(
      `tlsClientCaFile: ${settings.tlsClientCaFile} holds no certificate in PEM form`,
    );
  });

  test("the key belongs to another certificate", async () => {
    const { settings, replace } = await tlsDirectory(pair);
    replace({ ...pair, key: (await authority.issue()).key });
    expect(await problem(settings)).toBe(
      `tlsKeyFile: the key in ${settings.tlsKeyFile} does not belong to the first certificate in ${settings.tlsCertFile}`,
    );
  });
});
