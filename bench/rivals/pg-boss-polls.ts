import { PgBoss } from "pg-boss";
import { serveConnect } from "../servers/serve-connect.ts";
import { jobAnswer, jobData, jobProgress } from "./job-answer.ts";

// Polls of a pg-boss job: argument 1 is the URL of its database. The job has been fetched and is active. pg-boss keeps
// no progress, so that a poll reads none and answers a constant.

const queue = "training";
const boss = new PgBoss(process.argv[2] ?? "");
boss.on("error", (error) => process.stderr.write(`${error.stack}\n`));
await boss.start();
await boss.createQueue(queue);
const jobId = (await boss.send(queue, jobData)) ?? "";
await boss.fetch(queue);

serveConnect(
  async ({ operationId }) => {
    const job = await boss.getJobById(queue, operationId);
    const state = job && {
      id: job.id,
      state: job.state,
      data: job.data,
      createdAtMs: job.createdOn.getTime(),
      startedAtMs: job.startedOn?.getTime(),
      attempt: job.retryCount + 1,
    };
    return jobAnswer(state ?? undefined, jobProgress);
  },
  { jobId },
);
