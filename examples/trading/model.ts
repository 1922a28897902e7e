// I1. `weights` is laid out as one row of `inputs` weights and a bias for each hidden unit, then the `hidden` weights
//     and the bias of the output. A gradient has the same layout.
// I2. `#activations` belongs to the newest forward pass; the backward pass uses it at once.
import type { Example } from "./features.ts";
import type { Random } from "./random.ts";

/** How well a model does on examples. */
export interface Evaluation {
  /** Mean cross-entropy, in nats; ln 2 = 0.693 is what a coin gives. */
  readonly loss: number;
  /** Share of examples whose more likely label is the true one, 0 to 1. */
  readonly accuracy: number;
}

/** A network with one hidden layer of tanh units and a logistic output: the probability that the label is 1. */
export class Model {
  /** All weights and biases (I1). */
  readonly weights: Float64Array;
  readonly #inputs: number;
  readonly #hidden: number;
  readonly #activations: Float64Array;

  /**
   * Draws the weights uniformly from ±sqrt(6 / (fan in + fan out)), biases 0.
   * Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010).
   */
  constructor(inputs: number, hidden: number, random: Random) {
    this.#inputs = inputs;
    this.#hidden = hidden;
    this.#activations = new Float64Array(hidden);
    const outputs = hidden * (inputs + 1);
    this.weights = new Float64Array(outputs + hidden + 1);
    for (let index = 0; index < this.weights.length - 1; index++) {
      if (index < outputs && index % (inputs + 1) === inputs) continue;
      const limit = Math.sqrt(6 / (index < outputs ? inputs + hidden : hidden + 1));
      this.weights[index] = (2 * random() - 1) * limit;
    }
  }

  /** Probability that the label is 1. */
  probability(features: readonly number[]): number {
    return logistic(this.#forward(features));
  }

  /** Mean loss and accuracy. The examples must not be empty. */
  evaluate(examples: readonly Example[]): Evaluation {
    let loss = 0;
    let correct = 0;
    for (const { features, label } of examples) {
      const logit = this.#forward(features);
      loss += crossEntropy(logit, label);
      if (logit > 0 === (label === 1)) correct += 1;
    }
    return { loss: loss / examples.length, accuracy: correct / examples.length };
  }

  /** The gradient of the mean loss over the examples with respect to each weight, by back-propagation. */
  gradient(examples: readonly Example[]): Float64Array {
    const gradient = new Float64Array(this.weights.length);
    for (const { features, label } of examples) {
      // The derivative of the cross-entropy by the logit.
      const slope = (logistic(this.#forward(features)) - label) / examples.length;
      this.#backward(features, slope, gradient);
    }
    return gradient;
  }

  /** One step of plain gradient descent. */
  descend(examples: readonly Example[], learningRate: number): void {
    const gradient = this.gradient(examples);
    for (const [index, slope] of gradient.entries()) {
      this.weights[index] = at(this.weights, index) - learningRate * slope;
    }
  }

  #forward(features: readonly number[]): number {
    const outputs = this.#hidden * (this.#inputs + 1);
    let logit = at(this.weights, outputs + this.#hidden);
    for (let unit = 0; unit < this.#hidden; unit++) {
      const row = unit * (this.#inputs + 1);
      let sum = at(this.weights, row + this.#inputs);
      for (let input = 0; input < this.#inputs; input++) sum += at(this.weights, row + input) * at(features, input);
      const activation = Math.tanh(sum);
      this.#activations[unit] = activation;
      logit += at(this.weights, outputs + unit) * activation;
    }
    return logit;
  }

  #backward(features: readonly number[], slope: number, gradient: Float64Array): void {
    const outputs = this.#hidden * (this.#inputs + 1);
    add(gradient, outputs + this.#hidden, slope);
    for (let unit = 0; unit < this.#hidden; unit++) {
      const activation = at(this.#activations, unit);
      add(gradient, outputs + unit, slope * activation);
      const row = unit * (this.#inputs + 1);
      const inner = slope * at(this.weights, outputs + unit) * (1 - activation ** 2);
      for (let input = 0; input < this.#inputs; input++) add(gradient, row + input, inner * at(features, input));
      add(gradient, row + this.#inputs, inner);
    }
  }
}

function logistic(logit: number): number {
  return 1 / (1 + Math.exp(-logit));
}

/** -ln p(label), in the form that neither overflows nor loses digits for large logits. */
function crossEntropy(logit: number, label: 0 | 1): number {
  return Math.max(logit, 0) + Math.log1p(Math.exp(-Math.abs(logit))) - label * logit;
}

// Reading past the end gives NaN, which shows at once in every loss.
function at(values: ArrayLike<number>, index: number): number {
  return values[index] ?? Number.NaN;
}

function add(values: Float64Array, index: number, term: number): void {
  values[index] = at(values, index) + term;
}
