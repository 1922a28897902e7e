// What the suite uses of packages that only it installs, so that its types can be checked without them.

declare module "bullmq" {
  export interface Job {
    readonly id?: string;
    readonly data: Record<string, unknown>;
    readonly progress: unknown;
    readonly timestamp: number;
    readonly processedOn?: number;
    readonly attemptsStarted: number;
    getState(): Promise<string>;
    updateProgress(progress: object): Promise<void>;
  }
  export class Queue {
    constructor(name: string, options: { connection: { host: string; port: number } });
    add(name: string, data: object): Promise<Job>;
    getJob(id: string): Promise<Job | undefined>;
  }
  export class Worker {
    constructor(
      name: string,
      process: (job: Job) => Promise<unknown>,
      options: { connection: { host: string; port: number } },
    );
  }
}

declare module "pg-boss" {
  export interface Job {
    readonly id: string;
    readonly data: Record<string, unknown>;
    readonly state: string;
    readonly createdOn: Date;
    readonly startedOn: Date | null;
    readonly retryCount: number;
  }
  export class PgBoss {
    constructor(databaseUrl: string);
    on(event: "error", listener: (error: Error) => void): void;
    start(): Promise<void>;
    createQueue(name: string): Promise<void>;
    send(name: string, data: object): Promise<string | null>;
    fetch(name: string): Promise<readonly Job[]>;
    getJobById(name: string, id: string): Promise<Job | null>;
  }
}
