/** What `npm run bench:failover` can measure, by name. */
import { type AddressPairOptions, startAddressPair } from '../../test/support/address-pair.ts';
import { BridgeLab } from '../../test/support/bridge-lab.ts';
import { type Kind, KINDS } from './kinds.ts';
import { Pair } from './pair.ts';
import { type Role, Rounds, type Sample } from './rounds.ts';
import { soakAddresses, soakPair } from './soak.ts';

/** ms; null = nothing is promised, the number is there to compare with. */
export type Goals = Readonly<Record<string, number>>;

export interface FailoverMeasure {
  readonly name: string;
  readonly what: string;
  /** Rows with a goal: the median must not be above it. */
  readonly goals: Goals;
  /** Those of one lane wait most of the time and may run beside each other. */
  readonly lane: 'slow' | 'fast';
  run(options: RunOptions): Promise<Sample[]>;
}

export interface RunOptions {
  readonly rounds: number;
  readonly say: (text: string) => void;
  /** Nothing new begins any more. */
  readonly signal: AbortSignal;
  /** Called with what has to be closed whatever happens; the result takes it back. */
  readonly owns: (close: () => Promise<void>) => () => void;
}

const ADVERTS = 3.6;
const SLACK_MS = 50;
/** How late a timer and a process may be beyond what the protocol waits. */
const WORK_MS = 100;

/** The longest that a protocol allows us; of the others nothing is promised here. */
function goalsOf(kind: Kind, role: Role): Goals {
  const within = kind.downMs + WORK_MS;
  const heal = {
    'two masters after a partition': kind.advertMs,
    'two masters after a freeze': kind.advertMs,
  };
  if (role === 'peer') return {};
  return {
    'takes over on crash': within,
    'takes over on stop': kind.successionMs + WORK_MS,
    'takes over on link down': within,
    'takes over on partition': within,
    'takes over on freeze': within,
    ...heal,
  };
}

async function among(kind: Kind, role: Role, options: RunOptions): Promise<Sample[]> {
  const lab = await BridgeLab.make();
  const disown = options.owns(() => lab.close());
  try {
    const line = await lab.watch(kind.address);
    const rounds = new Rounds(kind, lab, line, role);
    const samples: Sample[] = [];
    for (let round = 0; round < options.rounds && !options.signal.aborted; round += 1)
      samples.push(...(await rounds.run(Math.random)));
    // Once is enough: it is no question of time.
    if (kind.password && role === 'ours' && !options.signal.aborted)
      samples.push({ row: 'rejects bad auth', ms: (await rounds.differ()) ? 0 : null });
    return samples;
  } finally {
    disown();
    await lab.close();
  }
}

interface PairTimes extends AddressPairOptions {
  readonly advertMs: number;
}

async function ofPair(times: PairTimes, options: RunOptions): Promise<Sample[]> {
  const pair = await startAddressPair(times);
  const disown = options.owns(() => pair.close());
  try {
    const rounds = new Pair(pair);
    const samples: Sample[] = [];
    for (let round = 0; round < options.rounds && !options.signal.aborted; round += 1)
      samples.push(...(await rounds.round(Math.random, times.advertMs)));
    return samples;
  } finally {
    disown();
    await pair.close();
  }
}

const ROLES = {
  ours: { suffix: '', text: 'hastate takes over' },
  peer: { suffix: '-back', text: 'the other one takes over from hastate' },
} as const;

function electionMeasures(kind: Kind): FailoverMeasure[] {
  const roles: Role[] = kind.ours === kind.peer ? ['ours'] : ['ours', 'peer'];
  return roles.map((role) => ({
    name: `${kind.name}${ROLES[role].suffix}`,
    what: `${kind.what}: ${ROLES[role].text}; address only`,
    goals: goalsOf(kind, role),
    lane: kind.advertMs >= 1000 ? 'slow' : 'fast',
    run: (options) => among(kind, role, options),
  }));
}

function pairMeasure(name: string, what: string, times: PairTimes): FailoverMeasure {
  return {
    ...{ name, what, lane: 'fast' },
    goals: {
      'takes over on crash': 150,
      'takes over on stop': 60,
      'takes over on host loss': ADVERTS * times.advertMs + SLACK_MS,
      'two masters after a host loss': times.advertMs,
      'two masters after a freeze': times.advertMs,
    },
    run: (options) => ofPair(times, options),
  };
}

export const MEASURES: readonly FailoverMeasure[] = [
  ...KINDS.flatMap(electionMeasures),
  pairMeasure('pair', 'two whole nodes with a disk, VRRP 3, 1 s, default timing', {
    advertMs: 1000,
  }),
  pairMeasure('pair-100ms', 'two whole nodes with a disk, VRRP 3, 100 ms, promotion delay 350 ms', {
    advertMs: 100,
    // As docs/addresses.md has it for such adverts: by default the promotion delay is longer than they are silent.
    timing: '{ heartbeat: 50ms, promotion-delay: 350ms }',
  }),
  pairMeasure('pair-fast', 'two whole nodes with a disk, VRRP 3, 100 ms, promotion delay 300 ms', {
    advertMs: 100,
    timing: '{ heartbeat: 50ms, promotion-delay: 300ms, slack: 50ms, lease: 200ms, hold: 400ms }',
  }),
  {
    name: 'soak',
    what: '10 addresses, VRRP 3, 100 ms, 15 s beside 8 busy loops: false failovers; address only',
    goals: { 'false failovers': 0 },
    lane: 'fast',
    run: (options) => soakAddresses(options),
  },
  {
    name: 'soak-pair',
    what: 'two whole nodes with 10 disks and addresses, VRRP 3, 100 ms, 15 s beside 8 busy loops: false failovers',
    goals: { 'false failovers': 0 },
    lane: 'fast',
    run: (options) => soakPair(options),
  },
];
