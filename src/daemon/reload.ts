/**
 * SIGHUP and `hastate reload`: both files are read again. What is wrong in them changes nothing; what
 * can be followed is followed now; what cannot is named, in the log and in status, until a restart.
 */
import { ConfigFileError, formatDiagnostic } from '../config/diagnostics.ts';
import { describeError } from '../model/errors.ts';
import type { ReloadResult } from '../protocol/control.ts';
import type { Arguments } from './arguments.ts';
import type { CertificateWatch } from './certificate-watch.ts';
import { loadSettings, type Settings } from './load-settings.ts';
import type { Logger } from './log.ts';
import { notYet } from './not-yet.ts';
import { planReload, type ReloadPlan } from './reload-plan.ts';
import type { Runtime } from './runtime.ts';
import type { StatusWarnings } from './status-warnings.ts';

export interface ReloaderOptions {
  readonly args: Pick<Arguments, 'hastConf' | 'hastateYaml' | 'node'>;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly warnings: StatusWarnings;
  readonly certificates: Pick<CertificateWatch, 'look'>;
  /** Follows the plan in the node; returns what went wrong. */
  readonly apply: (plan: ReloadPlan) => Promise<readonly string[]>;
  /** Opens these at another path. */
  readonly moves: Readonly<Record<'pidfile' | 'control', (path: string) => Promise<unknown>>>;
}

export class Reloader {
  readonly #options: ReloaderOptions;
  #last: Promise<unknown> = Promise.resolve();
  /** Asked for and not begun yet: whoever asks meanwhile is answered by the same. */
  #next: Promise<ReloadResult> | null = null;

  constructor(options: ReloaderOptions) {
    this.#options = options;
  }

  /** Says what the files ask for and this version does not do. */
  announce(): void {
    const { runtime, warnings } = this.#options;
    const known = notYet(runtime.hast);
    warnings.set('not-yet', known);
    for (const warning of known) runtime.log('warn', warning);
  }

  /** One after the other. Never rejects. */
  reload(): Promise<ReloadResult> {
    this.#next ??= this.#last.then(() => {
      this.#next = null;
      const running = this.#reload();
      this.#last = running;
      return running;
    });
    return this.#next;
  }

  async #reload(): Promise<ReloadResult> {
    const { args, runtime, warnings } = this.#options;
    runtime.log('info', 'reading the configuration again');
    let wanted: Settings;
    try {
      wanted = await loadSettings(args, (text) => {
        runtime.log('warn', text);
      });
      if (wanted.hast.node !== runtime.node) return this.#refuse([renamed(wanted, runtime)]);
    } catch (error) {
      return this.#refuse(
        error instanceof ConfigFileError ? error.diagnostics.map(formatDiagnostic) : [describeError(error)],
      );
    }
    const { hast, settings, secret, certificates } = runtime;
    const before = { hast, settings, secret, certificates };
    const plan = planReload(before, wanted);
    const problems = [...(await this.#options.apply(plan)), ...(await this.#move(before, plan))];
    if (plan.applied.includes('log')) this.#options.logger.configure(plan.settings.log);
    this.#options.certificates.look();
    warnings.set('not-yet', notYet(plan.hast));
    warnings.set('reload', this.#say(plan, problems));
    return { accepted: true, applied: plan.applied, needsRestart: plan.needsRestart, problems };
  }

  /** The old settings stay as a whole. */
  #refuse(problems: readonly string[]): ReloadResult {
    const { runtime, warnings } = this.#options;
    for (const message of problems) runtime.journal.add({ kind: 'config.refused', level: 'error', message });
    const message = 'the configuration was refused: the settings from before stay in force';
    runtime.journal.add({ kind: 'config.refused', level: 'error', message });
    warnings.set(
      'reload',
      problems.map((problem) => `reload refused: ${problem}`),
    );
    return { accepted: false, applied: [], needsRestart: [], problems };
  }

  async #move(before: Settings, plan: ReloadPlan): Promise<string[]> {
    const problems: string[] = [];
    for (const key of ['pidfile', 'control'] as const) {
      if (before.hast[key] === plan.hast[key]) continue;
      try {
        await this.#options.moves[key](plan.hast[key]);
      } catch (error) {
        problems.push(describeError(error));
        // Tried again by the next reload.
        this.#options.runtime.hast = { ...this.#options.runtime.hast, [key]: before.hast[key] };
      }
    }
    return problems;
  }

  /** @returns the warnings for status */
  #say({ applied, needsRestart }: ReloadPlan, problems: readonly string[]): string[] {
    const { journal } = this.#options.runtime;
    const message =
      applied.length === 0 ? 'configuration read: nothing to follow' : `now in force: ${applied.join('; ')}`;
    journal.add({ kind: 'config.reloaded', level: 'info', message, data: { applied, needsRestart } });
    for (const problem of problems)
      journal.add({ kind: 'config.problem', level: 'error', message: `reload: ${problem}` });
    const restart = needsRestart.map((what) => `needs a restart: ${what}`);
    for (const what of restart) journal.add({ kind: 'config.needs-restart', level: 'warn', message: what });
    return [...restart, ...problems.map((problem) => `reload: ${problem}`)];
  }
}

function renamed(wanted: Settings, runtime: Runtime): string {
  return `this node is '${wanted.hast.node}' in hast.conf now and runs as '${runtime.node}': restart it, or say -n ${runtime.node}`;
}
