import { type OperationDefinition, ServiceOrchestrator } from "longhaul";
import { backtest } from "./backtesting.ts";
import { loadData } from "./data-load.ts";

/** Loads bars, in the process. */
class DataService extends ServiceOrchestrator {
  override readonly operations = {
    // Loading again changes nothing, so a load may be run again after a restart.
    data_load: { operationFunc: loadData, totalSteps: 4, restartable: true },
  } satisfies Record<string, OperationDefinition>;
}

/** Trains models, each in a thread of its own, because training computes without a pause. */
class TrainingService extends ServiceOrchestrator {
  // What computes without a pause takes a processor each.
  override readonly maxConcurrentOperations = 2;
  override readonly operations = {
    training: { workerModule: new URL("./training-worker.ts", import.meta.url), totalSteps: 2 },
  } satisfies Record<string, OperationDefinition>;
}

/** Tests strategies, in the process. */
class BacktestingService extends ServiceOrchestrator {
  override readonly operations = {
    backtesting: { operationFunc: backtest, totalSteps: 2 },
  } satisfies Record<string, OperationDefinition>;
}

/** Serves operations of type "data_load". */
export const dataService: ServiceOrchestrator = new DataService();

/** Serves operations of type "training". */
export const trainingService: ServiceOrchestrator = new TrainingService();

/** Serves operations of type "backtesting". */
export const backtestingService: ServiceOrchestrator = new BacktestingService();
