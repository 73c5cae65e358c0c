/** From the shape of hastate.yaml to settings for one node, checked against hast.conf. */
import { parseHostPort } from './addresses.ts';
import { groupSettings, hookParameters } from './hastate-groups.ts';
import { hostPort, nodeAddresses, nodeNames } from './hastate-nodes.ts';
import type { NodeNames } from './hastate-nodes.ts';
import { certificateFiles, checkTrust } from './hastate-trust.ts';
import { resyncRates } from './resync-rates.ts';
import { hastateSchema } from './hastate-schema.ts';
import type { HastateFile } from './hastate-schema.ts';
import { parseSyslogTarget, severityNumber } from './syslog-target.ts';
import { dotted } from './yaml-source.ts';
import type { YamlSource } from './yaml-source.ts';
import { ConfigError } from '../model/errors.ts';
import type { FenceSettings, HastateSettings, HastSettings } from '../model/settings.ts';
import type { LogSettings, PeerAddress, WatchdogSettings } from '../model/settings.ts';
import { checkTiming, DEFAULT_TIMING } from '../model/timing.ts';
import type { Timing } from '../model/timing.ts';

const VISUALIZER_PORT = 8458;

/**
 * Builds the settings of the node that hast.conf was resolved for. What is wrong goes to
 * `source.diagnostics`.
 * @throws ConfigFileError `config-invalid` with every error
 */
export function hastateSettings(source: YamlSource, hast: HastSettings): HastateSettings {
  const file = source.validate(hastateSchema);
  const names = nodeNames(file, hast);
  const addresses = nodeAddresses(source, file, names);
  const others = Object.keys(file.nodes).filter((name) => name !== names.self);
  const peerName = others[0] ?? null;
  const settings: HastateSettings = {
    node: names.self,
    peer: peerName === null ? null : { name: peerName, addresses: addresses[peerName] ?? [] },
    peerListen: addresses[names.self] ?? [],
    advertPort: file['advert-port'],
    secretFile: file['secret-file'] ?? null,
    tls: certificateFiles(source, file, names),
    insecure: file.insecure,
    references: references(source, file),
    fence: fence(source, file, names),
    watchdog: watchdog(source, file),
    timing: timing(source, file),
    resyncRates: resyncRates(source, file['resync-rate'], hast),
    hooksDir: file['hooks-dir'] ?? null,
    groups: groupSettings(source, file, hast, names),
    visualizer: visualizer(source, file),
    log: { level: file.log.level, format: file.log.format, syslog: syslog(source, file) },
  };
  checkTrust(source, settings);
  source.diagnostics.throwIfErrors();
  return settings;
}

function watchdog(source: YamlSource, { watchdog: written }: HastateFile): WatchdogSettings {
  const { file = null, program = null, 'stuck-after': stuckAfterMs = null } = written;
  if (program !== null && stuckAfterMs === null)
    source.diagnostics.error(
      source.at(['watchdog', 'program']),
      "'watchdog.program' would never run",
      "say with 'stuck-after', e.g. 60s, how long a group may be stuck before",
    );
  return { stuckAfterMs, file, program };
}

/** The parameters are those of the node that is to be fenced: the other one. */
function fence(source: YamlSource, { fence }: HastateFile, names: NodeNames): FenceSettings {
  const target = { ...names, self: names.other ?? names.self };
  const hooks = fence.hooks == null ? null : hookParameters(source, ['fence', 'hooks'], fence.hooks, target);
  return { delayMs: fence.delay, hooks };
}

function references(source: YamlSource, { references }: HastateFile): string[] {
  return references.map((text, index) => {
    const address = parseHostPort(text, 1);
    const path = ['references', index];
    if (typeof address === 'string') {
      source.diagnostics.error(
        source.at(path),
        `'${dotted(path)}' is no host: ${address}`,
        'write an address, e.g. of the gateway',
      );
    } else if (address.port !== 1) {
      source.diagnostics.error(
        source.at(path),
        `'${dotted(path)}' has a port`,
        `write only '${address.host}'`,
      );
    }
    if (references.indexOf(text) !== index) {
      source.diagnostics.error(
        source.at(path),
        `'${text}' stands twice in 'references' and would have two votes`,
        'remove one',
      );
    }
    return text;
  });
}

/** Times that are not written follow from those that are, so that one can be changed alone. */
function timing(source: YamlSource, { timing: written }: HastateFile): Timing {
  const slackMs = written.slack ?? DEFAULT_TIMING.slackMs;
  const promotionDelayMs = written['promotion-delay'] ?? DEFAULT_TIMING.promotionDelayMs;
  const result: Timing = {
    heartbeatMs: written.heartbeat ?? DEFAULT_TIMING.heartbeatMs,
    promotionDelayMs,
    slackMs,
    leaseMs: written.lease ?? promotionDelayMs - 2 * slackMs,
    holdMs: written.hold ?? promotionDelayMs + 2 * slackMs,
  };
  try {
    checkTiming(result);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    source.diagnostics.error(source.keyAt(['timing']), error.message);
  }
  return result;
}

function visualizer(source: YamlSource, { visualizer }: HastateFile): PeerAddress | null {
  if (typeof visualizer !== 'object') return null;
  const path = ['visualizer', 'listen'];
  const address = hostPort(source, path, visualizer.listen, VISUALIZER_PORT);
  if (address !== null && !['localhost', '::1'].includes(address.host) && !address.host.startsWith('127.')) {
    const message = `the page is shown to everybody who reaches ${address.host}`;
    source.diagnostics.warning(source.at(path), message, 'listen on 127.0.0.1 and come through ssh');
  }
  return address;
}

function syslog(source: YamlSource, { log }: HastateFile): LogSettings['syslog'] {
  if (log.syslog === undefined) return 'when-detached';
  if (log.syslog === null) return null;
  const { facility, severity, tag } = log.syslog;
  const to = parseSyslogTarget(log.syslog.to);
  if (typeof to === 'string') {
    const path = ['log', 'syslog', 'to'];
    const hint = "write 'local', the path of a socket, udp://HOST:514 or tcp://HOST:601";
    source.diagnostics.error(source.at(path), `'${dotted(path)}' is no place for a log: ${to}`, hint);
    return null;
  }
  return { facility, severity: severity === undefined ? null : severityNumber(severity), tag, to };
}
