/** One row for each captured connection that was played, and what was not as captured. */
import { table } from '../../../src/cli/table.ts';
import type { Way } from './captured.ts';
import { type Compared, compareMessages } from './compare.ts';

/** A difference that is meant. `what` is the beginning of its description. */
export interface ByDesign {
  readonly scenario: RegExp;
  readonly what: string;
  readonly why: string;
  /** It depends on the order in which things happen, so it may be missing. */
  readonly sometimes?: true;
}

export interface Row {
  readonly scenario: string;
  readonly stream: string;
  readonly messages: number;
  readonly fieldsEqual: number;
  readonly bytesEqual: number;
  readonly differences: readonly string[];
}

/** Compares in order; what one side has more of is a difference each. */
export function compareStream(
  scenario: string,
  stream: string,
  ours: readonly Compared[],
  theirs: Way['messages'],
  free: readonly string[] = [],
): Row {
  const differences: string[] = [];
  let [fieldsEqual, bytesEqual] = [0, 0];
  for (const [i, captured] of theirs.entries()) {
    const mine = ours[i];
    if (mine === undefined) {
      differences.push(`message ${i + 1} is missing`);
      continue;
    }
    const { fields, sameBytes } = compareMessages(mine, captured, free);
    if (fields.length === 0) fieldsEqual++;
    if (sameBytes) bytesEqual++;
    else if (fields.length === 0) differences.push(`message ${i + 1}: other bytes for the same content`);
    differences.push(
      ...fields.map((field) => (field.startsWith('lzf') ? field : `message ${i + 1}: ${field}`)),
    );
  }
  for (const { nv } of ours.slice(theirs.length)) differences.push(`in addition: ${describeAnswer(nv)}`);
  return { scenario, stream, messages: theirs.length, fieldsEqual, bytesEqual, differences };
}

function describeAnswer(nv: Compared['nv']): string {
  return nv
    .fields()
    .map(({ name, value }) => `${name} ${Buffer.isBuffer(value) ? value.toString('hex') : String(value)}`)
    .join(', ');
}

export interface Judged {
  /** Reasons of those that are meant, each once. */
  readonly meant: readonly string[];
  readonly unexpected: readonly string[];
}

export function judge({ scenario, differences }: Row, byDesign: readonly ByDesign[]): Judged {
  const reasonOf = (difference: string): string | undefined =>
    byDesign.find((one) => one.scenario.test(scenario) && difference.startsWith(one.what))?.why;
  const meant = new Set(differences.flatMap((difference) => reasonOf(difference) ?? []));
  return { meant: [...meant], unexpected: differences.filter((one) => reasonOf(one) === undefined) };
}

/** Reasons that explained nothing: a list of excuses must not outlive its differences. */
export function idleReasons(rows: readonly Row[], byDesign: readonly ByDesign[]): string[] {
  const found = new Set(rows.flatMap((row) => judge(row, byDesign).meant));
  return byDesign.filter(({ why, sometimes }) => sometimes !== true && !found.has(why)).map(({ why }) => why);
}

export function replayTable(rows: readonly Row[], byDesign: readonly ByDesign[]): string {
  const lines = rows.map((row) => {
    const { meant, unexpected } = judge(row, byDesign);
    const said = [...meant, ...unexpected.map((one) => `UNEXPECTED ${one}`)].join('; ');
    const of = (count: number): string => `${count}/${row.messages}`;
    return [
      row.scenario,
      row.stream,
      String(row.messages),
      of(row.fieldsEqual),
      of(row.bytesEqual),
      said || '-',
    ];
  });
  const head = ['scenario', 'stream', 'messages', 'fields equal', 'bytes equal', 'differences by design'];
  return table([head, ...lines]);
}
