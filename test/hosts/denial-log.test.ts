import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { createDenialLog } from "../../src/hosts/denial-log.ts";
import { askHost } from "../../src/hosts/host-answer.ts";
import { logLines } from "../support/log-lines.ts";

const url = "http://host.test:1";

/** Notes what a host says, and answers the lines of the log since the last time. */
function denials() {
  const { log, lines } = logLines();
  const note = createDenialLog(url, log);
  return async (code?: Code, message = "no") => {
    note(await askHost(url, async () => (code === undefined ? 42 : Promise.reject(new ConnectError(message, code)))));
    return lines.splice(0).map((line) => (JSON.parse(line) as { msg: string }).msg);
  };
}

test("the beginning and the end of not being let in are told once each", async () => {
  const after = denials();
  expect(await after()).toEqual([]);
  expect(await after(Code.Unauthenticated, "expired")).toEqual(["a host does not accept this server's credentials"]);
  expect(await after(Code.Unauthenticated, "expired")).toEqual([]);
  // A host that is silent has not let anybody in.
  expect(await after(Code.Unavailable)).toEqual([]);
  expect(await after(Code.Unauthenticated, "other words")).toEqual([]);
  expect(await after(Code.NotFound)).toEqual(["a host accepts this server's credentials again"]);
  expect(await after()).toEqual([]);
  expect(await after(Code.Unauthenticated)).toEqual(["a host does not accept this server's credentials"]);
});

test("what a host does not allow is told once, however often other calls are answered in between", async () => {
  const after = denials();
  const told = ["a host does not allow this server what it asked for"];
  expect(await after(Code.PermissionDenied, "force needs admin")).toEqual(told);
  expect(await after()).toEqual([]);
  expect(await after(Code.PermissionDenied, "force needs admin")).toEqual([]);
  expect(await after(Code.PermissionDenied, "create needs operator")).toEqual(told);
  expect(await after(Code.InvalidArgument)).toEqual([]);
});
