/** Writes to the store at argv[2], reads from it meanwhile, and prints in which order the two are answered. */
import { setTimeout } from "node:timers/promises";
import { openSqliteStore } from "../../src/store/sqlite-store.ts";
import { operation } from "./store-fixture.ts";

const store = await openSqliteStore(process.argv[2] ?? "", { threadAfterMs: 0 });
const order: string[] = [];
const writes = ["op_a", "op_b"].map((id) => store.create(operation(id)).then(() => order.push("write")));
await setTimeout(50);
await store.get("op_none");
order.push("read");
await Promise.all(writes);
process.stdout.write(JSON.stringify(order));
await store.close();
