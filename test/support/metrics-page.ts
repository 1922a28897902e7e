/** One line of a page of metrics. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A page in the text format of Prometheus. */
export interface MetricsPage {
  readonly samples: readonly Sample[];
  /** Type of each metric by its name. */
  readonly types: ReadonlyMap<string, string>;
  /** Names of the metrics that say what they are. */
  readonly described: ReadonlySet<string>;
  /** The value of the only sample of a name with these labels among others; undefined when there is none. */
  value(name: string, labels?: Readonly<Record<string, string>>): number | undefined;
}

const sampleForm = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const labelForm = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)",?/g;

/** Gets and reads the page of metrics of an admin port. Throws for a line that is none of the format. */
export async function metricsPage(adminUrl: string | undefined): Promise<MetricsPage> {
  const response = await fetch(`${adminUrl}/metrics`);
  const samples: Sample[] = [];
  const types = new Map<string, string>();
  const described = new Set<string>();
  for (const line of (await response.text()).split("\n").filter((text) => text !== "")) {
    const [, kind = "", name = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    const sample = sampleForm.exec(line);
    if (kind === "HELP") {
      described.add(name);
    } else if (kind === "TYPE") {
      types.set(name, rest);
    } else if (sample) {
      const labels = [...(sample[2] ?? "").matchAll(labelForm)].map(([, key = "", value = ""]) => [key, value]);
      samples.push({ name: sample[1] ?? "", labels: Object.fromEntries(labels), value: Number(sample[3]) });
    } else {
      throw new Error(`not a line of the text format: ${line}`);
    }
  }
  const value: MetricsPage["value"] = (name, labels = {}) => {
    const isWanted = (one: Sample) =>
      one.name === name && Object.entries(labels).every(([key, wanted]) => one.labels[key] === wanted);
    const found = samples.filter(isWanted);
    if (found.length > 1) {
      throw new Error(`${name} has ${found.length} samples with these labels`);
    }
    return found[0]?.value;
  };
  return { samples, types, described, value };
}
