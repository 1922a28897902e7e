import { describe, expect, test } from "vitest";
import { type ExposureSettings, refuseExposure } from "../../src/access/exposure.ts";
import { testConfig } from "../support/test-config.ts";

const refuse = (settings: Partial<ExposureSettings>) => () => refuseExposure(testConfig("unused", settings));
const tls = { tlsCertFile: "cert.pem" };
const jwt = { jwksUrl: "https://keys.test/", jwtIssuer: "i", jwtAudience: "a" };
const access = { tokensFile: "tokens.json", accessPolicyFile: "policy.json" };

describe("off loopback", () => {
  test.each(["0.0.0.0", "::", "10.0.0.7", "registry.example", "::ffff:10.0.0.7", ""])(
    "a server on %s needs TLS and authentication, or to be told that it does not",
    (listenHost) => {
      expect(refuse({ listenHost })).toThrow(/no TLS .* and no authentication .*--insecure or LONGHAUL_INSECURE=true/);
      expect(refuse({ listenHost, ...tls })).toThrow(/there is no authentication /);
      expect(refuse({ listenHost, ...access })).toThrow(/there is no TLS /);
      expect(refuse({ listenHost, ...tls, tlsClientCaFile: "ca.pem" })).toThrow(/no authentication/);
      expect(refuse({ listenHost, ...tls, ...access })).not.toThrow();
      expect(refuse({ listenHost, insecure: true })).not.toThrow();
    },
  );

  test.each(["127.0.0.1", "127.8.9.10", "::1", "localhost", "::ffff:127.0.0.1"])(
    "a server on %s needs nothing",
    (listenHost) => {
      expect(refuse({ listenHost })).not.toThrow();
      expect(refuse({ listenHost, ...access })).not.toThrow();
    },
  );
});

test.each<[Partial<ExposureSettings>, string]>([
  [{ tokensFile: "t" }, "accessPolicyFile is not set; tokensFile needs it"],
  [{ ...jwt }, "accessPolicyFile is not set; jwksUrl needs it"],
  [{ accessPolicyFile: "p" }, "nothing by which callers can prove who they are"],
  [{ ...jwt, accessPolicyFile: "p", jwtIssuer: "" }, "jwtIssuer is not set; jwksUrl needs it"],
  [{ ...jwt, accessPolicyFile: "p", jwtAudience: "" }, "jwtAudience is not set; jwksUrl needs it"],
  [{ ...jwt, jwksUrl: "", jwtKeyFile: "k", jwtAudience: "" }, "jwtAudience is not set; jwtKeyFile needs it"],
  [{ ...access, jwtIssuer: "i" }, "jwtIssuer is set, but neither jwksUrl nor jwtKeyFile"],
  [{ ...jwt, jwtKeyFile: "k" }, "jwksUrl and jwtKeyFile are both set"],
])("half an authentication is refused, also with insecure: %j", (settings, problem) => {
  expect(refuse(settings)).toThrow(problem);
  expect(refuse({ ...settings, insecure: true })).toThrow(problem);
});

test("keys are not fetched in plaintext off loopback", () => {
  const settings = { ...jwt, accessPolicyFile: "p" };
  expect(refuse(settings)).not.toThrow();
  expect(refuse({ ...settings, jwksUrl: "http://127.0.0.1:1/keys" })).not.toThrow();
  expect(refuse({ ...settings, jwksUrl: "http://keys.test/" })).toThrow(/jwksUrl http:\/\/keys\.test .*plaintext/);
  expect(refuse({ ...settings, jwksUrl: "http://keys.test/", insecure: true })).not.toThrow();
});
