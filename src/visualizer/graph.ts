/** What a statechart looks like as plain data: the words that the server, the layout and the page share. Pure. */

export type StateKind = 'atomic' | 'compound' | 'parallel' | 'final' | 'history';

export interface ChartInvoke {
  readonly id: string;
  /** Name of the port or actor that runs while the state lasts. */
  readonly src: string;
}

export interface ChartState {
  /** Dotted path below the machine, e.g. `promoting.recording`; the machine itself is the empty string. */
  readonly path: string;
  readonly key: string;
  /** Path of the enclosing state, null for the machine itself. */
  readonly parent: string | null;
  readonly kind: StateKind;
  /** Entered first when the enclosing state is entered. */
  readonly initial: boolean;
  readonly description: string | null;
  readonly invokes: readonly ChartInvoke[];
  readonly entry: readonly string[];
  readonly exit: readonly string[];
}

/**
 * What makes a transition happen. `name` is the event type, the delay, the invoke's id, or
 * for `state-done` the path of the state whose final state was reached; empty for `always`.
 */
export interface ChartTrigger {
  readonly kind: 'event' | 'after' | 'always' | 'done' | 'error' | 'state-done';
  readonly name: string;
}

export interface ChartTransition {
  readonly id: string;
  /** Path of the state that has the transition. */
  readonly source: string;
  /** Path of the target, or null when no state is left. */
  readonly target: string | null;
  readonly trigger: ChartTrigger;
  /** Guard in words, or null. */
  readonly guard: string | null;
  readonly actions: readonly string[];
}

export interface ChartGraph {
  readonly machine: string;
  readonly description: string | null;
  /** Parents before their children, in the order of the definition. */
  readonly states: readonly ChartState[];
  readonly transitions: readonly ChartTransition[];
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Box extends Point {
  readonly width: number;
  readonly height: number;
}

/** All transitions from one state to one other that are drawn: one line with one label line for each. */
export interface LaidOutEdge {
  readonly id: string;
  readonly source: string;
  readonly target: string;
  readonly transitions: readonly string[];
  readonly points: readonly Point[];
  readonly labels: readonly string[];
  /** Where the labels stand; lines are LABEL_LINE high. */
  readonly labelBox: Box;
}

/** A way out that is written inside its state instead of drawn: failures, and ways to the end. */
export interface ListedExit {
  readonly id: string;
  readonly source: string;
  readonly target: string;
  readonly transitions: readonly string[];
  readonly text: string;
}

/** A graph with a place for everything, in px from the chart's top left corner. */
export interface ChartLayout {
  readonly graph: ChartGraph;
  readonly width: number;
  readonly height: number;
  /** By state path; the machine itself has none. */
  readonly boxes: Readonly<Record<string, Box>>;
  readonly edges: readonly LaidOutEdge[];
  readonly exits: readonly ListedExit[];
}

/** By machine name. */
export type ChartLayouts = Readonly<Record<string, ChartLayout>>;

/** px; the layout reserves what the page draws. */
export const LABEL_LINE = 13;
export const STATE_TITLE = 24;
export const STATE_LINE = 13;
/** Width of a character of the labels' fixed-width font (10 px). */
export const LABEL_CHAR = 6.05;

/** One line that tells when a transition happens, e.g. `DEMOTE [byHand]`, `after hold`, `done`, `fails`. */
export function transitionLabel({ trigger, guard }: ChartTransition): string {
  const words: Record<ChartTrigger['kind'], string> = {
    event: trigger.name === '*' ? 'any event' : trigger.name,
    after: `after ${trigger.name}`,
    always: guard === null ? 'at once' : '',
    done: 'done',
    error: 'fails',
    'state-done': 'finished',
  };
  return [words[trigger.kind], guard === null ? '' : `[${guard}]`].filter((part) => part !== '').join(' ');
}

/** What runs while the state lasts, as written inside its box below its name. */
export function invokeLines(state: ChartState): readonly string[] {
  return state.invokes.map(({ src }) => `runs ${src}`);
}

/**
 * Paths of all states that an XState state value is in, outermost first, without the machine
 * itself. Anything that is not a state value gives none.
 */
export function pathsOfValue(value: unknown, below = ''): readonly string[] {
  const under = (key: string): string => (below === '' ? key : `${below}.${key}`);
  if (typeof value === 'string') return value === '' ? [] : [under(value)];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [under(key), ...pathsOfValue(inner, under(key))]);
}
