/** Both files, as this daemon was told to find them: at its start and at every reload. */
import { formatDiagnostic } from '../config/diagnostics.ts';
import { readSecretFile } from '../config/files.ts';
import { loadHastConf } from '../config/hast-conf.ts';
import { loadHastate, parseHastate } from '../config/hastate-yaml.ts';
import type { HastateSettings, HastSettings } from '../model/settings.ts';
import type { Arguments } from './arguments.ts';

export interface Settings {
  readonly hast: HastSettings;
  readonly settings: HastateSettings;
  /** Content of the secret file; null: there is none. */
  readonly secret: Buffer | null;
}

/** @throws ConfigFileError with every error and its place */
export async function loadSettings(
  args: Pick<Arguments, 'hastConf' | 'hastateYaml' | 'node'>,
  warn: (text: string) => void,
): Promise<Settings> {
  const onWarning = (warning: Parameters<typeof formatDiagnostic>[0]): void => {
    warn(formatDiagnostic(warning));
  };
  const hast = await loadHastConf(args.hastConf, { node: args.node, onWarning });
  const settings =
    args.hastateYaml === null
      ? parseHastate('visualizer: false\n', '(no hastate.yaml)', hast)
      : await loadHastate(args.hastateYaml, hast, { onWarning });
  const { secretFile } = settings;
  return { hast, settings, secret: secretFile === null ? null : await readSecretFile(secretFile) };
}
