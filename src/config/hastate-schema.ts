/** The shape of hastate.yaml: names, types and ranges. What must fit together is in hastate-settings.ts. */
import { isIP } from 'node:net';
import { z } from 'zod';
import { cidrFault } from './addresses.ts';
import { parseDuration } from './durations.ts';
import { SEVERITIES } from './syslog-target.ts';

export const TRACK_KINDS = ['interface', 'script', 'process', 'file', 'ping', 'tcp'] as const;

/** One value for both nodes, or a map by node name. */
function perNode<T extends z.ZodType>(value: T) {
  return z.union([value, z.record(z.string(), value)]);
}

const text = z.string().min(1);

const path = text.refine((value) => value.startsWith('/'), {
  error: 'must be an absolute path, starting with /',
});

const port = z.int().min(1).max(65535);

const duration = z.string().transform((value, context) => {
  const ms = parseDuration(value);
  if (ms !== null && ms > 0) return ms;
  context.addIssue({ code: 'custom', message: 'must be a duration with a unit, e.g. 500ms or 1s' });
  return z.NEVER;
});

/** What is right is said by resyncRates(): the message about a union would name no part of it. */
const rate = z.union([z.string(), z.number()]);

const cidr = z.string().superRefine((value, context) => {
  const fault = cidrFault(value);
  if (fault !== null) context.addIssue({ code: 'custom', message: `must be ADDRESS/PREFIX: ${fault}` });
});

/** Becomes a part of the name of an environment variable. */
const hookParameter = z.string().regex(/^[A-Za-z][A-Za-z0-9_-]*$/, {
  error: 'must be letters, digits, - and _, starting with a letter',
});

const hookName = z.string().regex(/^\d\d-[A-Za-z0-9_-]+$/, {
  error: 'must be the name of a hook file: two digits, a dash and a name, e.g. 10-zfs',
});

const hooks = z.record(
  hookName,
  z.record(hookParameter, perNode(z.union([z.string(), z.number(), z.boolean()]))).nullable(),
);

const ipAddress = z.string().refine((value) => isIP(value) !== 0, { error: 'must be an IP address' });

const id = z.int().min(1).max(255);

const tracked = z
  .strictObject({
    interface: text.optional(),
    script: path.optional(),
    process: text.optional(),
    file: path.optional(),
    ping: text.optional(),
    tcp: text.optional(),
    weight: z.int().min(-253).max(253).default(0),
    interval: duration.default(1000),
    timeout: duration.default(1000),
    rise: z.int().min(1).max(100).default(1),
    fall: z.int().min(1).max(100).default(1),
  })
  .superRefine((value, context) => {
    const kinds = TRACK_KINDS.filter((kind) => value[kind] !== undefined);
    if (kinds.length === 1) return;
    const message = `must have one of ${TRACK_KINDS.join(', ')}, not ${kinds.length === 0 ? 'none' : kinds.join(' and ')}`;
    context.addIssue({ code: 'custom', message });
  });

const address = z.strictObject({
  protocol: z.enum(['carp', 'vrrp2', 'vrrp3', 'kernel-carp', 'keepalived', 'external']).default('carp'),
  interface: perNode(text).optional(),
  vhid: id.optional(),
  vrid: id.optional(),
  advbase: z.int().min(0).max(255).optional(),
  advskew: perNode(z.int().min(0).max(254)).optional(),
  priority: perNode(z.int().min(1).max(255)).optional(),
  interval: duration.optional(),
  'interval-floor': duration.default(100),
  'down-adverts': z.int().min(1).max(100).optional(),
  'password-file': path.optional(),
  addresses: z.array(cidr).default([]),
  label: z
    .union([
      z.literal([false, 'off']),
      z.string().regex(/^[A-Za-z0-9._-]{1,13}$/, { error: 'must be 1 to 13 letters, digits and . _ -' }),
    ])
    .optional(),
  deprecated: z.boolean().default(false),
  dad: z.boolean().default(false),
  'virtual-mac': z.boolean().default(false),
  transport: z.enum(['auto', 'raw', 'udp']).default('auto'),
  driver: z.enum(['auto', 'ip', 'ifconfig', 'simulated']).default('auto'),
  preempt: z.boolean().default(false),
  'preempt-delay': duration.optional(),
  checksum: z.enum(['auto', 'pseudo', 'plain']).optional(),
  unicast: z.array(ipAddress).min(2).optional(),
  'tie-break': z.enum(['bsd', 'openbsd', 'ucarp']).optional(),
  counter: z.enum(['none', 'loop', 'strict']).optional(),
  flap: z
    .union([
      z.literal([false, 'off']),
      z.strictObject({
        transitions: z.int().min(1).max(1000).default(6),
        within: duration.default(60_000),
        hold: duration.default(10_000),
      }),
    ])
    .default({ transitions: 6, within: 60_000, hold: 10_000 }),
  'min-hold': z.strictObject({ master: duration.optional(), backup: duration.optional() }).default({}),
  'link-delay': z.strictObject({ up: duration.optional(), down: duration.optional() }).default({}),
  track: z.array(tracked).default([]),
  'sync-group': text.optional(),
});

const looks = {
  interval: duration.optional(),
  timeout: duration.optional(),
  rise: z.int().min(1).max(100).optional(),
  fall: z.int().min(1).max(100).optional(),
  restarts: z.int().min(0).max(100).optional(),
  within: duration.optional(),
};

/** Of every hook of the group that knows `status`; of one hook where it differs. */
const monitor = z.union([
  z.literal([false, 'off']),
  z.strictObject({
    ...looks,
    hooks: z.record(hookName, z.union([z.literal([false, 'off']), z.strictObject(looks)])).default({}),
  }),
]);

const group = z.strictObject({
  policy: z.enum(['available', 'consistent', 'manual']).default('available'),
  prefer: text.optional(),
  failback: z.enum(['never', 'when-synced', 'auto']).default('never'),
  'failback-delay': duration.optional(),
  'boot-wait': duration.optional(),
  'allow-loss': z.boolean().default(false),
  'after-split': z
    .enum(['disconnect', 'discard-zero-changes', 'discard-least-changes'])
    .default('disconnect'),
  'peer-kind': z.enum(['hastate', 'hastd']).default('hastate'),
  resources: z.array(text).min(1),
  hooks: hooks.nullable().default(null),
  monitor: monitor.optional(),
  device: z.enum(['auto', 'none', 'nbdfuse-loop', 'nbd-client', 'ggatec']).default('auto'),
  address: address.optional(),
});

const groupName = z.string().regex(/^[A-Za-z][A-Za-z0-9_-]*$/, {
  error: 'must be letters, digits, - and _, starting with a letter',
});

const FACILITIES = [
  ...(['kern', 'user', 'mail', 'daemon', 'auth', 'syslog', 'lpr', 'news', 'uucp', 'cron'] as const),
  ...(['authpriv', 'ftp', 'local0', 'local1', 'local2', 'local3', 'local4', 'local5'] as const),
  ...(['local6', 'local7'] as const),
] as const;

const log = z.strictObject({
  level: z.enum(['error', 'warn', 'info', 'debug']).default('info'),
  format: z.enum(['auto', 'text', 'json', 'journald']).default('auto'),
  syslog: z
    .strictObject({
      facility: z.enum(FACILITIES).default('local0'),
      severity: z.enum(SEVERITIES).optional(),
      tag: z
        .string()
        .regex(/^[A-Za-z0-9._-]{1,48}$/, { error: 'must be at most 48 letters, digits and . _ -' })
        .default('hastate'),
      to: text.default('local'),
    })
    .nullable()
    .optional(),
});

export const hastateSchema = z.strictObject({
  nodes: z
    .record(z.string(), z.strictObject({ peer: z.union([text, z.array(text).min(1)]).optional() }))
    .default({}),
  'advert-port': port.default(8460),
  'secret-file': path.optional(),
  tls: z
    .strictObject({ certificate: perNode(path), key: perNode(path), authority: perNode(path) })
    .optional(),
  insecure: z.boolean().default(false),
  references: z.array(text).default([]),
  watchdog: z
    .strictObject({ 'stuck-after': duration.optional(), file: path.optional(), program: path.optional() })
    .default({}),
  fence: z.strictObject({ delay: duration.default(1000), hooks: hooks.optional() }).default({ delay: 1000 }),
  timing: z
    .strictObject({
      heartbeat: duration.optional(),
      'promotion-delay': duration.optional(),
      slack: duration.optional(),
      lease: duration.optional(),
      hold: duration.optional(),
    })
    .default({}),
  'resync-rate': z.union([rate, z.record(text, rate)]).optional(),
  'hooks-dir': path.optional(),
  groups: z.record(groupName, group).default({}),
  visualizer: z
    .union([z.literal([false, 'off']), z.strictObject({ listen: text.default('127.0.0.1:8458') })])
    .default({ listen: '127.0.0.1:8458' }),
  log: log.default({ level: 'info', format: 'auto' }),
});

export type HastateFile = z.output<typeof hastateSchema>;
export type GroupFile = z.output<typeof group>;
export type AddressFile = z.output<typeof address>;
