import { describeOnEveryPostgres, openEmptyStore } from "./postgres-databases.ts";
import { describeStoreConformance } from "./store-conformance.ts";

describeOnEveryPostgres("the PostgreSQL store", (server) => {
  describeStoreConformance("as any store", () => openEmptyStore(server()), { shared: true });
});
