import type { JsonObject } from "@bufbuild/protobuf";
import { checkedCount, checkedRange, type PercentageRange, type ProgressPhase, ProgressStep } from "./progress-step.ts";
import type { ProgressUpdate } from "./progress-update.ts";
import type { ProgressRenderer } from "./renderers.ts";

/** What a manager can be given. */
export interface ProgressManagerOptions {
  /** Makes `currentStep` from the state. Default: the message, or else the name of the innermost step. */
  readonly renderer?: ProgressRenderer;
  /** Ranges for outermost steps by name, as the operation's creator declared them. Default none. */
  readonly phases?: readonly ProgressPhase[];
}

/** What is known of an operation at its start. */
export interface OperationStart {
  /** Steps in all. 0 means unknown; default: the number of declared phases. */
  readonly totalSteps?: number;
}

/** What is known of a step at its start. */
export interface StepStart {
  /** Where it begins, in percent of the step around it. Default: where that one is. */
  readonly fromPercentage?: number;
  /** Where it ends, in percent of the step around it. Default: 100 when fromPercentage is given. */
  readonly toPercentage?: number;
  /** Items in all. Default 0, unknown. */
  readonly items?: number;
  /** Steps that will be started within it. Default 0, unknown. */
  readonly totalSteps?: number;
}

/** What has changed. What is left out stays as it is, except that message and currentItem are unset. */
export interface StepReport {
  /** Items done so far. */
  readonly itemsProcessed?: number;
  readonly message?: string;
  readonly currentItem?: string;
  /** Kept until the next context or the next step. */
  readonly context?: JsonObject;
}

/**
 * Hierarchical progress of one operation: steps own ranges of the percentage and nest.
 *
 * I1. `#open` holds the operation and the open steps, outermost first; it is empty when no operation is started.
 * I2. The percentage never goes back. It is that of the innermost step, or that of one it follows if that was further.
 * I3. Every change is told to the callback exactly once, after it is complete; a change refused tells nothing.
 */
export class ProgressManager {
  readonly #callback: (state: ProgressUpdate) => void;
  readonly #renderer: ProgressRenderer | undefined;
  readonly #phases: ReadonlyMap<string, ProgressPhase>;
  #open: ProgressStep[] = [];
  #percentage = 0;
  #itemsProcessed: number | undefined;
  #context: JsonObject | undefined;

  /** Throws a RangeError naming the phase when a declared range is out of order. */
  constructor(callback: (state: ProgressUpdate) => void, { renderer, phases = [] }: ProgressManagerOptions = {}) {
    this.#callback = callback;
    this.#renderer = renderer;
    this.#phases = new Map(phases.map((phase) => [phase.name, phase]));
    for (const { name, fromPercentage, toPercentage } of phases) {
      checkedRange(`phase "${name}"`, fromPercentage, toPercentage);
    }
  }

  /** Starts the operation at 0 %. Throws an Error while another one is not completed. */
  startOperation(name: string, { totalSteps = this.#phases.size }: OperationStart = {}): void {
    const running = this.#open[0];
    if (running !== undefined) throw new Error(`cannot start "${name}": "${running.name}" is not completed`);
    this.#open = [new ProgressStep(name, { from: 0, to: 100 }, { totalSteps })];
    this.#percentage = 0;
    this.#clearStepState();
    this.#tell({});
  }

  /**
   * Starts a step within the innermost open one. An outermost step with the name of a declared phase takes the phase's
   * range; else the range given counts, and without one the step gets an equal share of what is left.
   * Throws a RangeError for a range outside 0 to 100 or out of order, and an Error when no operation is started.
   */
  startStep(name: string, { fromPercentage, toPercentage, ...counts }: StepStart = {}): void {
    const outer = this.#innermost(`start the step "${name}"`);
    const phase = this.#open.length === 1 ? this.#phases.get(name) : undefined;
    let range: PercentageRange;
    if (phase !== undefined) range = { from: phase.fromPercentage, to: phase.toPercentage };
    else if (fromPercentage === undefined && toPercentage === undefined) range = outer.nextShare();
    else range = outer.innerRange(fromPercentage, toPercentage);
    this.#open.push(new ProgressStep(name, range, counts));
    this.#clearStepState();
    this.#tell({});
  }

  /**
   * Reports on the innermost step. The percentage follows from `fraction`, 0 to 1, or else from the items; with
   * neither, or with an unknown number of items, it stays. More items than announced count as all of them.
   * Throws a RangeError for a number out of range, and an Error when no step is started.
   */
  updateStepProgress({ fraction, ...report }: StepReport & { readonly fraction?: number }): void {
    const step = this.#innermost("update the progress of a step");
    if (this.#open.length === 1) throw new Error(`cannot update the progress of a step: "${step.name}" has none open`);
    if (fraction !== undefined && !(fraction >= 0 && fraction <= 1)) {
      throw new RangeError(`fraction must be 0 to 1, not ${fraction}`);
    }
    this.#take(report);
    const { itemsProcessed } = report;
    if (fraction !== undefined) step.reachFraction(fraction);
    else if (itemsProcessed !== undefined && step.items > 0) step.reachFraction(itemsProcessed / step.items);
    this.#tell(report);
  }

  /** Ends the innermost step at the end of its range. Throws an Error when no step is started. */
  completeStep(): void {
    const step = this.#innermost("complete a step");
    const outer = this.#open.at(-2);
    if (outer === undefined) throw new Error(`cannot complete a step: "${step.name}" has none open`);
    this.#open.pop();
    outer.reach(step.to);
    outer.stepsCompleted++;
    this.#clearStepState();
    this.#tell({});
  }

  /**
   * Reports on an operation without steps of their own: `step` of its totalSteps are done. With totalSteps unknown the
   * percentage stays.
   * Throws a RangeError for a step outside 0 to totalSteps, and an Error while a step is open or nothing is started.
   */
  updateProgress({ step, ...report }: StepReport & { readonly step: number }): void {
    const operation = this.#innermost("update the progress");
    if (this.#open.length > 1) throw new Error(`cannot update the progress: the step "${operation.name}" is open`);
    checkedCount("step", step);
    if (operation.totalSteps > 0 && step > operation.totalSteps) {
      throw new RangeError(`step must be 0 to ${operation.totalSteps} (totalSteps), not ${step}`);
    }
    this.#take(report);
    operation.stepsCompleted = Math.max(operation.stepsCompleted, step);
    if (operation.totalSteps > 0) operation.reachFraction(step / operation.totalSteps);
    this.#tell(report);
  }

  /** Ends the operation and every open step at 100 %. Throws an Error when none is started. */
  completeOperation(): void {
    this.#innermost("complete the operation");
    this.#open.splice(1);
    const [operation] = this.#open;
    if (operation !== undefined) {
      operation.reach(100);
      operation.stepsCompleted = Math.max(operation.stepsCompleted, operation.totalSteps);
    }
    this.#clearStepState();
    this.#tell({});
    this.#open = [];
  }

  #innermost(purpose: string): ProgressStep {
    const step = this.#open.at(-1);
    if (step === undefined) throw new Error(`cannot ${purpose}: no operation is started`);
    return step;
  }

  #clearStepState(): void {
    this.#itemsProcessed = undefined;
    this.#context = undefined;
  }

  #take({ itemsProcessed, context }: StepReport): void {
    if (itemsProcessed !== undefined) this.#itemsProcessed = checkedCount("itemsProcessed", itemsProcessed);
    if (context !== undefined) this.#context = context;
  }

  #tell({ message, currentItem }: StepReport): void {
    const step = this.#innermost("report");
    const outermost = this.#open[0] ?? step;
    this.#percentage = Math.max(this.#percentage, step.reached);
    const state: ProgressUpdate = {
      percentage: this.#percentage,
      currentStep: message ?? step.name,
      stepsCompleted: outermost.stepsCompleted,
      phasePath: this.#open.slice(1).map(({ name }) => name),
      ...(outermost.totalSteps > 0 && { stepsTotal: outermost.totalSteps }),
      ...(this.#itemsProcessed !== undefined && { itemsProcessed: this.#itemsProcessed }),
      ...(step.items > 0 && { itemsTotal: step.items }),
      ...(currentItem !== undefined && { currentItem }),
      ...(this.#context !== undefined && { context: this.#context }),
    };
    this.#callback(this.#renderer === undefined ? state : { ...state, currentStep: this.#renderer(state) });
  }
}
