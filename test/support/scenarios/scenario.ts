/** A scenario is data; its words say which shipped part decides it. */
import {
  type ClientScenario,
  type MeetScenario,
  runClient,
  runMeet,
  runTiming,
  type TimingScenario,
} from './small.ts';
import { type DecisionScenario, runDecision } from './decision.ts';
import { type GateScenario, runGate } from './gate.ts';
import { type HooksScenario, runHooks } from './hooks.ts';
import { type RecordScenario, runRecords } from './records.ts';
import { runStory, type StoryScenario } from './story.ts';

/**
 * The rules of SAFETY of which something pure decides. A1, A2, A6 and A7 are the engine's alone (test/sim), B7's order
 * of reading is as well, D2 is the keeper's.
 */
export const RULES: readonly string[] = [
  ...['A3', 'A4', 'A5'],
  ...['B1', 'B2', 'B3', 'B4', 'B5', 'B6', 'B7', 'B8'],
  ...['C1', 'C2', 'C3', 'C4', 'C5'],
  ...['D1', 'D3', 'D4', 'D5'],
  ...['E1', 'E2', 'E3', 'F'],
];

export type Scenario = { readonly name: string } & (
  | DecisionScenario
  | RecordScenario
  | GateScenario
  | HooksScenario
  | TimingScenario
  | ClientScenario
  | MeetScenario
  | StoryScenario
);

export async function runScenario(scenario: Scenario): Promise<void> {
  if ('given' in scenario) runDecision(scenario);
  else if ('records' in scenario) runRecords(scenario);
  else if ('gate' in scenario) await runGate(scenario);
  else if ('hooks' in scenario) await runHooks(scenario);
  else if ('timing' in scenario) runTiming(scenario);
  else if ('client' in scenario) runClient(scenario);
  else if ('meet' in scenario) runMeet(scenario);
  else await runStory(scenario);
}
