import { Queue, Worker } from "bullmq";
import { serveConnect } from "../servers/serve-connect.ts";
import { jobAnswer, jobData, jobProgress } from "./job-answer.ts";

// Polls of a BullMQ job: argument 1 is the port of its Redis. A worker of this process holds the job until the end.

const connection = { host: "127.0.0.1", port: Number(process.argv[2]) };
const queue = new Queue("training", { connection });
const active = Promise.withResolvers<void>();
new Worker(
  "training",
  async (job) => {
    await job.updateProgress(jobProgress);
    active.resolve();
    await new Promise(() => {});
  },
  { connection },
);
const { id: jobId = "" } = await queue.add("train", jobData);
await active.promise;

serveConnect(
  async ({ operationId }) => {
    const job = await queue.getJob(operationId);
    const state = job && {
      id: job.id ?? "",
      state: await job.getState(),
      data: job.data,
      createdAtMs: job.timestamp,
      startedAtMs: job.processedOn,
      attempt: job.attemptsStarted,
    };
    return jobAnswer(state, job?.progress as typeof jobProgress);
  },
  { jobId },
);
