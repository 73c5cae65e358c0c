/** How the services of a group are watched: `monitor` of hastate.yaml. */
import type { GroupFile } from './hastate-schema.ts';
import { didYouMean } from './nearest.ts';
import type { Path, YamlSource } from './yaml-source.ts';
import type { MonitorSettings } from '../model/monitor.ts';
import type { GroupMonitor } from '../model/settings.ts';

const USUAL: MonitorSettings = {
  intervalMs: 10_000,
  timeoutMs: 20_000,
  rise: 1,
  fall: 2,
  restarts: 2,
  withinMs: 10 * 60_000,
};
/** A hook is a process or more: oftener than this they would be most of what the node does. */
const MIN_INTERVAL_MS = 100;

interface Written {
  readonly interval?: number | undefined;
  readonly timeout?: number | undefined;
  readonly rise?: number | undefined;
  readonly fall?: number | undefined;
  readonly restarts?: number | undefined;
  readonly within?: number | undefined;
}

/** What is wrong goes to `source.diagnostics`. */
export function monitorSettings(source: YamlSource, path: Path, group: GroupFile): GroupMonitor {
  const { monitor } = group;
  if (typeof monitor !== 'object') return { usual: null, hooks: {} };
  const usual = settled(monitor, USUAL);
  checkInterval(source, path, monitor);
  const known = Object.keys(group.hooks ?? {});
  const hooks = Object.entries(monitor.hooks).map(([hook, own]) => {
    const at = [...path, 'hooks', hook];
    if (!known.includes(hook)) {
      const message = `'${hook}' is watched and is no hook of the group`;
      source.diagnostics.error(source.keyAt(at), message, didYouMean(hook, known));
    }
    if (typeof own !== 'object') return [hook, null] as const;
    checkInterval(source, at, own);
    return [hook, settled(own, usual)] as const;
  });
  return { usual, hooks: Object.fromEntries(hooks) };
}

function settled(written: Written, otherwise: MonitorSettings): MonitorSettings {
  return {
    intervalMs: written.interval ?? otherwise.intervalMs,
    timeoutMs: written.timeout ?? otherwise.timeoutMs,
    rise: written.rise ?? otherwise.rise,
    fall: written.fall ?? otherwise.fall,
    restarts: written.restarts ?? otherwise.restarts,
    withinMs: written.within ?? otherwise.withinMs,
  };
}

function checkInterval(source: YamlSource, path: Path, { interval }: Written): void {
  if (interval === undefined || interval >= MIN_INTERVAL_MS) return;
  source.diagnostics.error(
    source.at([...path, 'interval']),
    `a service cannot be looked at every ${interval} ms: each look starts a process`,
    `use at least ${MIN_INTERVAL_MS}ms; 10s is usual`,
  );
}
