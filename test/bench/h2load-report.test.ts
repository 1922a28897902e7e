import { expect, test } from "vitest";
import { parseCallLog, parseReport } from "../../bench/harness/h2load-report.ts";

const report = `starting benchmark...
progress: 100% done

finished in 250.00ms, 5039.50 req/s, 126.20KB/s
requests: 1000 total, 1000 started, 1000 done, 998 succeeded, 2 failed, 0 errored, 0 timeout
status codes: 998 2xx, 0 3xx, 2 4xx, 0 5xx
traffic: 25.04KB (25640) total, 2.40KB (2460) headers (space savings 94.28%), 4.88KB (5000) data
                     min         max         mean         sd        +/- sd
time for request:      189us     14.99ms      1.45ms      1.19ms    92.30%
`;

test("counts, bytes and time are read from what h2load prints", () => {
  expect(parseReport(report)).toEqual({ requested: 1000, succeeded: 998, dataBytes: 5000, seconds: 0.25 });
  expect(parseReport(report.replace("250.00ms", "1.50s")).seconds).toBe(1.5);
  expect(parseReport(report.replace("250.00ms", "2.0m")).seconds).toBe(120);
});

test("other text is an error that shows it", () => {
  expect(() => parseReport("Connection refused")).toThrow("Connection refused");
});

test("the log of single calls gives their latencies in its order, and the end of the last", () => {
  expect(parseCallLog("1795571608018473\t200\t6617\n1795571608018466\t200\t8241\n")).toEqual({
    latencies: [6617, 8241],
    endedAtMs: 1795571608026.707,
  });
});
